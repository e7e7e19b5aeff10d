"""Preconditions of writes to a series, judged under the write lock before anything is written."""

from distributed_config.errors import PreconditionFailed
from distributed_config.services.documents.current import find_current
from distributed_config.services.documents.preconditions import (
    Precondition,
    Standing,
    no_precondition,
)
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.versions.read import change_times, require_service, version_times
from distributed_config.services.versions.render import version_stamp
from distributed_config.services.versions.values import ServiceKey
from distributed_config.wire import absent_etag, version_etag


def check_expected(transaction: Transaction, series: Series, expect: Precondition) -> None:
    """Raise PreconditionFailed unless the service is as expected, or ServiceNotFound."""
    require_expected(transaction, series, expect)


def require_expected(transaction: Transaction, series: Series, expect: Precondition) -> ServiceKey:
    """Return the service if it is as expected. Raises ServiceNotFound or PreconditionFailed."""
    service = require_service(transaction.reader, series)
    check_precondition(transaction, service, series, expect)
    return service


def check_precondition(
    transaction: Transaction, service: ServiceKey, series: Series, expect: Precondition
) -> None:
    """Raise PreconditionFailed unless ``service`` is as expected."""
    if expect is no_precondition:
        return  # most writes come without one, and are spared the queries
    key = find_current(transaction.connection, service.id, series.environment)
    if key is None:
        etag = absent_etag(transaction.epoch, service.id)
    else:
        stamp = version_stamp(transaction.connection, service, key.number, key.digest)
        etag = version_etag(transaction.epoch, key.number, stamp)
    # A new mark changes what a reader was shown, though no version changed.
    times = change_times if service.secret_marks else version_times
    if not expect(Standing(etag, lambda: times(transaction.reader, series))):
        raise PreconditionFailed(series.service, etag)
