"""The migrations make what the models describe, once, whole, from any released schema."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from distributed_config.commands import schema
from distributed_config.errors import CannotStart
from distributed_config.models import MIGRATION, Base
from distributed_config.models import sqlite as engines
from distributed_config.settings import Settings
from tests.support.server import Server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(instance=tmp_path)


def test_migrations_equal_models(settings: Settings) -> None:
    schema.upgrade(settings)
    engine = engines.writing_engine(settings.database_path, 5)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_that_the_code_needs() -> None:
    scripts = ScriptDirectory(str(schema.migrations_folder()))

    assert scripts.get_current_head() == MIGRATION
    numbers = sorted(script.revision for script in scripts.walk_revisions())
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_upgrading_twice_does_nothing_the_second_time(settings: Settings) -> None:
    assert schema.upgrade(settings) is True
    assert schema.upgrade(settings) is False


def test_several_upgrades_at_once_make_one_database(settings: Settings) -> None:
    command = [sys.executable, "-m", "distributed_config", "db", "upgrade"]
    environ = {"DISTCONF_INSTANCE": str(settings.instance)}
    running = [subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) for _ in range(4)]

    for process in running:
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0, told.decode()
    with engines.raw_connection(settings.database_path) as connection:
        assert connection.execute("SELECT count(*) FROM organisations").fetchone() == (1,)


def test_a_database_of_a_newer_release_is_refused(settings: Settings) -> None:
    schema.upgrade(settings)
    with engines.raw_connection(settings.database_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(CannotStart, match="newer release"):
        schema.upgrade(settings)


def test_a_database_that_is_not_up_to_date_is_not_served(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance")
    assert server.run("db", "upgrade").returncode == 0
    with engines.raw_connection(server.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")

    run = server.run("serve")

    assert run.returncode != 0
    assert "distconf db upgrade" in run.stderr
    assert "Traceback" not in run.stderr
