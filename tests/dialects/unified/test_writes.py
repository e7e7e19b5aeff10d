"""Writes: one key, a section, several sections, and what a write says besides."""

import json
from typing import Any

import pytest

from tests.dialects.unified.client import (
    ALL_SAVED,
    DELETED,
    NAMELESS,
    NOT_DELETED,
    SAVED,
    Unified,
    Updates,
    both_methods,
    faults,
    head,
    missing,
    refused,
    removed,
    same,
    saved,
    value,
)
from tests.support.server import JSON, Api

# --- set


@both_methods
def test_a_key_is_set_beside_the_others(unified: Unified, section: str, method: str) -> None:
    saved(unified.post(method, section=section, key="a", value=1))
    saved(unified.post(method, section=section, key="b", value={"c": [2]}))
    saved(unified.post(method, section=section, key="a", value="new"))

    assert value(unified.get(section)) == {"a": "new", "b": {"c": [2]}}


@both_methods
def test_values_replace_the_section(unified: Unified, section: str, method: str) -> None:
    saved(unified.post(method, section=section, values={"a": 1, "b": 2}))
    saved(unified.post(method, section=section, values={"b": 3, "c": 4}))

    assert value(unified.get(section)) == {"b": 3, "c": 4}


@both_methods
def test_a_key_wins_over_values(unified: Unified, section: str, method: str) -> None:
    unified.replace(section, {"a": 1})

    saved(unified.post(method, section=section, key="b", value=2, values={"c": 3}))

    assert value(unified.get(section)) == {"a": 1, "b": 2}


def test_names_of_small_letters_digits_and_dashes_are_taken(
    api: Api, unified: Unified, section: str
) -> None:
    for start in ("0", "_", "a_b-c", "0-9-", "z" * (200 - len(section))):
        name = start + section
        saved(unified.set(section, name, 1))
        saved(unified.set(name, "a", section))

        assert value(unified.get(section, key=name)) == 1
        assert api.get(name, version="current").json()["a"] == section
    saved(unified.set(section, "-", 1))
    saved(unified.set(section, "z" * 5_000, 1))


@pytest.mark.parametrize("name", NAMELESS, ids=repr)
def test_no_other_name_is_taken(api: Api, unified: Unified, section: str, name: Any) -> None:
    unified.set(section, "a", 1)
    before = head(api)

    refused(unified.set(name, "a", 2))
    refused(unified.replace(name, {"a": 2}))
    refused(unified.set(section, name, 2))
    if isinstance(name, str):
        refused(unified.replace(section, {"a": 2, name: 2}))
        refused(unified.bulk({section: {"a": 2, name: 2}}))
        refused(unified.bulk({section: {"a": 2}, name: {"a": 2}}))

    assert value(unified.get(section)) == {"a": 1}
    assert head(api) == before


@pytest.mark.parametrize("start", ["-", "z" * 200])
def test_a_section_is_taken_only_under_a_name_that_it_can_be_read_by_everywhere(
    api: Api, unified: Unified, section: str, start: str
) -> None:
    name = start + section

    for answer in (
        unified.set(name, "a", 1),
        unified.replace(name, {"a": 1}),
        unified.bulk({name: {"a": 1}}),
    ):
        readable = api.get(name, version="current").status_code == 200
        assert (answer.status_code == 200) == readable, answer.text
        if not readable:
            refused(answer)


@pytest.mark.parametrize(
    "body",
    [
        {"key": "a", "value": None},
        {"key": "a"},
        {"values": None},
        {"values": {"a": None}},
        {"values": {"b": 1, "a": None}},
        {},
    ],
    ids=json.dumps,
)
def test_what_is_null_or_missing_cannot_be_set(
    api: Api, unified: Unified, section: str, body: Any
) -> None:
    for method in ("POST", "PUT"):
        refused(unified.post(method, section=section, **body))
    missing(unified.get(section))
    unified.set(section, "a", 1)
    before = head(api)

    refused(unified.post(section=section, **body))
    refused(unified.post(**{"key": "a", "value": 1, **body}))

    assert value(unified.get(section)) == {"a": 1}
    assert head(api) == before


def test_a_section_that_is_a_list_takes_a_key_whole_or_not_at_all(
    unified: Unified, section: str
) -> None:
    unified.replace(section, [1, 2])

    answer = unified.set(section, "a", 1)

    if answer.status_code == 200:
        assert value(unified.get(section)) == {"a": 1}
    else:
        refused(answer)
        assert value(unified.get(section)) == [1, 2]
    saved(unified.replace(section, {"b": 2}))
    assert value(unified.get(section)) == {"b": 2}


# --- delete


