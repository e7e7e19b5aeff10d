"""Whether what is stored is what was promised.

Digests are true, numbers and revisions have no gaps, and the indexes have what is current.
"""

from collections.abc import Callable

from sqlalchemy import Connection, func, select

from distributed_config.models import ChangeRow, ConformanceRow, ServiceRow, VersionRow
from distributed_config.services import indexes, versions
from distributed_config.services import journal as log
from distributed_config.wire import digest_of

_MOST_FAULTS = 20


def faults(connection: Connection, progress: Callable[[int, int], None]) -> list[str]:
    """Every fault found, at most twenty of a kind.

    ``progress`` is told of the versions done and of all versions.
    """
    return [
        *_faults_of_journal(connection),
        *_faults_of_numbers(connection),
        *_faults_of_digests(connection, progress),
        *_versions_without_change(connection),
        *_faults_of_indexes(connection),
    ]


def _faults_of_journal(connection: Connection) -> list[str]:
    head = log.head(connection)
    first, last, revisions = connection.execute(
        select(
            func.min(ChangeRow.revision),
            func.max(ChangeRow.revision),
            func.count(ChangeRow.revision.distinct()),
        )
    ).one()
    if (last or 0) != head.revision:
        return [f"the journal's head is at {head.revision}, and its last change at {last or 0}"]
    if revisions and (first != 1 or revisions != last):
        return [f"the journal has {revisions} revisions from {first} to {last}: some are missing"]
    return []


def _faults_of_numbers(connection: Connection) -> list[str]:
    rows = connection.execute(
        select(ServiceRow.name, func.count(VersionRow.number), func.max(VersionRow.number))
        .outerjoin(VersionRow, VersionRow.service_id == ServiceRow.id)
        .group_by(ServiceRow.id, VersionRow.environment)
        .having(func.count(VersionRow.number) != func.coalesce(func.max(VersionRow.number), -1) + 1)
        .limit(_MOST_FAULTS)
    )
    return [
        f"the service {name!r} has {count} versions, and the last is number {last}"
        for name, count, last in rows
    ] + [
        f"the service {name!r} has no version"
        for (name,) in connection.execute(
            select(ServiceRow.name)
            .outerjoin(VersionRow, VersionRow.service_id == ServiceRow.id)
            .where(VersionRow.number.is_(None))
            .limit(_MOST_FAULTS)
        )
    ]


def _faults_of_digests(connection: Connection, progress: Callable[[int, int], None]) -> list[str]:
    total = connection.execute(select(func.count()).select_from(VersionRow)).scalar_one()
    found: list[str] = []
    rows = connection.execute(
        select(
            ServiceRow.name,
            VersionRow.number,
            VersionRow.digest,
            VersionRow.deleted_revision,
            VersionRow.document,
        ).join(ServiceRow, ServiceRow.id == VersionRow.service_id)
    ).yield_per(500)
    for done, (name, number, digest, deleted, text) in enumerate(rows, 1):
        if done % 500 == 0 or done == total:
            progress(done, total)
        wrong = deleted is None if text is None else digest_of(text) != digest
        if wrong and len(found) < _MOST_FAULTS:
            found.append(f"version {number} of {name!r} is not what its digest says")
    return found


def _versions_without_change(connection: Connection) -> list[str]:
    rows = connection.execute(
        select(ServiceRow.name, VersionRow.number)
        .join(ServiceRow, ServiceRow.id == VersionRow.service_id)
        .outerjoin(
            ChangeRow,
            (ChangeRow.revision == VersionRow.revision)
            & (ChangeRow.service == ServiceRow.name)
            & (ChangeRow.number == VersionRow.number)
            & (ChangeRow.kind == log.VERSION_CREATED)
            & (ChangeRow.digest == VersionRow.digest),
        )
        .where(ChangeRow.revision.is_(None))
        .limit(_MOST_FAULTS)
    )
    return [f"version {number} of {name!r} has no change in the journal" for name, number in rows]


def _faults_of_indexes(connection: Connection) -> list[str]:
    """Services that an index finds by something else than what they have, or does not find."""
    found: list[str] = []
    conforming = select(
        ConformanceRow.service_id, ConformanceRow.name, ConformanceRow.definition_id
    ).order_by(ConformanceRow.definition_id, ConformanceRow.name)
    for service_id, name, definition_id in connection.execute(conforming).all():
        paths = indexes.paths_of(connection, definition_id)
        value = versions.current_value(connection, service_id)
        wanted = {index: indexes.key_of(indexes.at(value, path)) for path, index in paths.items()}
        if indexes.keys_of(connection, service_id) != wanted:
            found.append(f"the indexes do not have what the service {name!r} has")
        if len(found) == _MOST_FAULTS:
            break
    return found
