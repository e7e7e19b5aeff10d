"""Organisations, users, their memberships, and the roles of an organisation's own.

Everything happens in the actor's organisation. Nobody can grant what they do not hold, nor touch
the account of somebody who holds more.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from distributed_config.errors import (
    AccountExists,
    AccountNotFound,
    Forbidden,
    Invalid,
    Problem,
)
from distributed_config.models import MembershipRow, OrganisationRow, RoleRow, TokenRow, UserRow
from distributed_config.services import journal as log
from distributed_config.services import lineage, lookalikes
from distributed_config.services.actors import Actor, Realm, Scope
from distributed_config.services.administrators import keeping_one
from distributed_config.services.journal import Journal
from distributed_config.services.permissions import EVERYTHING, ROLES, expanded, is_known
from distributed_config.wire import fault_of_name

_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,189}")
_NAME = re.compile(r"[\w][\w .-]{0,99}")
_MOST_IN_SCOPE = 100


@dataclass(frozen=True)
class Organisation:
    """A tenant."""

    id: int
    name: str
    created_at: int


@dataclass(frozen=True)
class Rights:
    """A role, and what it is limited to."""

    role: str
    scope: Scope = Scope()


@dataclass(frozen=True)
class User:
    """A person, as a member of one organisation."""

    id: int
    email: str
    active: bool
    must_change: bool
    has_password: bool
    created_at: int
    rights: Rights


@dataclass(frozen=True)
class Membership:
    """What a user may do in an organisation."""

    user_id: int
    email: str
    organisation: str
    rights: Rights

    @property
    def key(self) -> str:
        """Where it stands in a list; neither part has a line's end in it."""
        return f"{self.email}\n{self.organisation}"


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


# --- organisations


def create_organisation(journal: Journal, name: str) -> Organisation:
    """Makes an organisation. Raises AccountExists."""
    journal.actor.require_whole()
    name = _checked_name(name, "/name")
    if _organisation(journal.connection, name) is not None:
        raise AccountExists("organisation", name)
    _refuse_alike(journal, name)
    made = journal.connection.execute(
        insert(OrganisationRow).returning(OrganisationRow.id),
        {"name": name, "created_at": journal.now},
    ).scalar_one()
    journal.record(
        log.ORGANISATION_CREATED, subject=f"organisation:{made}", about=name, organisation=made
    )
    return Organisation(made, name, journal.now)


def rename_organisation(journal: Journal, name: str, to: str) -> Organisation:
    """Gives an organisation another name. Raises AccountNotFound or AccountExists.

    Whoever names it in requests has to know: for those who administer the server.
    """
    journal.actor.require_administrator()
    found = organisation(journal.connection, name)
    to = _checked_name(to, "/name")
    if to != name and _organisation(journal.connection, to) is not None:
        raise AccountExists("organisation", to)
    _refuse_alike(journal, to, itself=name)
    journal.connection.execute(
        update(OrganisationRow).where(OrganisationRow.id == found.id).values(name=to)
    )
    journal.record(
        log.ORGANISATION_CHANGED,
        subject=f"organisation:{found.id}",
        about=to,
        organisation=found.id,
    )
    return Organisation(found.id, to, found.created_at)


def organisation(connection: Connection, name: str) -> Organisation:
    """The organisation ``name``. Raises AccountNotFound."""
    found = _organisation(connection, name)
    if found is None:
        raise AccountNotFound("organisation", name)
    return found


def organisation_name(connection: Connection, organisation_id: int) -> str:
    """The name of an organisation by its id."""
    query = select(OrganisationRow.name).where(OrganisationRow.id == organisation_id)
    return connection.execute(query).scalar_one()


def organisations(
    connection: Connection, actor: Actor, *, after: str = "", search: str = "", limit: int
) -> list[Organisation]:
    """The organisations behind the name ``after``: all for who holds everything, else one's own."""
    query = select(OrganisationRow.id, OrganisationRow.name, OrganisationRow.created_at)
    if not actor.is_administrator:
        query = query.where(OrganisationRow.id == actor.organisation)
    if search:
        query = query.where(OrganisationRow.name.icontains(search, autoescape=True))
    query = query.where(OrganisationRow.name > after).order_by(OrganisationRow.name).limit(limit)
    return [Organisation(*row) for row in connection.execute(query)]


# --- users


