"""The versions of a service, as an actor may read them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from distributed_config.errors import (
    NoCurrentVersion,
    NotRepresentable,
    ServiceNotFound,
    VersionDeleted,
    VersionDisabled,
    VersionNotFound,
)
from distributed_config.models import ChangeRow, ServiceRow
from distributed_config.services.documents.series import Series
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import DocumentKey, Viewer
from distributed_config.services.secrets.digests import Digests
from distributed_config.services.versions.statements import (
    CHECKS,
    COUNT,
    CURRENT,
    CURRENT_KEY,
    EXISTING,
    FIND,
    HISTORY,
    HISTORY_WITH_DOCUMENTS,
    HOME,
    MARKED,
    MOVED,
    PLAIN,
    REVISED,
    SIZE,
    STORED,
)
from distributed_config.services.versions.values import ServiceKey, Version, WriteResult
from distributed_config.wire import Document, parse_stored, stamp_of


def lookup(reader: Reader, series: Series) -> int | None:
    """The service's id; None: there is none."""
    found = find_service(reader, series)
    return None if found is None else found.id


def require(reader: Reader, series: Series) -> int:
    """The service's id. Raises ServiceNotFound."""
    return require_service(reader, series).id


def current(reader: Reader, series: Series) -> Version:
    """What is served. Raises ServiceNotFound or NoCurrentVersion."""
    asked = {"organisation": reader.visibility.organisation, "name": series.service}
    row = (
        reader.connection.execute(CURRENT, asked).one_or_none()
        if reader.visibility.allows(series.service)
        else None
    )
    if row is None:
        raise ServiceNotFound(series.service)
    if row.number is None:
        raise NoCurrentVersion(series.service)
    home = DocumentKey(
        row.service_id, reader.visibility.organisation, series.service, row.secret_marks
    )
    found = version_of_row(series.service, row)
    return Showing(reader.connection, reader.visibility.reads_secrets).shown(
        home, found, row.moved_at
    )


def numbered(reader: Reader, series: Series, number: int) -> Version:
    """Exactly version ``number``. Raises VersionNotFound, VersionDeleted or VersionDisabled."""
    found = stored(reader, series, number)
    if not found.enabled:
        raise VersionDisabled(series.service, number)
    return found


def stored(reader: Reader, series: Series, number: int) -> Version:
    """Version ``number``, also when it is disabled. Raises VersionNotFound or VersionDeleted."""
    service = require_service(reader, series)
    found = load_version(reader.connection, service.id, series, number)
    home = DocumentKey(
        service.id, reader.visibility.organisation, series.service, service.secret_marks
    )
    return Showing(reader.connection, reader.visibility.reads_secrets).shown(home, found)


def all_existing(reader: Reader, series: Series, most_bytes: int) -> list[Version]:
    """Every version that still exists, ascending, with its document.

    Raises NotRepresentable if together they have more than ``most_bytes``.
    """
    service = require_service(reader, series)
    size = reader.connection.execute(SIZE, {"series": service.id}).scalar_one() or 0
    if size > most_bytes:
        raise NotRepresentable(
            f"All versions of {series.service!r} have {size} bytes, and one answer has at most "
            f"{most_bytes} (DISTCONF_ANSWER_BYTES). Ask for version=current, or page through "
            "/api/v1/versions."
        )
    rows = reader.connection.execute(EXISTING, {"series": service.id}).all()
    home = DocumentKey(
        service.id, reader.visibility.organisation, series.service, service.secret_marks
    )
    showing = Showing(reader.connection, reader.visibility.reads_secrets)
    return [showing.shown(home, version_of_row(series.service, row)) for row in rows]


def history(
    reader: Reader,
    series: Series,
    *,
    before: int | None,
    limit: int,
    documents: bool,
) -> list[Version]:
    """The versions below number ``before``, newest first, deleted ones among them."""
    service = require_service(reader, series)
    query = HISTORY_WITH_DOCUMENTS if documents else HISTORY
    asked = {"series": service.id, "before": before, "most": limit}
    rows = reader.connection.execute(query, asked).all()
    home = DocumentKey(
        service.id, reader.visibility.organisation, series.service, service.secret_marks
    )
    showing = Showing(reader.connection, reader.visibility.reads_secrets)
    found = [showing.shown(home, version_of_row(series.service, row)) for row in rows]
    if not found:
        return []
    span = {"series": service.id, "lowest": found[-1].number, "highest": found[0].number}
    checks = {row[0]: (row[1], row[2]) for row in reader.connection.execute(CHECKS, span)}
    return [replace(each, checked=checks.get(each.number)) for each in found]


def masked_text(transaction: Transaction, written: WriteResult, document: Document) -> str:
    """``document``, which was just written, as answers to writes show it: without its secrets.

    Such answers are kept for those who ask again, in the database's file.
    """
    if not written.has_secrets:
        return document.text
    service = require_service(transaction.reader, Series(written.service))
    found = load_version(
        transaction.connection, service.id, Series(written.service), written.number
    )
    home = document_key(transaction, service, Series(written.service))
    return Showing(transaction.connection, reveal=False).shown(home, found).served


def as_of_revision(reader: Reader, series: Series, revision: int) -> Version:
    """What was current when the journal stood at ``revision``."""
    return _as_of(reader, series, ChangeRow.revision <= revision, f"at {revision}")


def as_of_time(reader: Reader, series: Series, moment: int) -> Version:
    """What was current at ``moment``, in microseconds since 1970."""
    return _as_of(reader, series, ChangeRow.changed_at <= moment, "then")


def version_times(reader: Reader, series: Series) -> tuple[int, ...]:
    """The times at which a service's versions changed last and before that, newest first."""
    return last_two(reader, series, (MOVED,))


def change_times(reader: Reader, series: Series) -> tuple[int, ...]:
    """The same of all that changes how its versions are shown: marks and definitions as well."""
    return last_two(reader, series, (MOVED, MARKED, REVISED))


def current_value(connection: Connection, service_id: int) -> dict[str, Any] | None:
    """The current document of a service by its id, without its secrets; None: nothing is current.

    It is what indexes may have.
    """
    key = current_key(connection, service_id)
    if key is None:
        return None
    row = connection.execute(HOME, {"service": service_id}).one()
    found = load_version(connection, service_id, Series(row.name), key.number)
    return parse_stored(Showing(connection, reveal=False).shown(DocumentKey(*row), found).served)


def count_services(reader: Reader) -> int:
    """How many services there are to see."""
    query = COUNT.where(reader.visibility.sql_filter(ServiceRow.name))
    return reader.connection.execute(
        query, {"organisation": reader.visibility.organisation}
    ).scalar_one()


def version_of_row(name: str, row: Any) -> Version:
    """The version in ``row``. A document that is not what was stored is never given out."""
    has_document = len(row) > len(PLAIN) and row.deleted_revision is None
    text = intact(row.document, row.digest) if has_document else None
    return Version(
        service=name,
        number=row.number,
        enabled=row.enabled,
        digest=row.digest,
        size=row.size,
        author=row.author,
        note=row.note,
        created_at=row.created_at,
        revision=row.revision,
        deleted=row.deleted_revision is not None,
        text=text,
    )


class Showing:
    """Shows versions to those who see secrets (``reveal``), or to others."""

    def __init__(self, connection: Connection, reveal: bool) -> None:
        self._viewer = Viewer(connection, reveal)
        self._digests = Digests(connection)
        self._reveal = reveal

    def shown(self, home: DocumentKey, version: Version, moved_at: int = 0) -> Version:
        """``version`` with its document and its digest as they are shown, and its stamp."""
        digest = stamped = version.digest
        if home.secret_marks:
            stamped = self._digests.of_version(home.service_id, version.number, digest)
            digest = digest if self._reveal else stamped
        text, view = version.text, ""
        if text is not None:
            shown = self._viewer.render(home, text)
            text, view = shown.text, shown.etag_variant
        stamp = stamp_of(home.service_id, stamped)
        return replace(
            version,
            digest=digest,
            text=text,
            view=view,
            life=home.service_id,
            stamp=stamp,
            may_have_secrets=bool(home.secret_marks),
            moved_at=moved_at,
        )


def find_service(reader: Reader, series: Series) -> ServiceKey | None:
    if not reader.visibility.allows(series.service):
        return None
    asked = {"organisation": reader.visibility.organisation, "name": series.service}
    row = reader.connection.execute(FIND, asked).one_or_none()
    return None if row is None else ServiceKey(*row)


def require_service(reader: Reader, series: Series) -> ServiceKey:
    found = find_service(reader, series)
    if found is None:
        raise ServiceNotFound(series.service)
    return found


def current_key(connection: Connection, service_id: int) -> Any:
    """The current version's ``number`` and ``digest``, or None."""
    return connection.execute(CURRENT_KEY, {"series": service_id}).one_or_none()


def current_number(transaction: Transaction, service_id: int) -> int | None:
    key = current_key(transaction.connection, service_id)
    return None if key is None else key.number


def load_version(connection: Connection, service_id: int, series: Series, number: int) -> Version:
    row = connection.execute(STORED, {"series": service_id, "which": number}).one_or_none()
    if row is None:
        raise VersionNotFound(series.service, str(number))
    version = version_of_row(series.service, row)
    if version.deleted:
        raise VersionDeleted(series.service, number)
    return version


def _as_of(reader: Reader, series: Series, until: Any, when: str) -> Version:
    service = require_service(reader, series)
    born = select(ServiceRow.created_revision).where(ServiceRow.id == service.id)
    number = reader.connection.execute(
        select(ChangeRow.current)
        .where(
            ChangeRow.organisation_id == reader.visibility.organisation,
            ChangeRow.service == series.service,
            ChangeRow.environment == DEFAULT_ENVIRONMENT,
            ChangeRow.revision >= born.scalar_subquery(),
            until,
        )
        .order_by(ChangeRow.revision.desc(), ChangeRow.position.desc())
        .limit(1)
    ).scalar_one_or_none()
    if number is None:
        raise VersionNotFound(series.service, f"that was current {when}")
    home = DocumentKey(
        service.id, reader.visibility.organisation, series.service, service.secret_marks
    )
    found = load_version(reader.connection, service.id, series, number)
    return Showing(reader.connection, reader.visibility.reads_secrets).shown(home, found)


def last_two(reader: Reader, series: Series, queries: Sequence[Any]) -> tuple[int, ...]:
    asked = {"organisation": reader.visibility.organisation, "name": series.service}
    # What one revision does to a service is one change of it.
    found = {
        revision: moment
        for query in queries
        for revision, moment in reader.connection.execute(query, asked)
    }
    return tuple(found[revision] for revision in sorted(found, reverse=True)[:2])


def stamp_of_version(connection: Connection, service: ServiceKey, number: int, digest: str) -> str:
    """What an entity tag has of a version.

    Where anything is secret it is keyed, for those who see secrets as well: a tag that one of
    them hands on is good for others, and confirms no guess.
    """
    if service.secret_marks:
        digest = Digests(connection).of_version(service.id, number, digest)
    return stamp_of(service.id, digest)


def document_key(transaction: Transaction, service: ServiceKey, series: Series) -> DocumentKey:
    return DocumentKey(service.id, transaction.organisation, series.service, service.secret_marks)
