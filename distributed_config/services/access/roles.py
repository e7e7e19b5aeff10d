"""Roles: those of the product, and those of an organisation's own."""

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
    """A named set of permissions; ``own``: made by the organisation, and not one of the six."""

    name: str
    permissions: tuple[str, ...]
    own: bool

    @property
    def key(self) -> str:
        """Where it stands in a list."""
        return f"{self.own:d}{self.name}"


def set_role(transaction: Transaction, name: str, permissions: Sequence[str]) -> Role:
    """Makes a role of the organisation's own, or gives it other permissions.

    Raises Invalid for what is no permission and for the names of the six; Forbidden for a
    permission that the actor does not hold, now or, in the role as it was, before.
    """
    name = unicodedata.normalize("NFC", name)
    before = own_role(transaction.connection, transaction.organisation, name)
    # A role from before these rules can still be changed.
    problems = [] if before is not None else role_name_problems(transaction, name)
    problems += [
        Problem(f"/permissions/{position}", f"{each!r} is no permission.", "permission")
        for position, each in enumerate(permissions)
        if not is_known(each) or each == EVERYTHING
    ]
    if problems:
        raise Invalid.from_problems(problems)
    for each in (tuple(permissions), () if before is None else before.permissions):
        refuse_more(transaction.actor, expand(each))
    transaction.actor.require_unrestricted()
    text = json.dumps(sorted(set(permissions)))
    key = {"organisation_id": transaction.organisation, "name": name}
    transaction.connection.execute(delete(RoleRow).filter_by(**key))
    transaction.connection.execute(
        insert(RoleRow), {**key, "permissions": text, "created_at": transaction.now}
    )
    transaction.record(ChangeKind.ROLE_SET, subject=f"role:{name}", about=text)
    return Role(name, tuple(json.loads(text)), own=True)


def remove_role(transaction: Transaction, name: str) -> None:
    """Removes a role of the organisation's own. Raises AccountNotFound, or Invalid if in use."""
    found = own_role(transaction.connection, transaction.organisation, name)
    if found is None:
        raise AccountNotFound("role", name)
    refuse_more(transaction.actor, expand(found.permissions))
    transaction.actor.require_unrestricted()
    holders = [
        transaction.connection.execute(
            select(func.count())
            .select_from(kind)
            .where(kind.organisation_id == transaction.organisation, kind.role == name)
        ).scalar_one()
        for kind in (MembershipRow, TokenRow)
    ]
    if any(holders):
        message = f"{holders[0]} users and {holders[1]} tokens have it. Give them another first."
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
    """The six by name, and then the organisation's own by name.

    Those whose key is behind ``after``, with ``search`` as a part of the name; None: no limit.
    """
    rows = reader.connection.execute(
        select(RoleRow.name, RoleRow.permissions).where(
            RoleRow.organisation_id == reader.visibility.organisation
        )
    )
    built_in = [Role(name, tuple(sorted(held)), own=False) for name, held in ROLES.items()]
    found = [*built_in, *(Role(name, tuple(json.loads(text)), own=True) for name, text in rows)]
    wanted = [each for each in found if each.key > after and search.lower() in each.name.lower()]
    return sorted(wanted, key=lambda each: each.key)[:limit]


def permissions_of(connection: Connection, organisation_id: int, role: str) -> frozenset[str]:
    """What a role comes to; nothing if it is no role any more."""
    if role in ROLES:
        return expand(ROLES[role])
    found = own_role(connection, organisation_id, role)
    return frozenset() if found is None else expand(found.permissions)


def refuse_more(actor: Actor, permissions: frozenset[str]) -> None:
    more = sorted(permissions - actor.permissions)
    if more:
        shown = "everything" if EVERYTHING in more else ", ".join(more)
        raise Forbidden(f"Nobody can grant, or take, what they do not hold themselves: {shown}.")


def own_role(connection: Connection, organisation_id: int, name: str) -> Role | None:
    text = connection.execute(
        select(RoleRow.permissions).where(
            RoleRow.organisation_id == organisation_id, RoleRow.name == name
        )
    ).scalar_one_or_none()
    return None if text is None else Role(name, tuple(json.loads(text)), own=True)
