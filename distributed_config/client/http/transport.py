"""HTTP to one server: kept connections, time limits, retries with backoff and full jitter.

Standard library only. A request is sent again after what may pass: a server that is not there, a
connection that breaks, an answer that is cut short, 429, 502, 503, 504. That is safe for writes as
well, because each carries an idempotency key of its own.
"""

import http.client
import io
import json
import os
import random
import re
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from distributed_config.client.http.token_file import FileToken, check_token
from distributed_config.errors import DistconfError, Invalid, Problem, Unreachable

_UNAUTHENTICATED = 401
_PASSING = frozenset({429, 502, 503, 504})
_NOT_MODIFIED = 304
# One of them says where an answer ends; without either it may have been cut anywhere.
_FRAMED = {"content-length", "transfer-encoding"}


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

    def json(self) -> dict[str, Any]:
        """The answer's object. Raises Unreachable if it is none: something else answered."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            raise _not_our_server() from None
        if not isinstance(found, dict):
            raise _not_our_server()
        return found

    def header(self, name: str) -> str:
        """A header that the server always sends. Raises Unreachable if it is not there."""
        if name not in self.headers:
            raise _not_our_server()
        return self.headers[name]

    def number(self, name: str) -> int:
        """A header that is a number, in the same way."""
        text = self.header(name)
        if not (text.isascii() and text.isdigit()):
            raise _not_our_server()
        return int(text)


def _not_our_server() -> Unreachable:
    return Unreachable("What answered is not a configuration server. Check the address.")


@dataclass
class Request:
    """What is asked. ``timeout``: seconds for the whole answer; in a stream, for each line.

    ``most``: the largest answer that is read, in bytes; None: any.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float | None = None
    most: int | None = None

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
    """Speaks to the server at ``url``; a connection for each thread, kept while it is good.

    A token from a file is read again when the server does not know it any more. ``actor`` is who
    writes, for servers that ask nobody to prove it. Raises Invalid for an address or a token that
    can be none.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: Backoff | None = None,
        context: ssl.SSLContext | None = None,
        actor: str = "",
    ) -> None:
        parts = address_of(url)
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.backoff = backoff or Backoff()
        self._retries = retries
        self._token = check_token(token)
        self._actor = actor.encode().decode("latin-1")
        self._host, self._port = parts.hostname or "", parts.port
        self._base = parts.path.rstrip("/")
        self._context = context
        if parts.scheme == "https" and context is None:
            self._context = ssl.create_default_context()
        self._secure = parts.scheme == "https"
        self._closed = threading.Event()
        self._begin()

    def _begin(self) -> None:
        """With no connections; a child of a fork leaves those of its parent alone."""
        self._process = os.getpid()
        self._mine = threading.local()
        self._guard = threading.Lock()  # of the set: threads add to it while another ends them
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def ask(self, request: Request) -> Response:
        """The answer, after as many attempts as are allowed.

        Raises what the server told of, as the same classes; or Unreachable.
        """
        for number in range(1, self._retries + 2):
            failure: DistconfError
            try:
                response = self.once(request)
            except Unreachable as error:
                failure = error
            else:
                if response.status < 400:
                    return response
                failure = _error_from(response)
                if response.status not in _PASSING:
                    raise failure
            wait = failure.retry_after + self.backoff.seconds(number)
            if number > self._retries or self._closed.wait(wait):
                raise failure
        raise AssertionError("the last attempt returns or raises")

    def once(self, request: Request) -> Response:
        """One attempt; and another where the token was exchanged meanwhile.

        Raises Unreachable unless a whole answer came, in the request's time.
        """
        token = self._token
        response = self._attempt(request)
        if response.status == _UNAUTHENTICATED and self._has_other_than(token):
            return self._attempt(request)
        return response

    def _attempt(self, request: Request) -> Response:
        timeout = request.timeout or self.timeout
        with _as_unreachable(self.url):
            kept = self._connection()
            kept.allow(timeout)
            try:
                answer = self._send(request, kept)
                body = _whole(answer, request.most)
                headers = {name.lower(): value for name, value in answer.getheaders()}
                if answer.will_close:
                    kept.end()
            except BaseException:  # half an answer may be on it, whatever ended it
                kept.end()
                raise
            if answer.status != _NOT_MODIFIED and not _FRAMED & headers.keys():
                raise Unreachable(f"The answer of {self.url} was cut short.")
            return Response(answer.status, headers, body)
        raise AssertionError("the block returns or raises")

    def lines(self, request: Request) -> Iterator[bytes]:
        """The lines of an answer that does not end, without their ends.

        Raises what the server told of, or Unreachable when the connection breaks or is silent for
        longer than the request's timeout.
        """
        timeout = request.timeout or self.timeout
        kept = self._new()
        kept.allow(timeout)
        token = self._token
        try:
            with _as_unreachable(self.url):
                answer = self._send(request, kept)
                if answer.status == _UNAUTHENTICATED and self._has_other_than(token):
                    answer.read()
                    answer = self._send(request, kept)
                if answer.status >= 400:
                    headers = {name.lower(): value for name, value in answer.getheaders()}
                    raise _error_from(Response(answer.status, headers, answer.read()))
                while line := answer.readline():
                    yield line.rstrip(b"\r\n")
                    kept.allow(timeout)
                raise Unreachable(f"{self.url} ended the stream.")
        finally:
            kept.end()

    def pause(self, seconds: float) -> bool:
        """Waits; whether the end came meanwhile."""
        return self._closed.wait(seconds)

    @property
    def token(self) -> str:
        """The token that is sent now; "" if none is."""
        return self._token

    @property
    def closed(self) -> bool:
        """Whether it was closed; nothing is asked then any more."""
        return self._closed.is_set()

    def close(self) -> None:
        """Ends every connection; whoever waits for an answer gets Unreachable."""
        self._closed.set()
        with self._guard:
            found = list(self._open)
        for kept in found:
            kept.interrupt()

    def _has_other_than(self, token: str) -> bool:
        """Whether there is another token by now than ``token``, which the server refused.

        Raises Invalid if its file cannot be read any more.
        """
        if isinstance(token, FileToken) and self._token == token:
            self._token = token.again()
        return self._token != token

    def _send(self, request: Request, kept: "_Connection") -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "distconf", **request.headers}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._actor and request.method != "GET":
            headers["Config-Actor"] = self._actor
        connection = kept.http
        try:
            connection.request(request.method, self._base + request.target, request.body, headers)
        except (BrokenPipeError, ConnectionResetError):
            # It would not hear more; it may have said why.
            if connection.sock is None:
                raise
        if self._closed.is_set():
            raise Unreachable("The client was closed.")
        return connection.getresponse()

    def _connection(self) -> "_Connection":
        """This thread's, if it is still good."""
        if self._process != os.getpid():
            self._begin()
        found: _Connection | None = getattr(self._mine, "connection", None)
        if found is None or found.ended:
            found = self._mine.connection = self._new()
        return found

    def _new(self) -> "_Connection":
        if self._closed.is_set():
            raise Unreachable("The client was closed.")
        made: http.client.HTTPConnection
        if self._secure:
            made = http.client.HTTPSConnection(self._host, self._port, context=self._context)
        else:
            made = http.client.HTTPConnection(self._host, self._port)
        kept = _Connection(made)
        with self._guard:
            self._open.add(kept)
        return kept