def create_user(journal: Journal, email: str, rights: Rights, hashed: str = "") -> User:
    """Makes a user; ``hashed`` is what is kept of their password, "" for none.

    Raises AccountExists. One who exists in another organisation is made a member of this one, as
    ``add_member`` does; if they get another password, all tokens of the account end.
    """
    email = _kept(email)
    refuse_beyond(journal, rights, *_email_problems(email))
    known = _user_id(journal.connection, email)
    if known is not None:
        add_member(journal, email, rights)
        if hashed:
            _set_password(journal, known, hashed)
            _end_tokens(journal, TokenRow.user_id == known)
        return user(journal.connection, journal.realm, known)
    values = {"email": email, "password": hashed, "must_change": False, "active": True}
    made: int = journal.connection.execute(
        insert(UserRow).returning(UserRow.id), {**values, "created_at": journal.now}
    ).scalar_one()
    journal.record(log.USER_CREATED, subject=f"user:{made}", about=email)
    _set_membership(journal, made, email, rights)
    return user(journal.connection, journal.realm, made)


def add_member(journal: Journal, email: str, rights: Rights) -> None:
    """Makes a user of another organisation a member of this one.

    For those who administer the server only, because whoever made the account may know its
    password. Others are told the same whether there is such an account or not. Raises
    AccountExists for a member, AccountNotFound where there is no such user.
    """
    email = _kept(email)
    refuse_beyond(journal, rights, *_email_problems(email))
    known = _user_id(journal.connection, email)
    if known is not None and _is_member(journal, known):
        raise AccountExists("member", email)
    journal.actor.require_administrator()
    if known is None:
        raise AccountNotFound("user", email)
    _set_membership(journal, known, email, rights)


def change_user(
    journal: Journal,
    user_id: int,
    *,
    active: bool | None = None,
    hashed: str | None = None,
    must_change: bool | None = None,
    rights: Rights | None = None,
) -> User:
    """Changes what is not None; ``hashed`` is what is kept of another password.

    A user who is not active any more, or has another password, is logged out.

    Raises AccountNotFound; LastAdministrator; Forbidden for the account of who holds more, or, but
    for their rights, of who belongs to other organisations as well.
    """
    found = user(journal.connection, journal.realm, user_id)
    refuse_touching(journal, user_id)
    account = {"active": active, "password": hashed, "must_change": must_change}
    values = {name: value for name, value in account.items() if value is not None}
    with keeping_one(journal):
        if values:
            _change_account(journal, found, values)
        if rights is not None and rights != found.rights:
            refuse_beyond(journal, rights)
            _set_membership(journal, user_id, found.email, rights)
    return user(journal.connection, journal.realm, user_id)


def set_own_password(journal: Journal, user_id: int, hashed: str) -> None:
    """What a user does for themselves; every session of theirs ends."""
    _set_password(journal, user_id, hashed)
    log_out(journal, user_id)
    journal.record(log.USER_CHANGED, subject=f"user:{user_id}", about="password")


def remove_user(journal: Journal, user_id: int) -> None:
    """Ends a membership, and revokes the user's tokens here; the account stays for its history.

    Raises AccountNotFound, LastAdministrator, and Forbidden as ``change_user`` does.
    """
    found = user(journal.connection, journal.realm, user_id)
    refuse_touching(journal, user_id)
    here = MembershipRow.organisation_id == journal.organisation
    with keeping_one(journal):
        journal.connection.execute(
            delete(MembershipRow).where(MembershipRow.user_id == user_id, here)
        )
    _end_tokens(
        journal, TokenRow.user_id == user_id, TokenRow.organisation_id == journal.organisation
    )
    journal.record(log.MEMBERSHIP_REMOVED, subject=f"user:{user_id}", about=found.email)


def user(connection: Connection, realm: Realm, user_id: int) -> User:
    """A member of the organisation. Raises AccountNotFound."""
    row = connection.execute(
        _USERS.where(MembershipRow.organisation_id == realm.organisation, UserRow.id == user_id)
    ).one_or_none()
    if row is None:
        raise AccountNotFound("user", user_id)
    return _user(row)


