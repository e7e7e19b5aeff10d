"""The worker: which connections stay open, for how long, and how many of them.

gunicorn's ASGI worker waits for ever for the headers of a request, and for a client to take its
answer, and accepts connections until there are no files left. Here one look in each second ends
what has waited too long, and a full process closes a connection that nobody is being answered on
before it refuses a new one. Why, and what is closed first: docs/decisions/0023-connections.md.
"""

import asyncio
import errno
import fcntl
import os
import resource
import signal
import socket
import sys
import termios
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

from distributed_config.settings import Settings, load
from distributed_config.wire.addresses import network_of

_LOOK_EVERY = 1.0
_LOOKED_AT_ONCE = 1_000
_RECENT = 1.0  # a client that was answered within this time is likely to ask again
_SEARCH_EVERY = 0.1
_LEAST_TAKEN = 64 << 10  # bytes that a client must take in DISTCONF_ANSWER_SECONDS

_MOST_FILES = 65_536
_MOST_CONNECTIONS = 25_000
_ACCEPTED_AT_ONCE = 32
_SPARE_FILES = 256
_FILES_PER_THREAD = 4  # a thread's connection to the database has three files open
_SAID_EVERY = 10.0

_PATIENCE_AT_END = 3.0
_LONGEST_END = 7.0
_NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

# How readily a connection is closed to make room; the lowest is closed first.
_IDLE, _LEFT, _SILENT, _USED, _SENDING, _UNREAD = range(6)


