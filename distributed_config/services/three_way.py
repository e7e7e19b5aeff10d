"""The merge of two changed copies of one document, for two people who edited it at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distributed_config.services.secrets import to_json
from distributed_config.wire import escape_pointer

ABSENT: Any = object()
"""Stands for a value that a document does not have."""


@dataclass(frozen=True)
class Contest:
    """A place that both have changed, differently; ``ABSENT`` where one has no value there."""

    pointer: str
    base: Any
    mine: Any
    theirs: Any


def contests(base: Any, mine: Any, theirs: Any, pointer: str = "") -> Iterator[Contest]:
    """Yield the places that ``mine`` and ``theirs`` have both changed, and not to the same."""
    if _same(mine, theirs) or _same(base, mine) or _same(base, theirs):
        return
    if not (isinstance(mine, dict) and isinstance(theirs, dict)):
        yield Contest(pointer, base, mine, theirs)
        return
    # In the order of what is published: what both have stays where it was.
    before = base if isinstance(base, dict) else {}
    for key in dict.fromkeys([*theirs, *mine]):
        was, one, other = (each.get(key, ABSENT) for each in (before, mine, theirs))
        yield from contests(was, one, other, f"{pointer}/{escape_pointer(key)}")


def merge(base: Any, mine: Any, theirs: Any, choices: Mapping[str, str], pointer: str = "") -> Any:
    """Return what ``mine`` and ``theirs`` make together of ``base``.

    Objects are merged by key, and any other value is one whole. Where both have changed a value,
    ``choices`` has ``"mine"`` or ``"theirs"`` for its pointer; without a choice it is theirs.
    """
    if _same(mine, theirs) or _same(base, mine):
        return theirs
    if _same(base, theirs):
        return mine
    # Arrays are wholes: nobody can tell by its position which element somebody meant.
    if not (isinstance(mine, dict) and isinstance(theirs, dict)):
        return mine if choices.get(pointer) == "mine" else theirs
    before = base if isinstance(base, dict) else {}
    result = {}
    for key in dict.fromkeys([*theirs, *mine]):
        was, one, other = (each.get(key, ABSENT) for each in (before, mine, theirs))
        value = merge(was, one, other, choices, f"{pointer}/{escape_pointer(key)}")
        if value is not ABSENT:
            result[key] = value
    return result


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are the same in JSON; 1, 1.0 and True are not."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return to_json(one) == to_json(other)
