"""Streams of changes to very many watchers.

A watcher holds nothing but a cursor. One task of the process reads the journal when it moves and
keeps what is newest in memory; then it wakes, some at a time, the watchers who want any of it, and
each sends what lies behind its cursor. Who is further behind reads from the database. So a slow
watcher costs nobody anything: its own sending waits, and its cursor with it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from distributed_config.asgi.places import Place
from distributed_config.asgi.response_cache import is_expired
from distributed_config.live import metrics
from distributed_config.live.feed import (
    DELETION_KINDS,
    SECRET_KINDS,
    EncodedMessage,
    Feed,
    Page,
    RevisionEvents,
    Subscription,
    concerns_rights,
)
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.store.watermarks import Watermarks

T = TypeVar("T")

HEARTBEAT = 10.0
"""Seconds after which a watcher hears something, if only that the stream is alive."""

_LOOK_EVERY = 0.01
_PAUSE = 0.002
_LONGEST_PAUSE = 0.2
_AFTER_FAILURE = 1.0
_WOKEN_AT_ONCE = 64
_SEEN_AT_ONCE = 512
_MOST_BYTES = 8 << 20
_PATIENCE = 30.0  # for one that does not read

_logger = logging.getLogger(__name__)

_CATCH_UP = EncodedMessage(-1, [], Subscription(LOCAL_OPERATOR, 0, ""))
"""In place of news: there is more of it than one thing."""

Tell = Callable[[int, EncodedMessage | None], Awaitable[None]]
"""Tells a watcher that it is at a revision now, and what happened there; None is a heartbeat."""


class _Subscriber:
    """One who watches: where it is, and what it waits for."""

    __slots__ = ("cursor", "ended", "sending_since", "task", "until", "waiting", "watch")

    def __init__(
        self, watch: Subscription, task: "asyncio.Task[object]", until: int | None
    ) -> None:
        self.watch = watch
        self.until = until
        self.ended = False
        self.cursor = watch.after
        self.task = task
        self.waiting: asyncio.Future[EncodedMessage | None] | None = None
        self.sending_since = 0.0

    def news_of(self, moments: list[RevisionEvents]) -> EncodedMessage | None:
        """What there is for it in ``moments``: what it is told, or _LOOK; None: nothing."""
        found = [each for each in moments if each.revision > self.cursor]
        if len(found) == 1:
            return found[0].told_to(self.watch)
        return _CATCH_UP if any(each.wanted_by(self.watch) for each in found) else None

    def end(self) -> None:
        """Lets it go, once it has sent what it is sending; it is told nothing more."""
        self.ended = True
        self.wake(_CATCH_UP)

    def wake(self, news: EncodedMessage | None) -> int:
        """Ends its wait; how many were woken. None is a heartbeat."""
        if self.waiting is None or self.waiting.done():
            return 0
        self.waiting.set_result(news)
        return 1


class Streams:
    """The streams of one process."""

    def __init__(self, feed: Feed, marks: Watermarks, threads: Executor) -> None:
        self._feed = feed
        self._marks = marks
        self._threads = threads
        self._watchers: set[_Subscriber] = set()
        self._newest: deque[RevisionEvents] = deque()
        self._bytes = 0
        # All that lies behind _first, up to and with _last, is in _newest.
        self._first = self._last = 0
        self._beginning: asyncio.Future[None] | None = None
        self._broadcasting: asyncio.Task[None] | None = None
        self._closing = False
        self._with_previous = False

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def is_closing(self) -> bool:
        """Whether every watcher is let go, because the process ends."""
        return self._closing

    def close(self) -> None:
        """Lets every watcher go, now and from now on."""
        self._closing = True
        for watcher in self._watchers:
            watcher.wake(_CATCH_UP)

    async def follow(
        self, watch: Subscription, tell: Tell, until: int | None, place: Place
    ) -> None:
        """Tells ``watch`` what it wants to hear of until the process ends or it is dropped.

        It is dropped when it does not read, when its rights change, when its place is taken away,
        and after ``until`` in microseconds.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # the server runs every request in a task
        watcher = _Subscriber(watch, task, until)
        watcher.ended, place.leave = place.is_lost, watcher.end
        self._watchers.add(watcher)
        metrics.WATCHERS.inc()
        if watch.encoder.with_previous and not self._with_previous:
            # What is in memory lacks the previous documents; these subscribers begin after it.
            self._with_previous = True
            self._first = self._last
        try:
            await self._begin()
            # From here on every change of rights is heard of; this is for those just before.
            if watch.actor not in await self._read(partial(self._feed.may_still, {watch.actor})):
                return
            # One frame for all of it: ten thousand watchers have ten thousand of each.
            while not (self._closing or watcher.ended):
                if watcher.cursor < self._last:
                    await self._catch_up(watcher, tell)
                    continue
                watcher.waiting = loop.create_future()
                news = await watcher.waiting
                if news is _CATCH_UP:
                    continue
                if is_expired(watcher.until):
                    return
                watcher.sending_since = time.monotonic()
                await tell(watcher.cursor, news)
                watcher.sending_since = 0.0
                if news is not None:
                    watcher.cursor = max(watcher.cursor, news.revision)
        finally:
            self._watchers.discard(watcher)
            metrics.WATCHERS.dec()

    async def _catch_up(self, watcher: _Subscriber, tell: Tell) -> None:
        """Sends what lies behind the cursor: from memory if it is new enough for that."""
        if watcher.cursor >= self._first:
            page = Page(self._behind(watcher.cursor), self._last)
        else:
            page = await self._read(partial(self._feed.of, watcher.watch, watcher.cursor))
        for moment in page.moments:
            if watcher.ended or is_expired(watcher.until):
                watcher.ended = True
                return
            told = moment.told_to(watcher.watch)
            if told is not None:
                watcher.sending_since = time.monotonic()
                await tell(moment.revision, told)
                watcher.sending_since = 0.0
            watcher.cursor = moment.revision
        watcher.cursor = max(watcher.cursor, page.upto)

    def _behind(self, cursor: int) -> list[RevisionEvents]:
        """The newest moments behind ``cursor``; most often that is the last one."""
        found: list[RevisionEvents] = []
        for moment in reversed(self._newest):
            if moment.revision <= cursor:
                break
            found.append(moment)
        return found[::-1]

    async def _read(self, ask: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    # --- the one task that reads for all

    async def _begin(self) -> None:
        """Makes sure that the journal is followed; it is, for as long as anybody watches."""
        if self._beginning is None:
            self._beginning = asyncio.ensure_future(self._look_first())
        try:
            await asyncio.shield(self._beginning)
        except Exception:  # whatever it is: the next watcher tries again
            self._beginning = None
            raise
        if self._broadcasting is None:
            self._broadcasting = asyncio.get_running_loop().create_task(self._broadcast())

    async def _look_first(self) -> None:
        self._newest.clear()
        self._bytes = 0
        self._first = self._last = await self._read(self._feed.head)

    async def _broadcast(self) -> None:
        pause, alive = _PAUSE, time.monotonic()
        while self._watchers and not self._closing:
            if time.monotonic() - alive > HEARTBEAT:
                alive = time.monotonic()
                self._drop_the_stuck()
                await self._wake(None)
            if self._marks.head <= self._last:
                await asyncio.sleep(_LOOK_EVERY)
                continue
            page = await self._next_page()
            if page is not None and page.upto > self._last:
                pause = _PAUSE
                if concerns_rights(page.moments):
                    await self._drop_the_changed()
                self._keep(page)
                await self._wake(page.moments)
            else:
                # The mark is raised just before the commit: the first look may be too early.
                await asyncio.sleep(pause if page is not None else _AFTER_FAILURE)
                pause = min(_LONGEST_PAUSE, pause * 2)
        self._beginning = self._broadcasting = None

    async def _next_page(self) -> Page | None:
        """What is new; None if that cannot be read just now."""
        try:
            return await self._read(
                partial(self._feed.all, self._last, with_previous=self._with_previous)
            )
        except Exception:  # whatever it is, the watchers wait for what comes after it
            _logger.exception("the journal could not be read for the streams")
            return None

    def _keep(self, page: Page) -> None:
        for moment in page.moments:
            self._forget_deleted(moment)
            self._forget_unmarked(moment)
            self._newest.append(moment)
            self._bytes += moment.size
        self._last = page.upto
        while self._bytes > _MOST_BYTES and self._newest:
            gone = self._newest.popleft()
            self._bytes -= gone.size
            self._first = gone.revision

    def _forget_deleted(self, news: RevisionEvents) -> None:
        """What was deleted is told to nobody any more who comes from before."""
        for change in (entry.change for entry in news.entries):
            if change.kind in DELETION_KINDS and change.service is not None:
                for moment in self._newest:
                    moment.forget(change.organisation_id, change.service, change.number)

    def _forget_unmarked(self, news: RevisionEvents) -> None:
        """What may be secret now is read again, for those who come from before."""
        if any(entry.change.kind in SECRET_KINDS for entry in news.entries) and self._newest:
            self._newest.clear()
            self._bytes = 0
            self._first = news.revision - 1

    async def _wake(self, moments: list[RevisionEvents] | None) -> None:
        """Wakes those who want any of ``moments``; None: everybody, for a heartbeat.

        Some at a time: reads are answered in between.
        """
        woken = 0
        for seen, watcher in enumerate(list(self._watchers)):
            news = None if moments is None else watcher.news_of(moments)
            if moments is None or news is not None:
                woken += watcher.wake(news)
            elif watcher.waiting is not None and not watcher.waiting.done():
                watcher.cursor = max(watcher.cursor, self._last)
            if woken >= _WOKEN_AT_ONCE or seen % _SEEN_AT_ONCE == _SEEN_AT_ONCE - 1:
                woken = 0
                await asyncio.sleep(0)

    def _drop_the_stuck(self) -> None:
        """Ends the streams of those who have not read for long; each can go on where it was.

        And those whose tokens have ended.
        """
        oldest = time.monotonic() - _PATIENCE
        for watcher in list(self._watchers):
            if 0 < watcher.sending_since < oldest:
                watcher.task.cancel()
            elif is_expired(watcher.until):
                watcher.end()

    async def _drop_the_changed(self) -> None:
        """Ends the streams of those who may now do something else than when they began.

        They come again, and are told what they may hear now; or that they may not.
        """
        actors = {watcher.watch.actor for watcher in self._watchers}
        try:
            good = await self._read(partial(self._feed.may_still, actors))
        except Exception:  # whatever it is: who cannot be looked at is let go
            _logger.exception("the rights of watchers could not be read")
            good = {}
        for watcher in list(self._watchers):
            if watcher.watch.actor in good:
                watcher.until = good[watcher.watch.actor]  # a rotated token ends after all
            else:
                watcher.end()
