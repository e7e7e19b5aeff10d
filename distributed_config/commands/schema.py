"""The schema of the database: where it stands, and the way to the newest one.

Flask-Migrate and Alembic do the work. What stands here is what they leave out: a new database
appears whole or not at all, a damaged one is left alone, and every refusal is a sentence.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import flask_migrate
from alembic import command
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import Flask

import distributed_config
from distributed_config.errors import CannotStart
from distributed_config.http.database import db
from distributed_config.models import sqlite
from distributed_config.models.backup import put_new_database, staged_path
from distributed_config.settings import Settings, load
from distributed_config.store.acknowledged import refuse_lost_writes

# Seconds for which a command waits for a server that is just writing.
_LOCK_SECONDS = 30


def migrations_folder() -> Path:
    """Return the folder of the migrations: inside the package of a wheel, or beside it in a clone.

    It is not found by importing it: that would take an installation, and `python -m
    distributed_config` in a clone has none.
    """
    package = Path(distributed_config.__path__[0])
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def newest() -> str:
    """Return the number of the newest migration that there is a script for."""
    [head] = ScriptDirectory(str(migrations_folder())).get_heads()
    return head


def migrating_app(settings: Settings | None = None) -> Flask:
    """Create an application for Flask-Migrate: nothing but the database, open for writing."""
    settings = settings or load()
    app = Flask("distributed_config.migrations")
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlite.url_of(settings.database_path)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = sqlite.engine_options(_LOCK_SECONDS, 1)
    db.init_app(app)
    flask_migrate.Migrate(app, db, directory=str(migrations_folder()))
    with app.app_context():
        sqlite.prepare(db.engine, "BEGIN IMMEDIATE")
    return app


def upgrade(settings: Settings) -> bool:
    """Bring the database up to date, and make it where there is none; return whether it was not.

    Raises CannotStart on a damaged file, and on one that a newer release made.
    """
    sqlite.refuse_unfit_sqlite()
    path = settings.database_path
    path.parent.mkdir(parents=True, exist_ok=True)
    before = sqlite.migration_of(path)
    scripts = ScriptDirectory(str(migrations_folder()))
    if before == scripts.get_current_head():
        return False
    sqlite.refuse_damaged(path)
    if before is None and staged_path(path).exists():
        raise CannotStart(
            f"A restore was cut short, and {staged_path(path)} is what it had made. "
            f"Run `distconf restore` again, or move that file away to begin with an empty database."
        )
    known = {script.revision for script in scripts.walk_revisions()}
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
    """Make a new database at ``path``; return whether no other process did so meanwhile."""
    new = path.with_name(f"{path.name}.new-{os.getpid()}")
    new.unlink(missing_ok=True)
    try:
        new.touch()
        _migrate(replace(settings, database_url=f"sqlite:///{new}"))
        return put_new_database(new, path)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{new}{suffix}").unlink(missing_ok=True)


def _migrate(settings: Settings) -> None:
    with _alembic(settings) as config:
        command.upgrade(config, "head")
    sqlite.empty_log(settings.database_path)


def print_current(settings: Settings, *, verbose: bool = False) -> None:
    """Print the migration that the database is at. Raises CannotStart if there is none yet."""
    _require_migrated(settings.database_path)
    with _alembic(settings) as config:
        command.current(config, verbose)


def print_history(settings: Settings, *, verbose: bool = False) -> None:
    """Print the migrations, the newest first. There need not be a database."""
    with _alembic(settings) as config:
        command.history(config, verbose=verbose)


def find_differences(settings: Settings) -> list[str]:
    """Return what is to be done to the database so that it has what the models declare.

    Each is a line of a migration, as ``op.add_column(…)``. Raises CannotStart unless the database
    has taken every migration there is.
    """
    _require_newest(settings.database_path)
    with _alembic(settings), db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        operations = produce_migrations(context, db.metadata).upgrade_ops
    assert operations is not None
    text = "" if operations.is_empty() else render_python_code(operations)
    return [line.strip() for line in text.splitlines() if line.strip().startswith("op.")]


def draft_migration(settings: Settings, message: str) -> Path | None:
    """Write a migration that does what the models say and the database lacks; return its file.

    None, and nothing is written, if there is no difference. Raises CannotStart unless the database
    has taken every migration there is.
    """
    _require_newest(settings.database_path)
    with _alembic(settings, "autogenerate") as config:
        script = command.revision(config, message, autogenerate=True)
    # Alembic returns one script, or a list where it wrote none or several.
    return None if script is None or isinstance(script, list) else Path(script.path)


@contextmanager
def _alembic(settings: Settings, *options: str) -> Iterator[Config]:
    """Give Alembic's configuration, inside the application that ``migrations/env.py`` runs in."""
    app = migrating_app(settings)
    with app.app_context():
        try:
            yield app.extensions["migrate"].migrate.get_config(opts=options)
        except CommandError as error:
            raise CannotStart(f"Alembic: {error}.") from None
        finally:
            db.engine.dispose()


def _require_migrated(path: Path) -> str:
    """Return the migration that the database is at; raise CannotStart if there is none yet."""
    at = sqlite.migration_of(path)
    if at is None:
        raise CannotStart(
            f"There is no database at {path} yet; make it with `distconf db upgrade` or "
            "`flask db upgrade`."
        )
    return at


def _require_newest(path: Path) -> None:
    at = _require_migrated(path)
    if at != newest():
        raise CannotStart(
            f"The database {path} is at migration {at}, and the newest is {newest()}; "
            "run `distconf db upgrade` first."
        )
