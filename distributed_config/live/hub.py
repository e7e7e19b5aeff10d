"""Waiting for commits: for many coroutines at once, and for a thread."""

import asyncio
import time

from distributed_config.live.exchange import Validity
from distributed_config.store.watermarks import Watermarks

# A commit of another process raises no signal here, so somebody has to look. Ten milliseconds is
# below what people notice, and costs about nothing, because one task looks for all.
POLL_SECONDS = 0.01

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.2


class Backoff:
    """Growing pauses between a raised watermark and the reads that look for its commit.

    The watermark is raised just before the commit, never after it, so that nothing stale is
    served. The price is paid here: a read right after the raise may come too early, and if the
    writer died in between, the commit never comes.
    """

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE

    def pause(self, at_most: float = _LONGEST_PAUSE) -> float:
        """Return the seconds to sleep now, at most ``at_most``; the next pause is twice as long."""
        seconds = min(self._next, max(at_most, 0.0))
        self._next = min(_LONGEST_PAUSE, self._next * 2)
        return seconds

    def reset(self) -> None:
        """Begin again with the shortest pause, after a read that found the commit."""
        self._next = _FIRST_PAUSE


class Hub:
    """Lets many coroutines of one process wait for commits while one task polls for all."""

    def __init__(self, watermarks: Watermarks) -> None:
        self._watermarks = watermarks
        self._moved: asyncio.Future[None] | None = None
        # Kept because the event loop holds tasks weakly: without it the task could be collected.
        self._polling: asyncio.Task[None] | None = None
        self._closing = False

    async def wait_until_stale(self, validity: Validity, seconds: float) -> bool:
        """Wait until ``validity`` no longer holds; return False if that takes over ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            # Read before the word is compared: whatever is raised after the comparison moves the
            # head away from this value, and so cannot be missed.
            seen = self._watermarks.head
            if not self._watermarks.covers(validity.basis, validity.revision):
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self._closing:
                return False
            await asyncio.wait([self._next_move(seen)], timeout=remaining)

    def close(self) -> None:
        """End every wait, now and from now on."""
        self._closing = True
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)

    def _next_move(self, seen: int) -> "asyncio.Future[None]":
        """Return a future that is done once the head leaves ``seen``.

        An earlier waiter may have seen less, and be done sooner; all of them compare again then.
        """
        if self._moved is None or self._moved.done():
            loop = asyncio.get_running_loop()
            self._moved = loop.create_future()
            self._polling = loop.create_task(self._poll(self._moved, seen))
        return self._moved

    async def _poll(self, moved: "asyncio.Future[None]", seen: int) -> None:
        while not moved.done() and self._watermarks.head == seen:
            await asyncio.sleep(POLL_SECONDS)
        if not moved.done():
            moved.set_result(None)


def block_until_stale(watermarks: Watermarks, validity: Validity, seconds: float) -> bool:
    """Block the thread until ``validity`` no longer holds; return False if time is up first."""
    deadline = time.monotonic() + seconds
    while watermarks.covers(validity.basis, validity.revision):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
