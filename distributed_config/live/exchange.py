"""The contract of one request between the server side and the application.

The server side (the asyncio gateway, or the small middleware that stands in for it on a plain
WSGI server) creates an Exchange and puts it into the WSGI environment. The application reads and
fills it. The application decides; the server side only waits and repeats.
"""

from collections.abc import Callable
from dataclasses import dataclass

from distributed_config.errors import DistconfError
from distributed_config.live.feed import Subscription

KEY = "distributed_config.exchange"


@dataclass(frozen=True)
class Validity:
    """How long a response is right: while no watermark in ``basis`` is above ``revision``."""

    basis: tuple[int, ...]
    revision: int


@dataclass(frozen=True)
class Wait:
    """The client prefers to wait, up to ``seconds``, until ``validity`` no longer holds."""

    validity: Validity
    seconds: float


@dataclass(frozen=True)
class QuotaSource:
    """Where the server side leases reads, to answer them without the application.

    ``lend`` takes a block of reads from the budget of a quota key and returns its size; 0 when
    not that many are left. A block is good for ``seconds``. ``is_remote``: ``lend`` waits for a
    network, and so must not be called on the event loop.
    """

    lend: Callable[[str], int]
    seconds: int
    is_remote: bool


@dataclass
class Exchange:
    """The state of one request: the first seven fields are the server's, the rest the app's."""

    refusal: DistconfError | None = None
    """An error to answer with, found before the application was called."""
    is_final: bool = False
    """The request will not be repeated: the response must not be a wait."""
    is_repeat: bool = False
    """The application has seen, and counted, this request before."""
    queued_seconds: float = 0.0
    """How long it waited for a thread; a write waits so much less for the lock."""
    must_not_block: bool = False
    """It has a thread for reads, which must not wait for a lock or a network."""
    log: Callable[[str], None] | None = None
    """Takes the request's log line, in JSON; None: the application writes it itself."""
    can_stream: bool = False
    """A response can be continued by a stream of events here."""

    must_block: bool = False
    """It has to wait after all: the response is void, and the request to be repeated elsewhere."""
    subscription: Subscription | None = None
    """What to stream after the response, which is the beginning of the stream."""
    validity: Validity | None = None
    """How long the response may be served from memory; None: not at all."""
    wait: Wait | None = None
    """Set when the response is void, because the client prefers to wait."""
    service: str = ""
    route: str = ""
    """The rule that the path matched, as the metrics name it."""
    expires_at: int | None = None
    """When the token expires, in microseconds: nothing is cached or streamed after that."""
    quota_key: str = ""
    """Whose read budget a cached response is charged to; "" when nothing is counted."""
