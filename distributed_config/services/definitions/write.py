"""Definitions created, revised and deleted."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, update

from distributed_config.errors import (
    DefinitionExists,
    DefinitionInUse,
    Invalid,
    PreconditionFailed,
    Problem,
)
from distributed_config.json_schema import covers
from distributed_config.models import DefinitionRevisionRow, DefinitionRow, IndexRow
from distributed_config.services import secrets, versions
from distributed_config.services.conformance import index_keys, rules
from distributed_config.services.definitions import review as evolution
from distributed_config.services.definitions.limits import check_limits, check_paths
from distributed_config.services.definitions.read import Definition, lookup, require
from distributed_config.services.definitions.review import Review
from distributed_config.services.definitions.secret_pointers import (
    refuse_indexes_on_marked,
    require_to_unmark,
)
from distributed_config.services.documents.preconditions import (
    Precondition,
    Standing,
    no_precondition,
)
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.wire import Document, version_etag

POLICIES = ("none", "backward", "forward", "full")


@dataclass(frozen=True)
class RevisionResult:
    """The outcome of a revision. ``review`` is None where the schema stayed as it was."""

    definition: Definition
    changed: bool
    review: Review | None = None


def create(
    transaction: Transaction,
    name: str,
    schema: Document,
    policy: str,
    paths: Sequence[str],
    *,
    applies_to: str = rules.RESOLVED,
) -> Definition:
    """Create the definition ``name`` with ``schema`` as revision 0.

    ``paths`` are its indexes; ``applies_to`` is as in ``Definition``. Raises DefinitionExists,
    Invalid or InvalidDocument.
    """
    transaction.actor.require("definition:write")
    if lookup(transaction.reader, name) is not None:
        raise DefinitionExists(name)
    check_limits(schema, paths)
    definition_id = transaction.connection.execute(
        insert(DefinitionRow).returning(DefinitionRow.id),
        {
            "organisation_id": transaction.organisation,
            "name": name,
            "policy": policy,
            "applies_to": applies_to,
            "created_at": transaction.now,
            "changed_at": transaction.now,
        },
    ).scalar_one()
    index_keys.set_paths(transaction.connection, definition_id, paths)
    _add_revision(transaction, definition_id, 0, schema, forced=False)
    transaction.record(
        ChangeKind.DEFINITION_CREATED, definition=name, number=0, digest=schema.digest
    )
    return require(transaction.reader, name)


def revise(
    transaction: Transaction,
    name: str,
    *,
    schema: Document | None = None,
    policy: str | None = None,
    paths: Sequence[str] | None = None,
    applies_to: str | None = None,
    review: Review | None = None,
    forced: bool = False,
    expect: Precondition = no_precondition,
) -> RevisionResult:
    """Give the definition another schema, policy or indexes, or make it apply to other documents.

    What is None stays.

    ``review`` is one of this schema from before the write lock was held. Raises BreakingRevision
    if the schema would break what the policy protects, or a current document, unless it is
    ``forced``; the journal then says so, and has the required note. Raises DefinitionNotFound,
    PreconditionFailed, Invalid, InvalidDocument or Forbidden.
    """
    transaction.actor.require("definition:write")
    # A revision concerns every service of the definition, those that the actor cannot see as well.
    transaction.actor.require_unrestricted()
    if forced and not transaction.note:
        message = "A forced revision needs a note that says why."
        raise Invalid.from_problems([Problem("", message, "note", "note")])
    before = require(transaction.reader, name)
    _check_expected(transaction, before, expect)
    after = schema or before.document
    new_paths = before.indexes if paths is None else paths
    if schema is None:
        check_paths(after, new_paths)
    else:
        check_limits(after, new_paths)
    if not covers(after.text, before.schema):
        require_to_unmark(transaction, name)
    renewed: Review | None = None
    proposal = before.proposal(after, applies_to)
    if after.digest != before.digest:
        renewed = evolution.refresh(transaction, proposal, review)
        _revise_schema(transaction, before, after, renewed, policy or before.policy, forced=forced)
    elif proposal.applies_to != before.applies_to:
        _require_fit(evolution.refresh(transaction, proposal, None), forced=forced)
    changed = _update_settings(transaction, before, policy, paths) or renewed is not None
    changed = _apply_to(transaction, before, proposal.applies_to) or changed
    if changed:
        transaction.connection.execute(_TOUCH, {"which": before.id, "at": transaction.now})
    return RevisionResult(require(transaction.reader, name), changed, renewed)


def _require_fit(review: Review, *, forced: bool) -> None:
    """Raise BreakingRevision if a document would not conform any more, unless it is ``forced``."""
    violations = evolution.violations(review, "none")
    if violations and not forced:
        raise evolution.to_error(review, "none", violations)


def _apply_to(transaction: Transaction, before: Definition, applies_to: str) -> bool:
    """Make the definition apply to other documents. Returns whether that changed anything."""
    if applies_to == before.applies_to:
        return False
    row = update(DefinitionRow).where(DefinitionRow.id == before.id)
    transaction.connection.execute(row.values(applies_to=applies_to))
    note = transaction.note or f"applies to {applies_to}"
    transaction.record(ChangeKind.DEFINITION_CHANGED, definition=before.name, note=note)
    return True


def _revise_schema(
    transaction: Transaction,
    before: Definition,
    after: Document,
    review: Review,
    policy: str,
    *,
    forced: bool,
) -> None:
    """Add the revision with the schema ``after``. Raises BreakingRevision unless ``forced``."""
    violations = evolution.violations(review, policy)
    if violations and not forced:
        raise evolution.to_error(review, policy, violations)
    number = before.number + 1
    # ``forced`` without anything to force is a plain revision.
    _add_revision(transaction, before.id, number, after, forced=bool(violations))
    secrets.enable_secret_marks_of_all(
        transaction.connection, before.id, after.text, transaction.now
    )
    kind = ChangeKind.DEFINITION_FORCED if violations else ChangeKind.DEFINITION_REVISED
    transaction.record(kind, definition=before.name, number=number, digest=after.digest)


def _check_expected(transaction: Transaction, definition: Definition, expect: Precondition) -> None:
    etag = version_etag(transaction.epoch, definition.number, definition.stamp)
    if not expect(Standing(etag)):
        raise PreconditionFailed(definition.name, etag, "definition")


def exists(transaction: Transaction, name: str, expect: Precondition) -> bool:
    """Return whether the definition exists. Raises PreconditionFailed if it was expected to."""
    if lookup(transaction.reader, name) is not None:
        return True
    if not expect(None):
        raise PreconditionFailed(name, None, "definition")
    return False


def delete_definition(
    transaction: Transaction, name: str, cascade: str = "", expect: Precondition = no_precondition
) -> list[str]:
    """Delete the definition. Returns the names of the services that conformed to it.

    ``cascade`` is what happens to these: ``detach`` or ``delete``. With "" DefinitionInUse is
    raised if there are any. Raises DefinitionNotFound, PreconditionFailed or Forbidden.
    """
    transaction.actor.require("definition:write")
    transaction.actor.require_unrestricted()
    definition = require(transaction.reader, name)
    _check_expected(transaction, definition, expect)
    services = rules.services(transaction.connection, definition.id)
    if services and not cascade:
        raise DefinitionInUse(name, len(services), services[0][1])
    # Deleted services keep their marks for the next one of their name; detached ones lose them.
    if services and cascade != "delete" and not covers("{}", definition.schema):
        require_to_unmark(transaction, name)
    for service_id, service in services:
        if cascade == "delete":
            versions.delete_everywhere(transaction, service)
        else:
            transaction.actor.require(versions.PUBLISH)
            rules.detach_definition(transaction.connection, service_id)
            transaction.record(ChangeKind.SERVICE_DETACHED, service, definition=name)
    for column in (IndexRow.definition_id, DefinitionRevisionRow.definition_id, DefinitionRow.id):
        transaction.connection.execute(delete(column.class_).where(column == definition.id))
    transaction.record(ChangeKind.DEFINITION_DELETED, definition=name, number=definition.number)
    return [service for _, service in services]


_TOUCH = (
    update(DefinitionRow)
    .where(DefinitionRow.id == bindparam("which"))
    .values(changed_at=bindparam("at"))
)


def _add_revision(
    transaction: Transaction, definition_id: int, number: int, schema: Document, *, forced: bool
) -> None:
    transaction.connection.execute(
        insert(DefinitionRevisionRow),
        {
            "definition_id": definition_id,
            "number": number,
            "digest": schema.digest,
            "author": transaction.actor.name,
            "note": transaction.note,
            "forced": forced,
            "created_at": transaction.now,
            "revision": transaction.revision,
            "schema": schema.text,
        },
    )


def _update_settings(
    transaction: Transaction, before: Definition, policy: str | None, paths: Sequence[str] | None
) -> bool:
    """Give the definition another policy and other indexes. Returns whether that changed any.

    What is None stays.
    """
    changes = []
    if policy is not None and policy != before.policy:
        row = update(DefinitionRow).where(DefinitionRow.id == before.id)
        transaction.connection.execute(row.values(policy=policy))
        changes.append(f"policy {policy}")
    if paths is not None and tuple(paths) != before.indexes:
        new = index_keys.set_paths(transaction.connection, before.id, paths)
        # Only new indexes can be on something secret: the others were checked when they were new,
        # and marks are checked against indexes when they are set.
        if new:
            refuse_indexes_on_marked(transaction, before.name)
        _index_again(transaction, before, new)
        changes.append(f"indexes {', '.join(paths) or 'none'}")
    if changes:
        note = transaction.note or "; ".join(changes)
        transaction.record(ChangeKind.DEFINITION_CHANGED, definition=before.name, note=note)
    return bool(changes)


def _index_again(transaction: Transaction, definition: Definition, new: Sequence[str]) -> None:
    """Write the entries of the ``new`` indexes for every service of the definition."""
    ids = index_keys.paths_of(transaction.connection, definition.id)
    paths = {path: ids[path] for path in new}
    if not paths:
        return
    for service_id, service in rules.services(transaction.connection, definition.id):
        transaction.allowance.count(changes=1)
        for environment in versions.environments_of(transaction.connection, service_id):
            series = Series(service, environment)
            value = versions.current_value(transaction.connection, service_id, series)
            place = index_keys.Place(service_id, service, environment)
            index_keys.write_entries(transaction.connection, place, paths, value)
