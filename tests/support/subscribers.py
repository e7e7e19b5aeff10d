"""Subscribers of the feed, in every way that there is."""

import base64
import json
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

PATH = "/api/v1/changes"
EVENTS = "text/event-stream"
WAYS = ("events", "websocket")
_KEY = base64.b64encode(b"sixteen bytes it").decode()


@dataclass(frozen=True)
class Event:
    """One event, whichever way it came. A heartbeat is called ``alive``."""

    name: str
    revision: int
    data: dict[str, Any]
    at: float
    retry: int | None = None

    @property
    def changes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.data["changes"]
        return found


class Ended(Exception):
    """The other side ended the stream."""


class Reader:
    """Understands what a server sends, however the bytes are cut."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.closed: tuple[int, str] | None = None
        self.complete = False
        self._raw = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        self._raw += data
        if not self.status and not self._read_head():
            return []
        return list(self._events())

    def _read_head(self) -> bool:
        head, end, rest = bytes(self._raw).partition(b"\r\n\r\n")
        if not end:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in self.headers, f"{name} comes twice"
            self.headers[name.lower()] = value.strip()
        self._raw = bytearray(rest)
        return True

    def _events(self) -> Iterator[Event]:
        raise NotImplementedError


class EventsReader(Reader):
    """Server-sent events, as the HTML standard has them, in a chunked answer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = b""
        self._id = 0

    def _events(self) -> Iterator[Event]:
        self.body += b"".join(self._parts())
        if self.headers.get("content-type", "").startswith(EVENTS):
            assert b"\r" not in self.body, "a carriage return ends a line, and so splits an event"
            *blocks, self.body = self.body.split(b"\n\n")
            for block in blocks:
                yield self._event(block)

    def _parts(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding") != "chunked":
            yield bytes(self._raw)
            self._raw.clear()
            return
        while (end := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:end], 16)
            if len(self._raw) < end + 2 + size + 2:
                return
            part = bytes(self._raw[end + 2 : end + 2 + size])
            assert self._raw[end + 2 + size : end + 4 + size] == b"\r\n"
            del self._raw[: end + 4 + size]
            self.complete = size == 0
            yield part

    def _event(self, block: bytes) -> Event:
        fields: dict[str, str] = {}
        for line in block.decode("utf-8").split("\n"):
            name, _, value = line.partition(":")
            assert name in {"", "id", "event", "data", "retry"}, f"not a field: {line[:200]!r}"
            assert name not in fields, f"{name} comes twice in one event"
            fields[name] = value.removeprefix(" ")
        revision, dot, epoch = fields["id"].partition(".")
        assert dot, "an id without its epoch"
        assert epoch, "an id without its epoch"
        self._id = int(revision)
        retry = int(fields["retry"]) if "retry" in fields else None
        name = fields.get("event", "alive")
        data = json.loads(fields["data"]) if "data" in fields else {"revision": self._id}
        assert name == "alive" or data["revision"] == self._id
        return Event(name, self._id, data, time.monotonic(), retry)


class FramesReader(Reader):
    """WebSocket frames, as RFC 6455 has a server send them."""

    def __init__(self) -> None:
        super().__init__()
        self.pongs: list[bytes] = []
        self.said: list[dict[str, Any]] = []

    def _events(self) -> Iterator[Event]:
        while (frame := self._frame()) is not None:
            code, payload = frame
            if code == 0x1:
                said = json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
                self.said.append(said)
                if "revision" in said:
                    yield Event(said["event"], said["revision"], said, time.monotonic())
            elif code == 0x8:
                (status,) = struct.unpack("!H", payload[:2])
                self.closed = (status, payload[2:].decode("utf-8"))
            else:
                assert code == 0xA, f"an unexpected frame {code:#x}"
                self.pongs.append(payload)

    def _frame(self) -> tuple[int, bytes] | None:
        raw = self._raw
        if len(raw) < 2:
            return None
        assert raw[0] & 0xF0 == 0x80, "a whole frame without reserved bits"
        assert raw[1] < 0x80, "a server does not mask"
        size, start = raw[1], 2
        if size > 125:
            start = 4 if size == 126 else 10
            if len(raw) < start:
                return None
            size = int.from_bytes(raw[2:start])
        if len(raw) < start + size:
            return None
        frame = raw[0] & 0x0F, bytes(raw[start : start + size])
        del raw[: start + size]
        return frame


def _refuse_constant(text: str) -> Any:
    raise AssertionError(f"{text} is not JSON")


def reader_for(way: str) -> Reader:
    return EventsReader() if way == "events" else FramesReader()


