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
    """A person, as a member of one organisation."""

    id: int
    email: str
    active: bool
    must_change: bool
    has_password: bool
    created_at: int
    rights: Grant


def create_user(transaction: Transaction, email: str, rights: Grant, hashed: str = "") -> User:
    """Makes a user; ``hashed`` is what is kept of their password, "" for none.

    Raises AccountExists. One who exists in another organisation is made a member of this one, as
    ``add_member`` does; if they get another password, all tokens of the account end.
    """
    email = normalise_email(email)
    require_can_grant(transaction, rights, *email_problems(email))
    known = user_id_of(transaction.connection, email)
    if known is not None:
        add_member(transaction, email, rights)
        if hashed:
            _set_password(transaction, known, hashed)
            end_tokens(transaction, TokenRow.user_id == known)
        return user(transaction.reader, known)
    values = {"email": email, "password": hashed, "must_change": False, "active": True}
    made: int = transaction.connection.execute(
        insert(UserRow).returning(UserRow.id), {**values, "created_at": transaction.now}
    ).scalar_one()
    transaction.record(ChangeKind.USER_CREATED, subject=f"user:{made}", about=email)
    set_membership(transaction, made, email, rights)
    return user(transaction.reader, made)


def change_user(
    transaction: Transaction,
    user_id: int,
    *,
    active: bool | None = None,
    hashed: str | None = None,
    must_change: bool | None = None,
    rights: Grant | None = None,
) -> User:
    """Changes what is not None; ``hashed`` is what is kept of another password.

    A user who is not active any more, or has another password, is logged out.

    Raises AccountNotFound; LastAdministrator; Forbidden for the account of who holds more, or, but
    for their rights, of who belongs to other organisations as well.
    """
    found = user(transaction.reader, user_id)
    require_can_manage(transaction, user_id)
    account = {"active": active, "password": hashed, "must_change": must_change}
    values = {name: value for name, value in account.items() if value is not None}
    with guard_last_administrator(transaction):
        if values:
            _change_account(transaction, found, values)
        if rights is not None and rights != found.rights:
            require_can_grant(transaction, rights)
            set_membership(transaction, user_id, found.email, rights)
    return user(transaction.reader, user_id)


def set_own_password(transaction: Transaction, user_id: int, hashed: str) -> None:
    """What a user does for themselves; every session of theirs ends."""
    _set_password(transaction, user_id, hashed)
    end_sessions(transaction, user_id)
    transaction.record(ChangeKind.USER_CHANGED, subject=f"user:{user_id}", about="password")


def remove_user(transaction: Transaction, user_id: int) -> None:
    """Ends a membership, and revokes the user's tokens here; the account stays for its history.

    Raises AccountNotFound, LastAdministrator, and Forbidden as ``change_user`` does.
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
    """A member of the organisation. Raises AccountNotFound."""
    row = reader.connection.execute(
        _USERS.where(
            MembershipRow.organisation_id == reader.visibility.organisation, UserRow.id == user_id
        )
    ).one_or_none()
    if row is None:
        raise AccountNotFound("user", user_id)
    return _user(row)


def users(reader: Reader, *, after: str = "", search: str = "", limit: int) -> list[User]:
    """The members behind the address ``after``, by address; ``search`` is a part of it."""
    query = _USERS.where(
        MembershipRow.organisation_id == reader.visibility.organisation, UserRow.email > after
    )
    if search:
        query = query.where(UserRow.email.icontains(search, autoescape=True))
    rows = reader.connection.execute(query.order_by(UserRow.email).limit(limit))
    return [_user(row) for row in rows]


def end_sessions(transaction: Transaction, user_id: int) -> None:
    """Ends every session of a user; tokens that they made stay."""
    end_tokens(transaction, TokenRow.user_id == user_id, TokenRow.kind == "session")


def has_no_accounts(connection: Connection) -> bool:
    """Whether there is neither a user nor a token: then somebody has to be let in first."""
    counts = select(
        select(func.count()).select_from(UserRow).scalar_subquery(),
        select(func.count()).select_from(TokenRow).scalar_subquery(),
    )
    users_, tokens = connection.execute(counts).one()
    return not users_ and not tokens


def require_can_manage(transaction: Transaction, user_id: int) -> None:
    """Raises Forbidden for the account of somebody who may more than the actor, here or elsewhere.

    Who may change a user's password, or take over a token of theirs, could become that user.
    """
    transaction.actor.require("user:manage")
    require_can_grant(transaction, user(transaction.reader, user_id).rights)
    administers = transaction.connection.execute(
        select(MembershipRow.user_id)
        .where(MembershipRow.user_id == user_id, MembershipRow.role == "administrator")
        .limit(1)
    ).one_or_none()
    if administers is not None:
        transaction.actor.require_administrator()


def _require_sole_membership(transaction: Transaction, found: User) -> None:
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
            f"{found.email} belongs to other organisations as well; only who administers the "
            "server can change the account itself. Remove them from yours instead."
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
    """What concerns the account itself, and so every organisation that it belongs to."""
    _require_sole_membership(transaction, found)
    transaction.connection.execute(update(UserRow).where(UserRow.id == found.id).values(**values))
    if values.get("active") is False or "password" in values:
        end_sessions(transaction, found.id)
    told = ", ".join(values)
    transaction.record(
        ChangeKind.USER_CHANGED, subject=f"user:{found.id}", about=f"{found.email}: {told}"
    )


def _set_password(transaction: Transaction, user_id: int, hashed: str) -> None:
    transaction.connection.execute(
        update(UserRow)
        .where(UserRow.id == user_id)
        .values(password=hashed, must_change=False, active=True)
    )


def end_tokens(transaction: Transaction, *which: ColumnElement[bool]) -> None:
    """Revokes these tokens and what they made, if somebody still administers the server then."""
    with guard_last_administrator(transaction):
        lineage.revoke(transaction, *which)
