"""Definitions: named JSON Schemas in numbered revisions, and the services that conform to them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from distributed_config.errors import (
    DefinitionExists,
    DefinitionInUse,
    DefinitionNotFound,
    Forbidden,
    Invalid,
    InvalidDocument,
    PreconditionFailed,
    Problem,
    RevisionNotFound,
)
from distributed_config.json_schema import covers, marks_all, marks_path, may_mark, properties_at
from distributed_config.models import (
    DefinitionRevisionRow,
    DefinitionRow,
    IndexRow,
)
from distributed_config.paths import ambiguous, may_lead_into
from distributed_config.services import conformance, evolution, indexes, secrets, versions
from distributed_config.services import journal as log
from distributed_config.services.actors import Realm
from distributed_config.services.conformance import Rule
from distributed_config.services.evolution import Proposal, Review
from distributed_config.services.journal import Journal
from distributed_config.services.permissions import READ_SECRET
from distributed_config.services.preconditions import Expect, Standing, anything
from distributed_config.services.stored import intact
from distributed_config.services.versions import Written
from distributed_config.wire import Document, stamp_of, version_etag

POLICIES = ("none", "backward", "forward", "full")
MOST_INDEXES = 32
MOST_POINTERS = 100
_LONGEST_POINTER = 500
_POINTER = re.compile(r"(?:/(?:[^~/\x00-\x1f\ud800-\udfff]|~[01])*)+")


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

    @property
    def stamp(self) -> str:
        """What its entity tag has of it."""
        return stamp_of(self.id, self.digest)

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
    _check(schema, paths)
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
    _check_expected(journal, before, expect)
    after = schema or before.document
    wanted_paths = before.indexes if paths is None else paths
    if schema is None:
        check_paths(after, wanted_paths)
    else:
        _check(after, wanted_paths)
    if not covers(after.text, before.schema):
        _require_to_unmark(journal, name)
    current: Review | None = None
    if after.digest != before.digest:
        current = evolution.renewed(journal, before.proposal(after), review)
        wanted = policy or before.policy
        breaks = evolution.breaks(current, wanted)
        if breaks and not forced:
            raise evolution.refusal(current, wanted, breaks)
        _add_revision(journal, before.id, before.number + 1, after, forced=bool(breaks))
        secrets.note_marks_of_all(journal.connection, before.id, after.text, journal.now)
        kind = log.DEFINITION_FORCED if breaks else log.DEFINITION_REVISED
        number = before.number + 1
        journal.record(kind, definition=name, number=number, digest=after.digest)
    settled = _settle(journal, before, policy, paths)
    changed = settled or current is not None
    if changed:
        journal.connection.execute(_TOUCH, {"which": before.id, "at": journal.now})
    after_all = require(journal.connection, journal.realm, name)
    return Revised(after_all, changed, current)


def _check_expected(journal: Journal, definition: Definition, expect: Expect) -> None:
    etag = version_etag(journal.epoch, definition.number, definition.stamp)
    if not expect(Standing(etag)):
        raise PreconditionFailed(definition.name, etag, "definition")


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
    _check_expected(journal, found, expect)
    services = conformance.services(journal.connection, found.id)
    if services and not cascade:
        raise DefinitionInUse(name, len(services), services[0][1])
    if services and cascade != "delete" and not covers("{}", found.schema):
        _require_to_unmark(journal, name)
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
    _refuse_another(before)
    conformance.bind(journal, service_id, service, definition.id)
    _refuse_marked_indexes(journal, definition, service_id)
    versions.admit_current(journal, service)
    journal.record(log.SERVICE_ATTACHED, service, definition=name)
    return True


def create_service(journal: Journal, service: str, document: Document, name: str) -> Written:
    """Makes a service that conforms to a definition from its first version on.

    Raises what ``versions.create`` does, and DefinitionNotFound.
    """
    definition = require(journal.connection, journal.realm, name)
    written = versions.create(journal, service, document, definition.id)
    _refuse_marked_indexes(journal, definition, written.service_id)
    journal.record(log.SERVICE_ATTACHED, service, definition=name)
    return written


def put_service(
    journal: Journal, service: str, document: Document, name: str, expect: Expect
) -> Written:
    """Creates a service that conforms to a definition, or makes it conform with a new version.

    Raises what ``versions.put`` does, and what ``attach`` does.
    """
    definition = require(journal.connection, journal.realm, name)
    found = versions.lookup(journal.connection, journal.realm, service)
    if found is None:
        if not expect(None):
            raise PreconditionFailed(service, None)
        return create_service(journal, service, document, name)
    before = conformance.rule_of(journal.connection, found)
    if before is not None and before.definition_id == definition.id:
        return versions.put(journal, service, document, expect)
    _refuse_another(before)
    # Judged before anything is marked: the tag that was read does not know of it.
    versions.check_expected(journal, service, expect)
    # What it marks must be known before the document is stored.
    conformance.bind(journal, found, service, definition.id)
    _refuse_marked_indexes(journal, definition, found)
    written = versions.put(journal, service, document)
    if not written.changed:
        versions.admit_current(journal, service)
    journal.record(log.SERVICE_ATTACHED, service, definition=name)
    return written


def detach(journal: Journal, service: str) -> bool:
    """Makes a service conform to nothing; whether it did conform to something."""
    service_id = versions.require(journal.connection, journal.realm, service)
    before = conformance.rule_of(journal.connection, service_id)
    if before is None:
        return False
    journal.actor.require(versions.PUBLISH)  # what holds it to a form is taken away
    if not covers("{}", before.schema):
        _require_to_unmark(journal, before.definition)
    conformance.release(journal.connection, service_id)
    journal.record(log.SERVICE_DETACHED, service, definition=before.definition)
    return True


def mark(journal: Journal, service: str, pointers: Sequence[str]) -> bool:
    """Makes exactly these places of a service's documents secret; whether that changed anything.

    Raises Invalid for pointers that cannot be, or lead to what is indexed, and Forbidden if one
    is taken away by an actor who may not read secrets.
    """
    service_id = versions.require(journal.connection, journal.realm, service)
    wanted = list(dict.fromkeys(pointers))
    before = marked(journal.connection, journal.realm, service)
    _refuse_pointers(wanted)
    if set(before) - set(wanted):
        journal.actor.require(READ_SECRET)
    if wanted == before:
        return False
    secrets.set_pointers(journal.connection, service_id, wanted, journal.now)
    rule = conformance.rule_of(journal.connection, service_id)
    if rule is not None:
        definition = require(journal.connection, journal.realm, rule.definition)
        _refuse_marked_indexes(journal, definition, service_id)
    journal.record(log.SERVICE_MARKED, service, about=", ".join(wanted)[:500])
    return True


def _refuse_pointers(pointers: Sequence[str]) -> None:
    problems = []
    for position, pointer in enumerate(pointers):
        if not _POINTER.fullmatch(pointer) or len(pointer) > _LONGEST_POINTER:
            message = (
                "A JSON pointer to a place inside the document is needed, as in /db/password or "
                f"/users/*/key, of at most {_LONGEST_POINTER} characters."
            )
            problems.append(Problem(f"/pointers/{position}", message, "pointer"))
    if len(pointers) > MOST_POINTERS:
        message = f"A service has at most {MOST_POINTERS} pointers."
        problems.append(Problem("/pointers", message, "limit"))
    if problems:
        raise Invalid.of(problems)


def marked(connection: Connection, realm: Realm, service: str) -> list[str]:
    """The pointers of a service's own to what is secret in it. Raises ServiceNotFound."""
    return secrets.pointers(connection, versions.require(connection, realm, service))


