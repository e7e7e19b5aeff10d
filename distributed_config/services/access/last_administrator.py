"""Somebody is left who administers the server: nobody takes away the last one over the network.

Who counts holds the role ``administrator`` without limits, in any organisation, and can get in:

* a user who is active and has a password, or has logged in without one, as an identity provider
  lets them;
* a program's token that is neither revoked nor ended.

What a user's own tokens may follows from the user. Time is nobody's doing: a token that ends
counts until then. The rule is the same for everybody, the local operator too; who wants the last
one to go makes another first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, exists, or_, select

from distributed_config.errors import LastAdministrator
from distributed_config.models import MembershipRow, TokenRow, UserRow
from distributed_config.services.journal.transaction import Transaction

_ROLE = "administrator"
_NO_LIMIT = "[]"


@contextmanager
def guard_last_administrator(transaction: Transaction, until: int | None = None) -> Iterator[None]:
    """For what may take an administrator away. Raises LastAdministrator if it was the last one.

    ``until`` is when some of it takes effect, if that is later: who is gone by then does not
    count. It is looked at under the write lock, so that of two who take away each other one fails.
    """
    moments = {transaction.wall, max(until or 0, transaction.wall)}
    before = [at for at in moments if _anybody(transaction.connection, at)]
    yield
    if not all(_anybody(transaction.connection, at) for at in before):
        raise LastAdministrator()


def _anybody(connection: Connection, at: int) -> bool:
    """Whether anybody administers the server at that time, as things are."""
    logged_in = exists().where(TokenRow.user_id == UserRow.id, TokenRow.kind == "session")
    users = (
        select(UserRow.id)
        .join(MembershipRow, MembershipRow.user_id == UserRow.id)
        .where(
            UserRow.active,
            MembershipRow.role == _ROLE,
            MembershipRow.services == _NO_LIMIT,
            MembershipRow.environments == _NO_LIMIT,
            or_(UserRow.password != "", logged_in),
        )
    )
    programs = select(TokenRow.id).where(
        TokenRow.kind == "machine",
        TokenRow.role == _ROLE,
        TokenRow.services == _NO_LIMIT,
        TokenRow.environments == _NO_LIMIT,
        TokenRow.revoked_at.is_(None),
        or_(TokenRow.expires_at.is_(None), TokenRow.expires_at > at),
    )
    return any(connection.execute(each.limit(1)).first() for each in (users, programs))
