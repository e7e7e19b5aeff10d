"""The package as it is installed: what it loads, and the oldest Python."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import distributed_config.client
from distributed_config.client import Client, Configuration
from tests.support.needs import need
from tests.support.scripts import printed, script
from tests.support.server import Server

pytestmark = pytest.mark.many


PUBLIC = [
    "AsyncClient",
    "AsyncConfig",
    "Backoff",
    "Bound",
    "Client",
    "Config",
    "Configuration",
    "DistconfError",
    "InProcessTransport",
    "Layer",
    "Revision",
    "Written",
]


def test_the_public_names_of_the_client_are_these() -> None:
    assert distributed_config.client.__all__ == PUBLIC
    assert [getattr(distributed_config.client, name).__name__ for name in PUBLIC] == PUBLIC


LOADED = """
import json, sys
before = set(sys.modules)
import distributed_config.client
from distributed_config.client import *
import distributed_config.client.integrations.starlette
found = {name: getattr(sys.modules[name], "__file__", "") for name in set(sys.modules) - before}
print(json.dumps(found))
"""


def test_the_client_loads_nothing_of_the_server_and_nothing_of_others() -> None:
    found: dict[str, str | None] = printed(script(LOADED))

    ours = {name for name in found if name.split(".")[0] == "distributed_config"}
    roots = {name.split(".")[1] for name in ours if "." in name}
    assert roots == {"client", "errors", "wire"}
    others = {name.split(".")[0] for name in set(found) - ours}
    assert {name for name in others if name not in sys.stdlib_module_names} == set()
    assert not [file for file in found.values() if file and "site-packages" in file]


STARTS = ["import distributed_config.client", "from distributed_config.client import *"]


@pytest.mark.parametrize("statement", STARTS)
def test_the_client_is_loaded_in_no_time(statement: str) -> None:
    # Of the processor: what else runs on the machine does not count.
    text = f"import time; began = time.process_time(); {statement}; "
    text += "print(time.process_time() - began)"

    assert min(printed(script(text)) for _ in range(4)) < 3 * 0.060


def oldest_python() -> str | None:
    """An interpreter of Python 3.10: on the path, or installed beside the one that runs this."""
    beside = sorted(Path(sys.base_prefix).parent.glob("3.10*/bin/python3.10"))
    for found in [shutil.which("python3.10"), *map(str, beside)]:
        if (
            found
            and subprocess.run([found, "-V"], capture_output=True, check=False).returncode == 0
        ):
            return found
    return None


@pytest.fixture(scope="module")
def python310() -> str:
    found = oldest_python()
    need(found is not None, "Python 3.10")
    assert found is not None
    return found


ON_310 = """
import asyncio, enum, json, py_compile, sys, tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Tuple, Union
assert sys.version_info[:2] == (3, 10)
rooms = ("client", "errors", "wire")
for path in [each for room in rooms for each in Path("distributed_config", room).rglob("*.py")]:
    py_compile.compile(str(path), cfile=tempfile.mktemp(), doraise=True)
from distributed_config.client import *
@dataclass
class App:
    n: int
    hosts: List[str] = field(default_factory=list)
    by: "Dict[str, int] | None" = None
    either: Union[int, Tuple[int, ...]] = 0
    mode: Optional[Literal["a"]] = None
url, name, folder = sys.argv[1:]
with Client(url, service=name) as client:
    written = client.put({"n": 0, "hosts": ["a"], "by": {"x": 1}, "either": [1, 2], "mode": "a"})
    with Config(name, url=url, snapshots=folder) as cfg:
        bound = cfg.bind(App)
        assert bound.value == App(0, ["a"], {"x": 1}, (1, 2), "a"), bound.value
        told = []
        cfg.on_change(lambda new, old: told.append((new, old)), pointer="/n")
        client.patch({"n": 1}, note="für")
        assert cfg.wait_for(1, 5)
        assert bound.value.n == cfg["n"] == 1
    assert [each["number"] for each in client.history()] == [1, 0]
    assert next(client.changes(written.revision, services=[name])).changes
    try:
        client.get(version=9)
    except DistconfError as error:
        assert error.code == "version-not-found"
assert Config(name, url="http://127.0.0.1:1", snapshots=folder, deadline=0, defaults={}).source
async def main():
    async with AsyncClient(url, service=name) as client:
        async with await AsyncConfig.open(name, url=url, snapshots=False) as cfg:
            changes = cfg.changes("/n")
            await client.patch({"n": 2})
            assert await anext(changes) == (2, 1)
            assert not await cfg.wait_for(9, 0.01)
        assert [each["number"] async for each in client.history()] == [2, 1, 0]
        try:
            await asyncio.wait_for(anext(client.changes()), 0.1)
        except asyncio.TimeoutError:
            pass
asyncio.run(main(), debug=True)
print(json.dumps("done"))
"""


def test_client_and_config_work_on_the_oldest_python(
    server: Server, name: str, tmp_path: Path, python310: str
) -> None:
    done = script(ON_310, server.url, name, str(tmp_path), python=python310)

    assert printed(done) == "done"


def test_faults_are_told_on_the_oldest_python_as_on_any(python310: str) -> None:
    text = """
import json
from dataclasses import dataclass
from distributed_config.client.live.binding import bind
from distributed_config.errors import Rejected
@dataclass
class App:
    hosts: list[str]
    by: dict[str, int]
    pair: tuple[int, str]
try:
    bind(App, {"hosts": "a", "by": 1, "pair": {}})
except Rejected as error:
    print(json.dumps([each.pointer for each in error.problems]))
"""
    wanted = ["/hosts", "/by", "/pair"]

    assert printed(script(text)) == wanted
    assert printed(script(text, python=python310)) == wanted


def test_what_is_read_has_the_types_that_are_told(client: Client) -> None:
    client.put({"n": 0})

    read = client.get()

    assert isinstance(read, Configuration)
    with pytest.raises(AttributeError):
        read.version = 5  # type: ignore[misc]
