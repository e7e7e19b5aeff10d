"""Known requests get what the ordinary way sends, byte for byte."""

import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from distributed_config.asgi.response_cache import CachedResponse, KnownRequest, ResponseCache
from distributed_config.asgi.wsgi_bridge import WsgiResponse
from distributed_config.live.exchange import Validity
from distributed_config.services.access.token_format import new_token
from distributed_config.store.watermarks import Watermarks
from tests.support.callers import Caller
from tests.support.conversations import (
    CLOSING,
    ODD_LINES,
    Conversation,
    Talker,
    alike,
    hold,
    plain,
    with_line,
)
from tests.support.server import Server

ADMINISTRATOR = new_token()
SERVICES = ["known/a", "known/b", "known/c"]
TARGETS = [
    *(f"/config?service={name}&version=current" for name in SERVICES),
    *(f"/config?service={name}" for name in SERVICES),
    "/config?service=known/a&version=0",
    "/config?service=known/none",
    "/config?service=",
    "/config",
    "/api/v1/services?limit=2",
    "/api/v1/versions?service=known/a",
    "/api/v1/definitions",
    "/healthz",
    "/nothing",
    "//config?service=known/a",
    "http://localhost/config?service=known/a&version=current",
    "/config?service=known%2Fa&version=current",
    "*",
]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Servers of one database: the first goes the ordinary way only."""
    folder = tmp_path_factory.mktemp("known") / "instance"
    access = {"auth": "token", "admin_token": ADMINISTRATOR, "connections_per_address": 20_000}
    ordinary = Server(folder, known_requests=False, workers=1, **access)
    with ordinary, Server(folder, workers=1, **access) as one, Server(folder, **access) as two:
        yield [ordinary, one, two]


class World:
    """Services, definitions and tokens that change."""

    def __init__(self, server: Server, seed: int) -> None:
        self._caller = Caller(server.url, ADMINISTRATOR)
        self._choose = random.Random(seed)
        self._number = 0
        made = [
            self._caller.make("tokens", {"name": "reads", "role": "reader"}),
            self._caller.make(
                "tokens", {"name": "reads some", "role": "reader", "services": ["known/a"]}
            ),
            self._caller.make("tokens", {"name": "edits", "role": "editor"}),
        ]
        self._ids = [token["id"] for token in made]
        self.actors = [
            "",
            "Authorization: Bearer none\r\n",
            *(f"Authorization: Bearer {token['token']}\r\n" for token in made),
            f"X-API-Key: {made[0]['token']}\r\n",
        ]
        for name in SERVICES:
            self._caller.put(name, {"n": 0})

    def change(self) -> None:
        """Change one thing, whatever it is."""
        choose, ask = self._choose, self._caller.ask
        name, token = choose.choice(SERVICES), choose.choice(self._ids)
        self._number += 1
        what = choose.randrange(6)
        if what < 3:
            self._caller.put(name, {"n": self._number})
        elif what == 3:
            enabled = choose.choice(["true", "false"])
            ask("PATCH", "/config", service=name, version=0, enabled=enabled)
        elif what == 4:
            schema = {"properties": {"n": {"minimum": -self._number}}}
            ask("PUT", "/api/v1/definitions", {"schema": schema}, definition="numbers")
        else:
            services = choose.choice([["known/a"], ["known/"], [f"known/{'abc'[token % 3]}"]])
            ask("PATCH", "/api/v1/tokens", {"services": services}, id=token)


_PLAIN = plain("GET", TARGETS[0], f"Authorization: Bearer {ADMINISTRATOR}\r\n")
_REPEATED = {
    "plain": _PLAIN,
    **{line: with_line(_PLAIN, line) for line in ODD_LINES},
    "HEAD": _PLAIN.replace(b"GET", b"HEAD"),
    "HTTP/1.0": _PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0, kept": with_line(_PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), "Connection: keep-alive"),
    "two at once": _PLAIN + _PLAIN,
    "one and a half": _PLAIN + _PLAIN[:20],
    "with a body": with_line(_PLAIN, "Content-Length: 4") + b"\r\n\r\n",
    "with a chunked body": with_line(_PLAIN, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "after an empty line": b"\r\n" + _PLAIN,
}


@pytest.mark.parametrize("repeated", _REPEATED.values(), ids=_REPEATED)
def test_a_request_that_is_repeated_is_answered_as_it_was_the_first_time(
    servers: list[Server], repeated: bytes
) -> None:
    """Each connection says it twice and goes on; both workers get to know it."""
    Caller(servers[0].url, ADMINISTRATOR).put(SERVICES[0], {"n": 0})
    conversation = Conversation((repeated, repeated, CLOSING, CLOSING))
    alone = hold(servers[0].port, conversation)

    for server in servers[1:]:
        for _ in range(6):
            assert alike(conversation, hold(server.port, conversation), alone)


def test_a_connection_whose_body_has_not_come_when_it_is_answered_is_closed(
    servers: list[Server],
) -> None:
    """The rest of the body would be taken for a request: on every server, known or not."""
    Caller(servers[0].url, ADMINISTRATOR).put(SERVICES[0], {"n": 0})
    head = with_line(_PLAIN, "Content-Length: 5")

    for server in servers:
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            sock.sendall(_PLAIN + head)
            heard = b"".join(iter(partial(sock.recv, 1 << 16), b""))
        assert heard.count(b"HTTP/1.1 200 OK\r\n") == 2


def test_conversations_are_answered_alike_with_known_requests_and_without(
    servers: list[Server], drill: bool
) -> None:
    seed = 20_261_128
    world = World(servers[0], seed)
    talker = Talker(seed, TARGETS, world.actors)

    with ThreadPoolExecutor(30) as pool:
        for number in range(2_500 if drill else 60):
            if number % 3 == 0:
                talker.turn()
            said = [talker.conversation() for _ in range(10)]
            heard = [[pool.submit(hold, server.port, each) for server in servers] for each in said]
            for conversation, answers in zip(said, heard, strict=True):
                alone, *others = [answer.result() for answer in answers]
                for other in others:
                    assert alike(conversation, other, alone), conversation
            world.change()


# --- memory


def _cached(cache: ResponseCache, path: bytes, size: int = 1_000) -> tuple[Any, CachedResponse]:
    key = ("GET", path, b"", ((b"host", b"localhost"),))
    response = WsgiResponse(200, [(b"content-type", b"application/json")], b"x" * size)
    cache.put(key, response, Validity((0,), 0), "", ("GET", "/config", "200"))
    found = cache.find(key)
    assert found is not None
    return key, found


def _known(cached: CachedResponse) -> KnownRequest:
    return KnownRequest(cached, b"", b"", b"", b"")


def test_a_known_request_goes_with_its_response(tmp_path: Path) -> None:
    cache = ResponseCache(Watermarks(tmp_path / "distconf.db"), 100_000)
    _, first = _cached(cache, b"/first")
    cache.put_known(b"GET /first", _known(first))
    assert cache.find_known(b"GET /first") is not None

    for number in range(100):
        _, other = _cached(cache, b"/%d" % number)
        cache.put_known(b"GET /%d" % number, _known(other))

    assert cache.find_known(b"GET /first") is None
    assert cache.find_known(b"GET /99") is not None
    assert len(cache._known) == len(cache._entries) < 60


def test_a_response_that_is_cached_again_has_no_known_requests(tmp_path: Path) -> None:
    cache = ResponseCache(Watermarks(tmp_path / "distconf.db"), 100_000)
    _, first = _cached(cache, b"/first")
    cache.put_known(b"GET /first", _known(first))

    _cached(cache, b"/first")

    assert cache.find_known(b"GET /first") is None


def test_known_requests_count_towards_the_memory_of_the_cache(tmp_path: Path) -> None:
    cache = ResponseCache(Watermarks(tmp_path / "distconf.db"), 100_000)
    _, first = _cached(cache, b"/first")
    before = cache._bytes

    for number in range(40):
        cache.put_known(b"GET /first " + b"x" * 2_000 + b"%d" % number, _known(first))

    # As many as one response has, each with what it takes.
    assert len(cache._known) == 16
    assert cache._bytes - before > 16 * 4_000


def test_a_response_that_has_left_the_cache_gets_no_known_requests(tmp_path: Path) -> None:
    """A client may take its response slowly, while the cache goes on."""
    cache = ResponseCache(Watermarks(tmp_path / "distconf.db"), 100_000)
    _, first = _cached(cache, b"/first")
    _cached(cache, b"/first")
    before = cache._bytes

    cache.put_known(b"GET /first", _known(first))

    assert (len(cache._known), cache._bytes) == (0, before)
