"""Lines and counts of replayed reads, gathered and written a few times a second.

A replayed read takes some thirty microseconds; writing its line and counting it one by one would
take as long again.
"""

import asyncio
import os
import time
from collections import Counter
from contextlib import suppress
from itertools import count

from distributed_config.asgi.response_cache import CachedResponse
from distributed_config.live import metrics

_FLUSH_EVERY = 0.1
_MOST_LINES = 5_000


class AccessLog:
    """Call ``note`` for each replayed read, from the event loop; ``flush`` at the end."""

    def __init__(self, log_requests: bool, text_format: bool) -> None:
        self._log_requests = log_requests
        self._text_format = text_format
        self._lines: list[str] = []
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._second = 0
        self._stamp = ""
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = count()
        self._prefix = ""

    def request_id(self) -> bytes:
        """An id that no other request has, in whichever process."""
        if not self._prefix:
            self._prefix = os.urandom(6).hex()  # drawn after the fork
        return f"{self._prefix}-{next(self._numbers):x}".encode()

    def note(self, replay: CachedResponse, request_id: bytes, client: str, began: float) -> None:
        """Counts one replayed read that began at ``began`` on the performance counter."""
        self._counts[replay.counted] += 1
        if self._log_requests:
            self._lines.append(self._line(replay, request_id.decode("latin-1"), client, began))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_EVERY, self.flush)
        elif len(self._lines) >= _MOST_LINES:
            self._timer.cancel()
            self.flush()

    def flush(self) -> None:
        """Writes what has been gathered."""
        self._timer = None
        for counted, number in self._counts.items():
            metrics.REQUESTS.labels(*counted).inc(number)
            metrics.REPLAYED.labels(counted[-1]).inc(number)
        self._counts.clear()
        data = "".join(self._lines).encode()
        self._lines = []
        # A log that cannot be written must not take the answers with it.
        with suppress(OSError):
            while data:
                data = data[os.write(1, data) :]

    def _line(self, replay: CachedResponse, request_id: str, client: str, began: float) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        spent = (time.perf_counter() - began) * 1000
        stamp = f"{self._stamp}.{int((now - second) * 1_000_000):06d}Z"
        if self._text_format:
            return (
                f"{stamp} [info     ] request  {replay.logged} ms={spent:.3f} client={client} "
                f"request_id={request_id} replayed=True\n"
            )
        return (
            f'{{"event": "request", {replay.logged}, "ms": {spent:.3f}, "client": "{client}", '
            f'"request_id": "{request_id}", "replayed": true, "level": "info", '
            f'"timestamp": "{stamp}"}}\n'
        )
