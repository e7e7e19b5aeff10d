"""The WebSocket protocol of the change feed, frame by frame."""

import struct
import time
from pathlib import Path

import pytest

from tests.support.feed import Watch, fill, large, revision_of, revisions
from tests.support.server import Api, Server
from tests.support.subscribers import frame_of

pytestmark = pytest.mark.many


# --- WebSockets


def test_pings_are_answered_with_what_they_say(server: Server, watch: Watch) -> None:
    watcher = watch(server, "websocket")

    for payload in (b"", b"here?", bytes(range(125))):
        watcher.send(0x9, payload)
        watcher.wait_for(lambda reader, wanted=payload: reader.pongs[-1:] == [wanted])
    for value in (1, "é\u2028", None, [1, {"a": "b"}]):
        watcher.say({"ping": value})
        answer = {"event": "pong", "pong": value}
        watcher.wait_for(lambda reader, wanted=answer: reader.said[-1] == wanted)


def test_a_message_in_parts_with_a_ping_between_them_is_one_message(
    server: Server, watch: Watch
) -> None:
    watcher = watch(server, "websocket")

    watcher.send(0x1, b'{"ping": ', end=False)
    watcher.send(0x9, b"between")
    watcher.send(0x0, b'"in p', end=False)
    watcher.send(0x0, b'arts"}')

    watcher.wait_for(lambda reader: reader.said[-1] == {"event": "pong", "pong": "in parts"})
    watcher.wait_for(lambda reader: reader.pongs == [b"between"])


_SAID = {
    "nothing": b"",
    "no JSON": b"not JSON",
    "a list": b"[1, 2]",
    "a word": b'"ping"',
    "an empty object": b"{}",
    "a huge integer": b'{"ping": ' + b"1" * 5_000 + b"}",
    "far too deep": b"[" * 60_000,
    "deep": b'{"ping": ' + b"[" * 900 + b"]" * 900 + b"}",
    "infinity": b'{"ping": 1e999}',
    "not a number": b'{"ping": NaN}',
    "half a pair": b'{"ping": "\\ud800"}',
    "another question": b'{"after": 0, "epoch": "x"}',
}


@pytest.mark.parametrize("said", _SAID.values(), ids=_SAID.keys())
def test_whatever_a_watcher_says_the_stream_goes_on(
    server: Server, api: Api, name: str, watch: Watch, said: bytes
) -> None:
    watcher = watch(server, "websocket", service=name)

    watcher.send(0x1, said)
    watcher.send(0x2, said)
    watcher.say({"ping": "then"})

    watcher.wait_for(lambda reader: reader.said[-1] == {"event": "pong", "pong": "then"})
    made = revision_of(api.put(name, {}))
    assert watcher.news().revision == made


_BROKEN = {
    "unmasked": (b"\x81\x02{}", 1002),
    "a reserved bit": (frame_of(0x1 | 0x40, b"{}"), 1002),
    "a reserved code": (frame_of(0x3, b"{}"), 1002),
    "no UTF-8": (frame_of(0x1, b"\xff\xfe"), 1007),
    "a ping in parts": (frame_of(0x9, b"", end=False), 1002),
    "too long": (b"\x81\xff" + (1 << 62).to_bytes(8) + b"mask", 1009),
    "more than a ping": (frame_of(0x1, b"x" * (1 << 20)), 1009),
}


@pytest.mark.parametrize(("raw", "code"), _BROKEN.values(), ids=_BROKEN.keys())
def test_who_breaks_the_protocol_is_told_so_and_let_go(
    server: Server, watch: Watch, raw: bytes, code: int
) -> None:
    watcher = watch(server, "websocket")

    watcher.sock.sendall(raw)
    watcher.rest(10)

    assert watcher.reader.closed is not None
    assert watcher.reader.closed[0] == code


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_close_is_answered_with_the_same_code(server: Server, watch: Watch, code: int) -> None:
    watcher = watch(server, "websocket")

    watcher.send(0x8, struct.pack("!H", code) + b"bye")
    watcher.rest()

    assert watcher.reader.closed is not None
    assert watcher.reader.closed[0] == code


def test_who_closes_while_much_is_unread_gets_all_that_was_sent_and_an_answer(
    tmp_path: Path, watch: Watch
) -> None:
    """A browser closes like this, and reads on until the server has answered."""
    with Server(tmp_path / "instance", workers=1) as own:
        fill(own, 150, large)
        _close_while_much_is_unread(own, watch)


def _close_while_much_is_unread(own: Server, watch: Watch) -> None:
    watcher = watch(own, "websocket", after=0, include="document", buffer=4096)
    # More than the kernel holds: the server waits for the client to read.
    time.sleep(0.3)

    watcher.send(0x8, b"\x03\xe8")
    told = revisions(watcher.rest(20))

    assert watcher.reader.closed is not None
    assert watcher.reader.closed[0] == 1000
    assert told == sorted(told)
    assert 0 < len(told) < 150
