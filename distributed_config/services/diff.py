"""The difference of two documents, as a JSON Patch and as a unified diff for people.

Both take bounded time and have a bounded size. The usual algorithms look for the shortest
difference, and take minutes for two long arrays. The ones here may return a longer one, which is
as correct. A difference that would be too long ends early, and says so.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

from distributed_config.services.alignment import Block, common_blocks
from distributed_config.wire import escape_pointer

MOST = 1_000_000
"""The bytes that the patch may have in a response, and those that the text may have."""

# Characters of a document as indented text. Writing so many takes a quarter of a second.
_MOST_CHARACTERS = 6_000_000
# Characters of values in arrays, as JSON: above them arrays are replaced as wholes.
_MOST_COMPARED = 20_000_000
_CONTEXT = 3
_Part = TypeVar("_Part")
_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False)
_COMPACT = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True)
class Difference:
    """The difference of two documents: ``patch`` (RFC 6902), and ``text``, a unified diff.

    ``patch`` turns the old document into the new, unless the difference is ``truncated``: then
    either may end early.
    """

    patch: list[dict[str, Any]]
    text: str
    truncated: bool


@dataclass(frozen=True)
class Changes:
    """The difference of two documents: ``entries`` by place, and ``text``, a unified diff.

    An entry has ``pointer``, ``old`` and ``new``; what was not there, or is not there any more,
    is left out. Either may end early where it is ``truncated``.
    """

    entries: list[dict[str, Any]]
    text: str
    truncated: bool


class _Absent(Enum):
    """What stands where there is no value; None is a value of JSON."""

    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""Stands for no value at a place."""


class Place(NamedTuple):
    """A place at which two documents differ: ``old`` or ``new`` is ABSENT where only one has it.

    In an array the pointer of what was removed counts in the old one, and any other in the new.
    """

    pointer: str
    old: Any
    new: Any


def compare(old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str) -> Difference:
    """Return the difference from ``old`` to ``new``; the names are in the head of the text."""
    operations, all_operations = _take_limited(map(_operation, places(old, new)))
    text, all_text = _limited_text(old, new, old_name, new_name)
    return Difference(operations, text, truncated=not (all_operations and all_text))


def list_changes(old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str) -> Changes:
    """Return what ``compare`` returns, with the old values beside the new."""
    entries, all_entries = _take_limited(map(_entry, places(old, new)))
    text, all_text = _limited_text(old, new, old_name, new_name)
    return Changes(entries, text, truncated=not (all_entries and all_text))


def places(old: Any, new: Any) -> Iterator[Place]:
    """Yield the places at which two values differ, the outermost of each."""
    yield from _Walk().places("", old, new)


def _operation(place: Place) -> dict[str, Any]:
    """Return the operation of a JSON Patch that makes the change."""
    if place.new is ABSENT:
        return {"op": "remove", "path": place.pointer}
    op = "add" if place.old is ABSENT else "replace"
    return {"op": op, "path": place.pointer, "value": place.new}


def _entry(place: Place) -> dict[str, Any]:
    sides = (("old", place.old), ("new", place.new))
    there = {side: value for side, value in sides if value is not ABSENT}
    return {"pointer": place.pointer, **there}


def _limited_text(
    old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str
) -> tuple[str, bool]:
    """Return the unified diff, and whether that is all of it."""
    lines, all_lines = _take_limited(_text(old, new, old_name, new_name))
    return "".join(f"{line}\n" for line in lines), all_lines


def _take_limited(parts: Iterator[_Part]) -> tuple[list[_Part], bool]:
    """Return as many of ``parts`` as a response may have, and whether these are all of them."""
    taken: list[_Part] = []
    size = 0
    try:
        for part in parts:
            size += _size(part)
            if size > MOST:
                return taken, False
            taken.append(part)
    except _TooLong:
        return taken, False
    return taken, True


def _size(part: Any) -> int:
    """Return the bytes of ``part`` in a response, which is JSON."""
    if isinstance(part, str):  # a line of text, in which these two characters are escaped
        return len(part.encode("utf-8", "replace")) + part.count('"') + part.count("\\") + 2
    return len(_COMPACT.encode(part).encode("utf-8", "replace")) + 2


class _TooLong(ValueError):
    """A document is too long to be written as text for people."""


