"""How the database is opened: which SQLite, how durable, and what is refused.

A SQLite older than 3.51.3 can lose committed pages when one connection checkpoints its
write-ahead log while another commits (see https://sqlite.org/wal.html). On such a SQLite the
rollback journal is used instead; it is slower, and readers wait while a commit is written.
"""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import QueuePool

from distributed_config.errors import (
    CannotStart,
    DatabaseBusy,
    DistconfError,
    DocumentDamaged,
    StorageFailed,
    StorageFull,
)
from distributed_config.models import MIGRATION

try:
    import pysqlite3.dbapi2 as _newer
except ImportError:  # no wheel for this platform; the interpreter's own SQLite serves
    _newer = None

sqlite: ModuleType = sqlite3 if _newer is None else _newer

FIXED_SQLITE = (3, 51, 3)
_LEAST_SPACE = 64 << 10
OLDEST_SQLITE = (3, 35, 0)  # RETURNING


def has_safe_wal() -> bool:
    """Return whether this SQLite may be trusted with a write-ahead log under several processes."""
    return tuple(sqlite.sqlite_version_info) >= FIXED_SQLITE


def journal_mode() -> tuple[str, str]:
    """Return the journal_mode and synchronous under which a commit survives a power cut."""
    return ("WAL", "FULL") if has_safe_wal() else ("DELETE", "EXTRA")


def engine_options(lock_seconds: int, connections: int) -> dict[str, Any]:
    """Return options of ``create_engine``; ``connections`` is how many there may be at once."""
    return {
        "module": sqlite,
        "poolclass": QueuePool,
        # A document, or a secret, must not get into a log with the statement that carried it.
        "hide_parameters": True,
        "pool_size": connections,
        "max_overflow": 0,
        "connect_args": {"timeout": lock_seconds, "check_same_thread": False},
    }


def url_of(path: Path) -> URL:
    """Return SQLAlchemy's address of the file at ``path``, which is not created if it is missing.

    Where a database was moved away an empty one must not take its place.
    """
    query = {"mode": "rw", "uri": "true"}
    return URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)


def writing_engine(path: Path, lock_seconds: int) -> Engine:
    """Return an engine whose every transaction takes the write lock first (BEGIN IMMEDIATE)."""
    engine = create_engine(url_of(path), **engine_options(lock_seconds, 1))
    prepare(engine, "BEGIN IMMEDIATE")
    return engine


def prepare(engine: Engine, begin: str) -> None:
    """Set up the connections of ``engine``; ``begin`` is the statement that opens a transaction.

    With a plain ``BEGIN`` the connections only read.
    """
    reading = begin == "BEGIN"
    mode, synchronous = journal_mode()

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        # Transactions begin where this module says, not where the driver guesses.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        if reading:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute(f"PRAGMA journal_mode = {mode}")
            # What SQLite does by itself it does in silence; see ``store/checkpoints.py``.
            connection.execute("PRAGMA wal_autocheckpoint = 0")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)


def refuse_unfit_sqlite() -> None:
    """Raise CannotStart on a SQLite that lacks what the statements here need."""
    if tuple(sqlite.sqlite_version_info) < OLDEST_SQLITE:
        raise CannotStart(
            f"SQLite {sqlite.sqlite_version} is too old; install the package pysqlite3, or a "
            f"Python with SQLite {'.'.join(map(str, FIXED_SQLITE))} or newer."
        )


def refuse_damaged(path: Path) -> float:
    """Raise CannotStart with one sentence if the file at ``path`` is not a sound database.

    Every page is read, and every index is compared with its table: through a damaged index a
    service could seem not to exist. Returns the seconds that this took: about three for a
    gigabyte in memory. A file that does not exist is fine.
    """
    if not is_there(path):
        return 0.0
    began = time.perf_counter()
    try:
        with raw_connection(path) as connection:
            findings = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    except sqlite.DatabaseError as error:
        findings = [str(error)]
    if findings != ["ok"]:
        raise _damaged(path, findings[0])
    return time.perf_counter() - began


