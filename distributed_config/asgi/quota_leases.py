"""Reads that are counted a block at a time.

To count one read in its budget takes longer than to answer it from memory. So the front takes
some reads of an asker at once, and spends them here. A lease belongs to the asker, whatever they
ask.
"""

import asyncio
import time
from concurrent.futures import Executor

from distributed_config.live.exchange import QuotaSource

_MOST = 10_000


class _Lease:
    __slots__ = ("left", "until")

    def __init__(self, left: int, until: float) -> None:
        self.left = left
        self.until = until


class QuotaLeases:
    """The leases of one process; used by its event loop only. Without a lender nobody has any."""

    def __init__(self, lender: QuotaSource | None, threads: Executor) -> None:
        self._lender = lender
        self._threads = threads
        self._leases: dict[str, _Lease] = {}
        self._coming: dict[str, asyncio.Future[int]] = {}

    def spend(self, asker: str) -> bool:
        """Takes one read from the lease of ``asker``; whether there was one."""
        lease = self._leases.get(asker)
        if lease is None or lease.left == 0 or lease.until < time.monotonic():
            return False
        lease.left -= 1
        return True

    async def renew(self, asker: str) -> bool:
        """The same from a new lease; False if none can be had."""
        lender = self._lender
        if lender is None:
            return False
        if not lender.waits:
            self._begin(lender, asker, lender.lend(asker))
            return self.spend(asker)
        coming = self._coming.get(asker)
        if coming is None:
            # Whoever asks meanwhile waits for the same lease: nobody has two.
            coming = asyncio.ensure_future(self._fetch(lender, asker))
            self._coming[asker] = coming
        lent = await asyncio.shield(coming)
        # Those who waited may be more than it was good for.
        return self.spend(asker) or (lent > 0 and await self.renew(asker))

    async def _fetch(self, lender: QuotaSource, asker: str) -> int:
        try:
            loop = asyncio.get_running_loop()
            lent = await loop.run_in_executor(self._threads, lender.lend, asker)
            self._begin(lender, asker, lent)
        except RuntimeError:
            return 0  # the threads have ended; the application says that this process ends
        else:
            return lent
        finally:
            del self._coming[asker]

    def _begin(self, lender: QuotaSource, asker: str, lent: int) -> None:
        self._leases.pop(asker, None)
        if lent:
            self._leases[asker] = _Lease(lent, time.monotonic() + lender.seconds)
        while len(self._leases) > _MOST:
            del self._leases[next(iter(self._leases))]
