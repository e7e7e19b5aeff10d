"""Authentication: the actor that a token stands for, and its permissions.

Every request that is not answered from a cache comes through here. It costs one statement by key,
and a second one for a user's memberships or a role of the organisation's own.
"""

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
"""By how much two clocks, or one before and after it is set, may differ, in microseconds."""


@dataclass(frozen=True)
class Identity:
    """The actor of a token, with what the server needs to know of the token itself.

    ``user_id`` is None for a machine token, and ``expires_at`` None if the token never expires.
    ``must_change`` says that the user has to choose another password before anything else.
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
    """Record when a token was used last, in microseconds, and from which IP address."""
    connection.execute(_USED, {"which": token_id, "at": at, "where": address})


def identify(
    connection: Connection, secret: str, now: int, organisation: str = ""
) -> Identity | None:
    """Return the identity of a token, or None if it is unknown, revoked or expired.

    ``organisation`` is the name of the one to act in, "" for the token's own. It is None as well
    if the token may not act in that organisation, or there is none: the two look the same.
    """
    # The database compares digests of 190 random bits: the time that takes tells nothing about any
    # of them, so it needs no constant-time comparison.
    row = connection.execute(_BY_DIGEST, {"digest_": token_digest(secret)}).one_or_none()
    return None if row is None else _identity(connection, row, now, organisation)


def reidentify(connection: Connection, actor: Actor, now: int) -> Identity | None:
    """Return the identity of ``actor``'s token again; None if it is not the same actor any more."""
    # An actor that is identified again always came from a token, whose id its key ends with.
    row = connection.execute(_BY_ID, {"which": int(actor.key.partition(":")[2])}).one_or_none()
    if row is None:
        return None
    organisation = organisations.organisation_name(connection, actor.organisation)
    found = _identity(connection, row, now, organisation)
    # Equality leaves out the address: a subscriber may have moved, and still has the same rights.
    is_same = found is not None and found.actor == actor and not found.must_change
    return found if is_same else None


def identify_in(
    connection: Connection, token_id: int, now: int, organisation: str
) -> Identity | None:
    """Return the identity of a token in ``organisation``; None if it may not act there."""
    row = connection.execute(_BY_ID, {"which": token_id}).one_or_none()
    return None if row is None else _identity(connection, row, now, organisation)


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
# One join answers for tokens of all kinds; a session is a row like any other (decision 15).
_IDENTITIES = (
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
_BY_DIGEST = _IDENTITIES.where(TokenRow.digest == bindparam("digest_"))
_BY_ID = _IDENTITIES.where(TokenRow.id == bindparam("which"))
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


def _identity(connection: Connection, row: Any, now: int, organisation: str) -> Identity | None:
    ended = row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now)
    # The clock was ahead when the session was opened, so it would last too long: log in again.
    ended = ended or (row.kind == "session" and row.created_at > now + CLOCKS_DIFFER)
    # A deactivated user's own tokens stay stored, and are good again once the user is active.
    if ended or (row.user_id is not None and not row.active):
        return None
    actor = (
        _machine_actor(connection, row, organisation)
        if row.user_id is None
        else _user_actor(connection, row, organisation)
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


def _machine_actor(connection: Connection, row: Any, organisation: str) -> Actor | None:
    permissions = roles.permissions_of(connection, row.organisation_id, row.role)
    scope = grants.load_scope(row.services, row.environments)
    visibility = _visibility(row.organisation_id, scope)
    # The name is for the journal, which has to tell programs from people. The key outlives
    # renaming.
    actor = Actor(f"token {row.name}", f"token:{row.id}", permissions, visibility)
    if organisation in {"", row.organisation}:
        return actor
    return _in_other_organisation(connection, actor, organisation)


def _user_actor(connection: Connection, row: Any, organisation: str) -> Actor | None:
    # A session belongs to the organisation that its user logged in to.
    organisation = organisation or row.organisation
    own = _acting_membership(connection, row, organisation)
    if own is None:
        return None
    permissions = roles.permissions_of(connection, own.organisation_id, own.role)
    scopes = [grants.load_scope(own.services, own.environments)]
    # A personal token has what its user has, and of that no more than its own role and scope.
    if row.role:
        limit = roles.permissions_of(connection, row.organisation_id, row.role)
        permissions = limit if EVERYTHING in permissions else permissions & limit
        scopes.append(grants.load_scope(row.services, row.environments))
    # A personal token without a role may still be limited to a few services.
    elif row.services != "[]" or row.environments != "[]":
        scopes.append(grants.load_scope(row.services, row.environments))
    name = row.email if row.kind == "session" else f"{row.email} ({row.name})"
    visibility = _visibility(own.organisation_id, *scopes)
    actor = Actor(name, f"token:{row.id}", permissions, visibility)
    if own.name == organisation:
        return actor
    return _in_other_organisation(connection, actor, organisation)


def _acting_membership(connection: Connection, row: Any, organisation: str) -> Any | None:
    """Return the membership by which a user acts in ``organisation``, or None.

    It is the user's own one there; a server administrator acts everywhere by the one that makes
    them an administrator.
    """
    memberships = connection.execute(_MEMBERSHIPS, {"user": row.user_id}).all()
    administering = [found for found in memberships if found.role == "administrator"]
    # A personal token belongs to one organisation, also if its user belongs to several.
    if row.kind == "personal" and organisation != row.organisation:
        memberships = administering
    here = [found for found in memberships if found.name == organisation]
    return next(iter([*here, *administering]), None)


def _in_other_organisation(connection: Connection, actor: Actor, organisation: str) -> Actor | None:
    """Return the actor in another organisation, if it administers the server; otherwise None."""
    if not actor.is_administrator or not actor.visibility.is_unrestricted:
        return None
    try:
        found = organisations.organisation(connection, organisation)
    # An unknown organisation and a forbidden one look the same, so names cannot be probed.
    except AccountNotFound:
        return None
    return actor.in_organisation(found.id)


def _visibility(organisation: int, *scopes: Scope) -> Visibility:
    # Scopes that limit nothing are left out, so that most queries get no condition on names.
    return Visibility(organisation, tuple(scope for scope in scopes if not scope.is_unrestricted))
