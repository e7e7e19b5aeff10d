"""Connections to a server: a deadline for each exchange, and an end from any thread."""

import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from distributed_config.client.http.address import parse_address


class RawResponse(Protocol):
    """A response whose body is still to be read."""

    @property
    def status(self) -> int: ...

    @property
    def will_close(self) -> bool: ...

    def getheaders(self) -> Sequence[tuple[str, str]]: ...

    def read(self, size: int | None = None, /) -> bytes: ...

    def readline(self) -> bytes: ...


class Connection(Protocol):
    """One exchange after the other with a server."""

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, and is not used again."""

    def allow(self, seconds: float) -> None:
        """Let everything that is sent and read from now on take at most ``seconds``."""

    def send(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> None:
        """Send a request."""

    def receive(self) -> RawResponse:
        """Return the response to it."""

    def interrupt(self) -> None:
        """End the connection for a thread that waits for it, which gets an error."""

    def close(self) -> None:
        """End the connection."""


class Connector(Protocol):
    """Opens connections to one server."""

    @property
    def url(self) -> str:
        """The address of the server, without a slash at the end."""

    def connect(self) -> Connection:
        """Return a new connection, which may connect as late as it sends."""


class SocketConnector:
    """Opens connections to the server at ``url``. Raises Invalid if that cannot be an address."""

    def __init__(self, url: str) -> None:
        parts = parse_address(url)
        self.url = url.rstrip("/")
        self._host, self._port = parts.hostname or "", parts.port
        # Loading the system's certificates is slow, so it is done once, and not for each
        # connection.
        self._context = ssl.create_default_context() if parts.scheme == "https" else None

    def connect(self) -> Connection:
        if self._context is None:
            return SocketConnection(http.client.HTTPConnection(self._host, self._port))
        return SocketConnection(
            http.client.HTTPSConnection(self._host, self._port, context=self._context)
        )


class SocketConnection:
    """An HTTP connection that is closed when nobody refers to it any more."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._http = connection
        self.is_closed = False
        self._process = os.getpid()
        self._clock = _Clock()
        connection.response_class = partial(_RawResponse, self._clock)  # type: ignore[assignment]  # is called

    def allow(self, seconds: float) -> None:
        self._clock.deadline = time.monotonic() + seconds
        self._http.timeout = seconds
        if self._http.sock is not None:
            self._http.sock.settimeout(seconds)

    def send(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> None:
        try:
            self._http.request(method, target, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            # A server may refuse a large body before the end, and its reason is there to be read.
            if self._http.sock is None:
                raise

    def receive(self) -> http.client.HTTPResponse:
        return self._http.getresponse()

    def interrupt(self) -> None:
        self.is_closed = True
        sock = self._http.sock
        # close() alone would not wake a thread inside recv(). The child of a fork has copies of
        # its parent's sockets, and a shutdown there would end the parent's connections.
        if sock is not None and self._process == os.getpid():
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.is_closed = True
        self._http.close()

    def __del__(self) -> None:
        # Threads that end leave their connections to the garbage collector, and an unclosed
        # socket would be a ResourceWarning in the user's program.
        self._http.close()


@dataclass
class _Clock:
    """The deadline of the current exchange, shared by a connection and its responses."""

    deadline: float = 0.0


class _RawResponse(http.client.HTTPResponse):
    """A response whose bytes have to arrive before the deadline, however they trickle.

    A socket's own timeout starts again with each byte, so that a server that sends one byte a
    second could hold a caller for ever.
    """

    def __init__(self, clock: _Clock, sock: socket.socket, *rest: Any, **options: Any) -> None:
        super().__init__(sock, *rest, **options)
        self.fp = io.BufferedReader(_DeadlineReader(clock, sock, self.fp.detach()))


class _DeadlineReader(io.RawIOBase):
    """The bytes of a socket; each read waits only for the time left until the deadline."""

    def __init__(self, clock: _Clock, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._clock, self._sock, self._raw = clock, sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._clock.deadline - time.monotonic()
        # settimeout(0) would make the socket non-blocking instead of ending the read.
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
