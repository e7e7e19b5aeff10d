"""Watchers for tests of the change feed."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.support.feed import Watch, has_room_for
from tests.support.server import Server
from tests.support.subscribers import Watcher
from tests.support.waiting import until


@pytest.fixture
def watch() -> Iterator[Watch]:
    """``watch(server, way, …)`` begins to watch and hands over at the first event."""
    with ExitStack() as held:

        def begin(server: Server, way: str, *, quiet: bool = True, **rest: Any) -> Watcher:
            watcher = held.enter_context(closing(Watcher(server.port, way, **rest)))
            if quiet:
                first = watcher.next()
                assert first.name == "hello", first
            return watcher

        yield begin


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process that has room for two watchers."""
    with Server(tmp_path_factory.mktemp("small") / "instance", watchers=2, workers=1) as running:
        yield running


@pytest.fixture
def empty(small_server: Server) -> Server:
    """The small server when nobody watches any more."""
    until(lambda: has_room_for(small_server, 2), 10)
    return small_server
