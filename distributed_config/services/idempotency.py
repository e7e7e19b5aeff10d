"""Stored responses to writes with an idempotency key: a retry gets the first, and does nothing.

The response is stored in the transaction of the write itself, so there is never one without the
other. Only responses to writes that succeeded are stored: a refused write did nothing. No response
to a write has a secret in it.

A response contains what was written, and an actor who has lost a right since must not get it
again. Only the verb knows which rights a write takes, so a response is for exactly the rights that
the actor had when it was stored.
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
    """A response as it was sent. ``headers`` is one JSON object."""

    status: int
    headers: str
    body: bytes


def recall(
    transaction: Transaction, key: str, fingerprint: str, lifetime_hours: int
) -> StoredResponse | None:
    """Return the response to an earlier request with ``key``, or None.

    ``fingerprint`` is the request's. Raises KeyReused if the earlier request was another one, and
    Forbidden if the actor had other rights then.
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
    # Expired ones are deleted in batches, so that one may still be here.
    if row.created_at < _oldest(transaction, lifetime_hours):
        transaction.connection.execute(delete(IdempotencyRow).where(_is_key(transaction, key)))
        return None
    stored, _, rights = row.fingerprint.partition(_SEPARATOR)
    if not secrets.is_fingerprint(transaction.connection, fingerprint, stored):
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
    response: StoredResponse,
    lifetime_hours: int,
) -> None:
    """Store ``response`` for ``key``, and delete some that are older than ``lifetime_hours``."""
    # Keyed: the fingerprint is of a body that may have a short secret in it.
    keyed = secrets.fingerprint(transaction.connection, fingerprint)
    transaction.connection.execute(
        insert(IdempotencyRow).values(
            organisation_id=transaction.organisation,
            actor=transaction.actor.key,
            key=key,
            fingerprint=keyed + _SEPARATOR + _rights(transaction.actor),
            created_at=transaction.steady,
            status=response.status,
            headers=response.headers,
            body=response.body,
        )
    )
    # A few at each write keep the table small, and no job has to.
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
    """Return a digest of everything the actor may do; other rights have another one."""
    scopes = [[scope.services, scope.environments] for scope in actor.visibility.scopes]
    return hashlib.sha256(json.dumps([sorted(actor.permissions), scopes]).encode()).hexdigest()


def _is_key(transaction: Transaction, key: str) -> ColumnElement[bool]:
    return and_(
        IdempotencyRow.organisation_id == transaction.organisation,
        IdempotencyRow.actor == transaction.actor.key,
        IdempotencyRow.key == key,
    )


def _oldest(transaction: Transaction, lifetime_hours: int) -> int:
    """Return the steady time before which stored responses are expired."""
    return transaction.steady - lifetime_hours * 3_600_000_000