def membership(connection: Connection, realm: Realm, email: str) -> Membership:
    """The membership of the address ``email`` in the organisation. Raises AccountNotFound."""
    row = connection.execute(
        _MEMBERSHIPS.where(OrganisationRow.id == realm.organisation, UserRow.email == _kept(email))
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
        query = query.where(address == _kept(email))
    if search:
        query = query.where(address.icontains(search, autoescape=True))
    if not (email and actor.is_administrator):
        query = query.where(or_(UserRow.id == user_id, OrganisationRow.id == here))
    rows = connection.execute(query.order_by(address, name).limit(limit))
    return [_membership(row) for row in rows]


def users(
    connection: Connection, realm: Realm, *, after: str = "", search: str = "", limit: int
) -> list[User]:
    """The members behind the address ``after``, by address; ``search`` is a part of it."""
    query = _USERS.where(MembershipRow.organisation_id == realm.organisation, UserRow.email > after)
    if search:
        query = query.where(UserRow.email.icontains(search, autoescape=True))
    rows = connection.execute(query.order_by(UserRow.email).limit(limit))
    return [_user(row) for row in rows]


def log_out(journal: Journal, user_id: int) -> None:
    """Ends every session of a user; tokens that they made stay."""
    _end_tokens(journal, TokenRow.user_id == user_id, TokenRow.kind == "session")


def nobody_yet(connection: Connection) -> bool:
    """Whether there is neither a user nor a token: then somebody has to be let in first."""
    counts = select(
        select(func.count()).select_from(UserRow).scalar_subquery(),
        select(func.count()).select_from(TokenRow).scalar_subquery(),
    )
    users_, tokens = connection.execute(counts).one()
    return not users_ and not tokens


# --- roles


def set_role(journal: Journal, name: str, permissions: Sequence[str]) -> Role:
    """Makes a role of the organisation's own, or gives it other permissions.

    Raises Invalid for what is no permission and for the names of the six; Forbidden for a
    permission that the actor does not hold, now or, in the role as it was, before.
    """
    name = unicodedata.normalize("NFC", name)
    before = _own_role(journal.connection, journal.organisation, name)
    # A role from before these rules can still be changed.
    problems = [] if before is not None else _role_name_problems(journal, name)
    problems += [
        Problem(f"/permissions/{position}", f"{each!r} is no permission.", "permission")
        for position, each in enumerate(permissions)
        if not is_known(each) or each == EVERYTHING
    ]
    if problems:
        raise Invalid.of(problems)
    for each in (tuple(permissions), () if before is None else before.permissions):
        _refuse_more(journal.actor, expanded(each))
    journal.actor.require_whole()
    text = json.dumps(sorted(set(permissions)))
    key = {"organisation_id": journal.organisation, "name": name}
    journal.connection.execute(delete(RoleRow).filter_by(**key))
    journal.connection.execute(
        insert(RoleRow), {**key, "permissions": text, "created_at": journal.now}
    )
    journal.record(log.ROLE_SET, subject=f"role:{name}", about=text)
    return Role(name, tuple(json.loads(text)), own=True)


def remove_role(journal: Journal, name: str) -> None:
    """Removes a role of the organisation's own. Raises AccountNotFound, or Invalid if in use."""
    found = _own_role(journal.connection, journal.organisation, name)
    if found is None:
        raise AccountNotFound("role", name)
    _refuse_more(journal.actor, expanded(found.permissions))
    journal.actor.require_whole()
    holders = [
        journal.connection.execute(
            select(func.count())
            .select_from(kind)
            .where(kind.organisation_id == journal.organisation, kind.role == name)
        ).scalar_one()
        for kind in (MembershipRow, TokenRow)
    ]
    if any(holders):
        message = f"{holders[0]} users and {holders[1]} tokens have it. Give them another first."
        raise Invalid.of([Problem("", message, "in-use", "name")])
    journal.connection.execute(
        delete(RoleRow).where(RoleRow.organisation_id == journal.organisation, RoleRow.name == name)
    )
    journal.record(log.ROLE_REMOVED, subject=f"role:{name}")


def roles(
    connection: Connection,
    realm: Realm,
    *,
    after: str = "",
    search: str = "",
    limit: int | None = None,
) -> list[Role]:
    """The six by name, and then the organisation's own by name.

    Those whose key is behind ``after``, with ``search`` as a part of the name; None: no limit.
    """
    rows = connection.execute(
        select(RoleRow.name, RoleRow.permissions).where(
            RoleRow.organisation_id == realm.organisation
        )
    )
    built_in = [Role(name, tuple(sorted(held)), own=False) for name, held in ROLES.items()]
    found = [*built_in, *(Role(name, tuple(json.loads(text)), own=True) for name, text in rows)]
    wanted = [each for each in found if each.key > after and search.lower() in each.name.lower()]
    return sorted(wanted, key=lambda each: each.key)[:limit]


def permissions_of(connection: Connection, organisation_id: int, role: str) -> frozenset[str]:
    """What a role comes to; nothing if it is no role any more."""
    if role in ROLES:
        return expanded(ROLES[role])
    found = _own_role(connection, organisation_id, role)
    return frozenset() if found is None else expanded(found.permissions)


# --- nobody can grant what they do not hold


def refuse_beyond(journal: Journal, rights: Rights, *others: Problem) -> None:
    """Raises Invalid if ``rights`` name no role, Forbidden if they go beyond the actor's own.

    ``others`` are problems of what the rights came with; they are told first.
    """
    known = [role.name for role in roles(journal.connection, journal.realm)]
    problems = [*others, *scope_problems(rights.scope)]
    if rights.role not in known:
        message = f"{rights.role!r} is no role; there are: {', '.join(known)}."
        problems.insert(len(others), Problem("/role", message, "role"))
    if problems:
        raise Invalid.of(problems)
    held = permissions_of(journal.connection, journal.organisation, rights.role)
    _refuse_more(journal.actor, held)
    if not all(scope.covers(rights.scope) for scope in journal.realm.scopes):
        raise Forbidden("Your own rights are limited to fewer services than these would be.")


def refuse_touching(journal: Journal, user_id: int) -> None:
    """Raises Forbidden for the account of somebody who may more than the actor, here or elsewhere.

    Who may change a user's password, or take over a token of theirs, could become that user.
    """
    journal.actor.require("user:manage")
    refuse_beyond(journal, user(journal.connection, journal.realm, user_id).rights)
    administers = journal.connection.execute(
        select(MembershipRow.user_id)
        .where(MembershipRow.user_id == user_id, MembershipRow.role == "administrator")
        .limit(1)
    ).one_or_none()
    if administers is not None:
        journal.actor.require_administrator()


def _refuse_more(actor: Actor, permissions: frozenset[str]) -> None:
    more = sorted(permissions - actor.permissions)
    if more:
        shown = "everything" if EVERYTHING in more else ", ".join(more)
        raise Forbidden(f"Nobody can grant, or take, what they do not hold themselves: {shown}.")


def _refuse_shared(journal: Journal, found: User) -> None:
    if journal.actor.is_administrator:
        return
    elsewhere = journal.connection.execute(
        select(func.count())
        .select_from(MembershipRow)
        .where(
            MembershipRow.user_id == found.id,
            MembershipRow.organisation_id != journal.organisation,
        )
    ).scalar_one()
    if elsewhere:
        raise Forbidden(
            f"{found.email} belongs to other organisations as well; only who administers the "
            "server can change the account itself. Remove them from yours instead."
        )


# --- inside


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
    rights = Rights(row.role, scope_of(row.services, row.environments))
    return User(
        row.id,
        row.email,
        row.active,
        row.must_change,
        bool(row.password),
        row.created_at,
        rights,
    )


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
    rights = Rights(row.role, scope_of(row.services, row.environments))
    return Membership(row.id, row.email, row.name, rights)


def _change_account(journal: Journal, found: User, values: dict[str, Any]) -> None:
    """What concerns the account itself, and so every organisation that it belongs to."""
    _refuse_shared(journal, found)
    journal.connection.execute(update(UserRow).where(UserRow.id == found.id).values(**values))
    if values.get("active") is False or "password" in values:
        log_out(journal, found.id)
    told = ", ".join(values)
    journal.record(log.USER_CHANGED, subject=f"user:{found.id}", about=f"{found.email}: {told}")


def _set_password(journal: Journal, user_id: int, hashed: str) -> None:
    journal.connection.execute(
        update(UserRow)
        .where(UserRow.id == user_id)
        .values(password=hashed, must_change=False, active=True)
    )


def _end_tokens(journal: Journal, *which: ColumnElement[bool]) -> None:
    """Revokes these tokens and what they made, if somebody still administers the server then."""
    with keeping_one(journal):
        lineage.revoke(journal, *which)


def _kept(email: str) -> str:
    return unicodedata.normalize("NFC", email).lower()


def scope_of(services: str, environments: str) -> Scope:
    """A scope from the two JSON arrays that are stored."""
    return Scope(tuple(json.loads(services)), tuple(json.loads(environments)))


def _set_membership(journal: Journal, user_id: int, email: str, rights: Rights) -> None:
    key = {"user_id": user_id, "organisation_id": journal.organisation}
    journal.connection.execute(delete(MembershipRow).filter_by(**key))
    journal.connection.execute(
        insert(MembershipRow),
        {
            **key,
            "role": rights.role,
            "services": json.dumps(rights.scope.services),
            "environments": json.dumps(rights.scope.environments),
            "created_at": journal.now,
        },
    )
    about = f"{email}: {rights.role}"
    journal.record(log.MEMBERSHIP_SET, subject=f"user:{user_id}", about=about)


def _is_member(journal: Journal, user_id: int) -> bool:
    query = select(MembershipRow.role).where(
        MembershipRow.user_id == user_id, MembershipRow.organisation_id == journal.organisation
    )
    return journal.connection.execute(query).one_or_none() is not None


def _user_id(connection: Connection, email: str) -> int | None:
    query = select(UserRow.id).where(UserRow.email == email)
    return connection.execute(query).scalar_one_or_none()


def _organisation(connection: Connection, name: str) -> Organisation | None:
    row = connection.execute(
        select(OrganisationRow.id, OrganisationRow.name, OrganisationRow.created_at).where(
            OrganisationRow.name == name
        )
    ).one_or_none()
    return None if row is None else Organisation(*row)


def _own_role(connection: Connection, organisation_id: int, name: str) -> Role | None:
    text = connection.execute(
        select(RoleRow.permissions).where(
            RoleRow.organisation_id == organisation_id, RoleRow.name == name
        )
    ).scalar_one_or_none()
    return None if text is None else Role(name, tuple(json.loads(text)), own=True)


def _checked_name(name: str, pointer: str) -> str:
    name = unicodedata.normalize("NFC", name)
    problems = _name_problems(name, pointer)
    if problems:
        raise Invalid.of(problems)
    return name


def _name_problems(name: str, pointer: str) -> list[Problem]:
    if not _NAME.fullmatch(name) or name != name.strip():
        message = "A name has up to 100 letters, digits, spaces, '_', '.' or '-'."
        return [Problem(pointer, message, "name")]
    fault = lookalikes.fault_of_spelling(name)
    return [] if fault is None else [Problem(pointer, fault, "name")]


def _role_name_problems(journal: Journal, name: str) -> list[Problem]:
    """What is wrong with the name of a new role, which nobody must take for another one."""
    query = select(RoleRow.name).where(RoleRow.organisation_id == journal.organisation)
    problems = _name_problems(name, "/name")
    if name in ROLES:
        message = f"{name!r} is a role that every organisation has. Take another name."
        return [*problems, Problem("/name", message, "reserved")]
    other = lookalikes.alike(name, (*ROLES, *journal.connection.scalars(query)))
    if other is not None:
        message = f"{name!r} would be taken for the role {other!r}. Take another name."
        problems.append(Problem("/name", message, "reserved"))
    return problems


def _refuse_alike(journal: Journal, name: str, itself: str = "") -> None:
    """Raises Invalid if ``name`` would be taken for another organisation than ``itself``."""
    names = journal.connection.scalars(select(OrganisationRow.name))
    other = lookalikes.alike(name, (each for each in names if each != itself))
    if other is not None:
        message = f"{name!r} would be taken for the organisation {other!r}. Take another name."
        raise Invalid.of([Problem("/name", message, "name")])


def _email_problems(email: str) -> list[Problem]:
    # What cannot be seen would make one address look like another.
    if _EMAIL.fullmatch(email) and email.isprintable():
        return []
    return [Problem("/email", "It must be an address, as ada@example.org.", "email")]


def scope_problems(scope: Scope) -> list[Problem]:
    """What is wrong with a scope that somebody wants."""
    return [
        *_entry_problems("/services", scope.services),
        *_entry_problems("/environments", scope.environments),
    ]


def _entry_problems(pointer: str, entries: Sequence[str]) -> list[Problem]:
    if len(entries) > _MOST_IN_SCOPE:
        message = f"It has more than {_MOST_IN_SCOPE} entries."
        return [Problem(pointer, message, "limit")]
    message = (
        "It must be a name, or a prefix of names that ends in /. For all of them leave it out."
    )
    return [
        Problem(f"{pointer}/{position}", message, "name")
        for position, each in enumerate(entries)
        if fault_of_name(each.removesuffix("/"))
    ]
