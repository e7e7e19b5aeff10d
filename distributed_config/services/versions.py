"""The versions of a service: create, append, put, patch, enable, delete, roll back, and read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from distributed_config.errors import (
    InvalidDocument,
    NoCurrentVersion,
    PreconditionFailed,
    Problem,
    ServiceExists,
    ServiceNotFound,
    StillEnabled,
    StorageFailed,
    VersionDeleted,
    VersionDisabled,
    VersionNotFound,
)
from distributed_config.models import ChangeRow, ServiceRow, TagRow, VersionRow
from distributed_config.services import journal as log
from distributed_config.services.journal import DEFAULT_ENVIRONMENT, Journal
from distributed_config.wire import Document, DocumentLimits, digest_of, document_of, version_etag


@dataclass(frozen=True)
class Version:
    """One version as readers get it. ``text`` is None where documents were not asked for."""

    service: str
    number: int
    enabled: bool
    digest: str
    size: int
    author: str
    note: str
    created_at: int
    revision: int
    deleted: bool
    text: str | None


@dataclass(frozen=True)
class Written:
    """What a write did. ``changed`` is False when the service already was as asked.

    ``number`` is the version that was written or, when nothing changed, the one that was found.
    ``current`` is what is served now, None if nothing is.
    """

    service: str
    number: int
    digest: str
    current: int | None
    changed: bool = True
    service_id: int = 0


Expect = Callable[[str | None], bool]
"""Whether a write may go on, given the entity tag of the current version (None: there is none)."""


def anything(_etag: str | None) -> bool:
    """Expects nothing."""
    return True


# --- writing


def create(journal: Journal, name: str, document: Document) -> Written:
    """Makes the service ``name`` with ``document`` as version 0. Raises ServiceExists."""
    if _find(journal.session, journal.organisation, name) is not None:
        raise ServiceExists(name)
    service_id = journal.session.execute(
        insert(ServiceRow)
        .values(
            organisation_id=journal.organisation,
            name=name,
            created_at=journal.now,
            created_revision=journal.revision,
        )
        .returning(ServiceRow.id)
    ).scalar_one()
    journal.record(log.SERVICE_CREATED, name)
    return _insert(journal, service_id, name, 0, document)


def append(
    journal: Journal, name: str, document: Document, expect: Expect = anything
) -> Written:
    """Makes ``document`` the next version. Raises ServiceNotFound or PreconditionFailed."""
    service_id = require(journal.session, journal.organisation, name)
    _check_expected(journal, service_id, name, expect)
    return _insert(journal, service_id, name, _next_number(journal.session, service_id), document)


def put(journal: Journal, name: str, document: Document, expect: Expect = anything) -> Written:
    """Creates the service or appends a version, unless ``document`` is what is current already."""
    service_id = _find(journal.session, journal.organisation, name)
    if service_id is None:
        if not expect(None):
            raise PreconditionFailed(name, None)
        return create(journal, name, document)
    _check_expected(journal, service_id, name, expect)
    current = _current(journal.session, service_id)
    if current is not None and current.digest == document.digest:
        return Written(name, current.number, current.digest, current.number, changed=False)
    return append(journal, name, document)


def merge(
    journal: Journal,
    name: str,
    patch: dict[str, Any],
    limits: DocumentLimits,
    expect: Expect = anything,
) -> Written:
    """Appends the current document merged with ``patch`` (RFC 7396)."""
    base = _base_for_patch(journal, name, expect)
    return append(journal, name, document_of(_merged(base.value, patch), limits, name))


def patch(
    journal: Journal,
    name: str,
    operations: list[Any],
    limits: DocumentLimits,
    expect: Expect = anything,
) -> Written:
    """Appends the current document changed by ``operations`` (RFC 6902), all of them or none."""
    base = _base_for_patch(journal, name, expect)
    return append(journal, name, document_of(_patched(base.value, operations, limits), limits, name))


def roll_back(journal: Journal, name: str, number: int, expect: Expect = anything) -> Written:
    """Appends a copy of version ``number``, disabled or not."""
    service_id = require(journal.session, journal.organisation, name)
    old = _stored(journal.session, service_id, name, number)
    assert old.text is not None  # _stored refuses versions whose document was deleted
    return append(journal, name, Document(old.text, old.digest), expect)


def set_enabled(
    journal: Journal, name: str, number: int, enabled: bool, expect: Expect = anything
) -> Written:
    """Turns a version on or off; current moves by its one rule."""
    service_id = require(journal.session, journal.organisation, name)
    _check_expected(journal, service_id, name, expect)
    version = _stored(journal.session, service_id, name, number)
    if version.enabled == enabled:
        now = _current_number(journal.session, service_id)
        return Written(name, number, version.digest, now, changed=False)
    journal.session.execute(
        update(VersionRow).where(*_is_version(service_id, number)).values(enabled=enabled)
    )
    current = _current_number(journal.session, service_id)
    kind = log.VERSION_ENABLED if enabled else log.VERSION_DISABLED
    journal.record(kind, name, number=number, current=current, digest=version.digest)
    return Written(name, number, version.digest, current)


def delete_version(
    journal: Journal, name: str, number: int, expect: Expect = anything
) -> Written:
    """Deletes a disabled version's document; its number stays taken. Raises StillEnabled."""
    service_id = require(journal.session, journal.organisation, name)
    _check_expected(journal, service_id, name, expect)
    version = _stored(journal.session, service_id, name, number)
    if version.enabled:
        raise StillEnabled(
            f"Version {number} of {name!r} is enabled. Disable it first: "
            f"PATCH …&version={number}&enabled=false."
        )
    journal.session.execute(
        update(VersionRow)
        .where(*_is_version(service_id, number))
        .values(document=None, deleted_revision=journal.revision)
    )
    current = _current_number(journal.session, service_id)
    journal.record(
        log.VERSION_DELETED, name, number=number, current=current, digest=version.digest
    )
    return Written(name, number, version.digest, current)


