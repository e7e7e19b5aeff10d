"""Services seen as sections of keys: what a document has under each of its top-level keys.

A section may also be a list or a plain value; it is stored as an object with the one key ``$``,
which is no key of a section, and comes back as itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from distributed_config.models import ChangeRow, ServiceRow, VersionRow
from distributed_config.services import journal as log
from distributed_config.services.journal import DEFAULT_ENVIRONMENT
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
    """The keys that are others in ``after``, with what they are now; None: gone."""
    gone = dict.fromkeys(key for key in before if key not in after)
    missing = object()
    return gone | {
        key: value
        for key, value in after.items()
        if before.get(key, missing) != value or type(before.get(key)) is not type(value)
    }


def history(
    connection: Connection, organisation: int, section: str = "", key: str = ""
) -> list[KeyChange]:
    """What happened to keys, newest first. Of services that were deleted only that they were."""
    found = [
        each
        for each in (
            *_of_versions(connection, organisation, section),
            *_of_ends(connection, organisation, section),
        )
        if not key or each.key in {key, None}
    ]
    return sorted(found, key=lambda each: (-each.revision, each.section, each.key or ""))


def _of_versions(connection: Connection, organisation: int, section: str) -> Iterator[KeyChange]:
    query = (
        select(
            ServiceRow.name,
            VersionRow.number,
            VersionRow.revision,
            VersionRow.created_at,
            VersionRow.author,
            VersionRow.document,
        )
        .join(VersionRow, VersionRow.service_id == ServiceRow.id)
        .where(
            ServiceRow.organisation_id == organisation,
            VersionRow.environment == DEFAULT_ENVIRONMENT,
        )
        .order_by(ServiceRow.id, VersionRow.number)
    )
    if section:
        query = query.where(ServiceRow.name == section)
    before: dict[str, Any] = {}
    for row in connection.execute(query).yield_per(500):
        after = parse_stored(row.document) if row.document is not None else before
        for key, value in changed({} if row.number == 0 else before, after).items():
            name = None if key == WRAPPER else key
            yield KeyChange(row.name, name, value, row.created_at, row.author, row.revision)
        before = after


def _of_ends(connection: Connection, organisation: int, section: str) -> Iterator[KeyChange]:
    query = select(
        ChangeRow.service, ChangeRow.changed_at, ChangeRow.actor, ChangeRow.revision
    ).where(
        ChangeRow.organisation_id == organisation,
        ChangeRow.kind.in_((log.SERVICE_DISABLED, log.SERVICE_DELETED)),
    )
    if section:
        query = query.where(ChangeRow.service == section)
    for name, changed_at, actor, revision in connection.execute(query):
        yield KeyChange(name or "", None, None, changed_at, actor, revision)
