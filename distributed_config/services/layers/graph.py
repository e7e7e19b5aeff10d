"""Which services rest on which: because they extend them, or because they refer to them.

The graph is that of the whole organisation, whatever the environment. So a circle is found when it
is written, and no way through the graph goes on for ever.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
)

from distributed_config.models import DependencyRow, EnvironmentRow, ServiceRow
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT

EXTENDS = ""
"""Stands in the place of an environment where a service extends another one."""

_BATCH = 500

HAS_LAYERS = or_(
    exists().where(
        EnvironmentRow.organisation_id == bindparam("organisation"),
        or_(EnvironmentRow.name != DEFAULT_ENVIRONMENT, EnvironmentRow.protected),
    ),
    exists().where(DependencyRow.organisation_id == bindparam("organisation")),
)
"""The condition that ``:organisation`` has more than plain documents in one environment."""


def has_layers(connection: Connection, organisation: int) -> bool:
    """Return whether an organisation has more than plain documents in one environment."""
    return bool(connection.execute(_HAS_LAYERS, {"organisation": organisation}).scalar_one())


def dependents(connection: Connection, organisation: int, services: Iterable[str]) -> list[str]:
    """Return ``services``, and all that rest on them, directly or not."""
    # Level by level, and each service once: the graph has no circle, but many ways to one place.
    found = dict.fromkeys(services)
    newest = list(found)
    while newest:
        newest = [name for name in _rest_on(connection, organisation, newest) if name not in found]
        found |= dict.fromkeys(newest)
    return list(found)


def direct_dependents(connection: Connection, organisation: int, service: str) -> list[str]:
    """Return the services that rest on ``service`` directly, by name."""
    return _rest_on(connection, organisation, [service])


def is_connected(connection: Connection, organisation: int, service: str, service_id: int) -> bool:
    """Return whether a service rests on another one, or another one on it."""
    parameters = {"organisation": organisation, "target": service, "service": service_id}
    return bool(connection.execute(_CONNECTED, parameters).scalar_one())


def replace_targets(
    connection: Connection,
    organisation: int,
    service_id: int,
    environment: str,
    targets: Collection[str],
) -> bool:
    """Record what a series refers to, or what a service ``EXTENDS``.

    Returns whether that is anything new: only then there can be a new circle.
    """
    parameters = {"service": service_id, "place": environment}
    before = set(connection.scalars(_TARGETS, parameters))
    # Most versions refer to what the version before referred to.
    if before == set(targets):
        return False
    connection.execute(_DELETE, parameters)
    if targets:
        row = {
            "service_id": service_id,
            "environment": environment,
            "organisation_id": organisation,
        }
        connection.execute(insert(DependencyRow), [{**row, "target": one} for one in targets])
    return not set(targets) <= before


def delete_of_service(connection: Connection, service_id: int) -> None:
    """Forget everything that a service rests on."""
    connection.execute(delete(DependencyRow).where(DependencyRow.service_id == service_id))


def find_circle(connection: Connection, organisation: int, service: str) -> list[str] | None:
    """Return the services on a circle through ``service``, which is the first and the last of them.

    None if there is none.
    """
    # The way that led to each service is kept, so that the error can tell the whole circle.
    came_from: dict[str, str] = {}
    newest = [service]
    while newest:
        rows = [
            row
            for start in range(0, len(newest), _BATCH)
            for row in connection.execute(
                _EDGES, {"organisation": organisation, "names": newest[start : start + _BATCH]}
            )
        ]
        newest = []
        for name, target in rows:
            if target == service:
                return [*_way_to(name, came_from), service]
            if target not in came_from:
                came_from[target] = name
                newest.append(target)
    return None


def _way_to(name: str, came_from: dict[str, str]) -> list[str]:
    way = [name]
    while way[-1] in came_from:
        way.append(came_from[way[-1]])
    return way[::-1]


def _rest_on(connection: Connection, organisation: int, targets: list[str]) -> list[str]:
    names: list[str] = []
    # In batches: a statement has a limited number of parameters.
    for start in range(0, len(targets), _BATCH):
        batch = {"organisation": organisation, "targets": targets[start : start + _BATCH]}
        names += connection.scalars(_DEPENDENTS, batch)
    return names


_CONNECTED = select(
    or_(
        exists().where(DependencyRow.service_id == bindparam("service")),
        exists().where(
            DependencyRow.organisation_id == bindparam("organisation"),
            DependencyRow.target == bindparam("target"),
        ),
    )
)

_HAS_LAYERS = select(HAS_LAYERS)

_DEPENDENTS = (
    select(ServiceRow.name)
    .join(DependencyRow, DependencyRow.service_id == ServiceRow.id)
    .where(
        DependencyRow.organisation_id == bindparam("organisation"),
        DependencyRow.target.in_(bindparam("targets", expanding=True)),
    )
    .distinct()
    .order_by(ServiceRow.name)
)

_EDGES = (
    select(ServiceRow.name, DependencyRow.target)
    .join(DependencyRow, DependencyRow.service_id == ServiceRow.id)
    .where(
        ServiceRow.organisation_id == bindparam("organisation"),
        ServiceRow.name.in_(bindparam("names", expanding=True)),
    )
)

_OF_SERIES = (
    DependencyRow.service_id == bindparam("service"),
    DependencyRow.environment == bindparam("place"),
)
_TARGETS = select(DependencyRow.target).where(*_OF_SERIES)
_DELETE = delete(DependencyRow).where(*_OF_SERIES)
