"""Logs, metrics, request ids and probes, with two workers."""

import json
import time

from tests.server import Server


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
    answered = values['distconf_requests_total{method="GET",route="/config",status="200"}']
    assert answered + values['distconf_replayed_reads_total{status="200"}'] == 50
    assert values["distconf_commit_units_sum"] == 30
    assert values["distconf_revision"] == 30


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
