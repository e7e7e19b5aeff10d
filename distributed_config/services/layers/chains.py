"""Which environment inherits from which, now and at earlier revisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, exists, select

from distributed_config.models import ChangeRow, EnvironmentRow, InheritanceRow
from distributed_config.services.journal.kinds import ChangeKind

MOST_DEEP = 8
"""How many environments a chain has at most, from its root down."""


@dataclass(frozen=True)
class Chains:
    """The environments of an organisation, each with the one that it inherits from, or None."""

    parents: Mapping[str, str | None]

    # The chains that were found, because one resolved document takes the same one many times.
    _found: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)

    def of(self, environment: str) -> tuple[str, ...]:
        """Return the chain that ends at ``environment``, its root first; () if there is none.

        Raises ValueError for a circle, with the environments on it.
        """
        if environment not in self._found:
            self._found[environment] = self._find(environment)
        return self._found[environment]

    def _find(self, environment: str) -> tuple[str, ...]:
        if environment not in self.parents:
            return ()
        chain: list[str] = []
        name: str | None = environment
        # A parent that does not exist any more had no documents when it went.
        while name is not None and name in self.parents:
            if name in chain:
                raise ValueError(" → ".join([*chain, name]))
            chain.append(name)
            name = self.parents[name]
        return tuple(reversed(chain))

    def below(self, environment: str) -> list[str]:
        """Return the environments whose chains contain ``environment``, itself among them."""
        return [name for name in self.parents if environment in self.of(name)]


def load_chains(connection: Connection, organisation: int) -> Chains:
    """Return the chains of an organisation as they are now."""
    # All of them: there are few, and a write looks for those below its environment.
    rows = connection.execute(_NOW, {"organisation": organisation})
    return Chains({row.name: row.inherits for row in rows})


def load_chains_at(connection: Connection, organisation: int, revision: int) -> Chains:
    """Return the chains of an organisation as they were when the journal stood at ``revision``."""
    rows = connection.execute(_THEN, {"organisation": organisation, "at": revision})
    # In the order of revisions: the newest one of each environment wins.
    return Chains({row.environment: row.inherits for row in rows})


_NOW = select(EnvironmentRow.name, EnvironmentRow.inherits).where(
    EnvironmentRow.organisation_id == bindparam("organisation")
)

_THEN = (
    select(InheritanceRow.environment, InheritanceRow.inherits)
    .where(
        InheritanceRow.organisation_id == bindparam("organisation"),
        InheritanceRow.revision <= bindparam("at"),
        # One that was deleted since, and perhaps created again later, was not there.
        ~exists().where(
            ChangeRow.organisation_id == InheritanceRow.organisation_id,
            ChangeRow.service.is_(None),
            ChangeRow.environment == InheritanceRow.environment,
            ChangeRow.kind == ChangeKind.ENVIRONMENT_DELETED,
            ChangeRow.revision > InheritanceRow.revision,
            ChangeRow.revision <= bindparam("at"),
        ),
    )
    .order_by(InheritanceRow.revision)
)
