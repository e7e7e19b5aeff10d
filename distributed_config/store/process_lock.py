"""Whose turn it is to write, among the processes of one machine.

SQLite has its own lock, and that one decides. But it is waited for by polling, and a process that
polls while its neighbour commits one batch after another may starve for seconds. So writers queue
here first, where the kernel wakes the next one: who waits holds the place at the door, and who
comes back from inside has to take that place first.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_INSIDE = 0
_DOOR = 1


class ProcessLock:
    """Locks on two bytes of the file at ``path``. One thread of a process uses it.

    The kernel frees what a process held when it ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for this process's turn, and gives it up at the end."""
        self._lock(_DOOR, fcntl.LOCK_EX)
        try:
            self._lock(_INSIDE, fcntl.LOCK_EX)
        finally:
            self._lock(_DOOR, fcntl.LOCK_UN)
        try:
            yield
        finally:
            self._lock(_INSIDE, fcntl.LOCK_UN)

    def _lock(self, byte: int, how: int) -> None:
        fcntl.lockf(self._descriptor, how, 1, byte)