def delete_service(journal: Journal, name: str, expect: Expect = anything) -> None:
    """Deletes the service and all its versions, if none is enabled. Raises StillEnabled."""
    service_id = require(journal.session, journal.organisation, name)
    _check_expected(journal, service_id, name, expect)
    enabled = journal.session.scalars(
        select(VersionRow.number)
        .where(*_is_series(service_id), VersionRow.enabled)
        .order_by(VersionRow.number)
    ).all()
    if enabled:
        shown = ", ".join(map(str, enabled[:10])) + (" …" if len(enabled) > 10 else "")
        raise StillEnabled(
            f"The service {name!r} has enabled versions ({shown}). Disable each first: "
            f"PATCH …&version={enabled[0]}&enabled=false."
        )
    journal.session.execute(delete(VersionRow).where(VersionRow.service_id == service_id))
    journal.session.execute(delete(TagRow).where(TagRow.service_id == service_id))
    journal.session.execute(delete(ServiceRow).where(ServiceRow.id == service_id))
    journal.record(log.SERVICE_DELETED, name)


# --- reading


def require(session: Session, organisation: int, name: str) -> int:
    """The service's id. Raises ServiceNotFound."""
    service_id = _find(session, organisation, name)
    if service_id is None:
        raise ServiceNotFound(name)
    return service_id


def current(session: Session, organisation: int, name: str) -> Version:
    """What is served. Raises ServiceNotFound or NoCurrentVersion."""
    service_id = require(session, organisation, name)
    found = _current(session, service_id, name)
    if found is None:
        raise NoCurrentVersion(name)
    return _sound(found)


def numbered(session: Session, organisation: int, name: str, number: int) -> Version:
    """Exactly version ``number``. Raises VersionNotFound, VersionDeleted or VersionDisabled."""
    service_id = require(session, organisation, name)
    found = _stored(session, service_id, name, number)
    if not found.enabled:
        raise VersionDisabled(name, number)
    return _sound(found)


