"""Which token made which: what a token made ends with it, and no later than it.

The tie is written down where a token is made, and followed where one ends, under the write lock.
So whoever looks a token up needs to look at nothing but its own row. A log-in is no maker: it is
its user, whose tokens outlive it.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, or_, select, update

from distributed_config.errors import Forbidden
from distributed_config.models import TokenRow
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction


@dataclass(frozen=True)
class Maker:
    """The token of who asks. ``expires_at`` None: it never ends by itself."""

    id: int
    kind: str
    expires_at: int | None

    def outlasts(self, expires_at: int | None) -> bool:
        """Whether it is good for as long as something that ends at ``expires_at``."""
        if self.expires_at is None:
            return True
        return expires_at is not None and expires_at <= self.expires_at


def maker_of(transaction: Transaction) -> Maker | None:
    """The token of who asks; None for a log-in and for the local operator.

    Raises Forbidden if it has ended since the request was let in: what it made now would be left
    over.
    """
    kind, _, number = transaction.actor.key.partition(":")
    if kind != "token":
        return None
    row = transaction.connection.execute(_MAKER, {"which": int(number)}).one()
    if row.revoked_at is not None or (
        row.expires_at is not None and row.expires_at <= transaction.wall
    ):
        raise Forbidden("The token that you show has just ended. Get another one.")
    return None if row.kind == "session" else Maker(row.id, row.kind, row.expires_at)


def parent_of(connection: Connection, token_id: int) -> int | None:
    """The token that made this one."""
    return connection.execute(_PARENT, {"which": token_id}).scalar_one()


def end_of(connection: Connection, token_id: int) -> int | None:
    """When a token ends by itself; None: never."""
    return connection.execute(_END, {"which": token_id}).scalar_one()


def is_below(connection: Connection, token_id: int, above: int) -> bool:
    """Whether ``above`` made a token, or made what made it, and so on."""
    parent = parent_of(connection, token_id)
    while parent is not None and parent != above:
        parent = parent_of(connection, parent)
    return parent is not None


def revoke(transaction: Transaction, *which: ColumnElement[bool]) -> None:
    """Revokes the tokens that fit ``which``, and all that they made; the latter is recorded."""
    good = TokenRow.revoked_at.is_(None)
    ended = transaction.connection.scalars(
        update(TokenRow)
        .where(*which, good)
        .values(revoked_at=transaction.now)
        .returning(TokenRow.id)
    ).all()
    for token_id in ended:
        for row in transaction.connection.execute(_BELOW, {"which": token_id}).all():
            if row.revoked_at is None:
                transaction.connection.execute(_REVOKE, {"token": row.id, "at": transaction.now})
                transaction.record(
                    ChangeKind.TOKEN_REVOKED,
                    subject=f"token:{row.id}",
                    about=f"{row.name}: with token:{token_id}",
                    organisation=row.organisation_id,
                )


def shorten(transaction: Transaction, token_id: int, expires_at: int | None) -> None:
    """Lets what a token made end at ``expires_at`` at the latest."""
    if expires_at is None:
        return
    below = [row.id for row in transaction.connection.execute(_BELOW, {"which": token_id})]
    for each in below:
        transaction.connection.execute(_SHORTEN, {"token": each, "at": expires_at})


def hand_over(transaction: Transaction, token_id: int, to: int) -> None:
    """Makes what a token made that of its successor."""
    transaction.connection.execute(_HAND_OVER, {"which": token_id, "to": to})


# --- statements, made once


_MAKER = select(TokenRow.id, TokenRow.kind, TokenRow.expires_at, TokenRow.revoked_at).where(
    TokenRow.id == bindparam("which")
)
_PARENT = select(TokenRow.parent_id).where(TokenRow.id == bindparam("which"))
_END = select(TokenRow.expires_at).where(TokenRow.id == bindparam("which"))
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
