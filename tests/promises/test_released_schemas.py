"""A database of every released schema opens, with everything in it."""

import hashlib
from pathlib import Path

import flask_migrate
import pytest

from distributed_config.commands import schema
from distributed_config.http.database import db
from distributed_config.models import MIGRATION
from distributed_config.models.sqlite import raw_connection
from distributed_config.settings import Settings
from tests.support.server import Server

EARLIER = [f"{number:04}" for number in range(1, int(MIGRATION))]
DOCUMENT = '{"text": "ä😀", "n": 1.50}'

# Written by hand, in the columns that every release has: this release's code cannot write others.
ROWS = [
    "INSERT INTO services (id, organisation_id, name, created_at, created_revision)"
    " VALUES (1, 1, 'web', 1, 1)",
    "INSERT INTO versions (service_id, environment, number, enabled, digest, size, author, note,"
    " created_at, revision, document)"
    " VALUES (1, 'default', 0, 1, :digest, :size, 'local operator', 'first', 1, 1, :document)",
    "INSERT INTO changes (revision, position, changed_at, organisation_id, kind, service,"
    " environment, number, current, digest, actor, note)"
    " VALUES (1, 0, 1, 1, 'version.created', 'web', 'default', 0, 0, :digest, 'local operator',"
    " 'first')",
    "UPDATE head SET revision = 1",
]


def create_database(settings: Settings, migration: str) -> None:
    """Create the database of the release whose last migration was ``migration``."""
    settings.instance.mkdir(parents=True)
    settings.database_path.touch()
    with schema.migrating_app(settings).app_context():
        flask_migrate.upgrade(revision=migration)
        db.engine.dispose()
    digest = hashlib.sha256(DOCUMENT.encode()).hexdigest()
    values = {"digest": digest, "size": len(DOCUMENT.encode()), "document": DOCUMENT}
    with raw_connection(settings.database_path) as connection:
        for statement in ROWS:
            connection.execute(statement, values)


@pytest.mark.parametrize("migration", EARLIER)
def test_a_database_of_every_released_schema_opens(tmp_path: Path, migration: str) -> None:
    instance = tmp_path / "instance"
    create_database(Settings(instance=instance), migration)

    with Server(instance) as server:
        assert server.api.get("web", version=0).text == DOCUMENT
        assert [change["kind"] for change in server.api.changes()] == ["version.created"]
        assert server.api.patch("web", {"n": 2}).json()["version"] == 1
        assert [version["note"] for version in server.api.versions("web")] == ["first", ""]
