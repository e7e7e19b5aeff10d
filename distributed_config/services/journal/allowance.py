"""How long a unit of work may hold up the others.

While a unit runs, its process holds the database's write lock, and every other writer waits. So
the processor time of each is bounded. It is processor time, because a machine that has much else
to do slows a unit down without the unit being any larger.
"""

import time
from math import inf

from distributed_config.errors import TooMuchWork

_CHANGES = 100
_SIZE = 256 << 10
_MOST_SHARES = 4


class Allowance:
    """What one unit may use, in the thread that made this.

    A unit has ``milliseconds`` for itself, and as many again for each further hundred changes and
    each further 256 KiB of documents that it works on, up to four times as many: so that all that
    the other limits allow fits in, also on a machine that is some times slower than ours. None:
    there is no bound.
    """

    def __init__(self, milliseconds: int | None = None) -> None:
        self._milliseconds = milliseconds
        self._share = inf if milliseconds is None else milliseconds / 1_000
        self._shares = 1.0
        self._began = time.thread_time()

    @property
    def used(self) -> float:
        """The seconds of the processor that were used."""
        return time.thread_time() - self._began

    def count(self, changes: int = 0, size: int = 0) -> None:
        """Says how much the unit has to do, for which it may use more."""
        shares = self._shares + changes / _CHANGES + size / _SIZE
        self._shares = min(shares, float(_MOST_SHARES))

    def check(self) -> None:
        """Raises TooMuchWork if more was used than is allowed. Called between any two steps."""
        if self._milliseconds is not None and self.used > self._share * self._shares:
            raise TooMuchWork(self._milliseconds)
