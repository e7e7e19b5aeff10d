"""Fixtures for every test. Real objects: a real server, a real database file."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.needs import need
from tests.support.server import Api, Server

_ENOUGH = 12  # cases that always run


# A shell starts what runs in its background with SIGINT ignored, and so would every command here.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--drill", action="store_true", help="run the drills in their long form")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run every third case of tests that are marked ``many``, unless it is a drill."""
    if config.getoption("--drill"):
        return
    cases: Counter[str] = Counter()
    skipped = []
    for item in items:
        if item.get_closest_marker("many") is None:
            continue
        name = item.nodeid.partition("[")[0]
        cases[name] += 1
        if cases[name] > _ENOUGH and cases[name] % 3:
            skipped.append(item)
    config.hook.pytest_deselected(items=skipped)
    # In place: pytest keeps this very list.
    items[:] = [item for item in items if item not in set(skipped)]


@pytest.fixture(scope="session")
def drill(request: pytest.FixtureRequest) -> bool:
    """Whether the drills run in their long form."""
    return bool(request.config.getoption("--drill"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not disturb others: each uses service names of its own."""
    with Server(tmp_path_factory.mktemp("shared") / "instance") as running:
        yield running


@pytest.fixture
def api(server: Server) -> Api:
    """Requests to the shared server."""
    return server.api


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which would disturb others."""
    with Server(tmp_path / "instance") as running:
        yield running


@pytest.fixture
def name() -> str:
    """The name of a service that no other test uses."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of 8 MiB, unmounted at the end whatever happens."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=False
    )
    need(mounted.returncode == 0, "the right to mount a small file system")
    try:
        yield folder
    finally:
        # Lazily, so that it also goes while a server that should have ended still holds it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