def _refuse_another(rule: Rule | None) -> None:
    if rule is not None:
        message = f"It conforms to the definition {rule.definition!r}; detach it from that first."
        raise Invalid.of([Problem("", message, "definition", "definition")])


def _refuse_marked_indexes(journal: Journal, definition: Definition, service_id: int) -> None:
    """Raises Invalid if a service's pointers mark what the definition has an index on."""
    own = [secrets.tokens_of(each) for each in secrets.pointers(journal.connection, service_id)]
    problems = [
        Problem("", f"{path!r} is indexed by {definition.name!r}, and cannot be secret.", "secret")
        for path in definition.indexes
        if any(may_lead_into(path, tokens) for tokens in own)
    ]
    if problems:
        raise Invalid.of(problems)


def _require_to_unmark(journal: Journal, definition: str) -> None:
    """What was stored before it was marked is in the clear: a mark hides it, until it is gone."""
    if not journal.actor.may(READ_SECRET):
        raise Forbidden(
            f"The definition {definition!r} marks secrets, and this would unmark some: that takes "
            f"{READ_SECRET}. Keep every x-secret, or ask who administers your organisation."
        )


def check_paths(schema: Document, paths: Sequence[str]) -> None:
    """Raises Invalid unless ``paths`` are different properties that ``schema`` has.

    A schema that says nothing at all may have any. None may be secret.
    """
    problems = faults_of_paths(schema.value, paths, schema.text)
    if problems:
        raise Invalid.of(problems)


