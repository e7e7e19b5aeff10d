"""The versions of a service: create, append, put, patch, enable, delete, roll back, and read.

What writes raises Forbidden where the actor may not, whichever door was used.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Integer,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from distributed_config.errors import (
    DocumentDamaged,
    NoCurrentVersion,
    NotRepresentable,
    OutOfScope,
    PreconditionFailed,
    ServiceExists,
    ServiceNotFound,
    StillEnabled,
    VersionDeleted,
    VersionDisabled,
    VersionNotFound,
)
from distributed_config.models import (
    ChangeRow,
    CheckRow,
    ConformanceRow,
    ServiceRow,
    TagRow,
    VersionRow,
)
from distributed_config.services import conformance
from distributed_config.services import journal as log
from distributed_config.services.actors import DEFAULT_ENVIRONMENT, Realm
from distributed_config.services.conformance import Rule
from distributed_config.services.journal import Journal
from distributed_config.services.patches import merged, patched
from distributed_config.wire import (
    Document,
    DocumentLimits,
    digest_of,
    document_of,
    no_version_etag,
    parse_stored,
    version_etag,
)


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
    checked: tuple[str, int] | None = None
    """The definition and its revision that the version was checked against, if it was."""

    @property
    def served(self) -> str:
        """The document, of a version that was read with it and not deleted."""
        assert self.text is not None
        return self.text


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


class _Service(NamedTuple):
    """A service by its id; the number of its last version; whether it conforms to a definition."""

    id: int
    last: int
    definition_id: int | None


WRITE, PUBLISH = "config:write", "config:publish"
"""What it takes to add a version, and to change otherwise what is served."""

Expect = Callable[[str | None], bool]
"""Whether a write may go on, given the service's entity tag; None: there is no such service."""


def anything(_etag: str | None) -> bool:
    """Expects nothing."""
    return True


# --- writing


def create(journal: Journal, name: str, document: Document) -> Written:
    """Makes the service ``name`` with ``document`` as version 0.

    Raises ServiceExists or OutOfScope.
    """
    if not journal.realm.sees(name):
        raise OutOfScope(name)
    if _find(journal.connection, journal.realm, name) is not None:
        raise ServiceExists(name)
    service_id = journal.connection.execute(
        _INSERT_SERVICE,
        {
            "organisation_id": journal.organisation,
            "name": name,
            "created_at": journal.now,
            "created_revision": journal.revision,
        },
    ).scalar_one()
    journal.record(log.SERVICE_CREATED, name)
    return _insert(journal, _Service(service_id, -1, None), name, document)


def append(journal: Journal, name: str, document: Document, expect: Expect = anything) -> Written:
    """Makes ``document`` the next version. Raises ServiceNotFound or PreconditionFailed."""
    service = _require(journal.connection, journal.realm, name)
    _check_expected(journal, service.id, name, expect)
    return _insert(journal, service, name, document)


def put(journal: Journal, name: str, document: Document, expect: Expect = anything) -> Written:
    """Creates the service or appends a version, unless ``document`` is what is current already."""
    found = _find(journal.connection, journal.realm, name)
    if found is None:
        if not expect(None):
            raise PreconditionFailed(name, None)
        return create(journal, name, document)
    current = _current_key(journal.connection, found.id)
    _check_expected(journal, found.id, name, expect)
    if current is not None and current.digest == document.digest:
        return Written(name, current.number, current.digest, current.number, changed=False)
    return _insert(journal, found, name, document)


def merge(
    journal: Journal,
    name: str,
    patch: dict[str, Any],
    limits: DocumentLimits,
    expect: Expect = anything,
) -> Written:
    """Appends the current document merged with ``patch`` (RFC 7396)."""
    base = _base_for_patch(journal, name, expect)
    return append(journal, name, document_of(merged(base, patch), limits, name))


def patch(
    journal: Journal,
    name: str,
    operations: list[Any],
    limits: DocumentLimits,
    expect: Expect = anything,
) -> Written:
    """Appends the current document changed by ``operations`` (RFC 6902), all of them or none."""
    base = _base_for_patch(journal, name, expect)
    return append(journal, name, document_of(patched(base, operations, limits), limits, name))


