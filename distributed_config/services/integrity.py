"""Whether everything stored is as promised.

Digests are true, numbers and revisions have no gaps, and the indexes hold what is current.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, exists, func, select

from distributed_config.errors import DocumentDamaged
from distributed_config.models import (
    ChangeRow,
    ConformanceRow,
    DependencyRow,
    EnvironmentRow,
    ExtensionRow,
    ServiceRow,
    VersionRow,
)
from distributed_config.services.conformance import index_keys
from distributed_config.services.documents import load
from distributed_config.services.documents.current import is_current
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.layers import graph
from distributed_config.services.layers.merging import MARK_OF_USE, Reference, references
from distributed_config.services.secrets import Viewer
from distributed_config.wire import digest_of, parse_stored

_MOST_PROBLEMS = 20
_BATCH = 500


def find_problems(connection: Connection, progress: Callable[[int, int], None]) -> list[str]:
    """Return every problem of what is stored in a sentence each, at most twenty of a kind.

    ``progress`` is called with the number of versions done and of all versions.
    """
    return [
        *_problems_of_journal(connection),
        *_problems_of_numbers(connection),
        *_problems_of_documents(connection, progress),
        *_problems_of_dependencies(connection),
    ]


def _problems_of_journal(connection: Connection) -> list[str]:
    head = read_head(connection)
    first, last, revisions = connection.execute(
        select(
            func.min(ChangeRow.revision),
            func.max(ChangeRow.revision),
            func.count(ChangeRow.revision.distinct()),
        )
    ).one()
    # Revisions have no gaps, so counting them is enough to know that none is missing.
    if (last or 0) != head.revision:
        return [f"the journal's head is at {head.revision}, and its last change at {last or 0}"]
    if revisions and (first != 1 or revisions != last):
        return [f"the journal has {revisions} revisions from {first} to {last}: some are missing"]
    return []


def _problems_of_numbers(connection: Connection) -> list[str]:
    rows = connection.execute(
        select(ServiceRow.name, func.count(VersionRow.number), func.max(VersionRow.number))
        .outerjoin(VersionRow, VersionRow.service_id == ServiceRow.id)
        .group_by(ServiceRow.id, VersionRow.environment)
        .having(func.count(VersionRow.number) != func.coalesce(func.max(VersionRow.number), -1) + 1)
        .limit(_MOST_PROBLEMS)
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
            .limit(_MOST_PROBLEMS)
        )
    ]


def _problems_of_documents(
    connection: Connection, progress: Callable[[int, int], None]
) -> list[str]:
    """Return documents that are not what their digests say, then versions not in the journal."""
    total = connection.execute(select(func.count()).select_from(VersionRow)).scalar_one()
    changed: list[str] = []
    unknown: list[str] = []
    # Not through ``documents.load``: a problem here is to be reported, and not to be raised.
    rows = connection.execute(_VERSIONS).yield_per(_BATCH)
    for done, (name, number, digest, deleted, recorded, text) in enumerate(rows, 1):
        if done % _BATCH == 0 or done == total:
            progress(done, total)
        wrong = deleted is None if text is None else digest_of(text) != digest
        if wrong and len(changed) < _MOST_PROBLEMS:
            changed.append(f"version {number} of {name!r} is not what its digest says")
        if not recorded and len(unknown) < _MOST_PROBLEMS:
            unknown.append(f"version {number} of {name!r} has no change in the journal")
    return [*changed, *unknown]


def _problems_of_dependencies(connection: Connection) -> list[str]:
    """Return services of which it is recorded wrongly what they rest on."""
    recorded: dict[tuple[int, str], set[str]] = {}
    for service_id, environment, target in connection.execute(_RECORDED_TARGETS):
        recorded.setdefault((service_id, environment), set()).add(target)
    wanted = {
        (row.id, graph.EXTENDS): set(json.loads(row.extends))
        for row in connection.execute(_NEWEST_EXTENSIONS)
    }
    for row in connection.execute(_REFERRING).yield_per(_BATCH):
        # A damaged document is reported above.
        with suppress(DocumentDamaged):
            stored = load.verify_row(row)
            found = references(parse_stored(stored.text))
            targets = {one.service for _, one in found if isinstance(one, Reference)}
            wanted[stored.key.service_id, row.environment] = targets
    keys = {*recorded, *wanted}
    wrong = {key[0] for key in keys if recorded.get(key, set()) != wanted.get(key, set())}
    names = select(ServiceRow.name).where(ServiceRow.id.in_(sorted(wrong)[:_MOST_PROBLEMS]))
    return [
        f"it is recorded wrongly what the service {name!r} rests on"
        for name in connection.scalars(names)
    ]


_RECORDED_TARGETS = select(
    DependencyRow.service_id, DependencyRow.environment, DependencyRow.target
)
_NEWEST_EXTENSIONS = select(
    ServiceRow.id,
    select(ExtensionRow.extends)
    .where(ExtensionRow.service_id == ServiceRow.id)
    .order_by(ExtensionRow.revision.desc())
    .limit(1)
    .scalar_subquery()
    .label("extends"),
).where(exists().where(ExtensionRow.service_id == ServiceRow.id))
_REFERRING = (
    select(*load.COLUMNS)
    .select_from(ServiceRow)
    .join(EnvironmentRow, EnvironmentRow.organisation_id == ServiceRow.organisation_id)
    .join(VersionRow, is_current(ServiceRow.id, EnvironmentRow.name))
    .where(VersionRow.document.contains(MARK_OF_USE, autoescape=True))
)


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


def find_index_problems(connection: Connection, progress: Callable[[int, int], None]) -> list[str]:
    """Return a sentence for each service whose index entries are not those of its document.

    At most twenty. ``progress`` is called with the number of services done and of all that conform
    to a definition.
    """
    total = connection.execute(select(func.count()).select_from(ConformanceRow)).scalar_one()
    viewer = Viewer(connection, reveal=False)  # indexes hold no secrets
    paths = lru_cache(maxsize=None)(lambda which: index_keys.paths_of(connection, which))
    problems: list[str] = []
    done = 0
    for rows in connection.execute(_CONFORMING).yield_per(_BATCH).partitions():
        keys = index_keys.keys_of(connection, [row.service_id for row in rows])
        for row in rows:
            with suppress(DocumentDamaged):  # the check of digests reports it
                value = _indexed_value(viewer, row)
                expected = {
                    index: index_keys.key_of(index_keys.value_at(value, path))
                    for path, index in paths(row.definition_id).items()
                }
                # A service that was never in an environment has no entries of it.
                present = keys.get((row.service_id, row.place), {})
                was_there = bool(present) or value is not None
                if was_there and present != expected:
                    problems.append(f"the indexes do not have what the service {row.name!r} has")
        done += len(rows)
        progress(done, total)
    return problems[:_MOST_PROBLEMS]


def _indexed_value(viewer: Viewer, row: Any) -> Any:
    """Return a service's current document as indexes hold it; None: nothing is current."""
    return None if row.digest is None else parse_stored(load.verify_row(row).render(viewer).text)


# The version is outer-joined: the entries of services without a current one are checked as well.
_CONFORMING = (
    select(*load.COLUMNS, ConformanceRow.definition_id, EnvironmentRow.name.label("place"))
    .select_from(ConformanceRow)
    .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
    .join(EnvironmentRow, EnvironmentRow.organisation_id == ServiceRow.organisation_id)
    .outerjoin(VersionRow, is_current(ConformanceRow.service_id, EnvironmentRow.name))
    .order_by(ConformanceRow.definition_id, ConformanceRow.name)
)
