"""The ASGI callable around the WSGI application."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakValueDictionary

from distributed_config.asgi.access_log import AccessLog
from distributed_config.asgi.event_streams import Streams
from distributed_config.asgi.places import Place, Places
from distributed_config.asgi.pools import Late, Pool
from distributed_config.asgi.quota_leases import QuotaLeases
from distributed_config.asgi.response_cache import (
    CachedResponse,
    Key,
    ResponseCache,
    cache_key,
    names_host,
)
from distributed_config.asgi.websocket import WebSocketSession, as_request_for_stream, closing_frame
from distributed_config.asgi.wsgi_bridge import (
    Message,
    Receive,
    Scope,
    Send,
    WsgiApp,
    WsgiResponse,
    call_wsgi,
    make_environ,
    read_body,
    target_of,
)
from distributed_config.errors import (
    DatabaseBusy,
    DistconfError,
    Overloaded,
    TooManyWatchers,
)
from distributed_config.live.exchange import Exchange, QuotaSource, Wait
from distributed_config.live.feed import EncodedMessage, Feed, Subscription
from distributed_config.live.hub import Hub
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire import Position
from distributed_config.wire.addresses import network_of

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_PAUSE = 0.002
_LONGEST_PAUSE = 0.2
_READING = frozenset({"GET", "HEAD"})
_WAITING = ("/auth/",)
"""Begins of paths whose readings wait as writes do: for another server, for a lock."""
_PROBES = frozenset({"/healthz", "/readyz"})
"""Paths that are answered whatever else waits: these have threads of their own."""
_MOST_PROBES = 100


@dataclass(frozen=True, slots=True)
class _Opened:
    """A stream that goes on after its beginning."""

    watch: Subscription
    until: int | None
    place: Place


class Gateway:
    """Answers hot reads again, holds those who wait, and hands everything else to ``app``.

    It decides nothing: the application says what may be given again and who may wait. ``on_begin``
    is called before the first question comes, ``on_end`` when the last answer is given.
    """

    def __init__(
        self,
        app: WsgiApp,
        marks: Watermarks,
        feed: Feed,
        settings: Settings,
        *,
        log_requests: bool,
        text_log: bool,
        lender: QuotaSource | None,
        on_begin: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._app = app
        self._on_begin = on_begin
        self._on_end = on_end
        self._settings = settings
        self._replays = ResponseCache(marks, settings.replay_bytes)
        self._text_log = text_log
        self._tally = AccessLog(log_requests, text_log)
        self._hub = Hub(marks)
        self._reading, self._waiting = _pools(settings)
        self._probing = Pool("probing", 2)
        self._streams = Streams(feed, marks, self._reading.executor)
        self._leases = QuotaLeases(lender, self._reading.executor)
        self._places = Places(settings.watchers)
        self._answering = 0
        self._ended = False
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await self._converse(scope, receive, send)
        elif scope["method"] in _READING:
            opened = await self._read(scope, receive, send)
            if opened is not None:
                await self._stream(opened, send)
        else:
            await self._pass_on(scope, receive, send, None)

    def leave_room_in(self, connections: int) -> None:
        """Bounds those who watch to three quarters of the ``connections`` that there can be.

        However many they are, the others are answered.
        """
        self._places.most = min(self._settings.watchers, max(1, connections * 3 // 4))

    async def end(self, closed: Callable[[], bool]) -> None:
        """Lets those who wait go, finishes what has begun, and closes what is open.

        Returns when nothing is being answered any more and ``closed`` says that nothing new can
        come.
        """
        self._hub.close()
        self._streams.close()
        while self._answering or not closed():
            await asyncio.sleep(0.05)
        self._close()

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> _Opened | None:
        began = time.perf_counter()
        key, given = cache_key(scope)
        replay = self._replays.find(key)
        if replay is not None and replay.asker and not self._leases.spend(replay.asker):
            # The asker's budget may have more; if not, the application says so.
            replay = replay if await self._leases.renew(replay.asker) else None
        if replay is None:
            return await self._pass_on(scope, receive, send, key)
        await self._replay(replay, given, scope, send, began)
        return None

    async def _replay(
        self, replay: CachedResponse, given: bytes, scope: Scope, send: Send, began: float
    ) -> None:
        request_id = given if _REQUEST_ID.fullmatch(given) else self._tally.request_id()
        headers = [*replay.headers, (b"x-request-id", request_id)]
        await send({"type": "http.response.start", "status": replay.status, "headers": headers})
        await send(replay.body)
        self._tally.note(replay, request_id, scope["client"][0], began)

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, key: Key | None
    ) -> _Opened | None:
        """Lets the application answer; returns the stream that goes on after that, if one does."""
        self._answering += 1
        try:
            settings = self._settings
            body = await read_body(scope, receive, settings.body_bytes, settings.body_seconds)
            told = Exchange(streams=True)
            answer = await self._ask(scope, body, told)
            opened = self._opened(told)
            if opened is None and told.stream is not None:
                answer, told = self._refuse(scope)
            if opened is not None:
                await self._begin_stream(opened, answer, send)
            elif told.hold is not None and key is not None:
                await self._hold(scope, send, key, told.hold)
            else:
                self._keep(key, scope, answer, told)
                await _send(answer, send, isinstance(body, DistconfError))
            return opened
        finally:
            self._answering -= 1

    async def _hold(self, scope: Scope, send: Send, key: Key, hold: Wait) -> None:
        """Asks again whenever something happened, until there is news or the time is up.

        Many may hold the same question: one asks for all of them, and the others get its answer.
        """
        began = time.perf_counter()
        deadline = time.monotonic() + hold.seconds
        basis = hold.basis
        turn = self._turns.setdefault(key, asyncio.Lock())
        pause = _PAUSE
        while True:
            remaining = deadline - time.monotonic()
            outdated = await self._hub.outdated(basis, remaining)
            if outdated:
                # The mark is raised just before the commit: the first look may come too early.
                await asyncio.sleep(min(pause, max(remaining, 0)))
                pause = min(_LONGEST_PAUSE, pause * 2)
            async with turn:
                replay = self._replays.find(key) if outdated else None
                if replay is None:
                    is_over = not outdated or time.monotonic() >= deadline
                    told = Exchange(last=is_over, again=True)
                    answer = await self._ask(scope, b"", told)
                    self._keep(key, scope, answer, told)
            if replay is not None:
                await self._replay(replay, cache_key(scope)[1], scope, send, began)
                return
            if told.hold is None:
                await _send(answer, send, False)
                return
            basis = told.hold.basis

    async def _begin_stream(self, opened: _Opened, beginning: WsgiResponse, send: Send) -> None:
        headers = [each for each in beginning.headers if each[0] != b"content-length"]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": beginning.body, "more_body": True})
        except BaseException:  # who is gone by now is cancelled, and does not come to the rest
            self._places.give_back(opened.place)
            raise

    async def _stream(self, opened: _Opened, send: Send) -> None:
        """Server-sent events, after what the application began with.

        Nothing of the request is kept meanwhile but what the server keeps.
        """

        async def tell(revision: int, told: EncodedMessage | None) -> None:
            # The id moves with a heartbeat too: who comes back then has less to look through.
            await send(
                told.message if told is not None else _alive(opened.watch.position(revision))
            )

        self._answering += 1
        try:
            await self._streams.follow(opened.watch, tell, opened.until, opened.place)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._answering -= 1
            self._places.give_back(opened.place)

    def _opened(self, told: Exchange) -> _Opened | None:
        """The stream that the application allowed; None if there is none, or no place for it."""
        if told.stream is None:
            return None
        actor = told.stream.actor
        # In the open mode everybody is the local operator.
        is_known = actor.key != LOCAL_OPERATOR.key
        place = self._places.take(actor.key if is_known else network_of(actor.address))
        return None if place is None else _Opened(told.stream, told.until, place)

    def _refuse(self, scope: Scope) -> tuple[WsgiResponse, Exchange]:
        """What one watcher too many is told."""
        told = Exchange(refused=TooManyWatchers(self._places.most))
        return call_wsgi(self._app, make_environ(scope, b"", told)), told

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same stream over a WebSocket."""
        await receive()  # that it connects
        told = Exchange(streams=True)
        asked = as_request_for_stream(scope)
        answer = await self._ask(asked, b"", told)
        opened = self._opened(told)
        if opened is None:
            if told.stream is not None:
                answer, told = self._refuse(asked)
            await send({"type": "websocket.accept"})
            await send(closing_frame(answer))
            return
        self._answering += 1
        try:
            await send({"type": "websocket.accept"})
            talk = WebSocketSession(receive, send)
            await talk.hold(self._streams, opened.watch, opened.until, opened.place)
        finally:
            self._answering -= 1
            self._places.give_back(opened.place)

    async def _ask(self, scope: Scope, body: bytes | DistconfError, told: Exchange) -> WsgiResponse:
        pool = self._pool_for(scope)
        if isinstance(body, DistconfError):
            told.refused, body = body, b""
        elif self._ended or self._is_full(pool):
            told.refused = Overloaded()

        def answer(waited: float) -> WsgiResponse:
            told.waited = waited
            return call_wsgi(self._app, make_environ(scope, body, told))

        if told.refused is None:
            try:
                return await self._answer(pool, answer, told)
            except Late:
                told.refused = DatabaseBusy()
        # A refusal touches neither disk nor lock, and all threads may be taken.
        return answer(0)

    async def _answer(
        self, pool: Pool, answer: Callable[[float], WsgiResponse], told: Exchange
    ) -> WsgiResponse:
        """What the application answers in a thread of ``pool``. Raises Late.

        A reading that turns out to wait is asked again where it may: it would hold up the others.
        """
        told.reads = pool is self._reading
        found = await pool.run(answer)
        if told.moves:
            told.reads = told.moves = False
            told.again = True
            found = await self._waiting.run(answer)
        return found

    def _pool_for(self, scope: Scope) -> Pool:
        """The threads that serve such a request."""
        _, path = target_of(scope)
        if path in _PROBES:
            return self._probing
        reads = scope["method"] in _READING and not path.startswith(_WAITING)
        return self._reading if reads else self._waiting

    def _is_full(self, pool: Pool) -> bool:
        if pool is self._probing:
            return pool.asked >= _MOST_PROBES
        return self._reading.asked + self._waiting.asked >= self._settings.queue

    def _keep(self, key: Key | None, scope: Scope, answer: WsgiResponse, told: Exchange) -> None:
        # Without its host the same question is right in HTTP/1.0 and refused in HTTP/1.1.
        if key is not None and told.replay is not None and names_host(key):
            logged = self._logged(scope, answer, told)
            counted = (scope["method"], told.route, str(answer.status))
            self._replays.keep(
                key, answer, told.replay, logged, counted, until=told.until, asker=told.asker
            )

    def _logged(self, scope: Scope, answer: WsgiResponse, told: Exchange) -> str:
        """The part of a log line that is the same each time this answer is given again."""
        line = {
            "method": scope["method"],
            "path": scope["path"],
            "service": told.service,
            "status": answer.status,
            "bytes": len(answer.body),
        }
        if self._text_log:
            return " ".join(f"{name}={json.dumps(value)}" for name, value in line.items())
        return json.dumps(line)[1:-1]

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol. A server that has ended its connections asks for the end here."""
        with suppress(asyncio.CancelledError):
            while True:
                message = await receive()
                if message["type"] == "lifespan.startup":
                    self._on_begin()
                if message["type"] == "lifespan.shutdown":
                    self._close()
                await send({"type": f"{message['type']}.complete"})

    def _close(self) -> None:
        """What both ways to the end come to; whichever comes second finds nothing to do."""
        self._ended = True  # who comes now, on a connection still open, is told to come again
        self._tally.flush()
        self._reading.shutdown()
        self._waiting.shutdown()
        self._probing.shutdown()
        self._on_end()


def _pools(settings: Settings) -> tuple[Pool, Pool]:
    """Threads for readings, and the others for what waits, as for a commit.

    Readings wait for nobody: more threads would only fight for the interpreter. And they go on
    while all others wait for a lock. A write waits no longer for its thread than it would for the
    lock: by then those before it have been refused as well.
    """
    few = max(1, settings.threads // 3)
    rest = settings.threads - few
    return Pool("reading", few), Pool("waiting", rest, patience=settings.lock_seconds)


async def _send(answer: WsgiResponse, send: Send, unread: bool) -> None:
    """Sends ``answer``; ``unread`` says that a part of the request's body was left where it is."""
    headers = [*answer.headers, (b"connection", b"close")] if unread else answer.headers
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _alive(position: Position) -> Message:
    body = f": alive\nid: {position}\n\n".encode()
    return {"type": "http.response.body", "body": body, "more_body": True}
