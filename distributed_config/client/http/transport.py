"""HTTP to one server: persistent connections, deadlines, and retries with backoff.

A request is sent again after failures that may pass: a server that is not there, a connection that
breaks, a response that is cut short, and the statuses 429, 502, 503 and 504. That is safe for
writes as well, because each carries an idempotency key of its own.
"""

import copy
import http.client
import os
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from distributed_config.client.http.backoff import Backoff
from distributed_config.client.http.connection import Connection, Connector, RawResponse
from distributed_config.client.http.messages import Request, Response, error_from
from distributed_config.client.http.resolved import ResolvedRequests
from distributed_config.client.http.token_file import FileToken, check_token
from distributed_config.errors import DistconfError, Unreachable

_NOT_MODIFIED = 304
_UNAUTHENTICATED = 401
_PASSING = frozenset({429, 502, 503, 504})
# One of these says where a body ends. Without either, http.client reads until the connection
# closes, and a response that was cut anywhere would look whole.
_FRAMING_HEADERS = {"content-length", "transfer-encoding"}


class Transport:
    """Sends requests to the server of ``connector``, over one connection for each thread.

    ``timeout`` is in seconds, for each attempt; ``retries`` come on top of the first attempt. A
    token from a file is read again when the server refuses it. ``actor`` names the author of
    writes, for servers without access control. Raises Invalid for a token that cannot be one.
    """

    def __init__(
        self,
        connector: Connector,
        token: str = "",
        *,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: Backoff | None = None,
        actor: str = "",
    ) -> None:
        self.url = connector.url
        self.timeout = timeout
        self.backoff = backoff or Backoff()
        self._retries = retries
        self._token = check_token(token)
        # http.client encodes headers as Latin-1; this makes it send the bytes of UTF-8.
        self._actor = actor.encode().decode("latin-1")
        self._connector = connector
        self._base = urlsplit(connector.url).path.rstrip("/")
        self._resolved = ResolvedRequests()
        self._closed = threading.Event()
        self._forget_connections()

    def twin(self) -> "Transport":
        """Return a transport to the same server, with connections and an end of its own."""
        # It shares what was learnt about the server, and what is slow to make.
        twin = copy.copy(self)
        twin._closed = threading.Event()
        twin._forget_connections()
        return twin

    def send(self, request: Request) -> Response:
        """Return the response, after as many attempts as are allowed.

        Raises the error that the server answered with, as an instance of the server's own class;
        or Unreachable.
        """
        return self._resolved.send(request, self._send)

    def _send(self, request: Request) -> Response:
        for number in range(1, self._retries + 2):
            failure: DistconfError
            try:
                response = self.send_once(request)
            except Unreachable as error:
                failure = error
            else:
                if response.status < 400:
                    return response
                failure = error_from(response)
                if response.status not in _PASSING:
                    raise failure
            # The jitter comes on top of Retry-After: the server gives many clients the same time.
            wait = failure.retry_after + self.backoff.seconds(number)
            if number > self._retries or self._closed.wait(wait):
                raise failure
        raise AssertionError("the last attempt returns or raises")

    def send_once(self, request: Request) -> Response:
        """Return the response to one attempt, whatever its status.

        There is a second attempt if the token was replaced meanwhile. Raises Unreachable unless a
        whole response arrives in the request's time.
        """
        token = self._token
        response = self._attempt(request)
        if response.status == _UNAUTHENTICATED and self._has_newer_token(token):
            return self._attempt(request)
        return response

    def stream_lines(self, request: Request) -> Iterator[bytes]:
        """Yield the lines of a response that does not end, without their line ends.

        Raises the error that the server answered with; or Unreachable when the connection breaks,
        or is silent for longer than the request's timeout.
        """
        timeout = request.timeout or self.timeout
        # A stream occupies its connection, so it has one of its own.
        connection = self._open_connection()
        connection.allow(timeout)
        try:
            with _FailureAsUnreachable(self.url):
                response = self._resolved.send(request, partial(self._begin_stream, connection))
                while line := response.readline():
                    yield line.rstrip(b"\r\n")
                    connection.allow(timeout)
                raise Unreachable(f"{self.url} ended the stream.")
        finally:
            connection.close()

    def _begin_stream(self, connection: Connection, request: Request) -> RawResponse:
        """Return a response with its lines still to be read; raise the error in any other."""
        token = self._token
        response = self._exchange(request, connection)
        if response.status == _UNAUTHENTICATED and self._has_newer_token(token):
            response.read()
            response = self._exchange(request, connection)
        if response.status >= 400:
            raise error_from(_whole_response(response, None))
        return response

    def pause(self, seconds: float) -> bool:
        """Wait for ``seconds``. Return whether the transport was closed meanwhile, at once then."""
        return self._closed.wait(seconds)

    @property
    def token(self) -> str:
        """The token that is sent now; "" if none is."""
        return self._token

    @property
    def closed(self) -> bool:
        """Whether it was closed; it sends nothing any more then."""
        return self._closed.is_set()

    def close(self) -> None:
        """End every connection; a thread that waits for a response gets Unreachable."""
        self._closed.set()
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            connection.interrupt()

    def _attempt(self, request: Request) -> Response:
        with _FailureAsUnreachable(self.url):
            connection = self._own_connection()
            connection.allow(request.timeout or self.timeout)
            try:
                raw = self._exchange(request, connection)
                response = _whole_response(raw, request.most)
                if raw.will_close:
                    connection.close()
            # Half a response may be left on the connection, and the next request would read it as
            # its own.
            except BaseException:  # whatever ended it, also KeyboardInterrupt
                connection.close()
                raise
            is_framed = _FRAMING_HEADERS & response.headers.keys()
            if response.status != _NOT_MODIFIED and not is_framed:
                raise Unreachable(f"The response of {self.url} was cut short.")
            return response
        raise AssertionError("the block returns or raises")

    def _exchange(self, request: Request, connection: Connection) -> RawResponse:
        """Send a request, and return the response with its body still to be read."""
        headers = {"Accept": "application/json", "User-Agent": "distconf", **request.headers}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._actor and request.method != "GET":
            headers["Config-Actor"] = self._actor
        connection.send(request.method, self._base + request.target, request.body, headers)
        # close() may have come while the connection was being opened, and found no socket yet.
        if self._closed.is_set():
            raise Unreachable("The client was closed.")
        return connection.receive()

    def _has_newer_token(self, refused: str) -> bool:
        """Whether there is another token by now than the one that the server refused.

        Raises Invalid if its file cannot be read any more.
        """
        if isinstance(refused, FileToken) and self._token == refused:
            self._token = refused.reread()
        return self._token != refused

    def _own_connection(self) -> Connection:
        """Return this thread's connection; a new one unless the old one is still good."""
        if self._process != os.getpid():
            self._forget_connections()
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.is_closed:
            connection = self._local.connection = self._open_connection()
        return connection

    def _open_connection(self) -> Connection:
        if self._closed.is_set():
            raise Unreachable("The client was closed.")
        connection = self._connector.connect()
        with self._guard:
            self._connections.add(connection)
        return connection

    def _forget_connections(self) -> None:
        """Start with no connections; the child of a fork leaves its parent's alone."""
        self._process = os.getpid()
        self._local = threading.local()
        # Of the set: threads add to it while another one ends them all. A lock that was held at
        # the moment of a fork stays held in the child, so the child gets a new one.
        self._guard = threading.Lock()
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()


class _FailureAsUnreachable:
    """Turns whatever can happen to a connection into Unreachable."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # The sentence says what happened below; a chain of tracebacks would only hide it.
        if isinstance(error, TimeoutError):
            raise Unreachable(f"{self._url} did not answer in time.") from None
        if isinstance(error, http.client.HTTPException):
            raise Unreachable(f"The response of {self._url} was cut short or garbled.") from None
        # A connection that another thread closes at the same moment fails with any of these.
        if isinstance(error, OSError | ValueError | AttributeError | RecursionError):
            reason = (isinstance(error, OSError) and error.strerror) or error
            failure = Unreachable(f"{self._url} cannot be reached: {reason}.")
            failure.at_once = isinstance(error, OSError)
            raise failure from None


def _whole_response(raw: RawResponse, most: int | None) -> Response:
    """Read a response to its end. Raises ValueError if its body is longer than ``most`` bytes."""
    # One byte more than allowed tells a body of exactly that size from a longer one.
    body = raw.read() if most is None else raw.read(most + 1)
    if most is not None and len(body) > most:
        raise ValueError(f"the response is longer than {most} bytes")
    headers = {name.lower(): value for name, value in raw.getheaders()}
    return Response(raw.status, headers, body)
