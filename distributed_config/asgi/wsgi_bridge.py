"""From ASGI to WSGI: the body is read here within its limits, the response comes back whole.

The body is read by the event loop before a thread is taken, so that a slow sender holds no
thread. A response is not sent in parts, so a request costs one change of threads and not one for
each part. Why this is not a2wsgi:
docs/decisions/0004-own-bridge-to-wsgi.md.
"""

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from distributed_config.errors import DistconfError, TooLarge, TooSlow
from distributed_config.live.exchange import KEY as EXCHANGE
from distributed_config.live.exchange import Exchange
from distributed_config.wire.targets import set_host, split_target

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class WsgiResponse:
    """A whole response of the application; header names are in lower case."""

    status: int
    headers: Headers
    body: bytes


async def read_body(
    scope: Scope, receive: Receive, most: int, seconds: int
) -> bytes | DistconfError:
    """Return the request's body, or the error to refuse it with as soon as that is known.

    ``seconds`` bound the whole body, not its parts: a client that sends a byte now and then is
    too slow as well.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            return TooLarge("DISTCONF_BODY_BYTES", most)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return TooSlow()
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    return TooLarge("DISTCONF_BODY_BYTES", most)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        return TooSlow()


def target_of(scope: Scope) -> tuple[str, str]:
    """Return the host in the request's target ("": none), and the path as WSGI has it."""
    host, path = split_target(scope["raw_path"].decode("latin-1"))
    return host, unquote_to_bytes(path.encode("latin-1")).decode("latin-1")


def make_environ(scope: Scope, body: bytes, exchange: Exchange) -> dict[str, Any]:
    """Return the WSGI environment (PEP 3333) of an ASGI request."""
    server = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    host, path = target_of(scope)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", ""),
        "PATH_INFO": path,
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": str(client[0]),
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        EXCHANGE: exchange,
    }
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        value = raw_value.decode("latin-1")
        if name not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            name = f"HTTP_{name}"
        # Repeated headers are one, joined as RFC 9110 says; cookies as RFC 6265 says.
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    set_host(environ, host)
    # The body was framed in chunks, perhaps; here it is whole, and has a length.
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def call_wsgi(app: WsgiApp, environ: dict[str, Any]) -> WsgiResponse:
    """Run the application for one request, in the thread of the caller."""
    started: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
        started[:] = [status, headers]
        return written.append

    parts = app(environ, start_response)
    try:
        written.extend(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    status, headers = started
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return WsgiResponse(int(status.split(" ", 1)[0]), encoded, b"".join(written))
