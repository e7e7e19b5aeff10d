"""The versions of a series, as an actor may read them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select

from distributed_config.errors import (
    NoCurrentVersion,
    NotRepresentable,
    ServiceNotFound,
    VersionDeleted,
    VersionDisabled,
    VersionNotFound,
)
from distributed_config.models import ChangeRow, ServiceRow
from distributed_config.services.documents.current import find_current, in_environment, in_series
from distributed_config.services.documents.load import load_current
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import (
    DocumentKey,
    StoredDocument,
    Viewer,
    load_stored,
    marks_of,
)
from distributed_config.services.versions.render import (
    VersionRenderer,
    version_of_row,
    version_stamp,
)
from distributed_config.services.versions.statements import (
    CHECKS,
    COUNT,
    CURRENT,
    CURRENT_AT_REVISION,
    ENVIRONMENTS,
    EXISTING,
    FIND,
    HISTORY,
    HISTORY_WITH_DOCUMENTS,
    LAST_DEFINITION_REVISIONS,
    LAST_MARKINGS,
    LAST_VERSION_CHANGES,
    ROLLBACKS,
    SIZE,
    STORED,
)
from distributed_config.services.versions.values import ServiceKey, Version, WriteResult
from distributed_config.wire import Document, parse_stored


def lookup(reader: Reader, series: Series) -> int | None:
    """Return the service's id, or None if there is no such service in any environment."""
    service = find_service(reader, series)
    return None if service is None else service.id


def require(reader: Reader, series: Series) -> int:
    """Return the service's id, whether or not it has versions in the series' environment.

    Raises ServiceNotFound or EnvironmentNotFound.
    """
    service_id = lookup(reader, series)
    if service_id is None:
        raise ServiceNotFound(series.service)
    return service_id


def current(reader: Reader, series: Series) -> Version:
    """Return the version that is served. Raises ServiceNotFound or NoCurrentVersion."""
    require_visible(reader, series.environment)
    # Here, as in ``find_service``, a service outside the reader's view is one that does not exist:
    # another error would confirm a guess at its name.
    row = (
        reader.connection.execute(CURRENT, _named(reader, series)).one_or_none()
        if reader.visibility.allows(series.service)
        else None
    )
    if row is None:
        raise ServiceNotFound(series.service, series.environment)
    if row.number is None:
        require_service(reader, series)
        raise NoCurrentVersion(series.service)
    key = DocumentKey(
        row.service_id,
        reader.visibility.organisation,
        series.service,
        row.secret_marks,
        series.environment,
    )
    version = version_of_row(series.service, row)
    return _renderer(reader).render(key, version, row.moved_at)


def numbered(reader: Reader, series: Series, number: int) -> Version:
    """Return exactly version ``number``.

    Raises VersionNotFound, VersionDeleted or VersionDisabled.
    """
    version = stored(reader, series, number)
    if not version.enabled:
        raise VersionDisabled(series.service, number)
    return version


def stored(reader: Reader, series: Series, number: int) -> Version:
    """Return version ``number``, enabled or not. Raises VersionNotFound or VersionDeleted."""
    service = require_service(reader, series)
    version = load_version(reader.connection, service.id, series, number)
    return _renderer(reader).render(document_key(reader, series, service), version)


def all_existing(reader: Reader, series: Series, most_bytes: int) -> list[Version]:
    """Return every version that is not deleted, with its document, in ascending order.

    Raises NotRepresentable if together they have more than ``most_bytes``.
    """
    service = require_service(reader, series)
    parameters = in_series(service.id, series.environment)
    # Summed first: the documents must not be in memory before they are known to fit.
    size = reader.connection.execute(SIZE, parameters).scalar_one() or 0
    if size > most_bytes:
        raise NotRepresentable(
            f"All versions of {series.service!r} have {size} bytes, and one answer has at most "
            f"{most_bytes} (DISTCONF_ANSWER_BYTES). Ask for version=current, or page through "
            "/api/v1/versions."
        )
    return _render_all(reader, series, service, EXISTING, parameters)


