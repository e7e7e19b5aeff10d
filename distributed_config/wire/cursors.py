"""Cursors of pages, each bound to one list and its order."""

import base64
import json
from typing import TypeVar, cast

from distributed_config.errors import EpochChanged, Invalid, Problem
from distributed_config.wire.names import is_encodable

Key = TypeVar("Key", str, int)


def encode_cursor(epoch: str, key: str | int, listing: str) -> str:
    """Return an opaque cursor: the entry of ``listing`` after which a page begins."""
    text = json.dumps([epoch, key, listing])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, epoch: str, kind: type[Key], listing: str) -> Key:
    """Return the key in ``cursor``, which has to be of this ``kind`` and for ``listing``.

    Raises Invalid if the cursor is none of ours, EpochChanged if it is from before a restore.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        decoded = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        cursor_epoch, key, cursor_listing = decoded
    except (ValueError, TypeError, RecursionError):
        cursor_epoch = key = cursor_listing = None
    # Not signed: a cursor only says where to begin, which any client may choose.
    is_key = is_encodable(key) if isinstance(key, str) else type(key) is int and 0 <= key < 2**63
    is_valid = type(key) is kind and is_key
    if not is_valid or not isinstance(cursor_epoch, str) or cursor_listing != listing:
        message = "This server gave no such cursor for this list; follow the Link header."
        raise Invalid.from_problems([Problem("", message, "cursor", "cursor")])
    if cursor_epoch != epoch:
        raise EpochChanged()
    return cast(Key, key)
