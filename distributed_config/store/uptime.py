"""How long this machine has been running: a clock that nobody sets.

It counts while the machine sleeps, and is the same for all processes. Where there is no /proc the
interpreter's own clock serves, which is as good between two boots.
"""

import time
from functools import lru_cache
from pathlib import Path

from distributed_config.services.journal.steady import Uptime

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_UPTIME = Path("/proc/uptime")


def uptime() -> Uptime:
    """Return the present boot of this machine, and how long ago it began."""
    try:
        # Not CLOCK_BOOTTIME: what lies about the time to a process lies about that as well.
        seconds = float(_UPTIME.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        seconds = time.monotonic()
    return Uptime(_boot(), int(seconds * 1_000_000))


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return "unknown"