def _check(schema: Document, paths: Sequence[str]) -> None:
    """The same, and raises InvalidDocument if ``schema`` marks a whole document as one secret."""
    marks = faults_of_marks(schema)
    if marks:
        raise InvalidDocument.of([*marks, *faults_of_paths(schema.value, paths, schema.text)])
    check_paths(schema, paths)


def faults_of_marks(schema: Document) -> list[Problem]:
    """That a schema marks the whole document as one secret, if it does."""
    if not may_mark(schema.text) or not marks_all(schema.text):
        return []
    message = "A document cannot be secret as a whole: mark what is in it."
    return [Problem("/schema/x-secret", message, "secret")]


def faults_of_paths(schema: dict[str, Any], paths: Sequence[str], text: str = "") -> list[Problem]:
    """What is wrong with ``paths`` as the indexes of ``schema``.

    Without its ``text``, as of a schema that cannot be stored, it is not asked what that marks.
    """
    problems = []
    for position, path in enumerate(paths):
        pointer = f"/indexes/{position}"
        if path in paths[:position]:
            problems.append(Problem(pointer, f"{path!r} is listed twice.", "repeated"))
        else:
            problems += _faults_of_path(schema, path, text, pointer)
    if len(paths) > MOST_INDEXES:
        message = f"A definition has at most {MOST_INDEXES} indexes."
        problems.append(Problem("/indexes", message, "limit"))
    return problems


def _faults_of_path(
    schema: dict[str, Any], path: str, text: str, pointer: str
) -> Iterator[Problem]:
    """What is wrong with one of them."""
    try:
        found = properties_at(schema, path)
    except Invalid as error:
        yield Problem(pointer, error.problems[0].message, error.problems[0].rule)
        return
    if len(found) > 1:
        yield Problem(pointer, ambiguous(path, found).problems[0].message, "ambiguous")
    elif schema and not found:
        message = f"{path!r} is not a property in the schema; write it as in 'db.host'."
        yield Problem(pointer, message, "index")
    elif may_mark(text) and any(marks_path(text, keys) for keys in found):
        message = f"{path!r} is marked as secret, and nothing is found by a secret."
        yield Problem(pointer, message, "secret")


# --- reading


def indexed_path(definition: Definition, path: str) -> str:
    """``path`` as the definition lists it, where it is another way to write one of its indexes.

    Raises Invalid for a path that cannot be read.
    """
    if path in definition.indexes:
        return path
    schema = definition.document.value
    wanted = properties_at(schema, path)
    same = [each for each in definition.indexes if properties_at(schema, each) == wanted]
    return same[0] if wanted and len(same) == 1 else path


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
    intact(row.schema, row.digest)
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
        if new:
            _refuse_indexes_on_marked(journal, before.name)
        _index_again(journal, before, new)
        changes.append(f"indexes {', '.join(paths) or 'none'}")
    if changes:
        note = journal.note or "; ".join(changes)
        journal.record(log.DEFINITION_CHANGED, definition=before.name, note=note)
    return bool(changes)


def _refuse_indexes_on_marked(journal: Journal, name: str) -> None:
    """Raises Invalid if the definition now has an index on what one of its services marks."""
    definition = require(journal.connection, journal.realm, name)
    for service_id in secrets.with_pointers(journal.connection, definition.id):
        _refuse_marked_indexes(journal, definition, service_id)


def _index_again(journal: Journal, definition: Definition, new: Sequence[str]) -> None:
    """Writes the entries of ``new`` indexes for every service of the definition."""
    known = indexes.paths_of(journal.connection, definition.id)
    paths = {path: known[path] for path in new}
    if not paths:
        return
    for service_id, service in conformance.services(journal.connection, definition.id):
        journal.allowance.count(changes=1)
        value = versions.current_value(journal.connection, service_id)
        indexes.write(journal.connection, service_id, service, paths, value)
