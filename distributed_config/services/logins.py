"""Log-ins by password."""

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from distributed_config.models import MembershipRow, TokenRow, UserRow
from distributed_config.services import journal as log
from distributed_config.services.credentials import fits
from distributed_config.services.journal import Journal


@dataclass(frozen=True)
class Login:
    """Who logged in, and the organisation that they act in unless they name another."""

    user_id: int
    organisation: int
    kept: str
    """What is kept of the password that they gave."""


def find(connection: Connection, email: str, password: str) -> Login | None:
    """The user of that address, if the password is theirs; None in every other case.

    It takes as long whether there is such a user or not: some dozen milliseconds.
    """
    row = connection.execute(
        select(UserRow.id, UserRow.password, UserRow.active).where(
            UserRow.email == email.strip().lower()
        )
    ).one_or_none()
    good = fits(password, "" if row is None else row.password)
    if row is None or not good or not row.active:
        return None
    organisation = connection.execute(
        select(MembershipRow.organisation_id)
        .where(MembershipRow.user_id == row.id)
        .order_by(MembershipRow.organisation_id)
        .limit(1)
    ).scalar_one_or_none()
    return None if organisation is None else Login(row.id, organisation, row.password)


def is_good(connection: Connection, found: Login) -> bool:
    """Whether the password is still theirs, and they still active: checking takes long."""
    row = connection.execute(
        select(UserRow.password, UserRow.active).where(UserRow.id == found.user_id)
    ).one()
    return bool(row.active) and bool(row.password == found.kept)


def has_password(connection: Connection, user_id: int, password: str) -> bool:
    """Whether ``password`` is that of the user."""
    kept = connection.execute(
        select(UserRow.password).where(UserRow.id == user_id)
    ).scalar_one_or_none()
    return fits(password, kept or "")


def end(journal: Journal, token_id: int) -> None:
    """Ends a session, or another token that its holder gives up.

    It is recorded, so that no process answers from memory to who still shows it.
    """
    journal.connection.execute(
        update(TokenRow)
        .where(TokenRow.id == token_id, TokenRow.revoked_at.is_(None))
        .values(revoked_at=journal.now)
    )
    journal.record(log.TOKEN_REVOKED, subject=f"token:{token_id}", about="logged out")
