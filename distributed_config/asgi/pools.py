"""Threads for requests, and how long a request may wait for one."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from distributed_config.live import metrics

T = TypeVar("T")

Work = Callable[[float], T]
"""What a thread runs; the argument is the seconds that the request waited for the thread."""


class Late(Exception):
    """No thread was free in time; the work was not begun, and never will be."""


class Pool:
    """Some threads, and the requests that wait for one of them.

    ``patience`` is how many seconds a request may wait; None: without a limit. It counts from the
    arrival, so that the end of a long queue is refused together with its beginning, instead of
    starting to wait only when its turn has come.
    """

    def __init__(self, name: str, threads: int, patience: float | None = None) -> None:
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.active = 0
        """How many requests are served by a thread, or wait for one."""
        self._patience = patience

    async def run(self, work: Work[T]) -> T:
        """Run ``work`` in a thread and return its result. Raises Late."""
        arrived = time.monotonic()
        future = self.executor.submit(lambda: work(time.monotonic() - arrived))
        self.active += 1
        metrics.QUEUE.inc()
        try:
            result = asyncio.wrap_future(future)
            await asyncio.wait([result], timeout=self._patience)
            # cancel() decides the race: it fails once a thread has begun the work.
            if not result.done() and future.cancel():
                raise Late
            return await result
        finally:
            future.cancel()  # the client may have disconnected
            self.active -= 1
            metrics.QUEUE.dec()

    def shutdown(self) -> None:
        """Wait for running work, and accept no more."""
        self.executor.shutdown()
