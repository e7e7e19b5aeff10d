"""Streams of events to very many subscribers.

A subscriber holds nothing but a cursor. One task of the process reads the journal when it moves
and holds the newest revisions in memory; then it notifies, some at a time, the subscribers who
receive any of it, and each sends what comes after its cursor. Those further back read from the
database. So a slow subscriber costs nobody anything: its own sending waits, and its cursor too.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary, ref

from distributed_config.asgi.direct_events import Direct
from distributed_config.asgi.places import Place
from distributed_config.asgi.recent_events import RecentEvents
from distributed_config.asgi.response_cache import is_expired
from distributed_config.asgi.subscriber import CATCH_UP, Messages, Subscriber
from distributed_config.live import metrics
from distributed_config.live.feed import (
    EncodedMessage,
    Feed,
    Page,
    RevisionEvents,
    Subscription,
    concerns_rights,
)
from distributed_config.live.hub import POLL_SECONDS, Backoff
from distributed_config.store.watermarks import Watermarks

T = TypeVar("T")

HEARTBEAT = 10.0
"""Seconds after which a subscriber hears something, if only that the stream is alive."""

_AFTER_FAILURE = 1.0
_NOTIFIED_AT_ONCE = 64
_SCANNED_AT_ONCE = 512
_SEND_SECONDS = 30.0  # a client that takes longer to read one message is dropped

_logger = logging.getLogger(__name__)

Deliver = Callable[[int, EncodedMessage | None], Awaitable[None]]
"""Sends to a subscriber: the revision it is at now, and a message; None is a heartbeat."""

_Attend = Callable[[Subscriber, Deliver], Awaitable[None]]


class Streams:
    """The streams of one process."""

    def __init__(self, feed: Feed, watermarks: Watermarks, threads: Executor) -> None:
        self._feed = feed
        self._watermarks = watermarks
        self._threads = threads
        self._subscribers: set[Subscriber] = set()
        # One description for all subscribers who want the same, as long as there are any.
        self._wanted: WeakKeyDictionary[Subscription, ref[Subscription]] = WeakKeyDictionary()
        self._recent = RecentEvents()
        self._starting: asyncio.Future[None] | None = None
        self._broadcasting: asyncio.Task[None] | None = None
        self._closing = False
        self._with_previous = False

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def is_closing(self) -> bool:
        """Whether every stream is being ended, because the process ends."""
        return self._closing

    def close(self) -> None:
        """End every stream, now and from now on."""
        self._closing = True
        for subscriber in self._subscribers:
            subscriber.notify(CATCH_UP)

    async def serve(
        self,
        subscription: Subscription,
        deliver: Deliver,
        expires_at: int | None,
        place: Place,
        *,
        direct: Direct | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> bool:
        """Deliver the events of ``subscription`` until the stream ends; then return true.

        With ``direct``, this returns false as soon as there is nothing to deliver: the stream goes
        on without the caller's task, and ``on_end`` is called when it ends.

        The stream ends with the process, when the client does not read, when the actor's rights
        change, when ``place`` is taken away, and at ``expires_at`` in microseconds.
        """
        task = asyncio.current_task()
        assert task is not None  # the server runs every request in a task
        subscriber = self._add(subscription, expires_at, place, direct=direct, on_end=on_end)
        subscriber.task = task
        try:
            await self._begin(subscriber, deliver)
        finally:
            if subscriber.resume is None:
                self._forget(subscriber)
        return subscriber.resume is None

    def take_on(
        self,
        subscription: Subscription,
        expires_at: int | None,
        place: Place,
        *,
        direct: Direct,
        on_end: Callable[[], None],
    ) -> None:
        """Deliver the events of ``subscription`` without the caller's task, as ``serve`` goes on.

        ``on_end`` is called when the stream has ended.
        """
        subscriber = self._add(subscription, expires_at, place, direct=direct, on_end=on_end)
        direct.connection.detach(partial(self._lose, subscriber))
        self._give_task(subscriber, direct, self._begin)

    def _add(
        self,
        subscription: Subscription,
        expires_at: int | None,
        place: Place,
        *,
        direct: Direct | None,
        on_end: Callable[[], None] | None,
    ) -> Subscriber:
        subscriber = Subscriber(
            self._share(replace(subscription, after=0, reset=False)),
            subscription.after,
            expires_at=expires_at,
            direct=direct,
            on_end=on_end,
        )
        subscriber.ended, place.leave = place.is_lost, subscriber.end
        self._subscribers.add(subscriber)
        metrics.WATCHERS.inc()
        if subscription.encoder.with_previous and not self._with_previous:
            # What is in memory lacks the previous documents; these subscribers begin after it.
            self._with_previous = True
            self._recent.begin_after(self._recent.last)
        return subscriber

    def _share(self, wanted: Subscription) -> Subscription:
        """Return the subscription that all have who want the same."""
        found = self._wanted.get(wanted)
        shared = None if found is None else found()
        if shared is None:
            shared = wanted
            self._wanted[wanted] = ref(wanted)
        return shared

    async def _begin(self, subscriber: Subscriber, deliver: Deliver) -> None:
        """Deliver to a new subscriber."""
        await self._start()
        # From here on every change of rights arrives as an event. This look is for those between
        # the check of the request and now.
        actor = subscriber.subscription.actor
        if actor in await self._run(partial(self._feed.reauthorise, {actor})):
            await self._attend(subscriber, deliver)

    async def _attend(self, subscriber: Subscriber, deliver: Deliver) -> None:
        """Deliver until the stream ends, or has nothing to deliver and goes on without a task."""
        while not (self._closing or subscriber.ended):
            if subscriber.cursor < self._recent.last:
                await self._catch_up(subscriber, deliver)
                continue
            if subscriber.direct is not None:
                self._detach(subscriber, subscriber.direct)
                return
            subscriber.waiting = asyncio.get_running_loop().create_future()
            message = await subscriber.waiting
            if message is CATCH_UP:
                continue
            if is_expired(subscriber.expires_at):
                return
            subscriber.sending_since = time.monotonic()
            await deliver(subscriber.cursor, message)
            subscriber.sending_since = 0.0
            if message is not None:
                subscriber.cursor = max(subscriber.cursor, message.revision)

    def _forget(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)
        metrics.WATCHERS.dec()

    # --- streams that wait without a task

    def _detach(self, subscriber: Subscriber, direct: Direct) -> None:
        """Let the stream wait without a task, until there is more to do than to write an event."""
        subscriber.resume = partial(self._resume, subscriber, direct)
        subscriber.task = None
        direct.connection.detach(partial(self._lose, subscriber))

    def _resume(self, subscriber: Subscriber, direct: Direct) -> None:
        subscriber.resume = None
        self._give_task(subscriber, direct, self._attend)

    def _give_task(self, subscriber: Subscriber, direct: Direct, attend: _Attend) -> None:
        loop = asyncio.get_running_loop()
        subscriber.task = loop.create_task(self._go_on(subscriber, direct, attend))

    async def _go_on(self, subscriber: Subscriber, direct: Direct, attend: _Attend) -> None:
        """Deliver to a detached connection, until the stream ends or waits without a task again."""
        connection, framing = direct.connection, direct.framing

        async def deliver(revision: int, message: EncodedMessage | None) -> None:
            await connection.send(framing.encode(subscriber.subscription, revision, message))

        try:
            await attend(subscriber, deliver)
            if subscriber.resume is None:
                last = framing.end_of_process if self._closing else framing.end_of_stream
                await connection.end(last)
        except asyncio.CancelledError:
            connection.break_off()
            raise
        except Exception:  # whatever it is: half an event must not be followed by another
            _logger.exception("a stream broke off")
            connection.break_off()
        finally:
            if subscriber.resume is None:
                self._end(subscriber)

    def _lose(self, subscriber: Subscriber) -> None:
        """End a stream whose connection is lost, or was ended by the client."""
        subscriber.ended = True
        if subscriber.resume is not None:
            subscriber.resume = None
            self._end(subscriber)
        elif subscriber.sending_since and subscriber.task is not None:
            # Only while it sends, which may wait for ever now. A task that is cancelled before its
            # first step does not even clean up; every other one sees by itself that it has ended.
            subscriber.task.cancel()

    def _end(self, subscriber: Subscriber) -> None:
        self._forget(subscriber)
        if subscriber.on_end is not None:
            subscriber.on_end()

    async def _catch_up(self, subscriber: Subscriber, deliver: Deliver) -> None:
        """Send what comes after the cursor: from memory if it is recent enough for that."""
        if subscriber.cursor >= self._recent.first:
            page = Page(self._recent.after(subscriber.cursor), self._recent.last)
        else:
            page = await self._run(
                partial(self._feed.read_for, subscriber.subscription, subscriber.cursor)
            )
        for revision in page.revisions:
            # Checked for each, because sending may take long.
            if subscriber.ended or is_expired(subscriber.expires_at):
                subscriber.ended = True
                return
            message = revision.message_for(subscriber.subscription)
            if message is not None:
                subscriber.sending_since = time.monotonic()
                await deliver(revision.revision, message)
                subscriber.sending_since = 0.0
            subscriber.cursor = revision.revision
        subscriber.cursor = max(subscriber.cursor, page.up_to)

    async def _run(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    # --- the one task that reads for all

    async def _start(self) -> None:
        """Make sure that the broadcast runs; it does for as long as there are subscribers."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._read_head())
        try:
            # Shielded: a client that disconnects must not cancel the start for all the others.
            await asyncio.shield(self._starting)
        except Exception:  # whatever it is: the next subscriber tries again
            self._starting = None
            raise
        if self._broadcasting is None:
            self._broadcasting = asyncio.get_running_loop().create_task(self._broadcast())

    async def _read_head(self) -> None:
        self._recent.begin_after(await self._run(self._feed.head))

    async def _broadcast(self) -> None:
        backoff, alive = Backoff(), time.monotonic()
        while self._subscribers and not self._closing:
            if time.monotonic() - alive > HEARTBEAT:
                alive = time.monotonic()
                self._drop_slow()
                await self._notify_all()
            if self._watermarks.head <= self._recent.last:
                await asyncio.sleep(POLL_SECONDS)
                continue
            page = await self._next_page()
            if page is not None and page.up_to > self._recent.last:
                backoff.reset()
                # Before anybody hears of it: some of them may not any more.
                if concerns_rights(page.revisions):
                    await self._drop_unauthorised()
                self._recent.remember(page)
                await self._notify(page.revisions)
            else:
                # The commit of a raised watermark is not there yet, or cannot be read.
                pause = backoff.pause()
                await asyncio.sleep(pause if page is not None else _AFTER_FAILURE)
        self._starting = self._broadcasting = None

    async def _next_page(self) -> Page | None:
        """Return the next events; None if they cannot be read just now."""
        try:
            return await self._run(
                partial(self._feed.read_all, self._recent.last, with_previous=self._with_previous)
            )
        except Exception:  # whatever it is, the streams stay open and the next read may succeed
            _logger.exception("the journal could not be read for the streams")
            return None

    async def _notify(self, revisions: list[RevisionEvents]) -> None:
        """Notify the subscribers who receive any of ``revisions``.

        Some at a time, so that other requests are answered in between.
        """
        notified = 0
        # By identity: subscribers who want the same share the subscription.
        found: dict[int, Messages] = {}
        for scanned, subscriber in enumerate(list(self._subscribers)):
            subscription = subscriber.subscription
            messages = found.get(id(subscription))
            if messages is None:
                messages = [(each.revision, each.message_for(subscription)) for each in revisions]
                found[id(subscription)] = messages
            notified += subscriber.offer(messages, self._recent.last)
            if notified >= _NOTIFIED_AT_ONCE or scanned % _SCANNED_AT_ONCE == _SCANNED_AT_ONCE - 1:
                notified = 0
                await asyncio.sleep(0)

    async def _notify_all(self) -> None:
        """Notify every subscriber with a heartbeat, some at a time."""
        notified = 0
        for subscriber in list(self._subscribers):
            notified += subscriber.notify(None)
            if notified >= _NOTIFIED_AT_ONCE:
                notified = 0
                await asyncio.sleep(0)

    def _drop_slow(self) -> None:
        """End the streams that have not been read for long, and those with expired tokens.

        A client can connect again and continue after the last event that it received.
        """
        oldest = time.monotonic() - _SEND_SECONDS
        for subscriber in list(self._subscribers):
            if 0 < subscriber.sending_since < oldest and subscriber.task is not None:
                # Cancelled, not ended: it would wait for a send that never returns.
                subscriber.task.cancel()
            elif is_expired(subscriber.expires_at):
                subscriber.end()

    async def _drop_unauthorised(self) -> None:
        """End the streams of actors whose rights are not what they were at the beginning.

        Their clients connect again, and are then checked by their new rights.
        """
        actors = {subscriber.subscription.actor for subscriber in self._subscribers}
        try:
            authorised = await self._run(partial(self._feed.reauthorise, actors))
        except Exception:  # whatever it is: rights that cannot be checked end the stream
            _logger.exception("the rights of subscribers could not be read")
            authorised = {}
        for subscriber in list(self._subscribers):
            if subscriber.subscription.actor in authorised:
                # A token that was rotated expires earlier than it did.
                subscriber.expires_at = authorised[subscriber.subscription.actor]
            else:
                subscriber.end()
