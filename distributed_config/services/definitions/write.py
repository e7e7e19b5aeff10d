"""Definitions made, revised and deleted."""

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
from distributed_config.services.journal import kinds
from distributed_config.services.journal.transaction import Transaction
from distributed_config.wire import Document, version_etag

POLICIES = ("none", "backward", "forward", "full")


@dataclass(frozen=True)
class RevisionResult:
    """What a revision did. ``review`` is None where the schema stayed as it was."""

    definition: Definition
    changed: bool
    review: Review | None = None


def create(
    transaction: Transaction, name: str, schema: Document, policy: str, paths: Sequence[str]
) -> Definition:
    """Makes the definition ``name`` with ``schema`` as revision 0. Raises DefinitionExists."""
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
            "created_at": transaction.now,
            "changed_at": transaction.now,
        },
    ).scalar_one()
    index_keys.set_paths(transaction.connection, definition_id, paths)
    _add_revision(transaction, definition_id, 0, schema, forced=False)
    transaction.record(kinds.DEFINITION_CREATED, definition=name, number=0, digest=schema.digest)
    return require(transaction.reader, name)


def revise(
    transaction: Transaction,
    name: str,
    *,
    schema: Document | None = None,
    policy: str | None = None,
    paths: Sequence[str] | None = None,
    review: Review | None = None,
    forced: bool = False,
    expect: Precondition = no_precondition,
) -> RevisionResult:
    """Gives the definition another schema, policy or indexes; what is None stays.

    ``review`` tells what the schema would do, from before the write lock was held; what changed
    since is looked at again. Raises BreakingRevision if it would break what its policy protects,
    or a current document, unless it is ``forced``; the journal then says so. Raises
    DefinitionNotFound or PreconditionFailed.
    """
    transaction.actor.require("definition:write")
    transaction.actor.require_unrestricted()
    if forced and not transaction.note:
        message = "Who forces a revision says why: give a note."
        raise Invalid.of([Problem("", message, "note", "note")])
    before = require(transaction.reader, name)
    _check_expected(transaction, before, expect)
    after = schema or before.document
    wanted_paths = before.indexes if paths is None else paths
    if schema is None:
        check_paths(after, wanted_paths)
    else:
        check_limits(after, wanted_paths)
    if not covers(after.text, before.schema):
        require_to_unmark(transaction, name)
    current: Review | None = None
    if after.digest != before.digest:
        current = evolution.refresh(transaction, before.proposal(after), review)
        wanted = policy or before.policy
        breaks = evolution.violations(current, wanted)
        if breaks and not forced:
            raise evolution.to_error(current, wanted, breaks)
        _add_revision(transaction, before.id, before.number + 1, after, forced=bool(breaks))
        secrets.enable_secret_marks_of_all(
            transaction.connection, before.id, after.text, transaction.now
        )
        kind = kinds.DEFINITION_FORCED if breaks else kinds.DEFINITION_REVISED
        number = before.number + 1
        transaction.record(kind, definition=name, number=number, digest=after.digest)
    settled = _update_settings(transaction, before, policy, paths)
    changed = settled or current is not None
    if changed:
        transaction.connection.execute(_TOUCH, {"which": before.id, "at": transaction.now})
    after_all = require(transaction.reader, name)
    return RevisionResult(after_all, changed, current)


def _check_expected(transaction: Transaction, definition: Definition, expect: Precondition) -> None:
    etag = version_etag(transaction.epoch, definition.number, definition.stamp)
    if not expect(Standing(etag)):
        raise PreconditionFailed(definition.name, etag, "definition")


def exists(transaction: Transaction, name: str, expect: Precondition) -> bool:
    """Whether there is such a definition. Raises PreconditionFailed if one was expected."""
    if lookup(transaction.reader, name) is not None:
        return True
    if not expect(None):
        raise PreconditionFailed(name, None, "definition")
    return False


def delete_definition(
    transaction: Transaction, name: str, cascade: str = "", expect: Precondition = no_precondition
) -> list[str]:
    """Deletes the definition; the services that conformed to it.

    ``cascade`` says what becomes of them: ``detach`` or ``delete``; without it DefinitionInUse is
    raised if there are any.
    """
    transaction.actor.require("definition:write")
    transaction.actor.require_unrestricted()
    found = require(transaction.reader, name)
    _check_expected(transaction, found, expect)
    services = rules.services(transaction.connection, found.id)
    if services and not cascade:
        raise DefinitionInUse(name, len(services), services[0][1])
    if services and cascade != "delete" and not covers("{}", found.schema):
        require_to_unmark(transaction, name)
    for service_id, service in services:
        if cascade == "delete":
            versions.delete_with_versions(transaction, Series(service))
        else:
            transaction.actor.require(versions.PUBLISH)
            rules.detach_definition(transaction.connection, service_id)
            transaction.record(kinds.SERVICE_DETACHED, service, definition=name)
    for rows in (IndexRow.definition_id, DefinitionRevisionRow.definition_id, DefinitionRow.id):
        transaction.connection.execute(delete(rows.class_).where(rows == found.id))
    transaction.record(kinds.DEFINITION_DELETED, definition=name, number=found.number)
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
    """Gives the definition another policy and indexes; whether these are others."""
    changes = []
    if policy is not None and policy != before.policy:
        row = update(DefinitionRow).where(DefinitionRow.id == before.id)
        transaction.connection.execute(row.values(policy=policy))
        changes.append(f"policy {policy}")
    if paths is not None and tuple(paths) != before.indexes:
        new = index_keys.set_paths(transaction.connection, before.id, paths)
        if new:
            refuse_indexes_on_marked(transaction, before.name)
        _index_again(transaction, before, new)
        changes.append(f"indexes {', '.join(paths) or 'none'}")
    if changes:
        note = transaction.note or "; ".join(changes)
        transaction.record(kinds.DEFINITION_CHANGED, definition=before.name, note=note)
    return bool(changes)


def _index_again(transaction: Transaction, definition: Definition, new: Sequence[str]) -> None:
    """Writes the entries of ``new`` indexes for every service of the definition."""
    known = index_keys.paths_of(transaction.connection, definition.id)
    paths = {path: known[path] for path in new}
    if not paths:
        return
    for service_id, service in rules.services(transaction.connection, definition.id):
        transaction.allowance.count(changes=1)
        value = versions.current_value(transaction.connection, service_id, Series(service))
        index_keys.write_entries(transaction.connection, service_id, service, paths, value)