def request_for(
    way: str, port: int, query: dict[str, Any], headers: dict[str, str], target: str = PATH
) -> bytes:
    """The request that begins a stream. A query that is None leaves its parameter out."""
    asked = urlencode({k: v for k, v in query.items() if v is not None}, doseq=True)
    lines = {"Host": f"127.0.0.1:{port}"}
    if way == "events":
        lines["Accept"] = EVENTS
    else:
        lines |= {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}
        lines |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": _KEY}
    text = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **headers}.items())
    return f"GET {target}?{asked} HTTP/1.1\r\n{text}\r\n".encode()


_NO_MASK = b"\0\0\0\0"  # a mask as good as any other, and quick


def _masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def frame_of(
    code: int, payload: bytes, *, end: bool = True, mask: bytes = b"\x01\x80\x7f\xff"
) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", code | end << 7, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", code | end << 7, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", code | end << 7, 0x80 | 127, size)
    masked = payload if mask == _NO_MASK else _masked(payload, mask)
    return head + mask + masked


class Watcher:
    """One connection that watches. ``next`` is the next event; it waits for it."""

    def __init__(
        self,
        port: int,
        way: str,
        *,
        headers: dict[str, str] | None = None,
        target: str = PATH,
        buffer: int = 0,
        **query: Any,
    ) -> None:
        self.way = way
        self.reader = reader_for(way)
        self.sock = socket.socket()
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(request_for(way, port, query, headers or {}, target))
        self.heard = 0
        self._waiting: deque[Event] = deque()

    def close(self) -> None:
        self.sock.close()

    def next(self, seconds: float = 5.0) -> Event:
        """Raises Ended when the stream has ended, and TimeoutError."""
        deadline = time.monotonic() + seconds
        while not self._waiting:
            self._receive(deadline)
        self.heard += 1
        return self._waiting.popleft()

    def status(self, seconds: float = 5.0) -> int:
        """The status of the answer, as soon as that is here."""
        deadline = time.monotonic() + seconds
        while not self.reader.status:
            self._receive(deadline)
        return self.reader.status

    def problem(self, seconds: float = 5.0) -> dict[str, Any]:
        """The whole body of a refusal."""
        assert isinstance(self.reader, EventsReader)
        deadline = time.monotonic() + seconds
        while len(self.reader.body) < int(self.reader.headers.get("content-length", 1)):
            self._receive(deadline)
        assert self.reader.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.reader.body)
        assert found["status"] == self.reader.status
        return found

    def close_code(self, seconds: float = 5.0) -> tuple[int, str]:
        """How a WebSocket ends that tells nothing."""
        assert isinstance(self.reader, FramesReader)
        self.rest(seconds)
        assert self.reader.said == []
        assert self.reader.closed is not None
        return self.reader.closed

    def news(self, seconds: float = 5.0) -> Event:
        """The next event that tells of changes."""
        deadline = time.monotonic() + seconds
        while (event := self.next(deadline - time.monotonic())).name != "changes":
            assert event.name == "alive", f"{event.name} in the middle"
        return event

    def upto(self, revision: int, seconds: float = 5.0) -> list[Event]:
        """All news up to and with that of ``revision``."""
        deadline = time.monotonic() + seconds
        found = [self.news(seconds)]
        while found[-1].revision < revision:
            found.append(self.news(deadline - time.monotonic()))
        assert found[-1].revision == revision
        return found

    def silence(self, seconds: float) -> None:
        """Fails if there are news within this time."""
        with suppress(TimeoutError):
            event = self.news(seconds)
            raise AssertionError(f"unwanted: {event.data}")

    def rest(self, seconds: float = 5.0) -> list[Event]:
        """What comes before the end of the stream, which must come."""
        deadline = time.monotonic() + seconds
        with suppress(Ended):
            while True:
                self._receive(deadline)
        found = list(self._waiting)
        self._waiting.clear()
        return found

    def send(self, code: int, payload: bytes, **rest: Any) -> None:
        self.sock.sendall(frame_of(code, payload, **rest))

    def say(self, value: Any) -> None:
        self.send(0x1, json.dumps(value).encode())

    def wait_for(self, seen: Callable[[FramesReader], Any], seconds: float = 5.0) -> None:
        """Until a WebSocket has said what ``seen`` looks for."""
        assert isinstance(self.reader, FramesReader)
        deadline = time.monotonic() + seconds
        while not seen(self.reader):
            self._receive(deadline)

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing came; status {self.reader.status}")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionError:
            raise Ended from None
        if not data:
            raise Ended
        was_closed = self.reader.closed
        self._waiting += self.reader.feed(data)
        if self.reader.closed is not None and was_closed is None:
            with suppress(ConnectionError):  # it may not wait for an answer
                self.send(0x8, struct.pack("!H", self.reader.closed[0]))
