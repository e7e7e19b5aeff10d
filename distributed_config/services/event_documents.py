"""The journal with what became current: for those who want the documents with the news."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, tuple_

from distributed_config.errors import DocumentDamaged, SecretUnreadable
from distributed_config.models import ChangeRow, ServiceRow, VersionRow
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.changes import Change
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.secrets import DocumentKey, Viewer

LARGEST_DOCUMENT = 64 << 10
"""Larger ones are not sent with the news; who wants one asks for it."""

_AT_ONCE = 200


# A service that is made, or deleted, begins with nothing: what was before is another's.
CURRENT_CHANGING = (
    ChangeKind.SERVICE_CREATED,
    ChangeKind.SERVICE_DELETED,
    ChangeKind.SERVICE_DISABLED,
    ChangeKind.VERSION_CREATED,
    ChangeKind.VERSION_ENABLED,
    ChangeKind.VERSION_DISABLED,
    ChangeKind.VERSION_DELETED,
)
_BEFORE = (
    select(ChangeRow.current)
    .where(
        ChangeRow.organisation_id == bindparam("organisation"),
        ChangeRow.service == bindparam("service_"),
        ChangeRow.kind.in_(CURRENT_CHANGING),
        tuple_(ChangeRow.revision, ChangeRow.position)
        < tuple_(bindparam("revision_"), bindparam("position_")),
    )
    .order_by(ChangeRow.revision.desc(), ChangeRow.position.desc())
    .limit(1)
)

Key = tuple[int, str, int]
"""What a change made current: organisation, service and number."""


@dataclass(frozen=True)
class DocumentViews:
    """A document as it is shown; ``clear`` to those who may read secrets.

    ``clear`` None: a secret in it does not open, so they have to ask for it, and be told.
    """

    masked: str
    clear: str | None

    def shown(self, reveal: bool) -> str | None:
        """The form that is for who may read secrets, or for who may not."""
        return self.clear if reveal else self.masked


@dataclass(frozen=True)
class Stored:
    """A document, and the revision that brought it."""

    revision: int
    text: DocumentViews

    def at(self, revision: int) -> DocumentViews | None:
        """The text, if it was there at ``revision``."""
        return self.text if self.revision <= revision else None


def version_key(change: Change) -> Key | None:
    """What ``change`` made current; None if nothing is."""
    if change.service is None or change.current is None:
        return None
    return change.organisation_id, change.service, change.current


def previous_key(connection: Connection, change: Change) -> Key | None:
    """What was current before ``change``; None if nothing was."""
    if change.service is None:
        return None
    found = connection.execute(
        _BEFORE,
        {
            "organisation": change.organisation_id,
            "service_": change.service,
            "revision_": change.revision,
            "position_": change.position,
        },
    ).one_or_none()
    if found is None or found.current is None:
        return None
    return change.organisation_id, change.service, found.current


def documents(
    connection: Connection,
    wanted: Iterable[Key],
    most_bytes: int = LARGEST_DOCUMENT,
    *,
    clear: bool = True,
) -> dict[Key, Stored]:
    """The documents that are ``wanted`` and still there; not ``clear``: only as they are masked.

    Those over ``most_bytes`` are left out. A service that was made anew since has other documents
    under the same numbers: ``Stored.at`` knows.
    """
    keys = list(dict.fromkeys(wanted))
    viewers = Viewer(connection, reveal=False), Viewer(connection, reveal=True)
    found: dict[Key, Stored] = {}
    for start in range(0, len(keys), _AT_ONCE):
        place = tuple_(ServiceRow.organisation_id, ServiceRow.name, VersionRow.number)
        rows = connection.execute(
            select(
                ServiceRow.id,
                ServiceRow.organisation_id,
                ServiceRow.name,
                ServiceRow.secret_marks,
                VersionRow.number,
                VersionRow.revision,
                VersionRow.digest,
                VersionRow.document,
            )
            .join(VersionRow, VersionRow.service_id == ServiceRow.id)
            .where(
                VersionRow.environment == DEFAULT_ENVIRONMENT,
                VersionRow.size <= most_bytes,
                place.in_(keys[start : start + _AT_ONCE]),
            )
        )
        for service_id, organisation, name, marks, number, revision, digest, text in rows:
            home = DocumentKey(service_id, organisation, name, marks)
            # What was deleted since is not there. Whoever asks for what is damaged is told so.
            with suppress(DocumentDamaged):
                shown = _text(viewers, home, intact(text, digest), clear)
                found[organisation, name, number] = Stored(revision, shown)
    return found


def _text(
    viewers: tuple[Viewer, Viewer], home: DocumentKey, text: str, clear: bool
) -> DocumentViews:
    masking, revealing = viewers
    masked = masking.render(home, text)
    if not masked.etag_variant or not clear:
        return DocumentViews(masked.text, masked.text if not masked.etag_variant else None)
    try:
        return DocumentViews(masked.text, revealing.render(home, text).text)
    except SecretUnreadable:
        return DocumentViews(masked.text, None)
