"""A provider and a server that knows it: each file has its own ``running``."""

from collections.abc import Iterator

import pytest

from tests.support.identity_provider import Browser, Provider
from tests.support.server import Server


@pytest.fixture
def provider(running: tuple[Server, Provider]) -> Provider:
    running[1].begin()
    return running[1]


@pytest.fixture
def guarded(running: tuple[Server, Provider]) -> Server:
    return running[0]


@pytest.fixture
def browser(guarded: Server) -> Iterator[Browser]:
    with Browser(guarded) as made:
        yield made