def history(
    reader: Reader, series: Series, *, before: int | None, limit: int, documents: bool
) -> list[Version]:
    """Return up to ``limit`` versions below number ``before``, newest first.

    Deleted versions are among them. ``documents`` says whether the others have theirs.
    """
    service = require_service(reader, series)
    parameters = in_series(service.id, series.environment)
    page = _render_all(
        reader,
        series,
        service,
        HISTORY_WITH_DOCUMENTS if documents else HISTORY,
        {**parameters, "before": before, "most": limit},
    )
    if not page:
        return []
    # Queries of their own, for the few columns that only histories show.
    span = {**parameters, "lowest": page[-1].number, "highest": page[0].number}
    checks = {row[0]: (row[1], row[2]) for row in reader.connection.execute(CHECKS, span)}
    rollbacks = {row[0]: row[1] for row in reader.connection.execute(ROLLBACKS, span)}
    return [
        replace(
            version,
            checked=checks.get(version.number),
            rolled_back_to=rollbacks.get(version.number),
        )
        for version in page
    ]


def masked_text(transaction: Transaction, written: WriteResult, document: Document) -> str:
    """Return ``document``, which was just written, as the response may show it: masked.

    Whoever wrote a secret may see it. But responses to writes are stored in the database for
    retries with the same idempotency key, and no secret may be there in the clear.
    """
    if not written.has_secrets:
        return document.text
    service = require_service(transaction.reader, written.series)
    version = load_version(transaction.connection, service.id, written.series, written.number)
    key = document_key(transaction.reader, written.series, service)
    return VersionRenderer(transaction.connection, reveal=False).render(key, version).served


def as_of_revision(reader: Reader, series: Series, revision: int) -> Version:
    """Return the version that was current when the journal stood at ``revision``.

    Raises ServiceNotFound, or VersionNotFound where none was, or VersionDeleted.
    """
    until = CURRENT_AT_REVISION.where(ChangeRow.revision <= revision)
    return _as_of(reader, series, until, f"at {revision}")


def as_of_time(reader: Reader, series: Series, moment: int) -> Version:
    """Return the version that was current at ``moment``, in microseconds since 1970.

    Raises what ``as_of_revision`` raises.
    """
    until = CURRENT_AT_REVISION.where(ChangeRow.changed_at <= moment)
    return _as_of(reader, series, until, "then")


def version_times(reader: Reader, series: Series) -> tuple[int, ...]:
    """Return the times of the last two changes of a service's versions, newest first."""
    return _last_two(reader, series, (LAST_VERSION_CHANGES,))


def change_times(reader: Reader, series: Series) -> tuple[int, ...]:
    """Return the times of the last two changes of how a service's versions are shown.

    Marks and definitions change that as well as new versions. Newest first.
    """
    queries = (LAST_VERSION_CHANGES, LAST_MARKINGS, LAST_DEFINITION_REVISIONS)
    return _last_two(reader, series, queries)


def current_value(connection: Connection, service_id: int, series: Series) -> dict[str, Any] | None:
    """Return the current document as indexes may hold it, masked; None: nothing is current."""
    document = load_current(connection, service_id, series.environment)
    if document is None:
        return None
    return parse_stored(document.render(Viewer(connection, reveal=False)).text)


def environments_of(connection: Connection, service_id: int) -> list[str]:
    """Return the environments in which a service has versions, by name."""
    return list(connection.scalars(ENVIRONMENTS, {"of_service": service_id}))


def current_seen(reader: Reader, series: Series) -> dict[str, Any] | None:
    """Return the current document as the reader may see it; None: nothing is current."""
    service = find_service(reader, series)
    document = (
        None if service is None else load_current(reader.connection, service.id, series.environment)
    )
    if document is None:
        return None
    viewer = Viewer(reader.connection, reader.visibility.reads_secrets)
    return parse_stored(document.render(viewer).text)


@dataclass(frozen=True)
class CurrentDocument:
    """The current document as it is stored; ``stamp`` is its version's part of its entity tag."""

    number: int
    stamp: str
    document: StoredDocument


def current_document(reader: Reader, series: Series) -> CurrentDocument:
    """Return the current document of a series, with its secrets as they are stored.

    Raises ServiceNotFound or NoCurrentVersion.
    """
    service = require_service(reader, series)
    found = find_current(reader.connection, service.id, series.environment)
    if found is None:
        raise NoCurrentVersion(series.service)
    stamp = version_stamp(reader.connection, service, found.number, found.digest)
    return CurrentDocument(found.number, stamp, stored_document(reader, series, found.number))


