"""Who shows a token: the actor behind it, and what they may."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from distributed_config.errors import AccountNotFound
from distributed_config.models import MembershipRow, OrganisationRow, TokenRow, UserRow
from distributed_config.services.access import grants, organisations, roles
from distributed_config.services.access.token_format import token_digest
from distributed_config.services.policy.actor import Actor
from distributed_config.services.policy.permissions import EVERYTHING
from distributed_config.services.policy.visibility import Scope, Visibility

SECOND = 1_000_000


CLOCKS_DIFFER = 600 * SECOND


"""By how much the clocks of two machines, or one before and after it is set, may differ."""


@dataclass(frozen=True)
class Identity:
    """Who a token stands for.

    ``expires_at`` None: never. ``must_change``: the user has to choose another password first.
    """

    actor: Actor
    token_id: int
    user_id: int | None
    expires_at: int | None
    kind: str = ""
    must_change: bool = False
    used_at: int | None = None
    used_from: str = ""


def record_use(connection: Connection, token_id: int, at: int, address: str) -> None:
    """Remembers when a token was used last, and from where."""
    connection.execute(_USED, {"which": token_id, "at": at, "where": address})


def identify(
    connection: Connection, secret: str, now: int, organisation: str = ""
) -> Identity | None:
    """Who shows ``secret``; None if nobody may.

    ``organisation`` is the one that they want to act in, if not in their token's own. None also
    when they may not.
    """
    row = connection.execute(_BY_DIGEST, {"digest_": token_digest(secret)}).one_or_none()
    return None if row is None else _identity(connection, row, now, organisation)


def reidentify(connection: Connection, actor: Actor, now: int) -> Identity | None:
    """Who the token stands for that ``actor`` showed before; None if it is not they any more."""
    row = connection.execute(BY_ID, {"which": int(actor.key.partition(":")[2])}).one_or_none()
    if row is None:
        return None
    organisation = organisations.organisation_name(connection, actor.organisation)
    found = _identity(connection, row, now, organisation)
    good = found is not None and found.actor == actor and not found.must_change
    return found if good else None


COLUMNS = (
    TokenRow.id,
    TokenRow.kind,
    TokenRow.name,
    TokenRow.hint,
    UserRow.email,
    TokenRow.role,
    TokenRow.services,
    TokenRow.environments,
    TokenRow.created_at,
    TokenRow.created_by,
    TokenRow.expires_at,
    TokenRow.revoked_at,
    TokenRow.used_at,
    TokenRow.used_from,
)


SHOWN_COLUMNS = (
    select(
        *COLUMNS,
        TokenRow.user_id,
        TokenRow.organisation_id,
        OrganisationRow.name.label("organisation"),
        UserRow.active,
        UserRow.must_change,
    )
    .join(OrganisationRow, OrganisationRow.id == TokenRow.organisation_id)
    .outerjoin(UserRow, UserRow.id == TokenRow.user_id)
)


_BY_DIGEST = SHOWN_COLUMNS.where(TokenRow.digest == bindparam("digest_"))


BY_ID = SHOWN_COLUMNS.where(TokenRow.id == bindparam("which"))


_MEMBERSHIPS = (
    select(
        MembershipRow.organisation_id,
        OrganisationRow.name,
        MembershipRow.role,
        MembershipRow.services,
        MembershipRow.environments,
    )
    .join(OrganisationRow, OrganisationRow.id == MembershipRow.organisation_id)
    .where(MembershipRow.user_id == bindparam("user"))
)


_USED = (
    update(TokenRow)
    .where(TokenRow.id == bindparam("which"))
    .values(used_at=bindparam("at"), used_from=bindparam("where"))
)


def _identity(connection: Connection, row: Any, now: int, wanted: str) -> Identity | None:
    ended = row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now)
    # The clock was ahead when it was opened, so its end is too far away: they log in again.
    ended = ended or (row.kind == "session" and row.created_at > now + CLOCKS_DIFFER)
    if ended or (row.user_id is not None and not row.active):
        return None
    actor = (
        _machine(connection, row, wanted)
        if row.user_id is None
        else _as_user(connection, row, wanted)
    )
    if actor is None:
        return None
    return Identity(
        actor,
        row.id,
        row.user_id,
        row.expires_at,
        row.kind,
        bool(row.must_change),
        row.used_at,
        row.used_from,
    )


def _machine(connection: Connection, row: Any, wanted: str) -> Actor | None:
    permissions = roles.permissions_of(connection, row.organisation_id, row.role)
    scope = grants.load_scope(row.services, row.environments)
    visibility = _realm(row.organisation_id, scope)
    actor = Actor(f"token {row.name}", f"token:{row.id}", permissions, visibility)
    if wanted in {"", row.organisation}:
        return actor
    return _elsewhere(connection, actor, wanted)


def _as_user(connection: Connection, row: Any, wanted: str) -> Actor | None:
    memberships = connection.execute(_MEMBERSHIPS, {"user": row.user_id}).all()
    wanted = wanted or row.organisation
    if row.kind == "personal" and wanted != row.organisation:
        memberships = [each for each in memberships if each.role == "administrator"]
    own = next((each for each in memberships if each.name == wanted), None)
    if own is None:
        # Who holds everything holds it everywhere.
        own = next((each for each in memberships if each.role == "administrator"), None)
    if own is None:
        return None
    permissions = roles.permissions_of(connection, own.organisation_id, own.role)
    scopes = [grants.load_scope(own.services, own.environments)]
    if row.role:
        held = roles.permissions_of(connection, row.organisation_id, row.role)
        permissions = held if EVERYTHING in permissions else permissions & held
        scopes.append(grants.load_scope(row.services, row.environments))
    elif row.services != "[]" or row.environments != "[]":
        scopes.append(grants.load_scope(row.services, row.environments))
    name = row.email if row.kind == "session" else f"{row.email} ({row.name})"
    visibility = _realm(own.organisation_id, *scopes)
    actor = Actor(name, f"token:{row.id}", permissions, visibility)
    return actor if own.name == wanted else _elsewhere(connection, actor, wanted)


def _elsewhere(connection: Connection, actor: Actor, wanted: str) -> Actor | None:
    """The actor in another organisation, if they hold everything and see the whole of it."""
    if not actor.is_administrator or not actor.visibility.is_unrestricted:
        return None
    try:
        found = organisations.organisation(connection, wanted)
    except AccountNotFound:
        return None
    return actor.in_organisation(found.id)


def _realm(organisation: int, *scopes: Scope) -> Visibility:
    return Visibility(organisation, tuple(scope for scope in scopes if not scope.is_unrestricted))
