"""Requests to a WSGI application in the same process, without a socket; for tests."""

import io
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import unquote_to_bytes

from distributed_config.client.http.connection import Connection, RawResponse
from distributed_config.errors import Unreachable

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_NOT_MODIFIED = 304
# An application in this process answers in about a millisecond, so it can be asked often.
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.1


class InProcessTransport:
    """Calls a WSGI application instead of a server: ``Client(transport=InProcessTransport(app))``.

    ``app`` is the application of Distributed Config, or any other that answers for it in a test.
    It is called in the thread of each call; a Config calls it from its background thread. A
    request that a server would hold is repeated until its answer changes, so closing the client
    never waits for the application. What the application raises comes out as RuntimeError.
    """

    url = "http://localhost"
    """The host that the application sees."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def connect(self) -> Connection:
        return _InProcessConnection(self._app)


class _InProcessConnection:
    def __init__(self, app: WsgiApp) -> None:
        self._app = app
        self._ended = threading.Event()
        self._deadline = 0.0
        self._environ: dict[str, Any] = {}
        self._body = b""
        self._wait = 0.0
        self._response: _Response | None = None

    @property
    def is_closed(self) -> bool:
        return self._ended.is_set()

    def allow(self, seconds: float) -> None:
        # The application runs in this thread, and nothing can end that but the application.
        self._deadline = time.monotonic() + seconds

    def send(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> None:
        rest = dict(headers)
        _, _, seconds = rest.pop("Prefer", "").partition("wait=")
        self._wait = float(seconds or 0)
        self._body = body or b""
        self._environ = _make_environ(method, target, len(self._body), rest)

    def receive(self) -> RawResponse:
        until = min(time.monotonic() + self._wait, self._deadline)
        pause = _FIRST_PAUSE
        while True:
            environ = {**self._environ, "wsgi.input": io.BytesIO(self._body)}
            response = self._response = _call(self._app, environ)
            remaining = until - time.monotonic()
            if response.status != _NOT_MODIFIED or remaining <= 0:
                return response
            response.close()
            if self._ended.wait(min(pause, remaining)):
                raise Unreachable("The client was closed.")
            pause = min(2 * pause, _LONGEST_PAUSE)

    def interrupt(self) -> None:
        self._ended.set()

    def close(self) -> None:
        self._ended.set()
        if self._response is not None:
            self._response.close()


class _Response(io.BufferedReader):
    """The response of an application; closing it ends the application's iterable."""

    will_close = False

    def __init__(
        self, status: str, headers: Sequence[tuple[str, str]], body: "_ChunkReader"
    ) -> None:
        super().__init__(body)
        self.status = int(status.split(" ", 1)[0])
        self._headers = headers

    def getheaders(self) -> Sequence[tuple[str, str]]:
        # As a server does for an application that does not tell the length.
        return [*self._headers, ("Transfer-Encoding", "chunked")]


class _ChunkReader(io.RawIOBase):
    """The chunks of an application as a stream of bytes."""

    def __init__(self, chunks: Iterator[bytes], end: Callable[[], Any]) -> None:
        self._chunks = chunks
        self._end = end
        self._rest = b""
        self._is_finished = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                chunk = next(self._chunks, None)
            except Exception as error:  # of the application's own, whatever it is
                raise _failure(error) from error
            if chunk is None:
                self._finish()
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def close(self) -> None:
        super().close()
        self._finish()

    def _finish(self) -> None:
        """Close the application's iterable, once: PEP 3333 asks for that after the response."""
        if not self._is_finished:
            self._is_finished = True
            self._end()


def _call(app: WsgiApp, environ: dict[str, Any]) -> _Response:
    """Return the response of ``app``, with its body still to be read."""
    started: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Any, *_: Any) -> Callable[[bytes], Any]:
        started[:] = status, list(headers)
        return written.append

    try:
        chunks = app(environ, start_response)
        iterator = iter(chunks)
        # PEP 3333: a generator calls start_response as late as its first chunk.
        first = next(iterator, b"")
    except Exception as error:  # of the application's own, whatever it is
        raise _failure(error) from error
    if not started:
        raise RuntimeError("The application has not called start_response. Is it a WSGI one?")
    end = getattr(chunks, "close", lambda: None)
    return _Response(started[0], started[1], _ChunkReader(chain(written, [first], iterator), end))


def _failure(error: Exception) -> RuntimeError:
    # Of no kind that a connection can fail with: those are taken for an unreachable server.
    return RuntimeError(f"The application raised {error!r}. Its own traceback is above this one.")


def _make_environ(
    method: str, target: str, size: int, headers: Mapping[str, str]
) -> dict[str, Any]:
    """Return the environment of a request as PEP 3333 has it, without its body."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(size),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ
