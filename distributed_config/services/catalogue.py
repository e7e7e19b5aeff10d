"""The list of services, and the tags they are found by."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from distributed_config.models import (
    ConformanceRow,
    DefinitionRow,
    ServiceRow,
    TagRow,
    VersionRow,
)
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.services.secrets.digests import Digests
from distributed_config.services.versions import require


@dataclass(frozen=True)
class Entry:
    """One service in the list. ``current`` is None when every version is disabled."""

    id: int
    name: str
    created_at: int
    tags: tuple[str, ...]
    versions: int
    current: int | None
    digest: str | None
    updated_at: int
    definition: str | None


def services(
    reader: Reader,
    *,
    after: str = "",
    limit: int,
    search: str = "",
    prefix: str = "",
    tags: tuple[str, ...] = (),
) -> list[Entry]:
    """The services behind the name ``after``, by name, in the order of their code points.

    ``search`` is a part of the name, in any case; ``prefix`` its beginning; all ``tags`` must be
    there.
    """
    query = _SERVICES.where(
        ServiceRow.organisation_id == reader.visibility.organisation,
        reader.visibility.sql_filter(ServiceRow.name),
        ServiceRow.name > after,
    )
    if search:
        query = query.where(ServiceRow.name.icontains(search, autoescape=True))
    if prefix:
        query = query.where(func.substr(ServiceRow.name, 1, len(prefix)) == prefix)
    for tag in tags:
        has_tag = select(TagRow.service_id).where(TagRow.tag == tag)
        query = query.where(ServiceRow.id.in_(has_tag))
    return _entries(reader, query.order_by(ServiceRow.name).limit(limit))


def served_names(reader: Reader, prefix: str = "") -> list[str]:
    """The names of the services that begin with ``prefix`` and have an enabled version, in order.

    The order is that of their code points.
    """
    enabled = select(VersionRow.number).where(
        VersionRow.service_id == ServiceRow.id,
        VersionRow.environment == DEFAULT_ENVIRONMENT,
        VersionRow.enabled,
    )
    query = select(ServiceRow.name).where(
        ServiceRow.organisation_id == reader.visibility.organisation,
        reader.visibility.sql_filter(ServiceRow.name),
        enabled.exists(),
    )
    if prefix:
        query = query.where(func.substr(ServiceRow.name, 1, len(prefix)) == prefix)
    return list(reader.connection.scalars(query.order_by(ServiceRow.name)))


def services_by_id(reader: Reader, ids: Sequence[int]) -> list[Entry]:
    """The services with these ids, in this order."""
    found = _entries(reader, _SERVICES.where(ServiceRow.id.in_(ids)))
    by_id = {entry.id: entry for entry in found}
    return [by_id[each] for each in ids]


def service(reader: Reader, series: Series) -> Entry:
    """One service. Raises ServiceNotFound."""
    [entry] = services_by_id(reader, [require(reader, series)])
    return entry


def set_tags(transaction: Transaction, series: Series, tags: tuple[str, ...]) -> bool:
    """Gives the service exactly these tags; whether that changed anything."""
    service_id = require(transaction.reader, series)
    wanted = tuple(sorted(set(tags)))
    if wanted == _tags_of(transaction.connection, [service_id]).get(service_id, ()):
        return False
    transaction.connection.execute(delete(TagRow).where(TagRow.service_id == service_id))
    for tag in wanted:
        transaction.connection.execute(insert(TagRow).values(service_id=service_id, tag=tag))
    transaction.record(
        ChangeKind.SERVICE_TAGGED, series.service, note=transaction.note or ", ".join(wanted)
    )
    return True


_SERVICES = (
    select(
        ServiceRow.id,
        ServiceRow.name,
        ServiceRow.created_at,
        ServiceRow.secret_marks,
        DefinitionRow.name.label("definition"),
    )
    .outerjoin(ConformanceRow, ConformanceRow.service_id == ServiceRow.id)
    .outerjoin(DefinitionRow, DefinitionRow.id == ConformanceRow.definition_id)
)


def _entries(reader: Reader, query: Select[int, str, int, str, str]) -> list[Entry]:
    found = reader.connection.execute(query).all()
    tags_of = _tags_of(reader.connection, [row.id for row in found])
    digests = None if reader.visibility.reads_secrets else Digests(reader.connection)
    return [_entry(reader.connection, row, tags_of.get(row.id, ()), digests) for row in found]


def _tags_of(connection: Connection, ids: list[int]) -> dict[int, tuple[str, ...]]:
    rows = connection.execute(
        select(TagRow.service_id, TagRow.tag)
        .where(TagRow.service_id.in_(ids))
        .order_by(TagRow.service_id, TagRow.tag)
    )
    tags: dict[int, tuple[str, ...]] = {}
    for service_id, tag in rows:
        tags[service_id] = (*tags.get(service_id, ()), tag)
    return tags


def _entry(
    connection: Connection,
    row: Row[int, str, int, str, str],
    tags: tuple[str, ...],
    digests: Digests | None,
) -> Entry:
    """Two look-ups by the key for each service; a grouped join would read every version.

    ``digests`` makes those that tell nothing of secrets; None: whoever asks may read them.
    """
    series = (
        VersionRow.service_id == row.id,
        VersionRow.environment == DEFAULT_ENVIRONMENT,
    )
    newest = (
        select(VersionRow.number, VersionRow.created_at)
        .where(*series)
        .order_by(VersionRow.number.desc())
        .limit(1)
    )
    current = (
        select(VersionRow.number, VersionRow.digest)
        .where(*series, VersionRow.enabled)
        .order_by(VersionRow.number.desc())
        .limit(1)
    )
    last = connection.execute(newest).one()
    now = connection.execute(current).one_or_none()
    digest = None if now is None else now.digest
    if now is not None and digests is not None and row.secret_marks:
        digest = digests.of_version(row.id, now.number, now.digest)
    return Entry(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        tags=tags,
        versions=last.number + 1,
        current=None if now is None else now.number,
        digest=digest,
        updated_at=last.created_at,
        definition=row.definition,
    )
