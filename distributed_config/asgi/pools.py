"""Threads for requests, and how long a request may wait for one."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from distributed_config.live import metrics

T = TypeVar("T")

Work = Callable[[float], T]
"""What a thread does; it is given the seconds that the request has waited for the thread."""


class Late(Exception):
    """No thread was free in time; the work was not begun, and never will be."""


class Pool:
    """Some threads, and the requests that wait for one of them.

    ``patience`` is how many seconds a request may wait; None: until there is a thread. It counts
    from the arrival, so those who wait at the end of a long queue are answered when it is over
    as well, instead of beginning to wait again when it is their turn.
    """

    def __init__(self, name: str, threads: int, patience: float | None = None) -> None:
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.asked = 0
        """How many are served by a thread, or wait for one."""
        self._patience = patience

    async def run(self, work: Work[T]) -> T:
        """What ``work`` returns. Raises Late."""
        arrived = time.monotonic()
        begun = self.executor.submit(lambda: work(time.monotonic() - arrived))
        self.asked += 1
        metrics.QUEUE.inc()
        try:
            answer = asyncio.wrap_future(begun)
            await asyncio.wait([answer], timeout=self._patience)
            if not answer.done() and begun.cancel():
                raise Late
            return await answer
        finally:
            begun.cancel()  # whoever asked may be gone
            self.asked -= 1
            metrics.QUEUE.dec()

    def shutdown(self) -> None:
        """Waits for what is being done, and does nothing any more."""
        self.executor.shutdown()
