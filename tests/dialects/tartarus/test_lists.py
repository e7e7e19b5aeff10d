"""Lists: pages, sorting, search and filters."""

from typing import Any

import pytest

from tests.dialects.tartarus.client import (
    SCHEMA,
    UNKNOWN_PARAMETER,
    Tartarus,
    failure,
    invalid,
    keys_of,
    meta,
    results,
    success,
)
from tests.support.server import Api

pytestmark = pytest.mark.many


def test_configurations_are_listed_page_by_page(tartarus: Tartarus, free: str) -> None:
    wanted = [f"config{number:02}" for number in range(23)]
    for number, config in enumerate(wanted):
        tartarus.create(free, config, {"n": number % 2})

    pages = [success(tartarus.configs(free, {"page": page})) for page in (1, 2, 3, 4)]

    assert [len(each["results"]) for each in pages] == [10, 10, 3, 0]
    assert [each["meta"] for each in pages] == [meta(page, 10, 23) for page in (1, 2, 3, 4)]
    found = [each["config_key"] for page in pages for each in page["results"]]
    assert found == wanted[::-1]
    whole = success(tartarus.configs(free, {"limit": 100, "sort_order": "asc"}))
    assert whole["meta"] == meta(1, 100, 23)
    assert [each["config_key"] for each in whole["results"]] == wanted
    third = success(
        tartarus.configs(
            free, {"n": "1", "page": 3, "limit": 4, "sort_by": "config_key", "sort_order": "asc"}
        )
    )
    assert third["meta"] == meta(3, 4, 11)
    assert [each["config_key"] for each in third["results"]] == wanted[17::2]
    assert third["results"][0]["data"] == {"n": 1}


def test_definitions_are_listed_page_by_page(tartarus: Tartarus, key: str) -> None:
    wanted = [f"{key}_{number:02}" for number in range(7)]
    for each in wanted:
        tartarus.define(each, json_schema=SCHEMA, indexes=["n"])

    pages = [success(tartarus.definitions(search=key, page=page, limit=3)) for page in (1, 2, 3, 4)]

    assert [len(each["results"]) for each in pages] == [3, 3, 1, 0]
    assert [each["meta"] for each in pages] == [meta(page, 3, 7) for page in (1, 2, 3, 4)]
    found = [each["config_definition_key"] for page in pages for each in page["results"]]
    assert found == wanted[::-1]
    first = pages[0]["results"][0]
    assert first == success(tartarus.definition(first["config_definition_key"]))
    assert success(tartarus.definitions(search=key))["meta"] == meta(1, 10, 7)


SORTED = {
    ("config_key", "asc"): ["aaa", "bbb", "ccc"],
    ("config_key", "desc"): ["ccc", "bbb", "aaa"],
    ("created_at", "asc"): ["bbb", "aaa", "ccc"],
    ("created_at", "desc"): ["ccc", "aaa", "bbb"],
    ("modified_at", "asc"): ["aaa", "ccc", "bbb"],
    ("modified_at", "desc"): ["bbb", "ccc", "aaa"],
}


def test_configurations_are_sorted_by_key_and_by_times(tartarus: Tartarus, free: str) -> None:
    for config in ("bbb", "aaa", "ccc"):
        tartarus.create(free, config, {"n": 1})
    tartarus.update(free, "bbb", {"n": 2})

    for (field, direction), wanted in SORTED.items():
        query = {"sort_by": field, "sort_order": direction}
        assert keys_of(tartarus.configs(free, query)) == wanted
    assert keys_of(tartarus.configs(free)) == SORTED["modified_at", "desc"]
    assert keys_of(tartarus.configs(free, {"sort_by": "config_key"})) == ["ccc", "bbb", "aaa"]


