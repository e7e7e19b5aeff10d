"""Positions in the journal: a revision, and the epoch of the database that it belongs to."""

import re
from dataclasses import dataclass

MOST_REVISION = 2**63 - 1
"""The largest integer that SQLite stores."""

_POSITION = re.compile(r"([0-9]{1,19})(?:\.([0-9A-Za-z]{1,64}))?")


@dataclass(frozen=True)
class Position:
    """A position in the journal.

    ``epoch`` names the history that the revision is in, which a restore replaces; None: unknown.
    """

    revision: int
    epoch: str | None = None

    def __str__(self) -> str:
        return str(self.revision) if self.epoch is None else f"{self.revision}.{self.epoch}"


def parse_position(text: str) -> Position:
    """Parse a position like ``41.2b4e3723`` or ``41``. Raises ValueError."""
    match = _POSITION.fullmatch(text)
    if match is None or int(match[1]) > MOST_REVISION:
        raise ValueError(f"{text[:40]!r} is no position in the journal")
    return Position(int(match[1]), match[2])
