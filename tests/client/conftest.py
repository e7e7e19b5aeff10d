"""Fixtures that the tests of the client share."""

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine, Iterator
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
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    yield proxy
    proxy.refuse()


@pytest.fixture
def client(server: Server, name: str) -> Iterator[Client]:
    """A client for the service ``name``."""
    with Client(server.url, service=name, backoff=QUICK) as client:
        yield client


@pytest.fixture
def configs(server: Server, name: str) -> Iterator[Configs]:
    """Create Configs of ``name``, which are closed at the end; without snapshots by default."""
    created: list[Config] = []

    def make(service: str = name, **options: Any) -> Config:
        options = {"url": server.url, "snapshots": False, "backoff": QUICK, **options}
        created.append(Config(service, **options))
        return created[-1]

    yield make
    for config in created:
        config.close()


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server.url)


@pytest.fixture
def gate(server: Server) -> Iterator[Gate]:
    """An open gate in front of the shared server."""
    gate = Gate(server)
    gate.open()
    yield gate
    gate.shut()


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Run:
    """Run a coroutine in asyncio's debug mode, where nothing may be left or complained about."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = asyncio.run(asyncio.wait_for(work, 30), debug=True)
            gc.collect()
        # In debug mode asyncio also logs every step that blocks the loop for a tenth of a second,
        # which on a busy machine is nobody's fault.
        logged = [each for each in caplog.records if each.name == "asyncio"]
        assert [each for each in logged if not each.getMessage().startswith("Executing")] == []
        return result

    return run
