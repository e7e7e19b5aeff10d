"""Memberships: which user belongs to which organisation, and with which rights."""

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
    """A user's rights in one organisation."""

    user_id: int
    email: str
    organisation: str
    rights: Grant

    @property
    def key(self) -> str:
        """The key that lists are paged by; neither part can contain the line break between them."""
        return f"{self.email}\n{self.organisation}"


def add_member(transaction: Transaction, email: str, rights: Grant) -> None:
    """Make a user of another organisation a member of this one.

    Only a server administrator can: whoever created the account may know its password. All others
    get the same Forbidden whether the account exists or not, so that nobody can probe for
    addresses. Raises AccountExists for a member, AccountNotFound if there is no such user.
    """
    email = normalise_email(email)
    require_can_grant(transaction, rights, *email_problems(email))
    known = user_id_of(transaction.connection, email)
    # Members are no secret to those who manage them, so this may be said before the next check.
    if known is not None and is_member(transaction, known):
        raise AccountExists("member", email)
    # This comes before the look at ``known``: whether the account exists must not show.
    transaction.actor.require_administrator()
    if known is None:
        raise AccountNotFound("user", email)
    set_membership(transaction, known, email, rights)


def membership(reader: Reader, email: str) -> Membership:
    """Return the membership of the address ``email`` here. Raises AccountNotFound."""
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
    """Return the memberships that ``actor``, who is the user ``user_id``, may know of.

    These are the actor's own, those in the organisation if the actor manages users, and for a
    server administrator all those of ``email``, if that is given.

    They are sorted by address and organisation, and come after the pair ``after``. ``email``
    limits them to one address, ``search`` to addresses that contain it.
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
    # Without an address, an administrator gets the list of one organisation, as everybody does.
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
    """Create or replace a membership, unchecked: callers have checked that it can be granted."""
    key = {"user_id": user_id, "organisation_id": transaction.organisation}
    # Deleting and inserting is one path for new and old members; nothing refers to the row.
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
    """Whether a user belongs to the actor's organisation."""
    query = select(MembershipRow.role).where(
        MembershipRow.user_id == user_id, MembershipRow.organisation_id == transaction.organisation
    )
    return transaction.connection.execute(query).one_or_none() is not None


def user_id_of(connection: Connection, email: str) -> int | None:
    """Return the id of the user of a normalised address, in whichever organisation, or None."""
    query = select(UserRow.id).where(UserRow.email == email)
    return connection.execute(query).scalar_one_or_none()
