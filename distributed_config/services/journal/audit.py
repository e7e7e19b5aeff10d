"""The audit log: one chain of everything that somebody may have to answer for.

Each unit of work that changed anything is sealed by one entry, which has the digest of its
changes, so that the chain covers the journal as well. What changes nothing and still matters (a
log-in, a refusal, an export) is noted beside it. Entries are only ever added, under the write
lock; the oldest can be pruned, and an entry then says from where the chain goes on.
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

_PRUNED_AT_ONCE = 50_000
_CHANGES_SHOWN = 100


@dataclass(frozen=True)
class AuditEntry:
    """One entry, as readers get it; ``changes`` are the first hundred that they may hear of."""

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
    """Which entries: those for which all of it holds. Times and revisions are inclusive.

    A service that ends in ``/`` stands for all whose names begin so.
    """

    actor: str | None = None
    kinds: tuple[str, ...] = ()
    service: str | None = None
    since: int | None = None
    until: int | None = None
    first_revision: int | None = None
    last_revision: int | None = None


EVERYTHING = AuditFilter()


# --- writing


def seal(transaction: Transaction) -> None:
    """Adds the entry of a unit of work that recorded changes; nothing if it did not."""
    if not transaction.wrote:
        return
    only = not transaction.affects_all and len(transaction.touched_services) == 1
    _append(
        transaction,
        AuditKind.CHANGED,
        transaction.organisation,
        service=next(iter(transaction.touched_services)) if only else None,
        revision=transaction.revision,
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
    """Adds an entry about what is no change: it takes no revision and wakes nobody.

    ``detail`` is small facts, never a secret or a document. Without an ``organisation`` only who
    holds everything sees it.
    """
    _append(transaction, kind, organisation, service=service, detail=json.dumps(detail or {}))


def prune(transaction: Transaction, before: int) -> int:
    """Removes the oldest entries from before a moment, at most 50,000; how many that were.

    The entry that is added pins the one from which the chain now goes on.
    """
    connection = transaction.connection
    oldest = connection.execute(_OLDEST).scalar_one() or 0
    kept = min(_first_at(connection, before), oldest + _PRUNED_AT_ONCE)
    if oldest == 0 or kept <= oldest:
        return 0
    newest_gone = AuditRow.id == kept - 1
    facts = {
        "removed": kept - oldest,
        "first": kept,
        "previous": connection.execute(select(AuditRow.hash).where(newest_gone)).scalar_one(),
        "revision": _sealed_before(connection, kept),
    }
    record(transaction, AuditKind.PRUNED, organisation=None, detail=facts)
    connection.execute(delete(AuditRow).where(AuditRow.id < kept))
    return kept - oldest


def _append(
    transaction: Transaction,
    kind: str,
    organisation: int | None,
    *,
    service: str | None = None,
    revision: int | None = None,
    detail: str,
) -> None:
    transaction.link = chain.append(
        transaction.connection,
        transaction.link,
        transaction.now,
        organisation=organisation,
        kind=kind,
        actor=transaction.actor.name,
        address=transaction.actor.address,
        service=service,
        revision=revision,
        detail=detail,
    )


def _sealed_before(connection: Connection, kept: int) -> int | None:
    """The last revision that an entry below ``kept`` seals, or that was pruned before; or None."""
    gone = AuditRow.id < kept
    sealed: int | None = connection.execute(
        select(func.max(AuditRow.revision)).where(gone)
    ).scalar_one()
    if sealed is not None:
        return sealed
    earlier = last_pruning(connection)
    return None if earlier is None else earlier.get("revision")


# --- reading


def head(connection: Connection, actor: Actor | None = None) -> ChainHead:
    """The newest entry, for who wants to pin it, as ``actor`` sees it; None: as it is."""
    link = read_head(connection).link
    if actor is None or actor.visibility.reads_secrets:
        return link
    return replace(link, hash=Digests(connection).of_entry(link.id, link.hash))


def last_pruning(connection: Connection) -> dict[str, Any] | None:
    """What the last pruning said: ``first``, ``previous``, ``revision``; None: there was none."""
    text = connection.execute(_LAST_PRUNED).scalar_one_or_none()
    return None if text is None else _facts(text)


def page(
    connection: Connection, actor: Actor, wanted: AuditFilter, *, before: int | None, limit: int
) -> list[AuditEntry]:
    """The entries below the id ``before`` that ``actor`` may see, newest first."""
    query = _query(connection, actor, wanted).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditRow.id < before)
    return _entries(connection, actor, query)


def iterate(
    connection: Connection, actor: Actor | None, wanted: AuditFilter, page: int = 500
) -> Iterator[AuditEntry]:
    """All entries that ``actor`` may see, oldest first; None: those of all organisations."""
    query = _query(connection, actor, wanted).order_by(AuditRow.id).limit(page)
    after = 0
    while found := _entries(connection, actor, query.where(AuditRow.id > after)):
        yield from found
        after = found[-1].id


def _query(
    connection: Connection, actor: Actor | None, wanted: AuditFilter
) -> Select[*tuple[Any, ...]]:
    query = select(*_COLUMNS).where(_seen_by(actor))
    if wanted.actor is not None:
        query = query.where(AuditRow.actor == wanted.actor)
    if wanted.kinds:
        query = query.where(AuditRow.kind.in_(wanted.kinds))
    if wanted.service is not None or (actor is not None and not actor.visibility.is_unrestricted):
        query = query.where(_about(actor, wanted.service))
    if wanted.since is not None:
        query = query.where(AuditRow.id >= _first_at(connection, wanted.since))
    if wanted.until is not None:
        query = query.where(AuditRow.id < _first_at(connection, wanted.until + 1))
    if wanted.first_revision is not None:
        query = query.where(AuditRow.revision >= wanted.first_revision)
    if wanted.last_revision is not None:
        query = query.where(AuditRow.revision <= wanted.last_revision)
    return query


def _seen_by(actor: Actor | None) -> ColumnElement[bool]:
    """Entries of the actor's organisation; of none, for who holds everything without a limit."""
    if actor is None:
        return true()
    own = AuditRow.organisation_id == actor.organisation
    if actor.is_administrator and actor.visibility.is_unrestricted:
        return own | AuditRow.organisation_id.is_(None)
    return own


