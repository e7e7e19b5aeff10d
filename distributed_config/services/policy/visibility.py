"""What somebody may see: an organisation, and in it services and environments."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, false, or_, true

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
    def is_unrestricted(self) -> bool:
        """Whether nothing is left out."""
        return not self.services and not self.environments

    def contains(self, service: str) -> bool:
        """Whether a service is in it."""
        if self.environments and DEFAULT_ENVIRONMENT not in self.environments:
            return False
        return not self.services or any(
            service.startswith(each) if each.endswith("/") else service == each
            for each in self.services
        )

    def contains_scope(self, other: "Scope") -> bool:
        """Whether ``other`` reaches nothing that is not in this one."""
        services = not self.services or bool(other.services)
        environments = not self.environments or bool(other.environments)
        return (
            services
            and environments
            and all(self._contains_prefix(each) for each in other.services)
            and (not self.environments or set(other.environments) <= set(self.environments))
        )

    def _contains_prefix(self, name: str) -> bool:
        """The same for one name or prefix; a prefix is not in it because one name is."""
        return not self.services or any(
            name.startswith(each) if each.endswith("/") else name == each for each in self.services
        )


@dataclass(frozen=True)
class Visibility:
    """What can be seen: one organisation, and of its services those in all of the scopes.

    What lies outside is as if it were not there. ``reads_secrets``: what is marked as secret is
    seen in the clear; an actor sets it from its permissions.
    """

    organisation: int = DEFAULT_ORGANISATION
    scopes: tuple[Scope, ...] = ()
    reads_secrets: bool = False

    @property
    def is_unrestricted(self) -> bool:
        """Whether the whole organisation is seen."""
        return all(scope.is_unrestricted for scope in self.scopes)

    def allows(self, service: str) -> bool:
        """Whether a service may be seen."""
        return all(scope.contains(service) for scope in self.scopes)

    def sql_filter(self, name: Any) -> ColumnElement[bool]:
        """The same as a condition on a column of names."""
        condition: ColumnElement[bool] = true()
        for scope in self.scopes:
            if scope.environments and DEFAULT_ENVIRONMENT not in scope.environments:
                return false()
            if scope.services:
                condition = condition & name_filter(name, scope.services)
        return condition


def name_filter(
    name: Any,
    services: tuple[str, ...],
) -> ColumnElement[bool]:
    """Whether a column has one of ``services``; one that ends in ``/`` is how names begin."""
    exact = [each for each in services if not each.endswith("/")]
    # The next character after "/" bounds a prefix without LIKE and its wildcards.
    begun = [(name >= each) & (name < each[:-1] + "0") for each in services if each.endswith("/")]
    return or_(name.in_(exact), *begun)
