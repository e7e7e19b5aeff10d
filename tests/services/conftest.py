"""A database for each test, copied from one that is migrated once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from distributed_config.commands import schema
from distributed_config.settings import Settings
from tests.support.database import Database


@pytest.fixture(scope="session")
def empty_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    instance = tmp_path_factory.mktemp("empty")
    schema.upgrade(Settings(instance=instance))
    return instance


@pytest.fixture
def database(empty_instance: Path, tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own, with nothing in it."""
    instance = tmp_path / "instance"
    shutil.copytree(empty_instance, instance)
    opened = Database(Settings(instance=instance))
    yield opened
    opened.close()
