"""Events that are written to connections at once are those that tasks would send, byte for byte."""

import json
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from typing import Any

import pytest

from tests.support.feed import head_of, random_filter, random_write
from tests.support.server import Server
from tests.support.subscribers import WAYS, FramesReader, Watcher, frame_of, request_for
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


def test_watchers_of_a_dialect_hear_the_same_with_direct_events_and_without(
    servers: list[Server], name: str
) -> None:
    """Its messages have no event and no id, and there are no heartbeats."""
    api = servers[0].api
    api.put(name, {"n": 0})
    request = request_for("websocket", 80, {}, {}, target="/config/updates")
    with ExitStack() as opened:
        pair = [Listener(server.port, request) for server in servers]
        for each in pair:
            opened.callback(each.sock.close)
        until(lambda: all(b"\r\n\r\n" in each.came for each in pair))
        for number in range(1, 20):
            api.put(name, {"n": number, "text": "x" * number * 20})
            # No key of the dialect changes with this.
            assert api.define(f"{name}-{number}", {}).status_code == 201
        last = b"x" * 19 * 20
        until(lambda: all(last in each.heard for each in pair), 10)

        until(lambda: pair[0].heard == pair[1].heard, 10)


_ENDS = [
    b"",
    frame_of(0x8, b"\x03\xe8bye"),
    frame_of(0x8, b"\x03\xe9"),
    frame_of(0x8, b"!"),
    frame_of(0x1, b"\xff"),
    frame_of(0x0, b"a part of nothing"),
    frame_of(0x5, b""),
    b"\x81\x02{}",
    b"\x81\xff" + bytes(8),
    b"garbage of several bytes",
]


def _conversation(choose: random.Random) -> bytes:
    """What a client may say: pings of both kinds, in one piece or in parts, and other things."""
    said = b""
    for number in range(choose.randrange(4, 12)):
        ping = json.dumps({"ping": [number, "é" * choose.randrange(60)]}).encode()
        cut = choose.randrange(len(ping))
        between = frame_of(0x9, b"between %d" % number) if number % 2 else b""
        said += choose.choice(
            [
                frame_of(0x1, ping),
                frame_of(0x1, ping[:cut], end=False) + between + frame_of(0x0, ping[cut:]),
                frame_of(0x9, b"%d" % number) + frame_of(0xA, b"unasked"),
                frame_of(0x2, ping) + frame_of(0x1, ping[:cut]),
            ]
        )
    return said


def _say(watcher: Watcher, said: bytes, choose: random.Random) -> None:
    """Send ``said`` cut anywhere."""
    watcher.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while said:
        size = choose.choice([1, 2, 3, 7, 40, 1_000])
        watcher.sock.sendall(said[:size])
        said = said[size:]
        time.sleep(choose.choice([0, 0, 0.001]))


def _answers(reader: FramesReader) -> tuple[list[bytes], list[Any]]:
    """Pings of the two kinds overtake each other where tasks answer them."""
    return reader.pongs, [said for said in reader.said if said["event"] == "pong"]


def test_conversations_are_alike_with_direct_events_and_without(
    servers: list[Server], name: str, drill: bool
) -> None:
    api = servers[0].api
    seeds = range(60 if drill else 12)
    ready = threading.Event()  # the writes may end

    def write() -> None:
        for number in count():
            api.put(name, {"n": number})
            if ready.wait(0.01):
                return

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for seed in seeds:
            choose = random.Random(seed)
            said, end = _conversation(choose), _ENDS[seed % len(_ENDS)]
            heard = [_heard(server, name, said, end, seed) for server in servers]
            assert heard[0] == heard[1], f"seed {seed}"
    finally:
        ready.set()
        writing.join()


def _heard(server: Server, name: str, said: bytes, end: bytes, seed: int) -> list[Any]:
    """What a server answers while it has something to tell: the answers, and how it closes."""
    asked = b'{"ping": "is that all?"}'
    with closing(Watcher(server.port, "websocket", service=name)) as watcher:
        assert watcher.next().name == "hello"
        _say(watcher, said + frame_of(0x1, asked), random.Random(seed))
        watcher.wait_for(lambda reader: {"event": "pong", "pong": "is that all?"} in reader.said)
        watcher.news()
        if end:
            watcher.sock.sendall(end)
            watcher.rest(10)
        reader = watcher.reader
        assert isinstance(reader, FramesReader)
        events = [each["revision"] for each in reader.said if each["event"] == "changes"]
        assert events == list(range(events[0], events[0] + len(events)))
        return [_answers(reader), reader.closed]
