"""A client and an application in one process, without a socket."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from distributed_config import errors
from distributed_config.app import create_app
from distributed_config.client import Client, Config, InProcessTransport
from distributed_config.settings import Settings
from tests.support.server import Server
from tests.support.waiting import eventually

Start = Callable[..., Any]


@pytest.fixture(scope="module")
def transport(tmp_path_factory: pytest.TempPathFactory) -> InProcessTransport:
    """To the real application, on a database of its own; checked against PEP 3333."""
    instance = tmp_path_factory.mktemp("in-process") / "instance"
    Server(instance).prepare()
    return InProcessTransport(validator(create_app(Settings(instance=instance))))


@pytest.fixture
def client(transport: InProcessTransport, name: str) -> Iterator[Client]:
    with Client(transport=transport, service=name) as client:
        yield client


def test_a_client_reads_and_writes_without_a_socket(client: Client, name: str) -> None:
    written = client.put({"ö": "€", "n": 1}, note="für")
    client.patch({"n": 2})

    assert client.get().value == {"ö": "€", "n": 2}
    assert client.get(as_of=written.revision).version == 0
    assert client.text(format="toml") == '"ö" = "€"\nn = 2\n'
    assert [each["note"] for each in client.history()] == ["", "für"]
    assert client.diff(0, 1)["patch"] == [{"op": "replace", "path": "/n", "value": 2}]
    with pytest.raises(errors.ServiceNotFound):
        client.get(f"{name}/no")


def test_changes_need_a_server_and_that_is_told(client: Client) -> None:
    with pytest.raises(errors.NotRepresentable, match="distconf serve"):
        next(client.changes())


def test_a_configuration_follows_an_application_and_ends_at_once(
    client: Client,
    transport: InProcessTransport,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISTCONF_SNAPSHOTS", str(tmp_path))
    client.put({"n": 0})
    config = Config(name, transport=transport)
    told: list[Any] = []
    config.on_change(lambda new, old: told.append((new, old)), "/n")

    client.put({"n": 1})

    assert config.wait_for(1, 5)
    assert eventually(lambda: told == [(1, 0)])
    time.sleep(0.2)  # it waits for the next version now
    thread = config._thread
    config.close()
    assert not thread.is_alive()
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_is_written_only_where_its_folder_is_named(
    client: Client, transport: InProcessTransport, name: str, tmp_path: Path
) -> None:
    client.put({"n": 0})

    with Config(name, transport=transport, snapshots=tmp_path):
        assert eventually(lambda: len(list(tmp_path.glob("*.json"))) == 1)


def test_a_client_has_an_address_or_a_transport(transport: InProcessTransport) -> None:
    with pytest.raises(errors.Invalid, match="either"):
        Client("http://localhost", transport=transport)


Headers = list[tuple[str, str]]


def stub(
    body: Iterable[bytes] = (b'{"n": 1}',), status: str = "200 OK", headers: Headers | None = None
) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """An application that always answers the same."""
    given = [("Config-Version", "0"), ("Config-Revision", "1"), ("ETag", '"0.a.b"')]

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response(status, [*given, *(headers or [])])
        yield from body

    return app


def test_any_wsgi_callable_can_stand_in_for_a_server() -> None:
    with Client(transport=InProcessTransport(stub([b'{"n"', b"", b": 1}"]))) as client:
        assert client.get("web").value == {"n": 1}


def test_what_a_server_sees_of_a_request_an_application_sees() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        seen.append({**environ, "body": environ["wsgi.input"].read()})
        start_response("200 OK", [])
        return [b'{"version": 0}']

    given = {"token": "secret", "actor": "jo", "environment": "prod"}
    with Client(transport=InProcessTransport(app), **given) as client:  # type: ignore[arg-type]  # all are text
        client.put({"ü": 1}, "wöb", note="why", if_match='"1"')

    [request] = seen
    assert request["REQUEST_METHOD"] == "PUT"
    assert request["PATH_INFO"] == "/config"
    assert request["QUERY_STRING"] == "service=w%C3%B6b&environment=prod"
    assert json.loads(request["body"]) == {"ü": 1}
    assert int(request["CONTENT_LENGTH"]) == len(request["body"])
    assert request["CONTENT_TYPE"] == "application/json"
    named = ("AUTHORIZATION", "CONFIG_ACTOR", "CONFIG_NOTE", "IF_MATCH")
    assert [request[f"HTTP_{name}"] for name in named] == ["Bearer secret", "jo", "why", '"1"']


def test_a_response_is_closed_once_it_was_read() -> None:
    closed: list[bool] = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Config-Version", "0"), ("Config-Revision", "1")])
        return Body([b"{}"])

    with Client(transport=InProcessTransport(app)) as client:
        client.get("web")

        assert closed == [True]


def broken_at_once(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    raise ValueError("broken")


def broken_later() -> Iterator[bytes]:
    yield b'{"n":'
    raise ValueError("broken")


@pytest.mark.parametrize("app", [broken_at_once, stub(broken_later())])
def test_what_an_application_raises_is_not_taken_for_an_unreachable_server(app: Any) -> None:
    with (
        Client(transport=InProcessTransport(app)) as client,
        pytest.raises(RuntimeError, match="broken") as told,
    ):
        client.get("web")

    assert isinstance(told.value.__cause__, ValueError)


def test_what_is_no_wsgi_application_is_told() -> None:
    with (
        Client(transport=InProcessTransport(lambda environ, start: [b""])) as client,
        pytest.raises(RuntimeError, match="start_response"),
    ):
        client.get("web")


def test_an_application_that_holds_no_requests_is_not_asked_without_a_pause() -> None:
    asked: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        asked.append(environ)
        is_known = "HTTP_IF_NONE_MATCH" in environ
        return stub(status="304 Not Modified" if is_known else "200 OK")(environ, start_response)

    with Config("web", transport=InProcessTransport(app)) as config:
        time.sleep(0.5)
        assert config["n"] == 1

    assert 2 < len(asked) < 20
    assert not [environ for environ in asked if "HTTP_PREFER" in environ]


def test_the_events_of_an_application_are_followed_as_they_come() -> None:
    more = threading.Event()

    def events() -> Iterator[bytes]:
        yield b'event: hello\nid: 7.0a\ndata: {"epoch": "0a"}\n\n'
        yield b'event: changes\nid: 8.0a\ndata: {"changes": [1]}\n\n'
        more.wait(10)
        yield b'event: changes\nid: 9.0a\ndata: {"changes": [2]}\n\n'

    with Client(transport=InProcessTransport(stub(events()))) as client:
        told = client.changes()
        assert next(told).number == 8
        more.set()
        assert next(told).number == 9
