"""Cursors of pages, bound to their list and order."""

import base64
import json
from typing import cast

from distributed_config.errors import EpochChanged, Invalid, Problem
from distributed_config.wire.names import is_encodable
from distributed_config.wire.pointers import Key


def encode_cursor(epoch: str, key: str | int, listing: str) -> str:
    """An opaque place in ``listing``, for ``decode_cursor``."""
    text = json.dumps([epoch, key, listing])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, epoch: str, kind: type[Key], listing: str) -> Key:
    """The key in ``cursor``, which is of this ``kind`` and a place in ``listing``.

    Raises Invalid if it is none of ours, and EpochChanged if it is from before a restore.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        found_epoch, key, of = found
    except (ValueError, TypeError, RecursionError):
        found_epoch = key = of = None
    fits = type(key) is kind and (is_encodable(key) if isinstance(key, str) else 0 <= key < 2**63)
    if not fits or not isinstance(found_epoch, str) or of != listing:
        message = "It is not one that this server gave for this list; follow Link."
        raise Invalid.from_problems([Problem("", message, "cursor", "cursor")])
    if found_epoch != epoch:
        raise EpochChanged()
    return cast(Key, key)
