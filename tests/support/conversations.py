"""Random conversations on one connection, and what comes back, without ids and dates."""

import random
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

CLOSING = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_VARYING = re.compile(
    # A response from the cache keeps the revision at which it was computed.
    rb"(\r\n(?:x-request-id|date|config-revision): )[^\r]*|(\"request_id\": ?\")[^\"]*",
    re.IGNORECASE,
)
_HEAD = re.compile(rb"(HTTP/1\.[01] \d\d\d [^\r]*\r\n)((?:[^\r\n]+\r\n)+)\r\n")
_BODY = re.compile(
    rb"^(?:content-length *: *[1-9]|transfer-encoding)", re.IGNORECASE | re.MULTILINE
)
_SECONDS = 20


@dataclass(frozen=True)
class Conversation:
    """What a client sends on one connection, in pieces; the server closes it at the end."""

    pieces: tuple[bytes, ...]

    @property
    def has_body(self) -> bool:
        """Whether a request in it says that a body follows."""
        return _BODY.search(b"".join(self.pieces)) is not None


def plain(method: str, target: str, actor: str = "") -> bytes:
    """Return the request that a simple client sends."""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{actor}\r\n".encode()


def with_line(request: bytes, line: str) -> bytes:
    """Return ``request`` with one more header."""
    return request[:-2] + f"{line}\r\n\r\n".encode()


class Talker:
    """Makes up conversations about ``targets`` with the headers of ``actors``; by ``seed``.

    It keeps coming back to a few requests, in the same bytes, until it is told to ``turn``.
    """

    def __init__(self, seed: int, targets: list[str], actors: list[str]) -> None:
        self._choose = random.Random(seed)
        self._targets = targets
        self._actors = actors
        self._topics: list[bytes] = []

    def turn(self) -> None:
        """Choose other requests to come back to: plain ones, as clients send them, and odd ones."""
        plain = [self._plain("GET"), self._plain("GET"), self._plain("HEAD")]
        self._topics = [*plain, self._nearly_plain(), self._nearly_plain(), self._odd()]

    def conversation(self) -> Conversation:
        """Return one of up to six requests."""
        choose = self._choose
        requests = [
            choose.choice(self._topics) if choose.random() < 0.75 else self._odd()
            for _ in range(choose.randint(1, 6))
        ]
        # Twice: the first may be taken for the rest of a body.
        return Conversation((*self._cut(requests), CLOSING, CLOSING))

    def _plain(self, method: str) -> bytes:
        return plain(method, self._choose.choice(self._targets), self._choose.choice(self._actors))

    def _nearly_plain(self) -> bytes:
        """Return a plain request with one more line, or of an older version."""
        request = self._plain("GET")
        if self._choose.random() < 0.2:
            return request.replace(b"HTTP/1.1", b"HTTP/1.0")
        return with_line(request, self._choose.choice(ODD_LINES))

    def _odd(self) -> bytes:
        choose = self._choose
        target, actor = choose.choice(self._targets), choose.choice(self._actors)
        method = choose.choice(["GET"] * 6 + ["HEAD", "HEAD", "OPTIONS", "POST", "get", ""])
        version = choose.choice(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", ""])
        lines = [choose.choice(["Host: localhost"] * 8 + ["Host: elsewhere", ""])]
        lines += choose.sample(ODD_LINES, choose.choice([0, 0, 1, 1, 2, 3]))
        lines.append(actor.strip())
        choose.shuffle(lines)
        lines = [self._other_case(line) for line in lines if line]
        body = choose.choice([b"", b"", b"", b"hello", b"0\r\n\r\n", self._plain("GET")])
        if choose.random() < 0.3:
            # Also wrong lengths, and lengths that make a request of the rest of a body.
            lines.append(f"Content-Length: {max(0, len(body) + choose.choice([0, 0, 0, -1, 3]))}")
        end = choose.choice(["\r\n"] * 12 + ["\n", "\r"])
        head = end.join([f"{method} {target} {version}".rstrip(), *lines, "", ""])
        return head.encode() + body

    def _other_case(self, line: str) -> str:
        name, colon, value = line.partition(":")
        change = self._choose.choice([str, str, str.lower, str.upper])
        return f"{change(name)}{colon}{value}"

    def _cut(self, requests: list[bytes]) -> list[bytes]:
        """Return the requests one by one, all at once, or cut anywhere, even at every byte."""
        choose = self._choose
        way = choose.choice(["each", "each", "each", "together", "cut", "bytes"])
        if way == "each":
            return requests
        whole = b"".join(requests)
        if way == "together":
            return [whole]
        if way == "bytes":
            return [whole[i : i + 1] for i in range(min(len(whole), 400))] + [whole[400:]]
        places = sorted(choose.randrange(len(whole) + 1) for _ in range(choose.randint(1, 5)))
        return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]


ODD_LINES = [
    "Accept: application/yaml",
    "Accept: text/event-stream;q=0, */*",
    "Accept-Encoding: gzip",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: Upgrade",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: 4, 5",
    "Content-Length: -1",
    "Content-Type: application/json",
    "Cookie: session=none",
    "Expect: 100-continue",
    "If-None-Match: *",
    'If-None-Match: "none"',
    "If-Modified-Since: Sat, 28 Nov 2026 00:00:00 GMT",
    "Origin: http://localhost",
    "Origin: http://elsewhere.example",
    "Prefer: wait=0",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding : chunked",
    "Upgrade: h2c",
    "X-Forwarded-Proto: https",
    "X-Request-ID: mine",
    "X_Request_ID: mine",
    " folded: line",
]


_REFUSED = b"refused by gunicorn"


def hold(port: int, conversation: Conversation) -> list[bytes]:
    """Say all of it, and return the responses: of each its head, with the headers sorted, and body.

    The last part is ``_REFUSED`` where gunicorn itself refused what it could not parse.
    """
    with socket.create_connection(("127.0.0.1", port), _SECONDS) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):  # the server has had enough of it
            for piece in conversation.pieces:
                sock.sendall(piece)
                # So a piece arrives by itself as a rule, and not always.
                time.sleep(0.001 if len(piece) > 1 else 0)
        heard = []
        with suppress(ConnectionError):
            while data := sock.recv(1 << 16):
                heard.append(data)
        return _parts(b"".join(heard))


def _parts(data: bytes) -> list[bytes]:
    # Sent only while the body has not come, so whether it is sent is chance.
    data = data.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    data = _VARYING.sub(lambda match: next(filter(None, match.groups())) + b"-", data)
    parts: list[bytes] = []
    end = 0
    for match in _HEAD.finditer(data):
        parts.append(data[end : match.start()])
        lines = sorted(match[2].lower().splitlines())
        if b"content-type: text/plain" in lines:
            return [*parts, _REFUSED]
        # The order of the headers is that of whoever answered, the application or its cache.
        parts.append(match[1] + b"\r\n".join(lines))
        end = match.end()
    return [*parts, data[end:]]


def alike(conversation: Conversation, one: list[bytes], other: list[bytes]) -> bool:
    """Whether two answers to ``conversation`` are the same.

    gunicorn refuses what it cannot parse when it comes, even while a request before it is being
    answered. So where it refused, responses before may be missing, and nothing else.

    It keeps no connection on which a body has not come whole when its request is answered, or it
    would take the rest of the body for a request. So with a body the responses after may be
    missing, and nothing else.
    """
    if _REFUSED not in (one[-1], other[-1]) and not conversation.has_body:
        return one == other
    one, other = ([part for part in each if part != _REFUSED] for each in (one, other))
    least = min(len(one), len(other))
    return one[:least] == other[:least]
