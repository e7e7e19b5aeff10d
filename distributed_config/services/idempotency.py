"""Remembered answers: a write that is sent again is answered again, and not done again.

The answer is stored in the transaction of the write itself, so there is never one without the
other. Only answers of writes that succeeded are kept: a refused write did nothing. No answer to a
write shows a secret.

An answer tells of what was asked for, and who lost a right since may not hear of it again. What a
write takes is known to its verb alone, so an answer is for the very rights that it was given to.
"""

import hashlib
import json
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, insert, select

from distributed_config.errors import Forbidden, KeyReused
from distributed_config.models import IdempotencyRow
from distributed_config.services import secrets
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import Actor

_PURGED_AT_ONCE = 100
_SEPARATOR = " "


@dataclass(frozen=True)
class StoredResponse:
    """An answer as it was given. ``headers`` is one JSON object."""

    status: int
    headers: str
    body: bytes


def recall(
    transaction: Transaction, key: str, fingerprint: str, lifetime_hours: int
) -> StoredResponse | None:
    """The answer that ``key`` got before, or None.

    Raises KeyReused if it was another request, and Forbidden if the actor had other rights then.
    """
    row = transaction.connection.execute(
        select(
            IdempotencyRow.fingerprint,
            IdempotencyRow.created_at,
            IdempotencyRow.status,
            IdempotencyRow.headers,
            IdempotencyRow.body,
        ).where(_is_key(transaction, key))
    ).one_or_none()
    if row is None:
        return None
    if row.created_at < _oldest(transaction, lifetime_hours):
        transaction.connection.execute(delete(IdempotencyRow).where(_is_key(transaction, key)))
        return None
    kept, _, rights = row.fingerprint.partition(_SEPARATOR)
    if not secrets.is_fingerprint(transaction.connection, fingerprint, kept):
        raise KeyReused()
    if rights != _rights(transaction.actor):
        raise Forbidden(
            "This was done, and answered, while you had other rights. Read what is there now, and "
            "send what is still to be done with another Idempotency-Key."
        )
    return StoredResponse(row.status, row.headers, row.body)


def remember(
    transaction: Transaction,
    key: str,
    fingerprint: str,
    answer: StoredResponse,
    lifetime_hours: int,
) -> None:
    """Keeps ``answer`` for ``key``, and drops some that are too old to be asked for."""
    kept = secrets.fingerprint(transaction.connection, fingerprint)
    transaction.connection.execute(
        insert(IdempotencyRow).values(
            organisation_id=transaction.organisation,
            actor=transaction.actor.key,
            key=key,
            fingerprint=kept + _SEPARATOR + _rights(transaction.actor),
            created_at=transaction.steady,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
        )
    )
    expired = transaction.connection.execute(
        select(IdempotencyRow.organisation_id, IdempotencyRow.actor, IdempotencyRow.key)
        .where(IdempotencyRow.created_at < _oldest(transaction, lifetime_hours))
        .limit(_PURGED_AT_ONCE)
    ).all()
    for organisation, actor, old in expired:
        transaction.connection.execute(
            delete(IdempotencyRow).where(
                IdempotencyRow.organisation_id == organisation,
                IdempotencyRow.actor == actor,
                IdempotencyRow.key == old,
            )
        )


def _rights(actor: Actor) -> str:
    """What an actor may, as a digest: the same for the same rights only."""
    scopes = [[scope.services, scope.environments] for scope in actor.visibility.scopes]
    return hashlib.sha256(json.dumps([sorted(actor.permissions), scopes]).encode()).hexdigest()


def _is_key(transaction: Transaction, key: str) -> ColumnElement[bool]:
    return and_(
        IdempotencyRow.organisation_id == transaction.organisation,
        IdempotencyRow.actor == transaction.actor.key,
        IdempotencyRow.key == key,
    )


def _oldest(transaction: Transaction, lifetime_hours: int) -> int:
    """What is older than this, in steady time, is forgotten."""
    return transaction.steady - lifetime_hours * 3_600_000_000
