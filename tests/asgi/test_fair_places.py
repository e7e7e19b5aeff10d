"""Places for watchers are shared fairly when there are not enough of them."""

import random
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from distributed_config.asgi.places import Place, Places
from distributed_config.services.access import tokens
from distributed_config.services.access.grants import Grant
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import load
from distributed_config.store.database import open_writer
from tests.support.server import Server
from tests.support.sockets import answer, connect
from tests.support.waiting import until

PLACES = 4
WEBSOCKET = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
WAYS = {"events": "Accept: text/event-stream\r\n", "websocket": WEBSOCKET}
both_ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """One process with four places, that asks for tokens."""
    with Server(tmp_path / "instance", auth="token", workers=1, watchers=PLACES) as running:
        yield running


@pytest.fixture
def opened_to_all(tmp_path: Path) -> Iterator[Server]:
    """The same without tokens."""
    with Server(tmp_path / "instance", workers=1, watchers=PLACES) as running:
        yield running


def token_of(server: Server, name: str) -> str:
    with open_writer(load(server.environment)) as writer:

        def make(transaction: Transaction) -> str:
            return tokens.create_machine(transaction, name, Grant("administrator")).secret

        return writer.write(LOCAL_OPERATOR, make)


class Watching:
    """Streams of one asker at one server."""

    def __init__(self, server: Server, stack: ExitStack, token: str, address: str) -> None:
        self._server = server
        self._stack = stack
        self._shown = f"Authorization: Bearer {token}\r\n" if token else ""
        self._address = address
        self.socks: list[socket.socket] = []
        self._ended: set[socket.socket] = set()

    def come(self, way: str) -> bool:
        """Tries to watch once more; whether that was let in."""
        sock = self._stack.enter_context(closing(connect(self._server, self._address)))
        head = f"GET /api/v1/changes HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._shown}{WAYS[way]}\r\n"
        sock.sendall(head.encode())
        said = answer(sock)
        # A WebSocket that is refused is closed with a code; one that is let in says hello.
        while way == "websocket" and b"hello" not in said and b"DISTCONF_WATCHERS" not in said:
            said += sock.recv(1 << 16)
        let_in = b"hello" in said if way == "websocket" else said.startswith(b"HTTP/1.1 200 ")
        if let_in:
            self.socks.append(sock)
        return let_in

    def lost(self) -> int:
        """How many of its streams have ended."""
        self._ended |= {each for each in self.socks if each not in self._ended and _has_ended(each)}
        return len(self._ended)


def _has_ended(sock: socket.socket) -> bool:
    """Whether there was an end: of the connection, or of the events' last chunk."""
    sock.settimeout(0.01)
    came = b"-"
    try:
        while came and not came.endswith(b"0\r\n\r\n"):
            came = sock.recv(1 << 16)
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


@both_ways
def test_one_token_that_holds_all_places_gives_some_to_another(guarded: Server, way: str) -> None:
    with ExitStack() as stack:
        greedy = Watching(guarded, stack, token_of(guarded, "greedy"), "127.0.0.1")
        other = Watching(guarded, stack, token_of(guarded, "other"), "127.0.0.1")
        assert [greedy.come(way) for _ in range(PLACES + 1)] == [True] * PLACES + [False]

        assert [other.come(way) for _ in range(3)] == [True, True, False]

        until(lambda: greedy.lost() == 2)
        assert other.lost() == 0
        # It does not get back what it gave up.
        assert [greedy.come(way), other.come(way)] == [False, False]


@both_ways
def test_without_tokens_each_address_has_its_share(opened_to_all: Server, way: str) -> None:
    with ExitStack() as stack:
        first, second = (
            Watching(opened_to_all, stack, "", address) for address in ("127.0.0.2", "127.0.0.3")
        )
        assert [first.come(way) for _ in range(PLACES)] == [True] * PLACES

        assert [second.come(way) for _ in range(3)] == [True, True, False]

        until(lambda: first.lost() == 2)


def test_a_stream_whose_place_is_taken_away_ends_as_a_stream_does(guarded: Server) -> None:
    with ExitStack() as stack:
        greedy = Watching(guarded, stack, token_of(guarded, "greedy"), "127.0.0.1")
        other = Watching(guarded, stack, token_of(guarded, "other"), "127.0.0.1")
        for _ in range(PLACES):
            greedy.come("events")

        other.come("events")

        greedy.socks[-1].settimeout(20)
        came = b""
        while not came.endswith(b"0\r\n\r\n"):
            part = greedy.socks[-1].recv(1 << 16)
            assert part, "it was cut off"
            came += part
        assert not _has_ended(greedy.socks[0])


def test_a_place_is_free_again_however_its_stream_ended(guarded: Server) -> None:
    with ExitStack() as stack:
        greedy = Watching(guarded, stack, token_of(guarded, "greedy"), "127.0.0.1")
        other = Watching(guarded, stack, token_of(guarded, "other"), "127.0.0.1")
        for _ in range(PLACES):
            greedy.come("events")
        for _ in range(2):
            other.come("websocket")
        for sock in (*greedy.socks, *other.socks):
            sock.close()

        def all_are_free() -> bool:
            with ExitStack() as again:
                third = Watching(guarded, again, token_of(guarded, f"t{random.random()}"), "")
                return all(third.come("events") for _ in range(PLACES))

        until(all_are_free)


def test_however_they_come_and_go_nobody_who_waits_has_less_than_a_share() -> None:
    choose = random.Random(20)
    for _ in range(200):
        places, held = Places(choose.randint(1, 12)), list[Place]()
        askers = "abcde"[: choose.randint(1, 5)]
        for _ in range(100):
            held = [place for place in held if not place.is_lost]
            if held and choose.random() < 0.3:
                places.give_back(held.pop(choose.randrange(len(held))))
                continue
            asker = choose.choice(askers)
            place = places.take(asker)
            of = Counter(each.holder for each in held if not each.is_lost)
            if place is None:
                assert sum(of.values()) == places.most
                assert max(of.values()) <= of[asker] + 1
            else:
                held.append(place)
            assert sum(not each.is_lost for each in held) <= places.most