def roll_back(journal: Journal, name: str, number: int, expect: Expect = anything) -> Written:
    """Appends a copy of version ``number``, disabled or not."""
    journal.actor.require(PUBLISH)
    service_id = require(journal.connection, journal.realm, name)
    old = _stored(journal.connection, service_id, name, number)
    return append(journal, name, Document(old.served, old.digest), expect)


def set_enabled(
    journal: Journal, name: str, number: int, enabled: bool, expect: Expect = anything
) -> Written:
    """Turns a version on or off; current moves by its one rule."""
    journal.actor.require(PUBLISH)
    service = _require(journal.connection, journal.realm, name)
    _check_expected(journal, service.id, name, expect)
    version = _stored(journal.connection, service.id, name, number)
    before = _current_number(journal, service.id)
    if version.enabled == enabled:
        return Written(name, number, version.digest, before, changed=False)
    journal.connection.execute(_ENABLE, {"series": service.id, "which": number, "to": enabled})
    current = _current_number(journal, service.id)
    if current != before:
        which = f"Version {current}, which would become current,"
        _admit_stored(journal, service, name, current, which)
    kind = log.VERSION_ENABLED if enabled else log.VERSION_DISABLED
    journal.record(kind, name, number=number, current=current, digest=version.digest)
    return Written(name, number, version.digest, current)


def delete_version(journal: Journal, name: str, number: int, expect: Expect = anything) -> Written:
    """Deletes a disabled version's document; its number stays taken. Raises StillEnabled."""
    journal.actor.require(PUBLISH)
    service_id = require(journal.connection, journal.realm, name)
    _check_expected(journal, service_id, name, expect)
    version = _stored(journal.connection, service_id, name, number)
    if version.enabled:
        raise StillEnabled(
            f"Version {number} of {name!r} is enabled. Disable it first: "
            f"PATCH …&version={number}&enabled=false."
        )
    journal.connection.execute(
        _ERASE, {"series": service_id, "which": number, "at": journal.revision}
    )
    current = _current_number(journal, service_id)
    journal.record(log.VERSION_DELETED, name, number=number, current=current, digest=version.digest)
    return Written(name, number, version.digest, current)


def delete_service(journal: Journal, name: str, expect: Expect = anything) -> None:
    """Deletes the service and all its versions, if none is enabled. Raises StillEnabled."""
    journal.actor.require(PUBLISH)
    service_id = require(journal.connection, journal.realm, name)
    _check_expected(journal, service_id, name, expect)
    enabled = journal.connection.scalars(_ENABLED_NUMBERS, {"series": service_id}).all()
    if enabled:
        shown = ", ".join(map(str, enabled[:10])) + (" …" if len(enabled) > 10 else "")
        raise StillEnabled(
            f"The service {name!r} has enabled versions ({shown}). Disable each first: "
            f"PATCH …&version={enabled[0]}&enabled=false."
        )
    _remove(journal, service_id, name)


def disable_service(journal: Journal, name: str) -> int:
    """Disables every version, so that nothing is served and all can be again; what was current.

    Raises NoCurrentVersion if nothing is.
    """
    journal.actor.require(PUBLISH)
    service = _require(journal.connection, journal.realm, name)
    before = _current_key(journal.connection, service.id)
    if before is None:
        raise NoCurrentVersion(name)
    journal.connection.execute(_DISABLE_ALL, {"series": service.id})
    _admit_stored(journal, service, name, None, "")
    number: int = before.number
    journal.record(log.SERVICE_DISABLED, name, number=number, digest=before.digest)
    return number


def retire(journal: Journal, name: str) -> None:
    """Deletes the service and all its versions, enabled or not; what was served is served no more.

    For those who were told to, as when a definition goes with its services.
    """
    journal.actor.require(PUBLISH)
    _remove(journal, require(journal.connection, journal.realm, name), name)


