"""JSON pointers (RFC 6901), and where in a document a value is."""

from collections.abc import Mapping
from typing import Any

POINTER_LENGTH = 2_000

Location = tuple["Location", str | int] | None
"""Where a value is: the location of its container, and its key there; None is the whole document.

A pointer is written only for what has a problem: in a document of one long key and many values,
the pointers of all of them would need gigabytes.
"""


def child_of(location: Location, value: Any) -> list[tuple[Location, Any]]:
    """Return the values in an object or an array with their locations; [] for anything else."""
    if isinstance(value, Mapping):
        return [((location, str(key)), child) for key, child in value.items()]
    if isinstance(value, list):
        return [((location, i), child) for i, child in enumerate(value)]
    return []


def pointer_of(location: Location) -> str:
    """Return the JSON pointer of ``location``, cut after 2,000 characters."""
    tokens: list[str] = []
    while location is not None:
        location, key = location
        tokens.append(escape_pointer(str(key)))
    pointer = "".join(f"/{token}" for token in reversed(tokens))
    return pointer if len(pointer) <= POINTER_LENGTH else pointer[:POINTER_LENGTH] + "…"


def escape_pointer(token: str) -> str:
    """Return a key as a reference token of a JSON pointer (RFC 6901)."""
    # The order matters, here and below: else a "/" would come out as "~01".
    return token.replace("~", "~0").replace("/", "~1")


def unescape_pointer(token: str) -> str:
    """Return the key that a reference token of a JSON pointer stands for."""
    return token.replace("~1", "/").replace("~0", "~")


def parse_pointer(pointer: str) -> tuple[str, ...]:
    """Return the keys along a JSON pointer; () is the whole document.

    What comes before the first slash is ignored: callers make sure that nothing does.
    """
    return tuple(unescape_pointer(token) for token in pointer.split("/")[1:])
