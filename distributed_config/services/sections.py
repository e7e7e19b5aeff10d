"""Services seen as sections of keys: what a document has under each of its top-level keys.

A section may also be a list or a plain value; it is stored as an object with the one key ``$``,
which is no key of a section, and comes back as itself.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from distributed_config.models import ChangeRow, ServiceRow, VersionRow
from distributed_config.services import event_documents
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import DocumentKey, Viewer
from distributed_config.wire import parse_stored

WRAPPER = "$"


def wrapped(value: Any) -> dict[str, Any]:
    """A section as the document that is stored."""
    return value if isinstance(value, dict) else {WRAPPER: value}


def unwrapped(document: dict[str, Any]) -> Any:
    """A stored document as the section that it is."""
    return document[WRAPPER] if document.keys() == {WRAPPER} else document


@dataclass(frozen=True)
class KeyChange:
    """What became of one key; None: it was deleted. ``key`` None: the section as a whole."""

    section: str
    key: str | None
    value: Any
    changed_at: int
    actor: str
    revision: int


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The keys that are written differently in ``after``, with what they are now; None: gone."""
    gone = dict.fromkeys(key for key in before if key not in after)
    return gone | {
        key: value
        for key, value in after.items()
        # Not compared as values: 1, 1.0 and true are equal, and not the same.
        if key not in before or json.dumps(before[key]) != json.dumps(value)
    }


def history(reader: Reader, section: str = "", key: str = "") -> list[KeyChange]:
    """What happened to keys, newest first: whatever made another document current, or none.

    Of services that were deleted only that they were.
    """
    documents = _documents(reader, section)
    current: dict[str, int | None] = {}
    found: list[KeyChange] = []
    for change in _moves(reader, section):
        name = change.service
        before = documents.get((name, current.get(name)), {})
        current[name] = change.current
        after = documents.get((name, change.current), {})
        told = (change.changed_at, change.actor, change.revision)
        if change.current is None and change.kind != ChangeKind.SERVICE_CREATED:
            if not key or key in before:
                found.append(KeyChange(name, key or None, None, *told))
            continue
        for each, value in changed(before, after).items():
            if not key or each == key:
                found.append(KeyChange(name, None if each == WRAPPER else each, value, *told))
    return found[::-1]


def _documents(reader: Reader, section: str) -> dict[tuple[str, int | None], dict[str, Any]]:
    """Every document that there is, by service and number, as ``realm`` sees it."""
    query = (
        select(
            ServiceRow.id,
            ServiceRow.name,
            ServiceRow.secret_marks,
            VersionRow.number,
            VersionRow.digest,
            VersionRow.document,
        )
        .join(VersionRow, VersionRow.service_id == ServiceRow.id)
        .where(
            ServiceRow.organisation_id == reader.visibility.organisation,
            reader.visibility.sql_filter(ServiceRow.name),
            VersionRow.environment == DEFAULT_ENVIRONMENT,
            VersionRow.deleted_revision.is_(None),
        )
    )
    if section:
        query = query.where(ServiceRow.name == section)
    viewer = Viewer(reader.connection, reader.visibility.reads_secrets)
    found: dict[tuple[str, int | None], dict[str, Any]] = {}
    rows = reader.connection.execute(query).yield_per(500)
    for service_id, name, marks, number, digest, text in rows:
        home = DocumentKey(service_id, reader.visibility.organisation, name, marks)
        found[name, number] = parse_stored(viewer.render(home, intact(text, digest)).text)
    return found


def _moves(reader: Reader, section: str) -> Iterator[Any]:
    """What moved what is current, oldest first.

    Of services that were made anew, only the end of what was before; its documents are gone.
    """
    rows = reader.connection.execute(
        select(ServiceRow.name, ServiceRow.created_revision).where(
            ServiceRow.organisation_id == reader.visibility.organisation,
            reader.visibility.sql_filter(ServiceRow.name),
        )
    )
    born = {row.name: row.created_revision for row in rows}
    query = (
        select(
            ChangeRow.service,
            ChangeRow.kind,
            ChangeRow.current,
            ChangeRow.changed_at,
            ChangeRow.actor,
            ChangeRow.revision,
        )
        .where(
            ChangeRow.organisation_id == reader.visibility.organisation,
            reader.visibility.sql_filter(ChangeRow.service),
            ChangeRow.kind.in_(event_documents.CURRENT_CHANGING),
        )
        .order_by(ChangeRow.revision, ChangeRow.position)
    )
    if section:
        query = query.where(ChangeRow.service == section)
    for row in reader.connection.execute(query).yield_per(500):
        alive = row.service in born and row.revision >= born[row.service]
        if alive or row.kind == ChangeKind.SERVICE_DELETED:
            yield row
