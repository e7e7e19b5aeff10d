"""The Python in the manual does what the manual says."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from distributed_config.client import (
    AsyncClient,
    AsyncConfig,
    Client,
    Config,
    InProcessTransport,
    Layer,
)
from tests.client.conftest import Run
from tests.support.manual import blocks
from tests.support.server import Server
from tests.support.stubs import Stub, layered_response

# A loop whose body is ``...`` waits for changes, and nothing changes while an example is played.
_ENDLESS = re.compile(r"^ +(?:async )?for .*\n +\.\.\..*\n", re.MULTILINE)


def code_of(page: str, beginning: str) -> str:
    """Return the block of ``page`` that begins with ``beginning``."""
    [code] = [block for block in blocks(page, "python") if block.startswith(beginning)]
    return code


@pytest.fixture
def namespace(
    own_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """The names that the examples of a page have in common."""
    monkeypatch.setenv("DISTCONF_URL", own_server.url)
    monkeypatch.setenv("DISTCONF_SNAPSHOTS", str(tmp_path))
    names: dict[str, Any] = {"Client": Client, "Config": Config, "AsyncClient": AsyncClient}
    names |= {"AsyncConfig": AsyncConfig, "InProcessTransport": InProcessTransport}
    names["dataclass"] = dataclass
    yield names
    if "cfg" in names:
        names["cfg"].close()


def play(code: str, namespace: dict[str, Any], url: str) -> None:
    """Run an example as the manual has it, against the server at ``url``."""
    code = code.replace("http://config:5000", url)
    exec(_ENDLESS.sub("", code), namespace)


def test_a_client_and_a_configuration_work_as_the_page_shows(
    own_server: Server, namespace: dict[str, Any]
) -> None:
    play(code_of("python.md", "from distributed_config.client"), namespace, own_server.url)
    assert own_server.api.get("web", version="current").json() == {
        "port": 8080,
        "db": {"host": "db1"},
    }

    namespace["reconnect"] = print
    own_server.api.put("web", {"port": 1, "db": {"host": "db1"}})
    view = code_of("python.md", 'cfg = Config("web", url').replace("version=7", "version=0")
    play(view, namespace, own_server.url)
    play(code_of("python.md", "@dataclass"), namespace, own_server.url)
    assert namespace["web"].value.db.host == "db1"


def test_asyncio_works_as_the_page_shows(
    own_server: Server, namespace: dict[str, Any], run: Run
) -> None:
    play(code_of("python.md", "async def main"), namespace, own_server.url)

    run(namespace["main"]())

    assert own_server.api.get("web", version="current").json() == {"port": 8080}


def test_a_test_without_a_server_works_as_the_page_shows(namespace: dict[str, Any]) -> None:
    play(code_of("python.md", "def stand_in"), namespace, "unused")

    namespace["test_the_port_is_the_configured_one"]()


def test_environments_and_layers_work_as_the_page_shows(
    namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = Stub(layered_response("platform/logging@default:2, web@prod:7"))
    monkeypatch.setenv("DISTCONF_URL", stub.url)
    code = code_of("python.md", 'cfg = Config("web", environment')
    with Client() as namespace["client"]:
        play(code, namespace, stub.url)

    shown = re.search(r"layers +# (.*)", code)
    assert shown is not None
    assert namespace["cfg"].state.layers == eval(shown[1], {"Layer": Layer})
    namespace.pop("cfg").close()
    stub.close()


class FastApi:
    """What the example uses of FastAPI."""

    def __init__(self, lifespan: Any) -> None:
        self.state = SimpleNamespace()
        self.lifespan = lifespan

    def get(self, path: str) -> Any:
        return lambda function: function


def test_fastapi_works_as_the_page_shows(
    namespace: dict[str, Any], own_server: Server, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    stand_in = ModuleType("fastapi")
    vars(stand_in).update(FastAPI=FastApi, Depends=lambda function: function, Request=object)
    monkeypatch.setitem(sys.modules, "fastapi", stand_in)
    [code] = blocks("fastapi.md", "python")
    play(code, namespace, own_server.url)

    async def work() -> Any:
        app = namespace["app"]
        async with app.lifespan(app) as state:
            request = SimpleNamespace(state=SimpleNamespace(**state))
            return await namespace["greet"](namespace["current"](request))

    assert run(work()) == {"greeting": "hello"}
