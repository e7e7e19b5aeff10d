"""Time that really passed, as far as the database was there to see it.

The clock on the wall can be set, by hand or by a machine that starts without one, forwards and
back. Whoever counts a window with it forgets too early, or never. Steady time is kept in the
database and only ever grows by what the machine's uptime grew meanwhile. Nobody can know how long
a machine was off: that time is not counted, so a window lasts longer rather than shorter.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Uptime:
    """How long a machine has been running since its boot, in microseconds."""

    boot: str
    microseconds: int


@dataclass(frozen=True)
class Steady:
    """Steady time at a commit, in microseconds, and the uptime that it was taken at."""

    at: int
    seen: Uptime

    def grown(self, now: Uptime) -> "Steady":
        """Steady time at the uptime ``now``."""
        same = now.boot == self.seen.boot
        passed = max(0, now.microseconds - self.seen.microseconds) if same else 0
        return Steady(self.at + passed, now)