class _Walk:
    """A walk through two documents at once; counts what is compared in arrays."""

    def __init__(self) -> None:
        self._compared = 0

    def places(self, pointer: str, old: Any, new: Any) -> Iterator[Place]:
        if isinstance(old, dict) and isinstance(new, dict):
            yield from self._in_object(pointer, old, new)
        elif isinstance(old, list) and isinstance(new, list) and self._compared < _MOST_COMPARED:
            yield from self._in_array(pointer, old, new)
        elif not _is_same_scalar(old, new):
            yield Place(pointer, old, new)

    def _in_object(self, pointer: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Place]:
        for key, value in old.items():
            if key not in new:
                yield Place(f"{pointer}/{escape_pointer(key)}", value, ABSENT)
        for key, value in new.items():
            path = f"{pointer}/{escape_pointer(key)}"
            if key in old:
                yield from self.places(path, old[key], value)
            else:
                yield Place(path, ABSENT, value)

    def _in_array(self, pointer: str, old: list[Any], new: list[Any]) -> Iterator[Place]:
        """Yield the changes between the common beginning and the common end, by element."""
        first, last = self._common(old, new)
        changed = min(len(old), len(new)) - last
        for i in range(first, changed):
            yield from self.places(f"{pointer}/{i}", old[i], new[i])
        # From the end: each removal moves the elements after it.
        for i in range(len(old) - last - 1, changed - 1, -1):
            yield Place(f"{pointer}/{i}", old[i], ABSENT)
        for i in range(changed, len(new) - last):
            yield Place(f"{pointer}/{i}", ABSENT, new[i])

    def _common(self, old: list[Any], new: list[Any]) -> tuple[int, int]:
        """Return how many elements are the same at the beginning, and how many more at the end."""
        most = min(len(old), len(new))
        first = 0
        while first < most and self._is_same(old[first], new[first]):
            first += 1
        last = 0
        while last < most - first and self._is_same(old[-1 - last], new[-1 - last]):
            last += 1
        return first, last

    def _is_same(self, old: Any, new: Any) -> bool:
        """Return whether two values are the same in JSON; 1, 1.0 and True are not."""
        if not isinstance(old, dict | list) or type(old) is not type(new):
            return _is_same_scalar(old, new)
        text = json.dumps(old)
        # Counted, because in nested arrays the innermost is written once for each around it.
        self._compared += len(text)
        return text == json.dumps(new)


def _is_same_scalar(old: Any, new: Any) -> bool:
    """Return whether two values, at most one of them a container, are the same in JSON."""
    return type(old) is type(new) and (old == new) and (repr(old) == repr(new))


def _text(old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str) -> Iterator[str]:
    before, after = _lines(old), _lines(new)
    for number, hunk in enumerate(_hunks(_changes(before, after))):
        if number == 0:
            yield f"--- {old_name}"
            yield f"+++ {new_name}"
        yield from _hunk_lines(before, after, hunk)


def _lines(document: dict[str, Any]) -> list[str]:
    """Return the document as indented lines. Raises _TooLong."""
    pieces, size = [], 0
    for piece in _ENCODER.iterencode(document):
        size += len(piece)
        if size > _MOST_CHARACTERS:
            raise _TooLong
        pieces.append(piece)
    return "".join(pieces).split("\n")


@dataclass(frozen=True)
class _Change:
    """Lines of the old text that are removed, and those of the new text in their place."""

    old: range
    new: range


def _changes(before: Sequence[str], after: Sequence[str]) -> list[_Change]:
    """Return the changes between the lines that both texts have in common."""
    ends = [Block(0, 0, 0), *common_blocks(before, after), Block(len(before), len(after), 0)]
    between = [
        _Change(range(one.old + one.length, other.old), range(one.new + one.length, other.new))
        for one, other in pairwise(ends)
    ]
    return [change for change in between if change.old or change.new]


def _hunks(changes: list[_Change]) -> Iterator[list[_Change]]:
    """Yield the changes in groups: those whose lines of context would touch are in one."""
    hunk: list[_Change] = []
    for change in changes:
        if hunk and change.old.start - hunk[-1].old.stop > 2 * _CONTEXT:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _hunk_lines(before: Sequence[str], after: Sequence[str], hunk: list[_Change]) -> Iterator[str]:
    around = min(_CONTEXT, hunk[0].old.start)
    old = range(hunk[0].old.start - around, min(hunk[-1].old.stop + _CONTEXT, len(before)))
    new_end = hunk[-1].new.stop + old.stop - hunk[-1].old.stop
    new = range(hunk[0].new.start - around, new_end)
    yield f"@@ -{_place(old)} +{_place(new)} @@"
    position = old.start
    for change in hunk:
        yield from (f" {line}" for line in before[position : change.old.start])
        yield from (f"-{before[i]}" for i in change.old)
        yield from (f"+{after[i]}" for i in change.new)
        position = change.old.stop
    yield from (f" {line}" for line in before[position : old.stop])


def _place(lines: range) -> str:
    """Return a range of lines as unified diffs write it."""
    # Lines count from 1. An empty range has the number of the line before it.
    start = lines.start + 1 if lines else lines.start
    return f"{start}" if len(lines) == 1 else f"{start},{len(lines)}"
