"""The fixtures of all tests of the dialect."""

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest

from tests.dialects.unified.client import EVERYTHING, Apart, Unified, Updates, removed, saved
from tests.support.server import Api, Server


@pytest.fixture
def unified(api: Api) -> Unified:
    return Unified(api)


@pytest.fixture
def section() -> str:
    """A section that no other test uses."""
    return f"s{uuid4().hex[:12]}"


@pytest.fixture
def updates(api: Api) -> Iterator[Updates]:
    """One who watches from now on."""
    with closing(Updates(api)) as watching:
        assert watching.status == 101
        yield watching


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with Server(tmp_path_factory.mktemp("apart") / "instance") as running:
        there = Unified(running.api)
        for section, values in EVERYTHING.items():
            saved(there.replace(section, values))
        saved(there.replace("gone", {"a": 1}))
        removed(there.delete("gone"))
        with closing(Updates(running.api)) as updates:
            yield Apart(running.api, updates)
