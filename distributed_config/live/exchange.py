"""What the two sides of a request tell each other.

The server side (the asyncio front, or the small middleware that stands in for it on a plain WSGI
server) makes an Exchange and puts it into the WSGI environment. The application reads and fills
it. The application decides; the server side only waits and repeats.
"""

from collections.abc import Callable
from dataclasses import dataclass

from distributed_config.errors import DistconfError
from distributed_config.live.feed import Subscription

KEY = "distributed_config.exchange"


@dataclass(frozen=True)
class Validity:
    """What an answer rests on: it is right while ``word`` is not above ``revision``."""

    word: int
    revision: int


@dataclass(frozen=True)
class Wait:
    """The asker would rather wait, up to ``seconds``, until ``basis`` no longer holds."""

    basis: Validity
    seconds: float


@dataclass(frozen=True)
class QuotaSource:
    """Reads that may be answered again without the application.

    ``lend`` takes some from the budget of an asker at once and says how many; 0 when there are
    not that many left. They are good for ``seconds``. ``waits`` says that it waits for a network.
    """

    lend: Callable[[str], int]
    seconds: int
    waits: bool


@dataclass
class Exchange:
    """The first six come from the server side, the rest from the application.

    ``last`` says that the question will not be asked again: the answer must not be a hold.
    ``again`` says that it was asked before, and counted then. ``reads``: it has a thread for
    readings, which must wait for nobody; ``moves`` is the answer that it has to wait, and is to be
    asked again elsewhere. ``waited``: the seconds that the request waited for a thread; a write
    waits so much less for its lock. ``streams`` says that a stream can be held open here, and
    ``stream`` what it is to tell; the answer is then its beginning. ``route`` is the rule that the
    path matched, for the metrics. ``until``: when the asker's token ends, in microseconds; nothing
    is given again, or streamed, after that. ``asker``: whose budget of reads an answer is taken
    from that is given again; "" when nobody counts.
    """

    refused: DistconfError | None = None
    last: bool = False
    again: bool = False
    waited: float = 0.0
    reads: bool = False
    moves: bool = False
    streams: bool = False
    stream: Subscription | None = None
    replay: Validity | None = None
    hold: Wait | None = None
    service: str = ""
    route: str = ""
    until: int | None = None
    asker: str = ""