class _Connection:
    """A connection that is closed when nobody has it any more."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.http = connection
        self.ended = False
        self._process = os.getpid()
        self._clock = _Clock()
        connection.response_class = partial(_RawResponse, self._clock)  # type: ignore[assignment]  # is called

    def allow(self, seconds: float) -> None:
        """What is sent and read from here on has to be over in ``seconds``."""
        self._clock.deadline = time.monotonic() + seconds
        self.http.timeout = seconds
        if self.http.sock is not None:
            self.http.sock.settimeout(seconds)

    def interrupt(self) -> None:
        """Ends it for a thread that waits for it; closing alone would not wake that."""
        self.ended = True
        sock = self.http.sock
        # The child of a fork has its parent's connections as well, and must not end them.
        if sock is not None and self._process == os.getpid():
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Closes it."""
        self.ended = True
        self.http.close()

    def __del__(self) -> None:
        self.http.close()


@dataclass
class _Clock:
    """Until when what is asked for has to be there; shared by a connection and its answers."""

    deadline: float = 0.0


class _RawResponse(http.client.HTTPResponse):
    """An answer that is read before the deadline, however it trickles."""

    def __init__(self, clock: _Clock, sock: socket.socket, *rest: Any, **named: Any) -> None:
        super().__init__(sock, *rest, **named)
        self.fp = io.BufferedReader(_DeadlineReader(clock, sock, self.fp.detach()))


class _DeadlineReader(io.RawIOBase):
    """The bytes of a socket; each read may wait only for what is left until the deadline."""

    def __init__(self, clock: _Clock, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._clock, self._sock, self._raw = clock, sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._clock.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def address_of(url: str) -> SplitResult:
    """``url`` in its parts. Raises Invalid if it is not the address of a server."""
    with suppress(ValueError):
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if known and not re.search(r"[\s\x00-\x1f]", url) and url.isascii():
            return parts
    message = f"{url!r} is not the address of a server, as in http://localhost:5000."
    raise Invalid.from_problems([Problem("", message, "url", "url")])


def same_spelling(url: str) -> str:
    """One spelling for all addresses that lead to the same server.

    Case and default ports do not matter, nor does a slash at the end, nor what is never sent.
    """
    parts = address_of(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    standard = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, standard} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


class _as_unreachable:  # noqa: N801  # it reads as a phrase behind ``with``
    """Turns what can happen to a connection into Unreachable."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # What happened below is in the sentence: a chain of tracebacks would only hide that.
        if isinstance(error, TimeoutError):
            raise Unreachable(f"{self._url} did not answer in time.") from None
        if isinstance(error, http.client.HTTPException):
            raise Unreachable(f"The answer of {self._url} was cut short or garbled.") from None
        if isinstance(error, OSError | ValueError | AttributeError | RecursionError):
            # A connection that another thread closed can fail in many ways.
            reason = (isinstance(error, OSError) and error.strerror) or error
            failure = Unreachable(f"{self._url} cannot be reached: {reason}.")
            failure.at_once = isinstance(error, OSError)
            raise failure from None


def _whole(answer: http.client.HTTPResponse, most: int | None) -> bytes:
    """The body of an answer. Raises ValueError if it is longer than ``most`` bytes."""
    if most is None:
        return answer.read()
    body = answer.read(most + 1)
    if len(body) > most:
        raise ValueError(f"the answer is longer than {most} bytes")
    return body


def _error_from(response: Response) -> DistconfError:
    """The error in an answer; the same class as on the server."""
    try:
        body = json.loads(response.body)
        problems = [
            Problem(each["pointer"], each["message"], each["rule"], each.get("parameter", ""))
            for each in body["problems"]
        ]
        error = DistconfError.from_code(body["code"], body["detail"], problems)
    except (ValueError, KeyError, TypeError, RecursionError):
        error = Unreachable(f"Something answered with status {response.status} and no reason.")
    error.retry_after = _retry_after(response)
    return error


def _retry_after(response: Response) -> float:
    given = response.headers.get("retry-after", "")
    return min(float(given), 30.0) if given.isascii() and given.isdigit() else 0.0
