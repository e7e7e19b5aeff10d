"""The audit log: one hash chain of everything that somebody may have to answer for.

Each transaction that changed anything is sealed by one entry with the digest of its changes, so
the chain covers the journal as well. Entries of other kinds record what changes nothing and still
matters: a log-in, a refusal, an export. Entries are only ever appended, under the write lock. The
oldest ones can be pruned; an entry then says where the chain continues.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    false,
    func,
    or_,
    select,
    true,
)

from distributed_config.errors import DocumentDamaged
from distributed_config.models import AuditRow, ChangeRow
from distributed_config.services.journal import chain
from distributed_config.services.journal.chain import ChainHead
from distributed_config.services.journal.changes import Change, changes_of_revision
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import Actor
from distributed_config.services.policy.visibility import Visibility, name_filter
from distributed_config.services.secrets.digests import Digests, without_secrets

# One call holds the write lock, so it deletes no more than this, and the caller repeats it.
_PRUNED_AT_ONCE = 50_000
# An entry may seal tens of thousands of changes; the rest are in the journal.
_CHANGES_SHOWN = 100


@dataclass(frozen=True)
class AuditEntry:
    """One entry, as readers get it; ``changes`` are the first hundred that the reader may see."""

    id: int
    happened_at: int
    organisation_id: int | None
    kind: str
    actor: str
    address: str
    service: str | None
    revision: int | None
    detail: dict[str, Any]
    previous: str
    hash: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class AuditFilter:
    """Conditions on entries, all of which must hold. Times and revisions are inclusive.

    A ``service`` that ends in ``/`` is a prefix. None, and empty ``kinds``, limit nothing.
    """

    actor: str | None = None
    kinds: tuple[str, ...] = ()
    service: str | None = None
    since: int | None = None
    until: int | None = None
    first_revision: int | None = None
    last_revision: int | None = None


ALL_ENTRIES = AuditFilter()


def seal(transaction: Transaction) -> None:
    """Append the entry that seals a transaction's changes; none if it recorded no change."""
    if not transaction.wrote:
        return
    # An entry names its service if there is only one; of several the changes tell.
    services = {service for service, _ in transaction.touched_series}
    is_of_one = not transaction.affects_all and len(services) == 1
    _append(
        transaction,
        AuditKind.CHANGED,
        transaction.organisation,
        service=next(iter(services)) if is_of_one else None,
        revision=transaction.revision,
        # Written by hand: every write pays for it, and neither value needs escaping.
        detail=f'{{"changes": {transaction.recorded}, "digest": "{transaction.digest}"}}',
    )


