"""Configurations, which are services like any other."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.dialects.tartarus.client import (
    SCHEMA,
    Answer,
    Tartarus,
    at_once,
    failure,
    invalid,
    keys_of,
    results,
    services,
    success,
)
from tests.support.server import Api

pytestmark = pytest.mark.many


# --- configurations


def test_a_configuration_is_created_read_replaced_and_deleted(
    tartarus: Tartarus, defined: str
) -> None:
    before = datetime.now(UTC)
    first = {"n": 1, "db": {"host": "ä"}, "extra": [1, 2.5, None, {"x": "😀"}]}
    assert success(tartarus.create(defined, "one", first), 201) == first
    after = datetime.now(UTC)

    shown = success(tartarus.read(defined, "one"))
    assert set(shown) == {"config_key", "data", "created_at", "modified_at"}
    assert (shown["config_key"], shown["data"]) == ("one", first)
    assert before <= datetime.fromisoformat(shown["created_at"]) <= after
    assert shown["modified_at"] == shown["created_at"]

    assert success(tartarus.update(defined, "one", {"n": 2})) == {"n": 2}
    replaced = success(tartarus.read(defined, "one"))
    assert (replaced["data"], replaced["created_at"]) == ({"n": 2}, shown["created_at"])
    assert datetime.fromisoformat(replaced["modified_at"]) > datetime.fromisoformat(
        shown["modified_at"]
    )

    gone = {"config_definition_key": defined, "config_key": "one"}
    assert success(tartarus.delete(defined, "one")) == gone
    messages = failure(tartarus.read(defined, "one"), 404, "not_found_error")
    assert messages == ["Configuration not found with 'one'!"]
    assert keys_of(tartarus.configs(defined, {"n": "2"})) == []


def test_large_numbers_come_back_as_they_went(tartarus: Tartarus, free: str) -> None:
    data = {"n": 10**400 + 1, "m": -(10**30), "f": 0.1}

    assert success(tartarus.create(free, "one", data), 201) == data

    assert success(tartarus.read(free, "one"))["data"] == data
    assert keys_of(tartarus.configs(free, {"n": str(10**400 + 1)})) == ["one"]
    assert keys_of(tartarus.configs(free, {"n": str(10**400)})) == []


def test_a_configuration_that_is_there_is_not_created_again(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})

    messages = failure(tartarus.create(free, "one", {"n": 2}), 409, "conflict_error")

    assert messages == ["Config already exists with 'one'!"]
    assert success(tartarus.read(free, "one"))["data"] == {"n": 1}


def test_a_configuration_that_is_not_there_is_not_found(tartarus: Tartarus, free: str) -> None:
    for answer in (
        tartarus.read(free, "one"),
        tartarus.update(free, "one", {"n": 1}),
        tartarus.delete(free, "one"),
    ):
        messages = failure(answer, 404, "not_found_error")
        assert messages == ["Configuration not found with 'one'!"]
    assert keys_of(tartarus.configs(free)) == []


def test_a_configuration_of_another_definition_is_not_found(tartarus: Tartarus, free: str) -> None:
    other = f"{free}_2"
    tartarus.define(other)
    tartarus.create(other, "one", {"n": 1})

    assert tartarus.read(free, "one").status_code == 404
    assert tartarus.delete(free, "one").status_code == 404
    assert keys_of(tartarus.configs(free)) == []
    assert keys_of(tartarus.configs(other)) == ["one"]


def test_empty_data_is_refused(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})

    for answer in (tartarus.create(free, "two", {}), tartarus.update(free, "one", {})):
        [message] = invalid(answer)
        assert message.endswith("! Configuration data must be provided.")

    assert keys_of(tartarus.configs(free)) == ["one"]
    assert success(tartarus.read(free, "one"))["data"] == {"n": 1}


@pytest.mark.parametrize("data", [{"n": "1"}, {"tier": "gold"}, {"n": 1, "db": {"host": 1}}])
def test_data_that_does_not_conform_is_refused(
    tartarus: Tartarus, defined: str, data: dict[str, Any]
) -> None:
    tartarus.create(defined, "one", {"n": 1})

    invalid(tartarus.create(defined, "two", data))
    invalid(tartarus.update(defined, "one", data))

    assert success(tartarus.read(defined, "one"))["data"] == {"n": 1}
    assert keys_of(tartarus.configs(defined)) == ["one"]
    assert tartarus.read(defined, "two").status_code == 404


def test_a_deleted_configuration_leaves_its_key_free(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": 1})
    tartarus.update(free, "one", {"n": 2})
    success(tartarus.delete(free, "one"))

    success(tartarus.create(free, "one", {"n": 3}), 201)

    assert success(tartarus.read(free, "one"))["data"] == {"n": 3}
    assert [each["number"] for each in api.versions(f"{free}/one")] == [0]


# --- configurations are services


def test_a_configuration_is_a_service_with_versions(
    api: Api, tartarus: Tartarus, defined: str
) -> None:
    service = f"{defined}/one"
    tartarus.create(defined, "one", {"n": 1, "tier": "ü"})
    assert api.get(service).text == '{"n": 1, "tier": "ü"}'

    tartarus.update(defined, "one", {"n": 2})

    assert api.get(service, version="current").json() == {"n": 2}
    assert json.loads(api.get(service).json()["0"]) == {"n": 1, "tier": "ü"}
    found = [(each["number"], each["document"]) for each in api.versions(service)]
    assert found == [(0, {"n": 1, "tier": "ü"}), (1, {"n": 2})]


def test_the_journal_tells_what_was_done_here(api: Api, tartarus: Tartarus, key: str) -> None:
    start = api.changes()[-1:]
    after = start[0]["revision"] if start else 0
    tartarus.define(key, indexes=["n"])
    tartarus.create(key, "one", {"n": 1})
    tartarus.update(key, "one", {"n": 2})
    tartarus.redefine(key, indexes=[])
    tartarus.delete(key, "one")
    tartarus.create(key, "two", {"n": 1})
    tartarus.undefine(key)

    changes = api.changes(after)

    assert [each["kind"] for each in changes] == [
        "definition.created",
        "service.created",
        "version.created",
        "service.attached",
        "version.created",
        "definition.changed",
        "service.deleted",
        "service.created",
        "version.created",
        "service.attached",
        "service.deleted",
        "definition.deleted",
    ]
    assert {each["service"] for each in changes} == {None, f"{key}/one", f"{key}/two"}
    revisions = [each["revision"] - after for each in changes]
    assert revisions == [1, 2, 2, 2, 3, 4, 5, 6, 6, 6, 7, 7]


def test_a_refusal_leaves_no_trace_in_the_journal(
    api: Api, tartarus: Tartarus, defined: str
) -> None:
    tartarus.create(defined, "one", {"n": 1})
    revision = api.changes()[-1]["revision"]

    tartarus.create(defined, "one", {"n": 1})
    tartarus.create(defined, "two", {"n": "x"})
    tartarus.update(defined, "one", {"n": "x"})
    tartarus.update(defined, "two", {"n": 1})
    tartarus.delete(defined, "two")
    tartarus.define(defined)
    tartarus.redefine(defined, indexes=["unknown"])

    assert api.changes(revision) == []
    assert services(api, f"{defined}/") == [f"{defined}/one"]


def test_a_roll_back_shows_here(api: Api, tartarus: Tartarus, defined: str) -> None:
    tartarus.create(defined, "one", {"n": 1})
    tartarus.update(defined, "one", {"n": 2})
    before = success(tartarus.read(defined, "one"))

    back = api.http.post("/api/v1/rollback", params={"service": f"{defined}/one", "to": 0})

    assert back.status_code == 200
    shown = success(tartarus.read(defined, "one"))
    assert (shown["data"], shown["created_at"]) == ({"n": 1}, before["created_at"])
    assert datetime.fromisoformat(shown["modified_at"]) > datetime.fromisoformat(
        before["modified_at"]
    )
    [listed] = results(tartarus.configs(defined, {"n": "1"}))
    assert listed == shown
    assert keys_of(tartarus.configs(defined, {"n": "2"})) == []
    assert keys_of(tartarus.configs(defined, {"modified_at": shown["modified_at"]})) == ["one"]


def test_what_is_written_at_config_shows_here(api: Api, tartarus: Tartarus, defined: str) -> None:
    service = f"{defined}/one"
    tartarus.create(defined, "one", {"n": 1})

    merge = {"Content-Type": "application/merge-patch+json"}
    assert api.patch(service, {"tier": "gold"}, headers=merge).status_code == 200
    assert success(tartarus.read(defined, "one"))["data"] == {"n": 1, "tier": "gold"}
    api.enable(service, 1, False)
    assert success(tartarus.read(defined, "one"))["data"] == {"n": 1}
    assert keys_of(tartarus.configs(defined, {"tier": "gold"})) == []


def test_the_schema_holds_at_config_as_well(api: Api, tartarus: Tartarus, defined: str) -> None:
    service = f"{defined}/one"
    tartarus.create(defined, "one", {"n": 1})
    merge = {"Content-Type": "application/merge-patch+json"}

    for refused in (
        api.put(service, {"n": "text"}),
        api.patch(service, {"tier": "gold"}),
        api.patch(service, {"n": None}, headers=merge),
        api.http.post(
            "/api/v1/changesets",
            json={"changes": [{"service": service, "document": {"n": 1.5}}]},
        ),
    ):
        assert refused.status_code == 422, refused.text

    assert api.get(service).json() == {"n": 1}
    assert success(tartarus.read(defined, "one"))["data"] == {"n": 1}


def test_nobody_rolls_back_to_what_conforms_no_more(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": "text"})
    tartarus.update(free, "one", {"n": 1})
    success(tartarus.redefine(free, indexes=["n"], json_schema=SCHEMA))
    service = f"{free}/one"

    back = api.http.post("/api/v1/rollback", params={"service": service, "to": 0})

    assert back.status_code == 422
    assert api.enable(service, 1, False).status_code == 422
    assert success(tartarus.read(free, "one"))["data"] == {"n": 1}


def test_a_configuration_of_which_nothing_is_enabled_counts_as_little_as_it_shows(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    for config in ("one", "two", "three"):
        tartarus.create(free, config, {"n": 1})
    assert api.enable(f"{free}/two", 0, False).json()["current"] is None

    for query in ({}, {"search": "two"}, {"limit": 1}, {"limit": 1, "page": 2}):
        answer = success(tartarus.configs(free, query))
        everything = success(tartarus.configs(free, {**query, "limit": 100, "page": 1}))
        assert answer["meta"]["total"] == len(everything["results"])
        assert answer["results"] or not everything["results"]


def test_a_configuration_of_which_nothing_is_enabled_is_not_both_missing_and_in_the_way(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": 1})
    api.enable(f"{free}/one", 0, False)

    missing = tartarus.delete(free, "one").status_code == 404
    taken = tartarus.create(free, "one", {"n": 2}).status_code == 409

    assert not (missing and taken)


def test_a_list_shows_only_what_can_be_read_under_its_key(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": 1})
    for tail in ("deep/er", "x.y", "ab"):
        assert api.put(f"{free}/{tail}", {"n": 1}, definition=free).status_code == 200

    listed = success(tartarus.configs(free))

    assert len(listed["results"]) == listed["meta"]["total"]
    for each in listed["results"]:
        assert success(tartarus.read(free, each["config_key"])) == each


@pytest.mark.parametrize(
    "data", [{"service": "another"}, {"service": 1}, {"n": 1, "deep": {"service": "another"}}]
)
def test_data_is_taken_here_exactly_if_it_can_also_be_exported_and_imported(
    api: Api, tartarus: Tartarus, free: str, data: dict[str, Any]
) -> None:
    created = tartarus.create(free, "one", data)
    exported = {f"{free}/one": data}
    if created.status_code == 201:
        answer = api.http.get("/api/v1/export", params={"prefix": f"{free}/"})
        assert answer.json() == exported

    imported = api.http.post("/api/v1/import", json=exported)

    assert (created.status_code == 201) == (imported.status_code == 200), imported.text


# --- many at once


def test_of_sixteen_creations_of_one_definition_exactly_one_wins(
    tartarus: Tartarus, key: str
) -> None:
    answers = at_once(16, lambda i: tartarus.define(key, indexes=[f"by{i}"]))

    [won] = [i for i, answer in enumerate(answers) if answer.status_code == 201]
    for i, answer in enumerate(answers):
        if i != won:
            messages = failure(answer, 409, "conflict_error")
            assert messages == [f"Definition already exists with '{key}'!"]
    assert success(tartarus.definition(key))["indexes"] == [f"by{won}"]
    assert success(tartarus.definitions(search=key))["meta"]["total"] == 1


def test_of_sixteen_creations_of_one_configuration_exactly_one_wins(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    answers = at_once(16, lambda i: tartarus.create(free, "one", {"n": i}))

    [won] = [i for i, answer in enumerate(answers) if answer.status_code == 201]
    for i, answer in enumerate(answers):
        if i != won:
            messages = failure(answer, 409, "conflict_error")
            assert messages == ["Config already exists with 'one'!"]
    assert success(tartarus.read(free, "one"))["data"] == {"n": won}
    assert [each["document"] for each in api.versions(f"{free}/one")] == [{"n": won}]
    assert success(tartarus.configs(free))["meta"]["total"] == 1


def test_sixteen_updates_at_once_are_sixteen_versions(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": -1})

    answers = at_once(16, lambda i: tartarus.update(free, "one", {"n": i}))

    for i, answer in enumerate(answers):
        assert success(answer) == {"n": i}
    stored = [each["document"]["n"] for each in api.versions(f"{free}/one")]
    assert sorted(stored) == list(range(-1, 16))
    assert success(tartarus.read(free, "one"))["data"] == {"n": stored[-1]}
    assert keys_of(tartarus.configs(free, {"n": str(stored[-1])})) == ["one"]


def test_of_eight_deletions_exactly_one_wins(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})
    configs = at_once(8, lambda _: tartarus.delete(free, "one"))
    definitions = at_once(8, lambda _: tartarus.undefine(free))

    for answers in (configs, definitions):
        assert sorted(answer.status_code for answer in answers) == [200] + [404] * 7


def test_a_definition_that_goes_while_configurations_come_leaves_none_behind(
    api: Api, tartarus: Tartarus, key: str
) -> None:
    for round_ in range(5):
        name = f"{key}_{round_}"
        tartarus.define(name, indexes=["n"])

        def one(i: int, name: str = name) -> Answer:
            if i == 5:
                return tartarus.undefine(name)
            return tartarus.create(name, f"config{i}", {"n": i})

        answers = at_once(10, one)

        assert answers[5].status_code == 200
        assert {answer.status_code for answer in answers} <= {200, 201, 404}
        assert services(api, f"{name}/") == []


def test_nobody_reads_what_was_before_an_acknowledged_update(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": -1})
    readers = [Api(api.url) for _ in range(6)]
    try:
        for number in range(15):
            success(tartarus.update(free, "one", {"n": number}))
            for reader in readers:
                other = Tartarus(reader)
                assert success(other.read(free, "one"))["data"] == {"n": number}
                assert keys_of(other.configs(free, {"n": str(number)})) == ["one"]
    finally:
        for reader in readers:
            reader.close()
