"""A document that is not what its digest says is never served, shown or used, by any verb."""

from collections.abc import Callable
from typing import Any

import pytest

from distributed_config.errors import DocumentDamaged
from distributed_config.services import bulk, definitions, event_documents, sections, versions
from distributed_config.services.conformance import rules
from distributed_config.services.definitions.review import review
from distributed_config.services.documents.load import each_current, load_current
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.changes import read_changes
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.reader import Reader
from tests.support.database import LIMITS, Database, document, parsed, schema

WEB = Series("web")


@pytest.fixture
def damaged(database: Database) -> Database:
    """A service of the definition ``d`` whose current version, number 1, is damaged."""
    with database.transaction() as transaction:
        definitions.create(transaction, "d", schema({"properties": {"n": {}}}), "none", ["n"])
        for number in (0, 1):
            versions.put(transaction, WEB, document({"n": number}))
        definitions.attach(transaction, WEB, "d")
    database.damage(WEB, 1)
    return database


def service_id(reader: Reader) -> int:
    return versions.require(reader, WEB)


def review_another_schema(reader: Reader) -> Any:
    proposal = definitions.require(reader, "d").proposal(schema({"required": ["n"]}))
    return review(reader.connection, proposal, reader.visibility)


READS: dict[str, Callable[[Reader], Any]] = {
    "current": lambda reader: versions.current(reader, WEB),
    "numbered": lambda reader: versions.numbered(reader, WEB, 1),
    "stored": lambda reader: versions.stored(reader, WEB, 1),
    "all existing": lambda reader: versions.all_existing(reader, WEB, 1_000),
    "history": lambda reader: versions.history(reader, WEB, before=None, limit=5, documents=True),
    "as of revision": lambda reader: versions.as_of_revision(reader, WEB, 1),
    "as of time": lambda reader: versions.as_of_time(reader, WEB, 2**62),
    "value for indexes": lambda reader: versions.current_value(
        reader.connection, service_id(reader), WEB
    ),
    "load": lambda reader: load_current(reader.connection, service_id(reader), "default"),
    "load each": lambda reader: list(each_current(reader)),
    "export": lambda reader: list(bulk.export(reader)),
    "configurations": lambda reader: rules.configurations(reader, [service_id(reader)]),
    "sections": sections.history,
    "review": review_another_schema,
}


@pytest.mark.parametrize("verb", READS)
def test_no_verb_that_reads_gives_out_a_damaged_document(damaged: Database, verb: str) -> None:
    with damaged.reader() as reader, pytest.raises(DocumentDamaged):
        READS[verb](reader)


WRITES: dict[str, Callable[[Transaction], Any]] = {
    "merge": lambda transaction: versions.merge(transaction, WEB, {"m": 1}, LIMITS),
    "patch": lambda transaction: versions.patch(transaction, WEB, [], LIMITS),
    "roll back": lambda transaction: versions.roll_back(transaction, WEB, 1),
}


@pytest.mark.parametrize("verb", WRITES)
def test_no_verb_that_writes_builds_on_a_damaged_document(damaged: Database, verb: str) -> None:
    with pytest.raises(DocumentDamaged), damaged.transaction() as transaction:
        WRITES[verb](transaction)


def test_versions_beside_it_are_served(damaged: Database) -> None:
    with damaged.reader() as reader:
        assert parsed(versions.numbered(reader, WEB, 0).text) == {"n": 0}
        history = versions.history(reader, WEB, before=None, limit=5, documents=False)
        assert [version.number for version in history] == [1, 0]


def test_an_event_comes_without_its_damaged_document(damaged: Database) -> None:
    with damaged.reader() as reader:
        changes = read_changes(reader.connection, LOCAL_OPERATOR, after=0, limit=50)
        keys = [key for key in map(event_documents.version_key, changes) if key is not None]
        assert sorted(key[-1] for key in keys) == [0, 1]
        assert [key[-1] for key in event_documents.documents(reader.connection, keys)] == [0]


def test_another_version_repairs_the_service(damaged: Database) -> None:
    with damaged.transaction() as transaction:
        written = versions.append(transaction, WEB, document({"n": 5}))
    assert written.removed == ()
    with damaged.reader() as reader:
        assert parsed(versions.current(reader, WEB).text) == {"n": 5}
