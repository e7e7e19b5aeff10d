"""Logs, metrics, request ids and probes, with two workers."""

import json
import platform
import re
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from distributed_config import __version__
from distributed_config.services.access.token_format import new_token
from tests.support.server import Server

DEPLOY = Path(__file__).parents[2] / "deploy"


def logged(server: Server) -> list[dict[str, object]]:
    """Every request's line so far, once nothing more is on its way."""
    time.sleep(0.3)
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [entry for entry in map(json.loads, lines) if entry["event"] == "request"]


def test_every_request_has_one_line_also_when_it_is_replayed(own_server: Server) -> None:
    before = len(logged(own_server))
    own_server.api.put("web", {"secret": "hunter2"}, note="quiet")
    for number in range(20):
        own_server.api.get("web", headers={"X-Request-ID": f"mine-{number}"})

    lines = logged(own_server)[before:]

    assert len(lines) == 21
    assert [line["request_id"] for line in lines[1:]] == [f"mine-{number}" for number in range(20)]
    assert any(line.get("replayed") for line in lines)
    assert all(line["service"] == "web" and line["status"] == 200 for line in lines)
    assert "hunter2" not in own_server.log.read_text()


def test_an_id_that_could_forge_a_line_is_replaced(own_server: Server) -> None:
    own_server.api.put("web", {})
    for _ in range(3):
        answer = own_server.api.get("web", headers={"X-Request-ID": 'x", "forged": "y'})
        assert "forged" not in answer.headers["x-request-id"]


def test_metrics_add_up_over_the_workers(own_server: Server) -> None:
    api = own_server.api
    for number in range(30):
        with api.http.stream("PUT", f"/config?service=s{number}", json={"n": number}) as answer:
            assert answer.status_code == 200
    for _ in range(50):
        api.get("s1", headers={"Connection": "close"})
    time.sleep(0.3)

    text = api.http.get("/metrics").text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    assert values['distconf_requests_total{method="PUT",route="/config",status="200"}'] == 30
    assert values['distconf_requests_total{method="GET",route="/config",status="200"}'] == 50
    assert 0 < values['distconf_replayed_reads_total{status="200"}'] < 50
    assert values["distconf_commit_units_sum"] == 30
    assert values["distconf_revision"] == 30


def metrics(server: Server) -> dict[str, float]:
    """Every sample of /metrics, once what is gathered has been written."""
    time.sleep(0.3)
    lines = server.api.http.get("/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_a_refusal_is_counted_by_its_code_and_by_the_limit_that_it_met(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", body_bytes=2048, document_bytes=1024, workers=1) as server:
        server.api.get("nothing")
        server.api.put("web", {"long": "x" * 3000})

        counted = metrics(server)

    assert counted['distconf_refusals_total{code="service-not-found",limit=""}'] == 1
    assert counted['distconf_refusals_total{code="too-large",limit="DISTCONF_BODY_BYTES"}'] == 1


def test_watchers_are_counted_while_they_watch(own_server: Server) -> None:
    with own_server.api.http.stream(
        "GET", "/api/v1/changes", headers={"Accept": "text/event-stream"}
    ) as stream:
        chunks = stream.iter_raw()  # closed, with its stream, when nothing refers to it
        next(chunks)
        assert wait_for_watchers(own_server, 1) == 1

    assert wait_for_watchers(own_server, 0) == 0


def wait_for_watchers(server: Server, number: int) -> float:
    """How many watchers there are, as soon as they are ``number``, and after 10 s anyway."""
    deadline = time.monotonic() + 10
    while (counted := metrics(server)["distconf_watchers"]) != number:
        if time.monotonic() > deadline:
            break
    return counted


def test_what_runs_and_what_waits_is_told(own_server: Server) -> None:
    text = own_server.api.http.get("/metrics").text

    assert f'distconf_build_info{{python="{platform.python_version()}",sqlite="' in text
    assert f'version="{__version__}"}} 1.0' in text
    assert "distconf_queue 1.0" in text  # this request itself


def test_every_metric_says_what_it_means(own_server: Server) -> None:
    text = own_server.api.http.get("/metrics").text
    kinds = re.findall(r"^# TYPE (distconf_\w+)", text, re.MULTILINE)
    told = dict(re.findall(r"^# HELP (distconf_\w+) (.+)", text, re.MULTILINE))

    assert len(kinds) >= 8
    for name in kinds:
        assert re.fullmatch(r".{30,}[.]", told[name]), name


def test_the_role_metrics_reads_metrics_and_nothing_else(tmp_path: Path) -> None:
    boss = new_token()
    with Server(tmp_path / "instance", auth="token", admin_token=boss) as server:
        scraper = server.tell("create-token", "prometheus", "--role", "metrics").stdout.strip()
        bearer = {"Authorization": f"Bearer {scraper}"}

        assert server.api.http.get("/metrics", headers=bearer).status_code == 200
        assert server.api.get("web", headers=bearer).status_code in {403, 404}
        assert server.api.http.get("/api/v1/services", headers=bearer).status_code == 403
        assert server.api.http.get("/metrics").status_code == 401


# --- what is delivered for Prometheus and Grafana


def exposed_names(server: Server) -> set[str]:
    return set(re.findall(r"^(distconf_\w+)", server.api.http.get("/metrics").text, re.MULTILINE))


def expressions() -> dict[str, list[str]]:
    """Every expression of every delivered file."""
    alerts = YAML(typ="safe", pure=True).load(DEPLOY / "prometheus/alerts.yml")
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    board = json.loads((DEPLOY / "grafana/distconf.json").read_text())
    targets = [target for panel in board["panels"] for target in panel.get("targets", [])]
    return {
        "alerts.yml": [rule["expr"] for rule in rules],
        "distconf.json": [target["expr"] for target in targets],
    }


@pytest.mark.parametrize("file", ["alerts.yml", "distconf.json"])
def test_alerts_and_the_dashboard_ask_for_metrics_that_there_are(
    own_server: Server, file: str
) -> None:
    own_server.api.put("web", {})
    own_server.api.get("nothing")
    for _ in range(10):  # the second one on a worker comes from memory
        own_server.api.get("web")
    metrics(own_server)
    known = exposed_names(own_server)

    for expression in expressions()[file]:
        names = set(re.findall(r"\bdistconf_\w+", expression))
        assert names or 'job="distconf"' in expression, expression
        assert names <= known, expression


def test_every_alert_says_what_to_do(own_server: Server) -> None:
    alerts = YAML(typ="safe", pure=True).load(DEPLOY / "prometheus/alerts.yml")
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]

    assert len(rules) >= 5
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert len(rule["annotations"]["action"]) > 20


def test_the_dashboard_has_what_grafana_needs_to_load_it() -> None:
    board = json.loads((DEPLOY / "grafana/distconf.json").read_text())

    assert board["uid"]
    assert board["schemaVersion"] >= 36
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) >= 8
    for panel in board["panels"]:
        assert {"type", "title", "gridPos", "datasource"} <= panel.keys()
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [each["type"] for each in board["templating"]["list"]][:1] == ["datasource"]


def test_probes_tell_alive_and_ready(own_server: Server) -> None:
    assert own_server.api.http.get("/healthz").json() == {"status": "alive"}
    ready = own_server.api.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.headers["cache-control"] == "no-store"


def test_a_second_server_on_the_same_port_does_not_start(own_server: Server) -> None:
    run = own_server.run("serve")

    assert run.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{own_server.port}" in run.stderr
    assert "Traceback" not in run.stderr
