"""Users: their accounts, passwords and sessions."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from distributed_config.errors import AccountNotFound, Forbidden
from distributed_config.models import MembershipRow, TokenRow, UserRow
from distributed_config.services.access import lineage
from distributed_config.services.access.grants import Grant, load_scope, require_can_grant
from distributed_config.services.access.last_administrator import guard_last_administrator
from distributed_config.services.access.memberships import add_member, set_membership, user_id_of
from distributed_config.services.access.naming import email_problems, normalise_email
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.reader import Reader


@dataclass(frozen=True)
class User:
    """A person, as a member of one organisation. ``must_change`` applies to the password."""

    id: int
    email: str
    active: bool
    must_change: bool
    has_password: bool
    created_at: int
    rights: Grant


def create_user(transaction: Transaction, email: str, rights: Grant, hashed: str = "") -> User:
    """Create a user. ``hashed`` is the hash of their password; "" for a user without one.

    If the user exists in another organisation they become a member of this one, as ``add_member``
    does it; a new password then ends all tokens of the account. Raises Invalid, Forbidden,
    AccountExists.
    """
    # One account per address: with two spellings, one of them would be without its owner's
    # password.
    email = normalise_email(email)
    require_can_grant(transaction, rights, *email_problems(email))
    # Accounts are shared by all organisations, because a person has one address and one password.
    known = user_id_of(transaction.connection, email)
    if known is not None:
        add_member(transaction, email, rights)
        if hashed:
            # Whoever knew the old password must not stay logged in anywhere.
            _set_password(transaction, known, hashed)
            end_tokens(transaction, TokenRow.user_id == known)
        return user(transaction.reader, known)
    values = {"email": email, "password": hashed, "must_change": False, "active": True}
    user_id: int = transaction.connection.execute(
        insert(UserRow).returning(UserRow.id), {**values, "created_at": transaction.now}
    ).scalar_one()
    transaction.record(ChangeKind.USER_CREATED, subject=f"user:{user_id}", about=email)
    set_membership(transaction, user_id, email, rights)
    return user(transaction.reader, user_id)


def change_user(
    transaction: Transaction,
    user_id: int,
    *,
    active: bool | None = None,
    hashed: str | None = None,
    must_change: bool | None = None,
    rights: Grant | None = None,
) -> User:
    """Change what is not None of a user. ``hashed`` is the hash of a new password.

    Deactivating a user, or changing the password, ends their sessions.

    Raises AccountNotFound; LastAdministrator; Forbidden if the user holds more than the actor, and
    for the account itself of a user who belongs to other organisations as well.
    """
    found = user(transaction.reader, user_id)
    require_can_manage(transaction, user_id)
    # The account belongs to the user, and rights to the membership: they have different rules.
    account = {"active": active, "password": hashed, "must_change": must_change}
    values = {name: value for name, value in account.items() if value is not None}
    with guard_last_administrator(transaction):
        if values:
            _change_account(transaction, found, values)
        # Rights that stay as they are need no permission to grant them.
        if rights is not None and rights != found.rights:
            require_can_grant(transaction, rights)
            set_membership(transaction, user_id, found.email, rights)
    return user(transaction.reader, user_id)


def set_own_password(transaction: Transaction, user_id: int, hashed: str) -> None:
    """Set the password that a user chose themselves, and end all their sessions."""
    _set_password(transaction, user_id, hashed)
    end_sessions(transaction, user_id)
    transaction.record(ChangeKind.USER_CHANGED, subject=f"user:{user_id}", about="password")


def remove_user(transaction: Transaction, user_id: int) -> None:
    """End a user's membership of this organisation, and revoke their tokens in it.

    The account stays, because the journal refers to it. Raises AccountNotFound, LastAdministrator,
    and Forbidden as ``change_user`` does.
    """
    found = user(transaction.reader, user_id)
    require_can_manage(transaction, user_id)
    here = MembershipRow.organisation_id == transaction.organisation
    with guard_last_administrator(transaction):
        transaction.connection.execute(
            delete(MembershipRow).where(MembershipRow.user_id == user_id, here)
        )
    end_tokens(
        transaction,
        TokenRow.user_id == user_id,
        TokenRow.organisation_id == transaction.organisation,
    )
    transaction.record(ChangeKind.MEMBERSHIP_REMOVED, subject=f"user:{user_id}", about=found.email)


def user(reader: Reader, user_id: int) -> User:
    """Return a member of the organisation. Raises AccountNotFound."""
    row = reader.connection.execute(
        _USERS.where(
            MembershipRow.organisation_id == reader.visibility.organisation, UserRow.id == user_id
        )
    ).one_or_none()
    if row is None:
        raise AccountNotFound("user", user_id)
    return _user(row)


def users(reader: Reader, *, after: str = "", search: str = "", limit: int) -> list[User]:
    """Return the members after the address ``after``, by address; it contains ``search``."""
    query = _USERS.where(
        MembershipRow.organisation_id == reader.visibility.organisation, UserRow.email > after
    )
    if search:
        # autoescape: an underscore in an address is a character, and not a wildcard.
        query = query.where(UserRow.email.icontains(search, autoescape=True))
    rows = reader.connection.execute(query.order_by(UserRow.email).limit(limit))
    return [_user(row) for row in rows]


def end_sessions(transaction: Transaction, user_id: int) -> None:
    """End every session of a user. Their tokens stay: programs depend on them."""
    end_tokens(transaction, TokenRow.user_id == user_id, TokenRow.kind == "session")


def has_no_accounts(connection: Connection) -> bool:
    """Whether there is neither a user nor a token, so that a first administrator is needed."""
    counts = select(
        select(func.count()).select_from(UserRow).scalar_subquery(),
        select(func.count()).select_from(TokenRow).scalar_subquery(),
    )
    users_, tokens = connection.execute(counts).one()
    # Either is enough: a server that is used by programs alone needs no user.
    return not users_ and not tokens


def require_can_manage(transaction: Transaction, user_id: int) -> None:
    """Raise Forbidden if the user holds more than the actor, in this organisation or in another.

    Changing a user's password, or rotating a token of theirs, is a way to act as that user.
    """
    transaction.actor.require("user:manage")
    require_can_grant(transaction, user(transaction.reader, user_id).rights)
    # An administrator elsewhere administers this server too, whatever their role here.
    administers = transaction.connection.execute(
        select(MembershipRow.user_id)
        .where(MembershipRow.user_id == user_id, MembershipRow.role == "administrator")
        .limit(1)
    ).one_or_none()
    if administers is not None:
        transaction.actor.require_administrator()


def _require_sole_membership(transaction: Transaction, found: User) -> None:
    """Raise Forbidden for a member of other organisations, except to a server administrator."""
    if transaction.actor.is_administrator:
        return
    elsewhere = transaction.connection.execute(
        select(func.count())
        .select_from(MembershipRow)
        .where(
            MembershipRow.user_id == found.id,
            MembershipRow.organisation_id != transaction.organisation,
        )
    ).scalar_one()
    if elsewhere:
        raise Forbidden(
            f"{found.email} belongs to other organisations as well; only an administrator of the "
            "server can change the account itself. Remove them from your organisation instead."
        )


_USERS = select(
    UserRow.id,
    UserRow.email,
    UserRow.active,
    UserRow.must_change,
    UserRow.password,
    UserRow.created_at,
    MembershipRow.role,
    MembershipRow.services,
    MembershipRow.environments,
).join(MembershipRow, MembershipRow.user_id == UserRow.id)


def _user(row: Any) -> User:
    rights = Grant(row.role, load_scope(row.services, row.environments))
    return User(
        row.id,
        row.email,
        row.active,
        row.must_change,
        bool(row.password),
        row.created_at,
        rights,
    )


def _change_account(transaction: Transaction, found: User, values: dict[str, Any]) -> None:
    """Change the account itself, which every organisation shares that the user belongs to."""
    _require_sole_membership(transaction, found)
    transaction.connection.execute(update(UserRow).where(UserRow.id == found.id).values(**values))
    if values.get("active") is False or "password" in values:
        # A session proves the old password, or an active account; neither holds any more.
        end_sessions(transaction, found.id)
    changed = ", ".join(values)
    transaction.record(
        ChangeKind.USER_CHANGED, subject=f"user:{found.id}", about=f"{found.email}: {changed}"
    )


def _set_password(transaction: Transaction, user_id: int, hashed: str) -> None:
    transaction.connection.execute(
        update(UserRow)
        .where(UserRow.id == user_id)
        .values(password=hashed, must_change=False, active=True)
    )


def end_tokens(transaction: Transaction, *conditions: ColumnElement[bool]) -> None:
    """Revoke the tokens that meet ``conditions``, and all that they created.

    Raises LastAdministrator.
    """
    with guard_last_administrator(transaction):
        lineage.revoke(transaction, *conditions)
