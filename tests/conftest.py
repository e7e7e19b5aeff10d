"""What every test can ask for. Real objects: a real server, a real database file."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.needs import need
from tests.support.server import Api, Server

_ENOUGH = 12  # cases that are always tried


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--drill", action="store_true", help="run the drills in their long form")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests that are marked as having very many cases the short form takes every third."""
    if config.getoption("--drill"):
        return
    cases: Counter[str] = Counter()
    left_out = []
    for item in items:
        if item.get_closest_marker("many") is None:
            continue
        name = item.nodeid.partition("[")[0]
        cases[name] += 1
        if cases[name] > _ENOUGH and cases[name] % 3:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    gone = set(left_out)
    items[:] = [item for item in items if item not in gone]


@pytest.fixture(scope="session")
def drill(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for."""
    return bool(request.config.getoption("--drill"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as they found it: each uses names of its own."""
    with Server(tmp_path_factory.mktemp("shared") / "instance") as running:
        yield running


@pytest.fixture
def api(server: Server) -> Api:
    """Requests to the shared server."""
    return server.api


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, for what disturbs others."""
    with Server(tmp_path / "instance") as running:
        yield running


@pytest.fixture
def name() -> str:
    """A service's name that no other test uses."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 8 MiB, gone at the end whatever happens."""
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
