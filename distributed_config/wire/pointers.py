"""JSON pointers (RFC 6901), and where in a document something is."""

from collections.abc import Mapping
from typing import Any, TypeVar

Key = TypeVar("Key", str, int)


POINTER_LENGTH = 2_000


Location = tuple["Location", str | int] | None


"""Where a value stands: the place of what it is in, and its key there; None is the whole.

A pointer is written only where there is something to tell: a document of one long key and many
values would need gigabytes for all of them.
"""


def child_of(place: Location, value: Any) -> list[tuple[Location, Any]]:
    """What is in an object or an array, each with its place; nothing is in anything else."""
    if isinstance(value, Mapping):
        return [((place, str(key)), child) for key, child in value.items()]
    if isinstance(value, list):
        return [((place, i), child) for i, child in enumerate(value)]
    return []


def pointer_of(place: Location) -> str:
    """The JSON pointer of ``place``; cut where it is absurdly long."""
    tokens: list[str] = []
    while place is not None:
        place, key = place
        tokens.append(escape_pointer(str(key)))
    pointer = "".join(f"/{token}" for token in reversed(tokens))
    return pointer if len(pointer) <= POINTER_LENGTH else pointer[:POINTER_LENGTH] + "…"


def escape_pointer(token: str) -> str:
    """One reference token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")
