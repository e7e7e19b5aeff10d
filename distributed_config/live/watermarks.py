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

import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

_WORDS = 4096
HEAD = 0
_EVERYTHING = 1
_RESERVED = 2


class Watermarks:
    """The words beside the database at ``database``; made when they are not there."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + "-marks")
        self._words = _mapped(self.path)

    def raise_to(self, revision: int, services: Iterable[tuple[int, str]], everything: bool) -> None:
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


def word_of(organisation: int, service: str) -> int:
    """The word of a service. Services that share one only make each other's answers expire."""
    return _RESERVED + crc32(f"{organisation}/{service}".encode()) % (_WORDS - _RESERVED)


def _mapped(path: Path) -> memoryview:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size < _WORDS * 8:
            # Written out, not just extended: a hole would kill the process when the disk is full.
            os.pwrite(descriptor, bytes(_WORDS * 8), 0)
        return memoryview(mmap.mmap(descriptor, _WORDS * 8)).cast("Q")
    finally:
        os.close(descriptor)
