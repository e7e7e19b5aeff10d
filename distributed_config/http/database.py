"""The database of an application: its engines in Flask-SQLAlchemy, a connection for a request."""

from collections.abc import Callable
from typing import TypeVar

from flask import Flask, current_app, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection

from distributed_config.errors import Overloaded
from distributed_config.http import secret_reads
from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange
from distributed_config.models import Base
from distributed_config.services import secrets
from distributed_config.services.policy.actor import Actor
from distributed_config.settings import Settings
from distributed_config.store.batch import Unit
from distributed_config.store.database import READ, Database, bind_options, open_database
from distributed_config.store.writer import BatchStats

_LIVENESS = "/healthz"
T = TypeVar("T")

_FOR_PROBES = 2
"""Connections for the threads that the gateway has besides, for probes."""

db = SQLAlchemy(metadata=Base.metadata, session_options={"autoflush": False})


def init_database(
    app: Flask, settings: Settings, on_commit: Callable[[BatchStats], None]
) -> Database:
    """Open the database of ``app``; no connection is made before the first request.

    ``on_commit`` gets the figures of each batch of writes.

    Raises CannotStart if there is no database of the right schema, or a damaged one.
    """
    binds = bind_options(settings, settings.threads + _FOR_PROBES)
    reading = dict(binds[READ])
    # The address without a bind is there for extensions and shells, which look for it.
    app.config["SQLALCHEMY_DATABASE_URI"] = reading.pop("url")
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = reading
    app.config["SQLALCHEMY_BINDS"] = binds
    db.init_app(app)
    with app.app_context():
        database = open_database(settings, db.engines, on_commit)
    app.before_request(_refuse_unverified)
    app.teardown_request(_release)
    app.extensions["distributed_config"] = database
    return database


def _refuse_unverified() -> None:
    """Refuse everybody, before anything is read, until the database is known to be sound."""
    if request.path != _LIVENESS:
        of().verification.require()


def of() -> Database:
    """Return the database of the current application."""
    database: Database = current_app.extensions["distributed_config"]
    return database


def write(actor: Actor, unit: Unit[T], note: str = "") -> T:
    """Return what ``unit`` returns, once all that it wrote is on disk; see ``Writer.write``.

    A read that has to write, as an entry of the audit log, is sent back to the gateway, which
    calls the application again on a thread that may wait.
    """
    current = _exchange_that_may_wait()
    return of().writer.write(actor, unit, note, current.queued_seconds)


def rehearse(actor: Actor, unit: Unit[T], note: str = "") -> T:
    """Return what ``unit`` would return; everything that it wrote is undone."""
    current = _exchange_that_may_wait()
    return of().writer.rehearse(actor, unit, note, current.queued_seconds)


def _exchange_that_may_wait() -> Exchange:
    """Return the request's exchange. Raises Overloaded on a thread for reads."""
    current: Exchange = request.environ[exchange.KEY]
    if current.must_not_block:
        current.must_block = True
        raise Overloaded()
    return current


def reader_connection() -> Connection:
    """Return the request's connection: one snapshot for the whole request. It cannot write."""
    if "connection" not in g:
        options = {secrets.ON_REVEAL: secret_reads.record_secret_read}
        g.connection = of().readers.connect().execution_options(**options)
    connection: Connection = g.connection
    return connection


def release() -> None:
    """Close the request's connection early; a later read of the request sees a newer snapshot."""
    connection: Connection | None = g.pop("connection", None)
    if connection is not None:
        connection.close()


def _release(_error: BaseException | None) -> None:
    release()
