"""Passwords: hashed with argon2id, and compared in constant time."""

import secrets
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from distributed_config.errors import Invalid, Problem

# NIST SP 800-63B asks for length and no rules of composition. The upper bound keeps a password of
# megabytes from costing megabytes of hashing.
_SHORTEST, _LONGEST = 12, 256

# The library's defaults follow RFC 9106, and its hashes name their parameters: they can grow.
_hasher = PasswordHasher()


# Once per process: hashing takes dozens of milliseconds.
@lru_cache
def _dummy_hash() -> str:
    """Return the hash of a password that nobody knows.

    It is verified when the user does not exist or has no password, so that the time of a response
    does not tell which addresses have accounts.
    """
    return _hasher.hash(secrets.token_hex(16))


def hash_password(password: str, pointer: str = "/password") -> str:
    """Return the hash of a password, as it is stored. Raises Invalid if it is too short or long.

    It takes dozens of milliseconds, so never call it under the write lock.
    """
    if not _SHORTEST <= len(password) <= _LONGEST:
        message = f"A password must have {_SHORTEST} to {_LONGEST} characters."
        raise Invalid.from_problems([Problem(pointer, message, "length")])
    return _hasher.hash(password)


def verify_password(password: str, hashed: str) -> bool:
    """Whether ``password`` has the hash ``hashed``, "" for no password; it takes equally long."""
    try:
        # One character more than allowed never matches, and bounds the work.
        return _hasher.verify(hashed or _dummy_hash(), password[: _LONGEST + 1]) and hashed != ""
    # A damaged hash is no reason to tell a caller more than that the password is wrong.
    except (VerificationError, InvalidHashError):
        return False
