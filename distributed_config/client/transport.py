"""HTTP to one server: kept connections, time limits, retries with backoff and full jitter.

Standard library only. A request is sent again after what may pass: a server that is not there, a
connection that breaks, an answer that is cut short, 429, 502, 503, 504. That is safe for writes as
well, because each carries an idempotency key of its own.
"""

import http.client
import json
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from distributed_config.errors import DistconfError, Invalid, Problem, Unreachable

_PASSING = frozenset({429, 502, 503, 504})
_LARGEST_ANSWER = 256 << 20


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the attempt ``number`` (from 1): any time up to a growing limit.

    Full jitter: clients that lost their server together do not come back together.
    """

    first: float = 0.2
    most: float = 30.0

    def seconds(self, number: int) -> float:
        """A random time for this attempt."""
        limit = min(self.most, self.first * 2 ** min(number - 1, 20))
        return random.uniform(0, limit)  # noqa: S311  # it only has to differ


@dataclass(frozen=True)
class Response:
    """A whole answer. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The answer's value. Raises Unreachable if it is not JSON: something else answered."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Unreachable(
                "What answered is not a configuration server. Check the address."
            ) from None


@dataclass
class Request:
    """What is asked. ``timeout`` is how long each part of the answer may take."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float | None = None

    @property
    def target(self) -> str:
        """Path and query; what is None is left out, a list is repeated."""
        pairs = [
            (name, each)
            for name, value in self.query.items()
            if value is not None
            for each in (value if isinstance(value, list | tuple) else [value])
        ]
        return f"{self.path}?{urlencode(pairs)}" if pairs else self.path


class Transport:
    """Speaks to the server at ``url``; a connection for each thread, kept while it is good."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: Backoff | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            message = f"{url!r} is not the address of a server, as in http://localhost:5000."
            raise Invalid.of([Problem("", message, "url", "url")])
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.backoff = backoff or Backoff()
        self._retries = retries
        self._token = token
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._context = context
        if parts.scheme == "https" and context is None:
            self._context = ssl.create_default_context()
        self._secure = parts.scheme == "https"
        self._mine = threading.local()
        self._open: set[http.client.HTTPConnection] = set()
        self._closed = threading.Event()

    def ask(self, request: Request) -> Response:
        """The answer, after as many attempts as are allowed.

        Raises what the server told of, as the same classes; or Unreachable.
        """
        for number in range(1, self._retries + 2):
            failure: DistconfError
            try:
                response = self.once(request)
            except Unreachable as error:
                failure, wait = error, self.backoff.seconds(number)
            else:
                if response.status < 400:
                    return response
                failure = _told(response)
                if response.status not in _PASSING:
                    raise failure
                wait = max(self.backoff.seconds(number), _retry_after(response))
            if number > self._retries or self._closed.wait(wait):
                raise failure
        raise AssertionError("the last attempt returns or raises")

    def once(self, request: Request) -> Response:
        """One attempt. Raises Unreachable unless a whole answer came."""
        with _as_unreachable(self.url):
            answer = self._send(request, self._connection(request.timeout or self.timeout))
            # read() is content with less than was announced when it is given a size.
            body = answer.read()
            if len(body) > _LARGEST_ANSWER:
                raise Unreachable(f"What {self.url} answers is far too large.")
            headers = {name.lower(): value for name, value in answer.getheaders()}
            if answer.will_close:
                self._drop()
            return Response(answer.status, headers, body)
        raise AssertionError("the block returns or raises")

    def lines(self, request: Request, began: Callable[[], None]) -> Iterator[bytes]:
        """The lines of an answer that does not end, without their ends.

        ``began`` is called when it has begun. Raises what the server told of, or Unreachable when
        the connection breaks or is silent for longer than the request's timeout.
        """
        connection = self._new(request.timeout or self.timeout)
        try:
            with _as_unreachable(self.url):
                answer = self._send(request, connection)
                if answer.status >= 400:
                    headers = {name.lower(): value for name, value in answer.getheaders()}
                    raise _told(Response(answer.status, headers, answer.read()))
                began()
                while line := answer.readline():
                    yield line.rstrip(b"\r\n")
                raise Unreachable(f"{self.url} ended the stream.")
        finally:
            self._forget(connection)

    def pause(self, seconds: float) -> bool:
        """Waits; whether the end came meanwhile."""
        return self._closed.wait(seconds)

    def close(self) -> None:
        """Ends every connection; whoever waits for an answer gets Unreachable."""
        self._closed.set()
        for connection in list(self._open):
            self._forget(connection)

    def _send(
        self, request: Request, connection: http.client.HTTPConnection
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "distconf", **request.headers}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(request.method, self._base + request.target, request.body, headers)
            return connection.getresponse()
        except BaseException:  # half a request may be on it, whatever ended it
            self._forget(connection)
            raise

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        found: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if found is None or found not in self._open:
            found = self._mine.connection = self._new(timeout)
        found.timeout = timeout
        if found.sock is not None:
            found.sock.settimeout(timeout)
        return found

    def _new(self, timeout: float) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection
        if self._secure:
            made = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._context
            )
        else:
            made = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        self._open.add(made)
        return made

    def _drop(self) -> None:
        self._forget(self._mine.connection)

    def _forget(self, connection: http.client.HTTPConnection) -> None:
        self._open.discard(connection)
        sock = connection.sock
        if sock is not None:
            with suppress(OSError):
                # Wakes a thread that reads from it; closing alone would not.
                sock.shutdown(socket.SHUT_RDWR)
        connection.close()


class _as_unreachable:  # noqa: N801  # it reads as a phrase behind ``with``
    """Turns what can happen to a connection into Unreachable."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, TimeoutError):
            raise Unreachable(f"{self._url} did not answer in time.") from error
        if isinstance(error, http.client.HTTPException):
            raise Unreachable(f"The answer of {self._url} was cut short or garbled.") from error
        if isinstance(error, OSError | ValueError | AttributeError):
            # A connection that another thread closed can fail in any of these ways.
            raise Unreachable(f"{self._url} cannot be reached: {error}.") from error


def _told(response: Response) -> DistconfError:
    """The error in an answer; the same class as on the server."""
    try:
        body = json.loads(response.body)
        problems = [
            Problem(each["pointer"], each["message"], each["rule"], each.get("parameter", ""))
            for each in body["problems"]
        ]
        return DistconfError.told(body["code"], body["detail"], problems)
    except (ValueError, KeyError, TypeError):
        return Unreachable(f"Something answered with status {response.status} and no reason.")


def _retry_after(response: Response) -> float:
    given = response.headers.get("retry-after", "")
    return min(float(given), 30.0) if given.isdigit() else 0.0
