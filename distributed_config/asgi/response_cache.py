"""Responses that may be served again from memory.

The application marks a response with its validity. The same request gets the same bytes for as
long as that holds. Nothing is ever computed here.
"""

from dataclasses import dataclass, field

from distributed_config.asgi.wsgi_bridge import Message, Scope, WsgiResponse
from distributed_config.live.exchange import Validity
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire import now

Key = tuple[str, bytes, bytes, tuple[tuple[bytes, bytes], ...]]
"""Method, path, query, and the headers that can change the response."""

# A header that is not here cannot change the response to a read; one that can must be here,
# credentials above all: a missing one would serve one client's response to another.
_KEY_HEADERS = frozenset(
    {
        b"accept",
        b"authorization",
        b"config-actor",
        b"config-organisation",
        b"content-length",
        b"cookie",
        b"host",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-unmodified-since",
        b"origin",
        b"prefer",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"transfer-encoding",
        b"x-api-key",
    }
)
_OVERHEAD = 1_500  # bytes of an entry besides its key and its body, about
_OVERHEAD_OF_KNOWN = 600
_MOST_KNOWN = 16
"""Requests of different bytes that are remembered for one response, as of different clients."""
_LONGEST_KEY = 4_096


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A response, ready to be sent again.

    ``headers`` lack the request id, which is each request's own. ``expires_at`` is the token's
    end in microseconds. ``log_fields`` are the fixed part of a log line, ``metric_labels`` are
    method, route and status. ``quota_key`` names the budget to charge; "" when none is. ``known``
    are the bytes of requests that are known to get it.
    """

    key: Key
    validity: Validity
    expires_at: int | None
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: Message
    size: int
    log_fields: str
    metric_labels: tuple[str, str, str]
    quota_key: str
    known: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """What is sent to a request of known bytes: parts with its id and then the date between them.

    ``before_date`` ends with a line, and ``after_date`` begins with one.
    """

    cached: CachedResponse
    before_id: bytes
    before_date: bytes
    after_date: bytes
    body: bytes


class ResponseCache:
    """The cached responses of one process, at most ``most_bytes`` of them; the oldest go first."""

    def __init__(self, watermarks: Watermarks, most_bytes: int) -> None:
        self._watermarks = watermarks
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: dict[Key, CachedResponse] = {}
        self._known: dict[bytes, KnownRequest] = {}

    def find(self, key: Key) -> CachedResponse | None:
        """Return the response to ``key`` if there is one that is still valid."""
        entry = self._entries.get(key)
        if entry is None or self._is_valid(entry):
            return entry
        self._drop(key)
        return None

    def find_known(self, data: bytes) -> KnownRequest | None:
        """Return what is sent to a request of the bytes ``data``, if that is still valid."""
        known = self._known.get(data)
        return known if known is not None and self._is_valid(known.cached) else None

    def put(
        self,
        key: Key,
        response: WsgiResponse,
        validity: Validity,
        log_fields: str,
        metric_labels: tuple[str, str, str],
        *,
        expires_at: int | None = None,
        quota_key: str = "",
    ) -> None:
        """Cache ``response`` for ``key``, and not beyond ``expires_at`` in microseconds.

        Harmless with a response that is stale by now: ``validity`` is of the moment at which the
        application began to read, so ``find`` never returns it.
        """
        key_size = _size(key)
        size = len(response.body) + key_size + _OVERHEAD
        # One huge response must not push out all the others.
        if key_size > _LONGEST_KEY or size > self._most_bytes // 8:
            return
        self._drop(key)
        self._entries[key] = CachedResponse(
            key,
            validity,
            expires_at,
            response.status,
            tuple(header for header in response.headers if header[0] != b"x-request-id"),
            {"type": "http.response.body", "body": response.body},
            size,
            log_fields,
            metric_labels,
            quota_key,
        )
        self._bytes += size
        self._make_room()

    def put_known(self, data: bytes, known: KnownRequest) -> None:
        """Remember what is sent to a request of the bytes ``data``, as long as its response."""
        others = known.cached.known
        # While its response was sent, it may have left the cache.
        if self._entries.get(known.cached.key) is not known.cached:
            return
        if data in self._known or len(others) >= _MOST_KNOWN:
            return
        others.append(data)
        self._known[data] = known
        self._bytes += _size_of_known(data)
        self._make_room()

    def _is_valid(self, entry: CachedResponse) -> bool:
        validity = entry.validity
        return self._watermarks.covers(validity.basis, validity.revision) and not is_expired(
            entry.expires_at
        )

    def _make_room(self) -> None:
        while self._bytes > self._most_bytes and self._entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        dropped = self._entries.pop(key, None)
        if dropped is None:
            return
        self._bytes -= dropped.size
        for data in dropped.known:
            del self._known[data]
            self._bytes -= _size_of_known(data)


def is_expired(expires_at: int | None) -> bool:
    """Whether a time in microseconds has passed; None never does."""
    return expires_at is not None and now() >= expires_at


def _size(key: Key) -> int:
    _method, path, query, headers = key
    return len(path) + len(query) + sum(len(name) + len(value) for name, value in headers)


def _size_of_known(data: bytes) -> int:
    # Twice: the head of the response is about as long as the request.
    return 2 * len(data) + _OVERHEAD_OF_KNOWN


def names_host(key: Key) -> bool:
    """Whether the request has a Host header."""
    return any(name == b"host" for name, _ in key[3])


def cache_key(scope: Scope) -> tuple[Key, bytes]:
    """Return the cache key of a request, and the X-Request-ID that it came with (b"": none)."""
    request_id = b""
    headers = []
    for header in scope["headers"]:
        if header[0] in _KEY_HEADERS:
            headers.append(header)
        elif header[0] == b"x-request-id":
            request_id = header[1]
    return (scope["method"], scope["raw_path"], scope["query_string"], tuple(headers)), request_id
