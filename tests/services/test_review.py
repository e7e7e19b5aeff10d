"""The review of a new schema finds every document that it would break, and only those."""

from typing import Any

import pytest

from distributed_config.errors import BreakingRevision, Forbidden, Invalid
from distributed_config.services import definitions, versions
from distributed_config.services.definitions.review import (
    Proposal,
    Review,
    refresh,
    review,
    to_error,
    violations,
)
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from tests.support.database import Database, actor, document, schema

PIN = {"x-secret": True}
SCHEMA = {"properties": {"port": {"type": "integer"}, "pin": PIN}}
NARROWER = {"properties": {"port": {"type": "integer", "maximum": 9}, "pin": PIN}}
STRICT_PIN = {"properties": {"port": {"type": "integer"}, "pin": {**PIN, "minLength": 4}}}


@pytest.fixture
def ports(database: Database) -> Database:
    """The definition ``ports`` with three services, of which c has nothing current."""
    with database.transaction() as transaction:
        definitions.create(transaction, "ports", schema(SCHEMA), "backward", [])
        for name, port in (("a", 1), ("b", 2), ("c", 3)):
            definitions.create_service(transaction, Series(name), document({"port": port}), "ports")
        versions.disable_service(transaction, Series("c"))
    return database


def put(database: Database, name: str, value: dict[str, Any]) -> None:
    with database.transaction() as transaction:
        versions.put(transaction, Series(name), document(value))


def proposal(database: Database, new: dict[str, Any]) -> Proposal:
    with database.reader() as reader:
        return definitions.require(reader, "ports").proposal(schema(new))


def reviewed(database: Database, new: dict[str, Any], by: Actor = LOCAL_OPERATOR) -> Review:
    with database.reader(by) as reader:
        change = definitions.require(reader, "ports").proposal(schema(new))
        return review(reader.connection, change, reader.visibility)


def test_documents_that_would_not_conform_are_found_by_their_services(ports: Database) -> None:
    put(ports, "b", {"port": 10})

    result = reviewed(ports, NARROWER)

    assert (list(result.unfit), result.checked) == (["b"], 3)
    unfit = result.unfit["b"]
    assert unfit.number == 1
    assert [(fault.pointer, fault.rule) for fault in unfit.problems] == [("/port", "maximum")]
    assert result.compatibility.backward is False


def test_only_ten_problems_of_a_document_are_kept(ports: Database) -> None:
    put(ports, "a", {f"k{i}": i for i in range(12)})

    result = reviewed(ports, {"additionalProperties": {"type": "string"}})

    assert len(result.unfit["a"].problems) == 10


def test_what_changed_since_is_checked_again_and_nothing_else(ports: Database) -> None:
    put(ports, "a", {"port": 10})
    before = reviewed(ports, NARROWER)
    put(ports, "a", {"port": 1})
    put(ports, "b", {"port": 11})

    with ports.transaction() as transaction:
        result = refresh(transaction, before.proposal, before)

    assert list(before.unfit) == ["a"]
    assert list(result.unfit) == ["b"]


def test_a_document_that_did_not_change_is_not_read_again(ports: Database) -> None:
    before = reviewed(ports, NARROWER)
    ports.damage(Series("a"), 0)

    with ports.transaction() as transaction:
        assert refresh(transaction, before.proposal, before) == before


def test_a_review_of_another_proposal_does_not_count(ports: Database) -> None:
    put(ports, "a", {"port": 10})
    before = reviewed(ports, SCHEMA)

    with ports.transaction() as transaction:
        result = refresh(transaction, proposal(ports, NARROWER), before)

    assert list(result.unfit) == ["a"]


@pytest.mark.parametrize(
    ("policy", "new", "rules"),
    [
        ("none", NARROWER, []),
        ("backward", NARROWER, ["backward"]),
        ("forward", NARROWER, []),
        ("full", NARROWER, ["backward"]),
        ("backward", {}, []),
        ("forward", {}, ["forward"]),
    ],
)
def test_a_policy_forbids_what_its_side_breaks(
    ports: Database, policy: str, new: dict[str, Any], rules: list[str]
) -> None:
    result = reviewed(ports, new)

    found = violations(result, policy)
    assert sorted({problem.rule for problem in found}) == rules
    assert all(problem.pointer.startswith("/schema") for problem in found)


def test_the_error_names_documents_and_policy(ports: Database) -> None:
    put(ports, "a", {"port": 10})
    result = reviewed(ports, NARROWER)

    error = to_error(result, "backward", violations(result, "backward"))

    assert "1 of 3 current documents would not conform" in error.detail
    assert "is not backward compatible, as the policy 'backward' asks" in error.detail
    assert error.problems[0].message.startswith("'a', version 1: ")
    assert error.problems[0].rule == "conformance"


def test_problems_inside_a_secret_are_for_those_who_may_read_it(ports: Database) -> None:
    put(ports, "a", {"pin": "123"})
    reader_of_secrets = actor("config:read", "config:read-secret", "definition:read")
    other = actor("config:read", "definition:read")

    assert list(reviewed(ports, STRICT_PIN, reader_of_secrets).unfit) == ["a"]
    assert list(reviewed(ports, STRICT_PIN, other).unfit) == []


def test_a_breaking_revision_is_refused_unless_it_is_forced_with_a_note(ports: Database) -> None:
    put(ports, "a", {"port": 10})

    with pytest.raises(BreakingRevision), ports.transaction() as transaction:
        definitions.revise(transaction, "ports", schema=schema(NARROWER))
    with pytest.raises(Invalid, match="needs a note"), ports.transaction() as transaction:
        definitions.revise(transaction, "ports", schema=schema(NARROWER), forced=True)
    with ports.transaction(note="on purpose") as transaction:
        result = definitions.revise(transaction, "ports", schema=schema(NARROWER), forced=True)

    assert (result.changed, result.definition.number, result.definition.forced) == (True, 1, True)


def test_forcing_what_breaks_nothing_is_a_plain_revision(ports: Database) -> None:
    wider = {**SCHEMA, "title": "Ports"}
    with ports.transaction(note="to be sure") as transaction:
        result = definitions.revise(transaction, "ports", schema=schema(wider), forced=True)

    assert (result.changed, result.definition.forced) == (True, False)


def test_unmarking_takes_the_right_to_read_secrets(ports: Database) -> None:
    writer = actor("config:read", "definition:read", "definition:write")
    unmarked = schema({"properties": {"port": {"type": "integer"}}})

    with pytest.raises(Forbidden, match="x-secret"), ports.transaction(writer) as transaction:
        definitions.revise(transaction, "ports", schema=unmarked)
