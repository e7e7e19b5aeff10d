"""Which version of a series is current: the highest that is enabled.

This is the only place where that rule is SQL. Everything else joins or filters with
``current_number``, ``has_current`` and ``is_current``, so that another rule changes one function.

Statements built of these take the environment as a bound parameter, from ``in_series`` or
``in_environment``. They can therefore be built once, when their module is loaded: SQLAlchemy
needs several times as long to build a statement as SQLite does to run it.
"""

from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    select,
)

from distributed_config.models import VersionRow
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT

# These are not named as the columns are: SQLAlchemy would take such a parameter of an UPDATE for
# a value to set.
SERVICE: BindParameter[int] = bindparam("of_service")
ENVIRONMENT: BindParameter[str] = bindparam("in_environment")

SERIES = and_(VersionRow.service_id == SERVICE, VersionRow.environment == ENVIRONMENT)
"""The condition on a version that it is in the series of ``in_series``."""


def in_series(service_id: int, environment: str) -> dict[str, Any]:
    """Return the parameters of a statement about one series."""
    return {"of_service": service_id, "in_environment": environment}


def in_environment(environment: str = DEFAULT_ENVIRONMENT) -> dict[str, Any]:
    """Return the parameters of a statement about the series of many services.

    Verbs pass the environment that they are about; the default one is meant unless another is
    said.
    """
    return {"in_environment": environment}


def current_number(service_id: Any, environment: Any = ENVIRONMENT) -> ScalarSelect[int]:
    """Return the subquery for the number of a series' current version; NULL: none is enabled.

    ``service_id`` and ``environment`` are columns of the enclosing query, or parameters.
    """
    # Ordered, and not max(): SQLite walks the primary key from its end and stops at the first
    # enabled version, however many there are before it.
    newest_first = _candidates(service_id, environment).order_by(VersionRow.number.desc())
    return newest_first.limit(1).scalar_subquery()


def has_current(service_id: Any) -> ColumnElement[bool]:
    """Return the condition that a service has a current version.

    ``service_id`` is as for ``current_number``.
    """
    return _candidates(service_id, ENVIRONMENT).exists()


def is_current(service_id: Any, environment: Any = ENVIRONMENT) -> ColumnElement[bool]:
    """Return the condition on a version that it is the current one of a series.

    ``service_id`` and ``environment`` are as for ``current_number``.
    """
    return and_(
        VersionRow.service_id == service_id,
        VersionRow.environment == environment,
        VersionRow.number == current_number(service_id, environment),
    )


def _candidates(service_id: Any, environment: Any) -> Select[int]:
    """Select the versions of which the highest is current. This is the rule."""
    return (
        select(VersionRow.number)
        .where(
            VersionRow.service_id == service_id,
            VersionRow.environment == environment,
            VersionRow.enabled,
        )
        # The enclosing query often reads versions as well; those here are others.
        .correlate_except(VersionRow)
    )


class CurrentKey(NamedTuple):
    """The current version's number, and the digest of its document as it is stored."""

    number: int
    digest: str


_KEY = select(VersionRow.number, VersionRow.digest).where(is_current(SERVICE))


def find_current(connection: Connection, service_id: int, environment: str) -> CurrentKey | None:
    """Return which version of a series is current, or None if none is enabled.

    Its document, which may fill many pages, is not read.
    """
    row = connection.execute(_KEY, in_series(service_id, environment)).one_or_none()
    return None if row is None else CurrentKey(*row)
