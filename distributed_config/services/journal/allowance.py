"""The bound on how long one transaction may hold the write lock.

While a transaction runs, every other writer waits. So its work is bounded, in processor time: a
busy machine makes a transaction slower on the clock without making it any larger.
"""

import time
from math import inf

from distributed_config.errors import TooMuchWork

_CHANGES = 100
_SIZE = 256 << 10
# Announced work earns time only so far: a lock has to be given back after a bounded time.
_MOST_SHARES = 4


class Allowance:
    """The processor time of one transaction, counted in the thread that creates this object.

    A transaction has ``milliseconds``, and as many again for each further hundred changes and each
    further 256 KiB of documents that it works on, up to four times as many. So everything that the
    other limits allow fits in, on a much slower machine too. None means no bound.
    """

    def __init__(self, milliseconds: int | None = None) -> None:
        self._milliseconds = milliseconds or 0
        self._share = inf if milliseconds is None else milliseconds / 1_000
        self._shares = 1.0
        # Of this thread alone: other requests of the process do not count against the transaction.
        self._began = time.thread_time()
        self.ends_at = self._began + self._share
        """When the time is used up, on the clock ``time.thread_time``."""

    def count(self, changes: int = 0, size: int = 0) -> None:
        """Announce ``changes`` and ``size`` bytes of work, which earn the transaction more time."""
        shares = self._shares + changes / _CHANGES + size / _SIZE
        self._shares = min(shares, float(_MOST_SHARES))
        self.ends_at = self._began + self._share * self._shares

    def check(self) -> None:
        """Raise TooMuchWork if the time is used up. Long verbs call it between any two steps."""
        if time.thread_time() > self.ends_at:
            raise TooMuchWork(self._milliseconds)
