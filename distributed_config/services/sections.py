"""Services seen as sections of keys: one section is one service, with its top-level keys.

A section may also be a list or a plain value. It is stored as an object with the one key ``$``,
which cannot be a key of a section, and is read back as itself.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select

from distributed_config.models import ChangeRow, ServiceRow, VersionRow
from distributed_config.services import event_documents
from distributed_config.services.documents import load
from distributed_config.services.documents.current import ENVIRONMENT, in_environment
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import Viewer
from distributed_config.wire import parse_stored

WRAPPER = "$"

_BATCH = 500


def wrapped(value: Any) -> dict[str, Any]:
    """Return the document that is stored for a section."""
    return value if isinstance(value, dict) else {WRAPPER: value}


def unwrapped(document: dict[str, Any]) -> Any:
    """Return the section that is stored as ``document``."""
    return document[WRAPPER] if document.keys() == {WRAPPER} else document


@dataclass(frozen=True)
class KeyChange:
    """A new value of one key, or its deletion, where ``value`` is None.

    ``key`` is None where the section is one value, or was deleted. ``changed_at`` is microseconds
    since 1970.
    """

    section: str
    key: str | None
    value: Any
    changed_at: int
    actor: str
    revision: int


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that ``after`` has with another value, each with it; None: removed."""
    removed = dict.fromkeys(key for key in before if key not in after)
    return removed | {
        key: value
        for key, value in after.items()
        # Compared as JSON: for Python 1, 1.0 and True are equal, and they are three values.
        if key not in before or json.dumps(before[key]) != json.dumps(value)
    }


def history(
    reader: Reader, section: str = "", key: str = "", environment: str = DEFAULT_ENVIRONMENT
) -> list[KeyChange]:
    """Return the changes of keys, newest first; "" stands for every section, and for every key.

    Everything that made another version current in ``environment`` counts, or none. Of a deleted
    series, only the deletion is known: its documents are gone. Raises EnvironmentNotFound or
    DocumentDamaged.
    """
    require_visible(reader, environment)
    # Replayed from the beginning: the journal has numbers only, and which keys a change concerns
    # shows in the documents before and after it.
    documents = _documents(reader, section, environment)
    current: dict[str, int | None] = {}
    changes: list[KeyChange] = []
    for change in _current_changes(reader, section, environment):
        name = change.service
        before = documents.get((name, current.get(name)), {})
        current[name] = change.current
        after = documents.get((name, change.current), {})
        origin = (change.changed_at, change.actor, change.revision)
        if change.current is None and change.kind != ChangeKind.SERVICE_CREATED:
            if not key or key in before:
                changes.append(KeyChange(name, key or None, None, *origin))
            continue
        for one, value in changed(before, after).items():
            if not key or one == key:
                changes.append(KeyChange(name, None if one == WRAPPER else one, value, *origin))
    return changes[::-1]


def _documents(
    reader: Reader, section: str, environment: str
) -> dict[tuple[str, int | None], dict[str, Any]]:
    """Return every document that is not deleted, as the reader sees it, by service and number."""
    query = load.DOCUMENTS.where(
        ServiceRow.organisation_id == reader.visibility.organisation,
        reader.visibility.sql_filter(ServiceRow.name),
        VersionRow.environment == ENVIRONMENT,
        VersionRow.deleted_revision.is_(None),
    )
    if section:
        query = query.where(ServiceRow.name == section)
    viewer = Viewer(reader.connection, reader.visibility.reads_secrets)
    documents: dict[tuple[str, int | None], dict[str, Any]] = {}
    rows = reader.connection.execute(query, in_environment(environment)).yield_per(_BATCH)
    for document in map(load.verify_row, rows):
        place = document.key.name, document.number
        documents[place] = parse_stored(document.render(viewer).text)
    return documents


def _current_changes(reader: Reader, section: str, environment: str) -> Iterator[Any]:
    """Yield the changes of what is current in an environment, oldest first.

    Of earlier series with the name of a present one, only the deletions: the numbers in their
    other changes are of documents that are gone.
    """
    rows = reader.connection.execute(
        select(ServiceRow.name, VersionRow.revision)
        .join(VersionRow, VersionRow.service_id == ServiceRow.id)
        .where(
            ServiceRow.organisation_id == reader.visibility.organisation,
            reader.visibility.sql_filter(ServiceRow.name),
            VersionRow.environment == environment,
            VersionRow.number == 0,
        )
    )
    created = {row.name: row.revision for row in rows}
    query = (
        select(
            ChangeRow.service,
            ChangeRow.kind,
            ChangeRow.environment,
            ChangeRow.current,
            ChangeRow.changed_at,
            ChangeRow.actor,
            ChangeRow.revision,
        )
        .where(
            ChangeRow.organisation_id == reader.visibility.organisation,
            reader.visibility.sql_filter(ChangeRow.service),
            ChangeRow.kind.in_(event_documents.CURRENT_CHANGING),
            or_(ChangeRow.environment.is_(None), ChangeRow.environment == environment),
        )
        .order_by(ChangeRow.revision, ChangeRow.position)
    )
    if section:
        query = query.where(ChangeRow.service == section)
    there: set[str] = set()
    for row in reader.connection.execute(query).yield_per(_BATCH):
        if row.kind == ChangeKind.SERVICE_DELETED:
            # A service that had nothing in this environment was deleted in others only.
            if row.service in there:
                there.remove(row.service)
                yield row
            continue
        if row.environment is not None:
            there.add(row.service)
        if row.service in created and row.revision >= created[row.service]:
            yield row
