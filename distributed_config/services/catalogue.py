"""The list of services, and the tags that they can be found by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    func,
    insert,
    select,
    true,
)

from distributed_config.models import (
    ConformanceRow,
    DefinitionRow,
    ServiceRow,
    TagRow,
    VersionRow,
)
from distributed_config.services.documents.current import (
    SERIES,
    find_current,
    has_current,
    in_environment,
    in_series,
)
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import extensions
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.services.secrets.digests import Digests
from distributed_config.services.versions import environments_of, require


@dataclass(frozen=True)
class Entry:
    """One service in the list.

    It is of one environment. ``versions`` counts deleted versions too; 0: there are none there.
    ``current`` is the number of the current version, and ``digest`` is its; both are None where no
    version is enabled. ``updated_at`` is when the last version was added, ``author`` by whom, and
    ``note`` why; they are empty where there is none. Times are microseconds since 1970.

    ``extends`` are the services that it extends, and ``environments`` those in which it has
    versions, as far as the reader may know of them.
    """

    id: int
    name: str
    created_at: int
    tags: tuple[str, ...]
    versions: int
    current: int | None
    digest: str | None
    updated_at: int
    definition: str | None
    extends: tuple[str, ...]
    environments: tuple[str, ...]
    author: str
    note: str


def services(
    reader: Reader,
    *,
    after: str = "",
    limit: int,
    search: str = "",
    prefix: str = "",
    tags: tuple[str, ...] = (),
    environment: str = DEFAULT_ENVIRONMENT,
) -> list[Entry]:
    """Return up to ``limit`` services after the name ``after``, by name, as in ``environment``.

    The order is that of the names' code points. ``search`` is a part of the name, in any case;
    ``prefix`` its beginning; a service must have all ``tags``. Raises EnvironmentNotFound.
    """
    require_visible(reader, environment)
    # Pages continue after a name. An offset would shift when services come and go.
    query = _SERVICES.where(ServiceRow.name > after, *conditions(reader, search, prefix, tags))
    return _entries(reader, query.order_by(ServiceRow.name).limit(limit), environment)


def count(reader: Reader, *, search: str = "", prefix: str = "", tags: tuple[str, ...] = ()) -> int:
    """Return how many services there are; the parameters are those of ``services``."""
    query = select(func.count()).select_from(ServiceRow)
    return reader.connection.execute(
        query.where(*conditions(reader, search, prefix, tags))
    ).scalar_one()


def conditions(
    reader: Reader, search: str, prefix: str, tags: tuple[str, ...]
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on a service that it is visible, and what ``services`` looks for."""
    yield ServiceRow.organisation_id == reader.visibility.organisation
    yield reader.visibility.sql_filter(ServiceRow.name)
    yield name_begins_with(prefix)
    if search:
        yield ServiceRow.name.icontains(search, autoescape=True)
    for tag in tags:
        yield ServiceRow.id.in_(select(TagRow.service_id).where(TagRow.tag == tag))


class TagCount(NamedTuple):
    """A tag, and how many of the services that the reader may see have it."""

    tag: str
    services: int


def tag_counts(reader: Reader, *, after: str = "", limit: int) -> list[TagCount]:
    """Return up to ``limit`` tags after the tag ``after``, in order."""
    query = (
        select(TagRow.tag, func.count())
        .join(ServiceRow, ServiceRow.id == TagRow.service_id)
        # Counted among visible services only: a total would tell of the others.
        .where(TagRow.tag > after, *conditions(reader, "", "", ()))
        .group_by(TagRow.tag)
        .order_by(TagRow.tag)
        .limit(limit)
    )
    return [TagCount(*row) for row in reader.connection.execute(query)]


def served_names(
    reader: Reader, prefix: str = "", environment: str = DEFAULT_ENVIRONMENT
) -> list[str]:
    """Return the services that have a current version in an environment, by their names.

    The order is that of code points; ``prefix`` is how the names begin.
    """
    query = (
        select(ServiceRow.name)
        .where(
            ServiceRow.organisation_id == reader.visibility.organisation,
            reader.visibility.sql_filter(ServiceRow.name),
            has_current(ServiceRow.id),
            name_begins_with(prefix),
        )
        .order_by(ServiceRow.name)
    )
    return list(reader.connection.scalars(query, in_environment(environment)))


def name_begins_with(prefix: str) -> ColumnElement[bool]:
    """Return the condition on a service that its name begins with ``prefix``."""
    # LIKE would ignore the case of ASCII letters, and names differ by case.
    return func.substr(ServiceRow.name, 1, len(prefix)) == prefix if prefix else true()


def services_by_id(
    reader: Reader, ids: Sequence[int], environment: str = DEFAULT_ENVIRONMENT
) -> list[Entry]:
    """Return the services with these ids, in this order, as in ``environment``.

    All of them must exist.
    """
    entries = _entries(reader, _SERVICES.where(ServiceRow.id.in_(ids)), environment)
    by_id = {entry.id: entry for entry in entries}
    return [by_id[service_id] for service_id in ids]


def service(reader: Reader, series: Series) -> Entry:
    """Return one service. Raises ServiceNotFound."""
    [entry] = services_by_id(reader, [require(reader, series)], series.environment)
    return entry


def set_tags(transaction: Transaction, series: Series, tags: tuple[str, ...]) -> bool:
    """Give the service exactly these tags. Returns whether that changed anything.

    Raises ServiceNotFound.
    """
    transaction.actor.require_every_environment()
    service_id = require(transaction.reader, series)
    new = tuple(sorted(set(tags)))
    # Not recorded: a request that is repeated must not look like a second change.
    if new == _tags_of(transaction.connection, [service_id]).get(service_id, ()):
        return False
    transaction.connection.execute(delete(TagRow).where(TagRow.service_id == service_id))
    for tag in new:
        transaction.connection.execute(insert(TagRow).values(service_id=service_id, tag=tag))
    transaction.record(
        ChangeKind.SERVICE_TAGGED, series.service, note=transaction.note or ", ".join(new)
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

_LAST = (
    select(VersionRow.number, VersionRow.created_at, VersionRow.author, VersionRow.note)
    .where(SERIES)
    .order_by(VersionRow.number.desc())
    .limit(1)
)


def _entries(
    reader: Reader, query: Select[int, str, int, str, str], environment: str
) -> list[Entry]:
    rows = reader.connection.execute(query).all()
    tags_of = _tags_of(reader.connection, [row.id for row in rows])
    return [
        _entry(reader, row, Series(row.name, environment), tags_of.get(row.id, ())) for row in rows
    ]


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
    reader: Reader, row: Row[int, str, int, str, str], series: Series, tags: tuple[str, ...]
) -> Entry:
    """Return the entry of a service."""
    # Some look-ups by the primary key for each service. One grouped join for the whole page would
    # read every version of every service on it.
    connection = reader.connection
    last = connection.execute(_LAST, in_series(row.id, series.environment)).one_or_none()
    current = find_current(connection, row.id, series.environment)
    digest = None if current is None else current.digest
    if current is not None and row.secret_marks and not reader.visibility.reads_secrets:
        digest = Digests(connection).of_version(row.id, current.number, current.digest)
    places = environments_of(connection, row.id)
    return Entry(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        tags=tags,
        versions=0 if last is None else last.number + 1,
        current=None if current is None else current.number,
        digest=digest,
        updated_at=row.created_at if last is None else last.created_at,
        definition=row.definition,
        extends=tuple(extensions.extends(connection, row.id)),
        environments=tuple(filter(reader.visibility.allows_environment, places)),
        author="" if last is None else last.author,
        note="" if last is None else last.note,
    )