def admit_current(journal: Journal, name: str) -> None:
    """Makes sure that what is current conforms to the service's definition, from now its own."""
    service = _require(journal.connection, journal.realm, name)
    number = _current_number(journal, service.id)
    _admit_stored(journal, service, name, number, f"Version {number}, which is current,")


# --- reading


def require(connection: Connection, realm: Realm, name: str) -> int:
    """The service's id. Raises ServiceNotFound."""
    return _require(connection, realm, name).id


def current(connection: Connection, realm: Realm, name: str) -> Version:
    """What is served. Raises ServiceNotFound or NoCurrentVersion."""
    asked = {"organisation": realm.organisation, "name": name}
    row = connection.execute(_CURRENT, asked).one_or_none() if realm.sees(name) else None
    if row is None:
        raise ServiceNotFound(name)
    if row.number is None:
        raise NoCurrentVersion(name)
    return _version(name, row)


def numbered(connection: Connection, realm: Realm, name: str, number: int) -> Version:
    """Exactly version ``number``. Raises VersionNotFound, VersionDeleted or VersionDisabled."""
    found = stored(connection, realm, name, number)
    if not found.enabled:
        raise VersionDisabled(name, number)
    return found


def stored(connection: Connection, realm: Realm, name: str, number: int) -> Version:
    """Version ``number``, also when it is disabled. Raises VersionNotFound or VersionDeleted."""
    return _stored(connection, require(connection, realm, name), name, number)


def existing(connection: Connection, realm: Realm, name: str, most_bytes: int) -> list[Version]:
    """Every version that still exists, ascending, with its document.

    Raises NotRepresentable if together they have more than ``most_bytes``.
    """
    service_id = require(connection, realm, name)
    size = connection.execute(_SIZE, {"series": service_id}).scalar_one() or 0
    if size > most_bytes:
        raise NotRepresentable(
            f"All versions of {name!r} have {size} bytes, and one answer has at most {most_bytes} "
            "(DISTCONF_ANSWER_BYTES). Ask for version=current, or page through /api/v1/versions."
        )
    rows = connection.execute(_EXISTING, {"series": service_id})
    return [_version(name, row) for row in rows]


def history(
    connection: Connection,
    realm: Realm,
    name: str,
    *,
    before: int | None,
    limit: int,
    documents: bool,
) -> list[Version]:
    """The versions below number ``before``, newest first, deleted ones among them."""
    service_id = require(connection, realm, name)
    query = _HISTORY_WITH_DOCUMENTS if documents else _HISTORY
    asked = {"series": service_id, "before": before, "most": limit}
    found = [_version(name, row) for row in connection.execute(query, asked)]
    if not found:
        return []
    span = {"series": service_id, "lowest": found[-1].number, "highest": found[0].number}
    checks = {row[0]: (row[1], row[2]) for row in connection.execute(_CHECKS, span)}
    return [replace(each, checked=checks.get(each.number)) for each in found]


def as_of_revision(connection: Connection, realm: Realm, name: str, revision: int) -> Version:
    """What was current when the journal stood at ``revision``."""
    return _as_of(connection, realm, name, ChangeRow.revision <= revision, f"at {revision}")


def as_of_time(connection: Connection, realm: Realm, name: str, moment: int) -> Version:
    """What was current at ``moment``, in microseconds since 1970."""
    return _as_of(connection, realm, name, ChangeRow.changed_at <= moment, "then")


def current_value(connection: Connection, service_id: int) -> dict[str, Any] | None:
    """The current document of a service by its id; None: nothing is current."""
    key = _current_key(connection, service_id)
    return (
        None
        if key is None
        else parse_stored(_stored(connection, service_id, "", key.number).served)
    )


def count_services(connection: Connection, realm: Realm) -> int:
    """How many services there are to see."""
    query = _COUNT.where(realm.within(ServiceRow.name))
    return connection.execute(query, {"organisation": realm.organisation}).scalar_one()


# --- statements, made once


