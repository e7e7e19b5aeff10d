"""The documents that changes made current, for subscribers who want them with their events."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, or_, select, tuple_

from distributed_config.errors import DocumentDamaged, SecretUnreadable
from distributed_config.models import ChangeRow, ServiceRow, VersionRow
from distributed_config.services.documents import load
from distributed_config.services.documents.load import StoredText
from distributed_config.services.journal.changes import Change
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.secrets import Viewer

LARGEST_DOCUMENT = 64 << 10
"""The bytes up to which documents are sent with events. Clients request larger ones themselves."""

_BATCH = 200

# A created service begins with no current version, and so does a deleted one: the versions before
# are those of another service with the same name.
CURRENT_CHANGING = (
    ChangeKind.SERVICE_CREATED,
    ChangeKind.SERVICE_DELETED,
    ChangeKind.SERVICE_DISABLED,
    ChangeKind.VERSION_CREATED,
    ChangeKind.VERSION_ENABLED,
    ChangeKind.VERSION_DISABLED,
    ChangeKind.VERSION_DELETED,
)

Key = tuple[int, str, str, int]
"""The version that a change made current: organisation, service, environment and number."""

_BEFORE = (
    select(ChangeRow.environment, ChangeRow.current)
    .where(
        ChangeRow.organisation_id == bindparam("organisation"),
        ChangeRow.service == bindparam("service_"),
        ChangeRow.kind.in_(CURRENT_CHANGING),
        or_(ChangeRow.environment.is_(None), ChangeRow.environment == bindparam("environment_")),
        # Both columns: one revision may change a service several times.
        tuple_(ChangeRow.revision, ChangeRow.position)
        < tuple_(bindparam("revision_"), bindparam("position_")),
    )
    .order_by(ChangeRow.revision.desc(), ChangeRow.position.desc())
    .limit(1)
)

# Built once, with lists of any length as its parameters: this runs for every event that is sent.
_DOCUMENTS = load.DOCUMENTS.add_columns(VersionRow.revision).where(
    VersionRow.size <= bindparam("most_bytes"),
    tuple_(
        ServiceRow.organisation_id, ServiceRow.name, VersionRow.environment, VersionRow.number
    ).in_(bindparam("keys", expanding=True)),
)


@dataclass(frozen=True)
class DocumentViews:
    """A document in the two forms in which it can be seen.

    ``clear`` is for those who may read secrets. It is None where a secret cannot be decrypted: a
    subscriber then has to request the document, and gets the error.
    """

    masked: str
    clear: str | None

    def shown(self, reveal: bool) -> str | None:
        """Return the form for those who may read secrets, or the one for others."""
        return self.clear if reveal else self.masked


@dataclass(frozen=True)
class Stored:
    """A document, and the revision that added it."""

    revision: int
    text: DocumentViews

    def at(self, revision: int) -> DocumentViews | None:
        """Return the document if it existed at ``revision``, or None."""
        return self.text if self.revision <= revision else None


def version_key(change: Change) -> Key | None:
    """Return which version is current after ``change``, or None if none is."""
    return _key(change, change.environment, change.current)


def previous_key(connection: Connection, change: Change) -> Key | None:
    """Return which version was current before ``change``, or None if none was."""
    if change.service is None or change.environment is None:
        return None
    row = connection.execute(
        _BEFORE,
        {
            "organisation": change.organisation_id,
            "service_": change.service,
            "environment_": change.environment,
            "revision_": change.revision,
            "position_": change.position,
        },
    ).one_or_none()
    return None if row is None else _key(change, row.environment, row.current)


def _key(change: Change, environment: str | None, number: int | None) -> Key | None:
    if change.service is None or environment is None or number is None:
        return None
    return change.organisation_id, change.service, environment, number


def documents(
    connection: Connection,
    keys: Iterable[Key],
    most_bytes: int = LARGEST_DOCUMENT,
    *,
    clear: bool = True,
) -> dict[Key, Stored]:
    """Return those documents that still exist, up to ``most_bytes`` each.

    ``clear`` says whether they are needed in the clear as well as masked. A service that was
    deleted and created again since has other documents under the same numbers: ``Stored.at``
    recognises them.
    """
    unique = list(dict.fromkeys(keys))
    viewers = Viewer(connection, reveal=False), Viewer(connection, reveal=True)
    stored: dict[Key, Stored] = {}
    # In batches: a statement has a limited number of parameters.
    for start in range(0, len(unique), _BATCH):
        batch = {"keys": unique[start : start + _BATCH], "most_bytes": most_bytes}
        for row in connection.execute(_DOCUMENTS, batch):
            # An event without its document is still an event. A subscriber who then requests the
            # damaged document gets the error. A deleted one raises here as well.
            with suppress(DocumentDamaged):
                views = _views(viewers, load.verify_row(row), clear)
                key = (row.organisation_id, row.name, row.environment, row.number)
                stored[key] = Stored(row.revision, views)
    return stored


def _views(viewers: tuple[Viewer, Viewer], document: StoredText, clear: bool) -> DocumentViews:
    # Masked first: without a secret in it, one form is enough, and nothing is decrypted.
    masking, revealing = viewers
    masked = document.render(masking)
    if not masked.etag_variant:
        return DocumentViews(masked.text, masked.text)
    if not clear:
        return DocumentViews(masked.text, None)
    try:
        return DocumentViews(masked.text, document.render(revealing).text)
    except SecretUnreadable:
        return DocumentViews(masked.text, None)
