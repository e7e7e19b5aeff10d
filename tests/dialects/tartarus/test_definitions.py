"""Definitions: their keys, schemas and indexes."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.dialects.tartarus.client import (
    ON_A_DEFINITION,
    SCHEMA,
    UNKNOWN_PARAMETER,
    Answer,
    Tartarus,
    failure,
    invalid,
    keys_of,
    kinds,
    meta,
    services,
    success,
    unchanged,
)
from tests.support.server import Api

pytestmark = pytest.mark.many


# --- definitions


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"indexes": []},
        {"json_schema": SCHEMA},
        {"json_schema": SCHEMA, "indexes": ["db.host", "n"]},
        {"indexes": ["anything", "at.all"]},
    ],
)
def test_a_created_definition_echoes_the_request(
    tartarus: Tartarus, key: str, more: dict[str, Any]
) -> None:
    data = success(tartarus.define(key, **more), 201)

    assert data == {"config_definition_key": key, "indexes": [], **more}


def test_a_definition_is_read_with_its_times(tartarus: Tartarus, key: str) -> None:
    before = datetime.now(UTC)
    tartarus.define(key, json_schema=SCHEMA, indexes=["db.host"])
    after = datetime.now(UTC)

    data = success(tartarus.definition(key))

    created = data.pop("created_at")
    assert before <= datetime.fromisoformat(created) <= after
    assert data.pop("modified_at") == created
    assert data == {
        "config_definition_key": key, "json_schema": SCHEMA, "indexes": ["db.host"],
    }  # fmt: skip


def test_an_update_replaces_the_indexes_and_moves_the_time(
    tartarus: Tartarus, defined: str
) -> None:
    before = success(tartarus.definition(defined))

    assert success(tartarus.redefine(defined, indexes=["db.host", "n"])) == {
        "indexes": ["db.host", "n"]
    }

    after = success(tartarus.definition(defined))
    assert after["indexes"] == ["db.host", "n"]
    assert after["json_schema"] == SCHEMA
    assert after["created_at"] == before["created_at"]
    assert datetime.fromisoformat(after["modified_at"]) > datetime.fromisoformat(
        before["modified_at"]
    )
    assert success(tartarus.redefine(defined, indexes=[])) == {"indexes": []}
    assert success(tartarus.definition(defined))["indexes"] == []


def test_new_indexes_find_what_was_there_before_and_old_ones_find_no_more(
    tartarus: Tartarus, defined: str
) -> None:
    for number, config in enumerate(("one", "two")):
        tartarus.create(defined, config, {"n": number, "tier": f"t{number}"})
    assert success(tartarus.redefine(defined, indexes=["tier"]))["indexes"] == ["tier"]

    assert keys_of(tartarus.configs(defined, {"tier": "t1"})) == ["two"]
    [message] = invalid(tartarus.configs(defined, {"n": "1"}))
    assert message.endswith(UNKNOWN_PARAMETER)


def test_a_schema_that_is_given_later_is_shown_and_holds_from_then_on(
    tartarus: Tartarus, free: str
) -> None:
    success(tartarus.create(free, "one", {"n": 1}), 201)

    data = success(tartarus.redefine(free, indexes=["tier"], json_schema=SCHEMA))

    assert data["indexes"] == ["tier"]
    shown = success(tartarus.definition(free))
    assert (shown["json_schema"], shown["indexes"]) == (SCHEMA, ["tier"])
    invalid(tartarus.create(free, "two", {"n": "text"}))
    assert keys_of(tartarus.configs(free)) == ["one"]


def test_a_schema_that_what_is_there_would_break_is_refused_unless_it_is_forced_elsewhere(
    tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": "text"})
    before = tartarus.definition(free).json()

    messages = invalid(tartarus.redefine(free, indexes=["tier"], json_schema=SCHEMA))

    assert all(each.startswith("Invalid Json_schema! ") for each in messages)
    assert tartarus.definition(free).json() == before
    assert keys_of(tartarus.configs(free, {"n": "text"})) == ["one"]

    [door] = re.findall(r"PUT (\S+&force=true), and a note", messages[0])
    forced = tartarus.http.put(f"{door}&note=so+it+is", json={"schema": SCHEMA})
    assert forced.status_code == 200, forced.text
    assert success(tartarus.definition(free))["json_schema"] == SCHEMA


def test_a_schema_without_an_indexed_property_is_refused_in_the_dialects_words(
    tartarus: Tartarus, defined: str
) -> None:
    without = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    invalid(tartarus.redefine(defined, json_schema=without))

    assert success(tartarus.definition(defined))["json_schema"] == SCHEMA
    assert success(tartarus.redefine(defined, json_schema=without, indexes=["n"]))


def test_a_definition_that_is_there_is_not_created_again(tartarus: Tartarus, defined: str) -> None:
    before = tartarus.definition(defined).json()

    messages = failure(tartarus.define(defined, indexes=["x"]), 409, "conflict_error")

    assert messages == [f"Definition already exists with '{defined}'!"]
    assert tartarus.definition(defined).json() == before


@pytest.mark.parametrize("ask", ON_A_DEFINITION.values(), ids=ON_A_DEFINITION.keys())
def test_a_definition_that_is_not_there_is_not_found(
    tartarus: Tartarus, key: str, ask: Callable[[Tartarus, str], Answer]
) -> None:
    messages = failure(ask(tartarus, key), 404, "not_found_error")

    assert messages == [f"Definition not found with '{key}'!"]


def test_a_deleted_definition_takes_its_configurations_with_it(
    api: Api, tartarus: Tartarus, defined: str
) -> None:
    neighbour = f"{defined}_2"
    tartarus.define(neighbour)
    tartarus.create(neighbour, "one", {"n": 1})
    for config in ("one", "two"):
        tartarus.create(defined, config, {"n": 1})
    tartarus.update(defined, "two", {"n": 2})
    api.put(defined, {"not": "one of them"})
    api.put(f"{defined}/apart", {"not": "one of them"})

    assert success(tartarus.undefine(defined)) == {"config_definition_key": defined}

    assert tartarus.definition(defined).status_code == 404
    assert tartarus.read(defined, "one").status_code == 404
    assert api.get(f"{defined}/one").status_code == 404
    assert services(api, defined) == [defined, f"{defined}/apart", f"{neighbour}/one"]
    assert kinds(api, f"{defined}/two")[-1] == "service.deleted"
    assert keys_of(tartarus.configs(neighbour)) == ["one"]
    success(tartarus.define(defined), 201)
    assert success(tartarus.configs(defined)) == {"results": [], "meta": meta(1, 10, 0)}


def test_a_deleted_definition_leaves_a_service_that_is_none_of_its_configurations(
    api: Api, tartarus: Tartarus, free: str, name: str
) -> None:
    api.put(name, {"n": 1}, definition=free)
    assert keys_of(tartarus.configs(free)) == []

    success(tartarus.undefine(free))

    assert api.get(name).json() == {"n": 1}


# --- keys


BAD_KEYS = [
    "", "a", "ab", "1abc", "_abc", "a-b", "a b", "a/b/c", "a.bc", "..", "abc ", " abc", "abc\n",
    "äbc", "abcé", "abc٣", "a\x00bc", "abc%", "'; DROP TABLE services; --",
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_a_key_that_is_none_is_refused(tartarus: Tartarus, still: str, bad: str) -> None:
    [message] = invalid(tartarus.define(bad))
    assert message.startswith("Invalid Config_definition_key! ")
    [message] = invalid(tartarus.create(still, bad, {"n": 1}))
    assert message.startswith("Invalid Config_key! ")
    assert unchanged(tartarus, still)


@pytest.mark.parametrize("bad", [each for each in BAD_KEYS if each not in {"", ".."}])
def test_nothing_is_found_under_a_key_that_is_none(
    tartarus: Tartarus, still: str, bad: str
) -> None:
    for ask in ON_A_DEFINITION.values():
        assert ask(tartarus, bad).status_code in {404, 422}
    for answer in (
        tartarus.read(still, bad),
        tartarus.update(still, bad, {"n": 1}),
        tartarus.delete(still, bad),
    ):
        assert answer.status_code in {404, 422}


@pytest.mark.parametrize("good", ["abc", "ABC", "a__", "Z09", "config", "x" * 180])
def test_any_key_of_letters_digits_and_underscores_is_taken(
    tartarus: Tartarus, free: str, good: str
) -> None:
    success(tartarus.create(free, good, {"n": 1}), 201)

    assert success(tartarus.read(free, good))["config_key"] == good


def test_keys_of_other_case_are_other_keys(tartarus: Tartarus, free: str) -> None:
    success(tartarus.create(free, "abc", {"n": 1}), 201)
    success(tartarus.create(free, "ABC", {"n": 2}), 201)

    assert success(tartarus.read(free, "abc"))["data"] == {"n": 1}
    assert success(tartarus.read(free, "ABC"))["data"] == {"n": 2}


def test_a_key_makes_no_service_that_could_not_be_named_elsewhere(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    config = "x" * 300
    answer = tartarus.create(free, config, {"n": 1})
    if answer.status_code == 422:
        invalid(answer)
    else:
        success(answer, 201)
        assert api.get(f"{free}/{config}").status_code == 200


def test_a_key_makes_no_definition_that_could_not_be_named_elsewhere(
    api: Api, tartarus: Tartarus, key: str
) -> None:
    longer = key + "x" * 300
    answer = tartarus.define(longer)
    if answer.status_code == 422:
        invalid(answer)
    else:
        success(answer, 201)
        shown = api.http.get("/api/v1/definitions/one", params={"definition": longer})
        success(tartarus.undefine(longer))
        assert shown.status_code == 200


# --- schemas and indexes


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 12},
        {"type": "objekt"},
        {"properties": []},
        {"required": "n"},
        {"properties": {"n": {"pattern": "("}}},
        {"$ref": "http://localhost:1/elsewhere"},
    ],
)
def test_a_schema_that_is_none_is_refused(
    tartarus: Tartarus, key: str, free: str, schema: dict[str, Any]
) -> None:
    for answer in (
        tartarus.define(f"{key}_2", json_schema=schema),
        tartarus.redefine(free, indexes=["n"], json_schema=schema),
    ):
        messages = invalid(answer)
        assert all(each.startswith("Invalid Json_schema! ") for each in messages)
    assert tartarus.definition(f"{key}_2").status_code == 404


@pytest.mark.parametrize(
    "indexes",
    [
        ["n", "n"],
        ["n", "tier", "n"],
        ["unknown"],
        ["db.port"],
        ["host"],
        ["n.deeper"],
        ["db..host"],
        ["db."],
        [".n"],
        [""],
        ["N"],
        ["properties.n"],
    ],
)
def test_indexes_that_are_repeated_or_not_in_the_schema_are_refused(
    tartarus: Tartarus, defined: str, indexes: list[str]
) -> None:
    before = tartarus.definition(defined).json()

    for answer in (
        tartarus.define(f"{defined}_2", json_schema=SCHEMA, indexes=indexes),
        tartarus.redefine(defined, indexes=indexes),
    ):
        messages = invalid(answer)
        assert all(each.startswith("Invalid Indexes! ") for each in messages)

    assert tartarus.definition(f"{defined}_2").status_code == 404
    assert tartarus.definition(defined).json() == before


def test_indexes_without_a_schema_may_be_any_but_not_repeated(tartarus: Tartarus, key: str) -> None:
    invalid(tartarus.define(key, indexes=["a.b", "a.b"]))

    assert success(tartarus.define(key, indexes=["a.b", "c"]), 201)["indexes"] == ["a.b", "c"]
    tartarus.create(key, "one", {"a": {"b": "x"}})
    assert keys_of(tartarus.configs(key, {"a.b": "x"})) == ["one"]
