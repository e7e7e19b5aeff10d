"""Definitions: named JSON Schemas in numbered revisions, and the services that conform to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from distributed_config.errors import (
    DefinitionExists,
    DefinitionInUse,
    DefinitionNotFound,
    DocumentDamaged,
    Invalid,
    PreconditionFailed,
    Problem,
    RevisionNotFound,
)
from distributed_config.json_schema import declares
from distributed_config.models import (
    DefinitionRevisionRow,
    DefinitionRow,
    IndexRow,
)
from distributed_config.services import conformance, evolution, indexes, versions
from distributed_config.services import journal as log
from distributed_config.services.actors import Realm
from distributed_config.services.evolution import Proposal, Review
from distributed_config.services.journal import Journal
from distributed_config.services.versions import Expect, anything
from distributed_config.wire import Document, digest_of, version_etag

POLICIES = ("none", "backward", "forward", "full")
MOST_INDEXES = 32


@dataclass(frozen=True)
class Definition:
    """A definition at one of its revisions. ``changed_at`` is of the whole definition."""

    id: int
    name: str
    policy: str
    indexes: tuple[str, ...]
    services: int
    number: int
    digest: str
    author: str
    note: str
    forced: bool
    created_at: int
    changed_at: int
    revised_at: int
    schema: str

    @property
    def document(self) -> Document:
        """The schema as it is stored."""
        return Document(self.schema, self.digest)

    def proposal(self, schema: Document) -> Proposal:
        """``schema`` in place of this revision's."""
        return Proposal(self.id, self.number, self.document, schema)


@dataclass(frozen=True)
class Revised:
    """What a revision did. ``review`` is None where the schema stayed as it was."""

    definition: Definition
    changed: bool
    review: Review | None = None


# --- writing


def create(
    journal: Journal, name: str, schema: Document, policy: str, paths: Sequence[str]
) -> Definition:
    """Makes the definition ``name`` with ``schema`` as revision 0. Raises DefinitionExists."""
    journal.actor.require("definition:write")
    if lookup(journal.connection, journal.realm, name) is not None:
        raise DefinitionExists(name)
    check_paths(schema.value, paths)
    definition_id = journal.connection.execute(
        insert(DefinitionRow).returning(DefinitionRow.id),
        {
            "organisation_id": journal.organisation,
            "name": name,
            "policy": policy,
            "created_at": journal.now,
            "changed_at": journal.now,
        },
    ).scalar_one()
    indexes.set_paths(journal.connection, definition_id, paths)
    _add_revision(journal, definition_id, 0, schema, forced=False)
    journal.record(log.DEFINITION_CREATED, definition=name, number=0, digest=schema.digest)
    return require(journal.connection, journal.realm, name)


def revise(
    journal: Journal,
    name: str,
    *,
    schema: Document | None = None,
    policy: str | None = None,
    paths: Sequence[str] | None = None,
    review: Review | None = None,
    forced: bool = False,
    expect: Expect = anything,
) -> Revised:
    """Gives the definition another schema, policy or indexes; what is None stays.

    ``review`` tells what the schema would do, from before the write lock was held; what changed
    since is looked at again. Raises BreakingRevision if it would break what its policy protects,
    or a current document, unless it is ``forced``; the journal then says so. Raises
    DefinitionNotFound or PreconditionFailed.
    """
    journal.actor.require("definition:write")
    journal.actor.require_whole()
    if forced and not journal.note:
        message = "Who forces a revision says why: give a note."
        raise Invalid.of([Problem("", message, "note", "note")])
    before = require(journal.connection, journal.realm, name)
    etag = version_etag(journal.epoch, before.number, before.digest)
    if not expect(etag):
        raise PreconditionFailed(name, etag, "definition")
    after = schema or before.document
    check_paths(after.value, before.indexes if paths is None else paths)
    current: Review | None = None
    if after.digest != before.digest:
        current = evolution.renewed(journal, before.proposal(after), review)
        wanted = policy or before.policy
        breaks = evolution.breaks(current, wanted)
        if breaks and not forced:
            raise evolution.refusal(current, wanted, breaks)
        _add_revision(journal, before.id, before.number + 1, after, forced=bool(breaks))
        kind = log.DEFINITION_FORCED if breaks else log.DEFINITION_REVISED
        number = before.number + 1
        journal.record(kind, definition=name, number=number, digest=after.digest)
    settled = _settle(journal, before, policy, paths)
    changed = settled or current is not None
    if changed:
        journal.connection.execute(_TOUCH, {"which": before.id, "at": journal.now})
    after_all = require(journal.connection, journal.realm, name)
    return Revised(after_all, changed, current)


def exists(journal: Journal, name: str, expect: Expect) -> bool:
    """Whether there is such a definition. Raises PreconditionFailed if one was expected."""
    if lookup(journal.connection, journal.realm, name) is not None:
        return True
    if not expect(None):
        raise PreconditionFailed(name, None, "definition")
    return False