def existing(session: Session, organisation: int, name: str) -> list[Version]:
    """Every version that still exists, ascending, with its document."""
    service_id = require(session, organisation, name)
    rows = session.execute(
        select(*_COLUMNS, VersionRow.document)
        .where(*_is_series(service_id), VersionRow.deleted_revision.is_(None))
        .order_by(VersionRow.number)
    )
    return [_sound(_version(name, row)) for row in rows]


def history(
    session: Session,
    organisation: int,
    name: str,
    *,
    before: int | None,
    limit: int,
    documents: bool,
) -> list[Version]:
    """The versions below number ``before``, newest first, deleted ones among them."""
    service_id = require(session, organisation, name)
    columns = (*_COLUMNS, VersionRow.document) if documents else _COLUMNS
    query = select(*columns).where(*_is_series(service_id))
    if before is not None:
        query = query.where(VersionRow.number < before)
    rows = session.execute(query.order_by(VersionRow.number.desc()).limit(limit))
    return [_version(name, row) for row in rows]


def stored(session: Session, organisation: int, name: str, number: int) -> Version:
    """Version ``number``, also when it is disabled. Raises VersionNotFound or VersionDeleted."""
    return _stored(session, require(session, organisation, name), name, number)


def as_of_revision(session: Session, organisation: int, name: str, revision: int) -> Version:
    """What was current when the journal stood at ``revision``."""
    return _as_of(session, organisation, name, ChangeRow.revision <= revision, f"at {revision}")


def as_of_time(session: Session, organisation: int, name: str, moment: int) -> Version:
    """What was current at ``moment``, in microseconds since 1970."""
    return _as_of(session, organisation, name, ChangeRow.changed_at <= moment, "then")


def count_services(session: Session, organisation: int) -> int:
    """How many services the organisation has."""
    return session.execute(
        select(func.count())
        .select_from(ServiceRow)
        .where(ServiceRow.organisation_id == organisation)
    ).scalar_one()


def current_etag(session: Session, organisation: int, name: str, epoch: str) -> str | None:
    """The entity tag of the current version; None without a service or a current version."""
    service_id = _find(session, organisation, name)
    return None if service_id is None else _etag(session, service_id, epoch)


# --- inside


_COLUMNS = (
    VersionRow.number,
    VersionRow.enabled,
    VersionRow.digest,
    VersionRow.size,
    VersionRow.author,
    VersionRow.note,
    VersionRow.created_at,
    VersionRow.revision,
    VersionRow.deleted_revision,
)


def _version(name: str, row: Any) -> Version:
    *plain, deleted_revision = row[: len(_COLUMNS)]
    text = row[len(_COLUMNS)] if len(row) > len(_COLUMNS) else None
    return Version(name, *plain, deleted_revision is not None, text)


def _sound(version: Version) -> Version:
    """``version`` if its document is what was stored. A damaged one is never served."""
    if version.text is not None and digest_of(version.text) != version.digest:
        raise StorageFailed()
    return version


def _is_series(service_id: int) -> tuple[Any, Any]:
    return VersionRow.service_id == service_id, VersionRow.environment == DEFAULT_ENVIRONMENT


def _is_version(service_id: int, number: int) -> tuple[Any, Any, Any]:
    return (*_is_series(service_id), VersionRow.number == number)


def _find(session: Session, organisation: int, name: str) -> int | None:
    return session.execute(
        select(ServiceRow.id).where(
            ServiceRow.organisation_id == organisation, ServiceRow.name == name
        )
    ).scalar_one_or_none()


