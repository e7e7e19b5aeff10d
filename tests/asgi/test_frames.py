"""What is answered where it arrives is what gunicorn's own WebSockets answer, byte for byte."""

import asyncio
import json
import logging
import random
from collections.abc import Iterable

import pytest
from gunicorn.asgi.websocket import WebSocketProtocol
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed_config.asgi.frames import Conversation, close_frame
from distributed_config.asgi.websocket import WebSocketSession, answer_to
from distributed_config.asgi.wsgi_bridge import Receive, Scope, Send
from tests.support.subscribers import frame_of

MOST = 300
"""Bytes of the longest message: few, so that messages are often too long."""


class _Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


async def _listen(_: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await WebSocketSession(receive, send)._listen()


async def _drained() -> None:
    return


def ordinary_answers(parts: Iterable[bytes], most: int) -> tuple[list[bytes], bool]:
    """What a request's tasks answer to each part, and whether they have ended it."""

    async def run() -> tuple[list[bytes], bool]:
        transport = _Transport()
        scope = {"headers": [(b"sec-websocket-key", b"c2l4dGVlbiBieXRlcyBpdA==")]}
        websocket = WebSocketProtocol(
            transport, scope, _listen, logging.getLogger(__name__), most, _drained
        )
        running = asyncio.ensure_future(websocket.run())
        answers = []
        for part in (b"", *parts):
            websocket.feed_data(part)
            for _ in range(8):  # one frame at most ends in each part: that is enough for it
                await asyncio.sleep(0)
            answers.append(transport.written)
            transport.written = b""
        is_over = bool(websocket.closed)
        websocket.feed_eof()
        await running
        return answers[1:], is_over

    return asyncio.run(run())


def direct_answers(parts: Iterable[bytes], most: int) -> tuple[list[bytes], bool]:
    conversation = Conversation(answer_to, most)
    return [conversation.answer(part) for part in parts], conversation.is_over


_pings = st.builds(
    lambda value: json.dumps({"ping": value}).encode(),
    st.none() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers()),
)
_payloads = st.one_of(
    _pings,
    _pings,
    st.binary(max_size=20),
    st.builds(bytes, st.sampled_from([125, 126, 127, MOST, MOST + 1])),
)
_closes = st.builds(
    lambda code, reason: code.to_bytes(2) + reason,
    st.sampled_from([0, 999, 1000, 1001, 1004, 1005, 1006, 1011, 1014, 1015, 2999, 3000, 4999])
    | st.integers(0, 65_535),
    st.binary(max_size=4) | st.text(max_size=40).map(str.encode),
)
_masks = st.binary(min_size=4, max_size=4)
_whole = st.builds(
    frame_of, st.sampled_from([0x1, 0x1, 0x1, 0x2, 0x9, 0xA]), _payloads, mask=_masks
)
_parts = st.builds(
    frame_of, st.sampled_from([0x0, 0x0, 0x1, 0x2, 0x9]), _payloads, end=st.booleans(), mask=_masks
)
_any = st.builds(frame_of, st.integers(0, 127), _payloads, end=st.booleans(), mask=_masks)


@st.composite
def _in_parts(draw: st.DrawFn) -> bytes:
    """One message in parts, with pings between them."""
    message = draw(_payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=3)))
    parts = [
        message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True)
    ]
    raw = b""
    for number, part in enumerate(parts):
        code = 0 if number else draw(st.sampled_from([0x1, 0x1, 0x2]))
        raw += frame_of(code, part, end=number == len(parts) - 1, mask=draw(_masks))
        raw += frame_of(0x9, b"%d" % number) if draw(st.booleans()) else b""
    return raw


_said = st.builds(
    lambda good, last: b"".join(good) + last,
    st.lists(_whole | _whole | _in_parts(), max_size=5),
    st.one_of(
        st.just(b""),
        _parts,
        _any,
        st.binary(max_size=30),
        st.builds(frame_of, st.just(0x8), _closes | st.binary(max_size=1), mask=_masks),
    ),
)


@given(said=_said)
@settings(max_examples=150, deadline=None)
def test_every_byte_gets_the_answer_that_a_task_would_give(said: bytes) -> None:
    single = [said[i : i + 1] for i in range(len(said))]

    assert direct_answers(single, MOST) == ordinary_answers(single, MOST)