def test_definitions_are_sorted_by_key_and_by_times(tartarus: Tartarus, key: str) -> None:
    for each in ("bbb", "aaa", "ccc"):
        tartarus.define(f"{key}_{each}")
    tartarus.redefine(f"{key}_bbb", indexes=["n"])

    def listed(**query: str) -> list[str]:
        found = results(tartarus.definitions(search=key, **query))
        return [each["config_definition_key"].removeprefix(f"{key}_") for each in found]

    for (field, direction), wanted in SORTED.items():
        by = "config_definition_key" if field == "config_key" else field
        assert listed(sort_by=by, sort_order=direction) == wanted
    assert listed() == SORTED["modified_at", "desc"]


BAD_PARAMETERS = [
    ("page", "0"), ("page", "-1"), ("limit", "0"), ("limit", "-5"), ("limit", "101"),
    ("limit", "100000"), ("sort_by", "nothing"), ("sort_by", ""), ("sort_by", "data"),
    ("sort_order", "up"), ("sort_order", "DESC"), ("sort_order", "desc; --"),
    ("search", "ab"), ("search", "a"), ("search", "ab%"), ("search", "%%%"), ("search", "a b"),
    ("search", "a-b"), ("search", "abc*"), ("search", "abc\n"), ("search", "'''"),
]  # fmt: skip


@pytest.mark.parametrize(("parameter", "value"), BAD_PARAMETERS)
def test_a_list_parameter_beyond_its_bounds_is_refused(
    tartarus: Tartarus, still: str, parameter: str, value: str
) -> None:
    invalid(tartarus.configs(still, {parameter: value}))
    invalid(tartarus.definitions(**{parameter: value}))


def test_every_parameter_that_is_wrong_is_told(tartarus: Tartarus, still: str) -> None:
    wrong = {
        "page": "0",
        "sort_by": "x",
        "sort_order": "up",
        "search": "a",
        "tier": "1",
        "size": "2",
        "created_at": "x",
        "modified_at": "y",
    }

    messages = invalid(tartarus.configs(still, wrong))

    about = [each.split()[1].strip("!").lower() for each in messages]
    assert about == ["page/limit", *list(wrong)[1:]]
    answer = tartarus.definitions(**{**wrong, "page": "x", "limit": "y"})
    places = [each["loc"] for each in answer.json()["detail"]]
    assert places == [["query", each] for each in (*list(wrong)[:1], "limit", *list(wrong)[1:4])]


@pytest.mark.parametrize("value", ["x", "", "1.5", "1e1", "0x1", "٣", "None", "1 2", "9" * 40])
@pytest.mark.parametrize("parameter", ["page", "limit"])
def test_a_page_or_limit_that_is_no_number_is_refused(
    tartarus: Tartarus, still: str, parameter: str, value: str
) -> None:
    for answer in (
        tartarus.configs(still, {parameter: value}),
        tartarus.definitions(**{parameter: value}),
    ):
        assert answer.status_code == 422, answer.text
        assert set(answer.json()) in ({"detail"}, {"status", "errors"})


def test_a_page_far_behind_the_last_is_empty(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})

    for extra in ({}, {"n": "1"}, {"search": "one"}):
        query = {"page": 999_999_999, "limit": 100, **extra}
        answer = success(tartarus.configs(free, query))
        assert answer == {"results": [], "meta": meta(999_999_999, 100, 1)}
    answer = success(tartarus.definitions(search=free, page=999_999_999, limit=100))
    assert answer == {"results": [], "meta": meta(999_999_999, 100, 1)}


def test_a_search_is_for_a_part_of_the_key_in_any_case(tartarus: Tartarus, free: str) -> None:
    for config in ("Alpha_one", "alphaXone", "beta", "one_alpha"):
        tartarus.create(free, config, {"n": "gamma"})

    def found(search: str) -> list[str]:
        query = {"search": search, "sort_by": "config_key", "sort_order": "asc"}
        answer = success(tartarus.configs(free, query))
        assert answer["meta"]["total"] == len(answer["results"])
        return [each["config_key"] for each in answer["results"]]

    assert found("ALPHA") == ["Alpha_one", "alphaXone", "one_alpha"]
    assert found("alpha_") == ["Alpha_one"]
    assert found("A_O") == ["Alpha_one"]
    assert found("___") == []
    assert found("eta") == ["beta"]
    assert found("gamma") == []
    assert found(free) == []
    assert found("config") == []


