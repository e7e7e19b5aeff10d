"""What a write changes is checked before the lock is held, if it is too much to check under it."""

from collections.abc import Callable

import pytest

from distributed_config.errors import BreaksOthers
from distributed_config.services import changesets, definitions, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environment_changes, extensions, prechecks
from distributed_config.services.layers.prechecks import Precheck, TooManyToCheck
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.wire import Document
from tests.support.database import Database, document, schema
from tests.support.server import Server

BASE = Series("base")
NEW = document({"level": "warn"})


@pytest.fixture
def base(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A service with three that rest on it, where more than two are too many."""
    monkeypatch.setattr(prechecks, "AT_ONCE", 2)
    with database.transaction() as transaction:
        versions.put(transaction, BASE, document({"level": "info"}))
        for name in ("a", "b"):
            versions.put(transaction, Series(name), document({"use": {"$use": "base#/level"}}))
        versions.put(transaction, Series("other"), document({"n": 1}))
    return database


def put(database: Database, new: Document, found: Precheck | None = None) -> None:
    with database.transaction() as transaction:
        transaction.prechecks = {} if found is None else {found.series: found}
        versions.put(transaction, BASE, new)


def precheck(database: Database, new: Document = NEW) -> Precheck:
    with pytest.raises(TooManyToCheck) as refused:
        put(database, new)
    with database.reader() as reader:
        head = read_head(reader.connection)
        return prechecks.check(reader.connection, LOCAL_OPERATOR, head, refused.value)


def test_what_was_checked_before_is_written(base: Database) -> None:
    found = precheck(base)

    put(base, NEW, found)

    with base.reader() as reader:
        assert versions.current(reader, BASE).text == NEW.text
    assert {impact.service for impact in found.impact} == {"base", "a", "b"}


def test_without_another_way_everything_is_checked_under_the_lock(base: Database) -> None:
    with base.transaction() as transaction:
        versions.put(transaction, BASE, NEW)
    with pytest.raises(BreaksOthers), base.transaction() as transaction:
        versions.put(transaction, BASE, document({}))


def test_a_precheck_refuses_what_the_write_would_break(base: Database) -> None:
    with pytest.raises(BreaksOthers, match="'a' in 'default'"):
        precheck(base, document({"other": 1}))


def test_a_precheck_is_of_one_document(base: Database) -> None:
    found = precheck(base)

    with pytest.raises(TooManyToCheck):
        put(base, document({"level": "debug"}), found)


def change_a_dependent(transaction: Transaction) -> None:
    versions.put(transaction, Series("a"), document({"n": 1, "use": {"$use": "base#/level"}}))


def add_a_dependent(transaction: Transaction) -> None:
    versions.put(transaction, Series("c"), document({"use": {"$use": "base#/level"}}))


def extend(transaction: Transaction) -> None:
    extensions.set_extends(transaction, "other", ["base"])


def define(transaction: Transaction) -> None:
    definitions.create(transaction, "d", schema({}), "none", [])


def attach(transaction: Transaction) -> None:
    definitions.create(transaction, "d", schema({}), "none", [])
    definitions.attach(transaction, Series("b"), "d")


def add_an_environment(transaction: Transaction) -> None:
    environment_changes.create(transaction, "prod")


@pytest.mark.parametrize(
    "change", [change_a_dependent, add_a_dependent, extend, define, attach, add_an_environment]
)
def test_a_precheck_holds_no_longer_once_anything_changed_that_it_rests_on(
    base: Database, change: Callable[[Transaction], None]
) -> None:
    found = precheck(base)
    with base.transaction() as transaction:
        change(transaction)

    with pytest.raises(TooManyToCheck):
        put(base, NEW, found)
    put(base, NEW, precheck(base))


def test_a_precheck_holds_after_a_change_of_something_else(base: Database) -> None:
    found = precheck(base)
    with base.transaction() as transaction:
        versions.put(transaction, Series("other"), document({"n": 2}))

    put(base, NEW, found)


def test_over_http_more_than_a_thousand_documents_are_checked_and_told_as_a_number(
    own_server: Server,
) -> None:
    # Of its own: with references in it, other tests of the shared server would see their impact.
    api = own_server.api
    api.http.put("/config", params={"service": "base"}, json={"level": "info"})
    for start in range(0, 1_200, 400):
        changes = [
            {"service": f"rests/{number}", "document": {"use": {"$use": "base#/level"}}}
            for number in range(start, start + 400)
        ]
        response = api.http.post("/api/v1/changesets", json={"changes": changes})
        assert response.status_code == 200

    dry = {"service": "base", "dry_run": "true"}
    rehearsed = api.http.put("/config", params=dry, json={"level": "warn"}).json()
    refused = api.http.put("/config", params={"service": "base"}, json={"n": 1})
    written = api.http.put("/config", params={"service": "base"}, json={"level": "warn"})

    assert (len(rehearsed["impact"]), rehearsed["impact_more"]) == (100, 1_101)
    assert refused.status_code == 422
    assert "and 1197 more" in refused.json()["detail"]
    assert written.status_code == 200
    query = {"service": "rests/7", "version": "current", "resolved": "true"}
    assert api.http.get("/config", params=query).json() == {"use": "warn"}


def test_several_writes_are_checked_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as transaction:
        for name in ("one", "two"):
            versions.put(transaction, Series(name), document({"level": "info"}))
        versions.put(transaction, Series("both"), document({}))
        extensions.set_extends(transaction, "both", ["one", "two"])
        for name in ("a", "b"):
            versions.put(transaction, Series(name), document({"use": {"$use": "both#/level"}}))
    monkeypatch.setattr(prechecks, "AT_ONCE", 2)
    # Each of them alone would leave what the other one has.
    without = [("one", document({})), ("two", document({}))]

    with pytest.raises(BreaksOthers):
        import_with_prechecks(database, without)


def import_with_prechecks(database: Database, documents: list[tuple[str, Document]]) -> None:
    with database.transaction() as transaction:
        transaction.prechecks = {}
        changesets.import_all(transaction, documents)
