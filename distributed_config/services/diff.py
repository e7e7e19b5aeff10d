"""Two documents side by side: as a JSON Patch, and as text for people.

Both take bounded time and have a bounded size. The usual algorithms look for the shortest
difference and need minutes for two long arrays; what is made here may be longer, and is as right.
Where it would be too long it ends early, and says so.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from distributed_config.services.alignment import Block, common_blocks
from distributed_config.wire import escape_pointer

MOST = 1_000_000
"""The bytes that the patch may have in an answer, and those that the text may have."""

_MOST_WRITTEN = (
    6_000_000  # characters of a document as text for people, which takes a quarter second
)
_MOST_COMPARED = 20_000_000  # characters of the values in arrays, as JSON
_CONTEXT = 3
_Part = TypeVar("_Part")
_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False)
_COMPACT = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True)
class Difference:
    """``patch`` (RFC 6902) turns the old document into the new; ``text`` is a unified diff.

    If it is ``truncated`` there is more than both tell.
    """

    patch: list[dict[str, Any]]
    text: str
    truncated: bool


def compare(old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str) -> Difference:
    """The difference from ``old`` to ``new``; the names head the text."""
    patch = _Patch()
    operations, whole = _limited(patch.operations("", old, new))
    lines, all_lines = _limited(_text(old, new, old_name, new_name))
    text = "".join(f"{line}\n" for line in lines)
    return Difference(operations, text, truncated=not (whole and all_lines))


def _limited(parts: Iterator[_Part]) -> tuple[list[_Part], bool]:
    """The first of ``parts``, as many as an answer may have, and whether these are all."""
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
    """The bytes of ``part`` in an answer."""
    if isinstance(part, str):  # a line, which the quotation marks of JSON are in
        return len(part.encode("utf-8", "replace")) + part.count('"') + part.count("\\") + 2
    return len(_COMPACT.encode(part).encode("utf-8", "replace")) + 2


class _TooLong(ValueError):
    """A document is too long to be shown as text for people."""


class _Patch:
    def __init__(self) -> None:
        self._compared = 0

    def operations(self, pointer: str, old: Any, new: Any) -> Iterator[dict[str, Any]]:
        if isinstance(old, dict) and isinstance(new, dict):
            yield from self._on_object(pointer, old, new)
        elif isinstance(old, list) and isinstance(new, list) and self._compared < _MOST_COMPARED:
            yield from self._on_array(pointer, old, new)
        elif not _is_same_scalar(old, new):
            yield {"op": "replace", "path": pointer, "value": new}

    def _on_object(
        self, pointer: str, old: dict[str, Any], new: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        for key in old:
            if key not in new:
                yield {"op": "remove", "path": f"{pointer}/{escape_pointer(key)}"}
        for key, value in new.items():
            path = f"{pointer}/{escape_pointer(key)}"
            if key in old:
                yield from self.operations(path, old[key], value)
            else:
                yield {"op": "add", "path": path, "value": value}

    def _on_array(self, pointer: str, old: list[Any], new: list[Any]) -> Iterator[dict[str, Any]]:
        """Element by element between what both have at their beginning and at their end."""
        first, last = self._common(old, new)
        changed = min(len(old), len(new)) - last
        for i in range(first, changed):
            yield from self.operations(f"{pointer}/{i}", old[i], new[i])
        for i in range(len(old) - last - 1, changed - 1, -1):
            yield {"op": "remove", "path": f"{pointer}/{i}"}
        for i in range(changed, len(new) - last):
            yield {"op": "add", "path": f"{pointer}/{i}", "value": new[i]}

    def _common(self, old: list[Any], new: list[Any]) -> tuple[int, int]:
        """How many elements are the same at the beginning, and how many after those at the end."""
        most = min(len(old), len(new))
        first = 0
        while first < most and self._is_same(old[first], new[first]):
            first += 1
        last = 0
        while last < most - first and self._is_same(old[-1 - last], new[-1 - last]):
            last += 1
        return first, last

    def _is_same(self, old: Any, new: Any) -> bool:
        """Whether both are written alike; 1, 1.0 and True are not."""
        if not isinstance(old, dict | list) or type(old) is not type(new):
            return _is_same_scalar(old, new)
        written = json.dumps(old)
        # In an array of arrays each of them is written once for each that it is in.
        self._compared += len(written)
        return written == json.dumps(new)


def _is_same_scalar(old: Any, new: Any) -> bool:
    """Whether two values are written alike, of which one at most is an object or an array."""
    return type(old) is type(new) and (old == new) and (repr(old) == repr(new))


def _text(old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str) -> Iterator[str]:
    before, after = _lines(old), _lines(new)
    for number, hunk in enumerate(_hunks(_changes(before, after))):
        if number == 0:
            yield f"--- {old_name}"
            yield f"+++ {new_name}"
        yield from _shown(before, after, hunk)


def _lines(document: dict[str, Any]) -> list[str]:
    """The document as text for people. Raises _TooLong."""
    pieces, size = [], 0
    for piece in _ENCODER.iterencode(document):
        size += len(piece)
        if size > _MOST_WRITTEN:
            raise _TooLong
        pieces.append(piece)
    return "".join(pieces).split("\n")


@dataclass(frozen=True)
class _Change:
    """The lines of the old text that are removed, and those of the new that are there instead."""

    old: range
    new: range


def _changes(before: Sequence[str], after: Sequence[str]) -> list[_Change]:
    """What lies between the lines that both have in common."""
    ends = [Block(0, 0, 0), *common_blocks(before, after), Block(len(before), len(after), 0)]
    between = [
        _Change(range(one.old + one.length, other.old), range(one.new + one.length, other.new))
        for one, other in pairwise(ends)
    ]
    return [each for each in between if each.old or each.new]


def _hunks(changes: list[_Change]) -> Iterator[list[_Change]]:
    """The changes, together where what is shown around them would touch."""
    hunk: list[_Change] = []
    for change in changes:
        if hunk and change.old.start - hunk[-1].old.stop > 2 * _CONTEXT:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _shown(before: Sequence[str], after: Sequence[str], hunk: list[_Change]) -> Iterator[str]:
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
    """The first line and how many, as unified diffs write them."""
    start = lines.start + 1 if lines else lines.start
    return f"{start}" if len(lines) == 1 else f"{start},{len(lines)}"
