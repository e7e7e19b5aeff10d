"""The fixtures of all tests of the dialect."""

from uuid import uuid4

import pytest

from tests.dialects.tartarus.client import SCHEMA, Tartarus, success
from tests.support.server import Api, Server


@pytest.fixture
def tartarus(api: Api) -> Tartarus:
    return Tartarus(api)


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def defined(tartarus: Tartarus, key: str) -> str:
    """A definition with a schema and indexes."""
    success(tartarus.define(key, json_schema=SCHEMA, indexes=["n", "tier", "db.host"]), 201)
    return key


@pytest.fixture
def free(tartarus: Tartarus, key: str) -> str:
    """A definition that asks for nothing; ``n`` is indexed."""
    success(tartarus.define(key, indexes=["n"]), 201)
    return key


@pytest.fixture(scope="module")
def still(server: Server) -> str:
    """A definition with the configuration ``one``, for tests that change nothing of it."""
    there, key = Tartarus(server.api), f"still_{uuid4().hex[:12]}"
    success(there.define(key, indexes=["n"]), 201)
    success(there.create(key, "one", {"n": 1}), 201)
    return key
