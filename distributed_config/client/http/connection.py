"""One connection to a server: a deadline for each exchange, and an end from any thread."""

import http.client
import io
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any


class Connection:
    """An HTTP connection that is closed when nobody refers to it any more."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.http = connection
        self.is_closed = False
        self._process = os.getpid()
        self._clock = _Clock()
        connection.response_class = partial(_RawResponse, self._clock)  # type: ignore[assignment]  # is called

    def allow(self, seconds: float) -> None:
        """Let everything that is sent and read from now on take at most ``seconds``."""
        self._clock.deadline = time.monotonic() + seconds
        self.http.timeout = seconds
        if self.http.sock is not None:
            self.http.sock.settimeout(seconds)

    def interrupt(self) -> None:
        """End the connection for a thread that waits for it, which gets an error."""
        self.is_closed = True
        sock = self.http.sock
        # close() alone would not wake a thread inside recv(). The child of a fork has copies of
        # its parent's sockets, and a shutdown there would end the parent's connections.
        if sock is not None and self._process == os.getpid():
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; it is not used again."""
        self.is_closed = True
        self.http.close()

    def __del__(self) -> None:
        # Threads that end leave their connections to the garbage collector, and an unclosed
        # socket would be a ResourceWarning in the user's program.
        self.http.close()


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