def _current(session: Session, service_id: int, name: str = "") -> Version | None:
    row = session.execute(
        select(*_COLUMNS, VersionRow.document)
        .where(*_is_series(service_id), VersionRow.enabled)
        .order_by(VersionRow.number.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _version(name, row)


def _current_number(session: Session, service_id: int) -> int | None:
    return session.execute(
        select(VersionRow.number)
        .where(*_is_series(service_id), VersionRow.enabled)
        .order_by(VersionRow.number.desc())
        .limit(1)
    ).scalar_one_or_none()


def _next_number(session: Session, service_id: int) -> int:
    last = session.execute(
        select(func.max(VersionRow.number)).where(*_is_series(service_id))
    ).scalar_one()
    return 0 if last is None else int(last) + 1


def _stored(session: Session, service_id: int, name: str, number: int) -> Version:
    row = session.execute(
        select(*_COLUMNS, VersionRow.document).where(*_is_version(service_id, number))
    ).one_or_none()
    if row is None:
        raise VersionNotFound(name, str(number))
    version = _version(name, row)
    if version.deleted:
        raise VersionDeleted(name, number)
    return version


def _as_of(session: Session, organisation: int, name: str, until: Any, when: str) -> Version:
    service_id = require(session, organisation, name)
    born = select(ServiceRow.created_revision).where(ServiceRow.id == service_id)
    number = session.execute(
        select(ChangeRow.current)
        .where(
            ChangeRow.organisation_id == organisation,
            ChangeRow.service == name,
            ChangeRow.environment == DEFAULT_ENVIRONMENT,
            ChangeRow.revision >= born.scalar_subquery(),
            until,
        )
        .order_by(ChangeRow.revision.desc(), ChangeRow.position.desc())
        .limit(1)
    ).scalar_one_or_none()
    if number is None:
        raise VersionNotFound(name, f"that was current {when}")
    return _sound(_stored(session, service_id, name, number))


def _etag(session: Session, service_id: int, epoch: str) -> str | None:
    row = session.execute(
        select(VersionRow.number, VersionRow.digest)
        .where(*_is_series(service_id), VersionRow.enabled)
        .order_by(VersionRow.number.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else version_etag(epoch, row.number, row.digest)


def _check_expected(journal: Journal, service_id: int, name: str, expect: Expect) -> None:
    if expect is anything:
        return
    etag = _etag(journal.session, service_id, journal.epoch)
    if not expect(etag):
        raise PreconditionFailed(name, etag)


def _base_for_patch(journal: Journal, name: str, expect: Expect) -> Document:
    service_id = require(journal.session, journal.organisation, name)
    _check_expected(journal, service_id, name, expect)
    base = _current(journal.session, service_id)
    if base is None:
        raise NoCurrentVersion(name)
    assert base.text is not None  # an enabled version always has its document
    return Document(base.text, base.digest)


def _patched(value: Any, operations: list[Any], limits: DocumentLimits) -> Any:
    """``value`` after ``operations``. What they copy is limited: forty can double it forty times."""
    if len(operations) > limits.keys:
        message = f"A patch has at most {limits.keys} operations."
        raise InvalidDocument.of([Problem("", message, "json-patch")])
    budget = limits.size
    for i, operation in enumerate(operations):
        try:
            if isinstance(operation, dict) and operation.get("op") == "copy":
                budget -= _weight(JsonPointer(operation.get("from", "")).resolve(value), budget)
                if budget < 0:
                    raise ValueError("it copies more than a document may hold")
            value = jsonpatch.apply_patch(value, [operation], in_place=True)
        except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, ValueError) as error:
            # The operations behind this one rest on it, so there is one problem to tell.
            message = f"This operation does not apply: {error}."
            raise InvalidDocument.of([Problem(f"/{i}", message, "json-patch")]) from None
    return value


def _weight(value: Any, most: int) -> int:
    """About the size of ``value``; stops counting when it is more than ``most``."""
    weight = 0
    waiting = [value]
    while waiting and weight <= most:
        here = waiting.pop()
        weight += 1 + (len(here) if isinstance(here, str | dict | list) else 0)
        if isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return weight


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _insert(
    journal: Journal, service_id: int, name: str, number: int, document: Document
) -> Written:
    journal.session.execute(
        insert(VersionRow).values(
            service_id=service_id,
            environment=DEFAULT_ENVIRONMENT,
            number=number,
            enabled=True,
            digest=document.digest,
            size=len(document.text.encode()),
            author=journal.actor.name,
            note=journal.note,
            created_at=journal.now,
            revision=journal.revision,
            document=document.text,
        )
    )
    journal.record(
        log.VERSION_CREATED, name, number=number, current=number, digest=document.digest
    )
    return Written(name, number, document.digest, number, service_id=service_id)
