"""Events that are written to connections at once are those that tasks would send, byte for byte."""

import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.feed import head_of, random_filter, random_write
from tests.support.server import Server
from tests.support.subscribers import WAYS, request_for
from tests.support.waiting import until


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two servers of one database: the first leaves all events to tasks."""
    folder = tmp_path_factory.mktemp("direct") / "instance"
    with Server(folder, direct_events=False) as ordinary, Server(folder) as direct:
        yield [ordinary, direct]


# Each server sends its own, at its own times.
_HEARTBEAT = re.compile(
    rb'[0-9a-f]+\r\n: alive\nid: [^\n]*\n\n\r\n|\x81.\{"event": "alive"[^}]*\}', re.DOTALL
)

# How soon to come back is random.
_RETRY = re.compile(rb"[0-9a-f]+\r\nretry: \d+\n")


class Listener:
    """Everything that comes on one stream, after the head of the response."""

    def __init__(self, port: int, request: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.sock.sendall(request)
        self.came = b""
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def heard(self) -> bytes:
        heard = _HEARTBEAT.sub(b"", self.came.partition(b"\r\n\r\n")[2])
        return _RETRY.sub(b"", heard, count=1)

    def _listen(self) -> None:
        try:
            while data := self.sock.recv(1 << 16):
                self.came += data
        except OSError:  # closed by the test
            return


def test_streams_are_alike_with_direct_events_and_without(
    servers: list[Server], name: str, drill: bool
) -> None:
    api = servers[0].api
    choose = random.Random(12)
    api.put(f"{name}/a", {"n": 0})
    query = {"after": head_of(api)}
    everything = [(way, query) for way in WAYS]
    documents = [(way, {**query, "service": "kept", "include": "document"}) for way in WAYS]
    # Without documents: one that is deleted is told to whoever reads it before that, and no other.
    some = [
        (WAYS[i % 2], {**query, **random_filter(name, choose), "include": None}) for i in range(20)
    ]
    asked = everything + documents + some
    with ExitStack() as opened:

        def listen(server: Server, way: str, wanted: dict[str, Any]) -> Listener:
            listener = Listener(server.port, request_for(way, server.port, wanted, {}))
            opened.callback(listener.sock.close)
            return listener

        pairs = [[listen(server, way, wanted) for server in servers] for way, wanted in asked]
        for number in range(1_000 if drill else 100):
            random_write(api, name, choose, number)
            api.put("kept", {"n": number})

        last = str(head_of(api)).encode()
        until(lambda: all(last in each.heard for pair in pairs[:4] for each in pair), 20)
        until(lambda: all(ordinary.heard == direct.heard for ordinary, direct in pairs), 10)
        assert sum(len(ordinary.heard) for ordinary, _ in pairs) > 10_000


def test_a_response_without_a_beginning_has_its_head_before_its_first_event(
    servers: list[Server],
) -> None:
    """gunicorn keeps the head until there is something to send after it."""
    request = (
        b"GET /config/updates HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    )
    listener = Listener(servers[1].port, request)
    try:
        until(lambda: listener.came)
        assert listener.came.startswith(b"HTTP/1.1 200 ")
        servers[1].api.put("head", {"n": 1})
        until(lambda: b"\r\n\r\n" in listener.came and b"event: changes" in listener.heard)
    finally:
        listener.sock.close()
