"""The client library as a stranger uses it: real servers, a proxy that spoils, files that lie.

What is not a real server here is a proxy before one, or a stub that says what no server would.
"""

import copy
import enum
import gc
import importlib
import json
import logging
import os
import pickle
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType, MappingProxyType, SimpleNamespace
from typing import Any, BinaryIO, Literal

import flask
import pytest

import distributed_config.client.http.events as streams_module
import distributed_config.client.integrations.django as into_django
import distributed_config.client.integrations.dynaconf as into_dynaconf
import distributed_config.client.integrations.flask as into_flask
import distributed_config.client.live.binding as binding_module
import distributed_config.client.live.config as config_module
from distributed_config import errors
from distributed_config.client import Backoff, Client, Config, Configuration, Revision
from distributed_config.client.http.transport import Request, Response, Transport
from distributed_config.client.integrations.levels import follow_levels
from distributed_config.client.live.snapshots import Snapshot, Snapshots
from distributed_config.services.access.token_format import new_token
from tests.conftest import need
from tests.support.server import Api, Server, free_port

pytestmark = pytest.mark.many

ROOT = Path(__file__).parents[2]
QUICK = Backoff(first=0.02, most=0.1)
NOBODY = 65_534

Configs = Callable[..., Config]


# --- what stands between a client and a server


@dataclass
class Plan:
    """What a proxy does to one connection: passes ``after`` bytes of answers, and then ends it.

    A negative ``after``: so many fewer than come first.

    ``stall``: says nothing more instead. ``pause``: before each single byte.
    """

    after: int | None = None
    stall: bool = False
    pause: float = 0.0


