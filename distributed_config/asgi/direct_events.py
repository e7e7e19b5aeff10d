"""Events that are written to connections at once, without waking a task for each.

Each open stream has a task, which sends what its subscriber receives and waits for a client that
reads slowly. To wake ten thousand tasks takes longer than to write ten thousand times, and each
takes memory. So an event goes directly to the connection of every subscriber that is waiting for
the next event and whose client has taken all before it. The others get it from their tasks, as
ever. The bytes are prepared once for all who receive the same.

A stream of server-sent events that is waiting needs no task at all: its connection is detached
from the request, and gets a task again when there is more to do than one write. Over a WebSocket
the task stays, because it listens as well. ``DISTCONF_DIRECT_EVENTS=false`` leaves this out.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from distributed_config.live.feed import EncodedMessage, Subscription
from distributed_config.wire import Position

CONNECTION = "distributed_config.connection"
"""Key of a request's scope: its connection, where that can be written to directly."""

_TEXT_FRAME = 0x81  # the last frame of a message, with text


class Connection(Protocol):
    """What a stream may do with its connection, besides what ASGI offers."""

    def write_now(self, data: bytes) -> bool:
        """Write ``data``, unless the client has to take what was written; return whether it was."""

    def detach(self, on_lost: Callable[[], None]) -> None:
        """Take the connection from the request, which may end without ending the response.

        ``on_lost`` is called when the connection is lost before ``end``.
        """

    async def send(self, data: bytes) -> None:
        """Write ``data`` on a detached connection, and wait until the client may get more."""

    def end(self) -> None:
        """End the response on a detached connection, and close it."""

    def drop(self) -> None:
        """Close the connection at once."""


Encode = Callable[[Subscription, int, EncodedMessage | None], bytes]
"""Returns the bytes of a subscriber's message, or of a heartbeat for None at a revision."""


@dataclass(frozen=True, slots=True)
class Direct:
    """The quicker way to one subscriber: its connection, and how its messages are written."""

    connection: Connection
    encode: Encode

    def push(
        self, subscription: Subscription, revision: int, message: EncodedMessage | None
    ) -> bool:
        """Write a message, or a heartbeat, unless the client has to take what was written."""
        return self.connection.write_now(self.encode(subscription, revision, message))


def as_chunk(subscription: Subscription, revision: int, message: EncodedMessage | None) -> bytes:
    """Return a server-sent event as a chunk of a response."""
    if message is None:
        return _chunk(heartbeat(subscription.position(revision)))
    chunk = message.prepared.get("chunk")
    if chunk is None:
        chunk = message.prepared["chunk"] = _chunk(message.body)
    return chunk


def as_frame(subscription: Subscription, revision: int, message: EncodedMessage | None) -> bytes:
    """Return a message of a WebSocket as a frame."""
    if message is None:
        return _frame(alive_text(subscription.position(revision)))
    frame = message.prepared.get("frame")
    if frame is None:
        frame = message.prepared["frame"] = _frame(changes_text(subscription, message))
    return frame


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
