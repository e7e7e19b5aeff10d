"""Remembered answers: a write that is sent again is answered again, and not done again.

The answer is stored in the transaction of the write itself, so there is never one without the
other. Only answers of writes that succeeded are kept: a refused write did nothing. No answer to a
write shows a secret.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, insert, select

from distributed_config.errors import KeyReused
from distributed_config.models import IdempotencyRow
from distributed_config.services import secrets
from distributed_config.services.journal import Journal

_PURGED_AT_ONCE = 100


@dataclass(frozen=True)
class Remembered:
    """An answer as it was given. ``headers`` is one JSON object."""

    status: int
    headers: str
    body: bytes


def recall(journal: Journal, key: str, fingerprint: str, lifetime_hours: int) -> Remembered | None:
    """The answer that ``key`` got before, or None. Raises KeyReused if it was another request."""
    row = journal.connection.execute(
        select(
            IdempotencyRow.fingerprint,
            IdempotencyRow.created_at,
            IdempotencyRow.status,
            IdempotencyRow.headers,
            IdempotencyRow.body,
        ).where(_is_key(journal, key))
    ).one_or_none()
    if row is None:
        return None
    if row.created_at < _oldest(journal, lifetime_hours):
        journal.connection.execute(delete(IdempotencyRow).where(_is_key(journal, key)))
        return None
    if not secrets.is_fingerprint(journal.connection, fingerprint, row.fingerprint):
        raise KeyReused()
    return Remembered(row.status, row.headers, row.body)


def remember(
    journal: Journal, key: str, fingerprint: str, answer: Remembered, lifetime_hours: int
) -> None:
    """Keeps ``answer`` for ``key``, and drops some that are too old to be asked for."""
    journal.connection.execute(
        insert(IdempotencyRow).values(
            organisation_id=journal.organisation,
            actor=journal.actor.key,
            key=key,
            fingerprint=secrets.fingerprint(journal.connection, fingerprint),
            created_at=journal.now,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
        )
    )
    expired = journal.connection.execute(
        select(IdempotencyRow.organisation_id, IdempotencyRow.actor, IdempotencyRow.key)
        .where(IdempotencyRow.created_at < _oldest(journal, lifetime_hours))
        .limit(_PURGED_AT_ONCE)
    ).all()
    for organisation, actor, old in expired:
        journal.connection.execute(
            delete(IdempotencyRow).where(
                IdempotencyRow.organisation_id == organisation,
                IdempotencyRow.actor == actor,
                IdempotencyRow.key == old,
            )
        )


def _is_key(journal: Journal, key: str) -> ColumnElement[bool]:
    return and_(
        IdempotencyRow.organisation_id == journal.organisation,
        IdempotencyRow.actor == journal.actor.key,
        IdempotencyRow.key == key,
    )


def _oldest(journal: Journal, lifetime_hours: int) -> int:
    return journal.now - lifetime_hours * 3_600_000_000
