"""Reads: a value, a section, all of them, and the history."""

import json
import tomllib
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.dialects.unified.client import (
    EVERYTHING,
    VALUES,
    Apart,
    Unified,
    Updates,
    documents,
    entries,
    keys_and_values,
    missing,
    refused,
    removed,
    same,
    saved,
    value,
)
from tests.support.server import Api, Server

# --- get


@pytest.mark.parametrize("given", VALUES, ids=json.dumps)
def test_every_value_comes_back_as_itself(
    unified: Unified, section: str, updates: Updates, given: Any
) -> None:
    saved(unified.set(section, "a", given))

    assert same(value(unified.get(section, key="a")), given)
    assert same(value(unified.get(section)), {"a": given})
    assert same(keys_and_values(unified.history(section)), [("a", given)])
    assert same(updates.received(), [{f"{section}:a": given}])


@pytest.mark.parametrize("given", [False, 0, "", [], -1.5, [None, [False, {}]]])
def test_a_section_that_is_a_list_or_a_plain_value_comes_back_as_itself(
    api: Api, unified: Unified, section: str, updates: Updates, given: Any
) -> None:
    saved(unified.replace(section, given))

    assert same(value(unified.get(section)), given)
    assert same([each["new_value"] for each in entries(unified.history(section))], [given])
    [configs] = updates.received()
    assert same(list(configs.values()), [given])
    assert next(iter(configs)).partition(":")[0] == section
    [document] = documents(api, section)
    assert same(list(document.values()), [given])


def test_what_is_not_there_is_not_found(unified: Unified, section: str) -> None:
    missing(unified.get(section))
    missing(unified.get(section, key="a"))
    unified.replace(section, {"a": {"b": 1}})
    missing(unified.get(section, key="b"))
    missing(unified.get(section, key="A"))
    unified.replace(section, [1, 2])
    for key in ("$", "0", "a"):
        missing(unified.get(section, key=key))


def test_what_is_asked_for_must_be_named(unified: Unified) -> None:
    refused(unified.http.get("/config/get"))
    refused(unified.http.get("/config/get", params={"key": "a"}))
    answer = unified.http.delete("/config/delete", params={"key": "a"})
    assert answer.status_code in {404, 422}


def test_nobody_reads_what_was_before_an_acknowledged_set(
    server: Server, unified: Unified, section: str
) -> None:
    with ExitStack() as held:
        readers = [held.enter_context(closing(Api(server.url))) for _ in range(4)]
        for number in range(10):
            saved(unified.set(section, "n", number))
            for reader in readers:
                assert value(Unified(reader).get(section, key="n")) == number


# --- export


@pytest.mark.parametrize("query", [{}, {"format": "json"}])
def test_everything_is_exported_as_one_object(apart: Apart, query: Any) -> None:
    exported = value(apart.unified.export(**query))

    assert same(dict(sorted(exported.items())), EVERYTHING)


@pytest.mark.parametrize("name", ["yaml", "yml"])
def test_everything_is_exported_as_yaml(apart: Apart, name: str) -> None:
    answer = apart.unified.export(format=name)

    assert answer.status_code == 200
    exported = YAML(typ="safe", pure=True).load(answer.text)
    assert same(dict(sorted(exported.items())), EVERYTHING)


def test_everything_is_exported_as_toml(apart: Apart) -> None:
    answer = apart.unified.export(format="toml")

    assert answer.status_code == 200
    assert same(dict(sorted(tomllib.loads(answer.text).items())), EVERYTHING)


def test_nothing_is_exported_in_another_format(apart: Apart) -> None:
    for name in ("xml", "env", "properties", "", "json ", "\x00", "é"):
        answer = apart.unified.export(format=name)

        assert answer.status_code == 400
        assert answer.json() == {
            "detail": "Unsupported format. Choose 'json', 'yaml', or 'toml'.",
        }


def test_every_export_is_in_the_audit_log(apart: Apart) -> None:
    for name, format_ in (("json", "json"), ("yml", "yaml"), ("toml", "toml")):
        assert apart.unified.export(format=name).status_code == 200

        query = {"kind": "export", "limit": 1}
        [entry] = apart.api.http.get("/api/v1/audit", params=query).json()["entries"]

        facts = {"prefix": "", "format": format_, "services": len(EVERYTHING)}
        assert (entry["actor"], entry["detail"]) == ("local operator", facts)


def test_what_is_not_current_is_not_exported(apart: Apart) -> None:
    there = apart.unified
    there.set("back", "a", 1)
    there.set("back", "b", 2)
    there.set("again", "a", 1)
    there.set("again", "a", 2)

    apart.api.enable("back", 1, False)
    apart.api.http.post("/api/v1/rollback", params={"service": "again", "to": 0})
    exported = value(there.export())
    assert (exported["back"], exported["again"]) == ({"a": 1}, {"a": 1})

    apart.api.enable("back", 0, False)
    removed(there.delete("again"))
    assert set(value(there.export())) == set(EVERYTHING)


# --- history


