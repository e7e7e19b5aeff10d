"""Very many subscribers in one process, and when each event has reached the last of them.

Run by ``bench/streams.py``: ``python -m bench.watchers KIND PORT WATCHERS EVENTS``. Prints
``ready`` when all are connected, and at the end one line of JSON.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass

_PATIENCE = 60


@dataclass(frozen=True)
class _Kind:
    """What a subscriber sends, and the bytes by which it recognises the greeting and an event."""

    request: bytes
    greeting: bytes
    event: bytes


_WATCH_ETCD = b'{"create_request": {"key": "YmVuY2g="}}'
_KINDS = {
    "ours": _Kind(
        b"GET /api/v1/changes HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n",
        b"event: hello",
        b"event: changes",
    ),
    # Each watches the resolved document of a service of its own.
    "layers": _Kind(
        b"GET /api/v1/changes?service=rests/%d&environment=default&resolved=true HTTP/1.1\r\n"
        b"Host: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n",
        b"event: hello",
        b"event: changes",
    ),
    "bare": _Kind(b"GET / HTTP/1.1\r\n\r\n", b"event: hello", b"event: changes"),
    "etcd": _Kind(
        b"POST /v3/watch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s"
        % (len(_WATCH_ETCD), _WATCH_ETCD),
        b'"created":true',
        b'"events":[',
    ),
    "redis": _Kind(b"SUBSCRIBE bench\r\n", b"$9\r\nsubscribe", b"$7\r\nmessage"),
}


class _Watcher(asyncio.Protocol):
    """One stream, read as raw bytes: parsing would cost more than what is measured."""

    def __init__(self, all_: "_All") -> None:
        self._all = all_
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._all.next_request())

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = 0
        for match in self._all.marks.finditer(data):
            end = match.end()
            if match[0] == self._all.kind.greeting:
                self._all.greeted += 1
            else:
                self._all.events += 1
                self._all.last = time.monotonic()
                self._all.check()
        self._rest = data[max(end, len(data) - 20) :]  # half a mark may be left

    def connection_lost(self, _exc: Exception | None) -> None:
        self._all.lost += 1


class _All:
    """What all subscribers have received so far."""

    def __init__(self, kind: _Kind, watchers: int) -> None:
        self.kind = kind
        self.marks = re.compile(re.escape(kind.greeting) + b"|" + re.escape(kind.event))
        self.watchers = watchers
        self.connected = self.greeted = self.events = self.lost = 0
        self.last = 0.0
        self.delivered: list[float] = []

    def next_request(self) -> bytes:
        """Return what the next subscriber sends; it may have its number in it."""
        self.connected += 1
        request = self.kind.request
        return request % (self.connected - 1) if b"%d" in request else request

    def check(self) -> None:
        """Record when an event has reached everybody."""
        if self.events == self.watchers * (len(self.delivered) + 1):
            self.delivered.append(self.last)


async def _main(kind: str, port: int, watchers: int, events: int) -> None:
    loop = asyncio.get_running_loop()
    all_ = _All(_KINDS[kind], watchers)
    for start in range(0, watchers, 200):
        some = range(start, min(start + 200, watchers))
        await asyncio.gather(
            *(loop.create_connection(lambda: _Watcher(all_), "127.0.0.1", port) for _ in some)
        )
    while all_.greeted < watchers:
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    deadline = time.monotonic() + _PATIENCE
    while len(all_.delivered) < events and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    missed = watchers * events - all_.events
    print(json.dumps({"delivered": all_.delivered, "missed": missed, "lost": all_.lost}))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], *map(int, sys.argv[2:])))
