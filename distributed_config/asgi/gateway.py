"""The ASGI callable around the WSGI application."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from distributed_config.asgi.access_log import AccessLog
from distributed_config.asgi.direct_events import CHUNKS, CONNECTION, Connection, Direct, heartbeat
from distributed_config.asgi.dispatcher import READ_METHODS, Dispatcher
from distributed_config.asgi.event_streams import Streams
from distributed_config.asgi.known_requests import LEARN, KnownRequests
from distributed_config.asgi.places import Place, Places
from distributed_config.asgi.quota_leases import QuotaLeases
from distributed_config.asgi.response_cache import (
    CachedResponse,
    Key,
    ResponseCache,
    cache_key,
    names_host,
)
from distributed_config.asgi.websocket import (
    WebSocketSession,
    as_event_stream_request,
    closing_frame,
    take_over,
)
from distributed_config.asgi.wsgi_bridge import (
    Receive,
    Scope,
    Send,
    WsgiApp,
    WsgiResponse,
    read_body,
)
from distributed_config.errors import DistconfError, TooManyWatchers
from distributed_config.live.exchange import Exchange, QuotaSource, Wait
from distributed_config.live.feed import EncodedMessage, Feed, Subscription
from distributed_config.live.hub import Backoff, Hub
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire.addresses import network_of

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass(frozen=True, slots=True)
class _OpenStream:
    """A stream that continues after its response has begun."""

    subscription: Subscription
    expires_at: int | None
    place: Place


class Gateway:
    """Serves cached reads, holds waits and streams, and hands everything else to ``app``.

    It decides nothing: the application says what may be cached and who may wait. ``on_begin`` is
    called before the first request, ``on_end`` after the last response. ``known_requests`` are
    those that connections answer without it; None: they answer none.
    """

    def __init__(
        self,
        app: WsgiApp,
        watermarks: Watermarks,
        feed: Feed,
        settings: Settings,
        *,
        log_requests: bool,
        text_log: bool,
        quota_source: QuotaSource | None,
        on_begin: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._on_begin = on_begin
        self._on_end = on_end
        self._settings = settings
        self._cache = ResponseCache(watermarks, settings.replay_bytes)
        self._text_log = text_log
        self._access_log = AccessLog(log_requests, text_log)
        self._hub = Hub(watermarks)
        self._dispatcher = Dispatcher(app, settings, self._access_log)
        threads = self._dispatcher.reading_threads
        self._streams = Streams(feed, watermarks, threads)
        self._leases = QuotaLeases(quota_source, threads)
        self.known_requests = (
            KnownRequests(self._cache, self._leases, self._access_log)
            if settings.known_requests
            else None
        )
        self._places = Places(settings.watchers)
        self._in_progress = 0
        # A lock lives as long as somebody waits for the same key, and no longer.
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif scope["method"] in READ_METHODS:
            stream = await self._read(scope, receive, send)
            # Only now, when the frames of the read are gone: each open stream would hold them.
            if stream is not None:
                await self._stream(stream, send, self._connection(scope))
        else:
            await self._forward(scope, receive, send, None)

    def reserve_connections(self, connections: int) -> None:
        """Bound the streams to three quarters of the ``connections`` that there can be.

        However many streams there are, other requests are answered.
        """
        self._places.most = min(self._settings.watchers, max(1, connections * 3 // 4))

    async def drain(self, is_closed: Callable[[], bool]) -> None:
        """End waits and streams, finish what has begun, and close what is open.

        Returns when no request is in progress and ``is_closed`` says that none can come.
        """
        self._hub.close()
        self._streams.close()
        while self._in_progress or not is_closed():
            await asyncio.sleep(0.05)
        self._close()

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> _OpenStream | None:
        began = time.perf_counter()
        key, request_id = cache_key(scope)
        cached = self._cache.find(key)
        if cached is not None and cached.quota_key and not self._leases.consume(cached.quota_key):
            # The budget may have more; if not, the application is the one to say so.
            cached = cached if await self._leases.renew(cached.quota_key) else None
        if cached is None:
            return await self._forward(scope, receive, send, key)
        await self._send_cached(cached, request_id, scope, send, began)
        learn = scope.get(LEARN)
        # A request with an id of its own is never known: the id is part of its bytes.
        if learn is not None and not request_id:
            learn(cached)
        return None

    async def _send_cached(
        self, cached: CachedResponse, request_id: bytes, scope: Scope, send: Send, began: float
    ) -> None:
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = self._access_log.request_id()
        headers = [*cached.headers, (b"x-request-id", request_id)]
        await send({"type": "http.response.start", "status": cached.status, "headers": headers})
        await send(cached.body)
        self._access_log.record(cached, request_id, scope["client"][0], began)

    async def _forward(
        self, scope: Scope, receive: Receive, send: Send, key: Key | None
    ) -> _OpenStream | None:
        """Let the application respond; return the stream that continues after that, if any."""
        self._in_progress += 1
        try:
            settings = self._settings
            body = await read_body(scope, receive, settings.body_bytes, settings.body_seconds)
            exchange = Exchange(can_stream=True)
            response = await self._dispatcher.call(scope, body, exchange)
            stream = self._open_stream(exchange)
            if stream is None and exchange.subscription is not None:
                response, exchange = self._refuse_stream(scope)
            if stream is not None:
                await self._begin_stream(stream, response, send)
            elif exchange.wait is not None and key is not None:
                await self._long_poll(scope, send, key, exchange.wait)
            else:
                self._put(key, scope, response, exchange)
                await _send(response, send, isinstance(body, DistconfError))
            return stream
        finally:
            self._in_progress -= 1

    async def _long_poll(self, scope: Scope, send: Send, key: Key, wait: Wait) -> None:
        """Repeat a request whenever something changed, until there is news or the time is up.

        Many clients may wait with the same request: one of them calls the application, and the
        others get its response from the cache.
        """
        began = time.perf_counter()
        deadline = time.monotonic() + wait.seconds
        validity = wait.validity
        lock = self._locks.setdefault(key, asyncio.Lock())
        backoff = Backoff()
        while True:
            remaining = deadline - time.monotonic()
            is_stale = await self._hub.wait_until_stale(validity, remaining)
            if is_stale:
                await asyncio.sleep(backoff.pause(at_most=remaining))
            async with lock:
                cached = self._cache.find(key) if is_stale else None
                if cached is None:
                    is_over = not is_stale or time.monotonic() >= deadline
                    exchange = Exchange(is_final=is_over, is_repeat=True)
                    response = await self._dispatcher.call(scope, b"", exchange)
                    self._put(key, scope, response, exchange)
            if cached is not None:
                await self._send_cached(cached, cache_key(scope)[1], scope, send, began)
                return
            if exchange.wait is None:
                await _send(response, send, False)
                return
            validity = exchange.wait.validity

    async def _begin_stream(self, stream: _OpenStream, response: WsgiResponse, send: Send) -> None:
        headers = [header for header in response.headers if header[0] != b"content-length"]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": response.body, "more_body": True})
        except BaseException:  # a client that is gone cancels the task before _stream is reached
            self._places.give_back(stream.place)
            raise

    def _connection(self, scope: Scope) -> Connection | None:
        """Return the connection of a request, if it can be written to directly."""
        connection: Connection | None = scope.get(CONNECTION)
        return connection if self._settings.direct_events else None

    async def _stream(self, stream: _OpenStream, send: Send, connection: Connection | None) -> None:
        """Send server-sent events, after the response with which the application began."""

        async def deliver(revision: int, message: EncodedMessage | None) -> None:
            # The id moves with a heartbeat too: a client that continues from there has less to
            # catch up with.
            if message is None:
                body = heartbeat(stream.subscription.position(revision))
            else:
                body = message.body
            await send({"type": "http.response.body", "body": body, "more_body": True})

        # It lives as long as the stream, and holds nothing that can go.
        end = partial(self._end_stream, stream.place)
        self._in_progress += 1
        has_ended = True
        try:
            has_ended = await self._streams.serve(
                stream.subscription,
                deliver,
                stream.expires_at,
                stream.place,
                direct=None if connection is None else Direct(connection, CHUNKS),
                on_end=end,
            )
            if has_ended:
                await send({"type": "http.response.body", "body": b""})
        finally:
            if has_ended:
                end()
        if not has_ended:
            # The response goes on without this request. For the server it ends as if the client
            # had gone: it writes nothing more, and leaves the connection.
            raise asyncio.CancelledError

    def _end_stream(self, place: Place) -> None:
        self._in_progress -= 1
        self._places.give_back(place)

    def _open_stream(self, exchange: Exchange) -> _OpenStream | None:
        """Return the stream that the application allowed; None if none, or no place for it."""
        if exchange.subscription is None:
            return None
        actor = exchange.subscription.actor
        # Where access is open everybody is the local operator, so places go by address.
        is_known = actor.key != LOCAL_OPERATOR.key
        place = self._places.take(actor.key if is_known else network_of(actor.address))
        if place is None:
            return None
        return _OpenStream(exchange.subscription, exchange.expires_at, place)

    def _refuse_stream(self, scope: Scope) -> tuple[WsgiResponse, Exchange]:
        """Return the response to one stream too many."""
        exchange = Exchange(refusal=TooManyWatchers(self._places.most))
        return self._dispatcher.refuse(scope, exchange), exchange

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a stream over a WebSocket; the application sees a request for events."""
        await receive()  # websocket.connect
        exchange = Exchange(can_stream=True)
        request = as_event_stream_request(scope)
        response = await self._dispatcher.call(request, b"", exchange)
        stream = self._open_stream(exchange)
        if stream is None:
            if exchange.subscription is not None:
                response, exchange = self._refuse_stream(request)
            # Accepted before it is closed: browsers hide the reason of a refused handshake.
            await send({"type": "websocket.accept"})
            await send(closing_frame(response))
            return
        end = partial(self._end_stream, stream.place)
        self._in_progress += 1
        direct = None
        try:
            await send({"type": "websocket.accept"})
            connection = self._connection(scope)
            direct = None if connection is None else take_over(connection, stream.subscription)
            if direct is None:
                session = WebSocketSession(receive, send)
                await session.run(
                    self._streams, stream.subscription, stream.expires_at, stream.place
                )
        finally:
            if direct is None:
                end()
        if direct is not None:
            self._streams.take_on(
                stream.subscription, stream.expires_at, stream.place, direct=direct, on_end=end
            )
            # The stream goes on without this request, as in ``_stream``.
            raise asyncio.CancelledError

    def _put(
        self, key: Key | None, scope: Scope, response: WsgiResponse, exchange: Exchange
    ) -> None:
        """Cache ``response`` if the application allows it."""
        # Without a Host the same request is right in HTTP/1.0 and refused in HTTP/1.1, and the
        # version is not part of the key.
        if key is not None and exchange.validity is not None and names_host(key):
            self._cache.put(
                key,
                response,
                exchange.validity,
                self._log_fields(scope, response, exchange),
                (scope["method"], exchange.route, str(response.status)),
                expires_at=exchange.expires_at,
                quota_key=exchange.quota_key,
            )

    def _log_fields(self, scope: Scope, response: WsgiResponse, exchange: Exchange) -> str:
        """Return the part of a log line that is the same each time the response is served."""
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "service": exchange.service,
            "status": response.status,
            "bytes": len(response.body),
        }
        if self._text_log:
            return " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
        return json.dumps(fields)[1:-1]

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Serve the lifespan protocol of ASGI."""
        with suppress(asyncio.CancelledError):
            while True:
                message = await receive()
                if message["type"] == "lifespan.startup":
                    self._on_begin()
                if message["type"] == "lifespan.shutdown":
                    self._close()
                await send({"type": f"{message['type']}.complete"})

    def _close(self) -> None:
        # Both a drained worker and the lifespan end here; the second finds nothing to do.
        self._dispatcher.shutdown()
        self._access_log.flush()
        self._on_end()


async def _send(response: WsgiResponse, send: Send, has_unread_body: bool) -> None:
    """Send ``response``; where a part of the request's body was not read, close the connection.

    The rest of the body would otherwise be taken for the next request.
    """
    headers = response.headers
    if has_unread_body:
        headers = [*headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
