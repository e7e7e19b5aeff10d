"""Passwords: hashed with argon2, and compared in constant time."""

import secrets
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from distributed_config.errors import Invalid, Problem

_SHORTEST, _LONGEST = 12, 256


_hasher = PasswordHasher()


@lru_cache
def _dummy_hash() -> str:
    """What is kept of a password that nobody knows.

    Who does not exist, or has no password, costs as much time as who does.
    """
    return _hasher.hash(secrets.token_hex(16))


def hash_password(password: str, pointer: str = "/password") -> str:
    """What is kept of a password; takes some dozen milliseconds, so never under a lock.

    Raises Invalid if it is too short, or longer than anybody's.
    """
    if not _SHORTEST <= len(password) <= _LONGEST:
        message = f"A password has {_SHORTEST} to {_LONGEST} characters."
        raise Invalid.from_problems([Problem(pointer, message, "length")])
    return _hasher.hash(password)


def verify_password(password: str, kept: str) -> bool:
    """Whether ``password`` is the one of which ``kept`` is kept; takes as long either way."""
    try:
        return _hasher.verify(kept or _dummy_hash(), password[: _LONGEST + 1]) and kept != ""
    except (VerificationError, InvalidHashError):
        return False
