"""Steady time: the time that really passed, whatever happened to the system clock.

The system clock can be set forwards and back, by hand, or on a machine that starts without one. A
window that is measured with it ends too early, or never. Steady time is stored in the database and
only grows by what the machine's uptime has grown since. How long a machine was off cannot be
known, and is not counted: a window then lasts longer, never shorter.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Uptime:
    """How long a machine has been running since the boot with the id ``boot``."""

    boot: str
    microseconds: int


@dataclass(frozen=True)
class Steady:
    """Steady time at a commit, in microseconds, and the uptime at which it was taken."""

    at: int
    uptime: Uptime

    def advance(self, now: Uptime) -> "Steady":
        """Return steady time at the uptime ``now``; after a boot it goes on from where it stood."""
        # Uptimes of two boots cannot be compared, so the time between them does not count.
        same = now.boot == self.uptime.boot
        passed = max(0, now.microseconds - self.uptime.microseconds) if same else 0
        return Steady(self.at + passed, now)
