"""Log lines of all requests, and counts of responses from the cache, written in batches.

A cached response takes ten microseconds; writing its line and counting it one by one would take
longer than that. And each line that a thread writes by itself is a system call, at which it gives
the interpreter to another thread and has to wait for it again.
"""

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from distributed_config.asgi.response_cache import CachedResponse
from distributed_config.live import metrics

_FLUSH_SECONDS = 0.1
_MOST_LINES = 5_000


class AccessLog:
    """Collects lines, and writes them ten times in a second; call ``flush`` at the end.

    It is for the event loop; what ``writes`` returns is for any thread.
    """

    def __init__(self, log_requests: bool, text_format: bool) -> None:
        self._log_requests = log_requests
        self._text_format = text_format
        self._lines: deque[str] = deque()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._second = 0
        self._timestamp = ""
        self._timer: asyncio.TimerHandle | None = None
        self._serials = count()
        self._prefix = ""

    def request_id(self) -> bytes:
        """Return an id that no other request has, in any process."""
        if not self._prefix:
            # Drawn on first use, which is after the fork: workers must not share it.
            self._prefix = os.urandom(6).hex()
        return f"{self._prefix}-{next(self._serials):x}".encode()

    def record(self, cached: CachedResponse, request_id: bytes, client: str, began: float) -> None:
        """Record one cached response to a request that began at ``began`` (``perf_counter``)."""
        self._counts[cached.metric_labels] += 1
        if self._log_requests:
            self._lines.append(self._line(cached, request_id.decode("latin-1"), client, began))
        self.arm()

    @property
    def writes(self) -> Callable[[str], None] | None:
        """What takes a whole line of JSON, in any thread; ``arm`` has to follow. None: nothing.

        Text is for people at a terminal, who want to see it at once.
        """
        return None if self._text_format else self._lines.append

    def arm(self) -> None:
        """See to it that what was collected is written soon."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        elif len(self._lines) >= _MOST_LINES:
            self._timer.cancel()
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        self._timer = None
        for labels, number in self._counts.items():
            metrics.REQUESTS.labels(*labels).inc(number)
            metrics.REPLAYED.labels(labels[-1]).inc(number)
        self._counts.clear()
        # One by one, because threads go on adding lines.
        data = "".join([self._lines.popleft() for _ in range(len(self._lines))]).encode()
        # A log that cannot be written must not take the responses with it.
        with suppress(OSError):
            while data:
                data = data[os.write(1, data) :]

    def _line(self, cached: CachedResponse, request_id: str, client: str, began: float) -> str:
        # Formatted by hand in the form of http/request_log.py: structlog would take longer than
        # the response did.
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._timestamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        elapsed = (time.perf_counter() - began) * 1000
        timestamp = f"{self._timestamp}.{int((now - second) * 1_000_000):06d}Z"
        if self._text_format:
            return (
                f"{timestamp} [info     ] request  {cached.log_fields} ms={elapsed:.3f} "
                f"client={client} request_id={request_id} replayed=True\n"
            )
        return (
            f'{{"event": "request", {cached.log_fields}, "ms": {elapsed:.3f}, '
            f'"client": "{client}", "request_id": "{request_id}", "replayed": true, '
            f'"level": "info", "timestamp": "{timestamp}"}}\n'
        )