def test_a_key_is_deleted_and_the_others_stay(unified: Unified, section: str) -> None:
    unified.replace(section, {"a": 1, "b": 0})

    removed(unified.delete(section, key="b"))

    missing(unified.get(section, key="b"))
    assert value(unified.get(section)) == {"a": 1}
    missing(unified.delete(section, key="b"), NOT_DELETED)


@pytest.mark.parametrize("given", [{"a": 1}, {}, [1]])
def test_a_section_is_deleted_whole(
    api: Api, unified: Unified, section: str, updates: Updates, given: Any
) -> None:
    unified.replace(section, given)
    unified.replace(section, {"c": 1})
    unified.replace(section, given)

    removed(unified.delete(section))

    missing(unified.get(section))
    missing(unified.get(section, key="a"))
    assert api.get(section, version="current").status_code == 404
    missing(unified.delete(section), NOT_DELETED)
    missing(unified.delete(section, key="a"), NOT_DELETED)


def test_what_is_not_there_cannot_be_deleted(api: Api, unified: Unified, section: str) -> None:
    missing(unified.delete(section), NOT_DELETED)
    missing(unified.delete(section, key="a"), NOT_DELETED)
    unified.set(section, "a", 1)
    before = head(api)

    for key in ("b", "A", "a ", "$"):
        missing(unified.delete(section, key=key), NOT_DELETED)

    assert value(unified.get(section)) == {"a": 1}
    assert head(api) == before


def test_a_section_without_keys_has_none_to_delete(unified: Unified, section: str) -> None:
    for given in ([1, 2], "text", 0):
        unified.replace(section, given)

        for key in ("0", "a", "$"):
            missing(unified.delete(section, key=key), NOT_DELETED)

        assert same(value(unified.get(section)), given)


def test_a_deleted_section_can_be_set_again_and_its_old_versions_are_still_there(
    api: Api, unified: Unified, section: str
) -> None:
    unified.replace(section, {"a": 1, "b": 1})
    removed(unified.delete(section))

    saved(unified.set(section, "c", 2))

    assert value(unified.get(section)) == {"c": 2}
    found = api.versions(section)
    assert [(each["document"], each["enabled"]) for each in found] == [
        ({"a": 1, "b": 1}, False),
        ({"c": 2}, True),
    ]
    removed(unified.delete(section))
    assert api.enable(section, 0, True).status_code == 200
    assert value(unified.get(section)) == {"a": 1, "b": 1}


# --- update_bulk


def test_keys_of_many_sections_are_merged(unified: Unified, section: str) -> None:
    one, two, three = (f"{section}-{i}" for i in range(3))
    unified.replace(one, {"a": 1, "b": {"deep": 1}})
    unified.replace(two, {"a": 1})

    saved_all = unified.bulk({one: {"b": {"new": 2}, "c": 3}, two: {"a": False}, three: {"x": 0}})

    assert saved_all.status_code == 200
    assert value(unified.get(one)) == {"a": 1, "b": {"new": 2}, "c": 3}
    assert same(value(unified.get(two)), {"a": False})
    assert value(unified.get(three)) == {"x": 0}


def test_a_bulk_update_is_one_revision(api: Api, unified: Unified, section: str) -> None:
    before = head(api)
    names = [f"{section}-{i}" for i in range(30)]

    assert unified.bulk({each: {"a": 1} for each in names}).status_code == 200

    changes = api.changes(before)
    assert {each["revision"] for each in changes} == {before + 1}
    written = [each["service"] for each in changes if each["kind"] == "version.created"]
    assert sorted(written) == sorted(names)


def test_an_empty_bulk_update_is_refused(unified: Unified) -> None:
    answer = unified.bulk({})

    assert answer.status_code == 400
    assert answer.json() == {"detail": "Empty configuration payload."}


@pytest.mark.parametrize(
    "part",
    [
        {"bad": None},
        {"bad": {"a": None}},
        {"bad": {"a": 1, "A": 1}},
        {"bad": {"": 1}},
        {"Bad": {"a": 1}},
        {"": {"a": 1}},
        {"bad": {"a": "\ud800"}},
        {"bad": {"a": "x" * (1 << 20)}},
        {"bad": {f"k{i}": i for i in range(10_001)}},
    ],
    ids=lambda part: str(part)[:30],
)
def test_one_invalid_part_of_a_bulk_update_and_nothing_is_written(
    api: Api, unified: Unified, section: str, part: dict[str, Any]
) -> None:
    unified.set(section, "a", 1)
    before = head(api)
    good = {section: {"a": 2}, f"{section}-new": {"a": 2}}

    for body in ({**part, **good}, {**good, **part}):
        content = json.dumps(body)
        refused(unified.http.put("/config/update_bulk", content=content, headers=JSON))

    assert value(unified.get(section)) == {"a": 1}
    missing(unified.get(f"{section}-new"))
    assert head(api) == before


