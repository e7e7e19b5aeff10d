"""The tokens of an organisation, as they are listed: never with their secrets."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from distributed_config.errors import AccountNotFound
from distributed_config.models import TokenRow, UserRow
from distributed_config.services.access import grants
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.identify import CLOCKS_DIFFER, COLUMNS
from distributed_config.services.reader import Reader

_MOST_REPORTED = 20


@dataclass(frozen=True)
class Token:
    """A token as it is listed. Times are microseconds since the epoch, as in the tables.

    ``hint`` is how the secret begins. ``user`` is the address of the user that it belongs to; None
    for a machine token. ``expires_at`` None means that it never expires.
    """

    id: int
    kind: str
    name: str
    hint: str
    user: str | None
    rights: Grant
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None
    used_at: int | None
    used_from: str

    def has_ended(self, now: int) -> bool:
        """Whether it is revoked, or expired at the time ``now``."""
        expired = self.expires_at is not None and self.expires_at <= now
        return self.revoked_at is not None or expired


@dataclass(frozen=True)
class IssuedToken:
    """A token that was just issued, with its secret, which nobody can read again."""

    token: Token
    secret: str


def token(reader: Reader, token_id: int) -> Token:
    """Return a token of the organisation; sessions are none. Raises AccountNotFound."""
    row = reader.connection.execute(
        TOKENS.where(
            TokenRow.organisation_id == reader.visibility.organisation,
            TokenRow.id == token_id,
            TokenRow.kind != "session",
        )
    ).one_or_none()
    if row is None:
        raise AccountNotFound("token", token_id)
    return token_of_row(row)


def require_owner(reader: Reader, token_id: int, user_id: int) -> None:
    """Raise AccountNotFound unless the token belongs to the user ``user_id``; 0 means anybody."""
    row = reader.connection.execute(
        select(TokenRow.user_id).where(
            TokenRow.organisation_id == reader.visibility.organisation,
            TokenRow.id == token_id,
            TokenRow.kind != "session",
        )
    ).one_or_none()
    if row is None or (user_id and row.user_id != user_id):
        raise AccountNotFound("token", token_id)


def tokens(
    reader: Reader,
    *,
    user_id: int | None = None,
    after: int = 0,
    search: str = "",
    limit: int,
) -> list[Token]:
    """Return the tokens with an id after ``after``, oldest first; sessions are not listed.

    ``user_id`` limits them to one user's, ``search`` to names that contain it in any case.
    """
    query = TOKENS.where(
        TokenRow.organisation_id == reader.visibility.organisation,
        TokenRow.id > after,
        TokenRow.kind != "session",
    )
    # 0 is no user, so this cannot be a mere truth test.
    if user_id is not None:
        query = query.where(TokenRow.user_id == user_id)
    if search:
        query = query.where(TokenRow.name.icontains(search, autoescape=True))
    rows = reader.connection.execute(query.order_by(TokenRow.id).limit(limit))
    return [token_of_row(row) for row in rows]


def created_after(connection: Connection, moment: int) -> list[int]:
    """Return the ids of the first 20 good tokens with an expiry that were created after ``moment``.

    If ``moment`` is now, the clock was ahead when they were created, and they expire too late.
    Clocks may differ by ten minutes before a token counts.
    """
    # Tokens of programs are not ended for a wrong clock: one that is ten minutes slow would stop
    # them all. So they are only reported (decision 24).
    query = select(TokenRow.id).where(
        TokenRow.created_at > moment + CLOCKS_DIFFER,
        TokenRow.expires_at.is_not(None),
        TokenRow.revoked_at.is_(None),
        TokenRow.kind != "session",
    )
    return list(connection.scalars(query.order_by(TokenRow.id).limit(_MOST_REPORTED)))


def owner_of(connection: Connection, token_id: int) -> int | None:
    """Return the id of the user that a token belongs to; None for a machine token."""
    return connection.execute(
        select(TokenRow.user_id).where(TokenRow.id == token_id)
    ).scalar_one_or_none()


# Built once: building a statement takes several times as long as executing it.
TOKENS = select(*COLUMNS).outerjoin(UserRow, UserRow.id == TokenRow.user_id)


def token_of_row(row: Any) -> Token:
    """Return the token in a row of ``TOKENS``."""
    rights = Grant(row.role, grants.load_scope(row.services, row.environments))
    return Token(
        row.id,
        row.kind,
        row.name,
        row.hint,
        row.email,
        rights,
        row.created_at,
        row.created_by,
        row.expires_at,
        row.revoked_at,
        row.used_at,
        row.used_from,
    )
