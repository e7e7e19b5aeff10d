"""Who is asking, and what they see and may do."""

from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, false, or_, true

from distributed_config.errors import Forbidden
from distributed_config.services.permissions import EVERYTHING, READ_SECRET, expanded

DEFAULT_ORGANISATION = 1
DEFAULT_ENVIRONMENT = "default"


@dataclass(frozen=True)
class Scope:
    """The services and environments that rights are limited to; empty: no limit.

    A service is named exactly, or by a prefix that ends in ``/``.
    """

    services: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return not self.services and not self.environments

    def has(self, service: str) -> bool:
        """Whether a service is in it."""
        if self.environments and DEFAULT_ENVIRONMENT not in self.environments:
            return False
        return not self.services or any(
            service.startswith(each) if each.endswith("/") else service == each
            for each in self.services
        )

    def covers(self, other: "Scope") -> bool:
        """Whether ``other`` reaches nothing that is not in this one."""
        services = not self.services or bool(other.services)
        environments = not self.environments or bool(other.environments)
        return (
            services
            and environments
            and all(self._has_all_of(each) for each in other.services)
            and (not self.environments or set(other.environments) <= set(self.environments))
        )

    def _has_all_of(self, name: str) -> bool:
        """The same for one name or prefix; a prefix is not in it because one name is."""
        return not self.services or any(
            name.startswith(each) if each.endswith("/") else name == each for each in self.services
        )


@dataclass(frozen=True)
class Realm:
    """What can be seen: one organisation, and of its services those in all of the scopes.

    What lies outside is as if it were not there. ``secrets``: what is marked as secret is seen in
    the clear; an actor's realm has it from the actor's permissions.
    """

    organisation: int = DEFAULT_ORGANISATION
    scopes: tuple[Scope, ...] = ()
    secrets: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the whole organisation is seen."""
        return all(scope.is_whole for scope in self.scopes)

    def sees(self, service: str) -> bool:
        """Whether a service may be seen."""
        return all(scope.has(service) for scope in self.scopes)

    def within(self, name: Any) -> ColumnElement[bool]:
        """The same as a condition on a column of names."""
        condition: ColumnElement[bool] = true()
        for scope in self.scopes:
            if scope.environments and DEFAULT_ENVIRONMENT not in scope.environments:
                return false()
            if scope.services:
                condition = condition & named(name, scope.services)
        return condition


def named(
    name: Any,
    services: tuple[str, ...],
) -> ColumnElement[bool]:
    """Whether a column has one of ``services``; one that ends in ``/`` is how names begin."""
    exact = [each for each in services if not each.endswith("/")]
    # The next character after "/" bounds a prefix without LIKE and its wildcards.
    begun = [(name >= each) & (name < each[:-1] + "0") for each in services if each.endswith("/")]
    return or_(name.in_(exact), *begun)


@dataclass(frozen=True)
class Actor:
    """Who is asking. ``name`` is what the journal shows.

    ``key`` is theirs alone: a name may be another's next year. ``permissions`` are single ones,
    and ``*`` of who holds everything everywhere. ``address`` is where they ask from.
    """

    name: str
    key: str
    permissions: frozenset[str]
    realm: Realm = field(default_factory=Realm)
    address: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # Whoever makes an actor cannot forget it, nor give it to one who may not.
        seen = replace(self.realm, secrets=self.may(READ_SECRET))
        object.__setattr__(self, "realm", seen)

    @property
    def organisation(self) -> int:
        return self.realm.organisation

    @property
    def is_administrator(self) -> bool:
        """Whether they hold everything, and so hold it in every organisation."""
        return EVERYTHING in self.permissions and self.realm.is_whole

    def may(self, permission: str) -> bool:
        """Whether they hold a permission."""
        return permission in self.permissions

    def require(self, permission: str) -> None:
        """Raises Forbidden unless they hold a permission."""
        if not self.may(permission):
            raise Forbidden(
                f"{self.name} may not do this: it takes {permission}. "
                "Ask who administers your organisation."
            )

    def require_whole(self) -> None:
        """Raises Forbidden if they see only a part of the organisation's services."""
        if not self.realm.is_whole:
            raise Forbidden(
                f"{self.name} may not do this: it concerns all services of the organisation, and "
                "their rights are limited to some."
            )

    def require_administrator(self) -> None:
        """Raises Forbidden unless they hold everything, everywhere."""
        if not self.is_administrator:
            raise Forbidden(
                f"{self.name} may not do this: only an administrator of the whole server may."
            )

    def in_organisation(self, organisation: int) -> "Actor":
        """The same in another organisation; for those who hold everything everywhere."""
        return replace(self, realm=Realm(organisation))


LOCAL_OPERATOR = Actor("local operator", "local operator", expanded({EVERYTHING}))
"""Who asks in the open mode, and on the terminal of the server's own machine."""
