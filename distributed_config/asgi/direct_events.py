"""Events that are written to connections at once, without a task for each.

To wake ten thousand tasks takes longer than to write ten thousand times, and each takes memory. So
a stream that is waiting has no task: its connection is detached from the request, and events go
directly to it. It gets a task again when there is more to do than one write: while its client
reads slowly, and at its end. The bytes are prepared once for all who receive the same.
``DISTCONF_DIRECT_EVENTS=false`` leaves this out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from distributed_config.live.feed import EncodedMessage, Subscription
from distributed_config.wire import Position

CONNECTION = "distributed_config.connection"
"""Key of a request's scope: its connection, where that can be written to directly."""


class Connection(Protocol):
    """What a stream may do with its connection, besides what ASGI offers."""

    def write_now(self, data: bytes) -> bool:
        """Write ``data``, unless the client has to take what was written; return whether it was."""

    def take_frames(self, answer_to: Callable[[str], str | None]) -> bool:
        """Answer the client of a WebSocket that has just been accepted; return whether it does.

        ``answer_to`` is asked for each text. Detach it before anything else can happen.
        """

    def detach(self, on_lost: Callable[[], None]) -> None:
        """Take the connection from the request, which may end without ending the response.

        ``on_lost`` is called when the connection is lost, or its client ends it, before ``end``.
        """

    async def send(self, data: bytes) -> None:
        """Write ``data`` on a detached connection, and wait until the client may get more."""

    async def end(self, last: bytes) -> None:
        """Write ``last`` on a detached connection, and close it when the client has had it."""

    def break_off(self) -> None:
        """Close the connection at once, unless it is being closed."""


Encode = Callable[[Subscription, int, EncodedMessage | None], bytes]
"""Returns the bytes of a subscriber's message, or of a heartbeat for None at a revision."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How the messages of a stream are written, and its end: because the process ends, or not."""

    encode: Encode
    end_of_process: bytes
    end_of_stream: bytes


@dataclass(frozen=True, slots=True)
class Direct:
    """The quicker way to one subscriber: its connection, and how its messages are written."""

    connection: Connection
    framing: Framing

    def push(
        self, subscription: Subscription, revision: int, message: EncodedMessage | None
    ) -> bool:
        """Write a message, or a heartbeat, unless the client has to take what was written."""
        return self.connection.write_now(self.framing.encode(subscription, revision, message))


def as_chunk(subscription: Subscription, revision: int, message: EncodedMessage | None) -> bytes:
    """Return a server-sent event as a chunk of a response."""
    if message is None:
        return _chunk(heartbeat(subscription.position(revision)))
    chunk = message.prepared.get("chunk")
    if chunk is None:
        chunk = message.prepared["chunk"] = _chunk(message.body)
    return chunk


@lru_cache(maxsize=64)
def heartbeat(position: Position) -> bytes:
    """Return the server-sent event that says that the stream is alive, and where it is."""
    return f": alive\nid: {position}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


_END = _chunk(b"")
CHUNKS = Framing(as_chunk, _END, _END)