@given(said=st.lists(_said, min_size=1, max_size=3).map(b"".join), seed=st.integers())
@settings(max_examples=300, deadline=None)
def test_answers_do_not_depend_on_how_the_bytes_are_cut(said: bytes, seed: int) -> None:
    choose = random.Random(seed)
    cuts = sorted(choose.randrange(len(said) + 1) for _ in range(choose.randrange(8)))
    parts = [said[start:end] for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True)]

    answers, is_over = direct_answers(parts, MOST)

    singly, was_over = direct_answers([said[i : i + 1] for i in range(len(said))], MOST)
    assert (b"".join(answers), is_over) == (b"".join(singly), was_over)


_BETWEEN = frame_of(0x1, b"a part", end=False)
_RARE = {
    "a binary message between parts": _BETWEEN + frame_of(0x2, b"another"),
    "a text between parts": _BETWEEN + frame_of(0x1, b"another"),
    "a binary part between parts": _BETWEEN + frame_of(0x2, b"another", end=False),
    "letters cut in two": frame_of(0x1, b'{"ping": "\xc3', end=False) + frame_of(0x0, b'\xa9"}'),
    **{
        f"closed with {code}": frame_of(0x8, code.to_bytes(2) + b"why")
        for code in (0, 999, 1000, 1003, *range(1004, 1008), 1014, 1015, 2999, 3000, 4999, 5000)
    },
    "closed with the longest reason": frame_of(0x8, b"\x03\xe8" + b"x" * 123),
    "closed with a code and no letters": frame_of(0x8, b"\x03\xe8\xff"),
    "closed with no code and no letters": frame_of(0x8, b"\x00\x00\xff"),
    "closed with half a code": frame_of(0x8, b"\x03"),
}


@pytest.mark.parametrize("said", _RARE.values(), ids=_RARE.keys())
def test_rare_frames_get_the_answer_that_a_task_would_give(said: bytes) -> None:
    single = [said[i : i + 1] for i in range(len(said))]

    assert direct_answers(single, MOST) == ordinary_answers(single, MOST)


_LONG = {
    "the longest of two bytes": frame_of(0x1, b'{"ping": "%b"}' % (b"x" * 65_523)),
    "the longest that is allowed": frame_of(0x1, b'{"ping": "%b"}' % (b"x" * 65_524)),
    "one more": frame_of(0x1, b'{"ping": "%b"}' % (b"x" * 65_525)),
    "not as short as it could be": b"\x81\xff" + (65_535).to_bytes(8),
    "longer than there are numbers": b"\x81\xff" + (1 << 63).to_bytes(8),
    "a long ping": b"\x89\xfe" + (126).to_bytes(2),
    "a long ping that is not as short as it could be": b"\x89\xfe" + (125).to_bytes(2),
}


@pytest.mark.parametrize("most", [64 << 10, 0])
@pytest.mark.parametrize("said", _LONG.values(), ids=_LONG.keys())
def test_long_messages_get_the_answer_that_a_task_would_give(said: bytes, most: int) -> None:
    parts = [said[:5], said[5:60_000], said[60_000:]]

    assert direct_answers(parts, most) == ordinary_answers(parts, most)


def test_after_its_closing_frame_a_server_says_nothing_and_waits_for_the_clients() -> None:
    conversation = Conversation(answer_to, MOST)
    conversation.is_closing = True

    assert conversation.answer(frame_of(0x1, b'{"ping": 1}') + frame_of(0x9, b"here?")) == b""
    assert not conversation.is_over
    assert conversation.answer(frame_of(0x8, b"\x03\xe8")) == b""
    assert conversation.is_over


def test_nothing_is_kept_of_what_was_answered() -> None:
    conversation = Conversation(answer_to, MOST)

    said = frame_of(0x1, b'{"ping', end=False) + frame_of(0x9, b"") + frame_of(0x0, b'": 1}')
    for i in range(len(said)):
        conversation.answer(said[i : i + 1])

    assert conversation._unread is None
    assert conversation._parts is None


def test_a_closing_frame_of_a_client_is_the_last_thing_that_is_read() -> None:
    conversation = Conversation(answer_to, MOST)

    answer = conversation.answer(frame_of(0x8, b"\x03\xe8bye") + frame_of(0x9, b"here?"))

    assert answer == close_frame(1000, "bye")
    assert conversation.answer(frame_of(0x9, b"here?")) == b""
