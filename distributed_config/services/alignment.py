"""Which lines two texts have in common, found in bounded time.

This is the algorithm of E. W. Myers (1986), which `diff` uses too: it looks for the shortest
difference, and takes time in proportion to how much differs. Where that is more than can be looked
at, the best way so far is taken, and it goes on from there; at the end, what is left has nothing in
common.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_MOST_STEPS = 200_000  # of a microsecond each
_FURTHEST = 150  # lines that are only in one of them, until the best way so far is taken


@dataclass(frozen=True)
class Block:
    """``length`` lines from ``old`` on in one text are those from ``new`` on in the other."""

    old: int
    new: int
    length: int


def common_blocks(old: Sequence[str], new: Sequence[str]) -> list[Block]:
    """What both have in common, in the order of both."""
    first = _common_start(old, new)
    last = _common_end(old, new, first)
    search = _Search(old[first : len(old) - last], new[first : len(new) - last])
    found = [
        Block(0, 0, first),
        *(Block(each.old + first, each.new + first, each.length) for each in search.blocks()),
        Block(len(old) - last, len(new) - last, last),
    ]
    return [each for each in found if each.length]


def _common_start(old: Sequence[str], new: Sequence[str]) -> int:
    most = min(len(old), len(new))
    return next((i for i in range(most) if old[i] != new[i]), most)


def _common_end(old: Sequence[str], new: Sequence[str], first: int) -> int:
    most = min(len(old), len(new)) - first
    return next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)


Way = tuple["Way", Block] | None
"""The blocks that were met on the way to a place, the last one first."""


class _Search:
    """Finds what ``old`` and ``new`` have in common, piece by piece."""

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        numbers: dict[str, int] = {}
        self._old = [numbers.setdefault(line, len(numbers)) for line in old]
        self._new = [numbers.setdefault(line, len(numbers)) for line in new]
        self._steps = 0

    def blocks(self) -> list[Block]:
        found: list[Block] = []
        i = j = 0
        while i < len(self._old) and j < len(self._new) and self._steps < _MOST_STEPS:
            i, j, way = self._piece(i, j)
            found += _in_order(way)
        return found

    def _piece(self, i: int, j: int) -> tuple[int, int, Way]:
        """The best way from ``i`` and ``j`` on: where it leads, and what it met."""
        # For each diagonal (i - j) the furthest place, as its i, and the way to it.
        places: dict[int, tuple[int, Way]] = {i - j + 1: (i, None)}
        for distance in range(_FURTHEST):
            reached: dict[int, tuple[int, Way]] = {}
            for diagonal in range(i - j - distance, i - j + distance + 1, 2):
                start = self._start(places, diagonal)
                if start is None:
                    continue
                x, way = reached[diagonal] = self._along(*start, diagonal)
                if x == len(self._old) and x - diagonal == len(self._new):
                    return x, x - diagonal, way
            places = reached
            if self._steps > _MOST_STEPS:
                break
        diagonal = max(places, key=lambda each: 2 * places[each][0] - each)
        x, way = places[diagonal]
        return x, x - diagonal, way

    def _start(self, places: dict[int, tuple[int, Way]], diagonal: int) -> tuple[int, Way] | None:
        """Where to begin on ``diagonal``: one line after the furthest place beside it."""
        self._steps += 1
        left, above = places.get(diagonal - 1), places.get(diagonal + 1)
        found = [(left[0] + 1, left[1])] if left is not None else []
        found += [above] if above is not None else []
        inside = [
            each
            for each in found
            if each[0] <= len(self._old) and each[0] - diagonal <= len(self._new)
        ]
        return max(inside, key=lambda each: each[0], default=None)

    def _along(self, x: int, way: Way, diagonal: int) -> tuple[int, Way]:
        """The furthest place on ``diagonal`` from ``x`` on, as long as the lines are the same."""
        begun = x
        while (
            x < len(self._old)
            and x - diagonal < len(self._new)
            and self._old[x] == self._new[x - diagonal]
        ):
            x += 1
        self._steps += x - begun
        return x, way if x == begun else (way, Block(begun, begun - diagonal, x - begun))


def _in_order(way: Way) -> list[Block]:
    found = []
    while way is not None:
        way, block = way
        found.append(block)
    return found[::-1]
