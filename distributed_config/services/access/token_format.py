"""The format of tokens: a prefix, 32 random letters, and a checksum.

The prefix and the checksum let secret scanners recognise a leaked token without false alarms, as
those of GitHub are recognised.
"""

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "dcf_"
_LETTERS = string.ascii_letters + string.digits
# 62 ** 32 is 190 bits: nobody guesses one, so a plain digest of it is safe to store.
_RANDOM, _CHECK = 32, 6
_FORMAT = re.compile(rf"{PREFIX}[A-Za-z0-9]{{{_RANDOM + _CHECK}}}")
_HINT = len(PREFIX) + 4


def new_token() -> str:
    """Return a new random token."""
    text = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
    return text + _checksum(text)


def is_token(text: str) -> bool:
    """Whether ``text`` has the format of a token, checksum included."""
    return _FORMAT.fullmatch(text) is not None and _checksum(text[:-_CHECK]) == text[-_CHECK:]


def token_digest(token: str) -> str:
    """Return what is stored of a token: its SHA-256, in hexadecimal."""
    # No slow hash: 190 random bits cannot be guessed, and every request computes this one.
    return hashlib.sha256(token.encode()).hexdigest()


def token_hint(token: str) -> str:
    """Return how a token begins: enough to recognise it in a list, and no help in guessing it."""
    return token[:_HINT]


def _checksum(text: str) -> str:
    # CRC-32 is no protection: it lets a scanner, and a client, spot a mistyped token offline.
    number = zlib.crc32(text.encode())
    letters = ""
    for _ in range(_CHECK):
        number, rest = divmod(number, len(_LETTERS))
        letters += _LETTERS[rest]
    return letters
