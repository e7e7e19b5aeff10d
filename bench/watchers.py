"""Very many watchers in one process: says when each event has reached the last of them.

Run by ``bench/streams.py``: ``python -m bench.watchers PORT WATCHERS EVENTS``. Prints ``ready``
when all are connected, and at the end one line of JSON.
"""

import asyncio
import json
import sys
import time

_PATIENCE = 60


class _Watcher(asyncio.Protocol):
    """One stream, read as raw bytes: parsing would cost more than what is measured."""

    def __init__(self, all_: "_All") -> None:
        self._all = all_
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(
            b"GET /api/v1/changes HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        self._all.greeted += data.count(b"event: hello")
        self._all.events += (seen := data.count(b"event: changes"))
        if seen:
            self._all.last = time.monotonic()
            self._all.check()
        self._rest = data[-12:] if not seen and b"event: hello" not in data else b""

    def connection_lost(self, _exc: Exception | None) -> None:
        self._all.lost += 1


class _All:
    def __init__(self, watchers: int) -> None:
        self.watchers = watchers
        self.greeted = self.events = self.lost = 0
        self.last = 0.0
        self.delivered: list[float] = []

    def check(self) -> None:
        """Notes when an event has reached everybody."""
        if self.events == self.watchers * (len(self.delivered) + 1):
            self.delivered.append(self.last)


async def _main(port: int, watchers: int, events: int) -> None:
    loop = asyncio.get_running_loop()
    all_ = _All(watchers)
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
    asyncio.run(_main(*map(int, sys.argv[1:])))