def remove(journal: Journal, name: str, cascade: str = "", expect: Expect = anything) -> list[str]:
    """Deletes the definition; the services that conformed to it.

    ``cascade`` says what becomes of them: ``detach`` or ``delete``; without it DefinitionInUse is
    raised if there are any.
    """
    journal.actor.require("definition:write")
    journal.actor.require_whole()
    found = require(journal.connection, journal.realm, name)
    etag = version_etag(journal.epoch, found.number, found.digest)
    if not expect(etag):
        raise PreconditionFailed(name, etag, "definition")
    services = conformance.services(journal.connection, found.id)
    if services and not cascade:
        raise DefinitionInUse(name, len(services), services[0][1])
    for service_id, service in services:
        if cascade == "delete":
            versions.retire(journal, service)
        else:
            journal.actor.require(versions.PUBLISH)
            conformance.release(journal.connection, service_id)
            journal.record(log.SERVICE_DETACHED, service, definition=name)
    for rows in (IndexRow.definition_id, DefinitionRevisionRow.definition_id, DefinitionRow.id):
        journal.connection.execute(delete(rows.class_).where(rows == found.id))
    journal.record(log.DEFINITION_DELETED, definition=name, number=found.number)
    return [service for _, service in services]


def attach(journal: Journal, service: str, name: str) -> bool:
    """Makes a service conform to a definition; whether it did not already.

    Raises NotConforming if what is current does not, and Invalid if the service conforms to
    another definition.
    """
    definition = require(journal.connection, journal.realm, name)
    service_id = versions.require(journal.connection, journal.realm, service)
    before = conformance.rule_of(journal.connection, service_id)
    if before is not None and before.definition_id == definition.id:
        return False
    if before is not None:
        message = f"It conforms to the definition {before.definition!r}; detach it from that first."
        raise Invalid.of([Problem("", message, "definition", "definition")])
    conformance.bind(journal, service_id, service, definition.id)
    versions.admit_current(journal, service)
    journal.record(log.SERVICE_ATTACHED, service, definition=name)
    return True


def detach(journal: Journal, service: str) -> bool:
    """Makes a service conform to nothing; whether it did conform to something."""
    service_id = versions.require(journal.connection, journal.realm, service)
    before = conformance.rule_of(journal.connection, service_id)
    if before is None:
        return False
    journal.actor.require(versions.PUBLISH)  # what holds it to a form is taken away
    conformance.release(journal.connection, service_id)
    journal.record(log.SERVICE_DETACHED, service, definition=before.definition)
    return True


def check_paths(schema: dict[str, Any], paths: Sequence[str]) -> None:
    """Raises Invalid unless ``paths`` are different properties that ``schema`` has.

    A schema that says nothing at all may have any.
    """
    problems = []
    for position, path in enumerate(paths):
        pointer = f"/indexes/{position}"
        if path in paths[:position]:
            problems.append(Problem(pointer, f"{path!r} is listed twice.", "repeated"))
        elif schema and not declares(schema, path):
            message = f"{path!r} is not a property in the schema; write it as in 'db.host'."
            problems.append(Problem(pointer, message, "index"))
    if len(paths) > MOST_INDEXES:
        message = f"A definition has at most {MOST_INDEXES} indexes."
        problems.append(Problem("/indexes", message, "limit"))
    if problems:
        raise Invalid.of(problems)


# --- reading


def require(
    connection: Connection, realm: Realm, name: str, number: int | None = None
) -> Definition:
    """The definition at revision ``number``, or at its newest.

    Raises DefinitionNotFound or RevisionNotFound.
    """
    found = lookup(connection, realm, name, number)
    if found is not None:
        return found
    if number is None or lookup(connection, realm, name) is None:
        raise DefinitionNotFound(name)
    raise RevisionNotFound(name, number)


def lookup(
    connection: Connection, realm: Realm, name: str, number: int | None = None
) -> Definition | None:
    """The same, or None where there is none."""
    if number is None:
        query = _newest(realm)
    else:
        query = _every_revision().where(
            DefinitionRow.organisation_id == realm.organisation,
            DefinitionRevisionRow.number == number,
        )
    row = connection.execute(query.where(DefinitionRow.name == name)).one_or_none()
    return None if row is None else _definition(connection, realm, row)


def of_service(connection: Connection, realm: Realm, service: str) -> Definition | None:
    """The definition that a service conforms to, at its newest revision."""
    service_id = versions.require(connection, realm, service)
    rule = conformance.rule_of(connection, service_id)
    return None if rule is None else require(connection, realm, rule.definition)


def definitions(
    connection: Connection,
    realm: Realm,
    *,
    after: str = "",
    limit: int,
    search: str = "",
) -> list[Definition]:
    """The definitions behind the name ``after``, by name; ``search`` is a part of the name."""
    query = _newest(realm).where(DefinitionRow.name > after)
    if search:
        query = query.where(DefinitionRow.name.icontains(search, autoescape=True))
    rows = connection.execute(query.order_by(DefinitionRow.name).limit(limit))
    return [_definition(connection, realm, row) for row in rows.all()]


