"""Requests that are answered by their very bytes, before anything parses them.

To parse a request, to describe it in a dictionary, to start a coroutine and to check each header of
the response takes twice as long as to serve the response from memory. Clients that read often send
the same bytes again and again. So a connection that is waiting for a request compares what arrives
with the requests that were answered from the response cache before, and sends what was sent then,
with an id and a date of its own.

The ordinary way stays the whole truth: only what it has sent is stored here, and what it asks
before each cached response is asked here as well. The key is the whole request, so that no header
can be overlooked. ``DISTCONF_KNOWN_REQUESTS=false`` leaves this out.
"""

import time

from gunicorn.asgi.protocol import _get_cached_date_header

from distributed_config.asgi.access_log import AccessLog
from distributed_config.asgi.quota_leases import QuotaLeases
from distributed_config.asgi.response_cache import CachedResponse, KnownRequest, ResponseCache

LEARN = "distributed_config.learn"
"""Key of a request's scope: a function that is told the cached response which was sent to it."""

LONGEST = 4_096
"""Bytes of the longest request that is remembered."""

_BEFORE_ID = b"\r\nx-request-id: "
_BEFORE_DATE = b"\r\nDate: "
_END_OF_LINE = b"\r\n"


class KnownRequests:
    """The known requests of one process; used by its event loop only."""

    def __init__(self, cache: ResponseCache, leases: QuotaLeases, access_log: AccessLog) -> None:
        self._cache = cache
        self._leases = leases
        self._access_log = access_log

    def answer(self, data: bytes, client: str) -> bytes | None:
        """Return the response to a request of the bytes ``data``; None: go the ordinary way.

        ``client`` is the address for the log line.
        """
        began = time.perf_counter()
        known = self._cache.find_known(data)
        if known is None:
            return None
        cached = known.cached
        if cached.quota_key and not self._leases.consume_now(cached.quota_key):
            return None
        request_id = self._access_log.request_id()
        self._access_log.record(cached, request_id, client, began)
        return b"".join(
            (
                known.before_id,
                request_id,
                known.before_date,
                _get_cached_date_header(),
                known.after_date,
                known.body,
            )
        )

    def learn(self, data: bytes, cached: CachedResponse, head: bytes) -> None:
        """Remember that the request ``data`` was answered with ``cached``, after ``head``.

        ``head`` is everything that was sent before the body.
        """
        before_id, found_id, rest = head.partition(_BEFORE_ID)
        _id, _, rest = rest.partition(_END_OF_LINE)
        before_date, found_date, after_date = (_END_OF_LINE + rest).partition(_BEFORE_DATE)
        if not (found_id and found_date):
            return
        _date, _, after_date = after_date.partition(_END_OF_LINE)
        known = KnownRequest(
            cached,
            before_id + _BEFORE_ID,
            before_date + _END_OF_LINE,
            after_date,
            cached.body["body"],
        )
        self._cache.put_known(data, known)
