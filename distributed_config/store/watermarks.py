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
belong to no service, and counts for every answer. Word 2 says that the disk failed: no process may
write any more. Word 3 says whether the database was found sound since it is in use.

Words 4 and 5 outlast the processes: the highest revision that was acknowledged, and of which
epoch. A database that has less at the start has lost its log; see ``store/acknowledged.py``.
"""

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from zlib import crc32

from distributed_config.errors import CannotStart, DatabaseMoved
from distributed_config.models.backup import named

_WORDS = 4096
HEAD = 0
_EVERYTHING = 1
_FAILED = 2
_VERDICT = 3
_ACKNOWLEDGED = 4
_EPOCH = 5
_RESERVED = 6
_KEPT = slice(_ACKNOWLEDGED * 8, _RESERVED * 8)
_NEVER = (1 << 63) - 1
_EMPTY = bytes(_WORDS * 8)
_PATIENCE = 2.0


class Verdict(IntEnum):
    """What is known of the database's file. A new file of words says that nothing is."""

    UNKNOWN = 0
    SOUND = 1
    DAMAGED = 2


class Watermarks:
    """The words beside the database at ``database``; made when they are not there."""

    def __init__(self, database: Path) -> None:
        _refuse_other_names(database)
        self.path = path_of(database)
        # Held for as long as the process lives: it says that the database is in use.
        self._descriptor = _shared(self.path)
        self._words = memoryview(mmap.mmap(self._descriptor, len(_EMPTY))).cast("Q")
        self._database = database
        self._identity = _identity(database)

    @staticmethod
    @contextmanager
    def alone(database: Path) -> Iterator[None]:
        """Makes sure that nobody uses the database meanwhile. Raises CannotStart if one does."""
        _refuse_other_names(database)
        descriptor = os.open(path_of(database), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _locked(descriptor, fcntl.LOCK_EX):
                raise CannotStart(f"The database {database} is in use; stop the server first.")
            yield
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

    def acknowledge(self, epoch: str, revision: int) -> None:
        """Says that ``revision`` is committed; before whoever wrote it is answered."""
        code = _code_of(epoch)
        if self._words[_EPOCH] != code:
            # Never the revision of one epoch beside another epoch, whenever this is cut short.
            self._words[_ACKNOWLEDGED] = 0
            self._words[_EPOCH] = code
        self._words[_ACKNOWLEDGED] = revision

    def require_in_place(self) -> None:
        """Raises DatabaseMoved if another file, or none, is where the database was."""
        if self._identity is not None and self._identity != _identity(self._database):
            # No answer from before counts any more.
            self._words[_EVERYTHING] = _NEVER
            raise DatabaseMoved()

    def covers(self, word: int, revision: int) -> bool:
        """Whether an answer about the services of ``word``, computed at ``revision``, is right."""
        return self._words[word] <= revision and self._words[_EVERYTHING] <= revision

    @property
    def failed(self) -> bool:
        """Whether the disk failed during a commit of any process."""
        return self._words[_FAILED] != 0

    def fail(self) -> None:
        """Says so; it holds until all processes have ended."""
        self._words[_FAILED] = 1

    @property
    def verdict(self) -> Verdict:
        """What one of the processes found when it verified the database."""
        return Verdict(self._words[_VERDICT])

    @verdict.setter
    def verdict(self, found: Verdict) -> None:
        self._words[_VERDICT] = found

    @property
    def head(self) -> int:
        """The highest revision that may have been committed."""
        return self._words[HEAD]


def path_of(database: Path) -> Path:
    """The file of the words of ``database``: beside the file itself, whatever links lead to it."""
    return Path(f"{os.path.realpath(database)}-marks")


@dataclass(frozen=True)
class Acknowledged:
    """The highest revision that was acknowledged, and what stands for its epoch."""

    revision: int = 0
    code: int = 0

    def of(self, epoch: str) -> int:
        """The revision, if it was in ``epoch``; 0 if nothing is known of that."""
        return self.revision if self.code == _code_of(epoch) else 0


def acknowledged(database: Path) -> Acknowledged:
    """What is known beside ``database`` of what was acknowledged, without using it."""
    try:
        with path_of(database).open("rb") as file:
            kept = file.read(_KEPT.stop)[_KEPT]
    except FileNotFoundError:
        return Acknowledged()
    return Acknowledged(*struct.unpack("@QQ", kept)) if len(kept) == 16 else Acknowledged()


def word_of(organisation: int, service: str) -> int:
    """The word of a service. Services that share one only make each other's answers expire."""
    return _RESERVED + crc32(f"{organisation}/{service}".encode()) % (_WORDS - _RESERVED)


def _code_of(epoch: str) -> int:
    return crc32(epoch.encode()) or 1


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is, whatever its name; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _refuse_other_names(database: Path) -> None:
    """Raises CannotStart if the file has a second name, a hard link.

    Whoever opens it by that name finds neither these words nor SQLite's log, and so neither what
    was written nor the locks of those who write.
    """
    deadline = time.monotonic() + _PATIENCE
    # A file that is just being made has two names for a moment.
    while database.exists() and database.stat().st_nlink > 1:
        if time.monotonic() > deadline:
            raise CannotStart(
                f"The database {database} has a second name, a hard link, by which it could be "
                f"changed unseen. Remove the other one; `find -samefile {database}` finds it."
            )
        time.sleep(0.01)


def _shared(path: Path) -> int:
    """A descriptor of the file at ``path``, locked against ``alone``.

    Who comes first finds nobody whose answers rest on the words, and empties those.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _PATIENCE
    while True:
        if _locked(descriptor, fcntl.LOCK_EX):
            with named(path):
                _empty(descriptor)
        if _locked(descriptor, fcntl.LOCK_SH):
            return descriptor
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise CannotStart("The database is being restored; start the server after that.")
        time.sleep(0.01)


def _empty(descriptor: int) -> None:
    # Written out, not just extended: a hole would kill the process when the disk is full.
    os.pwrite(descriptor, _EMPTY[: _KEPT.start], 0)
    os.pwrite(descriptor, _EMPTY[_KEPT.stop :], _KEPT.stop)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
