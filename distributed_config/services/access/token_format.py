"""The form of tokens: how they begin, their checksum, and what of them is stored."""

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "dcf_"


_LETTERS = string.ascii_letters + string.digits


_RANDOM, _CHECK = 32, 6


_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9]{{{_RANDOM + _CHECK}}}")


_HINT = len(PREFIX) + 4


def new_token() -> str:
    """A token that nobody has."""
    text = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
    return text + _checksum(text)


def is_token(text: str) -> bool:
    """Whether ``text`` has the form of a token of ours, down to its checksum."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECK]) == text[-_CHECK:]


def token_digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_hint(token: str) -> str:
    """How a token begins: enough to recognise it, and no help in guessing it."""
    return token[:_HINT]


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    letters = ""
    for _ in range(_CHECK):
        number, rest = divmod(number, len(_LETTERS))
        letters += _LETTERS[rest]
    return letters
