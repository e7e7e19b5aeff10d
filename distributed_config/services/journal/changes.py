"""The changes of the journal, as an actor may read them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from distributed_config.models import ChangeRow
from distributed_config.services.journal.kinds import (
    ACCOUNT_KINDS,
    DEFINITION_KINDS,
    ENVIRONMENT_KINDS,
    ChangeKind,
)
from distributed_config.services.journal.transaction import COLUMNS
from distributed_config.services.policy.actor import Actor
from distributed_config.services.policy.visibility import Visibility, name_filter


@dataclass(frozen=True)
class Change:
    """One change, as readers get it. Times are in microseconds."""

    revision: int
    position: int
    changed_at: int
    organisation_id: int
    kind: str
    service: str | None
    environment: str | None
    number: int | None
    current: int | None
    digest: str | None
    actor: str
    note: str
    definition: str | None
    subject: str | None


def as_seen_by(visibility: Visibility, change: Change) -> Change:
    """Return a change that a reader may see without what it tells of environments they may not.

    The note of a service's creation is that of its first version, which is in one environment.
    """
    if change.kind != ChangeKind.SERVICE_CREATED or visibility.has_every_environment:
        return change
    return replace(change, note="")


def hidden_from(actor: Actor) -> frozenset[str]:
    """Return the kinds of changes that ``actor`` may not read."""
    hidden: frozenset[str] = frozenset()
    # Changes of accounts tell who may do what, which only auditors may read.
    if not actor.may("audit:read"):
        hidden |= ACCOUNT_KINDS
    if not actor.may("definition:read"):
        hidden |= DEFINITION_KINDS
    return hidden


def read_changes(
    connection: Connection,
    actor: Actor | None,
    *,
    after: int,
    limit: int,
    services: Sequence[str] = (),
    kinds: Sequence[str] = (),
    environments: Sequence[str] = (),
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
) -> list[Change]:
    """Return the changes after revision ``after`` that ``actor`` may read, oldest first.

    ``actor`` None reads all changes of all organisations. There are at least ``limit`` of them, if
    there are so many, and more where the last revision needs it: a revision is never cut, because
    a cursor cannot stand inside of one. An entry of ``services`` that ends in ``/`` is a prefix.
    ``environments`` leaves out versions in others; what concerns all of them stays.

    ``layers`` are the services and environments of which a resolved document is made. Then all
    changes of these are returned, and of environments, also those that ``actor`` may not see.
    """
    everything: Select[*tuple[Any, ...]] = select(*COLUMNS).where(ChangeRow.revision > after)
    query = (
        _readable(actor, everything)
        if layers is None
        else everything.where(*_of_layers(actor, *layers))
    )
    query = query.order_by(ChangeRow.revision, ChangeRow.position)
    if services:
        query = query.where(name_filter(ChangeRow.service, tuple(services)))
    if kinds:
        query = query.where(ChangeRow.kind.in_(kinds))
    if environments:
        here = ChangeRow.environment.is_(None) | ChangeRow.environment.in_(environments)
        query = query.where(here)
    found = [Change(**row._asdict()) for row in connection.execute(query.limit(limit))]
    # Only then can the last revision have been cut.
    if len(found) == limit:
        rest = query.where(
            ChangeRow.revision == found[-1].revision, ChangeRow.position > found[-1].position
        )
        found += [Change(**row._asdict()) for row in connection.execute(rest)]
    return [as_seen_by(actor.visibility, change) for change in found] if actor else found


def newest_changes(
    connection: Connection,
    actor: Actor,
    *,
    limit: int,
    before: int | None = None,
    services: Sequence[str] = (),
    environment: str | None = None,
) -> list[Change]:
    """Return up to ``limit`` changes that ``actor`` may read, newest first.

    They are those before the revision ``before``; None: of all. ``environment`` leaves out
    versions in others.
    """
    query = _readable(actor, select(*COLUMNS))
    if before is not None:
        query = query.where(ChangeRow.revision < before)
    if services:
        query = query.where(name_filter(ChangeRow.service, tuple(services)))
    if environment is not None:
        here = ChangeRow.environment.is_(None) | (ChangeRow.environment == environment)
        query = query.where(here)
    query = query.order_by(ChangeRow.revision.desc(), ChangeRow.position.desc()).limit(limit)
    found = (Change(**row._asdict()) for row in connection.execute(query))
    return [as_seen_by(actor.visibility, change) for change in found]


def _of_layers(
    actor: Actor | None, services: Sequence[str], environments: Sequence[str]
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on changes of what a resolved document is made of."""
    if actor is not None:
        yield ChangeRow.organisation_id == actor.organisation
    here = or_(ChangeRow.environment.is_(None), ChangeRow.environment.in_(environments))
    yield or_(ChangeRow.kind.in_(ENVIRONMENT_KINDS), and_(ChangeRow.service.in_(services), here))


def changes_of_revision(
    connection: Connection, actor: Actor | None, revisions: Iterable[int], most: int
) -> dict[int, list[Change]]:
    """Return the first ``most`` changes of each revision that ``actor`` may read, by revision."""
    # Numbered per revision in SQL: one bulk write can have far more changes than are shown.
    place = func.row_number().over(partition_by=ChangeRow.revision, order_by=ChangeRow.position)
    readable = _readable(actor, select(*COLUMNS, place.label("place")))
    inner = readable.where(ChangeRow.revision.in_(list(revisions))).subquery()
    columns = [inner.c[column.key] for column in COLUMNS]
    query = select(*columns).where(inner.c.place <= most).order_by(*columns[:2])
    found = (Change(**row._asdict()) for row in connection.execute(query))
    if actor is not None:
        found = (as_seen_by(actor.visibility, change) for change in found)
    return {key: list(group) for key, group in groupby(found, key=lambda change: change.revision)}


def _readable(actor: Actor | None, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Limit ``query`` to what ``actor`` may read; None reads everything."""
    if actor is None:
        return query
    query = query.where(
        ChangeRow.organisation_id == actor.organisation,
        ChangeRow.kind.not_in(hidden_from(actor)),
    )
    if not actor.visibility.is_unrestricted:
        # Changes of no service (definitions, accounts) are governed by permissions alone.
        visibility = actor.visibility
        query = query.where(
            ChangeRow.service.is_(None) | visibility.sql_filter(ChangeRow.service),
            visibility.environment_filter(ChangeRow.environment),
        )
    return query
