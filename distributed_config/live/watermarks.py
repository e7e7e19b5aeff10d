"""How a process learns, in nanoseconds, that another one may have committed something.

Beside the database lies a small file that every process maps into memory. It is an array of
64-bit words. A service belongs to the word that a hash of its name picks, and the word holds the
highest revision that *may* have touched one of its services. A writer raises the words of what it
touched before it commits, while it holds the database's write lock. So:

    an answer that was computed at revision R is still right if its word is not above R.

Raising before the commit is what makes this safe whatever happens: a process killed between the
two leaves a word that is too high, and answers are computed anew until a later revision passes
it; nothing stale is ever served. Losing the file loses nothing: answers live in memory only.

Word 0 is the journal's head, for those who wait for any change; word 1 is raised by changes that
belong to no service, and counts for every answer.
"""

import fcntl
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from distributed_config.errors import CannotStart

_WORDS = 4096
HEAD = 0
_EVERYTHING = 1
_RESERVED = 2


class Watermarks:
    """The words beside the database at ``database``; made when they are not there."""

    def __init__(self, database: Path) -> None:
        self.path = path_of(database)
        # Held for as long as the process lives: it says that the database is in use.
        self._descriptor = _opened(self.path, fcntl.LOCK_SH)
        if os.fstat(self._descriptor).st_size < _WORDS * 8:
            # Written out, not just extended: a hole would kill the process when the disk is full.
            os.pwrite(self._descriptor, bytes(_WORDS * 8), 0)
        self._words = memoryview(mmap.mmap(self._descriptor, _WORDS * 8)).cast("Q")

    @staticmethod
    @contextmanager
    def alone(database: Path) -> Iterator[None]:
        """Makes sure that nobody uses the database meanwhile; the words begin at 0 after it.

        Raises CannotStart if somebody does.
        """
        descriptor = _opened(path_of(database), fcntl.LOCK_EX)
        try:
            yield
            os.pwrite(descriptor, bytes(_WORDS * 8), 0)
        finally:
            os.close(descriptor)

    def raise_to(
        self, revision: int, services: Iterable[tuple[int, str]], everything: bool
    ) -> None:
        """Says that ``revision`` may be committed. Only the holder of the write lock calls this.

        ``services`` are pairs of organisation and name; ``everything`` says that a change
        belongs to no service.
        """
        for organisation, service in services:
            self._words[word_of(organisation, service)] = revision
        if everything:
            self._words[_EVERYTHING] = revision
        self._words[HEAD] = revision

    def covers(self, word: int, revision: int) -> bool:
        """Whether an answer about the services of ``word``, computed at ``revision``, is right."""
        return self._words[word] <= revision and self._words[_EVERYTHING] <= revision

    @property
    def head(self) -> int:
        """The highest revision that may have been committed."""
        return self._words[HEAD]


def path_of(database: Path) -> Path:
    """The file of the words of ``database``."""
    return database.with_name(f"{database.name}-marks")


def word_of(organisation: int, service: str) -> int:
    """The word of a service. Services that share one only make each other's answers expire."""
    return _RESERVED + crc32(f"{organisation}/{service}".encode()) % (_WORDS - _RESERVED)


def _opened(path: Path, lock: int) -> int:
    """A descriptor of the file at ``path``, with a lock that ends when it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        busy = "is being restored" if lock == fcntl.LOCK_SH else "is in use; stop the server first"
        raise CannotStart(f"The database beside {path} {busy}.") from None
    return descriptor
