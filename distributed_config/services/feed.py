"""The journal with what became current: for those who want the documents with the news."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, tuple_

from distributed_config.models import ServiceRow, VersionRow
from distributed_config.services.journal import (
    DEFAULT_ENVIRONMENT,
    SERVICE_DISABLED,
    VERSION_CREATED,
    Change,
)
from distributed_config.wire import digest_of

LARGEST_DOCUMENT = 64 << 10
"""Larger ones are not sent with the news; who wants one asks for it."""

_AT_ONCE = 200


Key = tuple[int, str, int]
"""What a change made current: organisation, service and number."""


def key_of(change: Change) -> Key | None:
    """What ``change`` made current; None if nothing is."""
    if change.service is None or change.current is None:
        return None
    return change.organisation_id, change.service, change.current


def previous_key_of(change: Change) -> Key | None:
    """What ``change`` put an end to; None if it did not, or that is not known."""
    if change.service is None or change.number is None:
        return None
    if change.kind == SERVICE_DISABLED:
        return change.organisation_id, change.service, change.number
    if change.kind == VERSION_CREATED and change.number > 0:
        return change.organisation_id, change.service, change.number - 1
    return None


def documents(connection: Connection, changes: Sequence[Change]) -> dict[Key, str]:
    """The documents that ``changes`` made current or put an end to, those that are still there.

    Those over LARGEST_DOCUMENT bytes are left out, and so are those of services that have been
    made anew since.
    """
    wanted = {
        key: each.revision
        for each in changes
        for key in (previous_key_of(each), key_of(each))
        if key is not None
    }
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
                VersionRow.size <= LARGEST_DOCUMENT,
                place.in_(keys[start : start + _AT_ONCE]),
            )
        )
        for organisation, name, number, born, digest, text in rows:
            key = (organisation, name, number)
            if text is not None and born <= wanted[key] and digest_of(text) == digest:
                found[key] = text
    return found
