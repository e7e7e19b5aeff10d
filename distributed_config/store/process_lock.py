"""A fair lock among the processes of one machine, for the one that may write.

SQLite has its own lock, and that one decides. But it is waited for by polling, and a process that
polls while its neighbour commits one batch after another may starve for seconds. So writers queue
here first, where the kernel wakes the next one. There are two places, as before a counter: whoever
has been served and comes back has to take the place in the queue first, and finds it taken.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Bytes of the file; ``store/verification.py`` locks the one after them.
_INSIDE = 0
_QUEUE = 1


class ProcessLock:
    """Locks on two bytes of the file at ``path``. One thread of a process uses it.

    The kernel frees what a process held when it ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        # Never closed: closing any descriptor of a file gives up all locks of the process on it.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait until this process holds the lock, and release it at the end of the block."""
        self._lock(_QUEUE, fcntl.LOCK_EX)
        try:
            self._lock(_INSIDE, fcntl.LOCK_EX)
        finally:
            self._lock(_QUEUE, fcntl.LOCK_UN)
        try:
            yield
        finally:
            self._lock(_INSIDE, fcntl.LOCK_UN)

    def _lock(self, byte: int, operation: int) -> None:
        fcntl.lockf(self._descriptor, operation, 1, byte)
