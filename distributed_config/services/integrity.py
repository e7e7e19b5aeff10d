"""Whether what is stored is what was promised.

Digests are true, numbers and revisions have no gaps, and the indexes have what is current.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, func, select

from distributed_config.errors import DocumentDamaged
from distributed_config.models import ChangeRow, ConformanceRow, ServiceRow, VersionRow
from distributed_config.services.conformance import index_keys, rules
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.secrets import DocumentKey, Viewer
from distributed_config.wire import digest_of, parse_stored

_MOST_FAULTS = 20
_AT_ONCE = 500


def find_problems(connection: Connection, progress: Callable[[int, int], None]) -> list[str]:
    """Every fault found of what is stored, at most twenty of a kind.

    ``progress`` is called with the number of versions done and of all versions.
    """
    return [
        *_faults_of_journal(connection),
        *_faults_of_numbers(connection),
        *_faults_of_versions(connection, progress),
    ]


def _faults_of_journal(connection: Connection) -> list[str]:
    head = read_head(connection)
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


def _faults_of_versions(connection: Connection, progress: Callable[[int, int], None]) -> list[str]:
    """Documents that are not what their digests say, then versions that the journal lacks."""
    total = connection.execute(select(func.count()).select_from(VersionRow)).scalar_one()
    changed: list[str] = []
    unknown: list[str] = []
    rows = connection.execute(_VERSIONS).yield_per(_AT_ONCE)
    for done, (name, number, digest, deleted, recorded, text) in enumerate(rows, 1):
        if done % _AT_ONCE == 0 or done == total:
            progress(done, total)
        wrong = deleted is None if text is None else digest_of(text) != digest
        if wrong and len(changed) < _MOST_FAULTS:
            changed.append(f"version {number} of {name!r} is not what its digest says")
        if not recorded and len(unknown) < _MOST_FAULTS:
            unknown.append(f"version {number} of {name!r} has no change in the journal")
    return [*changed, *unknown]


# All columns of the index by service come first: looked up by its revision alone, a version would
# be compared with every change of that revision, and an import has as many as there are services.
_RECORDED = (
    select(ChangeRow.position)
    .where(
        ChangeRow.organisation_id == ServiceRow.organisation_id,
        ChangeRow.service == ServiceRow.name,
        ChangeRow.environment == VersionRow.environment,
        ChangeRow.revision == VersionRow.revision,
        ChangeRow.kind == ChangeKind.VERSION_CREATED,
        ChangeRow.number == VersionRow.number,
        ChangeRow.digest == VersionRow.digest,
    )
    .correlate(ServiceRow, VersionRow)
    .exists()
)
_VERSIONS = select(
    ServiceRow.name,
    VersionRow.number,
    VersionRow.digest,
    VersionRow.deleted_revision,
    _RECORDED.label("recorded"),
    VersionRow.document,
).join(ServiceRow, ServiceRow.id == VersionRow.service_id)


def faults_of_indexes(connection: Connection, progress: Callable[[int, int], None]) -> list[str]:
    """Services that an index finds by something else than what they have, or does not find.

    ``progress`` is called with the number of services done and of all that conform to a definition.
    """
    total = connection.execute(select(func.count()).select_from(ConformanceRow)).scalar_one()
    viewer = Viewer(connection, reveal=False)  # no index may have what is secret
    paths = lru_cache(maxsize=None)(lambda which: index_keys.paths_of(connection, which))
    found: list[str] = []
    done = 0
    for rows in connection.execute(_CONFORMING).yield_per(_AT_ONCE).partitions():
        keys = index_keys.keys_of(connection, [row.service_id for row in rows])
        for row in rows:
            with suppress(DocumentDamaged):  # it was found by its digest already
                value = _value(viewer, row)
                wanted = {
                    index: index_keys.key_of(index_keys.value_at(value, path))
                    for path, index in paths(row.definition_id).items()
                }
                if keys.get(row.service_id, {}) != wanted:
                    found.append(f"the indexes do not have what the service {row.name!r} has")
        done += len(rows)
        progress(done, total)
    return found[:_MOST_FAULTS]


def _value(viewer: Viewer, row: Any) -> Any:
    """The current document of a service as it may be indexed; None if nothing is current."""
    if row.digest is None:
        return None
    home = DocumentKey(row.service_id, row.organisation_id, row.name, row.secret_marks)
    return parse_stored(viewer.render(home, intact(row.document, row.digest)).text)


_CONFORMING = (
    select(
        ConformanceRow.service_id,
        ConformanceRow.definition_id,
        ConformanceRow.name,
        ServiceRow.organisation_id,
        ServiceRow.secret_marks,
        VersionRow.digest,
        VersionRow.document,
    )
    .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
    .outerjoin(
        VersionRow,
        (VersionRow.service_id == ConformanceRow.service_id)
        & (VersionRow.environment == DEFAULT_ENVIRONMENT)
        & (VersionRow.number == rules.CURRENT_NUMBER),
    )
    .order_by(ConformanceRow.definition_id, ConformanceRow.name)
)
