"""The lines that two texts have in common, found in bounded time.

This is the algorithm of E. W. Myers (An O(ND) Difference Algorithm, 1986), which `diff` uses too.
It looks for the shortest difference, and its time grows with how much differs. Where that is too
much, the best path so far is taken, and the search continues at its end. When all steps are used,
the rest counts as having nothing in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# A step takes about a microsecond.
_MOST_STEPS = 200_000
# Lines that are in one text only, after which the best path so far is taken.
_FURTHEST = 150


@dataclass(frozen=True)
class Block:
    """A run of common lines: ``length`` lines at ``old`` in one text and ``new`` in the other."""

    old: int
    new: int
    length: int


def common_blocks(old: Sequence[str], new: Sequence[str]) -> list[Block]:
    """Return the common lines of two texts, in the order of both."""
    # Most edits leave a long beginning and a long end, and comparing these costs no steps.
    first = _common_start(old, new)
    last = _common_end(old, new, first)
    search = _Search(old[first : len(old) - last], new[first : len(new) - last])
    blocks = [
        Block(0, 0, first),
        *(Block(block.old + first, block.new + first, block.length) for block in search.blocks()),
        Block(len(old) - last, len(new) - last, last),
    ]
    return [block for block in blocks if block.length]


def _common_start(old: Sequence[str], new: Sequence[str]) -> int:
    most = min(len(old), len(new))
    return next((i for i in range(most) if old[i] != new[i]), most)


def _common_end(old: Sequence[str], new: Sequence[str], first: int) -> int:
    most = min(len(old), len(new)) - first
    return next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)


# A linked list: paths that branch share their beginnings, and extending one copies nothing.
Path = tuple["Path", Block] | None
"""The common blocks on the way to a point, the last one first."""


class _Search:
    """A search for the common lines of two texts, piece by piece."""

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        # Equal lines get equal numbers, which compare faster than text.
        numbers: dict[str, int] = {}
        self._old = [numbers.setdefault(line, len(numbers)) for line in old]
        self._new = [numbers.setdefault(line, len(numbers)) for line in new]
        self._steps = 0

    def blocks(self) -> list[Block]:
        blocks: list[Block] = []
        i = j = 0
        while i < len(self._old) and j < len(self._new) and self._steps < _MOST_STEPS:
            i, j, path = self._piece(i, j)
            blocks += _in_order(path)
        return blocks

    def _piece(self, i: int, j: int) -> tuple[int, int, Path]:
        """Return the end of the best path from ``i`` and ``j`` on, and the path."""
        # For each diagonal (i - j) the furthest point, as its i, and the path to it.
        furthest: dict[int, tuple[int, Path]] = {i - j + 1: (i, None)}
        for distance in range(_FURTHEST):
            reached: dict[int, tuple[int, Path]] = {}
            for diagonal in range(i - j - distance, i - j + distance + 1, 2):
                start = self._start(furthest, diagonal)
                if start is None:
                    continue
                x, path = reached[diagonal] = self._along(*start, diagonal)
                if x == len(self._old) and x - diagonal == len(self._new):
                    return x, x - diagonal, path
            furthest = reached
            if self._steps > _MOST_STEPS:
                break
        # The best point has passed the most lines of both texts together: i + j.
        diagonal = max(furthest, key=lambda one: 2 * furthest[one][0] - one)
        x, path = furthest[diagonal]
        return x, x - diagonal, path

    def _start(
        self, furthest: dict[int, tuple[int, Path]], diagonal: int
    ) -> tuple[int, Path] | None:
        """Return where to begin on ``diagonal``: one line after the furthest point beside it."""
        self._steps += 1
        left, above = furthest.get(diagonal - 1), furthest.get(diagonal + 1)
        points = [(left[0] + 1, left[1])] if left is not None else []
        points += [above] if above is not None else []
        inside = [
            point
            for point in points
            if point[0] <= len(self._old) and point[0] - diagonal <= len(self._new)
        ]
        return max(inside, key=lambda point: point[0], default=None)

    def _along(self, x: int, path: Path, diagonal: int) -> tuple[int, Path]:
        """Return the furthest point on ``diagonal`` from ``x`` on, along common lines."""
        start = x
        while (
            x < len(self._old)
            and x - diagonal < len(self._new)
            and self._old[x] == self._new[x - diagonal]
        ):
            x += 1
        self._steps += x - start
        return x, path if x == start else (path, Block(start, start - diagonal, x - start))


def _in_order(path: Path) -> list[Block]:
    blocks = []
    while path is not None:
        path, block = path
        blocks.append(block)
    return blocks[::-1]