class Connection(ASGIProtocol):  # type: ignore[misc]  # gunicorn has no types
    """One connection, which knows since when it has been waiting."""

    def __init__(self, worker: "Worker") -> None:
        super().__init__(worker)
        self.network = ""
        self._connections = worker.connections
        self._waiting_since = time.monotonic()
        self._header_since = 0.0  # when the first part of an unfinished header came
        self._unread: tuple[float, int] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begins, or refuses to: see ``Connections.admit``."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        # Who comes over a Unix socket is the proxy, and has no address.
        self.network = network_of(peer[0]) if isinstance(peer, tuple) else ""
        if not self._connections.admit(self):
            self._answer_and_close(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many connections are open already. Try again in a moment.\n",
                ("Retry-After", "1"),
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives up its place."""
        self._connections.forget(self)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Notes that the client has taken enough for more to be written."""
        self._unread = None
        super().resume_writing()

    def rank(self, now: float) -> int | None:
        """How readily it is closed to make room; None: somebody is being answered on it."""
        if self._closed:
            return _LEFT
        if self._is_waiting:
            if self._is_unused or self._header_since:
                return _SILENT
            return _USED if now - self._waiting_since < _RECENT else _IDLE
        receiver = self._body_receiver
        if receiver is not None and not receiver._complete:
            return _SENDING
        return _UNREAD if self.has_unsent else None

    @property
    def waiting_since(self) -> float:
        """When it was opened, or last answered on."""
        return self._waiting_since

    @property
    def has_unsent(self) -> bool:
        """Whether the client has not taken what was written for it."""
        return bool(self.transport.get_write_buffer_size())

    def look(self, now: float, settings: Settings) -> None:
        """Ends it if it has waited for longer than ``settings`` allow."""
        if self._is_waiting and not self._closed:
            self._look_at_waiting(now, settings)
        elif self._closed or self._flow_control.write_paused:
            self._look_at_unread(now, settings)
        else:
            self._unread = None

    def drop(self) -> None:
        """Ends it at once; what was not sent yet is lost."""
        self.transport.abort()

    @property
    def _is_waiting(self) -> bool:
        """Whether no whole header has come since it was last answered on."""
        return self._current_request is None and not self._finishing_calls

    @property
    def _is_unused(self) -> bool:
        return bool(self.req_count <= 1)

    def _look_at_waiting(self, now: float, settings: Settings) -> None:
        if self._header_since:
            if now - self._header_since > settings.header_seconds:
                self._answer_and_close(
                    HTTPStatus.REQUEST_TIMEOUT,
                    "The headers of the request did not arrive in time. Send it again.\n",
                )
            return
        patience = settings.header_seconds if self._is_unused else self._keepalive
        if now - self._waiting_since > patience:
            self._keepalive_timeout()

    def _look_at_unread(self, now: float, settings: Settings) -> None:
        left = self._left_unread()
        if self._unread is None:
            self._unread = (now, left)
        since, before = self._unread
        if before - left >= _LEAST_TAKEN:
            self._unread = (now, left)
        elif now - since > settings.answer_seconds:
            self.drop()

    def _left_unread(self) -> int:
        """The bytes that the client's machine has not acknowledged, here and in the kernel."""
        left = int(self.transport.get_write_buffer_size())
        try:
            number = self.transport.get_extra_info("socket").fileno()
            queued = fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4))
        except OSError:  # it is being closed, or the system does not tell
            return left
        return left + int.from_bytes(queued, sys.byteorder)

    def _answer_and_close(self, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> None:
        self._send_error_response(status, text, headers)
        # The same end as of a connection that nobody used for long.
        self._keepalive_timeout()

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Notes whether a header has begun, and is not whole yet."""
        goes_on = bool(super()._feed_callback_parser(data))
        if self._current_request is not None:
            self._header_since = 0.0
            if self._is_unused:
                self._connections.note_used(self)
        elif not self._header_since:
            self._header_since = time.monotonic()
        return goes_on

    def _arm_keepalive_timer(self) -> None:
        """Notes the time: one look at all of them is cheaper than a timer for each request."""
        self._waiting_since = time.monotonic()


class _Found:
    """Connections that could be closed, found at one moment, the first of them first."""

    def __init__(self, at: float, connections: Iterable[Connection]) -> None:
        self.at = at
        self.connections = deque(connections)


class Connections:
    """The connections of one process: at most ``most``, and ``most_of_one`` from one address."""

    def __init__(self, most: int, most_of_one: int, settings: Settings) -> None:
        self.most = most
        self._most_of_one = most_of_one
        self._settings = settings
        self._all: set[Connection] = set()
        self._of: Counter[str] = Counter()
        # Those that have asked nothing yet, the oldest first: of each network, and under "" all.
        self._unused: dict[str, dict[Connection, None]] = {"": {}}
        # A search looks at all connections, so a flood of new ones must not cause one each.
        self._found: dict[tuple[str, bool], _Found] = {}

    def __len__(self) -> int:
        return len(self._all)

    def admit(self, newcomer: Connection) -> bool:
        """Takes ``newcomer`` in, and closes another one for it where there is no room.

        Returns whether there is a place for it. An address that has too many makes room with one
        of its own.
        """
        network = newcomer.network
        if network and self._of[network] >= self._most_of_one and not self._make_room(network):
            return False
        if len(self._all) >= self.most and not self._make_room(""):
            return False
        self._all.add(newcomer)
        self._of[network] += 1
        for each in {"", network}:
            self._unused.setdefault(each, {})[newcomer] = None
        return True

    def note_used(self, used: Connection) -> None:
        """Notes that a whole request came on a connection."""
        for each in {"", used.network}:
            unused = self._unused.get(each, {})
            unused.pop(used, None)
            if each and not unused:
                self._unused.pop(each, None)

    def forget(self, gone: Connection) -> None:
        """Frees the place of a connection that is closed, or about to be."""
        if gone not in self._all:
            return
        self._all.discard(gone)
        self.note_used(gone)
        self._of[gone.network] -= 1
        if not self._of[gone.network]:
            del self._of[gone.network]

    async def look(self) -> None:
        """Ends those that have waited too long."""
        self._found.clear()
        now = time.monotonic()
        for number, each in enumerate(list(self._all)):
            each.look(now, self._settings)
            if number % _LOOKED_AT_ONCE == _LOOKED_AT_ONCE - 1:
                await asyncio.sleep(0)  # requests are answered in between

    def relieve(self) -> None:
        """Closes one that nobody is being answered on, because files are short."""
        self._make_room("")

    def have_unsent(self) -> bool:
        """Whether any client has not taken all of its answer yet."""
        return any(each.has_unsent for each in self._all)

    def drop_slow(self) -> None:
        """Ends those whose client has not sent all of its request, or not taken its answer."""
        now = time.monotonic()
        for each in list(self._all):
            if each.has_unsent or each.rank(now) == _SENDING:
                each.drop()

    def _make_room(self, network: str) -> bool:
        """Closes a connection, of ``network`` if one is given; whether there was one to close."""
        now = time.monotonic()
        return (
            self._close_found(network, True, now)
            or self._close_unused(network)
            or self._close_found(network, False, now)
        )

    def _close_unused(self, network: str) -> bool:
        oldest = next(iter(self._unused.get(network, ())), None)
        if oldest is not None:
            self._close(oldest)
        return oldest is not None

    def _close_found(self, network: str, idle: bool, now: float) -> bool:
        """Closes one of those that are ``idle``, or else one of all the others that may be."""
        found = self._found.get((network, idle), _Found(0.0, ()))
        if not found.connections and now - found.at > _SEARCH_EVERY:
            found = _Found(now, self._search(network, idle, now))
            self._found[network, idle] = found
        while found.connections:
            first = found.connections.popleft()
            # It may have been asked something, or closed, since it was found.
            rank = first.rank(now)
            if first in self._all and rank is not None and (rank <= _LEFT or not idle):
                self._close(first)
                return True
        return False

    def _search(self, network: str, idle: bool, now: float) -> Iterator[Connection]:
        ranked = [
            (rank, each.waiting_since, number, each)
            for number, each in enumerate(self._all)
            if (not network or each.network == network)
            and (rank := each.rank(now)) is not None
            and (rank <= _LEFT) == idle
        ]
        return (each for *_, each in sorted(ranked))

    def _close(self, connection: Connection) -> None:
        self.forget(connection)
        connection.drop()


class Worker(ASGIWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's ASGI worker with bounded connections and a bounded end."""

    connections: Connections

    def init_process(self) -> None:
        """Raises the limit of open files, which bounds the connections."""
        settings = load()
        most = _most_connections(_raised_file_limit(), settings)
        # However high the setting: one address does not get all that there is.
        most_of_one = min(settings.connections_per_address, max(1, most * 3 // 4))
        self.connections = Connections(most, most_of_one, settings)
        # It notes on its own class that the parser in C is there, and looks for that on this one.
        ASGIProtocol._check_h1c_protocol_available()
        self._said_at = -_SAID_EVERY
        self._ending: asyncio.Task[None] | None = None
        super().init_process()

    def load_wsgi(self) -> None:
        """Loads the application, and tells it how many connections there can be."""
        super().load_wsgi()
        self.asgi.leave_room_in(self.connections.most)

    def init_signals(self) -> None:
        """Ends as soon as the work is done; gunicorn would wait for idle connections too."""
        super().init_signals()
        # Ctrl-C reaches the workers as SIGINT, and once more from the master as SIGQUIT.
        for way in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self.loop.add_signal_handler(way, self._begin_to_end)

    async def _serve(self) -> None:
        self.loop.set_exception_handler(self._note_error)
        # The one place at which gunicorn's protocol can be replaced by ours.
        create_server = self.loop.create_server
        self.loop.create_server = lambda _, **options: self._listen(create_server, **options)
        looking = self.loop.create_task(self._look())
        await super()._serve()
        looking.cancel()

    async def _listen(
        self,
        create_server: Callable[..., Awaitable[asyncio.Server]],
        *,
        sock: socket.socket,
        **options: Any,
    ) -> asyncio.Server:
        # What was accepted is counted only when its protocol is made, some turns of the loop
        # later; so few are accepted in one turn, and the others wait in the kernel.
        server = await create_server(
            lambda: Connection(self), sock=sock, backlog=_ACCEPTED_AT_ONCE, **options
        )
        sock.listen(self.cfg.backlog)
        return server

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            await self.connections.look()

    def _note_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Makes room when there are no files left, and says so now and then.

        asyncio accepts nothing for a second then, and reports each attempt.
        """
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _NO_MORE_FILES:
            loop.default_exception_handler(context)
            return
        self.connections.relieve()
        if time.monotonic() - self._said_at > _SAID_EVERY:
            self._said_at = time.monotonic()
            self.log.error(
                "no connection can be accepted (%s) with %d open: raise the limit of open files",
                error.strerror,
                len(self.connections),
            )

    def _begin_to_end(self) -> None:
        self.handle_exit_signal()
        for server in self.servers:
            server.close()  # gunicorn would do it within a second
        if self._ending is None:
            # A thread of its own: the loop may be waiting for others by then.
            last = threading.Timer(_LONGEST_END, os._exit, (0,))
            last.daemon = True
            last.start()
            self._ending = self.loop.create_task(self._end())

    async def _end(self) -> None:
        dropping = self.loop.create_task(self._drop_slow())
        await self.asgi.end(self._is_done)
        dropping.cancel()
        # All is closed. Taking the interpreter apart would cost each worker a third of a second
        # of the processor.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def _is_done(self) -> bool:
        """Whether nothing new can come, and all that was answered has been taken."""
        accepts = any(server.is_serving() for server in self.servers)
        return not accepts and not self.connections.have_unsent()

    async def _drop_slow(self) -> None:
        await asyncio.sleep(_PATIENCE_AT_END)
        while True:
            self.connections.drop_slow()
            await asyncio.sleep(0.2)


def _raised_file_limit() -> int:
    """The number of files that this process may have open, raised as far as it is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MOST_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _most_connections(files: int, settings: Settings) -> int:
    """How many of ``files`` may be connections; the database needs some, and the next to come."""
    others = _SPARE_FILES + _FILES_PER_THREAD * settings.threads
    return min(_MOST_CONNECTIONS, max(files // 2, files - others))
