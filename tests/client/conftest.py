"""What the tests of the client share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from distributed_config.client import Backoff, Client, Config
from tests.support.proxies import Gate, Proxy
from tests.support.server import Server, free_port
from tests.support.shells import Shell

QUICK = Backoff(first=0.02, most=0.1)
NOBODY = 65_534

Configs = Callable[..., Config]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server.port)
    yield made
    made.refuse()


@pytest.fixture
def client(server: Server, name: str) -> Iterator[Client]:
    """A client that means ``name``."""
    with Client(server.url, service=name, backoff=QUICK) as made:
        yield made


@pytest.fixture
def configs(server: Server, name: str) -> Iterator[Configs]:
    """Makes Configs of ``name`` that are closed at the end; without snapshots unless told."""
    made: list[Config] = []

    def make(service: str = name, **given: Any) -> Config:
        given = {"url": server.url, "snapshots": False, "backoff": QUICK, **given}
        made.append(Config(service, **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server.url)


@pytest.fixture
def gate(server: Server) -> Iterator[Gate]:
    """A gate before the shared server, open."""
    gate = Gate(server)
    gate.open()
    yield gate
    gate.shut()


@pytest.fixture
def dead() -> str:
    """An address where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"
