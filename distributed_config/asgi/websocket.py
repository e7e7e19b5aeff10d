"""WebSockets that tell what a stream of events tells."""

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

from distributed_config.asgi.event_streams import Streams, Tell
from distributed_config.asgi.places import Place
from distributed_config.asgi.wsgi_bridge import Message, Receive, Scope, Send, WsgiResponse
from distributed_config.live.feed import EncodedMessage, Subscription

# RFC 6455 leaves 4000 to 4999 to applications: here they are the HTTP status and 4000.
_REFUSED = 4000
_ENDING = 1001
_CHANGED = 4401
_LONGEST_REASON = 120
_FAREWELL = 1.0

_EVENTS = b"text/event-stream"


def as_request_for_stream(scope: Scope) -> Scope:
    """A WebSocket's request as the one for events that the application decides about."""
    left_out = {b"accept", b"upgrade", b"connection"}
    headers = [each for each in scope["headers"] if each[0] not in left_out]
    plain = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    return {
        **scope,
        "type": "http",
        "method": "GET",
        "scheme": plain,
        "headers": [*headers, (b"accept", _EVENTS)],
    }


def closing_frame(refusal: WsgiResponse) -> Message:
    """What ends a WebSocket that the application refused, or has nothing to tell."""
    try:
        reason = str(json.loads(refusal.body)["detail"])
    except (ValueError, KeyError, TypeError):
        reason = "There is no stream at this path."
    status = refusal.status if refusal.status >= 400 else 404
    return _close(_REFUSED + status, reason)


def _close(code: int, reason: str) -> Message:
    cut = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
    return {"type": "websocket.close", "code": code, "reason": cut}


def _farewell(streams: Streams, telling: "asyncio.Future[None]") -> Message:
    """What a stream ends with that the other side did not end."""
    if streams.is_closing or telling.cancelled() or telling.exception() is not None:
        return _close(_ENDING, "The server ends; connect again.")
    return _close(_CHANGED, "The token has ended, or what it may hear changed; connect again.")


class WebSocketSession:
    """One WebSocket. What it says is not understood, except for a ping, which is answered."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def hold(
        self, streams: Streams, watch: Subscription, until: int | None, place: Place
    ) -> None:
        """Tells until either side ends it."""
        tell: Tell = self._tell_bare
        if not watch.encoder.is_bare:
            first = self._message("reset" if watch.reset else "hello", watch, watch.after)
            await self._say({**first, "epoch": watch.epoch})
            tell = partial(self._tell, watch)
        listening = asyncio.ensure_future(self._listen())
        telling = asyncio.ensure_future(streams.follow(watch, tell, until, place))
        try:
            await asyncio.wait([listening, telling], return_when=asyncio.FIRST_COMPLETED)
            if telling.done() and not listening.done():
                # The server waits for the other side's farewell; not for long when it ends.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_FAREWELL):
                        await self._send(_farewell(streams, telling))
        finally:
            for each in (listening, telling):
                each.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await each

    async def _tell(self, watch: Subscription, revision: int, told: EncodedMessage | None) -> None:
        if told is None:
            await self._say(self._message("alive", watch, revision))
        else:
            text = f'{{"event": "changes", "id": "{watch.position(told.revision)}", {told.text[1:]}'
            await self._send({"type": "websocket.send", "text": text})

    def _message(self, event: str, watch: Subscription, revision: int) -> dict[str, Any]:
        return {"event": event, "id": str(watch.position(revision)), "revision": revision}

    async def _tell_bare(self, _revision: int, told: EncodedMessage | None) -> None:
        """Send a message as its encoder wrote it; the dialect knows no heartbeat."""
        if told is not None and told.text:
            await self._send({"type": "websocket.send", "text": told.text})

    async def _listen(self) -> None:
        """Until the other side is gone."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            with suppress(ValueError, TypeError, RecursionError):
                said = json.loads(message.get("text") or "null")
                if isinstance(said, dict) and "ping" in said:
                    await self._say({"event": "pong", "pong": said["ping"]})

    async def _say(self, value: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps(value, allow_nan=False)})
