"""WebSockets that carry the same events as a stream of server-sent events."""

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

from distributed_config.asgi.direct_events import Direct, alive_text, changes_text
from distributed_config.asgi.event_streams import Deliver, Streams
from distributed_config.asgi.places import Place
from distributed_config.asgi.wsgi_bridge import Message, Receive, Scope, Send, WsgiResponse
from distributed_config.live.feed import EncodedMessage, Subscription

# RFC 6455 leaves 4000 to 4999 to applications: here they are the HTTP status plus 4000.
_REFUSED = 4000
_GOING_AWAY = 1001
_UNAUTHORISED = 4401
_LONGEST_REASON = 120  # RFC 6455 allows 123 bytes in a control frame
_CLOSING_SECONDS = 1.0

_EVENTS = b"text/event-stream"


def as_event_stream_request(scope: Scope) -> Scope:
    """Return a WebSocket's handshake as the GET for events that the application knows."""
    left_out = {b"accept", b"upgrade", b"connection"}
    headers = [header for header in scope["headers"] if header[0] not in left_out]
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    return {
        **scope,
        "type": "http",
        "method": "GET",
        "scheme": scheme,
        "headers": [*headers, (b"accept", _EVENTS)],
    }


def closing_frame(refusal: WsgiResponse) -> Message:
    """Return the frame that closes a WebSocket to which the application gave no stream."""
    try:
        reason = str(json.loads(refusal.body)["detail"])
    except (ValueError, KeyError, TypeError):
        reason = "There is no stream at this path."
    status = refusal.status if refusal.status >= 400 else 404
    return _close(_REFUSED + status, reason)


def _close(code: int, reason: str) -> Message:
    cut = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
    return {"type": "websocket.close", "code": code, "reason": cut}


def _final_frame(streams: Streams, serving: "asyncio.Future[bool]") -> Message:
    """Return the frame that closes a stream which the client did not close."""
    if streams.is_closing or serving.cancelled() or serving.exception() is not None:
        return _close(_GOING_AWAY, "The server is shutting down; connect again.")
    return _close(_UNAUTHORISED, "The token expired, or its rights changed; connect again.")


class WebSocketSession:
    """One WebSocket. Of what the client sends only a ping is understood, and answered."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def run(
        self,
        streams: Streams,
        subscription: Subscription,
        expires_at: int | None,
        place: Place,
        direct: Direct | None,
    ) -> None:
        """Send events until either side ends the stream; ``direct`` as in ``Streams.serve``."""
        deliver: Deliver = self._deliver_bare
        if not subscription.encoder.is_bare:
            event = "reset" if subscription.reset else "hello"
            first = self._message(event, subscription, subscription.after)
            await self._send_json({**first, "epoch": subscription.epoch})
            deliver = partial(self._deliver, subscription)
        else:
            # Its messages have no common form, and it knows no heartbeat.
            direct = None
        listening = asyncio.ensure_future(self._listen())
        serving = asyncio.ensure_future(
            streams.serve(subscription, deliver, expires_at, place, direct=direct)
        )
        try:
            await asyncio.wait([listening, serving], return_when=asyncio.FIRST_COMPLETED)
            if serving.done() and not listening.done():
                # The server library waits for the client's closing frame; a client that sends
                # none must not hold up the end of the process.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSING_SECONDS):
                        await self._send(_final_frame(streams, serving))
        finally:
            for task in (listening, serving):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await task

    async def _deliver(
        self, subscription: Subscription, revision: int, message: EncodedMessage | None
    ) -> None:
        if message is None:
            text = alive_text(subscription.position(revision))
        else:
            text = changes_text(subscription, message)
        await self._send({"type": "websocket.send", "text": text})

    def _message(self, event: str, subscription: Subscription, revision: int) -> dict[str, Any]:
        return {"event": event, "id": str(subscription.position(revision)), "revision": revision}

    async def _deliver_bare(self, _revision: int, message: EncodedMessage | None) -> None:
        """Send a message as its encoder wrote it; the dialect knows no heartbeat."""
        if message is not None and message.text:
            await self._send({"type": "websocket.send", "text": message.text})

    async def _listen(self) -> None:
        """Answer pings until the client is gone."""
        while True:
            frame = await self._receive()
            if frame["type"] == "websocket.disconnect":
                return
            # Whatever else a client sends is no reason to end its stream.
            with suppress(ValueError, TypeError, RecursionError):
                value = json.loads(frame.get("text") or "null")
                if isinstance(value, dict) and "ping" in value:
                    await self._send_json({"event": "pong", "pong": value["ping"]})

    async def _send_json(self, value: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps(value, allow_nan=False)})
