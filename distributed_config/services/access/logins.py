"""Log-ins: with a password, or through an identity provider."""

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
    """A user who has logged in, and the organisation that they act in unless they name another."""

    user_id: int
    organisation: int
    password_hash: str
    """The stored hash that the password was verified against; "" if there was no password."""


def authenticate(connection: Connection, email: str, password: str) -> Login | None:
    """Return the log-in of an address and its password; None in every other case.

    It takes dozens of milliseconds, and equally long whether there is such a user or not.
    """
    row = connection.execute(
        select(UserRow.id, UserRow.password, UserRow.active).where(
            UserRow.email == email.strip().lower()
        )
    ).one_or_none()
    # Verified in every case, before anything is decided, so that every refusal takes equally long.
    is_right = verify_password(password, "" if row is None else row.password)
    if row is None or not is_right or not row.active:
        return None
    return _login(connection, row.id, row.password)


def is_still_valid(connection: Connection, login: Login) -> bool:
    """Whether the user is still active, and the password still the one that was verified.

    Verifying takes long and happens outside the write lock, so the account may change meanwhile.
    """
    row = connection.execute(
        select(UserRow.password, UserRow.active).where(UserRow.id == login.user_id)
    ).one()
    return bool(row.active) and bool(row.password == login.password_hash)


def from_identity_provider(transaction: Transaction, email: str, role: str) -> Login | None:
    """Return the log-in of an address that an identity provider vouches for, or None.

    An unknown address becomes a user with ``role`` in the actor's organisation; "" admits no
    unknown ones. Users who are inactive, or belong to no organisation any more, may not log in.
    Raises Invalid if there is no such role, or it is no address.
    """
    email = _normalise_vouched(email)
    row = transaction.connection.execute(
        select(UserRow.id, UserRow.active).where(UserRow.email == email)
    ).one_or_none()
    # The provider vouches for the address, so it may create the account (just-in-time
    # provisioning).
    if row is None and role:
        created = users.create_user(transaction, email, Grant(role))
        return Login(created.id, transaction.organisation, "")
    if row is None or not row.active:
        return None
    return _login(transaction.connection, row.id, "")


def has_password(connection: Connection, user_id: int, password: str) -> bool:
    """Whether ``password`` is the user's."""
    hashed = connection.execute(
        select(UserRow.password).where(UserRow.id == user_id)
    ).scalar_one_or_none()
    return verify_password(password, hashed or "")


def _login(connection: Connection, user_id: int, password_hash: str) -> Login | None:
    organisation = connection.execute(
        select(MembershipRow.organisation_id)
        .where(MembershipRow.user_id == user_id)
        # The oldest organisation first, so that the same one is chosen at every log-in.
        .order_by(MembershipRow.organisation_id)
        .limit(1)
    ).scalar_one_or_none()
    return None if organisation is None else Login(user_id, organisation, password_hash)


def _normalise_vouched(email: str) -> str:
    """Return an address as it is stored. Raises Invalid for one that may be somebody else's.

    Beyond ASCII, different letters have the same lower case: that of the kelvin sign is k. So a
    provider that lets anybody register such an address must not give them another's account.
    """
    stored = unicodedata.normalize("NFC", email).lower()
    if not email.isascii() and stored != email:
        raise Invalid.from_problems(
            [Problem("/email", "Write the address in lower case.", "email")]
        )
    return stored


def end_session(transaction: Transaction, token_id: int) -> None:
    """End a session, or another token that its holder gives up. Raises LastAdministrator.

    It is recorded in the journal, so that no process goes on answering the token from its cache.
    """
    # A user without a password counts as an administrator by having logged in, so even a log-out
    # can end the last one.
    with guard_last_administrator(transaction):
        lineage.revoke(transaction, TokenRow.id == token_id)
    transaction.record(ChangeKind.TOKEN_REVOKED, subject=f"token:{token_id}", about="logged out")