def record(
    transaction: Transaction,
    kind: str,
    *,
    organisation: int | None,
    service: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Append an entry about something that changes nothing. It takes no revision.

    ``detail`` holds small facts, never a secret or a document. An entry of no ``organisation`` is
    visible to server administrators alone.
    """
    _append(transaction, kind, organisation, service=service, detail=json.dumps(detail or {}))


def prune(transaction: Transaction, before: int) -> int:
    """Delete the oldest entries, at most 50,000, from before a moment; return their number.

    It appends an entry that pins the one where the chain continues, so that verification can begin
    there. Call it until it returns 0.
    """
    connection = transaction.connection
    oldest = connection.execute(_OLDEST).scalar_one() or 0
    first_left = min(_first_at(connection, before), oldest + _PRUNED_AT_ONCE)
    if oldest == 0 or first_left <= oldest:
        return 0
    # The first entry that is left has this hash in it; pinned here, it proves that nothing between
    # was removed as well.
    newest_gone = AuditRow.id == first_left - 1
    facts = {
        "removed": first_left - oldest,
        "first": first_left,
        "previous": connection.execute(select(AuditRow.hash).where(newest_gone)).scalar_one(),
        "revision": _sealed_before(connection, first_left),
    }
    # Recorded before the rows go, in the same transaction: either both happen or neither.
    record(transaction, AuditKind.PRUNED, organisation=None, detail=facts)
    connection.execute(delete(AuditRow).where(AuditRow.id < first_left))
    return first_left - oldest


def _append(
    transaction: Transaction,
    kind: str,
    organisation: int | None,
    *,
    service: str | None = None,
    revision: int | None = None,
    detail: str,
) -> None:
    transaction.audit_head = chain.append(
        transaction.pending,
        transaction.audit_head,
        transaction.now,
        organisation=organisation,
        kind=kind,
        actor=transaction.actor.name,
        address=transaction.actor.address,
        service=service,
        revision=revision,
        detail=detail,
    )


def _sealed_before(connection: Connection, entry_id: int) -> int | None:
    """Return the last revision that an entry below ``entry_id`` seals, also one pruned earlier."""
    gone = AuditRow.id < entry_id
    # Entries of other kinds seal nothing, so it need not be the last one that goes.
    sealed: int | None = connection.execute(
        select(func.max(AuditRow.revision)).where(gone)
    ).scalar_one()
    if sealed is not None:
        return sealed
    earlier = last_pruning(connection)
    return None if earlier is None else earlier.get("revision")


def head(connection: Connection, actor: Actor | None = None) -> ChainHead:
    """Return the newest entry, for pinning, as ``actor`` sees it; None sees it as it is stored."""
    link = read_head(connection).audit_head
    if actor is None or actor.visibility.reads_secrets:
        return link
    return replace(link, hash=Digests(connection).of_entry(link.id, link.hash))


def last_pruning(connection: Connection) -> dict[str, Any] | None:
    """Return the facts of the last pruning (``first``, ``previous``, ``revision``), or None."""
    text = connection.execute(_LAST_PRUNED).scalar_one_or_none()
    return None if text is None else _facts(text)


def page(
    connection: Connection, actor: Actor, conditions: AuditFilter, *, before: int | None, limit: int
) -> list[AuditEntry]:
    """Return the entries with ids below ``before`` that ``actor`` may see, newest first."""
    query = _query(connection, actor, conditions).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditRow.id < before)
    return _entries(connection, actor, query)


def iterate(
    connection: Connection, actor: Actor | None, conditions: AuditFilter, page_size: int = 500
) -> Iterator[AuditEntry]:
    """Yield all entries that ``actor`` may see, oldest first; None sees all organisations.

    It reads ``page_size`` entries at a time, so that an export of any length takes little memory.
    """
    query = _query(connection, actor, conditions).order_by(AuditRow.id).limit(page_size)
    after = 0
    while found := _entries(connection, actor, query.where(AuditRow.id > after)):
        yield from found
        after = found[-1].id


def _query(
    connection: Connection, actor: Actor | None, conditions: AuditFilter
) -> Select[*tuple[Any, ...]]:
    query = select(*_COLUMNS).where(_is_visible_to(actor))
    if conditions.actor is not None:
        query = query.where(AuditRow.actor == conditions.actor)
    if conditions.kinds:
        query = query.where(AuditRow.kind.in_(conditions.kinds))
    if conditions.service is not None or (
        actor is not None and not actor.visibility.is_unrestricted
    ):
        query = query.where(_about(actor, conditions.service))
    # Times become ids, for which there is an index.
    if conditions.since is not None:
        query = query.where(AuditRow.id >= _first_at(connection, conditions.since))
    if conditions.until is not None:
        query = query.where(AuditRow.id < _first_at(connection, conditions.until + 1))
    if conditions.first_revision is not None:
        query = query.where(AuditRow.revision >= conditions.first_revision)
    if conditions.last_revision is not None:
        query = query.where(AuditRow.revision <= conditions.last_revision)
    return query


def _is_visible_to(actor: Actor | None) -> ColumnElement[bool]:
    """Limit entries to the actor's organisation; server administrators also see those of none."""
    if actor is None:
        return true()
    # Entries of no organisation are those of the server itself, such as a pruning.
    own = AuditRow.organisation_id == actor.organisation
    if actor.is_administrator and actor.visibility.is_unrestricted:
        return own | AuditRow.organisation_id.is_(None)
    return own


def _about(actor: Actor | None, service: str | None) -> ColumnElement[bool]:
    """Limit entries to those about a visible service, and to ``service`` if it is not None.

    An entry about several services is found through its changes.
    """

    def matches(column: Any) -> ColumnElement[bool]:
        named = true() if service is None else name_filter(column, (service,))
        return and_(column.is_not(None), named, visibility.sql_filter(column))

    visibility = Visibility() if actor is None else actor.visibility
    inside = select(ChangeRow.revision).where(
        ChangeRow.revision == AuditRow.revision, matches(ChangeRow.service)
    )
    here = matches(AuditRow.service)
    if not visibility.has_every_environment:
        # Of a write into an environment that the actor may not see, nothing is told.
        seen = select(ChangeRow.revision).where(
            ChangeRow.revision == AuditRow.revision,
            visibility.environment_filter(ChangeRow.environment),
        )
        here = here & (AuditRow.revision.is_(None) | seen.exists())
        inside = inside.where(visibility.environment_filter(ChangeRow.environment))
    # The column is empty for several services and for none; the changes tell which.
    several = AuditRow.service.is_(None) & AuditRow.revision.is_not(None) & inside.exists()
    return or_(here, several, false())


def _entries(
    connection: Connection, actor: Actor | None, query: Select[*tuple[Any, ...]]
) -> list[AuditEntry]:
    rows = connection.execute(query).all()
    revisions = [row.revision for row in rows if row.revision is not None]
    # One statement for the page instead of one for each entry.
    inside = changes_of_revision(connection, actor, revisions, _CHANGES_SHOWN) if revisions else {}
    # The number of all changes would tell an actor who sees only some of them about the others.
    sees_all = actor is None or actor.visibility.is_unrestricted
    found = [
        AuditEntry(
            **{
                **row._asdict(),
                "detail": _detail_of(row, actor) if sees_all or row.revision is None else {},
                "changes": tuple(inside.get(row.revision, ())),
            }
        )
        for row in rows
    ]
    if actor is None or actor.visibility.reads_secrets:
        return found
    digests = Digests(connection)
    return [_without_secrets(connection, digests, entry) for entry in found]


def _detail_of(row: Any, actor: Actor | None) -> dict[str, Any]:
    """Return the facts of an entry without what the actor may not know of."""
    facts = _facts(row.detail)
    if row.kind != AuditKind.REFERENCED or actor is None or actor.visibility.is_unrestricted:
        return facts
    if not actor.visibility.allows_environment(facts["environment"]):
        return {}
    return {**facts, "uses": [name for name in facts["uses"] if actor.visibility.allows(name)]}


def _without_secrets(connection: Connection, digests: Digests, entry: AuditEntry) -> AuditEntry:
    """Return ``entry`` with keyed hashes: plain ones, which cover documents, confirm a guess."""
    detail = dict(entry.detail)
    if "digest" in detail:
        detail["digest"] = digests.of_entry(entry.id, detail["digest"])
    return replace(
        entry,
        detail=detail,
        previous=digests.of_entry(entry.id - 1, entry.previous),
        hash=digests.of_entry(entry.id, entry.hash),
        changes=tuple(without_secrets(connection, entry.changes)),
    )


def _facts(text: str) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(text)
    # Damage is refused, as that of a document is; `distconf audit verify` names it.
    except ValueError:
        raise DocumentDamaged() from None
    return facts


def _first_at(connection: Connection, moment: int) -> int:
    """Return the id of the first entry at or after a moment; one above the newest if none is.

    It bisects: ids are contiguous, and times never run backwards. So the table needs no index on
    times, which every write would pay for.
    """
    low = connection.execute(_OLDEST).scalar_one() or 1
    high = head(connection).id + 1
    while low < high:
        middle = (low + high) // 2
        at = connection.execute(_TIME_OF, {"from_": middle}).scalar_one_or_none()
        # None: the id is above the newest that was left after a damage, so look further down.
        if at is not None and at < moment:
            low = middle + 1
        else:
            high = middle
    return low


_COLUMNS: Iterable[Any] = (
    AuditRow.id,
    AuditRow.happened_at,
    AuditRow.organisation_id,
    AuditRow.kind,
    AuditRow.actor,
    AuditRow.address,
    AuditRow.service,
    AuditRow.revision,
    AuditRow.detail,
    AuditRow.previous,
    AuditRow.hash,
)
_OLDEST = select(func.min(AuditRow.id))
_TIME_OF = (
    select(AuditRow.happened_at)
    .where(AuditRow.id >= bindparam("from_"))
    .order_by(AuditRow.id)
    .limit(1)
)
_LAST_PRUNED = (
    select(AuditRow.detail)
    .where(AuditRow.kind == AuditKind.PRUNED)
    .order_by(AuditRow.id.desc())
    .limit(1)
)
