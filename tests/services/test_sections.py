"""Services as sections of keys: what is stored, and the history of each key."""

from typing import Any

import pytest

from distributed_config.services import definitions, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.services.sections import changed, history, unwrapped, wrapped
from tests.support.database import Database, actor, document

APP = Series("app")


@pytest.mark.parametrize("value", [None, 5, "text", True, [], [1, {"a": 2}]])
def test_a_section_that_is_no_object_is_stored_as_one_and_read_back(value: Any) -> None:
    stored = wrapped(value)

    assert stored == {"$": value}
    assert unwrapped(stored) == value


@pytest.mark.parametrize("value", [{}, {"a": 1}, {"$": 1, "a": 2}])
def test_a_section_of_keys_is_stored_as_it_is(value: dict[str, Any]) -> None:
    assert wrapped(value) is value
    assert unwrapped(value) is value


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": 1}, {"a": 1.0}, {"a": 1.0}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": {"x": 1}}, {"a": {"x": 2}}, {"a": {"x": 2}}),
        ({"gone": 1, "a": 1}, {"b": 2, "a": 1}, {"gone": None, "b": 2}),
    ],
)
def test_changed_keys_are_those_with_another_text_in_json(
    before: dict[str, Any], after: dict[str, Any], keys: dict[str, Any]
) -> None:
    assert changed(before, after) == keys


def put(database: Database, value: Any, series: Series = APP) -> None:
    with database.transaction() as transaction:
        versions.put(transaction, series, document(wrapped(value)))


def keys_of(
    database: Database, section: str = "", key: str = "", by: Actor = LOCAL_OPERATOR
) -> list[tuple[str, str | None, Any]]:
    with database.reader(by) as reader:
        return [(one.section, one.key, one.value) for one in history(reader, section, key)]


def test_the_history_of_keys_is_newest_first(database: Database) -> None:
    put(database, {"a": 1, "b": 1})
    put(database, {"a": 2, "b": 1})
    put(database, {"a": 2})

    assert keys_of(database) == [
        ("app", "b", None),
        ("app", "a", 2),
        ("app", "b", 1),
        ("app", "a", 1),
    ]
    assert keys_of(database, key="a") == [("app", "a", 2), ("app", "a", 1)]


def test_the_history_tells_who_and_when(database: Database) -> None:
    put(database, {"a": 1})
    put(database, {"a": 2})

    with database.reader() as reader:
        newer, older = history(reader)
    assert (newer.actor, older.actor) == ("local operator", "local operator")
    assert newer.changed_at == older.changed_at + 1_000_000
    assert newer.revision == older.revision + 1


def test_only_the_named_section_is_told_of(database: Database) -> None:
    put(database, {"a": 1})
    put(database, {"a": 1}, Series("other"))

    assert {section for section, _, _ in keys_of(database)} == {"app", "other"}
    assert keys_of(database, "other") == [("other", "a", 1)]


def test_a_section_of_one_value_has_no_keys(database: Database) -> None:
    put(database, [1, 2])
    put(database, "text")

    assert keys_of(database) == [("app", None, "text"), ("app", None, [1, 2])]


def test_enabling_and_disabling_change_keys_as_writes_do(database: Database) -> None:
    put(database, {"a": 1})
    put(database, {"a": 2})
    with database.transaction() as transaction:
        versions.set_enabled(transaction, APP, 1, enabled=False)
    with database.transaction() as transaction:
        versions.disable_service(transaction, APP)

    assert keys_of(database)[:2] == [("app", None, None), ("app", "a", 1)]
    assert keys_of(database, key="a")[:2] == [("app", "a", None), ("app", "a", 1)]
    assert keys_of(database, key="b") == []


def test_of_a_deleted_section_only_the_deletion_is_known(database: Database) -> None:
    put(database, {"a": 1})
    with database.transaction() as transaction:
        versions.delete_with_versions(transaction, APP)

    assert keys_of(database) == [("app", None, None)]


def test_a_section_that_was_created_again_does_not_begin_with_what_was_before(
    database: Database,
) -> None:
    put(database, {"a": 1, "b": 1})
    with database.transaction() as transaction:
        versions.delete_with_versions(transaction, APP)
    put(database, {"a": 1})

    assert keys_of(database) == [("app", "a", 1), ("app", None, None)]


def test_the_history_shows_what_the_reader_may_see(database: Database) -> None:
    put(database, {"pin": "1234"})
    put(database, {"pin": "1234"}, Series("other"))
    with database.transaction() as transaction:
        definitions.set_secret_pointers(transaction, APP, ["/pin"])
    limited = actor("config:read", services=("app",))

    assert keys_of(database, by=limited) == [("app", "pin", "•••")]
