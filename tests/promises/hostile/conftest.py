"""A service that hostile requests must not change, and what must hold after them."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.promises.hostile.state import ServiceState
from tests.support.raw_http import MEBIBYTE
from tests.support.server import Server


@pytest.fixture(scope="module")
def states(server: Server) -> Iterator[list[ServiceState]]:
    """The states that tests compare with; the last is in use.

    A test that spoilt one adds another.
    """
    created: list[ServiceState] = []
    yield created
    for state in created:
        state.close()


@pytest.fixture
def target(server: Server, states: list[ServiceState], name: str) -> Iterator[str]:
    """The name of a service that the test must leave as it was, like the journal.

    No service is called ``{target}-absent``.
    """
    if not states:
        states.append(ServiceState(server, name))
    state = states[-1]
    before = state.read()
    yield state.name
    try:
        assert state.read() == before
    except AssertionError:
        states.append(ServiceState(server, name))
        raise


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits one second for a body, and holds a read for one second at most."""
    folder = tmp_path_factory.mktemp("slow") / "instance"
    with Server(folder, body_seconds=1, wait_seconds=1) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _soundness(server: Server) -> Iterator[None]:
    """Check after each file that its requests left no gap, no half write and no damage."""
    yield
    revisions = sorted({change["revision"] for change in server.api.changes()})

    assert revisions == list(range(1, len(revisions) + 1))
    assert httpx2.get(f"{server.url}/readyz", trust_env=False).status_code == 200
    assert server.database.stat().st_size < 200 * MEBIBYTE