_SERIES = and_(
    VersionRow.service_id == bindparam("series"),
    VersionRow.environment == DEFAULT_ENVIRONMENT,
)
_ONE = and_(_SERIES, VersionRow.number == bindparam("which"))
_PLAIN = (
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
_WHOLE = (*_PLAIN, VersionRow.document)
_NAMED = and_(
    ServiceRow.organisation_id == bindparam("organisation"), ServiceRow.name == bindparam("name")
)

_FIND = (
    select(
        ServiceRow.id,
        select(func.max(VersionRow.number))
        .where(
            VersionRow.service_id == ServiceRow.id, VersionRow.environment == DEFAULT_ENVIRONMENT
        )
        .scalar_subquery(),
        ConformanceRow.definition_id,
    )
    .outerjoin(ConformanceRow, ConformanceRow.service_id == ServiceRow.id)
    .where(_NAMED)
)
_COUNT = (
    select(func.count())
    .select_from(ServiceRow)
    .where(ServiceRow.organisation_id == bindparam("organisation"))
)
_CURRENT = (
    select(*_WHOLE)
    .select_from(ServiceRow)
    .outerjoin(
        VersionRow,
        and_(
            VersionRow.service_id == ServiceRow.id,
            VersionRow.environment == DEFAULT_ENVIRONMENT,
            VersionRow.enabled,
        ),
    )
    .where(_NAMED)
    .order_by(VersionRow.number.desc())
    .limit(1)
)
_CURRENT_KEY = (
    select(VersionRow.number, VersionRow.digest)
    .where(_SERIES, VersionRow.enabled)
    .order_by(VersionRow.number.desc())
    .limit(1)
)
_STORED = select(*_WHOLE).where(_ONE)
_SIZE = select(func.sum(VersionRow.size)).where(_SERIES, VersionRow.deleted_revision.is_(None))
_EXISTING = (
    select(*_WHOLE)
    .where(_SERIES, VersionRow.deleted_revision.is_(None))
    .order_by(VersionRow.number)
)
_BEFORE = and_(
    _SERIES, VersionRow.number < func.coalesce(bindparam("before", type_=Integer), 2**62)
)
_NEWEST_FIRST = VersionRow.number.desc()
_MOST = bindparam("most", type_=Integer)
_HISTORY = select(*_PLAIN).where(_BEFORE).order_by(_NEWEST_FIRST).limit(_MOST)
_HISTORY_WITH_DOCUMENTS = select(*_WHOLE).where(_BEFORE).order_by(_NEWEST_FIRST).limit(_MOST)
_CHECKS = select(CheckRow.number, CheckRow.definition, CheckRow.definition_revision).where(
    CheckRow.service_id == bindparam("series"),
    CheckRow.environment == DEFAULT_ENVIRONMENT,
    CheckRow.number.between(bindparam("lowest"), bindparam("highest")),
)
_ENABLED_NUMBERS = (
    select(VersionRow.number).where(_SERIES, VersionRow.enabled).order_by(VersionRow.number)
)
_INSERT_SERVICE = insert(ServiceRow).returning(ServiceRow.id)
_INSERT_VERSION = insert(VersionRow)
_ENABLE = update(VersionRow).where(_ONE).values(enabled=bindparam("to"))
_DISABLE_ALL = update(VersionRow).where(_SERIES, VersionRow.enabled).values(enabled=False)
_ERASE = update(VersionRow).where(_ONE).values(document=None, deleted_revision=bindparam("at"))


# --- inside


def _version(name: str, row: Any) -> Version:
    """The version in ``row``. A document that is not what was stored is never given out."""
    text = row.document if len(row) > len(_PLAIN) else None
    if text is not None and digest_of(text) != row.digest:
        raise DocumentDamaged()
    return Version(
        service=name,
        number=row.number,
        enabled=row.enabled,
        digest=row.digest,
        size=row.size,
        author=row.author,
        note=row.note,
        created_at=row.created_at,
        revision=row.revision,
        deleted=row.deleted_revision is not None,
        text=text,
    )


def _find(connection: Connection, realm: Realm, name: str) -> _Service | None:
    if not realm.sees(name):
        return None
    asked = {"organisation": realm.organisation, "name": name}
    row = connection.execute(_FIND, asked).one_or_none()
    return None if row is None else _Service(*row)


def _require(connection: Connection, realm: Realm, name: str) -> _Service:
    found = _find(connection, realm, name)
    if found is None:
        raise ServiceNotFound(name)
    return found


def _current_key(connection: Connection, service_id: int) -> Any:
    """The current version's ``number`` and ``digest``, or None."""
    return connection.execute(_CURRENT_KEY, {"series": service_id}).one_or_none()


def _current_number(journal: Journal, service_id: int) -> int | None:
    key = _current_key(journal.connection, service_id)
    return None if key is None else key.number


def _stored(connection: Connection, service_id: int, name: str, number: int) -> Version:
    row = connection.execute(_STORED, {"series": service_id, "which": number}).one_or_none()
    if row is None:
        raise VersionNotFound(name, str(number))
    version = _version(name, row)
    if version.deleted:
        raise VersionDeleted(name, number)
    return version


def _as_of(connection: Connection, realm: Realm, name: str, until: Any, when: str) -> Version:
    service_id = require(connection, realm, name)
    born = select(ServiceRow.created_revision).where(ServiceRow.id == service_id)
    number = connection.execute(
        select(ChangeRow.current)
        .where(
            ChangeRow.organisation_id == realm.organisation,
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
    return _stored(connection, service_id, name, number)


def _check_expected(journal: Journal, service_id: int, name: str, expect: Expect) -> None:
    if expect is anything:
        return
    key = _current_key(journal.connection, service_id)
    if key is None:
        etag = no_version_etag(journal.epoch)
    else:
        etag = version_etag(journal.epoch, key.number, key.digest)
    if not expect(etag):
        raise PreconditionFailed(name, etag)


def _base_for_patch(journal: Journal, name: str, expect: Expect) -> dict[str, Any]:
    """The current document's value, if it is the expected one.

    Who may not read it cannot patch it either: patches can ask what is there.
    """
    journal.actor.require("config:read")
    base = current(journal.connection, journal.realm, name)
    if not expect(version_etag(journal.epoch, base.number, base.digest)):
        raise PreconditionFailed(name, version_etag(journal.epoch, base.number, base.digest))
    return parse_stored(base.served)


def _insert(journal: Journal, service: _Service, name: str, document: Document) -> Written:
    journal.actor.require(WRITE)
    number = service.last + 1
    rule = _rule(journal, service)
    if rule is not None:
        conformance.admit(journal, rule, number, document)
    journal.connection.execute(
        _INSERT_VERSION,
        {
            "service_id": service.id,
            "environment": DEFAULT_ENVIRONMENT,
            "number": number,
            "enabled": True,
            "digest": document.digest,
            "size": len(document.text.encode()),
            "author": journal.actor.name,
            "note": journal.note,
            "created_at": journal.now,
            "revision": journal.revision,
            "document": document.text,
        },
    )
    journal.record(log.VERSION_CREATED, name, number=number, current=number, digest=document.digest)
    return Written(name, number, document.digest, number, service_id=service.id)


def _rule(journal: Journal, service: _Service) -> Rule | None:
    """What the service must satisfy; who conforms to nothing costs no look-up."""
    if service.definition_id is None:
        return None
    return conformance.rule_of(journal.connection, service.id)


def _admit_stored(
    journal: Journal, service: _Service, name: str, number: int | None, which: str
) -> None:
    """Makes sure that version ``number``, if it is one, may be current."""
    rule = _rule(journal, service)
    if rule is None:
        return
    if number is None:
        conformance.nothing_current(journal, rule)
        return
    version = _stored(journal.connection, service.id, name, number)
    document = Document(version.served, version.digest)
    conformance.admit(journal, rule, number, document, which)


def _remove(journal: Journal, service_id: int, name: str) -> None:
    conformance.forget(journal.connection, service_id)
    for rows in (VersionRow.service_id, TagRow.service_id, ServiceRow.id):
        journal.connection.execute(delete(rows.class_).where(rows == service_id))
    journal.record(log.SERVICE_DELETED, name)