def test_a_search_among_definitions_is_for_a_part_of_the_key_in_any_case(
    tartarus: Tartarus, key: str
) -> None:
    for each in ("_One", "XOne", "_two"):
        tartarus.define(f"{key}{each}", indexes=["gamma"])

    def found(search: str) -> list[str]:
        answer = success(tartarus.definitions(search=search, sort_by="config_definition_key"))
        assert answer["meta"]["total"] == len(answer["results"])
        return [each["config_definition_key"] for each in answer["results"]]

    assert found(f"{key}_o".upper()) == [f"{key}_One"]
    assert found(key[3:]) == [f"{key}_two", f"{key}_One", f"{key}XOne"]
    assert found(f"{key}_gamma") == []


def test_an_index_is_a_parameter_and_several_are_all_meant(
    tartarus: Tartarus, defined: str
) -> None:
    tartarus.create(defined, "one", {"n": 10, "tier": "gold", "db": {"host": "a"}})
    tartarus.create(defined, "two", {"n": 10, "tier": "tin", "db": {"host": "b"}})
    tartarus.create(defined, "three", {"n": 7, "tier": "gold"})

    def found(**query: str) -> set[str]:
        answer = success(tartarus.configs(defined, query))
        assert answer["meta"]["total"] == len(answer["results"])
        return {each["config_key"] for each in answer["results"]}

    assert found(n="10") == {"one", "two"}
    assert found(tier="gold") == {"one", "three"}
    assert found(n="10", tier="gold") == {"one"}
    assert found(**{"db.host": "b"}) == {"two"}
    assert found(n="7", tier="tin") == set()
    assert found(n="10", search="TWO") == {"two"}
    assert found(n="10", search=defined) == set()
    assert found(tier="GOLD") == set()
    assert found(tier="gol") == set()


def test_an_index_follows_what_is_current(api: Api, tartarus: Tartarus, defined: str) -> None:
    def found(n: str) -> list[str]:
        return keys_of(tartarus.configs(defined, {"n": n}))

    tartarus.create(defined, "one", {"n": 1})
    tartarus.update(defined, "one", {"n": 2})
    assert (found("1"), found("2")) == ([], ["one"])
    api.enable(f"{defined}/one", 1, False)
    assert (found("1"), found("2")) == (["one"], [])
    api.put(f"{defined}/one", {"n": 3})
    assert (found("1"), found("3")) == ([], ["one"])
    tartarus.delete(defined, "one")
    assert found("3") == []


VALUES = {
    "number": 10,
    "text": "10",
    "fraction": 10.5,
    "negative": -3,
    "yes": True,
    "yes_text": "true",
    "nothing": None,
    "nothing_text": "null",
    "empty": "",
    "umlaut": "Zürich & Söhne=?#%",
    "long": "x" * 1000,
    "huge": 12345678901234567890123,
    "list": [10],
    "object": {"n": 10},
}
MATCHES = {
    "10": {"number", "text"},
    "10.5": {"fraction"},
    "-3": {"negative"},
    "true": {"yes", "yes_text"},
    "True": set(),
    "1": set(),
    "010": set(),
    "null": {"nothing_text"},
    "": {"empty"},
    "Zürich & Söhne=?#%": {"umlaut"},
    "zürich & söhne=?#%": set(),
    "x" * 1000: {"long"},
    "x" * 999: set(),
    "12345678901234567890123": {"huge"},
    "12345678901234567890124": set(),
    "%": set(),
    "\x00": set(),
    "' OR 1=1 --": set(),
}


def test_an_index_is_compared_as_text(tartarus: Tartarus, free: str) -> None:
    for config, value in VALUES.items():
        success(tartarus.create(free, config, {"n": value}), 201)

    found = {text: set(keys_of(tartarus.configs(free, {"n": text}))) for text in MATCHES}

    assert found == MATCHES