def page(
    connection: Connection,
    realm: Realm,
    *,
    by: Literal["name", "created", "changed"],
    descending: bool,
    search: str,
    offset: int,
    limit: int,
) -> tuple[list[Definition], int]:
    """One page of the definitions in another order than ``definitions`` has, and how many match.

    Those whose names have a ``/`` are left out.
    """
    columns = {
        "name": DefinitionRow.name,
        "created": DefinitionRow.created_at,
        "changed": DefinitionRow.changed_at,
    }
    order = [columns[by], DefinitionRow.name]
    query = _newest(realm).where(~DefinitionRow.name.contains("/"))
    if search:
        query = query.where(DefinitionRow.name.icontains(search, autoescape=True))
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    directed = [each.desc() if descending else each for each in order]
    rows = connection.execute(query.order_by(*directed).offset(offset).limit(limit))
    return [_definition(connection, realm, row) for row in rows.all()], total


def revisions(
    connection: Connection, realm: Realm, name: str, *, before: int | None, limit: int
) -> list[Definition]:
    """The revisions below number ``before``, newest first."""
    found = require(connection, realm, name)
    query = _every_revision().where(DefinitionRow.id == found.id)
    if before is not None:
        query = query.where(DefinitionRevisionRow.number < before)
    rows = connection.execute(query.order_by(DefinitionRevisionRow.number.desc()).limit(limit))
    return [_definition(connection, realm, row) for row in rows.all()]


# --- inside


_TOUCH = (
    update(DefinitionRow)
    .where(DefinitionRow.id == bindparam("which"))
    .values(changed_at=bindparam("at"))
)


def _every_revision() -> Select[*tuple[Any, ...]]:
    return select(
        DefinitionRow.id,
        DefinitionRow.name,
        DefinitionRow.policy,
        DefinitionRow.created_at,
        DefinitionRow.changed_at,
        DefinitionRevisionRow.number,
        DefinitionRevisionRow.digest,
        DefinitionRevisionRow.author,
        DefinitionRevisionRow.note,
        DefinitionRevisionRow.forced,
        DefinitionRevisionRow.created_at.label("revised_at"),
        DefinitionRevisionRow.schema,
    ).join(DefinitionRevisionRow, DefinitionRevisionRow.definition_id == DefinitionRow.id)


def _newest(realm: Realm) -> Select[*tuple[Any, ...]]:
    """Definitions at their newest revisions."""
    newest = (
        select(func.max(DefinitionRevisionRow.number))
        .where(DefinitionRevisionRow.definition_id == DefinitionRow.id)
        .correlate(DefinitionRow)
        .scalar_subquery()
    )
    return _every_revision().where(
        DefinitionRow.organisation_id == realm.organisation, DefinitionRevisionRow.number == newest
    )


def _definition(connection: Connection, realm: Realm, row: Any) -> Definition:
    if digest_of(row.schema) != row.digest:
        raise DocumentDamaged()
    paths = tuple(indexes.paths_of(connection, row.id))
    services = conformance.count(connection, row.id, realm)
    return Definition(indexes=paths, services=services, **row._mapping)


def _add_revision(
    journal: Journal, definition_id: int, number: int, schema: Document, *, forced: bool
) -> None:
    journal.connection.execute(
        insert(DefinitionRevisionRow),
        {
            "definition_id": definition_id,
            "number": number,
            "digest": schema.digest,
            "author": journal.actor.name,
            "note": journal.note,
            "forced": forced,
            "created_at": journal.now,
            "revision": journal.revision,
            "schema": schema.text,
        },
    )


def _settle(
    journal: Journal, before: Definition, policy: str | None, paths: Sequence[str] | None
) -> bool:
    """Gives the definition another policy and indexes; whether these are others."""
    changes = []
    if policy is not None and policy != before.policy:
        row = update(DefinitionRow).where(DefinitionRow.id == before.id)
        journal.connection.execute(row.values(policy=policy))
        changes.append(f"policy {policy}")
    if paths is not None and tuple(paths) != before.indexes:
        new = indexes.set_paths(journal.connection, before.id, paths)
        _index_again(journal, before, new)
        changes.append(f"indexes {', '.join(paths) or 'none'}")
    if changes:
        note = journal.note or "; ".join(changes)
        journal.record(log.DEFINITION_CHANGED, definition=before.name, note=note)
    return bool(changes)


def _index_again(journal: Journal, definition: Definition, new: Sequence[str]) -> None:
    """Writes the entries of ``new`` indexes for every service of the definition."""
    known = indexes.paths_of(journal.connection, definition.id)
    paths = {path: known[path] for path in new}
    if not paths:
        return
    for service_id, service in conformance.services(journal.connection, definition.id):
        value = versions.current_value(journal.connection, service_id)
        indexes.write(journal.connection, service_id, service, paths, value)
