"""Who waits for which revision."""

import asyncio
import time

from distributed_config.live.exchange import Validity
from distributed_config.store.watermarks import Watermarks

_LOOK_EVERY = 0.01


class Hub:
    """Lets many coroutines of one process wait for commits; one of them looks for all."""

    def __init__(self, marks: Watermarks) -> None:
        self._marks = marks
        self._moved: asyncio.Future[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closing = False

    async def outdated(self, basis: Validity, seconds: float) -> bool:
        """Waits until ``basis`` no longer holds; False when the time is up before that."""
        deadline = time.monotonic() + seconds
        while True:
            # Read before the word is looked at: whatever is raised after that look moves it.
            seen = self._marks.head
            if not self._marks.covers(basis.word, basis.revision):
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self._closing:
                return False
            await asyncio.wait([self._next_move(seen)], timeout=remaining)

    def close(self) -> None:
        """Lets everybody who waits go, now and from now on."""
        self._closing = True
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)

    def _next_move(self, seen: int) -> "asyncio.Future[None]":
        """Done as soon as the head is not at ``seen``, or at what one who came before saw."""
        if self._moved is None or self._moved.done():
            loop = asyncio.get_running_loop()
            self._moved = loop.create_future()
            self._looking = loop.create_task(self._look(self._moved, seen))
        return self._moved

    async def _look(self, moved: "asyncio.Future[None]", seen: int) -> None:
        while not moved.done() and self._marks.head == seen:
            await asyncio.sleep(_LOOK_EVERY)
        if not moved.done():
            moved.set_result(None)


def wait_outdated(marks: Watermarks, basis: Validity, seconds: float) -> bool:
    """The same for a thread."""
    deadline = time.monotonic() + seconds
    while marks.covers(basis.word, basis.revision):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_EVERY)
    return True
