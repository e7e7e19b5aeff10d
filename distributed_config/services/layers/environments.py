"""The environments of an organisation, as an actor may know of them."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from distributed_config.errors import EnvironmentNotFound
from distributed_config.models import EnvironmentRow
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader


@dataclass(frozen=True)
class Environment:
    """A named variant of every service.

    ``inherits`` is the environment whose documents lie below its own; None: it stands alone.
    Publishing into a ``protected`` one takes ``config:publish``. People see environments in the
    order of ``position``. ``created_at`` is in microseconds since 1970.
    """

    name: str
    description: str
    inherits: str | None
    protected: bool
    position: int
    created_at: int


def environments(reader: Reader) -> list[Environment]:
    """Return the environments that the reader may see, in the order in which people see them."""
    visibility = reader.visibility
    return [
        environment
        for environment in all_environments(reader.connection, visibility.organisation)
        if visibility.allows_environment(environment.name)
    ]


def all_environments(connection: Connection, organisation: int) -> list[Environment]:
    """Return all environments of an organisation, in the order in which people see them."""
    rows = connection.execute(_ALL, {"organisation": organisation})
    return [Environment(*row) for row in rows]


def names(connection: Connection, organisation: int) -> list[str]:
    """Return the names of all environments of an organisation."""
    return list(connection.scalars(_NAMES, {"organisation": organisation}))


def find(reader: Reader, name: str) -> Environment | None:
    """Return the environment, or None if there is none that the reader may see."""
    if not reader.visibility.allows_environment(name):
        return None
    parameters = {"organisation": reader.visibility.organisation, "which": name}
    row = reader.connection.execute(_ONE, parameters).one_or_none()
    return None if row is None else Environment(*row)


def require(reader: Reader, name: str) -> Environment:
    """Return the environment. Raises EnvironmentNotFound, which lists those that there are."""
    found = find(reader, name)
    if found is None:
        raise _not_found(reader, name)
    return found


def require_visible(reader: Reader, name: str) -> None:
    """Raise EnvironmentNotFound unless there is such an environment, and the reader may see it."""
    # Nearly every request is about the default one, which nobody can delete.
    if name == DEFAULT_ENVIRONMENT and reader.visibility.allows_environment(name):
        return
    require(reader, name)


def _not_found(reader: Reader, name: str) -> EnvironmentNotFound:
    return EnvironmentNotFound(name, [environment.name for environment in environments(reader)])


_ALL = (
    select(
        EnvironmentRow.name,
        EnvironmentRow.description,
        EnvironmentRow.inherits,
        EnvironmentRow.protected,
        EnvironmentRow.position,
        EnvironmentRow.created_at,
    )
    .where(EnvironmentRow.organisation_id == bindparam("organisation"))
    .order_by(EnvironmentRow.position, EnvironmentRow.name)
)

_ONE = _ALL.where(EnvironmentRow.name == bindparam("which"))

_NAMES = select(EnvironmentRow.name).where(
    EnvironmentRow.organisation_id == bindparam("organisation")
)
