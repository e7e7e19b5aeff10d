"""Log-ins: by password, and by what an identity provider vouches for."""

import unicodedata
from dataclasses import dataclass

from sqlalchemy import Connection, select

from distributed_config.errors import Invalid, Problem
from distributed_config.models import MembershipRow, TokenRow, UserRow
from distributed_config.services.access import lineage, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.last_administrator import guard_last_administrator
from distributed_config.services.access.passwords import verify_password
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction


@dataclass(frozen=True)
class Login:
    """Who logged in, and the organisation that they act in unless they name another."""

    user_id: int
    organisation: int
    kept: str
    """What is kept of the password that they gave; "" if they gave none."""


def authenticate(connection: Connection, email: str, password: str) -> Login | None:
    """The user of that address, if the password is theirs; None in every other case.

    It takes as long whether there is such a user or not: some dozen milliseconds.
    """
    row = connection.execute(
        select(UserRow.id, UserRow.password, UserRow.active).where(
            UserRow.email == email.strip().lower()
        )
    ).one_or_none()
    good = verify_password(password, "" if row is None else row.password)
    if row is None or not good or not row.active:
        return None
    return _login(connection, row.id, row.password)


def is_still_valid(connection: Connection, found: Login) -> bool:
    """Whether the password is still theirs, and they still active: checking takes long."""
    row = connection.execute(
        select(UserRow.password, UserRow.active).where(UserRow.id == found.user_id)
    ).one()
    return bool(row.active) and bool(row.password == found.kept)


def from_identity_provider(transaction: Transaction, email: str, role: str) -> Login | None:
    """The user of an address that an identity provider vouches for; None if they may not log in.

    Who is not known yet becomes a user with ``role`` in the actor's organisation, unless it is
    empty. Who was made inactive, or belongs nowhere any more, stays out. Raises Invalid if the
    role is none, or the address is not one.
    """
    email = _as_kept(email)
    row = transaction.connection.execute(
        select(UserRow.id, UserRow.active).where(UserRow.email == email)
    ).one_or_none()
    if row is None and role:
        made = users.create_user(transaction, email, Grant(role))
        return Login(made.id, transaction.organisation, "")
    if row is None or not row.active:
        return None
    return _login(transaction.connection, row.id, "")


def has_password(connection: Connection, user_id: int, password: str) -> bool:
    """Whether ``password`` is that of the user."""
    kept = connection.execute(
        select(UserRow.password).where(UserRow.id == user_id)
    ).scalar_one_or_none()
    return verify_password(password, kept or "")


def _login(connection: Connection, user_id: int, kept: str) -> Login | None:
    organisation = connection.execute(
        select(MembershipRow.organisation_id)
        .where(MembershipRow.user_id == user_id)
        .order_by(MembershipRow.organisation_id)
        .limit(1)
    ).scalar_one_or_none()
    return None if organisation is None else Login(user_id, organisation, kept)


def _as_kept(email: str) -> str:
    """An address as users have it. Raises Invalid for one that only looks like another's.

    Beyond ASCII different letters can come to the same small one: the sign for kelvin comes to k.
    """
    kept = unicodedata.normalize("NFC", email).lower()
    if not email.isascii() and kept != email:
        raise Invalid.from_problems(
            [Problem("/email", "Write the address in small letters.", "email")]
        )
    return kept


def end_session(transaction: Transaction, token_id: int) -> None:
    """Ends a session, or another token that its holder gives up.

    It is recorded, so that no process answers from memory to who still shows it. Raises
    LastAdministrator.
    """
    with guard_last_administrator(transaction):
        lineage.revoke(transaction, TokenRow.id == token_id)
    transaction.record(ChangeKind.TOKEN_REVOKED, subject=f"token:{token_id}", about="logged out")
