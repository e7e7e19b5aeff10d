"""Answers that may be given again.

The application marks an answer with what it rests on. The same question gets the same bytes for
as long as that holds. Nothing is ever computed here.
"""

from dataclasses import dataclass

from distributed_config.asgi.wsgi_bridge import Message, Scope, WsgiResponse
from distributed_config.live.exchange import Validity
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire import now

Key = tuple[str, bytes, bytes, tuple[tuple[bytes, bytes], ...]]

# What a question is made of, besides its method, path and query. A header that is not here cannot
# change the answer to a read; one that can must be here, credentials above all.
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
_OVERHEAD = 1_500  # bytes of an entry besides its question and its body, about
_LONGEST_QUESTION = 4_096


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """An answer, ready to be sent again. ``headers`` lack the one of the request's own id.

    ``counted`` are its labels in the metrics: method, route and status. ``asker`` is whose budget
    it is taken from each time; "" when nobody counts.
    """

    word: int
    revision: int
    until: int | None
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: Message
    size: int
    logged: str
    counted: tuple[str, str, str]
    asker: str


class ResponseCache:
    """The answers of one process, at most ``most_bytes`` of them; the oldest go first."""

    def __init__(self, marks: Watermarks, most_bytes: int) -> None:
        self._marks = marks
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: dict[Key, CachedResponse] = {}

    def find(self, key: Key) -> CachedResponse | None:
        """The answer to ``key`` if it is still right."""
        found = self._kept.get(key)
        if found is None:
            return None
        if self._marks.covers(found.word, found.revision) and not is_expired(found.until):
            return found
        self._drop(key)
        return None

    def keep(
        self,
        key: Key,
        answer: WsgiResponse,
        basis: Validity,
        logged: str,
        counted: tuple[str, str, str],
        *,
        until: int | None = None,
        asker: str = "",
    ) -> None:
        """Keeps ``answer`` for ``key``, and not after ``until`` in microseconds.

        One that is no longer right is kept in vain, not wrongly: ``basis`` tells of the moment at
        which the application began to look.
        """
        asked = _size(key)
        size = len(answer.body) + asked + _OVERHEAD
        if asked > _LONGEST_QUESTION or size > self._most_bytes // 8:
            return
        self._drop(key)
        headers = tuple(each for each in answer.headers if each[0] != b"x-request-id")
        body: Message = {"type": "http.response.body", "body": answer.body}
        self._kept[key] = CachedResponse(
            basis.word,
            basis.revision,
            until,
            answer.status,
            headers,
            body,
            size,
            logged,
            counted,
            asker,
        )
        self._bytes += size
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped.size


def is_expired(until: int | None) -> bool:
    """Whether the end of a token, in microseconds, is over; one that is None never is."""
    return until is not None and now() >= until


def _size(key: Key) -> int:
    _method, path, query, asking = key
    return len(path) + len(query) + sum(len(name) + len(value) for name, value in asking)


def names_host(key: Key) -> bool:
    """Whether a question has the header that says which host it is for."""
    return any(name == b"host" for name, _ in key[3])


def cache_key(scope: Scope) -> tuple[Key, bytes]:
    """What is asked, and the request id that the asker gave (empty: none)."""
    request_id = b""
    asking = []
    for header in scope["headers"]:
        if header[0] in _KEY_HEADERS:
            asking.append(header)
        elif header[0] == b"x-request-id":
            request_id = header[1]
    return (scope["method"], scope["raw_path"], scope["query_string"], tuple(asking)), request_id
