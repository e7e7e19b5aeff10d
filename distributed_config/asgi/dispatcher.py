"""Calls the WSGI application in one of three pools of threads, and says when they are full."""

from collections.abc import Callable
from concurrent.futures import Executor

from distributed_config.asgi.access_log import AccessLog
from distributed_config.asgi.pools import Late, Pool
from distributed_config.asgi.wsgi_bridge import (
    Scope,
    WsgiApp,
    WsgiResponse,
    call_wsgi,
    make_environ,
    target_of,
)
from distributed_config.errors import DatabaseBusy, DistconfError, Overloaded
from distributed_config.live.exchange import Exchange
from distributed_config.settings import Settings

READ_METHODS = frozenset({"GET", "HEAD"})

_BLOCKING_PATHS = ("/auth/",)
"""Beginnings of paths whose reads wait as writes do: for another server, for a lock."""
_PROBES = frozenset({"/healthz", "/readyz"})
"""Paths that are answered whatever else waits: they have threads of their own."""
_MOST_PROBES = 100


class Dispatcher:
    """The threads of one process, and which of them serves a request.

    Reads wait for nobody, so more threads would only compete for the interpreter; and they go on
    while all other threads wait for a lock. A write waits no longer for its thread than it would
    for the lock: by then those before it have been refused as well.
    """

    def __init__(self, app: WsgiApp, settings: Settings, access_log: AccessLog) -> None:
        self._app = app
        self._access_log = access_log
        self._most_queued = settings.queue
        readers = max(1, settings.threads // 3)
        self._reading = Pool("reading", readers)
        self._blocking = Pool("waiting", settings.threads - readers, patience=settings.lock_seconds)
        self._probing = Pool("probing", 2)
        self._ended = False

    @property
    def reading_threads(self) -> Executor:
        """The threads for what reads the database and waits for nobody."""
        return self._reading.executor

    async def call(
        self, scope: Scope, body: bytes | DistconfError, exchange: Exchange
    ) -> WsgiResponse:
        """Return the application's response, or its refusal if no thread can serve the request.

        An error in place of a body is why the body could not be read.
        """
        pool = self._pool_for(scope)
        exchange.log = self._access_log.writes
        if isinstance(body, DistconfError):
            exchange.refusal, body = body, b""
        elif self._ended or self._is_full(pool):
            exchange.refusal = Overloaded()

        def respond(waited: float) -> WsgiResponse:
            exchange.queued_seconds = waited
            return call_wsgi(self._app, make_environ(scope, body, exchange))

        try:
            if exchange.refusal is None:
                try:
                    return await self._run(pool, respond, exchange)
                except Late:
                    exchange.refusal = DatabaseBusy()
            # On the event loop itself: a refusal touches neither disk nor lock, and all threads
            # may be busy.
            return respond(0)
        finally:
            self._access_log.arm()

    def refuse(self, scope: Scope, exchange: Exchange) -> WsgiResponse:
        """Return the application's response to a request with ``exchange.refusal``."""
        exchange.log = self._access_log.writes
        response = call_wsgi(self._app, make_environ(scope, b"", exchange))
        self._access_log.arm()
        return response

    def shutdown(self) -> None:
        """Finish running requests; later ones, on connections still open, are refused."""
        self._ended = True
        for pool in (self._reading, self._blocking, self._probing):
            pool.shutdown()

    async def _run(
        self, pool: Pool, respond: Callable[[float], WsgiResponse], exchange: Exchange
    ) -> WsgiResponse:
        exchange.must_not_block = pool is self._reading
        response = await pool.run(respond)
        if exchange.must_block:
            # A read that turned out to wait, as for an entry of the audit log. It is repeated in
            # the other pool, where it cannot hold up other reads.
            exchange.must_not_block = exchange.must_block = False
            exchange.is_repeat = True
            response = await self._blocking.run(respond)
        return response

    def _pool_for(self, scope: Scope) -> Pool:
        _, path = target_of(scope)
        if path in _PROBES:
            return self._probing
        is_read = scope["method"] in READ_METHODS and not path.startswith(_BLOCKING_PATHS)
        return self._reading if is_read else self._blocking

    def _is_full(self, pool: Pool) -> bool:
        if pool is self._probing:
            return pool.active >= _MOST_PROBES
        return self._reading.active + self._blocking.active >= self._most_queued
