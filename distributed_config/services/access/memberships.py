"""Who belongs to which organisation, and as what."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select

from distributed_config.errors import AccountExists, AccountNotFound
from distributed_config.models import MembershipRow, OrganisationRow, UserRow
from distributed_config.services.access.grants import Grant, load_scope, require_can_grant
from distributed_config.services.access.naming import email_problems, normalise_email
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import Actor
from distributed_config.services.reader import Reader


@dataclass(frozen=True)
class Membership:
    """What a user may do in an organisation."""

    user_id: int
    email: str
    organisation: str
    rights: Grant

    @property
    def key(self) -> str:
        """Where it stands in a list; neither part has a line's end in it."""
        return f"{self.email}\n{self.organisation}"


def add_member(transaction: Transaction, email: str, rights: Grant) -> None:
    """Makes a user of another organisation a member of this one.

    For those who administer the server only, because whoever made the account may know its
    password. Others are told the same whether there is such an account or not. Raises
    AccountExists for a member, AccountNotFound where there is no such user.
    """
    email = normalise_email(email)
    require_can_grant(transaction, rights, *email_problems(email))
    known = user_id_of(transaction.connection, email)
    if known is not None and is_member(transaction, known):
        raise AccountExists("member", email)
    transaction.actor.require_administrator()
    if known is None:
        raise AccountNotFound("user", email)
    set_membership(transaction, known, email, rights)


def membership(reader: Reader, email: str) -> Membership:
    """The membership of the address ``email`` in the organisation. Raises AccountNotFound."""
    row = reader.connection.execute(
        _MEMBERSHIPS.where(
            OrganisationRow.id == reader.visibility.organisation,
            UserRow.email == normalise_email(email),
        )
    ).one_or_none()
    if row is None:
        raise AccountNotFound("membership", email)
    return _membership(row)


def memberships(
    connection: Connection,
    actor: Actor,
    *,
    user_id: int | None = None,
    email: str = "",
    search: str = "",
    after: tuple[str, str] = ("", ""),
    limit: int,
) -> list[Membership]:
    """The memberships that ``actor``, who is the user ``user_id``, may know of.

    Their own; for who manages users those in the organisation; and for who administers the server
    all of ``email``, where that is given. By address and organisation, those behind ``after``;
    only those of ``email`` unless it is empty, and with ``search`` as a part of it.
    """
    address, name = UserRow.email, OrganisationRow.name
    here = actor.organisation if actor.may("user:manage") else None
    query = _MEMBERSHIPS.where(
        or_(address > after[0], and_(address == after[0], name > after[1])),
    )
    if email:
        query = query.where(address == normalise_email(email))
    if search:
        query = query.where(address.icontains(search, autoescape=True))
    if not (email and actor.is_administrator):
        query = query.where(or_(UserRow.id == user_id, OrganisationRow.id == here))
    rows = connection.execute(query.order_by(address, name).limit(limit))
    return [_membership(row) for row in rows]


_MEMBERSHIPS = (
    select(
        UserRow.id,
        UserRow.email,
        OrganisationRow.name,
        MembershipRow.role,
        MembershipRow.services,
        MembershipRow.environments,
    )
    .join(MembershipRow, MembershipRow.user_id == UserRow.id)
    .join(OrganisationRow, OrganisationRow.id == MembershipRow.organisation_id)
)


def _membership(row: Any) -> Membership:
    rights = Grant(row.role, load_scope(row.services, row.environments))
    return Membership(row.id, row.email, row.name, rights)


def set_membership(transaction: Transaction, user_id: int, email: str, rights: Grant) -> None:
    key = {"user_id": user_id, "organisation_id": transaction.organisation}
    transaction.connection.execute(delete(MembershipRow).filter_by(**key))
    transaction.connection.execute(
        insert(MembershipRow),
        {
            **key,
            "role": rights.role,
            "services": json.dumps(rights.scope.services),
            "environments": json.dumps(rights.scope.environments),
            "created_at": transaction.now,
        },
    )
    about = f"{email}: {rights.role}"
    transaction.record(ChangeKind.MEMBERSHIP_SET, subject=f"user:{user_id}", about=about)


def is_member(transaction: Transaction, user_id: int) -> bool:
    query = select(MembershipRow.role).where(
        MembershipRow.user_id == user_id, MembershipRow.organisation_id == transaction.organisation
    )
    return transaction.connection.execute(query).one_or_none() is not None


def user_id_of(connection: Connection, email: str) -> int | None:
    query = select(UserRow.id).where(UserRow.email == email)
    return connection.execute(query).scalar_one_or_none()
