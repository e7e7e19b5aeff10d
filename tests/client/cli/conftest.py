"""A server that asks for tokens, and people at terminals."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.access import ADMINISTRATOR
from tests.support.callers import PASSWORD, Caller
from tests.support.server import Api, Server
from tests.support.shells import Shell
from tests.support.terminals import Terminal


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for tokens."""
    folder = tmp_path_factory.mktemp("guarded") / "instance"
    with Server(folder, auth="token", admin_token=ADMINISTRATOR) as running:
        running.api.http.headers["Authorization"] = f"Bearer {ADMINISTRATOR}"
        yield running


@pytest.fixture
def store(guarded: Server) -> Api:
    """Requests of an administrator to the server that asks for tokens."""
    return guarded.api


@pytest.fixture
def stranger(guarded: Server, tmp_path: Path) -> Terminal:
    """Somebody who is not logged in."""
    return Terminal(Shell(tmp_path, guarded.url))


@pytest.fixture
def terminal(guarded: Server, stranger: Terminal) -> Terminal:
    """An administrator who is logged in by a token."""
    stranger.write("administrator.token", ADMINISTRATOR)
    stranger.output("login", "--url", guarded.url, "--token-file", "administrator.token")
    return stranger


@pytest.fixture
def ada(guarded: Server, name: str) -> Iterator[str]:
    """The address of a user with the role editor, and PASSWORD."""
    email = f"{name}@example.org"
    caller = Caller(guarded.url, ADMINISTRATOR)
    caller.make("users", {"email": email, "password": PASSWORD, "role": "editor"})
    yield email
    caller.http.close()


@pytest.fixture
def as_role(guarded: Server, terminal: Terminal) -> Callable[[str], str]:
    """``as_role("reader")``: the name of a file with a token of that role."""

    def make(role: str) -> str:
        secret = terminal.value("tokens", "create", f"a {role}", "--role", role)["token"]
        return terminal.write(f"{role}.token", secret)

    return make