@pytest.mark.parametrize("text", ["1e0", " 1", "1 ", "1.0", "\n1"])
def test_another_spelling_of_a_number_is_another_text(
    tartarus: Tartarus, still: str, text: str
) -> None:
    assert keys_of(tartarus.configs(still, {"n": text})) == []


def test_configurations_are_found_by_their_times(tartarus: Tartarus, free: str) -> None:
    for config in ("one", "two", "three"):
        tartarus.create(free, config, {"n": 1})
    tartarus.update(free, "two", {"n": 1, "more": 1})
    two = success(tartarus.read(free, "two"))
    created, modified = two["created_at"], two["modified_at"]

    def found(**query: str) -> list[str]:
        answer = success(tartarus.configs(free, query))
        assert answer["meta"]["total"] == len(answer["results"])
        return [each["config_key"] for each in answer["results"]]

    assert found(created_at=created) == ["two"]
    assert found(modified_at=modified) == ["two"]
    assert found(created_at=created, modified_at=modified, n="1", search="two") == ["two"]
    assert found(created_at=created.replace("Z", "+00:00")) == ["two"]
    assert found(created_at=modified) == []
    assert found(modified_at=created) == []
    assert found(created_at=created, n="2") == []
    assert found(created_at="2001-01-01T00:00:00Z") == []


@pytest.mark.parametrize("parameter", ["created_at", "modified_at"])
@pytest.mark.parametrize(
    "text",
    ["", "x", "1", "\x00", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", "9" * 5000],
)
def test_a_time_that_is_none_is_refused(
    tartarus: Tartarus, still: str, parameter: str, text: str
) -> None:
    invalid(tartarus.configs(still, {parameter: text}))


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)
def test_the_first_and_last_of_times_are_never_the_servers_mistake(
    tartarus: Tartarus, still: str, text: str
) -> None:
    for parameter in ("created_at", "modified_at"):
        assert tartarus.configs(still, {parameter: text}).status_code in {200, 422}


@pytest.mark.parametrize(
    "parameter", ["tier", "config_key", "data", "N", "n ", "db", "host", "", "ünïcode", "n.m", "'"]
)
def test_a_parameter_that_is_neither_known_nor_indexed_is_refused(
    tartarus: Tartarus, still: str, parameter: str
) -> None:
    answer = tartarus.configs(still, {parameter: "x"})

    [message] = failure(answer, 422, "validation_error")
    assert message.endswith(UNKNOWN_PARAMETER)


@pytest.mark.parametrize(("parameter", "value"), [("limit", 500), ("page", 7), ("search", "x")])
def test_the_parameters_of_a_list_keep_their_meaning_where_an_index_is_called_the_same(
    tartarus: Tartarus, key: str, parameter: str, value: Any
) -> None:
    tartarus.define(key, indexes=[parameter])
    tartarus.create(key, "one", {parameter: value})

    query = {"page": 1, "limit": 10, "search": "one"}
    answer = success(tartarus.configs(key, query))

    assert [each["config_key"] for each in answer["results"]] == ["one"]
    assert answer["meta"] == meta(1, 10, 1)


@pytest.mark.parametrize(
    "query",
    [
        "page=1&page=2",
        "n=1&n=2",
        "n",
        "=",
        "&&&",
        "%",
        "%FF=%FF",
        "n=%ED%A0%80",
        "n=%00",
        "search=%FF%FF%FF",
        "search=" + "a" * 3000,
        "sort_by=%00",
        "n=" + "[" * 2000,
        "n=1e99999",
        "n=-0",
        "n=" + "9" * 3000,
        "n=NaN",
    ],
)
def test_a_strange_query_is_never_the_servers_mistake(
    tartarus: Tartarus, still: str, query: str
) -> None:
    for path in (tartarus.path(), tartarus.path(still, "config")):
        answer = tartarus.http.get(f"{path}?{query}")
        assert answer.status_code in {200, 422}, answer.text
