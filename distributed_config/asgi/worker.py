"""gunicorn's ASGI worker, with bounded connections and a bounded shutdown.

gunicorn's own accepts connections until there are no file descriptors left, and at its end waits
for idle connections. Why, and what is closed first: docs/decisions/0023-connections.md.
"""

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

from distributed_config.asgi.connections import Connection, Connections
from distributed_config.settings import Settings, load

_CHECK_EVERY = 1.0
_WARN_EVERY = 10.0

_MOST_FILES = 65_536
_MOST_CONNECTIONS = 25_000
_ACCEPTED_AT_ONCE = 32
_SPARE_FILES = 256
_FILES_PER_THREAD = 4  # a thread's connection to the database has three files open

_DRAIN_SECONDS = 3.0
_LONGEST_SHUTDOWN = 7.0
_NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Worker(ASGIWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's ASGI worker with bounded connections and a bounded shutdown."""

    connections: Connections

    def init_process(self) -> None:
        """Raise the limit of open files, which bounds the connections."""
        settings = load()
        most = _most_connections(_raise_file_limit(), settings)
        # However high the setting, one address does not get every connection.
        most_per_network = min(settings.connections_per_address, max(1, most * 3 // 4))
        self.connections = Connections(most, most_per_network, settings)
        # gunicorn stores on its own class whether the C parser is there, and reads it from ours.
        ASGIProtocol._check_h1c_protocol_available()
        self._warned_at = -_WARN_EVERY
        # Not _shutdown: gunicorn has a method of that name, which it calls at the end.
        self._draining: asyncio.Task[None] | None = None
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the application, and bound its streams by the connections there can be."""
        super().load_wsgi()
        self.asgi.reserve_connections(self.connections.most)

    def init_signals(self) -> None:
        """Shut down as soon as the work is done; gunicorn would wait for idle connections too."""
        super().init_signals()
        # Ctrl-C reaches the workers as SIGINT, and once more from the master as SIGQUIT.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self.loop.add_signal_handler(number, self._begin_shutdown)

    async def _serve(self) -> None:
        self.loop.set_exception_handler(self._handle_error)
        # The one place at which gunicorn's protocol can be replaced by ours.
        create_server = self.loop.create_server
        self.loop.create_server = lambda _, **options: self._listen(create_server, **options)
        checking = self.loop.create_task(self._check_connections())
        await super()._serve()
        checking.cancel()

    async def _listen(
        self,
        create_server: Callable[..., Awaitable[asyncio.Server]],
        *,
        sock: socket.socket,
        **options: Any,
    ) -> asyncio.Server:
        # A connection is counted only when its protocol is created, some turns of the loop after
        # it was accepted. So few are accepted in one turn, and the others wait in the kernel.
        server = await create_server(
            lambda: Connection(self, self.connections, self.asgi.known_requests),
            sock=sock,
            backlog=_ACCEPTED_AT_ONCE,
            **options,
        )
        sock.listen(self.cfg.backlog)
        return server

    async def _check_connections(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_EVERY)
            await self.connections.check()

    def _handle_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Make room when there are no file descriptors left, and log that now and then.

        asyncio accepts nothing for a second then, and reports each attempt.
        """
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _NO_MORE_FILES:
            loop.default_exception_handler(context)
            return
        self.connections.relieve()
        if time.monotonic() - self._warned_at > _WARN_EVERY:
            self._warned_at = time.monotonic()
            self.log.error(
                "no connection can be accepted (%s) with %d open: raise the limit of open files",
                error.strerror,
                len(self.connections),
            )

    def _begin_shutdown(self) -> None:
        self.handle_exit_signal()
        for server in self.servers:
            server.close()  # gunicorn would do it within a second
        if self._draining is None:
            # A thread, because the loop may be blocked by then: the end must come anyway, before
            # gunicorn's master kills the process without closing the database.
            deadline = threading.Timer(_LONGEST_SHUTDOWN, os._exit, (0,))
            deadline.daemon = True
            deadline.start()
            self._draining = self.loop.create_task(self._drain())

    async def _drain(self) -> None:
        dropping = self.loop.create_task(self._drop_slow())
        await self.asgi.drain(self._is_done)
        dropping.cancel()
        # Everything is closed. Taking the interpreter apart would cost each worker a third of a
        # second of CPU time.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def _is_done(self) -> bool:
        """Whether no request can come, and every response has been taken."""
        accepts = any(server.is_serving() for server in self.servers)
        return not accepts and not self.connections.have_unsent()

    async def _drop_slow(self) -> None:
        await asyncio.sleep(_DRAIN_SECONDS)
        while True:
            self.connections.drop_slow()
            await asyncio.sleep(0.2)


def _raise_file_limit() -> int:
    """Raise the limit of open files as far as we may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= target:
        return _MOST_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return target


def _most_connections(files: int, settings: Settings) -> int:
    """Return how many of ``files`` may be connections; the database needs some of them.

    And a spare one must be left to accept the next connection, if only to refuse it.
    """
    others = _SPARE_FILES + _FILES_PER_THREAD * settings.threads
    return min(_MOST_CONNECTIONS, max(files // 2, files - others))
