"""Versions turned on and off, and versions and services deleted."""

from sqlalchemy import delete

from distributed_config.errors import NoCurrentVersion, StillEnabled
from distributed_config.models import ExtensionRow, RollbackRow, ServiceRow, TagRow, VersionRow
from distributed_config.services.conformance import rules
from distributed_config.services.documents.current import find_current, in_series
from distributed_config.services.documents.preconditions import Precondition, no_precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environments, graph
from distributed_config.services.layers.effects import Effects
from distributed_config.services.secrets import kept_marks
from distributed_config.services.versions.conformity import accept_stored
from distributed_config.services.versions.preconditions import require_expected
from distributed_config.services.versions.read import find_service, load_version
from distributed_config.services.versions.render import version_stamp
from distributed_config.services.versions.statements import (
    ANY_VERSION,
    DISABLE_ALL,
    ENABLED_NUMBERS,
    ERASE,
    SET_ENABLED,
)
from distributed_config.services.versions.values import PUBLISH, ServiceKey, WriteResult


def set_enabled(
    transaction: Transaction,
    series: Series,
    number: int,
    enabled: bool,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Enable or disable version ``number``; the highest enabled version is then current.

    Raises VersionNotFound, VersionDeleted, PreconditionFailed, or NotConforming if the version
    that would become current does not conform to the service's definition.
    """
    transaction.actor.require(PUBLISH)
    service = require_expected(transaction, series, expect)
    version = load_version(transaction.connection, service.id, series, number)
    stamp = version_stamp(transaction.connection, service, number, version.digest)
    before = _current_number(transaction, service, series)
    # Not recorded: a request that is repeated must not look like a second change.
    if version.enabled == enabled:
        return WriteResult(series, number, stamp, before, changed=False)
    effects = _effects(transaction, service, series)
    parameters = {**in_series(service.id, series.environment), "which": number, "to": enabled}
    transaction.connection.execute(SET_ENABLED, parameters)
    current = _current_number(transaction, service, series)
    # Checked after the update, when the database itself has said what becomes current. What does
    # not conform raises, and the transaction is rolled back.
    if current != before:
        which = f"Version {current}, which would become current,"
        accept_stored(transaction, service, series, current, which)
    transaction.record(
        ChangeKind.VERSION_ENABLED if enabled else ChangeKind.VERSION_DISABLED,
        series.service,
        environment=series.environment,
        number=number,
        current=current,
        digest=version.digest,
    )
    if effects is not None:
        effects.settle_stored(service.id)
    return WriteResult(series, number, stamp, current)


def delete_version(
    transaction: Transaction, series: Series, number: int, expect: Precondition = no_precondition
) -> WriteResult:
    """Delete the document of a disabled version. Its number stays taken.

    Raises StillEnabled, VersionNotFound, VersionDeleted or PreconditionFailed.
    """
    transaction.actor.require(PUBLISH)
    service = require_expected(transaction, series, expect)
    version = load_version(transaction.connection, service.id, series, number)
    if version.enabled:
        raise StillEnabled(
            f"Version {number} of {series.service!r} is enabled. Disable it first: "
            f"PATCH …&version={number}&enabled=false."
        )
    # The row stays: numbers are never used again, and the history has no gaps.
    parameters = in_series(service.id, series.environment)
    transaction.connection.execute(
        ERASE, {**parameters, "which": number, "at": transaction.revision}
    )
    current = _current_number(transaction, service, series)
    transaction.record(
        ChangeKind.VERSION_DELETED,
        series.service,
        environment=series.environment,
        number=number,
        current=current,
        digest=version.digest,
    )
    stamp = version_stamp(transaction.connection, service, number, version.digest)
    return WriteResult(series, number, stamp, current)


def disable_service(
    transaction: Transaction, series: Series, expect: Precondition = no_precondition
) -> int:
    """Disable every version, so that nothing is served; return the number that was current.

    Raises NoCurrentVersion if nothing was, or PreconditionFailed.
    """
    transaction.actor.require(PUBLISH)
    service = require_expected(transaction, series, expect)
    before = find_current(transaction.connection, service.id, series.environment)
    if before is None:
        raise NoCurrentVersion(series.service)
    effects = _effects(transaction, service, series)
    transaction.connection.execute(DISABLE_ALL, in_series(service.id, series.environment))
    accept_stored(transaction, service, series, None, "")
    # One change, and not one for each version: to subscribers it is a single event.
    transaction.record(
        ChangeKind.SERVICE_DISABLED,
        series.service,
        environment=series.environment,
        number=before.number,
        digest=before.digest,
    )
    if effects is not None:
        effects.settle_stored(service.id)
    return before.number


def delete_service(
    transaction: Transaction, series: Series, expect: Precondition = no_precondition
) -> None:
    """Delete a series; the service goes with its last one.

    Raises StillEnabled if any version is enabled, and ServiceInUse if others rest on the service.
    """
    transaction.actor.require(PUBLISH)
    service = require_expected(transaction, series, expect)
    enabled = transaction.connection.scalars(
        ENABLED_NUMBERS, in_series(service.id, series.environment)
    ).all()
    if enabled:
        listed = ", ".join(map(str, enabled[:10])) + (" …" if len(enabled) > 10 else "")
        raise StillEnabled(
            f"The service {series.service!r} has enabled versions ({listed}). Disable each first: "
            f"PATCH …&version={enabled[0]}&enabled=false."
        )
    _delete(transaction, service, series)


def delete_with_versions(
    transaction: Transaction, series: Series, expect: Precondition = no_precondition
) -> None:
    """Delete a series and all its versions, enabled or not; the service goes with its last one.

    For requests that say so. Raises what ``delete_service`` raises, but for StillEnabled.
    """
    transaction.actor.require(PUBLISH)
    service = require_expected(transaction, series, expect)
    _delete(transaction, service, series)


def delete_everywhere(transaction: Transaction, name: str) -> None:
    """Delete a service in all environments, whether its versions are enabled or not.

    For requests that say so, as the deletion of a definition with its services.
    """
    for environment in environments.names(transaction.connection, transaction.organisation):
        service = find_service(transaction.reader, Series(name, environment))
        if service is not None and service.has_versions:
            delete_with_versions(transaction, Series(name, environment))


def _current_number(transaction: Transaction, service: ServiceKey, series: Series) -> int | None:
    key = find_current(transaction.connection, service.id, series.environment)
    return None if key is None else key.number


def _effects(transaction: Transaction, service: ServiceKey, series: Series) -> Effects | None:
    """Return the effects of a change of what is current; None where it is nobody else's layer."""
    if service.has_layers:
        return Effects.of_series(transaction, series)
    return None


def _delete(transaction: Transaction, service: ServiceKey, series: Series) -> None:
    connection = transaction.connection
    effects = _effects(transaction, service, series)
    rules.delete_series(connection, service.id, series.environment)
    for table in (RollbackRow, VersionRow):
        connection.execute(
            delete(table).where(
                table.service_id == service.id, table.environment == series.environment
            )
        )
    if connection.execute(ANY_VERSION, {"of_service": service.id}).first() is None:
        _delete_service(transaction, service, series)
        if effects is not None:
            effects.require_unused()
    else:
        # It stays where it has other versions, so this concerns one environment.
        transaction.record(
            ChangeKind.SERVICE_DELETED, series.service, environment=series.environment
        )
    if effects is not None:
        effects.settle_stored(service.id)


def _delete_service(transaction: Transaction, service: ServiceKey, series: Series) -> None:
    """Delete a service that has no versions left."""
    # Marks outlive the service, see ``kept_marks``; they are read before the rows are gone.
    kept_marks.keep(transaction, service.id, series.service)
    rules.delete_conformance(transaction.connection, service.id)
    graph.delete_of_service(transaction.connection, service.id)
    for column in (ExtensionRow.service_id, TagRow.service_id, ServiceRow.id):
        transaction.connection.execute(delete(column.class_).where(column == service.id))
    transaction.record(ChangeKind.SERVICE_DELETED, series.service)
