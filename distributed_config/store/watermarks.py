"""How a process learns, in nanoseconds, that another one may have committed something.

Beside the database lies a small file that every process maps into memory. It is an array of
64-bit words. A series belongs to the word that a hash of its name picks, and the word holds the
highest revision that *may* have touched one of its series. A writer raises the words of the
series that it touched before it commits, while it holds the database's write lock. So:

    a response that was computed at revision R is still right if none of its words is above R.

A response about one series has one word. One about a resolved document has the words of all its
layers, and of those that it would have if there were a document.

Raising before the commit is what makes this safe whatever happens: a process killed between the
two leaves a word that is too high, and responses are computed again until a later revision passes
it; nothing stale is ever served. Losing the file loses nothing: responses live in memory only.

Word 0 is the journal's head, for those who wait for any change; word 1 is raised by changes that
belong to no service, and counts for every response. Word 2 says that the disk failed: no process
may write any more. Word 3 says whether the database is known to be sound, since it is in use.

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
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT

_WORDS = 4096
HEAD = 0
_EVERYTHING = 1
_FAILED = 2
_VERDICT = 3
_ACKNOWLEDGED = 4
_EPOCH = 5
_RESERVED = 6
_OUTLASTING = slice(_ACKNOWLEDGED * 8, _RESERVED * 8)
_NEVER = (1 << 63) - 1
_EMPTY = bytes(_WORDS * 8)
_PATIENCE = 2.0
_FEW = 4


class Verdict(IntEnum):
    """Whether the database's file is sound. A new file of words says that nobody knows."""

    UNKNOWN = 0
    SOUND = 1
    DAMAGED = 2


class Watermarks:
    """The words beside the database at ``database``. The file is created if it is not there.

    Reading and raising a word takes no lock: it is one aligned store of the processor.
    """

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
    def exclusively(database: Path) -> Iterator[None]:
        """Keep other processes from using the database. Raises CannotStart if one does already."""
        _refuse_other_names(database)
        descriptor = os.open(path_of(database), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _locked(descriptor, fcntl.LOCK_EX):
                raise CannotStart(f"The database {database} is in use; stop the server first.")
            yield
        finally:
            os.close(descriptor)

    def raise_to(
        self, revision: int, series: Iterable[tuple[int, str, str]], affects_all: bool
    ) -> None:
        """Announce that ``revision`` may be committed. Only the holder of the write lock may.

        ``series`` are each an organisation, a service and an environment; ``affects_all`` says
        that a change belongs to no service, so that every cached response expires.
        """
        for organisation, service, environment in series:
            self._words[word_of(organisation, service, environment)] = revision
        if affects_all:
            self._words[_EVERYTHING] = revision
        # Last: whoever sees the head must find the words above.
        self._words[HEAD] = revision

    def acknowledge(self, epoch: str, revision: int) -> None:
        """Note that ``revision`` is committed; before its writer gets a response."""
        code = _code_of(epoch)
        if self._words[_EPOCH] != code:
            # Never the revision of one epoch beside another epoch, whenever this is cut short.
            self._words[_ACKNOWLEDGED] = 0
            self._words[_EPOCH] = code
        self._words[_ACKNOWLEDGED] = revision

    def require_in_place(self) -> None:
        """Raise DatabaseMoved if another file, or none, is where the database was."""
        if self._identity is not None and self._identity != _identity(self._database):
            # No response from before counts any more.
            self._words[_EVERYTHING] = _NEVER
            raise DatabaseMoved()

    def covers(self, basis: tuple[int, ...], revision: int) -> bool:
        """Return whether a response that rests on the words ``basis`` is still right.

        It was computed at ``revision``.
        """
        words = self._words
        # The head is raised last, and before the commit: while it is not above the revision,
        # nothing that was committed since has touched anything. That spares resolved documents
        # of many layers a look at each of their words.
        if len(basis) > _FEW and words[HEAD] <= revision:
            return words[_EVERYTHING] <= revision
        # A loop, and not all(): every cached response passes here, and most rest on one word.
        for word in basis:
            if words[word] > revision:
                return False
        return words[_EVERYTHING] <= revision

    @property
    def failed(self) -> bool:
        """Whether the disk failed during a commit of any process."""
        return self._words[_FAILED] != 0

    def fail(self) -> None:
        """Note that the disk failed. It holds until all processes have ended."""
        self._words[_FAILED] = 1

    @property
    def verdict(self) -> Verdict:
        """Whether the database is sound, as the process that verified it says."""
        return Verdict(self._words[_VERDICT])

    @verdict.setter
    def verdict(self, verdict: Verdict) -> None:
        self._words[_VERDICT] = verdict

    @property
    def head(self) -> int:
        """The highest revision that may have been committed."""
        return self._words[HEAD]


def path_of(database: Path) -> Path:
    """Return the file of the words: beside the database itself, whatever links lead to it."""
    return Path(f"{os.path.realpath(database)}-marks")


@dataclass(frozen=True)
class Acknowledged:
    """The highest revision that was acknowledged, and a checksum of its epoch."""

    revision: int = 0
    code: int = 0

    def in_epoch(self, epoch: str) -> int:
        """Return the revision, if it was in ``epoch``; 0 if nothing is known of that epoch."""
        return self.revision if self.code == _code_of(epoch) else 0


def read_acknowledged(database: Path) -> Acknowledged:
    """Return what the words beside ``database`` say was acknowledged, without using them."""
    try:
        with path_of(database).open("rb") as file:
            words = file.read(_OUTLASTING.stop)[_OUTLASTING]
    except FileNotFoundError:
        return Acknowledged()
    return Acknowledged(*struct.unpack("@QQ", words)) if len(words) == 16 else Acknowledged()


def word_of(organisation: int, service: str, environment: str = DEFAULT_ENVIRONMENT) -> int:
    """Return the word of a series. Two that share one only expire each other's responses."""
    # No name has an @ in it. The default environment has none here either, so that processes of
    # an earlier release, while one replaces the other, still agree about its words.
    place = service if environment == DEFAULT_ENVIRONMENT else f"{service}@{environment}"
    return _RESERVED + crc32(f"{organisation}/{place}".encode()) % (_WORDS - _RESERVED)


def _code_of(epoch: str) -> int:
    return crc32(epoch.encode()) or 1


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file this is, whatever its name; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _refuse_other_names(database: Path) -> None:
    """Raise CannotStart if the file has a second name, a hard link.

    A program that opens it by that name finds neither these words nor SQLite's log, and so neither
    the newest writes nor the locks of the writers.
    """
    deadline = time.monotonic() + _PATIENCE
    # A database that is just being created has two names for a moment.
    while database.exists() and database.stat().st_nlink > 1:
        if time.monotonic() > deadline:
            raise CannotStart(
                f"The database {database} has a second name, a hard link, by which it could be "
                f"changed unseen. Remove the other one; `find -samefile {database}` finds it."
            )
        time.sleep(0.01)


def _shared(path: Path) -> int:
    """Return a descriptor of the file at ``path``, locked against ``exclusively``.

    The first process finds no other whose responses rest on the words, and empties them.
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
    os.pwrite(descriptor, _EMPTY[: _OUTLASTING.start], 0)
    os.pwrite(descriptor, _EMPTY[_OUTLASTING.stop :], _OUTLASTING.stop)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
