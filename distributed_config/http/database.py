"""The database as the Flask rooms have it: a connection that reads, and the writer."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flask import Flask, current_app, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine

from distributed_config.errors import Overloaded, StorageFull
from distributed_config.http import secret_reads
from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange
from distributed_config.models import Base
from distributed_config.models import sqlite as engines
from distributed_config.services import secrets
from distributed_config.services.policy.actor import Actor
from distributed_config.services.secrets import keyring as keyrings
from distributed_config.settings import Settings
from distributed_config.store.acknowledged import refuse_lost_writes
from distributed_config.store.verification import Verification
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import BatchStats, Unit, Writer

_ALIVE = "/healthz"
T = TypeVar("T")

_FOR_PROBES = 2
"""Connections for the threads that the front has besides, for probes."""

db = SQLAlchemy(metadata=Base.metadata, session_options={"autoflush": False})


@dataclass(frozen=True)
class Database:
    """What one application has of the database. ``of`` gives the current one's."""

    marks: Watermarks
    writer: Writer
    settings: Settings
    readers: Engine
    verification: Verification

    def refuse_without_space(self) -> None:
        """Raises StorageFull if the largest request could not be stored."""
        if shutil.disk_usage(self.settings.database_path.parent).free < self.settings.body_bytes:
            raise StorageFull()

    def close(self) -> None:
        """Closes every connection; SQLite then leaves one file, without a log beside it."""
        self.readers.dispose()
        self.writer.stop()


def init_database(
    app: Flask, settings: Settings, on_commit: Callable[[BatchStats], None]
) -> Database:
    """Connects ``app`` to its database; nothing is opened before the first request.

    ``on_commit`` is told of each batch of writes.

    Raises CannotStart if there is no database of the right shape, or a damaged one.
    """
    path = settings.database_path
    engines.refuse_unfit_sqlite()
    engines.refuse_unmigrated(path)
    app.config["SQLALCHEMY_DATABASE_URI"] = engines.url_of(path)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engines.reading_engine_options(
        settings.lock_seconds, settings.threads + _FOR_PROBES
    )
    db.init_app(app)
    with app.app_context():
        readers = db.engine
    engines.prepare(readers, "BEGIN")
    keyring = keyrings.from_settings(settings)
    readers.update_execution_options(**{keyrings.OPTION: keyring})
    app.before_request(_refuse_unverified)
    app.teardown_request(_release)
    marks = Watermarks(path)
    verification = Verification(path, marks)
    if path.stat().st_size <= settings.verify_bytes:
        verification.run()
    refuse_lost_writes(path)
    engine = engines.writing_engine(path, settings.lock_seconds)
    engine.update_execution_options(**{keyrings.OPTION: keyring})
    writer = Writer(engine, marks, settings.lock_seconds, on_commit, settings.lock_work_ms)
    database = Database(marks, writer, settings, readers, verification)
    app.extensions["distributed_config"] = database
    return database


def _refuse_unverified() -> None:
    """Before anything is read, be it who is asking."""
    if request.path != _ALIVE:
        of().verification.require()


def of() -> Database:
    """The current application's."""
    database: Database = current_app.extensions["distributed_config"]
    return database


def write(actor: Actor, unit: Unit[T], note: str = "") -> T:
    """What ``unit`` returns, once all it wrote is on disk; see ``Writer.write``.

    A reading that has to write, as an entry of the audit log, is asked again where it may wait.
    """
    current: Exchange = request.environ[exchange.KEY]
    if current.must_not_block:
        current.must_block = True
        raise Overloaded()
    return of().writer.write(actor, unit, note, current.queued_seconds)


def rehearse(actor: Actor, unit: Unit[T], note: str = "") -> T:
    """What ``unit`` would return; everything it wrote is undone."""
    current: Exchange = request.environ[exchange.KEY]
    return of().writer.rehearse(actor, unit, note, current.queued_seconds)


def reader_connection() -> Connection:
    """The request's connection. One snapshot for the whole request; it cannot write."""
    if "connection" not in g:
        told = {secrets.ON_REVEAL: secret_reads.record_secret_read}
        g.connection = db.engine.connect().execution_options(**told)
    connection: Connection = g.connection
    return connection


def release() -> None:
    """Gives the request's connection back early; who reads after that sees a newer snapshot."""
    connection: Connection | None = g.pop("connection", None)
    if connection is not None:
        connection.close()


def _release(_error: BaseException | None) -> None:
    release()
