"""Which resolved documents a change may have changed, for those who watch them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from distributed_config.services.journal.changes import Change
from distributed_config.services.journal.kinds import ENVIRONMENT_KINDS
from distributed_config.services.layers import graph
from distributed_config.services.layers.chains import Chains, load_chains


@dataclass(frozen=True)
class Reach:
    """The resolved documents of ``services`` in ``environments``; None stands for all of them."""

    services: frozenset[str] | None
    environments: frozenset[str] | None

    def includes(self, pair: tuple[str, str]) -> bool:
        """Whether the resolved document of a service in an environment is among them."""
        service, environment = pair
        return (self.services is None or service in self.services) and (
            self.environments is None or environment in self.environments
        )


_EVERYTHING = Reach(None, None)


def find_reaches(connection: Connection, changes: Sequence[Change]) -> list[Reach | None]:
    """Return the reach of each change, by what rests on what now; None: it changed no document.

    What rested on it earlier, and does not any more, has had a change of its own since.
    """
    finder = _Finder(connection)
    return [finder.find(change) for change in changes]


class _Finder:
    """Finds reaches; looks for what many changes share only once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chains: dict[int, Chains | None] = {}
        self._services: dict[tuple[int, str], frozenset[str]] = {}

    def find(self, change: Change) -> Reach | None:
        # An environment that comes, goes or moves may change the documents of any service.
        if change.service is None:
            return _EVERYTHING if change.kind in ENVIRONMENT_KINDS else None
        chains = self._chains_of(change.organisation_id)
        if chains is None:
            # Nothing but plain documents: what changed is all that it reaches.
            place = change.environment
            return Reach(frozenset({change.service}), None if place is None else frozenset({place}))
        below = None if change.environment is None else frozenset(chains.below(change.environment))
        return Reach(self._resting_on(change.organisation_id, change.service), below)

    def _chains_of(self, organisation: int) -> Chains | None:
        if organisation not in self._chains:
            is_layered = graph.has_layers(self._connection, organisation)
            self._chains[organisation] = (
                load_chains(self._connection, organisation) if is_layered else None
            )
        return self._chains[organisation]

    def _resting_on(self, organisation: int, service: str) -> frozenset[str]:
        key = (organisation, service)
        if key not in self._services:
            self._services[key] = frozenset(
                graph.dependents(self._connection, organisation, [service])
            )
        return self._services[key]
