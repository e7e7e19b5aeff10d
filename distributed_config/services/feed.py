"""The journal with what became current: for those who want the documents with the news."""

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select, tuple_

from distributed_config.models import ChangeRow, ServiceRow, VersionRow
from distributed_config.services.journal import (
    DEFAULT_ENVIRONMENT,
    SERVICE_CREATED,
    SERVICE_DELETED,
    SERVICE_DISABLED,
    VERSION_CREATED,
    VERSION_DELETED,
    VERSION_DISABLED,
    VERSION_ENABLED,
    Change,
)
from distributed_config.wire import digest_of

LARGEST_DOCUMENT = 64 << 10
"""Larger ones are not sent with the news; who wants one asks for it."""

_AT_ONCE = 200


# A service that is made, or deleted, begins with nothing: what was before is another's.
MOVING = (
    SERVICE_CREATED,
    SERVICE_DELETED,
    SERVICE_DISABLED,
    VERSION_CREATED,
    VERSION_ENABLED,
    VERSION_DISABLED,
    VERSION_DELETED,
)
_BEFORE = (
    select(ChangeRow.current)
    .where(
        ChangeRow.organisation_id == bindparam("organisation"),
        ChangeRow.service == bindparam("service_"),
        ChangeRow.kind.in_(MOVING),
        tuple_(ChangeRow.revision, ChangeRow.position)
        < tuple_(bindparam("revision_"), bindparam("position_")),
    )
    .order_by(ChangeRow.revision.desc(), ChangeRow.position.desc())
    .limit(1)
)

Key = tuple[int, str, int]
"""What a change made current: organisation, service and number."""


def key_of(change: Change) -> Key | None:
    """What ``change`` made current; None if nothing is."""
    if change.service is None or change.current is None:
        return None
    return change.organisation_id, change.service, change.current


def before(connection: Connection, change: Change) -> Key | None:
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
    wanted: Mapping[Key, int],
    most_bytes: int = LARGEST_DOCUMENT,
) -> dict[Key, str]:
    """The documents that are ``wanted``, at most as new as the revisions that it tells.

    Those over ``most_bytes`` are left out, and those that are gone; so are those of services that
    have been made anew since.
    """
    keys = list(wanted)
    found: dict[Key, str] = {}
    for start in range(0, len(keys), _AT_ONCE):
        place = tuple_(ServiceRow.organisation_id, ServiceRow.name, VersionRow.number)
        rows = connection.execute(
            select(
                ServiceRow.organisation_id,
                ServiceRow.name,
                VersionRow.number,
                ServiceRow.created_revision,
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
        for organisation, name, number, born, digest, text in rows:
            key = (organisation, name, number)
            if text is not None and born <= wanted[key] and digest_of(text) == digest:
                found[key] = text
    return found
