"""Two documents side by side, and the values that differ.

Both documents are walked at once, which takes time in proportion to their size; to compare their
texts would take far longer, and would count a comma that moved as a change.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from distributed_config.services.diff import ABSENT, Place, places
from distributed_config.services.secrets import to_json

_CONTEXT = 3
_MOST_ROWS = 2_000
_MOST_CHANGES = 500
_LONGEST_VALUE = 200


@dataclass(frozen=True)
class Change:
    """A value that differs; ``before`` or ``after`` is None where there is none."""

    pointer: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Row:
    """One line of two texts side by side; a side without a line is None, and its number 0.

    ``gap`` counts the equal lines that a row stands for; 0: it is a row of text.
    """

    same: bool
    old_number: int = 0
    old: str | None = None
    new_number: int = 0
    new: str | None = None
    gap: int = 0


@dataclass(frozen=True)
class Difference:
    """What leads from one document to another, and how much of it was left out."""

    changes: list[Change]
    rows: list[Row]
    more_changes: int
    more_rows: int

    @property
    def count(self) -> int:
        """The number of values that differ."""
        return len(self.changes) + self.more_changes


def compare(old: Any, new: Any) -> Difference:
    """Return the difference from ``old`` to ``new``."""
    changes = [_change(place) for place in places(old, new)]
    rows = list(_folded(list(_numbered(_aligned(old, new)))))
    return Difference(
        changes[:_MOST_CHANGES],
        rows[:_MOST_ROWS],
        max(0, len(changes) - _MOST_CHANGES),
        max(0, len(rows) - _MOST_ROWS),
    )


def shown(value: Any) -> str:
    """Return a value as one line, cut where it is long."""
    text = to_json(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _change(place: Place) -> Change:
    before, after = (None if value is ABSENT else shown(value) for value in (place.old, place.new))
    return Change(place.pointer, before, after)


def _at(values: list[Any], position: int) -> Any:
    return values[position] if position < len(values) else ABSENT


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are the same in JSON; 1, 1.0 and True are not."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return type(one) is type(other) and to_json(one) == to_json(other)


Pair = tuple[bool, str | None, str | None]
"""Whether two lines are equal, and the lines."""


@dataclass(frozen=True)
class _Spot:
    """Where a value stands: how deep, after which key, and which comma follows on either side."""

    depth: int = 0
    label: str = ""
    commas: tuple[str, str] = ("", "")

    def lines(self, value: Any, side: int) -> list[str]:
        """Return the lines of a value that stands here."""
        pad = "  " * self.depth
        text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", f"\n{pad}")
        return f"{pad}{self.label}{text}{self.commas[side]}".split("\n")


def _aligned(old: Any, new: Any, place: _Spot = _Spot()) -> Iterator[Pair]:
    if new is ABSENT:
        yield from ((False, line, None) for line in place.lines(old, 0))
    elif old is ABSENT:
        yield from ((False, None, line) for line in place.lines(new, 1))
    elif _same(old, new):
        # A comma that is on one side alone is no change.
        pairs = zip(place.lines(old, 0), place.lines(new, 1), strict=True)
        yield from ((True, *pair) for pair in pairs)
    elif isinstance(old, dict) and isinstance(new, dict) and old and new:
        steps = [
            (f"{json.dumps(key, ensure_ascii=False)}: ", old.get(key, ABSENT), new.get(key, ABSENT))
            for key in dict.fromkeys([*old, *new])
        ]
        yield from _inside(steps, "{}", place)
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        yield from _inside(_elements(old, new), "[]", place)
    else:
        yield from _replaced(place.lines(old, 0), place.lines(new, 1))


def _replaced(old: list[str], new: list[str]) -> Iterator[Pair]:
    for position in range(max(len(old), len(new))):
        left = old[position] if position < len(old) else None
        yield False, left, new[position] if position < len(new) else None


_Step = tuple[str, Any, Any]


def _inside(steps: Sequence[_Step], marks: str, place: _Spot) -> Iterator[Pair]:
    """Yield the lines of two containers, whose parts are ``steps``."""
    pad = "  " * place.depth
    first = f"{pad}{place.label}{marks[0]}"
    yield True, first, first
    last = [
        max((n for n, step in enumerate(steps) if step[side] is not ABSENT), default=-1)
        for side in (1, 2)
    ]
    for position, (label, old, new) in enumerate(steps):
        commas = ("" if position == last[0] else ",", "" if position == last[1] else ",")
        yield from _aligned(old, new, _Spot(place.depth + 1, label, commas))
    yield True, f"{pad}{marks[1]}{place.commas[0]}", f"{pad}{marks[1]}{place.commas[1]}"


def _elements(old: list[Any], new: list[Any]) -> list[_Step]:
    """Return the elements of two arrays in pairs, from a common beginning and a common end."""
    first, middle, last = _paired(old, new)
    pairs = [*zip(old[:first], new[:first], strict=True), *middle]
    if last:
        pairs += zip(old[-last:], new[-last:], strict=True)
    return [("", one, other) for one, other in pairs]


def _paired(old: list[Any], new: list[Any]) -> tuple[int, list[tuple[Any, Any]], int]:
    """Return how many elements are the same at both ends, and the others between them in pairs."""
    # An element that is put in the middle must not make all that follow it look changed.
    most = min(len(old), len(new))
    first = next((n for n in range(most) if not _same(old[n], new[n])), most)
    ends = most - first
    last = next((n for n in range(ends) if not _same(old[-1 - n], new[-1 - n])), ends)
    left, right = old[first : len(old) - last], new[first : len(new) - last]
    pairs = [(_at(left, n), _at(right, n)) for n in range(max(len(left), len(right)))]
    return first, pairs, last


def _numbered(pairs: Iterator[Pair]) -> Iterator[Row]:
    left = right = 0
    for same, old, new in pairs:
        left += old is not None
        right += new is not None
        yield Row(same, left if old is not None else 0, old, right if new is not None else 0, new)


def _folded(rows: list[Row]) -> Iterator[Row]:
    """Yield the rows that differ and some around them; one row stands for each stretch between."""
    near = {
        at
        for position, row in enumerate(rows)
        if not row.same
        for at in range(position - _CONTEXT, position + _CONTEXT + 1)
    }
    hidden = 0
    for position, row in enumerate(rows):
        if position not in near:
            hidden += 1
            continue
        if hidden:
            yield Row(same=True, gap=hidden)
            hidden = 0
        yield row
    if hidden:
        yield Row(same=True, gap=hidden)
