"""Reads that are charged to a budget a block at a time.

To charge one read to its budget takes longer than to serve it from memory. So the gateway leases
a block of reads from the budget, and counts them down here. A lease belongs to a quota key (a
token, as a rule), whichever resources it reads.
"""

import asyncio
import time
from concurrent.futures import Executor

from distributed_config.live.exchange import QuotaSource

_MOST_LEASES = 10_000


class _Lease:
    __slots__ = ("left", "until")

    def __init__(self, left: int, until: float) -> None:
        self.left = left
        self.until = until


class QuotaLeases:
    """The leases of one process; used by its event loop only.

    Without a source nothing is ever leased, and so every counted read goes to the application.
    """

    def __init__(self, source: QuotaSource | None, threads: Executor) -> None:
        self._source = source
        self._threads = threads
        self._leases: dict[str, _Lease] = {}
        self._fetching: dict[str, asyncio.Future[int]] = {}

    def consume(self, quota_key: str) -> bool:
        """Take one read from the lease of ``quota_key``; return whether there was one."""
        lease = self._leases.get(quota_key)
        if lease is None or lease.left == 0 or lease.until < time.monotonic():
            return False
        lease.left -= 1
        return True

    def consume_now(self, quota_key: str) -> bool:
        """Take one read from the lease, or from a new one where that takes no waiting."""
        if self.consume(quota_key):
            return True
        source = self._source
        if source is None or source.is_remote:
            return False
        self._put(source, quota_key, source.lend(quota_key))
        return self.consume(quota_key)

    async def renew(self, quota_key: str) -> bool:
        """Take one read from a new lease; return False if the budget has none to lend."""
        source = self._source
        if source is None or not source.is_remote:
            return self.consume_now(quota_key)
        fetching = self._fetching.get(quota_key)
        if fetching is None:
            # Requests that come meanwhile wait for the same lease: one flood, one round trip.
            fetching = asyncio.ensure_future(self._fetch(source, quota_key))
            self._fetching[quota_key] = fetching
        lent = await asyncio.shield(fetching)
        # Those who waited may be more than the lease was good for.
        return self.consume(quota_key) or (lent > 0 and await self.renew(quota_key))

    async def _fetch(self, source: QuotaSource, quota_key: str) -> int:
        try:
            loop = asyncio.get_running_loop()
            lent = await loop.run_in_executor(self._threads, source.lend, quota_key)
            self._put(source, quota_key, lent)
        except RuntimeError:
            # The executor has shut down. The application answers that the process ends.
            return 0
        else:
            return lent
        finally:
            del self._fetching[quota_key]

    def _put(self, source: QuotaSource, quota_key: str, lent: int) -> None:
        self._leases.pop(quota_key, None)
        if lent:
            self._leases[quota_key] = _Lease(lent, time.monotonic() + source.seconds)
        # Insertion order is age: the oldest lease goes first.
        while len(self._leases) > _MOST_LEASES:
            del self._leases[next(iter(self._leases))]
