"""Events that are written to connections at once, without waking a task for each.

Each open stream has a task, which sends what its subscriber receives and waits for a client that
reads slowly. To wake ten thousand tasks takes several times as long as to write ten thousand times.
So an event goes directly to the connection of every subscriber whose task is waiting for the next
event and whose client has taken all before it. The others get it from their tasks, as ever. The
bytes are prepared once for all who receive the same. ``DISTCONF_DIRECT_EVENTS=false`` leaves this
out.
"""

import json
from collections.abc import Callable
from functools import lru_cache

from distributed_config.live.feed import EncodedMessage, Subscription
from distributed_config.wire import Position

WRITE = "distributed_config.write"
"""Key of a request's scope: a function that writes bytes to its connection, and returns whether it
did: it does not where the client has not taken enough of what was written before."""

Write = Callable[[bytes], bool]

Push = Callable[[Subscription, int, EncodedMessage | None], bool]
"""Writes a subscriber's next message, or a heartbeat for None, at the revision where it is. Returns
whether it did."""

_TEXT_FRAME = 0x81  # the last frame of a message, with text


def push_event(write: Write) -> Push:
    """Return what pushes server-sent events in a chunked response."""

    def push(subscription: Subscription, revision: int, message: EncodedMessage | None) -> bool:
        if message is None:
            return write(_chunk(heartbeat(subscription.position(revision))))
        chunk = message.prepared.get("chunk")
        if chunk is None:
            chunk = message.prepared["chunk"] = _chunk(message.body)
        return write(chunk)

    return push


def push_frame(write: Write) -> Push:
    """Return what pushes the messages of a WebSocket."""

    def push(subscription: Subscription, revision: int, message: EncodedMessage | None) -> bool:
        if message is None:
            return write(_frame(alive_text(subscription.position(revision))))
        frame = message.prepared.get("frame")
        if frame is None:
            frame = message.prepared["frame"] = _frame(changes_text(subscription, message))
        return write(frame)

    return push


@lru_cache(maxsize=64)
def heartbeat(position: Position) -> bytes:
    """Return the server-sent event that says that the stream is alive, and where it is."""
    return f": alive\nid: {position}\n\n".encode()


@lru_cache(maxsize=64)
def alive_text(position: Position) -> str:
    """Return the message of a WebSocket that says that the stream is alive, and where it is."""
    return json.dumps({"event": "alive", "id": str(position), "revision": position.revision})


def changes_text(subscription: Subscription, message: EncodedMessage) -> str:
    """Return the message of a WebSocket with the changes of one revision."""
    # Spliced into the shared text: encoding it for each subscriber would cost far more.
    position = subscription.position(message.revision)
    return f'{{"event": "changes", "id": "{position}", {message.text[1:]}'


def _chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _frame(text: str) -> bytes:
    """Return ``text`` as one frame of a server, which is not masked (RFC 6455, section 5.2)."""
    data = text.encode()
    size = len(data)
    if size < 126:
        head = bytes([_TEXT_FRAME, size])
    elif size < 1 << 16:
        head = bytes([_TEXT_FRAME, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([_TEXT_FRAME, 127]) + size.to_bytes(8, "big")
    return head + data
