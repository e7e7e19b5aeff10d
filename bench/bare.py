"""The least that an ASGI application can do: ``whole`` answers 1 KB, ``known`` answers 304."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bench.documents import DOCUMENT, ETAG

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_WHOLE: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(DOCUMENT)).encode()),
    ],
}
_KNOWN: Message = {
    "type": "http.response.start",
    "status": 304,
    "headers": [(b"etag", ETAG.encode())],
}
_BODY: Message = {"type": "http.response.body", "body": DOCUMENT}
_NO_BODY: Message = {"type": "http.response.body", "body": b""}


async def app(scope: Message, _receive: object, send: Send) -> None:
    """Respond 304 to ``/known``, and with the document to every other path."""
    if scope["type"] != "http":
        raise NotImplementedError  # tells the server that there is no lifespan
    known = scope["path"] == "/known"
    await send(_KNOWN if known else _WHOLE)
    await send(_NO_BODY if known else _BODY)
