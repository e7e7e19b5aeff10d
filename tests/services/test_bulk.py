"""Everything at once, out and in: exports, and the documents of an import."""

import hashlib
from typing import Any

import pytest

from distributed_config.errors import InvalidDocument
from distributed_config.services import bulk, definitions, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.wire import Document
from tests.support.database import LIMITS, Database, actor, document, parsed

READER = actor("config:read")


@pytest.fixture
def services(database: Database) -> Database:
    with database.transaction() as transaction:
        for name in ("team/b", "team/a", "Team/c", "off"):
            versions.put(transaction, Series(name), document({"name": name}))
        versions.put(transaction, Series("team/a"), document({"name": "team/a", "n": 1}))
        versions.disable_service(transaction, Series("off"))
    return database


def exported(database: Database, prefix: str = "", by: Actor = LOCAL_OPERATOR) -> dict[str, Any]:
    with database.reader(by) as reader:
        return {name: parsed(one.text) for name, one in bulk.export(reader, prefix)}


def test_an_export_has_the_current_documents_by_name(services: Database) -> None:
    everything = exported(services)

    assert list(everything) == ["Team/c", "team/a", "team/b"]
    assert everything["team/a"] == {"name": "team/a", "n": 1}


def test_a_service_without_a_current_version_is_left_out(services: Database) -> None:
    assert "off" not in exported(services)


def test_a_prefix_is_a_beginning_in_the_same_case(services: Database) -> None:
    assert list(exported(services, "team/")) == ["team/a", "team/b"]
    assert exported(services, "eam") == {}
    assert exported(services, "team/_") == {}


def test_an_export_has_only_what_the_reader_may_see(services: Database) -> None:
    limited = actor("config:read", services=("team/a", "Team/"))

    assert list(exported(services, by=limited)) == ["Team/c", "team/a"]


def test_secrets_are_masked_for_those_who_may_not_read_them(services: Database) -> None:
    with services.transaction() as transaction:
        definitions.set_secret_pointers(transaction, Series("team/a"), ["/name"])
        versions.put(transaction, Series("team/a"), document({"name": "hidden"}))

    assert exported(services)["team/a"] == {"name": "hidden"}
    assert exported(services, by=READER)["team/a"] == {"name": "•••"}


@pytest.mark.parametrize("by", [LOCAL_OPERATOR, READER])
def test_every_digest_is_that_of_the_text_beside_it(services: Database, by: Actor) -> None:
    with services.transaction() as transaction:
        definitions.set_secret_pointers(transaction, Series("team/a"), ["/name"])
        versions.put(transaction, Series("team/a"), document({"name": "hidden"}))

    with services.reader(by) as reader:
        for _, one in bulk.export(reader):
            assert one.digest == hashlib.sha256(one.text.encode()).hexdigest()


# --- the documents of an import


def problems_of(value: Any, name: str) -> list[tuple[str, str]]:
    result = dict(bulk.documents_of(value, LIMITS))[name]
    assert isinstance(result, InvalidDocument)
    return [(problem.pointer, problem.rule) for problem in result.problems]


def test_the_documents_of_an_import_are_in_its_order() -> None:
    result = bulk.documents_of({"b": {"n": 1}, "a": {}}, LIMITS)

    assert [name for name, _ in result] == ["b", "a"]
    assert all(isinstance(one, Document) for _, one in result)


@pytest.mark.parametrize("value", [[], "text", None, 5])
def test_an_import_is_an_object(value: Any) -> None:
    with pytest.raises(InvalidDocument):
        bulk.documents_of(value, LIMITS)


def test_a_document_that_is_no_object_is_reported_in_its_place() -> None:
    assert problems_of({"a": 5, "b": {}}, "a") == [("", "type")]


def test_a_bad_name_is_reported_beside_what_is_wrong_with_the_document() -> None:
    pointers = problems_of({"/bad": {"x": float("inf")}}, "/bad")

    assert len(pointers) == 2
    assert {pointer for pointer, _ in pointers} == {"", "/x"}
