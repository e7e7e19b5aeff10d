"""A server with environments, for every dialect."""

from collections.abc import Iterator

import pytest

from tests.support.server import Server


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the environment ``prod``."""
    with Server(tmp_path_factory.mktemp("layered") / "instance") as running:
        created = running.api.http.post("/api/v1/environments", json={"name": "prod"})
        assert created.status_code == 200, created.text
        yield running
