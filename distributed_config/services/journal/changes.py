"""The changes of the journal, as an actor may read them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, func, select

from distributed_config.models import ChangeRow
from distributed_config.services.journal.kinds import ACCOUNT_KINDS, DEFINITION_KINDS
from distributed_config.services.journal.transaction import COLUMNS
from distributed_config.services.policy.actor import Actor
from distributed_config.services.policy.visibility import name_filter


@dataclass(frozen=True)
class Change:
    """One entry, as readers get it."""

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


def hidden_from(actor: Actor) -> frozenset[str]:
    """The kinds of changes that ``actor`` may not hear of."""
    hidden: frozenset[str] = frozenset()
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
) -> list[Change]:
    """The changes behind revision ``after``, oldest first, whole revisions only.

    Those that ``actor`` may hear of; None: all, of all organisations. At least ``limit`` changes
    where there are as many; the last revision is never cut. A service that ends in ``/`` stands
    for every service whose name begins so.
    """
    query = _heard_by(actor, select(*COLUMNS).where(ChangeRow.revision > after))
    query = query.order_by(ChangeRow.revision, ChangeRow.position)
    if services:
        query = query.where(name_filter(ChangeRow.service, tuple(services)))
    if kinds:
        query = query.where(ChangeRow.kind.in_(kinds))
    found = [Change(**row._asdict()) for row in connection.execute(query.limit(limit))]
    if len(found) == limit:
        rest = query.where(
            ChangeRow.revision == found[-1].revision, ChangeRow.position > found[-1].position
        )
        found += [Change(**row._asdict()) for row in connection.execute(rest)]
    return found


def changes_of_revision(
    connection: Connection, actor: Actor | None, revisions: Iterable[int], most: int
) -> dict[int, list[Change]]:
    """The first ``most`` changes of each of ``revisions`` that ``actor`` may hear of."""
    place = func.row_number().over(partition_by=ChangeRow.revision, order_by=ChangeRow.position)
    heard = _heard_by(actor, select(*COLUMNS, place.label("place")))
    inner = heard.where(ChangeRow.revision.in_(list(revisions))).subquery()
    columns = [inner.c[column.key] for column in COLUMNS]
    query = select(*columns).where(inner.c.place <= most).order_by(*columns[:2])
    found = (Change(**row._asdict()) for row in connection.execute(query))
    return {key: list(group) for key, group in groupby(found, key=lambda each: each.revision)}


def _heard_by(actor: Actor | None, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """``query`` with what ``actor`` may hear of only; None: everything."""
    if actor is None:
        return query
    query = query.where(
        ChangeRow.organisation_id == actor.organisation,
        ChangeRow.kind.not_in(hidden_from(actor)),
    )
    if not actor.visibility.is_unrestricted:
        query = query.where(
            ChangeRow.service.is_(None) | actor.visibility.sql_filter(ChangeRow.service)
        )
    return query
