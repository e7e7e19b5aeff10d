"""Secrets: how tokens look, how passwords are kept, and how either is compared.

A token is ``dcf_``, 32 random letters and digits (190 bits), and 6 more that are a checksum of
all before them. So scanners for leaked secrets can find it, and a mistyped one is told from a
revoked one without a look at the database. It is kept as its SHA-256: what is that random needs no
slow hash. Passwords are kept with Argon2id.
"""

import hashlib
import re
import secrets
import string
import zlib
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from distributed_config.errors import Invalid, Problem

PREFIX = "dcf_"
_LETTERS = string.ascii_letters + string.digits
_RANDOM, _CHECK = 32, 6
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9]{{{_RANDOM + _CHECK}}}")
_HINT = len(PREFIX) + 4
_SHORTEST, _LONGEST = 12, 256

_hasher = PasswordHasher()


@lru_cache
def _nobodys() -> str:
    """What is kept of a password that nobody knows.

    Who does not exist, or has no password, costs as much time as who does.
    """
    return _hasher.hash(secrets.token_hex(16))


def new_token() -> str:
    """A token that nobody has."""
    text = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
    return text + _checksum(text)


def is_token(text: str) -> bool:
    """Whether ``text`` has the form of a token of ours, down to its checksum."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECK]) == text[-_CHECK:]


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def hint_of(token: str) -> str:
    """How a token begins: enough to recognise it, and no help in guessing it."""
    return token[:_HINT]


def hash_of(password: str, pointer: str = "/password") -> str:
    """What is kept of a password; takes some dozen milliseconds, so never under a lock.

    Raises Invalid if it is too short, or longer than anybody's.
    """
    if not _SHORTEST <= len(password) <= _LONGEST:
        message = f"A password has {_SHORTEST} to {_LONGEST} characters."
        raise Invalid.of([Problem(pointer, message, "length")])
    return _hasher.hash(password)


def fits(password: str, kept: str) -> bool:
    """Whether ``password`` is the one of which ``kept`` is kept; takes as long either way."""
    try:
        return _hasher.verify(kept or _nobodys(), password[: _LONGEST + 1]) and kept != ""
    except (VerificationError, InvalidHashError):
        return False


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    letters = ""
    for _ in range(_CHECK):
        number, rest = divmod(number, len(_LETTERS))
        letters += _LETTERS[rest]
    return letters