def test_a_bulk_update_that_does_not_conform_is_told_of_every_key_of_every_section(
    api: Api, unified: Unified, section: str
) -> None:
    one, two, plain = f"{section}-1", f"{section}-2", f"{section}-3"
    api.define(f"{section}-def", {"properties": {"t": {"enum": ["a"]}, "n": {"type": "integer"}}})
    for each in (one, two):
        assert api.put(each, {"t": "a"}, definition=f"{section}-def").status_code == 200
    unified.replace(plain, [1])
    before = head(api)

    found = faults(unified.bulk({one: {"t": "x", "n": "y"}, plain: {"k": 1}, two: {"t": "z"}}))

    assert sorted(place for place, _ in found) == [
        ["body", one, "n"],
        ["body", one, "t"],
        ["body", two, "t"],
        ["body", plain],
    ]
    assert head(api) == before


def test_a_body_is_told_of_every_name_and_value_that_cannot_be(
    unified: Unified, section: str
) -> None:
    found = faults(unified.bulk({"A/b": {"a~": 1, "b": None}, f"-{section}": {}, section: None}))
    assert [place for place, _ in found] == [
        ["body", "A/b"],
        ["body", "A/b", "a~"],
        ["body", "A/b", "b"],
        ["body", f"-{section}"],
        ["body", section],
    ]
    found = faults(unified.post(section="A", key="B"))
    assert [place[1] for place, _ in found] == ["section", "key", "value"]


def test_no_more_sections_are_written_at_once_than_a_changeset_may_have(
    api: Api, unified: Unified, section: str
) -> None:
    before = head(api)

    [(place, message)] = faults(unified.bulk({f"{section}-{i}": {"a": 1} for i in range(501)}))

    assert place == ["body"]
    assert "500" in message
    assert "DISTCONF_CHANGESET_SERVICES" in message
    assert head(api) == before
    written = unified.bulk({f"{section}-{i}": {"a": 1} for i in range(500)})
    assert (written.status_code, written.json()) == (200, ALL_SAVED)


# --- what a write says besides


def writes(section: str) -> list[tuple[str, str, Any]]:
    """One write of each kind to a section that has a key ``a``: method, path and body."""
    return [
        ("POST", "/config/set", {"section": section, "key": "a", "value": 2}),
        ("PUT", "/config/set", {"section": section, "values": {"a": 3}}),
        ("PUT", "/config/update_bulk", {section: {"a": 4}}),
        ("DELETE", f"/config/delete?section={section}&key=a", None),
        ("DELETE", f"/config/delete?section={section}", None),
    ]


def test_a_rehearsal_answers_and_writes_nothing(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    before = head(api)

    for method, path, body in writes(section):
        target = path + ("&" if "?" in path else "?") + "dry_run=true"
        answer = unified.http.request(method, target, json=body)
        assert answer.json() in (SAVED, ALL_SAVED, DELETED)
        assert answer.headers["config-dry-run"] == "true"
        target = target.replace("true", "yes") + "&note=a&note=b"
        found = faults(unified.http.request(method, target, json=body))
        assert [place for place, _ in found] == [["query", "note"], ["query", "dry_run"]]

    assert head(api) == before
    assert value(unified.get(section)) == {"a": 1}


def test_a_note_is_kept_with_every_write(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    start = head(api)

    for number, (method, path, body) in enumerate(writes(section)):
        target = path if number % 2 else path + ("&" if "?" in path else "?") + f"note=n{number}"
        headers = {"Config-Note": f"n{number}"} if number % 2 else {}
        assert unified.http.request(method, target, json=body, headers=headers).status_code == 200

    found = [each["note"] for each in api.changes(start)]
    assert found == [f"n{number}" for number in range(5)]


def test_a_write_goes_on_only_from_the_version_that_it_names(
    api: Api, unified: Unified, section: str
) -> None:
    unified.set(section, "a", 0)
    old = api.get(section, version="current").headers["etag"]
    unified.set(section, "a", 1)

    for method, path, body in writes(section):
        before = head(api)
        for tag in ('"bogus"', old):
            answer = unified.http.request(method, path, json=body, headers={"If-Match": tag})
            if path == "/config/update_bulk":
                [(place, message)] = faults(answer)
                assert place == ["header", "If-Match"]
                assert "/api/v1/changesets" in message
            else:
                refused(answer, 412)
        assert head(api) == before
        now = api.get(section, version="current").headers["etag"]
        if path != "/config/update_bulk":
            answer = unified.http.request(method, path, json=body, headers={"If-Match": now})
            assert answer.status_code == 200, answer.text
            assert head(api) == before + 1
    new = {"section": section, "key": "a", "value": 1}
    refused(unified.http.put("/config/set", json=new, headers={"If-None-Match": "*"}), 412)
