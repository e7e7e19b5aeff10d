"""Environments and layers of a real server, as a program has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distributed_config.client import Client, Config, Layer
from distributed_config.client.sidecar.plan import load_plan
from distributed_config.client.sidecar.target_file import TargetFile
from tests.client.conftest import QUICK
from tests.support.server import Server
from tests.support.waiting import eventually


@pytest.fixture
def prod(own_server: Server) -> Iterator[Client]:
    """A client for ``web`` in ``prod``, which extends ``lög`` and inherits from ``default``."""
    api = own_server.api.http
    assert api.post("/api/v1/environments", json={"name": "prod"}).status_code == 200
    with Client(own_server.url, service="web", environment="prod", backoff=QUICK) as client:
        client.put({"level": "info"}, "lög", environment="default")
        client.put({"n": 1, "host": "a"}, environment="default")
        client.put({"n": 2})
        extends = {"extends": ["lög"]}
        answer = api.patch("/api/v1/services", params={"service": "web"}, json=extends)
        assert answer.status_code == 200
        yield client


LAYERS = (Layer("lög", "default", 0), Layer("web", "default", 0), Layer("web", "prod", 0))
RESOLVED = {"level": "info", "n": 2, "host": "a"}


def test_the_stored_and_the_resolved_document_are_read(prod: Client) -> None:
    read = prod.get(resolved=True)
    prod.put({"n": 3})

    assert (read.value, read.layers, read.environment) == (RESOLVED, LAYERS, "prod")
    assert prod.get().value == {"n": 3}
    assert prod.get(environment="default").value == {"n": 1, "host": "a"}
    assert prod.get(resolved=True, as_of=read.revision).value == RESOLVED
    assert prod.text(resolved=True, format="properties") == "level=info\nn=3\nhost=a\n"
    assert prod.diff("default", "prod")["patch"] == [{"op": "replace", "path": "/n", "value": 3}]


def test_a_configuration_follows_each_of_its_layers(prod: Client, own_server: Server) -> None:
    given: dict[str, Any] = {"url": own_server.url, "environment": "prod", "snapshots": False}
    with Config("web", **given) as config, Config("web", resolved=False, **given) as stored:
        assert (config.value, config.state.layers) == (RESOLVED, LAYERS)
        prod.patch({"level": "debug"}, "lög", environment="default")
        assert eventually(lambda: config["level"] == "debug")
        prod.patch({"host": "b"}, environment="default")
        assert eventually(lambda: config["host"] == "b")
        assert config.version == 0
        prod.patch({"n": 3})
        assert config.wait_for(1, 5)
        assert stored.wait_for(1, 5)
        assert stored.value == {"n": 3}


def test_changes_of_a_resolved_document_are_those_of_its_layers(prod: Client) -> None:
    start = prod.patch({"n": 3}).revision
    prod.patch({"level": "debug"}, "lög", environment="default")
    prod.put({}, "other")
    prod.patch({"n": 4})

    told = prod.changes(start, services=["web"], resolved=True)
    found = [change for _ in range(2) for change in next(told).changes]
    assert [(each["service"], each["environment"]) for each in found] == [
        ("lög", "default"),
        ("web", "prod"),
    ]


def test_a_sidecar_writes_what_is_resolved(
    prod: Client, own_server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "web.toml"
    target = {"service": "web", "file": str(file), "environment": "prod"}
    plan = load_plan({"targets": [target], "url": own_server.url, "snapshots": False})
    written = TargetFile(plan.targets[0], plan)

    assert written.sync()
    assert file.read_text() == 'level = "info"\nn = 2\nhost = "a"\n'
    prod.patch({"level": "debug"}, "lög", environment="default")
    assert eventually(written._has_news)
    assert written.sync()
    assert file.read_text() == 'level = "debug"\nn = 2\nhost = "a"\n'
    written.stop()
