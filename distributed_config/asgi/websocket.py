"""WebSockets that carry the same events as a stream of server-sent events."""

import asyncio
import json
from contextlib import suppress
from functools import lru_cache, partial

from distributed_config.asgi.direct_events import Connection, Direct, Framing
from distributed_config.asgi.event_streams import Deliver, Streams
from distributed_config.asgi.frames import CLOSING_SECONDS, TEXT, close_frame, frame
from distributed_config.asgi.places import Place
from distributed_config.asgi.wsgi_bridge import Message, Receive, Scope, Send, WsgiResponse
from distributed_config.live.feed import EncodedMessage, Subscription
from distributed_config.wire import Position

# RFC 6455 leaves 4000 to 4999 to applications: here they are the HTTP status plus 4000.
_REFUSED = 4000
_GOING_AWAY = 1001
_UNAUTHORISED = 4401
_LONGEST_REASON = 120  # RFC 6455 allows 123 bytes in a control frame

_SHUTDOWN = _GOING_AWAY, "The server is shutting down; connect again."
_END = _UNAUTHORISED, "The token expired, or its rights changed; connect again."

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
        return _close(*_SHUTDOWN)
    return _close(*_END)


# --- what is said


def answer_to(text: str) -> str | None:
    """Return the answer to what a client says: only a ping is understood; None: nothing."""
    # Whatever else a client sends is no reason to end its stream.
    with suppress(ValueError, TypeError, RecursionError):
        value = json.loads(text or "null")
        if isinstance(value, dict) and "ping" in value:
            return json.dumps({"event": "pong", "pong": value["ping"]}, allow_nan=False)
    return None


def _first_text(subscription: Subscription) -> str:
    """Return the message with which a stream begins."""
    first = {
        "event": "reset" if subscription.reset else "hello",
        "id": str(subscription.position(subscription.after)),
        "revision": subscription.after,
        "epoch": subscription.epoch,
    }
    return json.dumps(first)


@lru_cache(maxsize=64)
def _alive_text(position: Position) -> str:
    """Return the message that says that the stream is alive, and where it is."""
    return json.dumps({"event": "alive", "id": str(position), "revision": position.revision})


def _changes_text(subscription: Subscription, message: EncodedMessage) -> str:
    """Return the message with the changes of one revision."""
    # Spliced into the shared text: encoding it for each subscriber would cost far more.
    position = subscription.position(message.revision)
    return f'{{"event": "changes", "id": "{position}", {message.text[1:]}'


# --- without a task: see direct_events.py


def take_over(connection: Connection, subscription: Subscription) -> Direct | None:
    """Begin the stream on a connection that was accepted; None if it cannot go without a task.

    The caller's request has nothing more to send then, and has to end by being cancelled.
    """
    if not connection.take_frames(answer_to):
        return None
    if subscription.encoder.is_bare:
        return Direct(connection, _BARE_FRAMES)
    connection.write_now(frame(TEXT, _first_text(subscription).encode()))
    return Direct(connection, _FRAMES)


def _as_frame(subscription: Subscription, revision: int, message: EncodedMessage | None) -> bytes:
    """Return a message, or a heartbeat, as a frame."""
    if message is None:
        return frame(TEXT, _alive_text(subscription.position(revision)).encode())
    prepared = message.prepared.get("frame")
    if prepared is None:
        text = _changes_text(subscription, message)
        prepared = message.prepared["frame"] = frame(TEXT, text.encode())
    return prepared


def _as_bare_frame(_: Subscription, _revision: int, message: EncodedMessage | None) -> bytes:
    """Return a message as its encoder wrote it; nothing for a heartbeat, which it does not know."""
    return frame(TEXT, message.text.encode()) if message is not None and message.text else b""


_ENDS = close_frame(*_SHUTDOWN), close_frame(*_END)
_FRAMES = Framing(_as_frame, *_ENDS)
_BARE_FRAMES = Framing(_as_bare_frame, *_ENDS)


# --- with a task


class WebSocketSession:
    """One WebSocket, served by the task of its request, on any ASGI server."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def run(
        self, streams: Streams, subscription: Subscription, expires_at: int | None, place: Place
    ) -> None:
        """Send events until either side ends the stream."""
        deliver: Deliver = self._deliver_bare
        if not subscription.encoder.is_bare:
            await self._say(_first_text(subscription))
            deliver = partial(self._deliver, subscription)
        listening = asyncio.ensure_future(self._listen())
        serving = asyncio.ensure_future(streams.serve(subscription, deliver, expires_at, place))
        try:
            await asyncio.wait([listening, serving], return_when=asyncio.FIRST_COMPLETED)
            if serving.done() and not listening.done():
                # The server library waits for the client's closing frame; a client that sends
                # none must not hold up the end of the process.
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSING_SECONDS):
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
            text = _alive_text(subscription.position(revision))
        else:
            text = _changes_text(subscription, message)
        await self._say(text)

    async def _deliver_bare(self, _revision: int, message: EncodedMessage | None) -> None:
        """Send a message as its encoder wrote it; the dialect knows no heartbeat."""
        if message is not None and message.text:
            await self._say(message.text)

    async def _listen(self) -> None:
        """Answer pings until the client is gone."""
        while True:
            received = await self._receive()
            if received["type"] == "websocket.disconnect":
                return
            answer = answer_to(received.get("text") or "")
            if answer is not None:
                await self._say(answer)

    async def _say(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})
