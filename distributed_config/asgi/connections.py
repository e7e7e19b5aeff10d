"""The connections of one process: how long each stays open, and which makes room for another.

gunicorn's protocol waits for ever for the headers of a request, and for a client to take its
response. Here one pass in each second ends what has waited too long, and a full process closes a
connection on which nobody is being answered before it refuses a new one. Why, and what is closed
first: docs/decisions/0023-connections.md.
"""

import asyncio
import fcntl
import sys
import termios
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from gunicorn.workers.base import Worker

from distributed_config.asgi.known_requests import KnownRequests
from distributed_config.asgi.quick_protocol import QuickProtocol
from distributed_config.settings import Settings
from distributed_config.wire.addresses import network_of

_CHECKED_AT_ONCE = 1_000
_RECENT = 1.0  # a client that was answered within this time is likely to send another request
_SEARCH_EVERY = 0.1
_LEAST_TAKEN = 64 << 10  # bytes that a client must take in DISTCONF_ANSWER_SECONDS

# How readily a connection is closed to make room; the lowest rank is closed first.
_IDLE, _LEFT, _SILENT, _USED, _SENDING, _UNREAD = range(6)


class Connection(QuickProtocol):
    """One connection, which knows since when it has been waiting."""

    def __init__(
        self, worker: Worker, connections: "Connections", known: KnownRequests | None
    ) -> None:
        super().__init__(worker, known)
        self.network = ""
        self._connections = connections
        self._waiting_since = time.monotonic()
        self._unread: tuple[float, int] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Serve the connection, or refuse it: see ``Connections.admit``."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        # On a Unix socket the peer is a proxy, which has no address.
        self.network = network_of(peer[0]) if isinstance(peer, tuple) else ""
        if not self._connections.admit(self):
            self._answer_and_close(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many connections are open already. Try again in a moment.\n",
                ("Retry-After", "1"),
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up its place."""
        self._connections.forget(self)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client has taken enough for more to be written."""
        self._unread = None
        super().resume_writing()

    def rank(self, now: float) -> int | None:
        """Return how readily it is closed to make room; None: a request is being answered."""
        if self._closed:
            return _LEFT
        if self.is_waiting and not self.has_unsent:
            if self.is_unused or self.header_since:
                return _SILENT
            return _USED if now - self._waiting_since < _RECENT else _IDLE
        receiver = self._body_receiver
        if receiver is not None and not receiver._complete:
            return _SENDING
        return _UNREAD if self.has_unsent else None

    @property
    def waiting_since(self) -> float:
        """When it was opened, or its last response was sent."""
        return self._waiting_since

    def check(self, now: float, settings: Settings) -> None:
        """End it if it has waited for longer than ``settings`` allow."""
        if self._closed or self.has_backlog:
            self._check_unread(now, settings)
            return
        self._unread = None
        if self.is_waiting:
            self._check_waiting(now, settings)

    def _check_waiting(self, now: float, settings: Settings) -> None:
        if self.header_since:
            if now - self.header_since > settings.header_seconds:
                self._answer_and_close(
                    HTTPStatus.REQUEST_TIMEOUT,
                    "The headers of the request did not arrive in time. Send it again.\n",
                )
            return
        patience = settings.header_seconds if self.is_unused else self._keepalive
        if now - self._waiting_since > patience:
            self._keepalive_timeout()

    def _check_unread(self, now: float, settings: Settings) -> None:
        left = self._unread_bytes()
        if self._unread is None:
            self._unread = (now, left)
        since, before = self._unread
        # Measured in bytes: a client that takes one now and then would hold its response for ever.
        if before - left >= _LEAST_TAKEN:
            self._unread = (now, left)
        elif now - since > settings.answer_seconds:
            self.drop()

    def _unread_bytes(self) -> int:
        """Return how many bytes the peer has not acknowledged, here and in the kernel."""
        left = int(self.transport.get_write_buffer_size())
        try:
            number = self.transport.get_extra_info("socket").fileno()
            queued = fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4))
        except OSError:  # it is being closed, or this system has no such call
            return left
        return left + int.from_bytes(queued, sys.byteorder)

    def _answer_and_close(self, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> None:
        self._send_error_response(status, text, headers)
        # gunicorn's own way to close: it lets the response be sent first.
        self._keepalive_timeout()

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Note that a whole header came on the connection."""
        may_continue = super()._feed_callback_parser(data)
        if self._current_request is not None and self.is_unused:
            self._connections.mark_used(self)
        return may_continue

    def _send_known(self, response: bytes) -> None:
        """Note that a whole header came on the connection."""
        if self.is_unused:
            self._connections.mark_used(self)
        super()._send_known(response)

    def _arm_keepalive_timer(self) -> None:
        """Note the time: one pass over all of them is cheaper than a timer for each request."""
        self._waiting_since = time.monotonic()


class _Candidates:
    """Connections that could be closed, as of one moment; the first is to be closed first."""

    def __init__(self, searched_at: float, connections: Iterable[Connection]) -> None:
        self.searched_at = searched_at
        self.connections = deque(connections)


class Connections:
    """The connections of one process: at most ``most``, and ``most_per_network`` from one."""

    def __init__(self, most: int, most_per_network: int, settings: Settings) -> None:
        self.most = most
        self._most_per_network = most_per_network
        self._settings = settings
        self._all: set[Connection] = set()
        self._per_network: Counter[str] = Counter()
        # Connections without a request so far, the oldest first: by network, and under "" all.
        self._unused: dict[str, dict[Connection, None]] = {"": {}}
        # A search passes over all connections, so a flood of new ones must not cause one each.
        self._candidates: dict[tuple[str, bool], _Candidates] = {}

    def __len__(self) -> int:
        return len(self._all)

    def admit(self, newcomer: Connection) -> bool:
        """Add ``newcomer``, and close another connection for it where there is no room.

        Returns whether there is a place for it. A network that has too many makes room with one
        of its own, so that a flood from one address hurts nobody else.
        """
        network = newcomer.network
        is_over = network and self._per_network[network] >= self._most_per_network
        if is_over and not self._make_room(network):
            return False
        if len(self._all) >= self.most and not self._make_room(""):
            return False
        self._all.add(newcomer)
        self._per_network[network] += 1
        for key in {"", network}:
            self._unused.setdefault(key, {})[newcomer] = None
        return True

    def mark_used(self, used: Connection) -> None:
        """Note that a whole request came on a connection."""
        for key in {"", used.network}:
            unused = self._unused.get(key, {})
            unused.pop(used, None)
            if key and not unused:
                self._unused.pop(key, None)

    def forget(self, gone: Connection) -> None:
        """Free the place of a connection that is closed, or about to be."""
        if gone not in self._all:
            return
        self._all.discard(gone)
        self.mark_used(gone)
        self._per_network[gone.network] -= 1
        if not self._per_network[gone.network]:
            del self._per_network[gone.network]

    async def check(self) -> None:
        """End those that have waited too long."""
        # Candidates hold on to connections that may be gone by now.
        self._candidates.clear()
        now = time.monotonic()
        for number, connection in enumerate(list(self._all)):
            connection.check(now, self._settings)
            if number % _CHECKED_AT_ONCE == _CHECKED_AT_ONCE - 1:
                await asyncio.sleep(0)  # requests are answered in between

    def relieve(self) -> None:
        """Close one on which nobody is being answered, because file descriptors are short."""
        self._make_room("")

    def have_unsent(self) -> bool:
        """Whether any client has not taken all of its response yet."""
        return any(connection.has_unsent for connection in self._all)

    def drop_slow(self) -> None:
        """End those whose client has not sent all of its request, or not taken its response."""
        now = time.monotonic()
        for connection in list(self._all):
            if connection.has_unsent or connection.rank(now) == _SENDING:
                connection.drop()

    def _make_room(self, network: str) -> bool:
        """Close a connection, of ``network`` unless it is ""; return whether one could be."""
        now = time.monotonic()
        # The idle first: their clients lose nothing but a handshake. Unused ones come before busy
        # ones, because a flood consists of them.
        return (
            self._close_candidate(network, True, now)
            or self._close_unused(network)
            or self._close_candidate(network, False, now)
        )

    def _close_unused(self, network: str) -> bool:
        oldest = next(iter(self._unused.get(network, ())), None)
        if oldest is not None:
            self._close(oldest)
        return oldest is not None

    def _close_candidate(self, network: str, idle: bool, now: float) -> bool:
        """Close one of those that are ``idle``, or else one of all the others that may be."""
        candidates = self._candidates.get((network, idle), _Candidates(0.0, ()))
        if not candidates.connections and now - candidates.searched_at > _SEARCH_EVERY:
            candidates = _Candidates(now, self._search(network, idle, now))
            self._candidates[network, idle] = candidates
        while candidates.connections:
            first = candidates.connections.popleft()
            # It may have got a request, or been closed, since the search.
            rank = first.rank(now)
            if first in self._all and rank is not None and (rank <= _LEFT or not idle):
                self._close(first)
                return True
        return False

    def _search(self, network: str, idle: bool, now: float) -> Iterator[Connection]:
        ranked = [
            (rank, connection.waiting_since, number, connection)
            for number, connection in enumerate(self._all)
            if (not network or connection.network == network)
            and (rank := connection.rank(now)) is not None
            and (rank <= _LEFT) == idle
        ]
        # The number decides ties, because connections have no order.
        return (connection for *_, connection in sorted(ranked))

    def _close(self, connection: Connection) -> None:
        self.forget(connection)
        connection.drop()
