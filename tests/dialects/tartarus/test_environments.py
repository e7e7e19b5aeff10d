"""Configurations in an environment: their routes take ``environment=``."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.dialects.tartarus.client import (
    SCHEMA,
    Tartarus,
    failure,
    invalid,
    keys_of,
    meta,
    results,
    success,
)
from tests.support.server import Api, Server

NOT_THERE = ["Configuration not found with 'one'!"]


@pytest.fixture
def api(layered: Server) -> Api:
    return layered.api


def _in(api: Api, environment: str) -> Tartarus:
    """One whose requests are all about an environment."""
    there = Tartarus(api)
    there.http = httpx2.Client(base_url=api.url, params={"environment": environment})
    return there


@pytest.fixture
def prod(api: Api) -> Iterator[Tartarus]:
    there = _in(api, "prod")
    with there.http:
        yield there


def test_a_configuration_is_written_where_the_request_says(
    api: Api, tartarus: Tartarus, prod: Tartarus, free: str
) -> None:
    success(tartarus.create(free, "one", {"n": 1}), 201)
    failure(prod.read(free, "one"), 404, "not_found_error")
    success(prod.create(free, "one", {"n": 2}), 201)
    success(prod.update(free, "one", {"n": 3}))

    assert success(tartarus.read(free, "one"))["data"] == {"n": 1}
    assert success(prod.read(free, "one"))["data"] == {"n": 3}
    assert api.get(f"{free}/one", version="current", environment="prod").json() == {"n": 3}
    [message] = failure(prod.create(free, "one", {"n": 4}), 409, "conflict_error")
    assert message == "Config already exists with 'one'!"


def test_an_update_creates_nothing_in_another_environment(
    api: Api, tartarus: Tartarus, prod: Tartarus, free: str
) -> None:
    success(tartarus.create(free, "one", {"n": 1}), 201)

    assert failure(prod.update(free, "one", {"n": 2}), 404, "not_found_error") == NOT_THERE
    assert failure(prod.delete(free, "one"), 404, "not_found_error") == NOT_THERE
    assert api.get(f"{free}/one", environment="prod").status_code == 404


def test_a_deletion_is_of_one_environment(tartarus: Tartarus, prod: Tartarus, free: str) -> None:
    for there in (tartarus, prod):
        success(there.create(free, "one", {"n": 1}), 201)

    success(prod.delete(free, "one"))

    failure(prod.read(free, "one"), 404, "not_found_error")
    assert success(tartarus.read(free, "one"))["data"] == {"n": 1}


def test_a_list_shows_and_filters_what_is_current_in_the_environment(
    tartarus: Tartarus, prod: Tartarus, free: str
) -> None:
    for key, here, there in (("one", 1, 5), ("two", 2, 1)):
        success(tartarus.create(free, key, {"n": here}), 201)
        success(prod.create(free, key, {"n": there}), 201)
    success(tartarus.create(free, "three", {"n": 9}), 201)

    assert keys_of(prod.configs(free, {"n": 1})) == ["two"]
    assert keys_of(tartarus.configs(free, {"n": 1})) == ["one"]
    listed = prod.configs(free, {"sort_by": "n", "sort_order": "asc"})
    assert [each["data"] for each in results(listed)] == [{"n": 1}, {"n": 5}]
    assert success(listed)["meta"] == meta(1, 10, 2)
    assert sorted(keys_of(prod.configs(free))) == ["one", "two"]


def test_an_index_named_environment_stays_a_filter(api: Api, tartarus: Tartarus, key: str) -> None:
    success(tartarus.define(key, json_schema={"type": "object"}), 201)
    schema = {"type": "object", "properties": {"environment": {"type": "string"}}}
    success(tartarus.redefine(key, json_schema=schema, indexes=["environment"]))
    success(tartarus.create(key, "one", {"environment": "prod"}), 201)
    success(tartarus.create(key, "two", {"environment": "test"}), 201)

    assert keys_of(tartarus.configs(key, {"environment": "prod"})) == ["one"]
    assert keys_of(tartarus.configs(key, {"environment": "nowhere"})) == []


def test_a_configuration_conforms_with_what_it_inherits(
    tartarus: Tartarus, prod: Tartarus, key: str
) -> None:
    success(tartarus.define(key, json_schema=SCHEMA, indexes=["n"]), 201)
    success(tartarus.create(key, "one", {"n": 1, "tier": "a"}), 201)

    # ``n`` is required, and comes from the default environment.
    success(prod.create(key, "one", {"tier": "b"}), 201)
    messages = invalid(prod.update(key, "one", {"tier": 2}))

    assert len(messages) == 1
    assert "/tier" in messages[0]


def test_a_mistake_beside_it_does_not_ask_for_what_is_inherited(
    tartarus: Tartarus, prod: Tartarus, key: str
) -> None:
    success(tartarus.define(key, json_schema=SCHEMA, indexes=["n"]), 201)
    success(tartarus.create(key, "one", {"n": 1}), 201)

    [message] = invalid(prod.create(key, "1", {"tier": "b"}))

    assert message.startswith("Invalid Config_key!")


def test_a_definition_that_goes_takes_its_configurations_everywhere(
    api: Api, tartarus: Tartarus, prod: Tartarus, free: str
) -> None:
    success(prod.create(free, "one", {"n": 1}), 201)

    success(tartarus.undefine(free))

    assert api.get(f"{free}/one", environment="prod").status_code == 404


def test_an_unknown_environment_is_a_404_that_lists_those_that_there_are(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    success(tartarus.create(free, "one", {"n": 1}), 201)
    nowhere = _in(api, "nowhere")
    with nowhere.http:
        answers = [
            nowhere.configs(free),
            nowhere.read(free, "one"),
            nowhere.create(free, "two", {"n": 1}),
            nowhere.update(free, "one", {"n": 2}),
            nowhere.delete(free, "one"),
        ]

    for answer in answers:
        [message] = failure(answer, 404, "not_found_error")
        assert "There is no environment 'nowhere'" in message
        assert "default, prod" in message


def test_two_environments_are_one_too_many(tartarus: Tartarus, free: str) -> None:
    success(tartarus.create(free, "one", {"n": 1}), 201)
    query = "?environment=prod&environment=default"

    for path in (tartarus.path(free, "config"), tartarus.path(free, "config", "one")):
        [message] = failure(tartarus.http.get(f"{path}{query}"), 422, "validation_error")
        assert message.startswith("environment: ")
