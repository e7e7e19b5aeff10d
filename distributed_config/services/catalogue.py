"""The list of services, and the tags they are found by."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from distributed_config.models import ServiceRow, TagRow, VersionRow
from distributed_config.services import journal as log
from distributed_config.services.journal import DEFAULT_ENVIRONMENT, Journal
from distributed_config.services.versions import require


@dataclass(frozen=True)
class Entry:
    """One service in the list. ``current`` is None when every version is disabled."""

    name: str
    created_at: int
    tags: tuple[str, ...]
    versions: int
    current: int | None
    digest: str | None
    updated_at: int


def services(
    connection: Connection,
    organisation: int,
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
    query = select(ServiceRow.id, ServiceRow.name, ServiceRow.created_at).where(
        ServiceRow.organisation_id == organisation, ServiceRow.name > after
    )
    if search:
        query = query.where(ServiceRow.name.icontains(search, autoescape=True))
    if prefix:
        query = query.where(func.substr(ServiceRow.name, 1, len(prefix)) == prefix)
    for tag in tags:
        has_tag = select(TagRow.service_id).where(TagRow.tag == tag)
        query = query.where(ServiceRow.id.in_(has_tag))
    found = connection.execute(query.order_by(ServiceRow.name).limit(limit)).all()
    ids = [row.id for row in found]
    tags_of = _tags_of(connection, ids)
    return [
        _entry(connection, row.id, row.name, row.created_at, tags_of.get(row.id, ()))
        for row in found
    ]


def service(connection: Connection, organisation: int, name: str) -> Entry:
    """One service. Raises ServiceNotFound."""
    service_id = require(connection, organisation, name)
    created_at = connection.execute(
        select(ServiceRow.created_at).where(ServiceRow.id == service_id)
    ).scalar_one()
    tags = _tags_of(connection, [service_id]).get(service_id, ())
    return _entry(connection, service_id, name, created_at, tags)


def set_tags(journal: Journal, name: str, tags: tuple[str, ...]) -> bool:
    """Gives the service exactly these tags; whether that changed anything."""
    service_id = require(journal.connection, journal.organisation, name)
    wanted = tuple(sorted(set(tags)))
    if wanted == _tags_of(journal.connection, [service_id]).get(service_id, ()):
        return False
    journal.connection.execute(delete(TagRow).where(TagRow.service_id == service_id))
    for tag in wanted:
        journal.connection.execute(insert(TagRow).values(service_id=service_id, tag=tag))
    journal.record(log.SERVICE_TAGGED, name, note=journal.note or ", ".join(wanted))
    return True


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
    connection: Connection, service_id: int, name: str, created_at: int, tags: tuple[str, ...]
) -> Entry:
    """Two look-ups by the key for each service; a grouped join would read every version."""
    series = (
        VersionRow.service_id == service_id,
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
    return Entry(
        name=name,
        created_at=created_at,
        tags=tags,
        versions=last.number + 1,
        current=None if now is None else now.number,
        digest=None if now is None else now.digest,
        updated_at=last.created_at,
    )
