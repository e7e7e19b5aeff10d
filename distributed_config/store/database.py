"""How a database is opened: to read, to write, or as all that a server has of it.

There are two engines, by the names under which Flask-SQLAlchemy holds them as well: ``read``,
whose connections SQLite keeps from writing, and ``write``, whose transactions begin with the
write lock.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine

from distributed_config.errors import DistconfError, StorageFull
from distributed_config.models import sqlite
from distributed_config.services.secrets import keyring as keyrings
from distributed_config.settings import Settings
from distributed_config.store.acknowledged import refuse_lost_writes
from distributed_config.store.verification import Verification
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import BatchStats, Writer

READ = "read"
WRITE = "write"

# What opens a transaction on each engine. A transaction that reads first and writes later is
# refused by SQLite when another process wrote in between, however long it is willing to wait.
# None is Flask-SQLAlchemy's engine without a name. It only reads: a session that writes would go
# past the writer, and so past the journal.
_BEGIN = {READ: "BEGIN", WRITE: "BEGIN IMMEDIATE", None: "BEGIN"}


def bind_options(settings: Settings, readers: int = 1) -> dict[str, dict[str, Any]]:
    """Return the arguments of ``create_engine`` for each engine, as SQLALCHEMY_BINDS has them.

    ``readers`` is how many connections may read at the same time. One writes: SQLite has one lock.
    """
    url = sqlite.url_of(settings.database_path)
    return {
        name: {"url": url, **sqlite.engine_options(settings.lock_seconds, connections)}
        for name, connections in ((READ, readers), (WRITE, 1))
    }


def refuse_unusable(settings: Settings) -> None:
    """Raise CannotStart unless there is a database that this release can use, and a fit SQLite."""
    sqlite.refuse_unfit_sqlite()
    sqlite.refuse_unmigrated(settings.database_path)


@dataclass(frozen=True)
class Database:
    """All that a server has of its database. ``readers`` is the engine that reads."""

    settings: Settings
    watermarks: Watermarks
    verification: Verification
    readers: Engine
    writer: Writer

    def refuse_without_space(self) -> None:
        """Raise StorageFull if the largest request could not be stored."""
        if shutil.disk_usage(self.settings.database_path.parent).free < self.settings.body_bytes:
            raise StorageFull()

    def empty_log(self, lock_seconds: float) -> None:
        """Move SQLite's write-ahead log into the database's file; for the end of a server.

        Waits up to ``lock_seconds`` for another program that holds the database. Raises
        DatabaseMoved, StorageFailed, StorageFull or DatabaseBusy.
        """
        # Another file in its place would get what is in the log of the old one.
        self.watermarks.require_in_place()
        sqlite.empty_log(self.settings.database_path, lock_seconds)

    def close(self) -> None:
        """Close every connection; SQLite then leaves one file, without a log beside it."""
        self.readers.dispose()
        self.writer.stop()


def open_database(
    settings: Settings,
    engines: Mapping[str | None, Engine],
    on_commit: Callable[[BatchStats], None],
) -> Database:
    """Return the database for a server, on engines that are made with ``bind_options``.

    No connection stays open: the server forks after this. ``on_commit`` gets the figures of each
    batch of writes, in the writer's thread.

    Raises CannotStart if there is no database of the right schema, if it is damaged, or if it
    lacks what was acknowledged.
    """
    refuse_unusable(settings)
    _prepare(settings, engines)
    path = settings.database_path
    watermarks = Watermarks(path)
    verification = Verification(path, watermarks)
    if path.stat().st_size <= settings.verify_bytes:
        verification.run()
    refuse_lost_writes(path)
    writer = Writer(
        engines[WRITE], watermarks, settings.lock_seconds, on_commit, settings.lock_work_ms
    )
    return Database(settings, watermarks, verification, engines[READ], writer)


@contextmanager
def connect(settings: Settings) -> Iterator[Connection]:
    """Connect to read one snapshot of the database, beside a server or without one.

    Nothing is left beside the file: it may be a backup. Raises CannotStart if there is no
    database of the right schema.
    """
    sqlite.refuse_unmigrated(settings.database_path)
    engine = _make_engine(settings, READ)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def open_writer(settings: Settings) -> Iterator[Writer]:
    """Open a writer that takes its turn with those of a running server.

    Raises CannotStart if there is no database of the right schema, or if it lacks what was
    acknowledged.
    """
    path = settings.database_path
    sqlite.refuse_unmigrated(path)
    refuse_lost_writes(path)
    # Without a limit on the work of a unit: an operator's import may take its time.
    writer = Writer(_make_engine(settings, WRITE), Watermarks(path), settings.lock_seconds)
    try:
        yield writer
    finally:
        writer.stop()


def _make_engine(settings: Settings, name: str) -> Engine:
    engine = create_engine(**bind_options(settings)[name])
    _prepare(settings, {name: engine})
    return engine


def _prepare(settings: Settings, engines: Mapping[str | None, Engine]) -> None:
    """Set up engines before they connect for the first time, all with one keyring.

    Raises CannotStart if the key file of the secrets cannot be used.
    """
    keyring = keyrings.from_settings(settings)
    for name, engine in engines.items():
        sqlite.prepare(engine, _BEGIN[name])
        engine.update_execution_options(**{keyrings.OPTION: keyring})


def storage_error(error: Exception) -> DistconfError | None:
    """Return what an error of SQLAlchemy or of the driver means; None if it is another one."""
    return sqlite.meaning_of(getattr(error, "orig", error))
