"""What an actor can see: one organisation, and in it some services and environments."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_, true

DEFAULT_ORGANISATION = 1
DEFAULT_ENVIRONMENT = "default"


@dataclass(frozen=True)
class Scope:
    """The services and environments that rights are limited to; empty means no limit.

    An entry of ``services`` is an exact name, or a prefix that ends in ``/``.
    """

    services: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    @property
    def is_unrestricted(self) -> bool:
        """Whether the scope limits nothing."""
        return not self.services and not self.environments

    def contains(self, service: str) -> bool:
        """Whether ``service`` lies in this scope, in whichever environment."""
        return self._contains_prefix(service)

    def contains_environment(self, environment: str) -> bool:
        """Whether ``environment`` lies in this scope."""
        return not self.environments or environment in self.environments

    def contains_scope(self, other: "Scope") -> bool:
        """Whether everything in ``other`` lies in this scope too."""
        # An empty tuple is "all", so a limited scope never contains an unlimited one.
        services = not self.services or bool(other.services)
        environments = not self.environments or bool(other.environments)
        return (
            services
            and environments
            and all(self._contains_prefix(name) for name in other.services)
            and (not self.environments or set(other.environments) <= set(self.environments))
        )

    def _contains_prefix(self, name: str) -> bool:
        """Whether ``name``, which may itself be a prefix, lies in ``services``.

        A prefix lies only in prefixes: one exact name is never all of what the prefix stands for.
        """
        return not self.services or any(
            name.startswith(entry) if entry.endswith("/") else name == entry
            for entry in self.services
        )


@dataclass(frozen=True)
class Visibility:
    """The services and environments of one organisation that lie in all of ``scopes``.

    A user's token has two scopes, its user's and its own, and sees what lies in both. A service is
    visible by its name: that it exists, its tags and its definition are the same everywhere. Its
    versions are visible in those environments that are visible.
    ``reads_secrets`` says whether secrets are shown in the clear; Actor derives it from its
    permissions.
    """

    organisation: int = DEFAULT_ORGANISATION
    scopes: tuple[Scope, ...] = ()
    reads_secrets: bool = False

    @property
    def is_unrestricted(self) -> bool:
        """Whether the whole organisation is visible."""
        return all(scope.is_unrestricted for scope in self.scopes)

    @property
    def has_every_environment(self) -> bool:
        """Whether no environment is hidden."""
        return not any(scope.environments for scope in self.scopes)

    def allows(self, service: str) -> bool:
        """Whether ``service`` is visible."""
        return all(scope.contains(service) for scope in self.scopes)

    def allows_environment(self, environment: str) -> bool:
        """Whether the versions in ``environment`` are visible."""
        return all(scope.contains_environment(environment) for scope in self.scopes)

    def shows(self, service: str, environment: str) -> bool:
        """Whether the versions of ``service`` in ``environment`` are visible."""
        return self.allows(service) and self.allows_environment(environment)

    def sql_filter(self, name: Any) -> ColumnElement[bool]:
        """Return the condition that the column ``name`` holds a visible service.

        It says in SQL what ``allows`` says of one name, so that pages and counts are right.
        """
        # In the statement and not after it: filtered pages would have gaps, and counts would be
        # wrong.
        condition: ColumnElement[bool] = true()
        for scope in self.scopes:
            if scope.services:
                condition = condition & name_filter(name, scope.services)
        return condition

    def environment_filter(self, environment: Any) -> ColumnElement[bool]:
        """Return the condition that the column ``environment`` holds a visible one, or none.

        It says in SQL what ``allows_environment`` says.
        """
        condition: ColumnElement[bool] = true()
        for scope in self.scopes:
            if scope.environments:
                inside = environment.is_(None) | environment.in_(scope.environments)
                condition = condition & inside
        return condition


def name_filter(column: Any, names: tuple[str, ...]) -> ColumnElement[bool]:
    """Return the condition that ``column`` holds one of ``names``.

    One that ends in ``/`` stands for all names that begin so.
    """
    exact = [name for name in names if not name.endswith("/")]
    # "0" is the character after "/". A range uses the index, and unlike LIKE it has no wildcards
    # that a name could contain.
    prefixes = [
        (column >= name) & (column < name[:-1] + "0") for name in names if name.endswith("/")
    ]
    return or_(column.in_(exact), *prefixes)