def _about(actor: Actor | None, service: str | None) -> ColumnElement[bool]:
    """Entries about a service that is asked for and may be seen.

    An entry of several services is about each of them: its changes tell.
    """

    def fits(column: Any) -> ColumnElement[bool]:
        wanted = true() if service is None else name_filter(column, (service,))
        return and_(column.is_not(None), wanted, visibility.sql_filter(column))

    visibility = Visibility() if actor is None else actor.visibility
    inside = select(ChangeRow.revision).where(
        ChangeRow.revision == AuditRow.revision, fits(ChangeRow.service)
    )
    several = AuditRow.service.is_(None) & AuditRow.revision.is_not(None) & inside.exists()
    return or_(fits(AuditRow.service), several, false())


def _entries(
    connection: Connection, actor: Actor | None, query: Select[*tuple[Any, ...]]
) -> list[AuditEntry]:
    rows = connection.execute(query).all()
    revisions = [row.revision for row in rows if row.revision is not None]
    inside = changes_of_revision(connection, actor, revisions, _CHANGES_SHOWN) if revisions else {}
    # How many changes there were in all is not for who sees only some of them.
    whole = actor is None or actor.visibility.is_unrestricted
    found = [
        AuditEntry(
            **{
                **row._asdict(),
                "detail": _facts(row.detail) if whole or row.revision is None else {},
                "changes": tuple(inside.get(row.revision, ())),
            }
        )
        for row in rows
    ]
    if actor is None or actor.visibility.reads_secrets:
        return found
    digests = Digests(connection)
    return [_without_secrets(connection, digests, entry) for entry in found]


def _without_secrets(connection: Connection, digests: Digests, entry: AuditEntry) -> AuditEntry:
    """``entry`` without what confirms a guess: its hashes rest on digests of documents."""
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
    except ValueError:
        raise DocumentDamaged() from None
    return facts


def _first_at(connection: Connection, moment: int) -> int:
    """The id of the first entry at or behind a moment; one above the newest if there is none.

    Found by halving: ids are contiguous, and times never run backwards.
    """
    low = connection.execute(_OLDEST).scalar_one() or 1
    high = head(connection).id + 1
    while low < high:
        middle = (low + high) // 2
        at = connection.execute(_TIME_OF, {"from_": middle}).scalar_one_or_none()
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
