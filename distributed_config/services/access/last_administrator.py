"""The guard that keeps the server from losing its last administrator.

An administrator holds the role ``administrator`` without limits, in any organisation, and can get
in. That is one of these:

* an active user with a password, or one who has logged in without a password, through an identity
  provider;
* a machine token that is neither revoked nor expired.

A user's own tokens do not count: they only have what their user has. A token that will expire
counts until then, because time is no request that could be refused. The rule holds for everybody,
the local operator included; to replace the last administrator, create another one first.
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
    """Raise LastAdministrator if the body of the ``with`` took the last administrator away.

    ``until`` is a later time at which a part of it takes effect, and is checked as well. It all
    runs under the write lock, so of two administrators who remove each other one fails.
    """
    moments = {transaction.wall, max(until or 0, transaction.wall)}
    # A database that has no administrator yet, as before its first account, is not made worse.
    before = [at for at in moments if _has_administrator(transaction.connection, at)]
    yield
    if not all(_has_administrator(transaction.connection, at) for at in before):
        raise LastAdministrator()


def _has_administrator(connection: Connection, at: int) -> bool:
    """Whether the server has an administrator at the time ``at``, if nothing else changes."""
    # Services do not know whether there is an identity provider. A log-in without a password is
    # proof of one (decision 15).
    logged_in = exists().where(TokenRow.user_id == UserRow.id, TokenRow.kind == "session")
    users = (
        select(UserRow.id)
        .join(MembershipRow, MembershipRow.user_id == UserRow.id)
        .where(
            UserRow.active,
            MembershipRow.role == _ROLE,
            # An administrator of some services alone could not repair the rest.
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
    return any(connection.execute(query.limit(1)).first() for query in (users, programs))
