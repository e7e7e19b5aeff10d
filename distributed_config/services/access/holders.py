"""The users and tokens that may do something with one service, and what gives them the right."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import or_, select

from distributed_config.models import MembershipRow, TokenRow, UserRow
from distributed_config.services.access import grants, roles
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.permissions import EVERYTHING, PERMISSIONS
from distributed_config.services.policy.visibility import Scope
from distributed_config.services.reader import Reader

_ABOUT_SERVICES = tuple(name for name in PERMISSIONS if name.startswith("config:"))


@dataclass(frozen=True)
class Holder:
    """A user or a token, with the permissions that it has for the service.

    ``kind`` is "user", "machine" or "personal". ``user`` is the address of the user, None for the
    token of a program. ``scopes`` are those that limit it, of their entries those that contain the
    service; empty where nothing limits it.
    """

    kind: str
    id: int
    name: str
    user: str | None
    role: str
    permissions: tuple[str, ...]
    scopes: tuple[Scope, ...]

    @property
    def key(self) -> str:
        """The key that the list is paged by: users by address, then tokens by age."""
        # 0 sorts before 1, and all ids have the same number of digits here.
        return f"0{self.name}" if self.kind == "user" else f"1{self.id:019}"


def users(reader: Reader, series: Series) -> Iterator[Holder]:
    """Yield the active members of the organisation who may do something with a series, by address.

    The caller makes sure that there is such a series. Administrators of the server may do
    everything everywhere; here are only those who are members.
    """
    permissions = _permissions(reader)
    # Scopes are JSON, which the database does not look into: they are judged one by one.
    query = (
        select(UserRow.id, UserRow.email, *_GRANT)
        .join(MembershipRow, MembershipRow.user_id == UserRow.id)
        .where(MembershipRow.organisation_id == reader.visibility.organisation, UserRow.active)
        .order_by(UserRow.email)
    )
    for row in reader.connection.execute(query):
        scope = grants.load_scope(row.services, row.environments)
        held = permissions(row.role)
        member = Holder("user", row.id, row.email, row.email, row.role, _known(held), (scope,))
        yield from _within(member, series)


def tokens(reader: Reader, series: Series, now: int) -> Iterator[Holder]:
    """Yield the tokens that are valid at ``now`` and may do something with a series, oldest first.

    A personal token has of its user's rights those that its own role and scope leave.
    """
    permissions = _permissions(reader)
    for row in reader.connection.execute(
        _TOKENS.where(
            TokenRow.organisation_id == reader.visibility.organisation,
            TokenRow.kind != "session",
            TokenRow.revoked_at.is_(None),
            or_(TokenRow.expires_at.is_(None), TokenRow.expires_at > now),
        ).order_by(TokenRow.id)
    ):
        own = grants.load_scope(row.token_services, row.token_environments)
        held = permissions(row.token_role)
        scopes: tuple[Scope, ...] = (own,)
        if row.user_id is not None:
            # Its user is inactive, or no member any more: it is not valid.
            if row.role is None or not row.active:
                continue
            of_user = permissions(row.role)
            held = _limited(of_user, held) if row.token_role else of_user
            scopes = (grants.load_scope(row.services, row.environments), own)
        role = row.token_role or row.role
        token = Holder(row.kind, row.id, row.name, row.email, role, _known(held), scopes)
        yield from _within(token, series)


_GRANT = (MembershipRow.role, MembershipRow.services, MembershipRow.environments)
_TOKENS = (
    select(
        TokenRow.id,
        TokenRow.kind,
        TokenRow.name,
        TokenRow.user_id,
        TokenRow.role.label("token_role"),
        TokenRow.services.label("token_services"),
        TokenRow.environments.label("token_environments"),
        UserRow.email,
        UserRow.active,
        *_GRANT,
    )
    .outerjoin(UserRow, UserRow.id == TokenRow.user_id)
    .outerjoin(
        MembershipRow,
        (MembershipRow.user_id == TokenRow.user_id)
        & (MembershipRow.organisation_id == TokenRow.organisation_id),
    )
)


def _permissions(reader: Reader) -> Any:
    """Return a function that returns the permissions of a role, and reads each role once."""

    @cache
    def permissions(role: str) -> frozenset[str]:
        organisation = reader.visibility.organisation
        return roles.permissions_of(reader.connection, organisation, role)

    return permissions


def _limited(of_user: frozenset[str], limit: frozenset[str]) -> frozenset[str]:
    # As authentication does it: of everything, the role of the token is what is left.
    return limit if EVERYTHING in of_user else of_user & limit


def _known(held: frozenset[str]) -> tuple[str, ...]:
    """Return the permissions about services, in the order of the manual."""
    return tuple(name for name in _ABOUT_SERVICES if name in held)


def _within(holder: Holder, series: Series) -> Iterator[Holder]:
    """Yield the holder with what it has for the series; nothing if it has nothing there."""
    is_inside = all(
        scope.contains(series.service) and scope.contains_environment(series.environment)
        for scope in holder.scopes
    )
    if holder.permissions and is_inside:
        limits = (scope for scope in holder.scopes if not scope.is_unrestricted)
        yield replace(holder, scopes=tuple(_entries(scope, series) for scope in limits))


def _entries(scope: Scope, series: Series) -> Scope:
    """Return ``scope`` with only those entries that contain the series."""
    services = tuple(name for name in scope.services if Scope((name,)).contains(series.service))
    return Scope(services, (series.environment,) if scope.environments else ())
