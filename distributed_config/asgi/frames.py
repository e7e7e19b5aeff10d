"""The frames of WebSockets (RFC 6455): how a server writes them, and answers a client's.

A WebSocket that waits for events has no task, so what its client sends is answered where it
arrives. The answers are those of gunicorn's own WebSockets, which have tasks: to the same mistake
the same code and reason.
"""

from collections.abc import Callable

TEXT = 0x1
_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x2, 0x8, 0x9, 0xA
_OPCODES = frozenset({_CONTINUATION, TEXT, _BINARY, _CLOSE, _PING, _PONG})

_LAST = 0x80  # in the first byte: no further frame belongs to the message
_RESERVED = 0x70
_MASKED = 0x80  # in the second byte
_LONGEST_CONTROL = 125

_NORMAL, _BROKEN, _NO_UTF8, _TOO_BIG = 1000, 1002, 1007, 1009
_RESERVED_CODES = frozenset({1004, 1005, 1006})

CLOSING_SECONDS = 1.0
"""How long a server that has sent its closing frame waits for the client's."""


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a whole message as one frame of a server, which is not masked (section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes([_LAST | opcode, size])
    elif size < 1 << 16:
        head = bytes([_LAST | opcode, 126]) + size.to_bytes(2)
    else:
        head = bytes([_LAST | opcode, 127]) + size.to_bytes(8)
    return head + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return the frame that ends a WebSocket; ``reason`` has at most 123 bytes."""
    return frame(_CLOSE, code.to_bytes(2) + reason.encode())


class Conversation:
    """What a client says over a WebSocket, and what it is answered.

    ``answer_to`` returns the text that answers a text; None: there is no answer. A message of more
    than ``most`` bytes ends the conversation; 0: there is no limit.
    """

    __slots__ = ("_answer_to", "_kind", "_most", "_parts", "_unread", "is_closing", "is_over")

    def __init__(self, answer_to: Callable[[str], str | None], most: int) -> None:
        self.is_closing = False
        """Whether the server has sent its closing frame: after that it sends nothing more."""
        self.is_over = False
        """Whether nothing more is to be said, so that the connection is to be closed."""
        self._answer_to = answer_to
        self._most = most
        self._unread: bytearray | None = None
        # The opcode of a message of which there are only some parts; 0: there is none.
        self._kind = 0
        self._parts: bytearray | None = None

    def answer(self, data: bytes) -> bytes:
        """Return the frames that answer ``data``, which may be cut off anywhere."""
        unread: bytes | bytearray = data
        if self._unread is not None:
            self._unread += data
            unread = self._unread
        answers, start = [], 0
        while not self.is_over:
            answered = self._answer_at(start, unread)
            if answered is None:
                break
            answers.append(answered[0])
            start = answered[1]
        self._keep(data, start)
        return b"".join(answers)

    def _keep(self, data: bytes, start: int) -> None:
        """Keep what has not been answered, from ``start``, until more of it comes."""
        if self._unread is not None:
            # In place: a client may send a long frame byte by byte.
            del self._unread[:start]
        elif start < len(data):
            self._unread = bytearray(data[start:])
        if not self._unread:
            self._unread = None

    def _answer_at(self, start: int, unread: bytes | bytearray) -> tuple[bytes, int] | None:
        """Return the answer to the frame at ``start``, and where it ends; None: it is not whole."""
        if len(unread) < start + 2:
            return None
        first, second = unread[start], unread[start + 1]
        wrong = _wrong_in(first, second)
        if wrong:
            return self._fail(_BROKEN, wrong), start
        size, mask = second & 0x7F, start + 2
        if size > _LONGEST_CONTROL:
            mask += 2 if size == 126 else 8
            if len(unread) < mask:
                return None
            size = int.from_bytes(unread[start + 2 : mask])
        fault = self._fault(first, size, mask - start - 2)
        if fault is not None:
            return self._fail(*fault), start
        end = mask + 4 + size
        if len(unread) < end:
            return None
        payload = _unmasked(unread[mask + 4 : end], unread[mask : mask + 4])
        return self._answer_frame(first & 0x0F, bool(first & _LAST), payload), end

    def _fault(self, first: int, size: int, width: int) -> tuple[int, str] | None:
        """Return what is wrong with a frame whose size was written in ``width`` further bytes."""
        opcode = first & 0x0F
        if width == 2 and size < 126:
            return _BROKEN, "Non-minimal length"
        if width == 8 and (size < 1 << 16 or size >> 63):
            return _BROKEN, "Invalid length"
        if opcode in {TEXT, _BINARY} and self._kind:
            return _BROKEN, "Expected continuation"
        if opcode >= _CLOSE:
            if not first & _LAST or size > _LONGEST_CONTROL:
                return _BROKEN, "Invalid control frame"
            return None
        before = len(self._parts or b"") if opcode == _CONTINUATION else 0
        return (_TOO_BIG, "Message too big") if 0 < self._most < before + size else None

    def _answer_frame(self, opcode: int, is_last: bool, payload: bytes) -> bytes:
        if opcode == _CLOSE:
            return self._fail(*_answer_to_close(payload))
        if opcode == _PING:
            return b"" if self.is_closing else frame(_PONG, payload)
        if opcode == _PONG:
            return b""
        return self._answer_part(opcode, is_last, payload)

    def _answer_part(self, opcode: int, is_last: bool, payload: bytes) -> bytes:
        if opcode != _CONTINUATION:
            self._kind, self._parts = opcode, bytearray()
        if self._parts is None:
            return self._fail(_BROKEN, "Unexpected continuation")
        self._parts += payload
        if not is_last:
            return b""
        kind, message = self._kind, self._parts
        self._kind, self._parts = 0, None
        return self._answer_text(message) if kind == TEXT else b""

    def _answer_text(self, message: bytearray) -> bytes:
        try:
            text = message.decode()
        except UnicodeDecodeError:
            return self._fail(_NO_UTF8, "Invalid UTF-8")
        answer = None if self.is_closing else self._answer_to(text)
        return b"" if answer is None else frame(TEXT, answer.encode())

    def _fail(self, code: int, reason: str) -> bytes:
        """End the conversation, and return the closing frame, unless it was sent already."""
        self.is_over = True
        return b"" if self.is_closing else close_frame(code, reason)


def _wrong_in(first: int, second: int) -> str:
    """Return what is wrong with the first two bytes of a frame; nothing: they are right."""
    if first & _RESERVED:
        return "RSV bits set"
    if first & 0x0F not in _OPCODES:
        return "Reserved opcode"
    return "" if second & _MASKED else "Frame not masked"


def _answer_to_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason that answer a client's closing frame (section 5.5.1)."""
    if not payload:
        return _NORMAL, ""
    if len(payload) == 1:
        return _BROKEN, "Invalid close payload"
    code = int.from_bytes(payload[:2])
    if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in _RESERVED_CODES:
        return _BROKEN, "Invalid close code"
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        return _NO_UTF8, "Invalid UTF-8"


def _unmasked(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Return what a client masked (section 5.3)."""
    size = len(payload)
    key = (bytes(mask) * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