class Proxy:
    """A small TCP proxy before a server; ``plans`` are for the next connections, one each."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.plans: deque[Plan] = deque()
        self.silent = False
        self.connections = 0
        self._sockets: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.resume()

    def resume(self) -> None:
        """Lets everything through, from now on."""
        self.silent = False
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            run(self._accept, self._listener)

    def refuse(self) -> None:
        """Ends every connection, and takes no other."""
        if self._listener is not None:
            hang_up(self._listener)
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Ends every connection."""
        for each in list(self._sockets):
            hang_up(each)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            self.connections += 1
            plan = self.plans.popleft() if self.plans else Plan()
            server = socket.create_connection(("127.0.0.1", self._upstream))
            self._sockets |= {client, server}
            run(self._there, client, server)
            run(self._back, server, client, plan)

    def _there(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(65_536):
            server.sendall(data)
        self._end(client, server)

    def _back(self, server: socket.socket, client: socket.socket, plan: Plan) -> None:
        left = plan.after
        while data := server.recv(65_536):
            if self.silent:
                continue
            if left is not None and left < 0:
                left += len(data)
            data = data[:left]
            for part in [data[i : i + 1] for i in range(len(data))] if plan.pause else [data]:
                time.sleep(plan.pause)
                client.sendall(part)
            if left is not None:
                left -= len(data)
                if left == 0 and not plan.stall:
                    break
        self._end(client, server)

    def _end(self, *both: socket.socket) -> None:
        for each in both:
            self._sockets.discard(each)
            hang_up(each)


def run(work: Callable[..., None], *arguments: Any) -> threading.Thread:
    """Does ``work`` in a thread; that a connection breaks is no failure there."""

    def quietly() -> None:
        with suppress(OSError):
            work(*arguments)

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    return thread


def hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class Stub:
    """Answers each request with the next of ``answers``, bytes as they are; the last one stays."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = deque(answers)
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        run(self._accept)

    def close(self) -> None:
        for each in [self._listener, *self._sockets]:
            hang_up(each)

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self._sockets.append(sock)
            run(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as file:
            while head := head_of(file):
                _, _, rest = head.lower().partition(b"content-length: ")
                file.read(int(rest.split(b"\r\n")[0]) if rest else 0)
                self.requests.append(head)
                self.times.append(time.monotonic())
                answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
                sock.sendall(answer)
                if b"Content-Length" not in answer:
                    hang_up(sock)
                    return


def head_of(file: BinaryIO) -> bytes:
    """The lines up to an empty one; nothing where the end came before that."""
    lines = []
    while (line := file.readline()) not in {b"", b"\r\n"}:
        lines.append(line)
    return b"".join(lines) if line else b""


def http(status: int, body: bytes, **headers: str) -> bytes:
    """An answer as a server writes it."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in {**told, "Content-Length": len(body)}.items()]
    return "\r\n".join([f"HTTP/1.1 {status} OK", *lines, "", ""]).encode("latin-1") + body


def document_answer(body: bytes, version: str = "0") -> bytes:
    return http(200, body, Config_Version=version, Config_Revision="1", ETag=f'"{version}.a.b"')


def problem_answer(status: int, code: str, **headers: str) -> bytes:
    body = {"code": code, "detail": "It is so.", "problems": []}
    return http(status, json.dumps(body).encode(), **headers)


@contextmanager
def deaf_address() -> Iterator[str]:
    """The address of a host that does not even answer a connection's first packet."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for each in waiting:
                each.close()


# --- fixtures and words


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server.port)
    yield made
    made.refuse()


@pytest.fixture
def client(server: Server, name: str) -> Iterator[Client]:
    """A client that means ``name``."""
    with Client(server.url, service=name, backoff=QUICK) as made:
        yield made


@pytest.fixture
def configs(server: Server, name: str) -> Iterator[Configs]:
    """Makes Configs of ``name`` that are closed at the end; without snapshots unless told."""
    made: list[Config] = []

    def make(service: str = name, **given: Any) -> Config:
        given = {"url": server.url, "snapshots": False, "backoff": QUICK, **given}
        made.append(Config(service, **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


def until(holds: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Waits until ``holds()``; whether it came to that."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def threads_of(service: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == f"config {service}"]


def script(text: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Runs ``text`` in an interpreter of its own, from the folder of the project."""
    python = options.pop("python", sys.executable)
    return subprocess.run(
        [python, "-c", text, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


def printed(done: "subprocess.CompletedProcess[str]") -> Any:
    """What a script printed as its last line, from JSON."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# --- Client: reading and writing


def test_what_was_put_is_got_byte_for_byte(client: Client, api: Api, name: str) -> None:
    document = {"ö": "€ 😀", "big": 10**40, "none": None, "list": [1, 1.5, True, {"a": []}]}

    written = client.put(document)
    read = client.get()

    answer = api.get(name, version="current")
    assert (written.version, written.current, written.changed) == (0, 0, True)
    assert read.text == answer.text
    assert (read.value, read["ö"], read.service) == (document, "€ 😀", name)
    assert (read.version, read.etag) == (0, answer.headers["ETag"])
    assert read.etag == written.etag
    assert read.revision >= written.revision > 0


def test_a_put_of_what_is_current_changes_nothing(client: Client, api: Api, name: str) -> None:
    client.put({"n": 1})

    assert client.put({"n": 1}).changed is False
    assert len(api.versions(name)) == 1


def test_a_mapping_patches_by_keys_and_a_list_by_operations(client: Client) -> None:
    client.put({"a": 1, "b": {"c": 2, "d": [1]}})

    assert client.patch({"a": None, "b": {"c": 3}}).version == 1
    assert client.get().value == {"b": {"c": 3, "d": [1]}}
    assert client.patch([{"op": "add", "path": "/b/d/-", "value": 2}]).version == 2
    assert client.get().value == {"b": {"c": 3, "d": [1, 2]}}


def test_versions_are_rolled_back_and_switched_on_and_off(client: Client) -> None:
    client.put({"n": 0})
    client.put({"n": 1})

    assert client.rollback(0).current == 2
    assert client.enable(2, False).current == 1
    assert client.get().value == {"n": 1}
    assert client.enable(2).current == 2
    assert client.get().value == {"n": 0}


def test_older_versions_and_moments_are_read(client: Client) -> None:
    first = client.put({"n": 0})
    client.put({"n": 1})

    assert client.get(version=0).value == {"n": 0}
    assert client.get(as_of=first.revision).value == {"n": 0}
    assert client.get(min_revision=first.revision).version == 1


def test_a_rehearsal_does_nothing(client: Client) -> None:
    client.put({"n": 0})
    client.put({"n": 1})

    assert client.put({"n": 2}, dry_run=True).changed
    assert client.patch({"n": 2}, dry_run=True).changed
    assert client.rollback(0, dry_run=True).changed
    assert client.get().version == 1


def test_two_versions_are_compared(client: Client) -> None:
    client.put({"n": 0})
    client.put({"n": 1})

    found = client.diff(0, 1)

    assert found["patch"] == [{"op": "replace", "path": "/n", "value": 1}]
    assert '-  "n": 0\n+  "n": 1' in found["text"]


def test_the_configuration_is_read_in_other_formats(client: Client, api: Api, name: str) -> None:
    client.put({"port": 80})

    assert client.text() == '{"port": 80}'
    assert client.text(format="yaml") == "port: 80\n"
    assert client.text(format="toml") == "port = 80\n"


def test_a_history_of_many_pages_comes_whole_and_newest_first(client: Client) -> None:
    for number in range(205):
        client.put({"n": number})

    found = list(client.history(documents=True))

    assert [each["number"] for each in found] == list(range(204, -1, -1))
    assert [each["document"]["n"] for each in found] == list(range(204, -1, -1))
    assert "document" not in next(client.history())


def test_defaults_of_the_definition_are_filled_in_when_asked(
    client: Client, api: Api, name: str
) -> None:
    api.define(name, {"type": "object", "properties": {"port": {"type": "integer", "default": 1}}})

    client.put({"x": 1}, definition=name)

    assert client.get().value == {"x": 1}
    assert client.get(defaults=True).value == {"x": 1, "port": 1}


NOTES = {
    "any script": "für 😀 — «почему» \u200b ünï",
    "a tab": "a\tb",
    "two lines": "first line\nsecond line",
    "as long as may be": "😀" * 1_000,
    "many lines": "жжжжжжжжж\n" * 99 + "end",
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_a_note_arrives_as_it_was_given(client: Client, note: str) -> None:
    client.put({"n": 0}, note=note)
    client.patch({"n": 1}, note=note)
    client.put({"n": 2})
    client.rollback(0, note=note)

    assert [each["note"] for each in client.history()] == [note, "", note, note]


def test_a_call_names_its_service_or_means_the_one_of_the_client(
    client: Client, server: Server, name: str
) -> None:
    client.put({"n": 1})
    client.put({"n": 2}, f"{name}/ö.b-c")

    assert client.get().value == {"n": 1}
    assert client.get(f"{name}/ö.b-c").value == {"n": 2}
    with Client(server.url) as nameless, pytest.raises(errors.Invalid) as told:
        nameless.get()
    assert told.value.problems[0].parameter == "service"


def test_a_megabyte_goes_there_and_back(client: Client) -> None:
    document = {"text": "ü" * 500_000}

    client.put(document)

    assert client.get().value == document


MAPPINGS: dict[str, Callable[[dict[str, Any]], Mapping[str, Any]]] = {
    "a proxy of a dict": MappingProxyType,
    "one inside another": lambda value: {"a": MappingProxyType(value)},
}


@pytest.mark.parametrize("wrap", MAPPINGS.values(), ids=MAPPINGS)
def test_any_mapping_is_put(client: Client, wrap: Callable[..., Mapping[str, Any]]) -> None:
    client.put(wrap({"n": 1}))

    assert "n" in client.get().text


NOT_JSON = {
    "bytes": b"abc",
    "a set": {1, 2},
    "no number": float("nan"),
    "a path": Path("x"),
    "half a character": "\ud800",
}


@pytest.mark.parametrize("value", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused_and_not_made_into_something_else(
    client: Client, value: Any
) -> None:
    with pytest.raises(errors.Invalid):
        client.put({"a": {"b": value}})


def test_a_live_configuration_is_put_as_another_service(
    client: Client, configs: Configs, name: str
) -> None:
    client.put({"n": {"m": [1]}})

    client.put(configs().value, f"{name}/copy")
    client.put(configs(), f"{name}/copy2")

    assert client.get(f"{name}/copy2").value == {"n": {"m": [1]}}


# --- Client: errors


@pytest.fixture
def troubled(client: Client, api: Api, name: str) -> Client:
    """A client of a service that has one version of each kind."""
    api.define(name, {"type": "object", "properties": {"port": {"type": "integer"}}})
    for number in range(4):
        client.put({"n": number, "none": None}, definition=name)
    client.enable(0, False)
    client.enable(1, False)
    assert api.delete(name, version=0).status_code == 200
    client.put({"n": 1, "none": None}, f"{name}/off")
    client.enable(0, False, f"{name}/off")
    return client


TROUBLE: dict[str, tuple[type[errors.DistconfError], Callable[[Client, str], Any]]] = {
    "no service": (errors.ServiceNotFound, lambda client, name: client.get(f"{name}/no")),
    "no version": (errors.VersionNotFound, lambda client, _: client.get(version=99)),
    "disabled": (errors.VersionDisabled, lambda client, _: client.get(version=1)),
    "deleted": (errors.VersionDeleted, lambda client, _: client.get(version=0)),
    "nothing current": (errors.NoCurrentVersion, lambda client, name: client.get(f"{name}/off")),
    "a bad name": (errors.Invalid, lambda client, _: client.get("a b")),
    "changed meanwhile": (
        errors.PreconditionFailed,
        lambda client, _: client.put({}, if_match='"9.x.y"'),
    ),
    "another's document": (errors.InvalidDocument, lambda client, _: client.put({"service": "x"})),
    "not conforming": (errors.NotConforming, lambda client, _: client.patch({"port": "x"})),
    "no such format": (errors.NotRepresentable, lambda client, _: client.text(format="toml")),
    "too large": (errors.TooLarge, lambda client, _: client.put({"x": "x" * (8 << 20)})),
    "no definition": (
        errors.DefinitionNotFound,
        lambda client, name: client.put({}, definition=f"{name}/no"),
    ),
    "no history": (errors.ServiceNotFound, lambda client, name: list(client.history(f"{name}/no"))),
    "no such kind": (errors.Invalid, lambda client, _: next(client.changes(kinds=["nonsense"]))),
}


@pytest.mark.parametrize(("kind", "ask"), TROUBLE.values(), ids=TROUBLE)
def test_the_servers_errors_come_out_as_the_same_classes(
    troubled: Client, name: str, kind: type[errors.DistconfError], ask: Callable[..., Any]
) -> None:
    with pytest.raises(kind) as told:
        ask(troubled, name)

    assert type(told.value) is kind
    assert told.value.code == kind.code
    assert len(told.value.detail) > 20


def test_every_problem_of_a_document_is_told_with_its_place(troubled: Client, name: str) -> None:
    with pytest.raises(errors.NotConforming) as told:
        troubled.put({"port": "x", "service": name})
    assert [(each.pointer, each.rule) for each in told.value.problems] == [("/port", "type")]

    with pytest.raises(errors.InvalidDocument) as several:
        troubled.put({"service": "other", "x": 10**1500})
    assert {each.pointer for each in several.value.problems} == {"/service", "/x"}
    assert pickle.loads(pickle.dumps(several.value.problems)) == several.value.problems


BAD_URLS = [
    "localhost:5000",
    "ftp://localhost",
    "http://",
    "//localhost:5000",
    "http://localhost:port",
    "http://localhost:99999",
    "http://[::1",
    "http://a b:5000",
    "http://localhost:5000/a b",
    "\x00",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_is_none_is_refused_when_the_client_is_made(url: str) -> None:
    with pytest.raises(errors.Invalid) as told:
        Client(url)

    assert told.value.problems[0].parameter == "url"


def test_the_address_may_have_a_path_and_a_slash_at_its_end() -> None:
    with (
        closing(Stub(document_answer(b"{}"))) as stub,
        Client(f"{stub.url}/conf/", backoff=QUICK) as client,
    ):
        client.get("web")

    assert stub.requests[0].startswith(b"GET /conf/config?service=web&version=current HTTP/1.1")


def test_address_and_token_come_from_the_environment_unless_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("from-file\n")
    with closing(Stub(document_answer(b"{}"))) as stub:
        monkeypatch.setenv("DISTCONF_URL", stub.url)
        monkeypatch.setenv("DISTCONF_TOKEN_FILE", str(tmp_path / "token"))
        clients = [Client(), Client(token="given"), Client(token="")]
        monkeypatch.setenv("DISTCONF_TOKEN", "from-variable")
        clients.append(Client())
        for each in clients:
            with each:
                each.get("web")
                assert "token" not in repr(each)

    sent = [
        [line for line in request.split(b"\r\n") if line.startswith(b"Authorization")]
        for request in stub.requests
    ]
    assert sent == [
        [b"Authorization: Bearer from-file"],
        [b"Authorization: Bearer given"],
        [],
        [b"Authorization: Bearer from-variable"],
    ]


BAD_TOKENS = ["dcf_one\ndcf_two", "dcf_one dcf_two", "dcf_\u20ac", "dcf_\x00"]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=ascii)
def test_a_token_that_can_be_none_is_refused_and_never_told(token: str, tmp_path: Path) -> None:
    for make in (Client, partial(Config, "web", defaults={}, deadline=0)):
        with pytest.raises(errors.Invalid, match="no token has") as refused:
            make(token=token)
        assert "dcf_" not in str(refused.getrepr())


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "is not there": lambda path: None,
    "is a folder": Path.mkdir,
    "is binary": lambda path: path.write_bytes(b"\x80\xff\x00"),
    "is two": lambda path: path.write_text("dcf_one\ndcf_two"),
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_a_tokens_file_that_cannot_be_read_is_told_in_a_sentence(
    make: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "token")
    monkeypatch.setenv("DISTCONF_TOKEN_FILE", str(tmp_path / "token"))

    with pytest.raises(errors.Invalid, match="token") as refused:
        Config("web", defaults={"n": 1}, deadline=0)

    assert "dcf_" not in str(refused.getrepr())


def test_a_token_that_is_exchanged_in_its_file_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv("DISTCONF_TOKEN_FILE", str(file))
    with ExitStack() as stack:
        server = stack.enter_context(
            Server(tmp_path / "instance", auth="token", admin_token=new_token(), workers=1)
        )
        token = server.environment["DISTCONF_ADMIN_TOKEN"]
        admin = stack.enter_context(Client(server.url, token=token, service="web"))

        def made() -> tuple[str, int]:
            body = json.dumps({"name": str(time.monotonic()), "role": "reader"}).encode()
            headers = {"Content-Type": "application/json"}
            request = Request("POST", "/api/v1/tokens", {}, headers, body)
            told = admin.transport.ask(request).json()
            file.write_text(told["token"] + "\n")
            return told["token"], told["id"]

        _, first = made()
        admin.put({"n": 0})
        options: dict[str, Any] = {"url": server.url, "snapshots": False, "backoff": QUICK}
        cfg = stack.enter_context(closing(Config("web", **options)))
        reader = stack.enter_context(Client(server.url, service="web", backoff=QUICK))
        revisions = reader.changes(0)
        assert next(revisions).number
        seen: list[Revision] = []
        heard = run(lambda: seen.append(next(revisions)))
        assert reader.get().version == 0

        made()
        admin.transport.ask(Request("DELETE", "/api/v1/tokens", {"id": first}))
        admin.put({"n": 1})

        assert cfg.wait_for(1, 10)
        assert reader.get().version == 1
        heard.join(10)
        assert seen
        assert until(lambda: (cfg.problem, cfg.stale) == (None, False))


FOREIGN = {
    "a page": http(200, b"<html></html>", Content_Type="text/html"),
    "nothing": http(200, b""),
    "an array": http(200, b"[]"),
    "an object": http(200, b"{}"),
    "a redirect": http(302, b"", Location="https://elsewhere/"),
    "a version that is no number": document_answer(b"{}", version="x"),
    "an array as document": document_answer(b"[]"),
    "half a document": document_answer(b'{"a": '),
    "no UTF-8": document_answer(b'{"a": "\xff"}'),
    "very deep": document_answer(b"[" * 200_000),
    "junk": b"\x00\x01\x02 junk\r\n\r\n",
    "half a chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{"a',
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "a page for an error": http(404, b"<html></html>"),
    "an error that is an array": http(500, b"[1]"),
    "an error with strange problems": http(422, b'{"code": 1, "detail": [], "problems": [1]}'),
    "an error that is very deep": http(500, b"[" * 200_000),
    "a strange time to retry": problem_answer(503, "overloaded", Retry_After="\u00b2"),
}
ASKS: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.get("web"),
    "put": lambda client: client.put({}, "web"),
    "history": lambda client: list(client.history("web")),
    "diff": lambda client: client.diff(0, 1, "web"),
    "text": lambda client: client.text("web", format="env"),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_whatever_answers_instead_of_a_server_nothing_but_our_errors_come_out(
    ask: Callable[[Client], Any],
) -> None:
    escaped = {}
    for what, answer in FOREIGN.items():
        with closing(Stub(answer)) as stub, Client(stub.url, retries=1, backoff=QUICK) as client:
            try:
                ask(client)
            except errors.DistconfError:
                continue
            except Exception as error:  # that is what is looked for
                escaped[what] = repr(error)[:100]

    assert escaped == {}


# --- Client: connections that break


WRITES: dict[str, Callable[[Client], Any]] = {
    "put": lambda client: client.put({"n": 2}),
    "merge patch": lambda client: client.patch({"n": 2}),
    "JSON patch": lambda client: client.patch([{"op": "add", "path": "/list/-", "value": 1}]),
    "rollback": lambda client: client.rollback(0),
    "disable": lambda client: client.enable(1, False),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_whose_answer_is_lost_twice_is_done_once(
    client: Client, api: Api, proxy: Proxy, name: str, write: Callable[[Client], Any]
) -> None:
    client.put({"n": 0, "list": []})
    client.put({"n": 1, "list": []})
    before = api.changes()[-1]["revision"]
    proxy.plans += [Plan(after=0), Plan(after=0, stall=True), Plan()]

    with Client(proxy.url, service=name, timeout=0.3, backoff=QUICK) as through:
        written = write(through)

    mine = [each for each in api.changes(before) if each.get("service") == name]
    assert proxy.connections == 3
    assert written.changed
    assert [each["revision"] for each in mine] == [written.revision]


@pytest.mark.parametrize("after", [5, 17, 40, 200, -1])
def test_a_write_is_done_once_wherever_its_answer_is_cut(
    client: Client, api: Api, proxy: Proxy, name: str, after: int
) -> None:
    first = client.put({"list": []})
    proxy.plans.append(Plan(after=after))

    with Client(proxy.url, service=name, backoff=QUICK) as through:
        written = through.patch([{"op": "add", "path": "/list/-", "value": 1}])

    assert client.get().value == {"list": [1]}
    assert (written.version, written.changed) == (first.version + 1, True)


def test_two_writes_of_the_same_are_two_writes(client: Client) -> None:
    client.put({"list": []})
    for _ in range(2):
        client.patch([{"op": "add", "path": "/list/-", "value": 1}])

    assert client.get().value == {"list": [1, 1]}


BROKEN = {
    "cut before the answer": Plan(after=0),
    "cut in the headers": Plan(after=30),
    "cut in the body": Plan(after=50_000),
    "silent": Plan(after=0, stall=True),
    "silent in the body": Plan(after=50_000, stall=True),
}


@pytest.mark.parametrize("plan", BROKEN.values(), ids=BROKEN)
def test_one_retry_is_enough_after_one_broken_connection(
    client: Client, proxy: Proxy, name: str, plan: Plan
) -> None:
    client.put({"text": "x" * 100_000})
    proxy.plans.append(plan)

    with Client(proxy.url, service=name, timeout=0.5, retries=1, backoff=QUICK) as through:
        assert through.get().value == {"text": "x" * 100_000}


@pytest.mark.parametrize("plan", BROKEN.values(), ids=BROKEN)
def test_a_connection_that_broke_is_told_of_and_not_used_again(
    client: Client, proxy: Proxy, name: str, plan: Plan
) -> None:
    client.put({"text": "x" * 100_000})
    proxy.plans.append(plan)

    with Client(proxy.url, service=name, timeout=0.3, retries=0, backoff=QUICK) as through:
        with pytest.raises(errors.Unreachable) as told:
            through.get()
        assert proxy.url in told.value.detail
        assert through.get().version == 0


def test_a_connection_that_ended_while_it_was_idle_costs_no_error(
    client: Client, proxy: Proxy, name: str
) -> None:
    client.put({"n": 0})
    with Client(proxy.url, service=name, retries=1, backoff=QUICK) as through:
        for _ in range(3):
            assert through.get().value == {"n": 0}
            proxy.cut()


def test_a_server_that_says_nothing_costs_the_timeout_and_no_more(proxy: Proxy) -> None:
    proxy.silent = True
    with Client(proxy.url, timeout=0.3, retries=1, backoff=QUICK) as client:
        began = time.monotonic()
        with pytest.raises(errors.Unreachable, match="in time"):
            client.get("web")

    assert 0.6 <= time.monotonic() - began < 10


def test_an_answer_that_only_trickles_ends_with_the_timeout_of_the_attempt(
    client: Client, proxy: Proxy, name: str
) -> None:
    client.put({"n": 0})
    proxy.plans.append(Plan(pause=0.05))  # for some hundred bytes

    with Client(proxy.url, service=name, timeout=0.3, retries=0) as slow:
        began = time.monotonic()
        with pytest.raises(errors.Unreachable):
            slow.get()

    assert time.monotonic() - began < 5


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again_as_often_as_allowed(status: int) -> None:
    with (
        closing(Stub(problem_answer(status, "overloaded"))) as stub,
        Client(stub.url, retries=2, backoff=QUICK) as client,
        pytest.raises(errors.Overloaded),
    ):
        client.get("web")

    assert len(stub.requests) == 3


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_what_will_not_pass_is_asked_once(status: int) -> None:
    with (
        closing(Stub(problem_answer(status, "not-found"))) as stub,
        Client(stub.url, retries=2, backoff=QUICK) as client,
        pytest.raises(errors.NotFound, match=r"It is so\."),
    ):
        client.get("web")

    assert len(stub.requests) == 1


def test_all_attempts_of_a_write_carry_one_key_and_the_next_write_another() -> None:
    done = http(200, b'{"version": 1, "current": 1, "changed": true}')
    with (
        closing(Stub(problem_answer(503, "overloaded"), http(502, b""), done)) as stub,
        Client(stub.url, backoff=QUICK) as client,
    ):
        client.put({}, "web")
        client.put({}, "web")

    keys = [
        line
        for request in stub.requests
        for line in request.split(b"\r\n")
        if line.startswith(b"Idempotency-Key: ")
    ]
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert len(keys[0]) > len("Idempotency-Key: ") + 20


def test_the_server_says_how_long_to_wait_before_the_next_attempt() -> None:
    busy = problem_answer(503, "overloaded", Retry_After="1")
    with (
        closing(Stub(busy, document_answer(b"{}"))) as stub,
        Client(stub.url, backoff=QUICK) as client,
    ):
        client.get("web")

    assert 1.0 <= stub.times[1] - stub.times[0] < 5.0


@pytest.mark.parametrize("told", ["soon", "-1", "1e9", "Wed, 21 Oct 2099 07:28:00 GMT", "", " "])
def test_a_time_to_retry_that_cannot_be_read_is_passed_over(told: str) -> None:
    busy = problem_answer(503, "overloaded", Retry_After=told)
    with (
        closing(Stub(busy, document_answer(b"{}"))) as stub,
        Client(stub.url, backoff=QUICK) as client,
    ):
        client.get("web")

    assert stub.times[1] - stub.times[0] < 3.0


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Does ``work`` in a thread; the list gets what it returned, or raised."""
    came: list[Any] = []

    def note() -> None:
        try:
            came.append(work())
        except Exception as error:  # the test looks at it
            came.append(error)

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    return thread, came


def test_closing_ends_a_question_that_another_thread_waits_for(proxy: Proxy) -> None:
    proxy.silent = True
    client = Client(proxy.url, timeout=30)
    thread, came = in_thread(lambda: client.get("web"))
    assert until(lambda: proxy.connections)

    client.close()
    thread.join(3)

    assert not thread.is_alive()
    assert isinstance(came[0], errors.Unreachable)


def test_closing_ends_a_pause_between_two_attempts() -> None:
    with closing(Stub(problem_answer(503, "overloaded", Retry_After="30"))) as stub:
        client = Client(stub.url)
        thread, came = in_thread(lambda: client.get("web"))
        assert until(lambda: stub.requests)

        client.close()
        thread.join(3)

    assert not thread.is_alive()
    assert isinstance(came[0], errors.Overloaded)


def test_a_client_that_was_closed_asks_nothing_more() -> None:
    with closing(Stub(document_answer(b"{}"))) as stub:
        client = Client(stub.url, backoff=QUICK)
        client.close()
        client.close()
        with suppress(Exception):  # which one does not matter here
            client.get("web")
        client.close()

    assert stub.requests == []


def test_eight_threads_share_one_client_and_each_gets_its_own_answer(
    client: Client, name: str
) -> None:
    for i in range(8):
        client.put({"own": i}, f"{name}/{i}")

    def mine(i: int) -> bool:
        return all(client.get(f"{name}/{i}").value == {"own": i} for _ in range(20))

    threads = [in_thread(lambda i=i: mine(i)) for i in range(8)]
    for thread, _ in threads:
        thread.join(20)

    assert [came for _, came in threads] == [[True]] * 8


def open_sockets() -> int:
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            count += "socket" in str(each.readlink())
    return count


def test_threads_that_ended_leave_no_connections_behind(client: Client) -> None:
    need(Path("/proc/self/fd").exists(), "/proc")
    client.put({"n": 0})
    before = open_sockets()

    for _ in range(30):
        thread, _ = in_thread(client.get)
        thread.join(10)
        del thread, _
    gc.collect()

    assert open_sockets() - before < 10


FORKED_CLIENT = """
import json, os, sys
from distributed_config.client import Client
url, name = sys.argv[1:]
client = Client(url, timeout=0.5)
client.get(f"{name}/parent")
def wrong(mine):
    found = []
    for _ in range(50):
        try:
            read = client.get(f"{name}/{mine}").value["own"]
        except Exception as error:
            read = repr(error)
        if read != mine:
            found.append(read)
    return found
child = os.fork()
if child == 0:
    os._exit(min(len(wrong("child")), 100))
print(json.dumps([wrong("parent"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]))
"""


def test_parent_and_child_of_a_fork_get_their_own_answers_from_one_client(
    client: Client, server: Server, name: str
) -> None:
    for each in ("parent", "child"):
        client.put({"own": each}, f"{name}/{each}")

    assert printed(script(FORKED_CLIENT, server.url, name)) == [[], 0]


# --- Client: changes


def numbered(revisions: Iterator[Revision], count: int) -> list[int]:
    """The values n of the next ``count`` changes."""
    found: list[int] = []
    for revision in revisions:
        assert not revision.reset
        found += [change["document"]["n"] for change in revision.changes]
        if len(found) >= count:
            break
    return found


def test_changes_are_told_once_and_in_order_however_often_the_stream_is_cut(
    client: Client, proxy: Proxy, name: str
) -> None:
    start = client.put({"n": 0}).revision
    for n in range(1, 11):
        client.put({"n": n})
    proxy.plans += [Plan(after=size) for size in range(100, 3_100, 150)]

    with Client(proxy.url, backoff=Backoff(0.002, 0.01)) as through:
        told = through.changes(start, services=[name], documents=True)
        first = numbered(told, 10)
        client.put({"n": 11})
        proxy.cut()
        client.put({"n": 12})
        rest = numbered(told, 2)

    assert first + rest == list(range(1, 13))
    assert proxy.connections > 5


def test_changes_of_other_services_and_kinds_are_left_out(client: Client, name: str) -> None:
    start = client.put({"n": 0}).revision
    client.put({"n": 1}, f"{name}/other")
    client.enable(0, False)
    client.enable(0, True)

    [kind] = next(client.changes(start, services=[name])).changes
    later = next(client.changes(start, services=[name], kinds=["version.enabled"]))

    assert kind["kind"] != "version.enabled"
    assert [each["kind"] for each in later.changes] == ["version.enabled"]


def test_a_stream_that_falls_silent_is_taken_up_again(
    client: Client, proxy: Proxy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "_SILENCE", 0.5)
    start = client.put({"n": 0}).revision
    client.put({"n": 1})

    with Client(proxy.url, backoff=QUICK) as through:
        told = through.changes(start, services=[name], documents=True)
        assert numbered(told, 1) == [1]
        proxy.silent = True
        client.put({"n": 2})
        thread, came = in_thread(lambda: numbered(told, 1))
        assert until(lambda: proxy.connections > 2)
        proxy.resume()
        thread.join(5)

    assert came == [[2]]


def test_a_server_that_ends_each_stream_at_once_is_asked_less_and_less_often() -> None:
    with (
        closing(Stub(stream())) as stub,
        closing(Client(stub.url, backoff=Backoff(first=0.01, most=10.0))) as client,
    ):
        in_thread(lambda: list(client.changes()))
        crowded = until(lambda: len(stub.requests) > 40, 1.0)

    assert not crowded


def test_closing_ends_the_changes_in_another_thread(client: Client, proxy: Proxy) -> None:
    through = Client(proxy.url, backoff=QUICK)
    thread, came = in_thread(lambda: list(through.changes()))
    assert until(lambda: proxy.connections)

    through.close()
    thread.join(3)

    assert not thread.is_alive()
    assert came == [[]]


def stream(*lines: str) -> bytes:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    return (head + "".join(f"{line}\n" for line in lines)).encode()


HELLO = ("event: hello", "id: 7", 'data: {"revision": 7, "epoch": "e"}', "")
GARBLED = {
    "no JSON": stream(*HELLO, "event: changes", "id: 8", "data: {]", ""),
    "no changes": stream(*HELLO, "event: changes", "id: 8", "data: {}", ""),
    "no epoch": stream("event: hello", "id: 7", "data: {}", ""),
    "half an event": stream(*HELLO, "event: changes", "id: 8", 'data: {"changes": [1'),
    "no UTF-8": stream(*HELLO) + b"event: \xff\n\n",
}


@pytest.mark.parametrize("garbled", GARBLED.values(), ids=GARBLED)
def test_a_garbled_stream_is_taken_up_again_behind_what_was_told(garbled: bytes) -> None:
    good = stream(*HELLO, "event: changes", "id: 8", 'data: {"changes": [{"n": 1}]}', "")
    with closing(Stub(garbled, good)) as stub, Client(stub.url, backoff=QUICK) as client:
        revision = next(client.changes(7))

    assert (revision.number, revision.changes) == (8, ({"n": 1},))
    assert b"after=7" in stub.requests[-1]


def test_a_comment_at_the_start_of_a_stream_does_not_start_the_journal_anew() -> None:
    good = stream(*HELLO, "event: changes", "id: 8", 'data: {"changes": [{"n": 1}]}', "")
    with (
        closing(Stub(stream(": a proxy says hello", ""), good)) as stub,
        Client(stub.url, backoff=QUICK) as client,
    ):
        next(client.changes(7))

    assert b"after=7" in stub.requests[-1]


# --- Config: reading


def test_a_live_configuration_reads_like_a_mapping(client: Client, configs: Configs) -> None:
    document = {"db": {"host": "h", "ports": [1, 2]}, "off": False, "none": None, "": 0}
    client.put(document)

    cfg = configs()

    assert cfg == document
    assert dict(cfg) == document == cfg.value
    assert (len(cfg), list(cfg), list(cfg.keys())) == (4, list(document), list(document))
    assert list(cfg.items()) == list(document.items())
    assert cfg["db"]["host"] == "h"
    assert "db" in cfg
    assert "host" not in cfg
    assert isinstance(cfg, Mapping)
    assert {cfg: 1}[cfg] == 1
    with pytest.raises(KeyError):
        cfg["nothing"]
    with pytest.raises(TypeError):
        cfg["x"] = 1  # type: ignore[index]


def test_get_follows_dots_and_tells_null_and_false_from_missing(
    client: Client, configs: Configs
) -> None:
    client.put({"db": {"host": "h", "ports": [1]}, "off": False, "none": None, "text": "abc"})
    cfg = configs()

    for _ in range(2):  # found, and found again
        assert cfg.get("db.host", "x") == "h"
        assert cfg.get("db") == {"host": "h", "ports": [1]}
        assert cfg.get("off", True) is False
        assert cfg.get("none", 1) is None
        assert cfg.get("nothing") is None
        for missing in ("db.nothing", "db.host.x", "off.x", "none.x", "text.0", "db.ports.x", ""):
            assert cfg.get(missing, "default") == "default"


def test_get_finds_whatever_is_there_by_its_key(client: Client, configs: Configs) -> None:
    client.put({"log.level": "debug", "a": {"b.c": 1}})

    cfg = configs()

    assert cfg["log.level"] == "debug"
    assert cfg.get("log.level") == "debug"


@pytest.mark.parametrize("key", [1, None, ("a",), b"a"])
def test_reading_a_key_of_another_type_is_not_an_error(
    client: Client, configs: Configs, key: Any
) -> None:
    client.put({"a": 1})
    cfg = configs()

    assert key not in cfg
    assert cfg.get(key, "default") == "default"


CHANGES: dict[str, Callable[[Any], Any]] = {
    "set": lambda value: value.__setitem__("x", 1),
    "delete": lambda value: value.__delitem__("list"),
    "update": lambda value: value.update(x=1),
    "clear": lambda value: value.clear(),
    "pop": lambda value: value.pop("list"),
    "popitem": lambda value: value.popitem(),
    "setdefault": lambda value: value.setdefault("x", 1),
    "merge": lambda value: value.__ior__({"x": 1}),
    "attribute": lambda value: setattr(value, "x", 1),
    "inner": lambda value: value["in"].update(x=1),
    "inner of a list": lambda value: value["list"][2].update(x=1),
    "list set": lambda value: value["list"].__setitem__(0, 5),
    "list slice": lambda value: value["list"].__setitem__(slice(0, 1), []),
    "list delete": lambda value: value["list"].__delitem__(0),
    "append": lambda value: value["list"].append(1),
    "extend": lambda value: value["list"].extend([1]),
    "insert": lambda value: value["list"].insert(0, 1),
    "remove": lambda value: value["list"].remove(1),
    "list pop": lambda value: value["list"].pop(),
    "list clear": lambda value: value["list"].clear(),
    "sort": lambda value: value["list"].sort(key=str),
    "reverse": lambda value: value["list"].reverse(),
    "add": lambda value: value["list"].__iadd__([1]),
    "multiply": lambda value: value["list"].__imul__(2),
    "list in a list": lambda value: value["list"][1].append(1),
}


@pytest.mark.parametrize("where", ["server", "defaults", "snapshot"])
def test_nothing_of_a_configuration_can_be_changed(
    client: Client, configs: Configs, tmp_path: Path, name: str, where: str
) -> None:
    document = {"in": {"a": 1}, "list": [1, [2], {"b": 3}]}
    if where == "server":
        client.put(document)
    if where == "snapshot":
        keep(tmp_path, client.transport.url, name, document)
    cfg = configs(defaults=document if where == "defaults" else None, snapshots=tmp_path)
    assert cfg.source == where

    changed = []
    for what, change in CHANGES.items():
        with suppress(TypeError, AttributeError):
            change(cfg.value)
            changed.append(what)

    assert cfg.value == {"in": {"a": 1}, "list": [1, [2], {"b": 3}]}, changed
    assert changed == []


def test_a_second_initialisation_changes_nothing_either(configs: Configs) -> None:
    cfg = configs(defaults={"a": 1, "list": [1]})

    with suppress(TypeError):
        cfg.value.__init__({"a": 2})  # type: ignore[misc]
    with suppress(TypeError):
        cfg["list"].__init__([2])

    assert cfg == {"a": 1, "list": [1]}


def keep(folder: Path, url: str, service: str, document: Any, version: int = 0) -> Path:
    """Puts a good snapshot into ``folder``; returns its file."""
    kept = Snapshots(folder, url)
    kept.save(service, Snapshot(version, '"tag"', json.dumps(document)))
    return kept.path(service)


def test_defaults_are_a_copy_and_stay_as_they_were_given(configs: Configs) -> None:
    given: dict[str, Any] = {"a": {"b": [1]}}
    cfg = configs(defaults=given)

    given["a"]["b"].append(2)
    given["c"] = 1

    assert cfg == {"a": {"b": [1]}}
    assert (cfg.source, cfg.version) == ("defaults", None)


def test_what_is_read_goes_through_json_pickle_and_copy(client: Client, configs: Configs) -> None:
    document = {"in": {"a": 1}, "list": [1, [2], {"b": 3}]}
    client.put(document)
    value = configs().value

    assert json.loads(json.dumps(value)) == document
    for copied in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert copied == document
        copied["in"]["a"] = 2
        copied["list"][2]["b"] = 4
        copied["list"].append(5)
    shallow = copy.copy(value)
    shallow["new"] = 1
    assert {**value, "x": 1} | {"y": 1} == {**document, "x": 1, "y": 1}
    assert value["list"] + [1] == [1, [2], {"b": 3}, 1]
    assert value == document


def test_age_and_staleness_follow_what_the_server_confirmed(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    cfg = configs()
    never = configs(f"{cfg.service}/no", defaults={})

    assert cfg.age is not None
    assert 0 <= cfg.age < 5
    assert not cfg.stale
    assert (never.age, never.stale) == (None, True)
    monkeypatch.setattr(config_module, "_STALE_AFTER", 0.0)
    assert cfg.stale


def test_a_new_version_is_read_soon(client: Client, configs: Configs) -> None:
    client.put({"n": 0})
    cfg = configs()
    assert (cfg.version, cfg.source, cfg.problem) == (0, "server", None)
    old = cfg.value

    client.put({"n": 1})

    assert cfg.wait_for(1, 5)
    assert (cfg["n"], cfg.get("n"), cfg.version) == (1, 1, 1)
    assert old == {"n": 0}
    assert "1" in repr(cfg)
    assert cfg.service in repr(cfg)


def test_waiting_for_a_version_ends_when_it_or_a_later_one_is_read(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    client.put({"n": 1})
    cfg = configs()

    assert cfg.wait_for(1, 0)
    assert cfg.wait_for(1)
    began = time.monotonic()
    assert not cfg.wait_for(2, 0.2)
    assert 0.2 <= time.monotonic() - began < 10
    waiting = [in_thread(lambda: cfg.wait_for(2, 5)) for _ in range(5)]
    client.put({"n": 2})
    for thread, _ in waiting:
        thread.join(6)
    assert [came for _, came in waiting] == [[True]] * 5


def test_the_first_version_can_be_waited_for(client: Client, configs: Configs) -> None:
    client.put({"n": 0})

    assert configs().wait_for(0, 0.2)


def test_nobody_waits_for_a_version_of_what_was_closed(client: Client, configs: Configs) -> None:
    client.put({"n": 0})
    cfg = configs()
    thread, came = in_thread(lambda: cfg.wait_for(5, 4))

    cfg.close()
    thread.join(1)

    assert came == [False]


# --- Config: many threads


def test_readers_during_swaps_see_each_document_whole(client: Client, configs: Configs) -> None:
    def document(n: int) -> dict[str, Any]:
        return {"n": n, "same": [n, {"n": n}], **{f"k{i}": n for i in range(20)}}

    client.put(document(0))
    cfg = configs()
    bound = cfg.bind(Whole)
    stop = threading.Event()

    def read() -> int:
        reads = 0
        while not stop.is_set():
            value = cfg.value
            seen = {value["n"], value["same"][0], value["same"][1]["n"], value["k19"]}
            same = cfg["same"]
            assert len(seen) == 1
            assert same[0] == same[1]["n"]
            whole = bound.value
            assert whole.n == whole.k19 == whole.same[0]
            reads += 1
        return reads

    readers = [in_thread(read) for _ in range(4)]
    for n in range(1, 15):
        client.put(document(n))
    assert cfg.wait_for(14, 5)
    stop.set()
    for thread, _ in readers:
        thread.join(5)

    assert all(came[0] > 10 for _, came in readers if not isinstance(came[0], Exception))
    assert not [came for _, came in readers if isinstance(came[0], Exception)]


@dataclass
class Whole:
    n: int
    same: list[Any]
    k19: int


TRAVERSALS: dict[str, Callable[[Config], Iterator[Any]]] = {
    "items": lambda cfg: iter(cfg.items()),
    "values": lambda cfg: iter(cfg.values()),
}


@pytest.mark.parametrize("through", TRAVERSALS.values(), ids=TRAVERSALS)
def test_going_through_a_configuration_goes_through_one_document(
    client: Client, configs: Configs, through: Callable[[Config], Iterator[Any]]
) -> None:
    client.put({"a": 0, "b": 0, "c": 0})
    cfg = configs()

    going = through(cfg)
    seen = [next(going)]
    client.put({"a": 1, "b": 1})
    assert cfg.wait_for(1, 5)
    seen += going

    assert [each[1] if isinstance(each, tuple) else each for each in seen] == [0, 0, 0]


def at_each_line(code: Callable[..., Any], action: Callable[[int], None]) -> Callable[..., Any]:
    """A trace function that calls ``action`` with the number of each line of ``code``."""
    wanted = code.__code__  # type: ignore[attr-defined]

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            action(frame.f_lineno)
        return local

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        return local if frame.f_code is wanted else None

    return trace


def test_a_swap_in_the_middle_of_a_read_leaves_nothing_old_behind(
    client: Client, configs: Configs
) -> None:
    client.put({"in": {"n": 0}})
    cfg = configs()
    version = 0

    def swap() -> None:
        nonlocal version
        version = client.put({"in": {"n": version + 1}}).version
        assert cfg.wait_for(version, 5)

    swap_at = 0
    done = 0

    def look(_: int) -> None:
        nonlocal done
        done += 1
        if done == swap_at:
            swap()

    while done >= swap_at:  # else the read was over before
        swap()
        swap_at, done = swap_at + 1, 0
        sys.settrace(at_each_line(config_module._found, look))
        try:
            cfg.get("in.n")
        finally:
            sys.settrace(None)
        assert cfg.get("in.n") == version, f"after a swap before step {swap_at} of the read"
    assert swap_at > 3


def test_readers_in_the_middle_of_a_swap_never_go_back_to_the_old(
    client: Client, configs: Configs
) -> None:
    client.put({"in": {"n": 0}})
    seen: list[tuple[int, ...]] = []

    def look(_: int) -> None:
        seen.append((cfg["in"]["n"], cfg.get("in.n"), cfg.version or 0))

    threading.settrace(at_each_line(Config._put_in_place, look))
    try:
        cfg = configs(defaults={"in": {"n": -1}}, deadline=0)
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    assert until(lambda: cfg.version == 0)
    seen.clear()
    assert cfg.get("in.n") == 0
    client.put({"in": {"n": 1}})
    assert cfg.wait_for(1, 5)

    assert seen
    in_time = [n for moment in seen for n in moment[:2]]
    assert in_time == sorted(in_time), f"(by key, by path, version) at each step: {seen}"


# --- Config: being told


def test_listeners_are_told_each_change_once_and_in_order(client: Client, configs: Configs) -> None:
    client.put({"n": 0, "other": 0})
    cfg = configs()
    whole: list[Any] = []
    part: list[Any] = []
    cfg.on_change(lambda new, old: whole.append((new["n"], old["n"], cfg["n"])))
    cfg.on_change(lambda new, old: part.append((new, old)), pointer="/n")

    for n in (1, 2, 3):
        written = client.put({"n": n, "other": 0})
        assert cfg.wait_for(written.version, 5)
    client.put({"n": 3, "other": 1})

    assert until(lambda: len(whole) == 4)
    assert whole == [(1, 0, 1), (2, 1, 2), (3, 2, 3), (3, 3, 3)]
    assert part == [(1, 0), (2, 1), (3, 2)]


def test_a_listener_that_fails_stops_neither_the_others_nor_the_next_change(
    client: Client, configs: Configs, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    cfg = configs()
    told: list[Any] = []

    def fail(new: Any, old: Any) -> None:
        raise LookupError("mine")

    cfg.on_change(fail)
    cfg.on_change(lambda new, old: told.append(new["n"]))
    for n in (1, 2):
        assert cfg.wait_for(client.put({"n": n}).version, 5)

    assert until(lambda: told == [1, 2])
    assert cfg.problem is None
    assert sum("mine" in str(each.exc_info) for each in caplog.records) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_listener_that_asks_to_exit_does_not_end_the_updates(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    cfg = configs()
    cfg.on_change(lambda new, old: sys.exit(1))
    for n in (1, 2):
        client.put({"n": n})
        cfg.wait_for(n, 2)

    assert cfg["n"] == 2


def test_nobody_is_told_of_the_first_load_nor_of_what_stayed(
    client: Client, configs: Configs, api: Api, name: str
) -> None:
    client.put({"n": 0})
    cfg = configs()
    told: list[Any] = []
    cfg.on_change(lambda new, old: told.append(("whole", new)))
    cfg.on_change(lambda new, old: told.append(("n", new)), pointer="/n")

    client.put({"n": 1})
    assert until(lambda: len(told) == 2)
    client.rollback(1)  # another version with the same document
    assert cfg.wait_for(2, 5)
    client.put({"n": 2})
    assert until(lambda: len(told) == 4)

    assert told == [("whole", {"n": 1}), ("n", 1), ("whole", {"n": 2}), ("n", 2)]


POINTERS: dict[str, tuple[str, Any, Any]] = {
    "inner": ("/in/a", 1, 2),
    "of a list": ("/list/1", "y", "z"),
    "escaped": ("/a~1b/c~0d", 1, 2),
    "an empty key": ("/", 1, 2),
    "a key that goes": ("/gone", 1, None),
    "a key that comes": ("/new", None, 1),
    "a whole object": ("/in", {"a": 1}, {"a": 2}),
}


@pytest.mark.parametrize(("pointer", "old", "new"), POINTERS.values(), ids=POINTERS)
def test_a_pointer_says_what_is_listened_to(
    client: Client, configs: Configs, pointer: str, old: Any, new: Any
) -> None:
    client.put({"in": {"a": 1}, "list": ["x", "y"], "a/b": {"c~d": 1}, "": 1, "gone": 1})
    cfg = configs()
    told: list[Any] = []
    cfg.on_change(lambda *both: told.append(both), pointer=pointer)

    client.put({"in": {"a": 2}, "list": ["x", "z"], "a/b": {"c~d": 2}, "": 2, "new": 1})
    assert until(lambda: told)

    assert told == [(new, old)]


@pytest.mark.parametrize("pointer", ["db.host", "db", "db/host"])
def test_a_pointer_that_is_none_is_refused(client: Client, configs: Configs, pointer: str) -> None:
    client.put({"db": {"host": 1}})
    cfg = configs()

    with pytest.raises((errors.DistconfError, ValueError)):
        cfg.on_change(lambda new, old: None, pointer=pointer)


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True])])
def test_a_change_of_type_alone_is_a_change(
    client: Client, configs: Configs, old: Any, new: Any
) -> None:
    client.put({"a": old, "n": 0})
    cfg = configs()
    told: list[Any] = []
    cfg.on_change(lambda *both: told.append(repr(both)), pointer="/a")

    assert client.put({"a": new, "n": 0}).changed
    assert cfg.wait_for(1, 5)
    cfg.on_change(lambda *both: told.append("end"), pointer="/n")
    client.put({"a": new, "n": 1})
    assert until(lambda: "end" in told)

    assert told == [repr((new, old)), "end"]


def test_who_unsubscribed_is_told_no_more_and_nobody_else_is_touched(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    cfg = configs()
    told: list[Any] = []

    def listen(new: Any, old: Any) -> None:
        told.append(new["n"])

    end = cfg.on_change(listen)
    cfg.on_change(listen)
    client.put({"n": 1})
    assert until(lambda: told == [1, 1])
    end()
    end()  # once more does no harm
    client.put({"n": 2})
    assert cfg.wait_for(2, 5)

    assert until(lambda: told == [1, 1, 2])


def test_a_listener_may_close_what_it_listens_to(client: Client, configs: Configs) -> None:
    client.put({"n": 0})
    cfg = configs()
    cfg.on_change(lambda new, old: cfg.close())

    client.put({"n": 1})

    assert until(lambda: not threads_of(cfg.service))
    assert cfg["n"] == 1


@pytest.mark.parametrize("wrong", [None, "reconnect", 5])
def test_a_listener_that_cannot_be_called_is_refused(configs: Configs, wrong: Any) -> None:
    cfg = configs(url=f"http://127.0.0.1:{free_port()}", defaults={}, deadline=0)

    with pytest.raises(errors.Invalid, match="cannot be called"):
        cfg.on_change(wrong, "/db")


def test_a_listener_that_waits_for_a_version_is_told_so_and_following_goes_on(
    client: Client, configs: Configs, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    cfg = configs()
    there: list[bool] = []

    def wait(new: Any, old: Any) -> None:
        there.append(cfg.wait_for(new["n"]))  # that one is there
        cfg.wait_for(new["n"] + 1)

    cfg.on_change(wait)
    for n in (1, 2):
        assert cfg.wait_for(client.put({"n": n}).version, 5)

    assert until(lambda: there == [True, True])
    assert until(lambda: "cannot wait" in caplog.text)


@pytest.mark.parametrize("how", ["ended", "closed"])
def test_a_listener_keeps_what_it_listens_to_until_it_ends(
    client: Client, name: str, server: Server, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(config_module, "_HELD", 0.3)
    client.put({"n": 0})
    told: list[int] = []
    cfg = Config(name, url=server.url, snapshots=False, backoff=QUICK)
    gone = weakref.ref(cfg)
    ends = [cfg.on_change(lambda new, old: told.append(new["n"])) for _ in range(2)]
    if how == "closed":
        ends.clear()
    del cfg
    for n in (1, 2):
        gc.collect()
        time.sleep(0.4)  # longer than a question is held
        client.put({"n": n})
        assert until(lambda n=n: told[-2:] == [n, n])

    if how == "closed":
        gone().close()
    while ends:
        ends.pop()()

    assert until(lambda: not threads_of(name))
    gc.collect()
    assert gone() is None


# --- Config: types of the application's own


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Pool:
    size: int
    wait: float = 1.5

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be positive")


@dataclass(frozen=True)
class App:
    name: str
    pool: Pool
    level: Level = Level.LOW
    mode: Literal["a", "b", 1] = "a"
    hosts: list[str] = field(default_factory=list)
    pools: dict[str, Pool] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    many: tuple[int, ...] = ()
    spare: Pool | None = None
    either: int | str = 0
    deep: list[dict[str, list[Pool]]] = field(default_factory=list)
    anything: Any = None
    rate: float = 0.0
    flag: bool = False
    made: int = field(default=7, init=False)


FULL = {
    "name": "n",
    "pool": {"size": 1},
    "level": "high",
    "mode": "b",
    "hosts": ["a", "b"],
    "pools": {"x/y": {"size": 2, "wait": 3}},
    "pair": [1, "x"],
    "many": [1, 2, 3],
    "spare": {"size": 3},
    "either": "text",
    "deep": [{"k": [{"size": 4}]}],
    "anything": {"a": [None]},
    "rate": 1,
    "flag": True,
    "unknown": {"to": "us"},
    "made": 9,
}


def test_a_dataclass_takes_what_its_fields_name(client: Client, configs: Configs) -> None:
    client.put(FULL)

    app = configs().bind(App).value

    assert app == App(
        name="n",
        pool=Pool(1, 1.5),
        level=Level.HIGH,
        mode="b",
        hosts=["a", "b"],
        pools={"x/y": Pool(2, 3.0)},
        pair=(1, "x"),
        many=(1, 2, 3),
        spare=Pool(3),
        either="text",
        deep=[{"k": [Pool(4)]}],
        anything={"a": [None]},
        rate=1.0,
        flag=True,
    )
    assert (type(app.rate), type(app.pools["x/y"].wait), app.made) == (float, float, 7)


def test_what_is_left_out_has_the_defaults_of_the_dataclass(
    client: Client, configs: Configs
) -> None:
    client.put({"name": "n", "pool": {"size": 1}, "spare": None})

    assert configs().bind(App).value == App(name="n", pool=Pool(1))


def test_every_fault_is_told_with_its_place(client: Client, configs: Configs) -> None:
    client.put(
        {
            "pool": {"size": 0},
            "level": "middle",
            "mode": "c",
            "hosts": ["a", 1, None],
            "pools": {"x/y": {"size": "1"}},
            "pair": [1],
            "many": [1, 1.5],
            "spare": {"size": True},
            "either": [],
            "deep": [{"k": [{"size": 4}, {}]}],
            "rate": "1",
            "flag": 1,
        }
    )

    with pytest.raises(errors.Rejected) as told:
        configs().bind(App)

    assert sorted(each.pointer for each in told.value.problems) == [
        "/deep/0/k/1/size",
        "/either",
        "/flag",
        "/hosts/1",
        "/hosts/2",
        "/level",
        "/many/1",
        "/mode",
        "/name",
        "/pair",
        "/pool",
        "/pools/x~1y/size",
        "/rate",
        "/spare/size",
    ]
    told_by = {each.pointer: each.message for each in told.value.problems}
    assert "size must be positive" in told_by["/pool"]
    assert "missing" in told_by["/name"]
    assert "'low'" in told_by["/level"]
    assert "13 more" in told.value.detail


def fault_of(kind: Any, document: Any, configs: Configs) -> list[str]:
    """The pointers that are told of when ``document`` is to be a ``kind``; none if it fits."""
    cfg = configs("no/service", defaults=document)
    try:
        cfg.bind(kind)
    except errors.Rejected as error:
        return [each.pointer for each in error.problems] or [""]
    return []


@dataclass
class Strict:
    number: Literal[1, 2] = 1
    level: "Digit | None" = None


class Digit(enum.Enum):
    ONE = 1


def test_true_is_not_taken_for_one(configs: Configs) -> None:
    assert fault_of(Strict, {"number": 1, "level": 1}, configs) == []
    assert fault_of(Strict, {"number": True}, configs) == ["/number"]
    assert fault_of(Strict, {"level": True}, configs) == ["/level"]
    assert fault_of(Pool, {"size": True}, configs) == ["/size"]
    assert fault_of(Pool, {"size": 1, "wait": True}, configs) == ["/wait"]


def test_a_number_too_large_for_its_type_is_a_fault_like_others(configs: Configs) -> None:
    assert fault_of(Pool, {"size": 1, "wait": 10**400}, configs) == ["/wait"]


@dataclass
class Asserting:
    n: int

    def __post_init__(self) -> None:
        if self.n == 1:
            raise AssertionError("one is not allowed")
        {0: 1, 2: 1}[self.n]


class Model:
    """What pydantic's models look like from outside."""

    def __init__(self, n: int) -> None:
        self.n = n

    @classmethod
    def model_validate(cls, value: Mapping[str, Any]) -> "Model":
        if value["n"] == 1:
            raise ValueError("one is not allowed")
        return cls(value["n"])


@pytest.mark.parametrize("kind", [Model, Asserting])
def test_a_document_that_the_application_rejects_keeps_the_last_good_one(
    client: Client, configs: Configs, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    cfg = configs()
    bound = cfg.bind(kind)
    told: list[Any] = []
    cfg.on_change(lambda new, old: told.append(new["n"]))

    client.put({"n": 1})
    assert until(lambda: cfg.problem is not None)

    assert isinstance(cfg.problem, errors.Rejected)
    assert "one is not allowed" in cfg.problem.detail
    assert (cfg["n"], cfg.version, bound.value.n) == (0, 0, 0)
    assert until(lambda: any("one is not allowed" in each.getMessage() for each in caplog.records))
    client.put({"n": 2})
    assert cfg.wait_for(2, 5)
    assert until(lambda: cfg.problem is None)
    assert (cfg["n"], bound.value.n, told) == (2, 2, [2])


def test_a_binding_that_the_present_document_does_not_fit_is_not_made(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 1})
    cfg = configs()

    with pytest.raises(errors.Rejected, match="one is not allowed"):
        cfg.bind(Model)
    client.put({"n": 1, "x": 1})

    assert cfg.wait_for(1, 5)


def test_of_two_bindings_both_must_take_a_document_or_neither_does(
    client: Client, configs: Configs
) -> None:
    client.put({"size": 1, "n": 0})
    cfg = configs()
    pool, model = cfg.bind(Pool), cfg.bind(Model)

    client.put({"size": 2, "n": 1})
    assert until(lambda: cfg.problem)
    assert (pool.value.size, model.value.n) == (1, 0)
    client.put({"size": 3, "n": 3})
    assert cfg.wait_for(2, 5)
    assert (pool.value.size, model.value.n) == (3, 3)


def test_the_reason_of_a_rejection_stays_for_as_long_as_the_document_is_current(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "_HELD", 1.0)
    client.put({"n": 0})
    cfg = configs()
    cfg.bind(Model)
    client.put({"n": 1})
    assert until(lambda: cfg.problem)

    forgotten = until(lambda: cfg.problem is None, 2.5)

    assert cfg["n"] == 0
    assert not forgotten
    # What is read is not what the server has: nobody confirmed it since.
    assert cfg.age is not None
    assert cfg.age > 2.4


def test_the_reason_of_a_rejection_comes_back_after_an_outage(
    client: Client, configs: Configs, proxy: Proxy
) -> None:
    client.put({"n": 0})
    cfg = configs(url=proxy.url)
    cfg.bind(Model)
    client.put({"n": 1})
    assert until(lambda: isinstance(cfg.problem, errors.Rejected))

    proxy.refuse()
    assert until(lambda: isinstance(cfg.problem, errors.Unreachable))
    proxy.resume()

    assert until(lambda: isinstance(cfg.problem, errors.Rejected))
    assert cfg["n"] == 0


def test_a_question_is_given_more_time_than_the_server_may_hold_it(
    client: Client,
    configs: Configs,
    proxy: Proxy,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[float, float]] = []
    ask = Transport.ask

    def note(transport: Transport, request: Request) -> Response:
        held = float(request.headers.get("Prefer", "wait=0").removeprefix("wait="))
        asked.append((held, request.timeout or transport.timeout))
        return ask(transport, request)

    monkeypatch.setattr(Transport, "ask", note)
    keep(tmp_path, proxy.url, name, {"n": 0})
    client.put({"n": 1})
    proxy.refuse()
    cfg = configs(url=proxy.url, snapshots=tmp_path, deadline=0.1)
    cfg.bind(Model)  # the first document that comes from the server is rejected
    proxy.resume()
    assert until(lambda: isinstance(cfg.problem, errors.Rejected))
    assert until(lambda: asked[-1][0] > 0)

    assert not [(held, timeout) for held, timeout in asked if timeout <= held]
    client.put({"n": 2})
    assert cfg.wait_for(1, 5)


@dataclass
class Node:
    v: int
    child: "Node | None" = None


def test_a_document_too_deep_for_the_program_is_rejected_for_as_long_as_it_is_current(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "_HELD", 0.5)
    client.put({"v": 0})
    cfg = configs()
    cfg.bind(Node)
    deep: dict[str, Any] = {"v": 1}
    for _ in range(60):
        deep = {"v": 1, "child": deep}
    convert = binding_module._convert
    # As if the stack were shorter; how deep it is differs between versions of Python.
    monkeypatch.setattr(binding_module, "_convert", partial(shallow, convert))
    client.put(deep)
    assert until(lambda: cfg.problem)

    assert not until(lambda: cfg.problem is None, 1.2)
    assert isinstance(cfg.problem, errors.Rejected)
    assert (cfg["v"], cfg.version) == (0, 0)


def shallow(convert: Callable[..., Any], kind: Any, value: Any, pointer: str, told: Any) -> Any:
    if pointer.count("/") > 40:
        raise RecursionError
    return convert(kind, value, pointer, told)


def test_what_could_not_be_taken_for_whatever_reason_is_asked_for_again(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    cfg = configs()
    fitted, broken = Config._fitted, threading.Event()
    broken.set()

    def fail(self: Config, value: Any) -> Any:
        if broken.is_set():
            raise MemoryError
        return fitted(self, value)

    monkeypatch.setattr(Config, "_fitted", fail)
    client.put({"n": 1})
    assert until(lambda: cfg.problem)
    assert not until(lambda: cfg.problem is None, 0.5)
    assert cfg["n"] == 0

    broken.clear()

    assert cfg.wait_for(1, 5)
    assert until(lambda: (cfg.problem, cfg["n"]) == (None, 1))


class Slow:
    """A model that takes its time the first time."""

    began = threading.Event()
    go_on = threading.Event()

    def __init__(self, n: int) -> None:
        self.n = n

    @classmethod
    def model_validate(cls, value: Mapping[str, Any]) -> "Slow":
        cls.began.set()
        assert cls.go_on.wait(10)
        return cls(value["n"])


def test_a_document_that_comes_while_a_binding_is_made_is_bound_as_well(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    cfg = configs()
    thread, came = in_thread(lambda: cfg.bind(Slow))
    assert Slow.began.wait(5)

    client.put({"n": 1})
    cfg.wait_for(1, 0.5)
    Slow.go_on.set()
    thread.join(5)

    assert cfg.wait_for(1, 5)
    assert until(lambda: came[0].value.n == 1)


# --- Config: starting without a server


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def test_without_a_server_it_starts_from_the_snapshot(
    client: Client, configs: Configs, proxy: Proxy, tmp_path: Path
) -> None:
    client.put({"n": 0})
    client.put({"n": 1})
    configs(url=proxy.url, snapshots=tmp_path).close()
    proxy.refuse()

    cfg = configs(url=proxy.url, snapshots=tmp_path, defaults={"n": -1}, deadline=0.2)

    assert (cfg["n"], cfg.version, cfg.source) == (1, 1, "snapshot")
    assert isinstance(cfg.problem, errors.Unreachable)
    assert (cfg.age, cfg.stale) == (None, True)
    proxy.resume()
    assert until(lambda: cfg.source == "server")
    assert (cfg.problem, cfg.stale) == (None, False)


def test_without_a_server_and_a_snapshot_it_starts_from_the_defaults(
    client: Client, configs: Configs, proxy: Proxy, tmp_path: Path
) -> None:
    client.put({"n": 0})
    proxy.refuse()
    cfg = configs(url=proxy.url, snapshots=tmp_path, defaults={"n": -1}, deadline=0.2)
    told: list[Any] = []
    cfg.on_change(lambda new, old: told.append((new, old)), pointer="/n")

    assert (cfg["n"], cfg.version, cfg.source) == (-1, None, "defaults")
    proxy.resume()
    assert until(lambda: cfg.source == "server")
    assert until(lambda: told == [(0, -1)])


def test_defaults_may_hold_what_json_does_not(client: Client, configs: Configs) -> None:
    cfg = configs(defaults={"folder": Path("x"), "names": {"a"}, "n": -1})
    told: list[Any] = []
    cfg.on_change(lambda new, old: told.append((new, old["folder"])))
    assert cfg["folder"] == Path("x")

    client.put({"folder": "y"})

    assert until(lambda: told == [({"folder": "y"}, Path("x"))])
    assert cfg.problem is None


def test_empty_defaults_are_defaults(configs: Configs, nowhere: str) -> None:
    assert configs(url=nowhere, defaults={}, deadline=0).source == "defaults"


UNREACHABLE = ["refused", "silent", "trickling", "garbled", "missing"]


@pytest.mark.parametrize(
    ("how", "defaults"),
    [*((how, None) for how in [*UNREACHABLE, "deaf"]), *((how, {"n": -1}) for how in UNREACHABLE)],
)
def test_the_start_never_takes_longer_than_its_deadline(
    client: Client, proxy: Proxy, name: str, how: str, defaults: Any
) -> None:
    client.put({"n": 0})
    proxy.plans += [Plan(pause=0.05)] * 9 if how == "trickling" else []
    proxy.silent = how == "silent"
    if how == "refused":
        proxy.refuse()
    service = f"{name}/no" if how == "missing" else name
    with closing(Stub(FOREIGN["junk"])) as stub, deaf_address() as deaf:
        url = {"deaf": deaf, "garbled": stub.url}.get(how, proxy.url)
        given = {"url": url, "snapshots": False, "deadline": 0.3, "backoff": QUICK}
        began = time.monotonic()
        if defaults is None:
            with pytest.raises(errors.NeverLoaded, match=service) as told:
                Config(service, **given)
            took = time.monotonic() - began
            assert len(told.value.detail) > 100  # it has the reason
        else:
            cfg = Config(service, **given, defaults=defaults)
            took = time.monotonic() - began
            assert cfg["n"] == -1
            began = time.monotonic()
            cfg.close()
            assert time.monotonic() - began < 5
        # Only the kernel can end what it began with the deaf.
        assert how == "deaf" or until(lambda: not threads_of(service))

    assert took < 5


def test_a_server_that_is_busy_for_a_moment_is_waited_for_until_the_deadline() -> None:
    with closing(Stub(problem_answer(503, "overloaded"), document_answer(b'{"n": 1}'))) as stub:
        cfg = Config("web", url=stub.url, snapshots=False, backoff=QUICK)
        cfg.close()

    assert (cfg["n"], cfg.source) == (1, "server")


@pytest.mark.parametrize("what", FOREIGN)
def test_whatever_answers_instead_of_a_server_a_live_configuration_stays_as_it_is(
    what: str,
) -> None:
    with closing(Stub(FOREIGN[what])) as stub:
        cfg = Config(
            "web",
            url=stub.url,
            snapshots=False,
            defaults={"n": 1},
            deadline=0.1,
            backoff=QUICK,
        )
        with closing(cfg):
            assert until(lambda: cfg.problem)
            assert cfg.value == {"n": 1}
            assert cfg["n"] == cfg.get("n") == 1
            assert cfg.source == "defaults"
            assert cfg.stale


# --- Config: a server that goes


def test_reads_never_fail_while_the_server_is_away_and_then_it_catches_up(
    client: Client, configs: Configs, proxy: Proxy
) -> None:
    client.put({"n": 0})
    cfg = configs(url=proxy.url)
    for n, away in enumerate([proxy.refuse, proxy.cut, lambda: setattr(proxy, "silent", True)], 1):
        away()
        client.put({"n": n})
        assert cfg["n"] in (n - 1, n)
        assert cfg.get("n", "x") in (n - 1, n)
        proxy.resume()
        proxy.cut()
        assert cfg.wait_for(n, 5)
        assert (cfg["n"], cfg.get("n")) == (n, n)
    assert until(lambda: cfg.problem is None)


def test_forty_configurations_recover_from_a_restart_without_a_failed_read(
    own_server: Server,
) -> None:
    own_server.api.put("web", {"n": 0})
    backoff = Backoff(0.05, 0.5)
    made = [Config("web", url=own_server.url, snapshots=False, backoff=backoff) for _ in range(40)]
    stop = threading.Event()

    def read() -> set[int]:
        seen = set()
        while not stop.is_set():
            for cfg in made:
                seen |= {cfg["n"], cfg.get("n"), cfg.value["n"]}
            time.sleep(0.01)
        return seen

    thread, came = in_thread(read)
    try:
        own_server.kill()
        assert until(lambda: all(isinstance(cfg.problem, errors.Unreachable) for cfg in made), 15)
        own_server.start()
        own_server.api.put("web", {"n": 1})
        assert all(cfg.wait_for(1, 15) for cfg in made)
        assert until(lambda: not any(cfg.problem for cfg in made), 15)
    finally:
        stop.set()
        thread.join(5)
        for cfg in made:
            cfg.close()
    assert came == [{0, 1}]


def test_many_clients_come_back_from_a_restart_spread_over_the_window_and_none_is_refused(
    own_server: Server, drill: bool
) -> None:
    number, window = (1_000, 6.0) if drill else (100, 2.0)
    own_server.api.put("web", {"n": 0})
    backoff = Backoff(0.1, window)
    made = [
        Config("web", url=own_server.url, snapshots=False, backoff=backoff) for _ in range(number)
    ]
    back: dict[int, float] = {}

    def note_who_comes_back() -> None:
        while len(back) < number:
            now = time.monotonic()
            back.update({i: now for i, cfg in enumerate(made) if i not in back and not cfg.problem})
            time.sleep(window / 100)

    try:
        own_server.kill()
        assert until(lambda: all(cfg.problem for cfg in made), 30)
        time.sleep(2 * window)  # their pauses grow meanwhile
        start_of_log = own_server.log.stat().st_size
        thread, _ = in_thread(note_who_comes_back)
        own_server.start()
        thread.join(window + 30)
    finally:
        for cfg in made:
            cfg.close()

    assert len(back) == number
    # Each draws any moment of the window, so a fifth comes in the first tenth, and who came while
    # the server was starting; without that all do.
    first = min(back.values())
    tenths = Counter(int((came - first) / window * 10) for came in back.values())
    assert max(tenths.values()) < number * 3 / 4, tenths
    own_server.stop()
    told = [line for line in logged(own_server, start_of_log) if line.get("event") == "request"]
    assert {line["status"] for line in told} <= {200, 304}


def logged(server: Server, start: int) -> list[dict[str, Any]]:
    """What the log of ``server`` has behind ``start`` bytes."""
    lines = server.log.read_bytes()[start:].decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_attempts_of_many_clients_spread_over_a_window_that_grows_to_its_limit() -> None:
    backoff = Backoff(first=0.2, most=30.0)
    for number, limit in [(1, 0.2), (2, 0.4), (5, 3.2), (9, 30.0), (10_000, 30.0)]:
        drawn = sorted(backoff.seconds(number) for _ in range(1_000))
        assert drawn[0] >= 0
        assert drawn[-1] <= limit
        assert abs(statistics.mean(drawn) - limit / 2) < limit * 0.05
        # No tenth of the window has much more than its share of the thousand.
        tenths = [sum(i <= each / limit * 10 < i + 1 for each in drawn) for i in range(10)]
        assert max(tenths) < 160


def test_forked_processes_do_not_draw_the_same_pauses() -> None:
    text = """
import os
from distributed_config.client import Backoff
backoff = Backoff(); backoff.seconds(1)
child = os.fork()
os.write(1, f"{backoff.seconds(9)}\\n".encode())
if child: os.wait()
"""
    first, second = script(text).stdout.split()
    assert first != second


def delete_service(api: Api, name: str) -> None:
    for each in api.versions(name):
        api.enable(name, each["number"], False)
    assert api.delete(name).status_code == 200


def test_a_service_that_is_disabled_and_enabled_again_is_read_throughout(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    cfg = configs()

    client.enable(0, False)
    assert until(lambda: isinstance(cfg.problem, errors.NoCurrentVersion))
    assert (cfg["n"], cfg.version, cfg.source) == (0, 0, "server")
    client.enable(0, True)
    client.put({"n": 1})
    assert cfg.wait_for(1, 5)
    assert until(lambda: cfg.problem is None)
    client.enable(1, False)
    assert until(lambda: cfg["n"] == 0)
    assert cfg.version == 0


@pytest.mark.parametrize("how", ["disabled", "away"])
def test_a_problem_that_has_passed_is_told_no_more_even_if_nothing_else_changed(
    client: Client, configs: Configs, proxy: Proxy, how: str
) -> None:
    client.put({"n": 0})
    cfg = configs(url=proxy.url)

    if how == "disabled":
        client.enable(0, False)
    else:
        proxy.refuse()
    assert until(lambda: cfg.problem)
    client.enable(0, True)
    proxy.resume()

    assert until(lambda: cfg.problem is None)


def test_a_service_that_is_deleted_and_made_anew_is_read_throughout(
    client: Client, configs: Configs, api: Api, name: str
) -> None:
    client.put({"n": 0})
    client.put({"n": 1})
    cfg = configs()

    delete_service(api, name)
    assert until(lambda: isinstance(cfg.problem, errors.ServiceNotFound))
    assert (cfg["n"], cfg.version) == (1, 1)
    client.put({"n": 2})
    assert until(lambda: cfg["n"] == 2)
    assert (cfg.version, cfg.problem) == (0, None)


def test_a_service_that_comes_later_is_read_when_it_comes(client: Client, configs: Configs) -> None:
    cfg = configs(defaults={"n": -1})
    assert isinstance(cfg.problem, errors.ServiceNotFound)

    client.put({"n": 0})

    assert until(lambda: cfg["n"] == 0)
    assert cfg.source == "server"


def test_clocks_that_jump_change_nothing(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    cfg = configs()
    for n, jump in enumerate([10 * 365 * 86_400.0, -20 * 365 * 86_400.0, 1e-9], 1):
        now = time.time()
        monkeypatch.setattr(time, "time", lambda now=now, jump=jump: now + jump)
        client.put({"n": n})
        assert cfg.wait_for(n, 5)
        assert not cfg.wait_for(99, 0.05)
        assert cfg.age is not None
        assert 0 <= cfg.age < 5
        assert not cfg.stale
        monkeypatch.undo()


# --- Config: its end


ENDINGS = ["held", "silent", "away", "pausing"]


@pytest.mark.parametrize("how", ENDINGS)
def test_closing_ends_the_background_quickly_and_reads_go_on(
    client: Client, proxy: Proxy, name: str, how: str
) -> None:
    client.put({"n": 0})
    slow = Backoff(first=30.0, most=30.0)
    cfg = Config(name, url=proxy.url, snapshots=False, backoff=slow if how == "pausing" else QUICK)
    if how == "silent":
        proxy.silent = True
    elif how in {"away", "pausing"}:
        proxy.refuse()
        assert until(lambda: cfg.problem)
    assert threads_of(name)

    began = time.monotonic()
    cfg.close()
    cfg.close()

    assert time.monotonic() - began < 5
    assert until(lambda: not threads_of(name))
    assert (cfg["n"], cfg.get("n"), cfg.version) == (0, 0, 0)


def test_closing_just_before_a_question_ends_it_as_well(
    client: Client, proxy: Proxy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    cfg = Config(name, url=proxy.url, snapshots=False, backoff=QUICK)
    transport = cfg._client.transport
    arrived, go_on = threading.Event(), threading.Event()
    connect = transport._new

    def hesitate() -> Any:
        arrived.set()
        go_on.wait(5)
        return connect()

    monkeypatch.setattr(transport, "_new", hesitate)
    proxy.cut()
    assert arrived.wait(5)
    closing_it, _ = in_thread(cfg.close)
    assert until(cfg._ended.is_set)
    proxy.silent = True
    go_on.set()

    assert until(lambda: not threads_of(name))
    closing_it.join(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_configuration_that_nobody_holds_ends_its_background(
    client: Client, server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "_HELD", 1.0)
    client.put({"n": 0})
    cfg = Config(name, url=server.url, snapshots=False, backoff=QUICK)
    gone = weakref.ref(cfg)
    assert threads_of(name)

    del cfg
    gc.collect()

    assert until(lambda: not threads_of(name))
    assert gone() is None


def test_a_configuration_that_nobody_holds_leaves_quietly(server: Server, client: Client) -> None:
    text = """
import gc, sys, threading, time
import distributed_config.client.live.config as module
module._HELD = 1.0
cfg = module.Config(sys.argv[2], url=sys.argv[1], snapshots=False)
del cfg
gc.collect()
deadline = time.monotonic() + 5
while threading.active_count() > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
"""
    client.put({"n": 0})

    done = script(text, server.url, client.service or "", env={**os.environ, "PYTHONDEVMODE": "1"})

    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_does_not_close_ends_at_once_and_quietly(
    client: Client, server: Server, name: str
) -> None:
    text = """
import sys, time
from distributed_config.client import Config
cfg = Config(sys.argv[2], url=sys.argv[1], snapshots=False)
print(cfg["n"])
"""
    client.put({"n": 0})
    began = time.monotonic()

    done = script(text, server.url, name)

    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert time.monotonic() - began < 10


FORKED = """
import json, os, sys, threading, time
from distributed_config.client import Client, Config
url, name = sys.argv[1:]
cfg = Config(name, url=url, snapshots=False)
told = []
cfg.on_change(lambda new, old: told.append(new), pointer="/n")
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        with Client(url, service=name) as client:
            good = cfg.wait_for(1, 5) and cfg["n"] == 1 and cfg.problem is None
            good = good and threading.active_count() == 2
            deadline = time.monotonic() + 5
            while not told and time.monotonic() < deadline:
                time.sleep(0.005)
            good = good and told == [1]
            cfg.close()
            good = good and threading.active_count() == 1
        os._exit(0 if good else 1)
    children.append(child)
with Client(url, service=name) as client:
    client.put({"n": 1})
    parent = cfg.wait_for(1, 5) and cfg["n"] == 1
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    client.put({"n": 2})
    print(json.dumps([parent, ended, cfg.wait_for(2, 5)]))
"""


def test_parent_and_children_of_a_fork_all_go_on(client: Client, server: Server, name: str) -> None:
    client.put({"n": 0})

    assert printed(script(FORKED, server.url, name)) == [True, [0, 0, 0], True]


FORKED_MIDWAY = """
import json, os, sys, threading, time
from distributed_config.client import Client, Config
url, name = sys.argv[1:]
parent, entered = os.getpid(), threading.Event()
class Careful:
    @classmethod
    def model_validate(cls, value):
        if value["n"] == 1 and os.getpid() == parent:
            entered.set()
            time.sleep(0.5)
        return value
cfg = Config(name, url=url, snapshots=False)
cfg.bind(Careful)
with Client(url, service=name) as client:
    client.put({"n": 1})
assert entered.wait(5)
child = os.fork()
good = cfg.wait_for(1, 5) and cfg["n"] == 1
if child == 0:
    os._exit(0 if good else 1)
print(json.dumps([good, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]))
"""


def test_a_child_forked_while_a_document_is_taken_takes_it_as_well(
    client: Client, server: Server, name: str
) -> None:
    client.put({"n": 0})

    assert printed(script(FORKED_MIDWAY, server.url, name)) == [True, 0]


FORKED_WITHOUT_A_FILE = """
import json, os, sys
from distributed_config.client import Client, Config
url, name, file = sys.argv[1:]
writer = Client(url, token="", service=name)
os.environ["DISTCONF_TOKEN_FILE"] = file
cfg = Config(name, url=url, snapshots=False)
os.unlink(file)
child = os.fork()
if child == 0:
    os._exit(0 if cfg.wait_for(1, 5) else 1)
writer.put({"n": 1})
print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


def test_a_child_goes_on_though_the_tokens_file_has_gone(
    client: Client, server: Server, name: str, tmp_path: Path
) -> None:
    client.put({"n": 0})
    (tmp_path / "token").write_text("")

    done = script(FORKED_WITHOUT_A_FILE, server.url, name, str(tmp_path / "token"))

    assert (printed(done), done.stderr) == (0, "")


# --- snapshots


TEXT = '{"n": 7, "text": "ü", "list": [1, 2, 3]}'


@pytest.fixture
def kept(tmp_path: Path) -> Snapshots:
    """Snapshots with one of ``web``."""
    made = Snapshots(tmp_path / "cache" / "snapshots", "http://server:5000")
    made.save("web", Snapshot(3, '"3.a.b"', TEXT))
    return made


def test_a_snapshot_comes_back_and_only_its_owner_may_read_it(
    kept: Snapshots, tmp_path: Path
) -> None:
    old = os.umask(0)
    try:
        kept.save("web", Snapshot(4, '"4.a.b"', TEXT))
    finally:
        os.umask(old)

    assert kept.load("web") == Snapshot(4, '"4.a.b"', TEXT)
    assert kept.path("web").stat().st_mode & 0o7777 == 0o600
    assert kept.path("web").parent.stat().st_mode & 0o7777 == 0o700
    assert kept.load("other") is None
    assert [each.name for each in kept.path("web").parent.iterdir()] == [kept.path("web").name]


def test_services_and_servers_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["web", "web/a", "web_a", "ö", "o", "x" * 200, "x" * 199 + "y", "Web"]
    for n, name in enumerate(names):
        for url in ("http://a", "http://b"):
            Snapshots(tmp_path, url).save(name, Snapshot(n, "", json.dumps({url: name})))

    for n, name in enumerate(names):
        for url in ("http://a", "http://b"):
            kept = Snapshots(tmp_path, url)
            assert kept.load(name) == Snapshot(n, "", json.dumps({url: name}))
            assert kept.path(name).parent == tmp_path


def test_no_flipped_bit_anywhere_makes_another_snapshot(
    kept: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "distributed_config")
    path = kept.path("web")
    whole, good = path.read_bytes(), kept.load("web")
    taken = []
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(whole):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                found = kept.load("web")
                if found is not None and found != good:
                    taken.append((place, bit, found.version, found.etag))
            os.pwrite(file.fileno(), bytes([byte]), place)

    assert kept.load("web") == good
    assert taken == []


def test_no_part_of_a_snapshot_is_taken_for_the_whole(kept: Snapshots) -> None:
    path = kept.path("web")
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert kept.load("web") is None
    for more in (b" ", b"\n", b"\x00" * 512, whole):
        path.write_bytes(whole + more)
        assert kept.load("web") is None


def spoiled(head: str, body: str = TEXT) -> bytes:
    return f"{head}\n{body}".encode()


HEADS = {
    "empty": b"",
    "zeros": bytes(4_096),
    "no JSON": b"\xff\xfe",
    "an array": spoiled("[]"),
    "null": spoiled("null"),
    "an empty object": spoiled("{}"),
    "very deep": spoiled("[" * 100_000),
}


@pytest.mark.parametrize("data", HEADS.values(), ids=HEADS)
def test_a_snapshot_that_is_something_else_counts_as_not_there(
    kept: Snapshots, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    kept.path("web").write_bytes(data)

    assert kept.load("web") is None
    assert kept.path("web").name in caplog.text


@pytest.mark.parametrize("version", ["1e999", "null", '"x"', "[]", "{}", "-1", "NaN", "9" * 5000])
def test_a_snapshot_with_an_impossible_version_counts_as_not_there(
    kept: Snapshots, version: str
) -> None:
    path = kept.path("web")
    path.write_bytes(path.read_bytes().replace(b'"version": 3', f'"version": {version}'.encode()))

    assert kept.load("web") is None


def test_a_snapshot_of_another_service_or_server_is_not_taken(
    kept: Snapshots, tmp_path: Path
) -> None:
    shutil.copy(kept.path("web"), kept.path("other"))
    elsewhere = Snapshots(kept.path("web").parent, "http://elsewhere:5000")
    shutil.copy(kept.path("web"), elsewhere.path("web"))

    assert kept.load("other") is None
    assert elsewhere.load("web") is None


def make_link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def link_to_a_good_one(path: Path) -> None:
    good = path.with_name("good")
    good.write_bytes(path.with_name("whole").read_bytes())
    good.chmod(0o600)
    path.symlink_to(good)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        old = Path.cwd()
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(old)


OBSTACLES: dict[str, Callable[[Path], Any]] = {
    "a link to a good one": link_to_a_good_one,
    "a link to zeros": make_link("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": make_link("nothing"),
    "a link to a terminal": make_link("/dev/tty"),
    "a fifo": os.mkfifo,
    "a socket": make_socket,
    "a folder": Path.mkdir,
    "a full folder": lambda path: (path / "x").mkdir(parents=True),
}


@pytest.mark.parametrize("place", OBSTACLES.values(), ids=OBSTACLES)
def test_what_lies_in_the_place_of_a_snapshot_is_not_followed_and_does_no_harm(
    client: Client, configs: Configs, tmp_path: Path, name: str, place: Callable[[Path], Any]
) -> None:
    client.put({"n": 0})
    path = keep(tmp_path, client.transport.url, f"{name}", {"n": "planted"})
    path.rename(path.with_name("whole"))
    place(path)
    target = path.with_name("good")
    before = target.read_bytes() if target.exists() else b""
    descriptors = len(list(Path("/dev/fd").iterdir()))

    assert Snapshots(tmp_path, client.transport.url).load(name) is None
    assert len(list(Path("/dev/fd").iterdir())) <= descriptors
    cfg = configs(snapshots=tmp_path)
    assert cfg["n"] == 0

    assert (target.read_bytes() if target.exists() else b"") == before
    assert path.is_dir() or until(lambda: path.lstat().st_mode == 0o100600)
    assert until(lambda: not list(tmp_path.glob(".*")))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o622])
def test_a_snapshot_that_others_may_write_to_is_not_taken(kept: Snapshots, mode: int) -> None:
    kept.path("web").chmod(mode)

    assert kept.load("web") is None


def test_a_snapshot_of_another_user_is_not_taken(kept: Snapshots) -> None:
    need(os.geteuid() == 0, "root, to give a file away")
    os.chown(kept.path("web"), NOBODY, NOBODY)

    assert kept.load("web") is None


FOLDERS = ["/dev/full", "/dev/null/x", "/proc/nothing", "/sys", f"/{'x' * 300}", "a\0b"]


@pytest.mark.parametrize("folder", FOLDERS, ids=ascii)
def test_a_folder_that_cannot_be_stops_nothing(
    client: Client, configs: Configs, folder: str
) -> None:
    kept = Snapshots(Path(folder), client.transport.url)
    kept.save("web", Snapshot(0, "", TEXT))
    assert kept.load("web") is None
    client.put({"n": 0})

    cfg = configs(snapshots=folder)

    assert (cfg["n"], cfg.source, cfg.problem) == (0, "server", None)
    client.put({"n": 1})
    assert cfg.wait_for(1, 5)


LOCKED = """
import json, logging, os, sys, tempfile
from pathlib import Path
from distributed_config.client import Client, Config
from distributed_config.client.live.snapshots import Snapshots
url, name, mode, nobody = sys.argv[1], sys.argv[2], int(sys.argv[3], 8), int(sys.argv[4])
Client(url).get(name)  # what is loaded only now cannot be read afterwards
Snapshots(Path("/nowhere"), "")
if os.geteuid() == 0:
    os.setgid(nobody)
    os.setuid(nobody)
with tempfile.TemporaryDirectory() as folder:
    inner = Path(folder, "snapshots")
    Config(name, url=url, snapshots=inner).close()
    before = sorted(each.name for each in inner.iterdir())
    inner.chmod(mode)
    with Config(name, url=url, snapshots=inner) as cfg, Client(url, service=name) as client:
        version = client.put({"n": mode + 1}).version
        followed = cfg.wait_for(version, 5)
    away = Config(name, url=url, snapshots=inner, deadline=0, defaults={"n": -1})
    away.close()
    inner.chmod(0o700)
    after = sorted(each.name for each in inner.iterdir())
print(json.dumps([followed, len(before), before == after, away.source != "nothing"]))
"""


@pytest.mark.parametrize("mode", ["500", "300", "000"], ids=["read-only", "unlisted", "locked"])
def test_a_folder_that_is_locked_stops_nothing(
    client: Client, server: Server, name: str, mode: str
) -> None:
    client.put({"n": 0})

    done = script(LOCKED, server.url, name, mode, str(NOBODY))

    assert printed(done) == [True, 1, True, True]
    if mode != "300":
        assert "cannot be kept" in done.stderr


def test_a_user_without_a_home_starts_as_well(client: Client, server: Server, name: str) -> None:
    need(os.geteuid() == 0, "root, to become a user that nobody knows")
    text = """
import json, os, sys
from distributed_config.client import Config
import distributed_config.client.live.config, distributed_config.client.live.snapshots
import encodings.idna, pwd
os.setgid(54321)
os.setuid(54321)
with Config(sys.argv[2], url=sys.argv[1]) as cfg:
    print(json.dumps(cfg["n"]))
"""
    client.put({"n": 0})
    hidden = {"HOME", "XDG_CACHE_HOME", "DISTCONF_SNAPSHOTS"}
    homeless = {key: value for key, value in os.environ.items() if key not in hidden}

    assert printed(script(text, server.url, name, env=homeless)) == 0


def test_the_folder_is_the_one_of_the_environment(
    client: Client, server: Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    for variable, value, folder in [
        ("XDG_CACHE_HOME", tmp_path / "xdg", tmp_path / "xdg" / "distconf"),
        ("DISTCONF_SNAPSHOTS", tmp_path / "own", tmp_path / "own"),
    ]:
        monkeypatch.setenv(variable, str(value))
        Config(name, url=server.url).close()
        assert len(list(folder.iterdir())) == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, gone at the end whatever happens."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False)
    need(mounted.returncode == 0, "the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_on_a_full_disk_the_last_snapshot_stays_whole_and_updates_go_on(
    client: Client, configs: Configs, tiny_disk: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    cfg = configs(snapshots=tiny_disk)
    kept = Snapshots(tiny_disk, client.transport.url)
    assert until(lambda: kept.load(name))

    client.put({"n": 1, "text": "x" * 100_000})
    assert cfg.wait_for(1, 5)
    assert until(lambda: "cannot be kept" in caplog.text)
    assert (cfg["n"], cfg.problem) == (1, None)
    last = kept.load(name)
    assert last is not None
    assert (last.version, json.loads(last.text)) == (0, {"n": 0})
    assert len(list(tiny_disk.iterdir())) == 1
    client.put({"n": 2})
    assert cfg.wait_for(2, 5)
    assert until(lambda: kept.load(name) == Snapshot(2, client.get().etag, '{"n": 2}'))


WRITER = """
import itertools, sys
from pathlib import Path
from distributed_config.client.live.snapshots import Snapshot, Snapshots
kept = Snapshots(Path(sys.argv[1]), "http://server")
print("ready", flush=True)
for n in itertools.count(int(sys.argv[2])):
    text = '{"n": %d, "text": "%s"}' % (n, str(n % 10) * (n * 7919 % 300_000))
    kept.save("web", Snapshot(n, f'"{n}"', text))
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_snapshot(tmp_path: Path) -> None:
    kept, last = Snapshots(tmp_path, "http://server"), -1
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(last + 1)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(random.uniform(0.005, 0.06))
            process.send_signal(signal.SIGKILL)
        found = kept.load("web")
        if found is None:
            assert last == -1
            assert not kept.path("web").exists()
            continue
        assert found.version >= last
        assert json.loads(found.text)["n"] == found.version
        last = found.version
    assert last > 5


def test_a_document_that_the_application_rejects_is_not_what_it_starts_from(
    client: Client, configs: Configs, proxy: Proxy, tmp_path: Path
) -> None:
    client.put({"n": 0})
    cfg = configs(url=proxy.url, snapshots=tmp_path)
    cfg.bind(Model)
    client.put({"n": 1})
    assert until(lambda: cfg.problem)
    cfg.close()
    proxy.refuse()

    again = configs(url=proxy.url, snapshots=tmp_path, deadline=0)

    assert (again["n"], again.source) == (0, "snapshot")
    assert again.bind(Model).value.n == 0


def test_a_start_while_a_rejected_document_is_current_begins_with_the_last_good_one(
    client: Client, configs: Configs, tmp_path: Path
) -> None:
    client.put({"n": 0})
    configs(snapshots=tmp_path, bind=Model).close()
    client.put({"n": 1})

    for _ in range(2):  # the second would tell if the first had overwritten the snapshot
        again = configs(snapshots=tmp_path, bind=Model)
        assert (again["n"], again.source) == (0, "snapshot")
        assert isinstance(again.problem, errors.Rejected)
        again.close()

    with configs(snapshots=tmp_path, bind=Model) as last:
        client.put({"n": 2})
        assert last.wait_for(2, 5)
        assert last.bind(Model).value.n == 2


def test_a_snapshot_that_does_not_fit_is_passed_over(
    proxy: Proxy, configs: Configs, name: str, tmp_path: Path
) -> None:
    keep(tmp_path, proxy.url, name, {"n": 1})
    proxy.refuse()

    cfg = configs(url=proxy.url, snapshots=tmp_path, deadline=0.1, bind=Model, defaults={"n": 5})

    assert (cfg.bind(Model).value.n, cfg.source) == (5, "defaults")


def test_defaults_that_do_not_fit_are_told_at_once(proxy: Proxy, configs: Configs) -> None:
    proxy.refuse()
    with pytest.raises(errors.Rejected, match="one is not allowed"):
        configs(url=proxy.url, deadline=0, bind=Model, defaults={"n": 1})


WRONG_DEFAULTS: dict[str, Any] = {"do not fit": {"n": 1}, "are a list": [1], "are text": "n"}


@pytest.mark.parametrize("wrong", WRONG_DEFAULTS.values(), ids=WRONG_DEFAULTS)
@pytest.mark.parametrize("reachable", [True, False])
def test_wrong_defaults_are_told_whether_or_not_they_are_needed(
    client: Client, configs: Configs, nowhere: str, wrong: Any, reachable: bool
) -> None:
    client.put({"n": 0})
    url = {} if reachable else {"url": nowhere}

    with pytest.raises((errors.Rejected, errors.Invalid)):
        configs(bind=Model, defaults=wrong, deadline=0.2, **url)

    assert not threads_of(client.service or "")


def test_drafts_that_were_never_finished_are_removed_at_the_next_start(
    configs: Configs, client: Client, tmp_path: Path, name: str
) -> None:
    client.put({"n": 0})
    path = Snapshots(tmp_path, client.transport.url).path(name)
    old, fresh = (path.with_name(f".{path.name}.{digit * 12}") for digit in "ab")
    for each in (old, fresh):
        each.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)

    Snapshots(tmp_path, client.transport.url).load(name)

    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_config_waits_for_as_long_as_an_overloaded_server_asks_it_to() -> None:
    answer = problem_answer(503, "overloaded", **{"Retry-After": "1"})
    with closing(Stub(answer)) as stub:
        cfg = Config("web", url=stub.url, snapshots=False, defaults={}, deadline=0, backoff=QUICK)
        assert until(lambda: stub.requests)
        time.sleep(0.8)
        asked = len(stub.requests)
        assert until(lambda: len(stub.requests) == 2)
        cfg.close()

    assert asked == 1


def test_a_folder_that_was_emptied_is_made_anew(
    client: Client, configs: Configs, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "a" / "b"
    kept = Snapshots(folder, client.transport.url)
    client.put({"n": 0})
    configs(snapshots=folder)
    assert until(lambda: kept.load(name))
    shutil.rmtree(tmp_path / "a")

    client.put({"n": 1})

    assert until(lambda: kept.load(name))


def test_what_was_filled_in_is_not_taken_for_the_document_itself(
    client: Client, configs: Configs, api: Api, proxy: Proxy, name: str, tmp_path: Path
) -> None:
    api.define(name, {"type": "object", "properties": {"port": {"type": "integer", "default": 1}}})
    client.put({"x": 1}, definition=name)
    for fill in (True, False):
        cfg = configs(url=proxy.url, snapshots=tmp_path, fill_defaults=fill)
        assert ("port" in cfg) is fill
        cfg.close()
    proxy.refuse()

    filled = configs(url=proxy.url, snapshots=tmp_path, fill_defaults=True, deadline=0.1)

    assert filled.source == "snapshot"
    assert filled.get("port") == 1


# --- integrations


NESTED = {"db": {"hosts": ["a", {"b": 1}]}, "n": 0}


def test_frameworks_get_settings_that_they_may_change(
    client: Client, server: Server, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client.put(NESTED)
    monkeypatch.setenv("DISTCONF_URL", server.url)
    monkeypatch.setenv("DISTCONF_SERVICE", name)
    monkeypatch.setenv("DISTCONF_SNAPSHOTS", str(tmp_path))
    django: dict[str, Any] = {}
    dynaconf: dict[str, Any] = {}
    app = flask.Flask("app")

    with into_django.load(django, name), into_flask.init_app(app, name) as cfg:
        into_dynaconf.load(dynaconf)
        for found in (django["DB"], dynaconf["db"], app.config["DB"]):
            assert found == NESTED["db"]
            found["hosts"][1].setdefault("c", 2)
            found["hosts"].append("d")
            found["port"] = 1
        assert cfg == NESTED
    assert until(lambda: not threads_of(name))


def test_dynaconf_is_told_what_fails_unless_it_wants_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("DISTCONF_SERVICE", raising=False)
    settings = {"kept": 1}

    into_dynaconf.load(settings, silent=True)
    assert (settings, "DISTCONF_SERVICE" in caplog.text) == ({"kept": 1}, True)
    with pytest.raises(errors.Invalid, match="DISTCONF_SERVICE"):
        into_dynaconf.load(settings, silent=False)


class Settings(dict[str, Any]):
    """An application's, in whose first update something else happens."""

    meanwhile: Callable[[], Any] | None = None

    def update(self, *given: Any, **named: Any) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        super().update(*given, **named)
        if meanwhile is not None:
            meanwhile()


def test_flask_follows_from_the_beginning_and_gets_back_what_it_had(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"testing": 1, "new": 1, "n": 0})
    cfg = configs()
    monkeypatch.setattr(into_flask, "Config", lambda service: cfg)
    app = SimpleNamespace(config=Settings(TESTING=False, N=-1), extensions={})
    app.config.meanwhile = lambda: cfg.wait_for(client.patch({"n": 1}).version, 5)

    assert into_flask.init_app(app, cfg.service) is cfg
    assert until(lambda: app.config == {"TESTING": 1, "NEW": 1, "N": 1})
    client.put({"n": 2})

    assert until(lambda: app.config == {"TESTING": False, "N": 2})


@pytest.mark.parametrize("key", ["logging", "app.logging", "log/x~y", "dotted.key"])
def test_levels_are_followed_wherever_they_are_and_given_back(
    client: Client, configs: Configs, name: str, key: str
) -> None:
    def document(**levels: Any) -> dict[str, Any]:
        return {"app": {"logging": levels}} if key == "app.logging" else {key: levels}

    root, other = logging.getLogger(), logging.getLogger(name)
    before = root.level
    other.setLevel(35)
    client.put(document(root="ERROR", **{name: "nonsense"}))
    end = follow_levels(configs(), key)
    try:
        assert (root.level, other.level) == (logging.ERROR, 35)
        client.put(document(root="CRITICAL", **{name: "debug"}))
        assert until(lambda: (root.level, other.level) == (logging.CRITICAL, logging.DEBUG))
        client.put({})
        assert until(lambda: (root.level, other.level) == (before, 35))
    finally:
        end()
        root.setLevel(before)


class Source:
    """What pydantic's settings have as the base of their sources."""

    def __init__(self, settings_cls: Any) -> None:
        self.settings_cls = settings_cls


def test_pydantics_settings_find_a_field_by_each_of_its_names(
    configs: Configs, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = SimpleNamespace(BaseSettings=object, PydanticBaseSettingsSource=Source)
    monkeypatch.setitem(sys.modules, "pydantic_settings", stand_in)
    module = importlib.import_module("distributed_config.client.integrations.pydantic_settings")
    monkeypatch.delitem(sys.modules, module.__name__)
    document = {"port": 1, "db_url": "pg", "db": {}, "list": [{"u": 7}], "alias": 2}
    cfg = configs(url=nowhere, defaults=document, deadline=0)

    def known(alias: Any = None, by: Any = None) -> Any:
        return SimpleNamespace(alias=alias, validation_alias=by)

    def path(*keys: Any) -> Any:
        return SimpleNamespace(path=list(keys))

    def asked(**config: Any) -> Any:
        fields = {
            "port": known(),
            "absent": known(),
            "alias": known("db_url", "db_url"),
            "several": known(by=SimpleNamespace(choices=[path("db", "no"), "first", "db_url"])),
            "inner": known(by=path("list", 0, "u")),
            "gone": known(by=path("list", 1)),
        }
        model = SimpleNamespace(model_fields=fields, model_config=config)
        return module.DistconfSource(model, cfg)()

    by_alias = {"port": 1, "db_url": "pg", "first": "pg", "list": [{"u": 7}]}
    assert asked() == by_alias
    assert asked(populate_by_name=True) == by_alias
    assert asked(validate_by_alias=False) == {"port": 1, "alias": 2}
    asked()["list"][0]["u"] = 8
    assert cfg.get("list") == [{"u": 7}]


# --- the package


LOADED = """
import json, sys
before = set(sys.modules)
import distributed_config.client
from distributed_config.client import *
found = {name: getattr(sys.modules[name], "__file__", "") for name in set(sys.modules) - before}
print(json.dumps(found))
"""


def test_the_client_loads_nothing_of_the_server_and_nothing_of_others() -> None:
    found: dict[str, str | None] = printed(script(LOADED))

    ours = {name for name in found if name.split(".")[0] == "distributed_config"}
    roots = {name.split(".")[1] for name in ours if "." in name}
    assert roots == {"client", "errors", "wire"}
    others = {name.split(".")[0] for name in set(found) - ours}
    assert {name for name in others if name not in sys.stdlib_module_names} == set()
    assert not [file for file in found.values() if file and "site-packages" in file]


STARTS = ["import distributed_config.client", "from distributed_config.client import *"]


@pytest.mark.parametrize("statement", STARTS)
def test_the_client_is_loaded_in_no_time(statement: str) -> None:
    # Of the processor: what else runs on the machine does not count.
    text = f"import time; began = time.process_time(); {statement}; "
    text += "print(time.process_time() - began)"

    assert min(printed(script(text)) for _ in range(4)) < 3 * 0.060


def oldest_python() -> str | None:
    """An interpreter of Python 3.10: on the path, or installed beside the one that runs this."""
    beside = sorted(Path(sys.base_prefix).parent.glob("3.10*/bin/python3.10"))
    for found in [shutil.which("python3.10"), *map(str, beside)]:
        if (
            found
            and subprocess.run([found, "-V"], capture_output=True, check=False).returncode == 0
        ):
            return found
    return None


@pytest.fixture(scope="module")
def python310() -> str:
    found = oldest_python()
    need(found is not None, "Python 3.10")
    assert found is not None
    return found


ON_310 = """
import enum, json, py_compile, sys, tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Tuple, Union
assert sys.version_info[:2] == (3, 10)
for path in [*Path("distributed_config/client").glob("*.py"), Path("distributed_config/errors.py")]:
    py_compile.compile(str(path), cfile=tempfile.mktemp(), doraise=True)
from distributed_config.client import *
@dataclass
class App:
    n: int
    hosts: List[str] = field(default_factory=list)
    by: "Dict[str, int] | None" = None
    either: Union[int, Tuple[int, ...]] = 0
    mode: Optional[Literal["a"]] = None
url, name, folder = sys.argv[1:]
with Client(url, service=name) as client:
    written = client.put({"n": 0, "hosts": ["a"], "by": {"x": 1}, "either": [1, 2], "mode": "a"})
    with Config(name, url=url, snapshots=folder) as cfg:
        bound = cfg.bind(App)
        assert bound.value == App(0, ["a"], {"x": 1}, (1, 2), "a"), bound.value
        told = []
        cfg.on_change(lambda new, old: told.append((new, old)), pointer="/n")
        client.patch({"n": 1}, note="für")
        assert cfg.wait_for(1, 5)
        assert bound.value.n == cfg["n"] == 1
    assert [each["number"] for each in client.history()] == [1, 0]
    assert next(client.changes(written.revision, services=[name])).changes
    try:
        client.get(version=9)
    except DistconfError as error:
        assert error.code == "version-not-found"
assert Config(name, url="http://127.0.0.1:1", snapshots=folder, deadline=0, defaults={}).source
print(json.dumps("done"))
"""


def test_client_and_config_work_on_the_oldest_python(
    server: Server, name: str, tmp_path: Path, python310: str
) -> None:
    done = script(ON_310, server.url, name, str(tmp_path), python=python310)

    assert printed(done) == "done"


def test_faults_are_told_on_the_oldest_python_as_on_any(python310: str) -> None:
    text = """
import json
from dataclasses import dataclass
from distributed_config.client.live.binding import bind as bound
from distributed_config.errors import Rejected
@dataclass
class App:
    hosts: list[str]
    by: dict[str, int]
    pair: tuple[int, str]
try:
    bound(App, {"hosts": "a", "by": 1, "pair": {}})
except Rejected as error:
    print(json.dumps([each.pointer for each in error.problems]))
"""
    wanted = ["/hosts", "/by", "/pair"]

    assert printed(script(text)) == wanted
    assert printed(script(text, python=python310)) == wanted


def test_what_is_read_has_the_types_that_are_told(client: Client) -> None:
    client.put({"n": 0})

    read = client.get()

    assert isinstance(read, Configuration)
    with pytest.raises(AttributeError):
        read.version = 5  # type: ignore[misc]