def stored_document(reader: Reader, series: Series, number: int) -> StoredDocument:
    """Return version ``number``, enabled or not, with its secrets as they are stored.

    Raises ServiceNotFound, VersionNotFound or VersionDeleted.
    """
    service = require_service(reader, series)
    version = load_version(reader.connection, service.id, series, number)
    return load_stored(reader.connection, document_key(reader, series, service), version.served)


def each_stored(
    reader: Reader, series: Series, numbers: Iterable[int]
) -> Iterator[StoredDocument | None]:
    """Yield the versions with these numbers as they are stored; None for one that is not there.

    Each is read when it is asked for. Raises ServiceNotFound.
    """
    service = require_service(reader, series)
    key = document_key(reader, series, service)
    marks = marks_of(reader.connection, key)
    for number in numbers:
        try:
            version = load_version(reader.connection, service.id, series, number)
        except (VersionDeleted, VersionNotFound):
            yield None
        else:
            yield load_stored(reader.connection, key, version.served, marks)


def count_services(reader: Reader) -> int:
    """Return how many services the reader may see."""
    query = COUNT.where(reader.visibility.sql_filter(ServiceRow.name))
    organisation = {"organisation": reader.visibility.organisation}
    return reader.connection.execute(query, organisation).scalar_one()


def find_service(reader: Reader, series: Series) -> ServiceKey | None:
    """Return the service, or None if there is none that the reader may see.

    Its series need not have a version. Raises EnvironmentNotFound.
    """
    require_visible(reader, series.environment)
    if not reader.visibility.allows(series.service):
        return None
    row = reader.connection.execute(FIND, _named(reader, series)).one_or_none()
    return None if row is None else ServiceKey(*row)


def require_service(reader: Reader, series: Series) -> ServiceKey:
    """Return the service of a series that has versions.

    Raises ServiceNotFound or EnvironmentNotFound.
    """
    service = find_service(reader, series)
    if service is None or not service.has_versions:
        raise ServiceNotFound(series.service, series.environment)
    return service


def load_version(connection: Connection, service_id: int, series: Series, number: int) -> Version:
    """Return version ``number`` as it is stored. Raises VersionNotFound or VersionDeleted."""
    parameters = in_series(service_id, series.environment)
    parameters["which"] = number
    row = connection.execute(STORED, parameters).one_or_none()
    if row is None:
        raise VersionNotFound(series.service, str(number))
    version = version_of_row(series.service, row)
    if version.deleted:
        raise VersionDeleted(series.service, number)
    return version


def document_key(reader: Reader, series: Series, service: ServiceKey) -> DocumentKey:
    """Return whose documents the versions of ``service`` are, for masking and sealing."""
    return DocumentKey(
        service.id,
        reader.visibility.organisation,
        series.service,
        service.secret_marks,
        series.environment,
    )


def _named(reader: Reader, series: Series) -> dict[str, Any]:
    """The parameters of a statement about a service by its name."""
    return {
        "organisation": reader.visibility.organisation,
        "name": series.service,
        **in_environment(series.environment),
    }


def _renderer(reader: Reader) -> VersionRenderer:
    return VersionRenderer(reader.connection, reader.visibility.reads_secrets)


def _render_all(
    reader: Reader, series: Series, service: ServiceKey, query: Any, parameters: dict[str, Any]
) -> list[Version]:
    rows = reader.connection.execute(query, parameters).all()
    key = document_key(reader, series, service)
    renderer = _renderer(reader)
    return [renderer.render(key, version_of_row(series.service, row)) for row in rows]


def _as_of(reader: Reader, series: Series, until: Select[int | None], when: str) -> Version:
    service = require_service(reader, series)
    parameters = {**_named(reader, series), **in_series(service.id, series.environment)}
    number = reader.connection.execute(until, parameters).scalar_one_or_none()
    if number is None:
        raise VersionNotFound(series.service, f"that was current {when}")
    version = load_version(reader.connection, service.id, series, number)
    return _renderer(reader).render(document_key(reader, series, service), version)


def _last_two(reader: Reader, series: Series, queries: Sequence[Any]) -> tuple[int, ...]:
    parameters = _named(reader, series)
    # By revision: the several changes of one revision are one change of the service.
    times = {
        revision: moment
        for query in queries
        for revision, moment in reader.connection.execute(query, parameters)
    }
    return tuple(times[revision] for revision in sorted(times, reverse=True)[:2])
