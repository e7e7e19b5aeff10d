"""Roles: the built-in ones, and those that an organisation defines itself."""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from distributed_config.errors import AccountNotFound, Forbidden, Invalid, Problem
from distributed_config.models import MembershipRow, RoleRow, TokenRow
from distributed_config.services.access.naming import role_name_problems
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import Actor
from distributed_config.services.policy.permissions import EVERYTHING, ROLES, expand, is_known
from distributed_config.services.reader import Reader


@dataclass(frozen=True)
class Role:
    """A named set of permissions. ``own`` says that the organisation defined it itself."""

    name: str
    permissions: tuple[str, ...]
    own: bool

    @property
    def key(self) -> str:
        """The key that lists are sorted and paged by: the built-in roles come first."""
        # 0 sorts before 1.
        return f"{self.own:d}{self.name}"


def set_role(transaction: Transaction, name: str, permissions: Sequence[str]) -> Role:
    """Define a role of the organisation, or replace the permissions of one.

    Raises Invalid for unknown permissions and for names of built-in roles; Forbidden if the actor
    does not hold all permissions of the new role and of the role as it was.
    """
    name = unicodedata.normalize("NFC", name)
    before = own_role(transaction.connection, transaction.organisation, name)
    # The rules for names are newer than some roles, which must still be changeable.
    problems = [] if before is not None else role_name_problems(transaction, name)
    problems += [
        Problem(f"/permissions/{position}", f"{name!r} is not a permission.", "permission")
        for position, name in enumerate(permissions)
        # ``*`` reaches into all organisations, so only the built-in administrator holds it.
        if not is_known(name) or name == EVERYTHING
    ]
    if problems:
        raise Invalid.from_problems(problems)
    # Also the old permissions: replacing them takes them away from everybody who has the role.
    for held in (tuple(permissions), () if before is None else before.permissions):
        require_holds(transaction.actor, expand(held))
    transaction.actor.require_unrestricted()
    # Sorted, so that the journal shows the same text for the same role.
    text = json.dumps(sorted(set(permissions)))
    key = {"organisation_id": transaction.organisation, "name": name}
    # Users and tokens name their role, so replacing the row changes all of them at once.
    transaction.connection.execute(delete(RoleRow).filter_by(**key))
    transaction.connection.execute(
        insert(RoleRow), {**key, "permissions": text, "created_at": transaction.now}
    )
    transaction.record(ChangeKind.ROLE_SET, subject=f"role:{name}", about=text)
    return Role(name, tuple(json.loads(text)), own=True)


def remove_role(transaction: Transaction, name: str) -> None:
    """Remove a role of the organisation. Raises AccountNotFound, or Invalid if it is in use."""
    found = own_role(transaction.connection, transaction.organisation, name)
    if found is None:
        raise AccountNotFound("role", name)
    require_holds(transaction.actor, expand(found.permissions))
    transaction.actor.require_unrestricted()
    holders = [
        transaction.connection.execute(
            select(func.count())
            .select_from(table)
            .where(table.organisation_id == transaction.organisation, table.role == name)
        ).scalar_one()
        for table in (MembershipRow, TokenRow)
    ]
    # Removing a role in use would leave users with rights that nobody can see.
    if any(holders):
        message = (
            f"{holders[0]} users and {holders[1]} tokens have this role. Give them another first."
        )
        raise Invalid.from_problems([Problem("", message, "in-use", "name")])
    transaction.connection.execute(
        delete(RoleRow).where(
            RoleRow.organisation_id == transaction.organisation, RoleRow.name == name
        )
    )
    transaction.record(ChangeKind.ROLE_REMOVED, subject=f"role:{name}")


def roles(
    reader: Reader,
    *,
    after: str = "",
    search: str = "",
    limit: int | None = None,
) -> list[Role]:
    """Return the built-in roles by name, and then the organisation's own by name.

    Only those whose key comes after ``after``, and whose name contains ``search`` in any case.
    ``limit`` None means all of them.
    """
    rows = reader.connection.execute(
        select(RoleRow.name, RoleRow.permissions).where(
            RoleRow.organisation_id == reader.visibility.organisation
        )
    )
    built_in = [Role(name, tuple(sorted(held)), own=False) for name, held in ROLES.items()]
    found = [*built_in, *(Role(name, tuple(json.loads(text)), own=True) for name, text in rows)]
    matching = [role for role in found if role.key > after and search.lower() in role.name.lower()]
    return sorted(matching, key=lambda role: role.key)[:limit]


def permissions_of(connection: Connection, organisation_id: int, role: str) -> frozenset[str]:
    """Return the single permissions of a role; none if the role does not exist any more."""
    if role in ROLES:
        return expand(ROLES[role])
    found = own_role(connection, organisation_id, role)
    # A role that is gone grants nothing: fail closed.
    return frozenset() if found is None else expand(found.permissions)


def require_holds(actor: Actor, permissions: frozenset[str]) -> None:
    """Raise Forbidden unless the actor holds all of ``permissions``."""
    missing = sorted(permissions - actor.permissions)
    if missing:
        names = "everything" if EVERYTHING in missing else ", ".join(missing)
        raise Forbidden(f"You cannot grant, or take away, what you do not hold yourself: {names}.")


def own_role(connection: Connection, organisation_id: int, name: str) -> Role | None:
    """Return a role that the organisation defined itself; None if there is none of that name."""
    text = connection.execute(
        select(RoleRow.permissions).where(
            RoleRow.organisation_id == organisation_id, RoleRow.name == name
        )
    ).scalar_one_or_none()
    return None if text is None else Role(name, tuple(json.loads(text)), own=True)