def test_the_history_is_newest_first_and_says_when_and_who(
    api: Api, unified: Unified, section: str
) -> None:
    began = datetime.now(UTC)
    unified.set(section, "a", 1)
    unified.set(section, "b", [2])
    unified.set(section, "a", "three")

    found = entries(unified.history(section))

    shown = [(each["section"], each["key"], each["new_value"]) for each in found]
    assert shown == [(section, "a", "three"), (section, "b", [2]), (section, "a", 1)]
    times = [datetime.fromisoformat(each["timestamp"]) for each in found]
    assert began <= times[2] <= times[1] <= times[0] <= datetime.now(UTC)
    authors = [each["author"] for each in api.versions(section)]
    assert [each["updated_by"] for each in found] == authors
    assert all(authors)


def test_deletions_are_in_the_history_as_null(unified: Unified, section: str) -> None:
    unified.replace(section, {"a": 1})
    unified.set(section, "b", 2)
    unified.delete(section, key="a")
    unified.delete(section)

    found = keys_and_values(unified.history(section))

    assert [each for _, each in found] == [None, None, 2, 1]
    assert [key for key, _ in found[1:]] == ["a", "b", "a"]


def test_a_replaced_section_is_in_the_history_key_by_key(unified: Unified, section: str) -> None:
    unified.replace(section, {"a": 1, "b": 2})
    unified.replace(section, {"b": 3, "c": 4})

    found = keys_and_values(unified.history(section))

    assert sorted(found[:3], key=str) == [("a", None), ("b", 3), ("c", 4)]
    assert sorted(found[3:]) == [("a", 1), ("b", 2)]


def test_the_history_comes_in_pages(unified: Unified, section: str) -> None:
    for number in range(7):
        unified.set(section, "n", number)

    def page(**query: int) -> list[int]:
        body = value(unified.history(section, **query))
        assert body["total_count"] == 7
        return [each["new_value"] for each in body["data"]]

    assert page(limit=3) == [6, 5, 4]
    assert page(limit=3, offset=3) == [3, 2, 1]
    assert page(limit=3, offset=6) == [0]
    assert page(limit=1, offset=7) == []
    assert page(limit=100, offset=5) == [1, 0]
    assert page(offset=10_000) == []


def test_a_page_of_the_history_has_at_most_a_hundred_entries(
    unified: Unified, section: str
) -> None:
    unified.bulk({section: {f"k{i}": i for i in range(120)}})

    body = value(unified.history(section, limit=100))

    assert (body["total_count"], len(body["data"])) == (120, 100)
    rest = value(unified.history(section, limit=100, offset=100))["data"]
    assert {each["key"] for each in body["data"] + rest} == {f"k{i}" for i in range(120)}
    assert len(value(unified.history(section))["data"]) <= 100


def test_a_page_that_cannot_be_is_refused(unified: Unified) -> None:
    for limit in (0, 101, -1, "x", "", "1.0", "٣", "9" * 5_000):
        refused(unified.history(limit=limit))
    for offset in (-1, "x", "", "1.5", "9" * 5_000):
        refused(unified.history(offset=offset))


def test_the_history_of_everything_is_of_all_sections_newest_first(apart: Apart) -> None:
    body = value(apart.unified.history(limit=100))

    assert body["total_count"] == len(body["data"])
    sections = [each["section"] for each in body["data"]]
    assert set(sections) >= {"falsy", "list", "no", "number", "text", "web"}
    assert sections.index("gone") < sections.index("web")
    times = [datetime.fromisoformat(each["timestamp"]) for each in body["data"]]
    assert all(later >= earlier for later, earlier in pairwise(times))


def test_the_history_of_one_key_holds_nothing_else(unified: Unified, section: str) -> None:
    key = f"k{section}"
    unified.replace(section, {key: 1, "b": 1})
    unified.set(section, "b", 2)
    unified.replace(f"{section}-2", {key: 3, "b": 3})
    unified.delete(section, key=key)

    assert keys_and_values(unified.history(section, key=key)) == [(key, None), (key, 1)]
    everywhere = entries(unified.history(key=key))
    shown = [(each["section"], each["new_value"]) for each in everywhere if each["key"]]
    assert shown == [(section, None), (f"{section}-2", 3), (section, 1)]
    assert entries(unified.history(section, key="c")) == []
    assert entries(unified.history(section[:-1])) == []


def test_a_key_that_never_was_has_no_history(unified: Unified, section: str) -> None:
    never = f"never-{section}"
    unified.replace(section, {"a": 1})
    unified.delete(section)

    unified.replace(f"{section}-2", [1])

    assert entries(unified.history(section, key=never)) == []
    assert entries(unified.history(f"{section}-2", key=never)) == []
    assert entries(unified.history(key=never)) == []


def test_what_the_core_writes_is_in_the_history(api: Api, unified: Unified, section: str) -> None:
    api.put(section, {"a": 1})
    api.patch(section, {"a": 2})
    api.http.post("/api/v1/rollback", params={"service": section, "to": 0})

    assert keys_and_values(unified.history(section)) == [("a", 1), ("a", 2), ("a", 1)]
