"""A server that asks for tokens, and callers with every role."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from distributed_config.http import auth
from tests.support.access import ADMINISTRATOR, As
from tests.support.callers import OPEN_CLIENTS, PASSWORD, Caller
from tests.support.server import Server


@pytest.fixture(scope="module", autouse=True)
def closed_at_the_end() -> Iterator[None]:
    yield
    for http in OPEN_CLIENTS:
        http.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for tokens."""
    folder = tmp_path_factory.mktemp("guarded") / "instance"
    with Server(folder, auth="token", admin_token=ADMINISTRATOR) as running:
        yield running


@pytest.fixture(scope="module")
def administrator(guarded: Server) -> Caller:
    return Caller(guarded.url, ADMINISTRATOR)


@pytest.fixture(scope="module")
def acting(guarded: Server, administrator: Caller) -> As:
    """``acting("reader", services=["team/"])``: a caller with a token of that role."""

    def make(role: str, organisation: str = "default", **limits: Any) -> Caller:
        body = {"name": f"{role} {uuid4().hex[:6]}", "role": role, **limits}
        headers = {auth.ORGANISATION: organisation}
        made = administrator.make("tokens", body, headers=headers)
        return Caller(guarded.url, made["token"])

    return make


@pytest.fixture(scope="module")
def elsewhere(administrator: Caller) -> str:
    """Another organisation."""
    name = f"other {uuid4().hex[:6]}"
    administrator.make("organisations", {"name": name})
    return name


@pytest.fixture
def user(guarded: Server, administrator: Caller) -> Callable[..., dict[str, Any]]:
    def make(role: str = "editor", **more: Any) -> dict[str, Any]:
        email = f"{uuid4().hex[:8]}@example.org"
        return administrator.make(
            "users", {"email": email, "password": PASSWORD, "role": role, **more}
        )

    return make
