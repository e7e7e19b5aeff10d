"""Bringing the database to this release's schema."""

import os
from dataclasses import replace
from pathlib import Path

import flask_migrate
from alembic.script import ScriptDirectory
from flask import Flask

from distributed_config import migrations
from distributed_config.errors import CannotStart
from distributed_config.http.database import db
from distributed_config.models import MIGRATION
from distributed_config.models import sqlite as engines
from distributed_config.models.backup import put_new_database, staged_path
from distributed_config.settings import Settings, load
from distributed_config.store.acknowledged import refuse_lost_writes

_FOLDER = str(Path(migrations.__path__[0]))


def migrating_app(settings: Settings | None = None) -> Flask:
    """An application for Flask-Migrate: nothing but the database, open for writing."""
    settings = settings or load()
    app = Flask("distributed_config.migrations")
    app.config["SQLALCHEMY_DATABASE_URI"] = engines.url_of(settings.database_path)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engines.reading_engine_options(30, 1)
    db.init_app(app)
    flask_migrate.Migrate(app, db, directory=_FOLDER)
    with app.app_context():
        engines.prepare(db.engine, "BEGIN IMMEDIATE")
    return app


def upgrade(settings: Settings) -> bool:
    """Brings the database up to date, makes it where there is none; whether that did anything.

    Raises CannotStart on a damaged file, and on one that a newer release made.
    """
    engines.refuse_unfit_sqlite()
    path = settings.database_path
    path.parent.mkdir(parents=True, exist_ok=True)
    before = engines.migration_of(path)
    if before == MIGRATION:
        return False
    engines.refuse_damaged(path)
    if before is None and staged_path(path).exists():
        raise CannotStart(
            f"A restore was cut short, and {staged_path(path)} is what it had made. "
            f"Run `distconf restore` again, or move that file away to begin with an empty database."
        )
    known = {script.revision for script in ScriptDirectory(_FOLDER).walk_revisions()}
    if before is not None and before not in known:
        raise CannotStart(
            f"The database {path} was made by a newer release (migration {before}); "
            "install that release, or restore a backup."
        )
    if before is None and not path.exists():
        return _make(settings, path)
    if before is not None:
        refuse_lost_writes(path)
    _migrate(settings)
    return True


def _make(settings: Settings, path: Path) -> bool:
    """Makes a new database at ``path``; whether no other process did so meanwhile."""
    made = path.with_name(f"{path.name}.new-{os.getpid()}")
    made.unlink(missing_ok=True)
    try:
        made.touch()
        _migrate(replace(settings, database_url=f"sqlite:///{made}"))
        return put_new_database(made, path)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{made}{suffix}").unlink(missing_ok=True)


def _migrate(settings: Settings) -> None:
    with migrating_app(settings).app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    engines.empty_log(settings.database_path)
