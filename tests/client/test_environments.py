"""Environments and resolved documents: what is asked for, of servers of today and of before."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest

import distributed_config.client.http.resolved as resolved_module
import distributed_config.client.integrations.django as into_django
import distributed_config.client.integrations.dynaconf as into_dynaconf
import distributed_config.client.integrations.flask as into_flask
from distributed_config import errors
from distributed_config.client import Client, Config, InProcessTransport, Layer
from distributed_config.client.live.snapshots import Snapshot, Snapshots
from distributed_config.client.sidecar.plan import load_plan
from distributed_config.client.sidecar.target_file import TargetFile
from tests.support.snapshots import save_snapshot
from tests.support.stubs import (
    Stub,
    document_response,
    http_response,
    layered_response,
    problem_response,
)
from tests.support.waiting import eventually

DOCUMENT = document_response(b'{"n": 1}')
# Whoever gets it does not ask again during a test.
BUSY = problem_response(503, "busy", Retry_After="30")
STREAM = (
    b"HTTP/1.1 200 OK\r\n\r\n"
    b'event: hello\nid: 7.0a\ndata: {"epoch": "0a"}\n\n'
    b'event: changes\nid: 8.0a\ndata: {"changes": [{"kind": "x"}]}\n\n'
)


def unknown_parameters(*names: str) -> bytes:
    """The response of a server that does not know the parameters ``names``."""
    message = "It is not a parameter here; these are: service, version, as_of."
    problems = [
        {"parameter": name, "pointer": "", "message": message, "rule": "query"} for name in names
    ]
    body = {"code": "invalid", "detail": f"{names[0]}: {message}", "problems": problems}
    return http_response(422, json.dumps(body).encode())


def queries(stub: Stub) -> list[dict[str, list[str]]]:
    """The queries of the requests so far."""
    targets = [request.split(b" ")[1].decode() for request in stub.requests]
    return [parse_qs(target.partition("?")[2]) for target in targets]


CALLS: dict[str, Callable[..., Any]] = {
    "get": lambda client, **to: client.get(**to),
    "text": lambda client, **to: client.text(**to),
    "history": lambda client, **to: list(client.history(**to)),
    "diff": lambda client, **to: client.diff(0, 1, **to),
    "changes": lambda client, **to: next(client.changes(**to)),
    "put": lambda client, **to: client.put({}, **to),
    "patch": lambda client, **to: client.patch({}, **to),
    "rollback": lambda client, **to: client.rollback(0, **to),
    "enable": lambda client, **to: client.enable(0, **to),
}
ANSWERS = {
    "history": http_response(200, b'{"versions": []}'),
    "diff": http_response(200, b'{"patch": [], "text": ""}'),
    "changes": STREAM,
    **dict.fromkeys(("put", "patch", "rollback", "enable"), http_response(200, b'{"version": 0}')),
}


@pytest.mark.parametrize("call", CALLS)
def test_each_call_names_its_environment_and_never_the_default_one(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTCONF_ENVIRONMENT", "prod")
    with closing(Stub(ANSWERS.get(call, DOCUMENT))) as stub:
        with Client(stub.url, service="web") as client:
            CALLS[call](client)
            CALLS[call](client, environment="eu")
            CALLS[call](client, environment="default")
        with Client(stub.url, service="web", environment="test") as client:
            CALLS[call](client)
        monkeypatch.delenv("DISTCONF_ENVIRONMENT")
        with Client(stub.url, service="web") as client:
            CALLS[call](client)

    asked = [query.get("environment") for query in queries(stub)]
    # The changes of all environments are another question than those of the default one.
    default = ["default"] if call == "changes" else None
    assert asked == [["prod"], ["eu"], default, ["test"], None]


def test_a_resolved_document_has_its_layers() -> None:
    layers = "team/lög@default:2, web@prod:3"
    with (
        closing(Stub(layered_response(layers.encode().decode("latin-1")))) as stub,
        Client(stub.url, service="web", environment="prod") as client,
    ):
        read = client.get(resolved=True)
        client.get(as_of=5, resolved=True)

    assert read.layers == (Layer("team/lög", "default", 2), Layer("web", "prod", 3))
    assert (read.version, read.environment) == (3, "prod")
    assert [query["resolved"] for query in queries(stub)] == [["true"], ["true"]]
    assert queries(stub)[1]["as_of"] == ["5"]


@pytest.mark.parametrize("layers", ["web", "web@default", "web:1", "@default:1", "web@default:x"])
def test_layers_that_no_server_would_send_are_no_answer(layers: str) -> None:
    with (
        closing(Stub(layered_response(layers))) as stub,
        Client(stub.url, service="web") as client,
        pytest.raises(errors.Unreachable),
    ):
        client.get(resolved=True)


def test_a_server_from_before_layers_is_asked_for_what_it_stores_and_later_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusal = unknown_parameters("resolved")
    with (
        closing(Stub(refusal, DOCUMENT, DOCUMENT, refusal, DOCUMENT)) as stub,
        Client(stub.url, service="web") as client,
    ):
        found = [client.get(resolved=True), client.get(resolved=True)]
        ahead = time.monotonic() + resolved_module._ASK_AGAIN_AFTER + 1
        monkeypatch.setattr(resolved_module.time, "monotonic", lambda: ahead)
        found.append(client.get(resolved=True))

    assert [(read.value, read.layers) for read in found] == [({"n": 1}, ())] * 3
    assert ["resolved" in query for query in queries(stub)] == [True, False, False, True, False]


def test_the_changes_of_a_server_from_before_layers_are_followed() -> None:
    with (
        closing(Stub(unknown_parameters("resolved"), STREAM)) as stub,
        Client(stub.url) as client,
    ):
        told = next(client.changes(services=["web"], resolved=True))

    assert told.changes == ({"kind": "x"},)
    assert ["resolved" in query for query in queries(stub)] == [True, False]


class OldServer:
    """A server that has a document in its only environment, and refuses what it does not know."""

    def __init__(self, *unknown: str) -> None:
        self._unknown = unknown
        self.served = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        refused = [name for name in self._unknown if f"{name}=" in environ["QUERY_STRING"]]
        if refused:
            start_response("422 UNPROCESSABLE", [])
            return [unknown_parameters(*refused).partition(b"\r\n\r\n")[2]]
        self.served += 1
        start_response("200 OK", [("Config-Version", "0"), ("Config-Revision", "1")])
        return [b'{"n": 1}']


@pytest.mark.parametrize("unknown", [["environment", "resolved"], ["environment"]])
def test_a_server_from_before_environments_never_answers_for_another_one(
    unknown: list[str],
) -> None:
    server = OldServer(*unknown)
    transport = InProcessTransport(server)
    client = Client(transport=transport, service="web", environment="prod")
    with closing(client), pytest.raises(errors.Invalid, match="environment"):
        client.get(resolved=True)
    with pytest.raises(errors.NeverLoaded, match="environment"):
        Config("web", transport=transport, environment="prod", deadline=1)

    assert server.served == 0
    assert Client(transport=transport).get("web", resolved=True).value == {"n": 1}


def test_another_problem_with_the_parameter_is_told_and_not_evaded() -> None:
    problem = {"parameter": "resolved", "pointer": "", "message": "Not with version=.", "rule": "x"}
    body = {"code": "invalid", "detail": "It is so.", "problems": [problem]}
    with (
        closing(Stub(http_response(422, json.dumps(body).encode()), DOCUMENT)) as stub,
        Client(stub.url, service="web") as client,
        pytest.raises(errors.Invalid),
    ):
        client.get(version=1, resolved=True)


@pytest.fixture
def changing() -> Iterator[Stub]:
    """A server whose second answer differs in a layer only; each further one takes long."""
    answers = (
        layered_response("log@default:1, web@default:3", b'{"n": 1}', "a"),
        layered_response("log@default:2, web@default:3", b'{"n": 2}', "b"),
    )
    with closing(Stub(*answers, BUSY)) as stub:
        yield stub


def test_a_configuration_follows_every_layer(changing: Stub) -> None:
    with Config("web", url=changing.url, snapshots=False, environment="prod") as config:
        assert eventually(lambda: config["n"] == 2)
        state = config.state
        assert (config.environment, state.version, state.revision) == ("prod", 3, 9)
        assert state.layers == (Layer("log", "default", 2), Layer("web", "default", 3))

    asked = {"service": ["web"], "environment": ["prod"], "version": ["current"]}
    assert queries(changing)[:2] == [{**asked, "resolved": ["true"]}] * 2


def test_a_configuration_of_one_series_is_not_resolved() -> None:
    with closing(Stub(DOCUMENT, BUSY)) as stub:
        Config("web", url=stub.url, snapshots=False, resolved=False).close()

    assert queries(stub)[0] == {"service": ["web"], "version": ["current"]}


KINDS: list[dict[str, Any]] = [
    {},
    {"environment": "prod"},
    {"resolved": False},
    {"fill_defaults": True},
    {"environment": "prod", "resolved": False, "fill_defaults": True},
]


def test_no_snapshot_is_taken_for_that_of_another_environment_or_kind(
    nowhere: str, tmp_path: Path
) -> None:
    for kind in KINDS:
        text = json.dumps({"kind": str(kind)}).encode()
        with closing(Stub(document_response(text), BUSY)) as stub:
            Config("web", url=stub.url, snapshots=tmp_path / "made", **kind).close()
        [made] = (tmp_path / "made").iterdir()
        key = json.loads(made.read_bytes().split(b"\n")[1])["service"]
        save_snapshot(tmp_path / "all", nowhere, key, {"kind": str(kind)})
        made.unlink()

    for kind in KINDS:
        with Config("web", url=nowhere, snapshots=tmp_path / "all", **kind) as config:
            assert (config.source, config.value) == ("snapshot", {"kind": str(kind)})
    given: dict[str, Any] = {"environment": "test", "deadline": 0.1}
    with pytest.raises(errors.NeverLoaded):
        Config("web", url=nowhere, snapshots=tmp_path / "all", **given)


@pytest.mark.parametrize(("key", "options"), [("web", {}), ("web?defaults", KINDS[3])])
def test_a_snapshot_from_before_environments_is_still_found(
    nowhere: str, tmp_path: Path, key: str, options: dict[str, Any]
) -> None:
    Snapshots(tmp_path, nowhere).save(key, Snapshot(3, '"3.a.b"', '{"n": 7}'))

    with Config("web", url=nowhere, snapshots=tmp_path, **options) as config:
        assert (config.source, config.version, config["n"]) == ("snapshot", 3, 7)


@pytest.mark.parametrize(
    ("plan", "target", "asked"),
    [
        ({}, {}, "env"),
        ({"environment": "plan"}, {}, "plan"),
        ({"environment": "plan"}, {"environment": "target"}, "target"),
    ],
)
def test_a_target_of_a_sidecar_has_an_environment_of_its_own_or_that_of_the_plan(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plan: dict[str, Any],
    target: dict[str, Any],
    asked: str,
) -> None:
    monkeypatch.setenv("DISTCONF_ENVIRONMENT", "env")
    with closing(Stub(layered_response("web@prod:3"), BUSY)) as stub:
        target = {"service": "web", "file": str(tmp_path / "web.json"), **target}
        options = {"url": stub.url, "snapshots": False, **plan}
        loaded = load_plan({"targets": [target], **options})
        file = TargetFile(loaded.targets[0], loaded)
        assert file.sync()
        file.stop()

    assert json.loads((tmp_path / "web.json").read_text()) == {"n": 1}
    assert file.health()["environment"] == asked
    assert queries(stub)[0]["environment"] == [asked]
    assert queries(stub)[0]["resolved"] == ["true"]


def test_what_only_the_server_writes_is_resolved_at_the_revision_of_the_state(
    tmp_path: Path,
) -> None:
    # The connection of the sync and that of the background are two, so the answers are the same.
    with closing(Stub(layered_response("log@default:1, web@prod:3", b'{"n": 1}'))) as stub:
        target = {"service": "web", "file": str(tmp_path / "web.toml"), "environment": "prod"}
        plan = load_plan({"targets": [target], "url": stub.url, "snapshots": False})
        file = TargetFile(plan.targets[0], plan)
        assert file.sync()
        file.stop()

    [asked] = [query for query in queries(stub) if "format" in query]
    assert asked == {
        "service": ["web"],
        "environment": ["prod"],
        "as_of": ["9"],
        "resolved": ["true"],
        "format": ["toml"],
    }


def test_an_environment_in_a_plan_is_text() -> None:
    with pytest.raises(errors.Invalid) as told:
        load_plan(
            {"environment": 1, "targets": [{"service": "web", "file": "x", "environment": 2}]}
        )

    assert {each.pointer for each in told.value.problems} == {
        "/environment",
        "/targets/0/environment",
    }


def into_a_flask_app(**options: Any) -> Config:
    return into_flask.init_app(SimpleNamespace(config={}, extensions={}), "web", **options)


def into_django_settings(**options: Any) -> Config:
    return into_django.load({}, "web", **options)


@pytest.mark.parametrize("load", [into_a_flask_app, into_django_settings])
def test_integrations_pass_an_environment_on(
    load: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTCONF_ENVIRONMENT", "prod")
    transport = InProcessTransport(OldServer())

    with load(transport=transport) as first, load(transport=transport, environment="eu") as second:
        assert (first.environment, second.environment) == ("prod", "eu")


def test_dynaconf_loads_from_the_environment_that_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {}
    with closing(Stub(layered_response("web@prod:3"), BUSY)) as stub:
        given = {"URL": stub.url, "SERVICE": "web", "ENVIRONMENT": "prod", "SNAPSHOTS": tmp_path}
        for name, value in given.items():
            monkeypatch.setenv(f"DISTCONF_{name}", str(value))
        into_dynaconf.load(settings, silent=False)

    assert settings == {"n": 1}
    assert queries(stub)[0]["environment"] == ["prod"]
