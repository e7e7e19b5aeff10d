"""Which token created which: a token ends with the one that created it, at the latest.

The tie is stored when a token is created, and followed when one ends, under the write lock. So
authentication, which happens far more often, reads nothing but the token's own row.

A log-in creates tokens as its user, who outlives the session: what it creates has no parent.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, or_, select, update

from distributed_config.errors import Forbidden
from distributed_config.models import TokenRow
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction


@dataclass(frozen=True)
class ParentToken:
    """A token that others end with. ``expires_at`` None means that it never expires."""

    id: int
    expires_at: int | None

    def outlasts(self, expires_at: int | None) -> bool:
        """Whether it lasts at least as long as something that ends at ``expires_at``."""
        if self.expires_at is None:
            return True
        return expires_at is not None and expires_at <= self.expires_at


def presented_token(transaction: Transaction) -> ParentToken | None:
    """Return the token that the request presented; None for a log-in and the local operator.

    Raises Forbidden if it has ended since the request was authenticated: a token that it created
    now would be missed by the revocation that has just run.
    """
    kind, _, number = transaction.actor.key.partition(":")
    if kind != "token":
        return None
    # Read again under the write lock: the request was authenticated before it had to wait for it.
    row = transaction.connection.execute(_PRESENTED, {"which": int(number)}).one()
    if row.revoked_at is not None or (
        row.expires_at is not None and row.expires_at <= transaction.wall
    ):
        raise Forbidden("The token that you present has just ended. Use another one.")
    return None if row.kind == "session" else ParentToken(row.id, row.expires_at)


def parent_of(connection: Connection, token_id: int) -> int | None:
    """Return the id of the token that a token ends with; None if it has no parent."""
    return connection.execute(_PARENT, {"which": token_id}).scalar_one()


def end_of(connection: Connection, token_id: int) -> int | None:
    """Return when a token expires; None if it never does."""
    return connection.execute(_END, {"which": token_id}).scalar_one()


def is_below(connection: Connection, token_id: int, ancestor: int) -> bool:
    """Whether ``ancestor`` is the parent of a token, or the parent of its parent, and so on."""
    parent = parent_of(connection, token_id)
    # Families are a few tokens deep, and have no circles: a parent exists before its child.
    while parent is not None and parent != ancestor:
        parent = parent_of(connection, parent)
    return parent is not None


def revoke(transaction: Transaction, *conditions: ColumnElement[bool]) -> None:
    """Revoke the tokens that meet ``conditions``, and all that they created.

    Only the latter are recorded in the journal, each with the token that took it along; the caller
    records its own.
    """
    unrevoked = TokenRow.revoked_at.is_(None)
    revoked = transaction.connection.scalars(
        update(TokenRow)
        .where(*conditions, unrevoked)
        .values(revoked_at=transaction.now)
        .returning(TokenRow.id)
    ).all()
    for token_id in revoked:
        _revoke_below(transaction, token_id)


def _revoke_below(transaction: Transaction, token_id: int) -> None:
    for row in transaction.connection.execute(_BELOW, {"which": token_id}).all():
        if row.revoked_at is not None:
            continue
        transaction.connection.execute(_REVOKE, {"token": row.id, "at": transaction.now})
        # A token can create others in another organisation; each is recorded in its own.
        transaction.record(
            ChangeKind.TOKEN_REVOKED,
            subject=f"token:{row.id}",
            about=f"{row.name}: with token:{token_id}",
            organisation=row.organisation_id,
        )


def shorten(transaction: Transaction, token_id: int, expires_at: int | None) -> None:
    """Make everything that a token created expire at ``expires_at`` at the latest."""
    if expires_at is None:
        return
    # Fetched before the first update: an open cursor would read rows that are being changed.
    below = [row.id for row in transaction.connection.execute(_BELOW, {"which": token_id})]
    for descendant in below:
        transaction.connection.execute(_SHORTEN, {"token": descendant, "at": expires_at})


def hand_over(transaction: Transaction, token_id: int, successor: int) -> None:
    """Make ``successor`` the parent of what a token created."""
    transaction.connection.execute(_HAND_OVER, {"which": token_id, "to": successor})


_PRESENTED = select(TokenRow.id, TokenRow.kind, TokenRow.expires_at, TokenRow.revoked_at).where(
    TokenRow.id == bindparam("which")
)
_PARENT = select(TokenRow.parent_id).where(TokenRow.id == bindparam("which"))
_END = select(TokenRow.expires_at).where(TokenRow.id == bindparam("which"))
# UNION, not UNION ALL: it would end even if the table had a circle.
_CHILDREN = (
    select(TokenRow.id).where(TokenRow.parent_id == bindparam("which")).cte("below", recursive=True)
)
_ALL_BELOW = _CHILDREN.union(
    select(TokenRow.id).join(_CHILDREN, TokenRow.parent_id == _CHILDREN.c.id)
)
_BELOW = select(TokenRow.id, TokenRow.name, TokenRow.organisation_id, TokenRow.revoked_at).where(
    TokenRow.id.in_(select(_ALL_BELOW.c.id))
)
_REVOKE = (
    update(TokenRow).where(TokenRow.id == bindparam("token")).values(revoked_at=bindparam("at"))
)
_SHORTEN = (
    update(TokenRow)
    .where(
        TokenRow.id == bindparam("token"),
        or_(TokenRow.expires_at.is_(None), TokenRow.expires_at > bindparam("at")),
    )
    .values(expires_at=bindparam("at"))
)
_HAND_OVER = (
    update(TokenRow)
    .where(TokenRow.parent_id == bindparam("which"))
    .values(parent_id=bindparam("to"))
)
