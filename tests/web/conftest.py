"""People with browsers: in open mode, and with every role in token mode."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.access import ADMINISTRATOR
from tests.support.callers import OPEN_CLIENTS, PASSWORD, Caller
from tests.support.pages import Visitor
from tests.support.server import Server

People = Callable[..., Visitor]


@pytest.fixture
def visitor(server: Server) -> Iterator[Visitor]:
    """Somebody who opens the interface of the shared server, in open mode."""
    somebody = Visitor(server.url)
    yield somebody
    somebody.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a log-in."""
    folder = tmp_path_factory.mktemp("guarded") / "instance"
    with Server(folder, auth="token", admin_token=ADMINISTRATOR) as running:
        yield running


@pytest.fixture(scope="module")
def administrator(guarded: Server) -> Iterator[Caller]:
    caller = Caller(guarded.url, ADMINISTRATOR)
    yield caller
    OPEN_CLIENTS.remove(caller.http)
    caller.http.close()


@pytest.fixture(scope="module")
def accounts(administrator: Caller) -> Callable[..., dict[str, Any]]:
    """``accounts("editor")``: a user with that role."""

    def make(role: str, **more: Any) -> dict[str, Any]:
        email = f"{role}-{uuid4().hex[:6]}@example.org"
        body = {"email": email, "password": PASSWORD, "role": role, **more}
        made = administrator.make("users", body)
        return {**made, "email": email}

    return make


@pytest.fixture
def people(guarded: Server, accounts: Callable[..., dict[str, Any]]) -> Iterator[People]:
    """``people("reader")``: somebody with that role who has logged in with a browser."""
    there: list[Visitor] = []

    def make(role: str, **more: Any) -> Visitor:
        somebody = Visitor(guarded.url)
        there.append(somebody)
        somebody.open("/ui/login")
        somebody.send("Log in", email=accounts(role, **more)["email"], password=PASSWORD)
        assert somebody.response.status_code == 200, somebody.page.text
        return somebody

    yield make
    for somebody in there:
        somebody.close()