def is_there(path: Path) -> bool:
    """Return whether there is a database at ``path``. Raises CannotStart if the file is empty.

    No release leaves an empty file, so whatever was in it is lost.
    """
    if not path.exists():
        return False
    if path.stat().st_size == 0:
        raise _damaged(path, "it is empty")
    return True


def migration_of(path: Path) -> str | None:
    """Return the migration that the database at ``path`` is at; None if there is none yet.

    Raises CannotStart if the file is something else, or damaged where it matters first.
    """
    if not is_there(path):
        return None
    try:
        with raw_connection(path) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite.OperationalError as error:
        if "no such table" not in str(error):
            raise CannotStart(
                f"The database {path} cannot be opened: {_why(path, error)}."
            ) from None
        return None
    except sqlite.DatabaseError as error:
        raise _damaged(path, str(error)) from None
    return None if row is None else str(row[0])


def _why(path: Path, error: Exception) -> str:
    """Return what SQLite says, and what it may mean by it."""
    # It calls a full disk an I/O error if it cannot create a file for itself.
    full = shutil.disk_usage(path.parent).free < _LEAST_SPACE
    return f"{error}; there is no space left beside it" if full else str(error)


def refuse_unmigrated(path: Path) -> None:
    """Raise CannotStart unless the file at ``path`` has exactly this release's schema."""
    if not path.exists():
        raise CannotStart(f"There is no database at {path}; make it with `distconf db upgrade`.")
    at = migration_of(path)
    if at != MIGRATION:
        raise CannotStart(
            f"The database {path} is at migration {at or 'none'} and this release needs "
            f"{MIGRATION}; run `distconf db upgrade`."
        )


def _damaged(path: Path, finding: str) -> CannotStart:
    return CannotStart(
        f"The database {path} is damaged ({' '.join(finding.split())}); restore a backup with "
        f"`distconf restore FILE`, or move the file away to begin with an empty one."
    )


@contextmanager
def raw_connection(path: Path, lock_seconds: float = 5) -> Iterator[Any]:
    """Open a plain connection of the driver, for pragmas and the online backup; closed at the end.

    The file must be there.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode=rw"
    connection = sqlite.connect(uri, uri=True, timeout=lock_seconds, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def empty_log(path: Path, lock_seconds: float = 5) -> None:
    """Move the write-ahead log of the database at ``path`` into its file; nobody may read it.

    Waits up to ``lock_seconds`` for another program that holds the database. Raises StorageFailed,
    StorageFull or DatabaseBusy. Closing the last connection moves the log too, but says nothing
    when that fails.
    """
    try:
        with raw_connection(path, lock_seconds) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite.Error as error:
        raise (meaning_of(error) or StorageFailed()) from None


_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED"}
_BY_MESSAGE = {
    "database or disk is full": "SQLITE_FULL",
    "database is locked": "SQLITE_BUSY",
    "disk I/O error": "SQLITE_IOERR",
}
_BROKEN = {"SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_READONLY"}


def storage_error(error: exc.DBAPIError) -> DistconfError | None:
    """Return what an error of SQLAlchemy means; None if it is a mistake in the program."""
    return meaning_of(error.orig)


def meaning_of(error: BaseException | None) -> DistconfError | None:
    """Return what an error of the driver means; None if it is a mistake in the program."""
    # Extended names say more, as in SQLITE_IOERR_FSYNC; the first two words are the kind.
    name = "_".join(str(getattr(error, "sqlite_errorname", "")).split("_")[:2])
    if not name:  # an error of the online backup comes without one
        name = _BY_MESSAGE.get(str(error), "")
    if name in _BUSY:
        return DatabaseBusy()
    if name == "SQLITE_FULL":
        return StorageFull()
    if name in _BROKEN:
        return StorageFailed()
    if "decode to UTF-8" in str(error):
        return DocumentDamaged()
    return None


def rows_written(connection: Connection) -> int:
    """Return how many rows ``connection`` has inserted, changed or deleted since it was opened."""
    driver: Any = connection.connection.dbapi_connection
    return int(driver.total_changes)


def in_transaction(connection: Connection) -> bool:
    """Return whether the transaction of ``connection`` is still there."""
    driver: Any = connection.connection.dbapi_connection
    return bool(driver.in_transaction)
