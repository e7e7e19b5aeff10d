"""The versions of a service: create, append, put, patch, enable, delete, roll back, and read.

What writes raises Forbidden where the actor may not, whichever door was used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Integer,
    LargeBinary,
    and_,
    bindparam,
    cast,
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
    DefinitionRevisionRow,
    ServiceRow,
    TagRow,
    VersionRow,
)
from distributed_config.services import conformance, kept_marks, secrets
from distributed_config.services import journal as log
from distributed_config.services.actors import DEFAULT_ENVIRONMENT, Realm
from distributed_config.services.conformance import Rule
from distributed_config.services.digests import Digests
from distributed_config.services.journal import Journal
from distributed_config.services.patches import merged, patched
from distributed_config.services.preconditions import Expect, Standing, anything
from distributed_config.services.secrets import Draft, Home, Stored, Viewer
from distributed_config.services.stored import intact
from distributed_config.wire import (
    Document,
    DocumentLimits,
    digest_of,
    document_of,
    no_version_etag,
    parse_stored,
    stamp_of,
    version_etag,
)


@dataclass(frozen=True)
class Version:
    """One version as readers get it. ``text`` is None where documents were not asked for.

    ``view`` is "" unless the document has secrets; then it tells the masked form of it, by what
    it shows, from the one in the clear.
    """

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
    view: str = ""
    life: int = 0
    """The id of its service, which another one of the same name does not have."""
    stamp: str = ""
    """What its entity tag has of it: the same for everybody, whether they see secrets or not."""
    may_have_secrets: bool = False
    """Whether its service has marks, which can change how the version is shown."""
    moved_at: int = 0
    """When the versions of its service changed last; 0: not asked for, see ``version_times``."""

    @property
    def served(self) -> str:
        """The document, of a version that was read with it and not deleted."""
        assert self.text is not None
        return self.text


@dataclass(frozen=True)
class Written:
    """What a write did. ``changed`` is False when the service already was as asked.

    ``number`` is the version that was written or, when nothing changed, the one that was found;
    ``stamp`` is what its entity tag has of it.
    ``current`` is what is served now, None if nothing is.
    """

    service: str
    number: int
    stamp: str
    current: int | None
    changed: bool = True
    service_id: int = 0
    has_secrets: bool = False
    removed: tuple[str, ...] = ()
    """The top-level keys that a new document took away from what was current."""


class _Service(NamedTuple):
    """A service by its id; the number of its last version; whether it conforms to a definition;
    and whether anything may be secret in it."""

    id: int
    last: int
    definition_id: int | None
    marks: str


_OPERATIONS_OF_A_CHANGE = 25
"""How many operations of a JSON Patch take about as long as one change."""

WRITE, PUBLISH = "config:write", "config:publish"
"""What it takes to add a version, and to change otherwise what is served."""


# --- writing


def create(
    journal: Journal, name: str, document: Document, definition_id: int | None = None
) -> Written:
    """Makes the service ``name`` with ``document`` as version 0; it may conform to a definition.

    What was secret in one of its name that was deleted is secret in it. Raises ServiceExists,
    OutOfScope, NotConforming, or Forbidden where that would be less.
    """
    journal.allowance.count(size=len(document.text))
    if not journal.realm.sees(name):
        raise OutOfScope(name)
    if _find(journal.connection, journal.realm, name) is not None:
        raise ServiceExists(name)
    marks = kept_marks.restore(journal, name, definition_id)
    service_id = journal.connection.execute(
        _INSERT_SERVICE,
        {
            "organisation_id": journal.organisation,
            "name": name,
            "created_at": journal.now,
            "created_revision": journal.revision,
            "marks": marks,
        },
    ).scalar_one()
    journal.record(log.SERVICE_CREATED, name)
    if definition_id is None:
        return _insert(journal, _Service(service_id, -1, None, marks), name, document)
    # Before there is anything to keep: what the definition marks is never stored in the clear.
    conformance.bind(journal, service_id, name, definition_id)
    service = _require(journal.connection, journal.realm, name)._replace(last=-1)
    return _insert(journal, service, name, document)


def append(journal: Journal, name: str, document: Document, expect: Expect = anything) -> Written:
    """Makes ``document`` the next version.

    Raises ServiceNotFound, PreconditionFailed, or InvalidDocument where it has the mask in place
    of a secret that is not there.
    """
    journal.allowance.count(size=len(document.text))
    service = _expected(journal, name, expect)
    removed = _removed(journal, service, document)
    return replace(_insert(journal, service, name, document), removed=removed)


def put(journal: Journal, name: str, document: Document, expect: Expect = anything) -> Written:
    """Creates the service or appends a version, unless ``document`` is what is current already."""
    found = _find(journal.connection, journal.realm, name)
    if found is None:
        if not expect(None):
            raise PreconditionFailed(name, None)
        return create(journal, name, document)
    journal.allowance.count(size=len(document.text))
    current = _current_key(journal.connection, found.id)
    _check(journal, found, name, expect)
    draft = _draft(journal, found, name, document)
    same = draft.is_as_before if draft else current and current.digest == document.digest
    if current is not None and same:
        return Written(
            name,
            current.number,
            _stamp(journal.connection, found, current.number, current.digest),
            current.number,
            changed=False,
            has_secrets=draft is not None and draft.has_secrets,
        )
    removed = _removed(journal, found, document)
    return replace(_insert(journal, found, name, document, draft), removed=removed)


def merge(
    journal: Journal,
    name: str,
    patch: dict[str, Any],
    limits: DocumentLimits,
    expect: Expect = anything,
) -> Written:
    """Appends the current document merged with ``patch`` (RFC 7396)."""
    found = _base_for_patch(journal, name, expect)
    return _changed(journal, name, found, merged(found.value, patch), limits)


def patch(
    journal: Journal,
    name: str,
    operations: list[Any],
    limits: DocumentLimits,
    expect: Expect = anything,
) -> Written:
    """Appends the current document changed by ``operations`` (RFC 6902), all of them or none."""
    found = _base_for_patch(journal, name, expect)
    journal.allowance.count(changes=len(operations) // _OPERATIONS_OF_A_CHANGE)
    value = patched(found.value, operations, limits, journal.allowance.check)
    return _changed(journal, name, found, value, limits)


def roll_back(
    journal: Journal, name: str, number: int | None, expect: Expect = anything
) -> Written:
    """Appends a copy of version ``number``, disabled or not.

    ``None`` stands for the enabled version before the current one. Raises
    VersionNotFound where there is none.
    """
    journal.actor.require(PUBLISH)
    service = _expected(journal, name, expect)
    if number is None:
        number = _number_before_current(journal.connection, service.id, name)
    old = _stored(journal.connection, service.id, name, number)
    document = Document(old.served, old.digest)
    journal.allowance.count(size=len(document.text))
    if not service.marks:
        return _insert(journal, service, name, document)
    base = secrets.stored(journal.connection, _home(journal, service, name), old.served)
    draft = _drafted(journal, base.base(reveal=False), base)
    return _insert(journal, service, name, document, draft)


def set_enabled(
    journal: Journal, name: str, number: int, enabled: bool, expect: Expect = anything
) -> Written:
    """Turns a version on or off; current moves by its one rule."""
    journal.actor.require(PUBLISH)
    service = _expected(journal, name, expect)
    version = _stored(journal.connection, service.id, name, number)
    stamp = _stamp(journal.connection, service, number, version.digest)
    before = _current_number(journal, service.id)
    if version.enabled == enabled:
        return Written(name, number, stamp, before, changed=False)
    journal.connection.execute(_ENABLE, {"series": service.id, "which": number, "to": enabled})
    current = _current_number(journal, service.id)
    if current != before:
        which = f"Version {current}, which would become current,"
        _admit_stored(journal, service, name, current, which)
    kind = log.VERSION_ENABLED if enabled else log.VERSION_DISABLED
    journal.record(kind, name, number=number, current=current, digest=version.digest)
    return Written(name, number, stamp, current)


def delete_version(journal: Journal, name: str, number: int, expect: Expect = anything) -> Written:
    """Deletes a disabled version's document; its number stays taken. Raises StillEnabled."""
    journal.actor.require(PUBLISH)
    service = _expected(journal, name, expect)
    version = _stored(journal.connection, service.id, name, number)
    if version.enabled:
        raise StillEnabled(
            f"Version {number} of {name!r} is enabled. Disable it first: "
            f"PATCH …&version={number}&enabled=false."
        )
    journal.connection.execute(
        _ERASE, {"series": service.id, "which": number, "at": journal.revision}
    )
    current = _current_number(journal, service.id)
    journal.record(log.VERSION_DELETED, name, number=number, current=current, digest=version.digest)
    stamp = _stamp(journal.connection, service, number, version.digest)
    return Written(name, number, stamp, current)


def delete_service(journal: Journal, name: str, expect: Expect = anything) -> None:
    """Deletes the service and all its versions, if none is enabled. Raises StillEnabled."""
    journal.actor.require(PUBLISH)
    service_id = _expected(journal, name, expect).id
    enabled = journal.connection.scalars(_ENABLED_NUMBERS, {"series": service_id}).all()
    if enabled:
        shown = ", ".join(map(str, enabled[:10])) + (" …" if len(enabled) > 10 else "")
        raise StillEnabled(
            f"The service {name!r} has enabled versions ({shown}). Disable each first: "
            f"PATCH …&version={enabled[0]}&enabled=false."
        )
    _remove(journal, service_id, name)


def disable_service(journal: Journal, name: str, expect: Expect = anything) -> int:
    """Disables every version, so that nothing is served and all can be again; what was current.

    Raises NoCurrentVersion if nothing is, or PreconditionFailed.
    """
    journal.actor.require(PUBLISH)
    service = _expected(journal, name, expect)
    before = _current_key(journal.connection, service.id)
    if before is None:
        raise NoCurrentVersion(name)
    journal.connection.execute(_DISABLE_ALL, {"series": service.id})
    _admit_stored(journal, service, name, None, "")
    number: int = before.number
    journal.record(log.SERVICE_DISABLED, name, number=number, digest=before.digest)
    return number


def retire(journal: Journal, name: str, expect: Expect = anything) -> None:
    """Deletes the service and all its versions, enabled or not; what was served is served no more.

    For those who were told to, as when a definition goes with its services.
    """
    journal.actor.require(PUBLISH)
    service_id = _expected(journal, name, expect).id
    _remove(journal, service_id, name)


def check_expected(journal: Journal, name: str, expect: Expect) -> None:
    """Raises PreconditionFailed unless the service is as expected."""
    _expected(journal, name, expect)


def admit_current(journal: Journal, name: str) -> None:
    """Makes sure that what is current conforms to the service's definition, from now its own."""
    service = _require(journal.connection, journal.realm, name)
    number = _current_number(journal, service.id)
    _admit_stored(journal, service, name, number, f"Version {number}, which is current,")


# --- reading


def lookup(connection: Connection, realm: Realm, name: str) -> int | None:
    """The service's id; None: there is none."""
    found = _find(connection, realm, name)
    return None if found is None else found.id


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
    home = Home(row.service_id, realm.organisation, name, row.marks)
    found = _version(name, row)
    return _Showing(connection, realm.secrets).shown(home, found, row.moved_at)


def numbered(connection: Connection, realm: Realm, name: str, number: int) -> Version:
    """Exactly version ``number``. Raises VersionNotFound, VersionDeleted or VersionDisabled."""
    found = stored(connection, realm, name, number)
    if not found.enabled:
        raise VersionDisabled(name, number)
    return found


def stored(connection: Connection, realm: Realm, name: str, number: int) -> Version:
    """Version ``number``, also when it is disabled. Raises VersionNotFound or VersionDeleted."""
    service = _require(connection, realm, name)
    found = _stored(connection, service.id, name, number)
    home = Home(service.id, realm.organisation, name, service.marks)
    return _Showing(connection, realm.secrets).shown(home, found)


def existing(connection: Connection, realm: Realm, name: str, most_bytes: int) -> list[Version]:
    """Every version that still exists, ascending, with its document.

    Raises NotRepresentable if together they have more than ``most_bytes``.
    """
    service = _require(connection, realm, name)
    size = connection.execute(_SIZE, {"series": service.id}).scalar_one() or 0
    if size > most_bytes:
        raise NotRepresentable(
            f"All versions of {name!r} have {size} bytes, and one answer has at most {most_bytes} "
            "(DISTCONF_ANSWER_BYTES). Ask for version=current, or page through /api/v1/versions."
        )
    rows = connection.execute(_EXISTING, {"series": service.id}).all()
    home = Home(service.id, realm.organisation, name, service.marks)
    showing = _Showing(connection, realm.secrets)
    return [showing.shown(home, _version(name, row)) for row in rows]


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
    service = _require(connection, realm, name)
    query = _HISTORY_WITH_DOCUMENTS if documents else _HISTORY
    asked = {"series": service.id, "before": before, "most": limit}
    rows = connection.execute(query, asked).all()
    home = Home(service.id, realm.organisation, name, service.marks)
    showing = _Showing(connection, realm.secrets)
    found = [showing.shown(home, _version(name, row)) for row in rows]
    if not found:
        return []
    span = {"series": service.id, "lowest": found[-1].number, "highest": found[0].number}
    checks = {row[0]: (row[1], row[2]) for row in connection.execute(_CHECKS, span)}
    return [replace(each, checked=checks.get(each.number)) for each in found]


def shown_back(journal: Journal, written: Written, document: Document) -> str:
    """``document``, which was just written, as answers to writes show it: without its secrets.

    Such answers are kept for those who ask again, in the database's file.
    """
    if not written.has_secrets:
        return document.text
    service = _require(journal.connection, journal.realm, written.service)
    found = _stored(journal.connection, service.id, written.service, written.number)
    home = _home(journal, service, written.service)
    return _Showing(journal.connection, reveal=False).shown(home, found).served


def as_of_revision(connection: Connection, realm: Realm, name: str, revision: int) -> Version:
    """What was current when the journal stood at ``revision``."""
    return _as_of(connection, realm, name, ChangeRow.revision <= revision, f"at {revision}")


def as_of_time(connection: Connection, realm: Realm, name: str, moment: int) -> Version:
    """What was current at ``moment``, in microseconds since 1970."""
    return _as_of(connection, realm, name, ChangeRow.changed_at <= moment, "then")


def version_times(connection: Connection, realm: Realm, name: str) -> tuple[int, ...]:
    """The times at which a service's versions changed last and before that, newest first."""
    return _last_two(connection, realm, name, (_MOVED,))


def change_times(connection: Connection, realm: Realm, name: str) -> tuple[int, ...]:
    """The same of all that changes how its versions are shown: marks and definitions as well."""
    return _last_two(connection, realm, name, (_MOVED, _MARKED, _REVISED))


def current_value(connection: Connection, service_id: int) -> dict[str, Any] | None:
    """The current document of a service by its id, without its secrets; None: nothing is current.

    It is what indexes may have.
    """
    key = _current_key(connection, service_id)
    if key is None:
        return None
    row = connection.execute(_HOME, {"service": service_id}).one()
    found = _stored(connection, service_id, row.name, key.number)
    return parse_stored(_Showing(connection, reveal=False).shown(Home(*row), found).served)


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
        ServiceRow.marks,
    )
    .outerjoin(ConformanceRow, ConformanceRow.service_id == ServiceRow.id)
    .where(_NAMED)
)
_COUNT = (
    select(func.count())
    .select_from(ServiceRow)
    .where(ServiceRow.organisation_id == bindparam("organisation"))
)
_HOME = select(ServiceRow.id, ServiceRow.organisation_id, ServiceRow.name, ServiceRow.marks).where(
    ServiceRow.id == bindparam("service")
)
_CURRENT = (
    select(
        *_PLAIN,
        ServiceRow.id.label("service_id"),
        ServiceRow.marks,
        select(ChangeRow.changed_at)
        .where(
            ChangeRow.organisation_id == bindparam("organisation"),
            ChangeRow.service == bindparam("name"),
            ChangeRow.environment == DEFAULT_ENVIRONMENT,
        )
        .order_by(ChangeRow.revision.desc())
        .limit(1)
        .scalar_subquery()
        .label("moved_at"),
        VersionRow.document,
    )
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
_CURRENT_BYTES = (
    # As bytes: damaged text may not be UTF-8, and would fail the whole unit when it is read.
    select(cast(VersionRow.document, LargeBinary).label("document"), VersionRow.digest)
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
_LAST_TWO = (
    select(ChangeRow.revision, ChangeRow.changed_at)
    .where(
        ChangeRow.organisation_id == bindparam("organisation"),
        ChangeRow.service == bindparam("name"),
    )
    .order_by(ChangeRow.revision.desc())
    .limit(2)
)
_MOVED = _LAST_TWO.where(ChangeRow.environment == DEFAULT_ENVIRONMENT)
_MARKED = _LAST_TWO.where(ChangeRow.environment.is_(None), ChangeRow.kind.in_(log.MARKING_KINDS))
_REVISED = (
    select(DefinitionRevisionRow.revision, DefinitionRevisionRow.created_at)
    .join(ConformanceRow, ConformanceRow.definition_id == DefinitionRevisionRow.definition_id)
    .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
    .where(_NAMED)
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(2)
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
    has_document = len(row) > len(_PLAIN) and row.deleted_revision is None
    text = intact(row.document, row.digest) if has_document else None
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


class _Showing:
    """Shows versions to those who see secrets (``reveal``), or to others."""

    def __init__(self, connection: Connection, reveal: bool) -> None:
        self._viewer = Viewer(connection, reveal)
        self._digests = Digests(connection)
        self._reveal = reveal

    def shown(self, home: Home, version: Version, moved_at: int = 0) -> Version:
        """``version`` with its document and its digest as they are shown, and its stamp."""
        digest = stamped = version.digest
        if home.marks:
            stamped = self._digests.of_version(home.service_id, version.number, digest)
            digest = digest if self._reveal else stamped
        text, view = version.text, ""
        if text is not None:
            shown = self._viewer.shown(home, text)
            text, view = shown.text, shown.view
        stamp = stamp_of(home.service_id, stamped)
        return replace(
            version,
            digest=digest,
            text=text,
            view=view,
            life=home.service_id,
            stamp=stamp,
            may_have_secrets=bool(home.marks),
            moved_at=moved_at,
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
    service = _require(connection, realm, name)
    born = select(ServiceRow.created_revision).where(ServiceRow.id == service.id)
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
    home = Home(service.id, realm.organisation, name, service.marks)
    found = _stored(connection, service.id, name, number)
    return _Showing(connection, realm.secrets).shown(home, found)


def _expected(journal: Journal, name: str, expect: Expect) -> _Service:
    """The service, if it is as expected. Raises ServiceNotFound or PreconditionFailed."""
    service = _require(journal.connection, journal.realm, name)
    _check(journal, service, name, expect)
    return service


def _check(journal: Journal, service: _Service, name: str, expect: Expect) -> None:
    if expect is anything:
        return
    key = _current_key(journal.connection, service.id)
    if key is None:
        etag = no_version_etag(journal.epoch, service.id)
    else:
        stamp = _stamp(journal.connection, service, key.number, key.digest)
        etag = version_etag(journal.epoch, key.number, stamp)
    times = change_times if service.marks else version_times
    standing = Standing(etag, lambda: times(journal.connection, journal.realm, name))
    if not expect(standing):
        raise PreconditionFailed(name, etag)


def _last_two(
    connection: Connection, realm: Realm, name: str, queries: Sequence[Any]
) -> tuple[int, ...]:
    asked = {"organisation": realm.organisation, "name": name}
    # What one revision does to a service is one change of it.
    found = {
        revision: moment
        for query in queries
        for revision, moment in connection.execute(query, asked)
    }
    return tuple(found[revision] for revision in sorted(found, reverse=True)[:2])


def _stamp(connection: Connection, service: _Service, number: int, digest: str) -> str:
    """What an entity tag has of a version.

    Where anything is secret it is keyed, for those who see secrets as well: a tag that one of
    them hands on is good for others, and confirms no guess.
    """
    if service.marks:
        digest = Digests(connection).of_version(service.id, number, digest)
    return stamp_of(service.id, digest)


@dataclass(frozen=True)
class _Base:
    """What a patch changes: the current document, as who changes it may work on it."""

    service: _Service
    value: dict[str, Any]
    stored: Stored | None


def _base_for_patch(journal: Journal, name: str, expect: Expect) -> _Base:
    """The current document, if it is the expected one.

    Who may not read it cannot patch it either: patches can ask what is there.
    """
    journal.actor.require("config:read")
    service = _require(journal.connection, journal.realm, name)
    key = _current_key(journal.connection, service.id)
    if key is None:
        raise NoCurrentVersion(name)
    _check(journal, service, name, expect)
    if not service.marks:
        found = _stored(journal.connection, service.id, name, key.number)
        journal.allowance.count(size=found.size)
        return _Base(service, parse_stored(found.served), None)
    base = _current_stored(journal, service, name)
    assert base is not None  # something is current
    return _Base(service, base.base(journal.realm.secrets), base)


def _changed(
    journal: Journal, name: str, base: _Base, value: dict[str, Any], limits: DocumentLimits
) -> Written:
    """Appends ``value``, which was made of ``base``."""
    document = document_of(value, limits, name)
    draft = _drafted(journal, value, base.stored) if base.stored else None
    return _insert(journal, base.service, name, document, draft)


def _current_stored(journal: Journal, service: _Service, name: str) -> Stored | None:
    """The current document as it is stored, with its secrets; None: nothing is current."""
    number = _current_number(journal, service.id)
    if number is None:
        return None
    found = _stored(journal.connection, service.id, name, number)
    journal.allowance.count(size=found.size)
    return secrets.stored(journal.connection, _home(journal, service, name), found.served)


def _home(journal: Journal, service: _Service, name: str) -> Home:
    return Home(service.id, journal.organisation, name, service.marks)


def _draft(journal: Journal, service: _Service, name: str, document: Document) -> Draft | None:
    """``document`` with what is secret in it; None where nothing can be, which costs no look."""
    if not service.marks:
        return None
    base = _current_stored(journal, service, name)
    home = _home(journal, service, name)
    marks = secrets.marks_of(journal.connection, home)
    return secrets.draft(home, marks, document.value, base, journal.realm.secrets)


def _drafted(journal: Journal, value: dict[str, Any], base: Stored) -> Draft:
    """The same of a value that was made of ``base``."""
    marks = secrets.marks_of(journal.connection, base.home)
    return secrets.draft(base.home, marks, value, base, journal.realm.secrets)


def _insert(
    journal: Journal,
    service: _Service,
    name: str,
    document: Document,
    draft: Draft | None = None,
) -> Written:
    """Checks and stores the next version; the one place where secrets are encrypted."""
    journal.actor.require(WRITE)
    number = service.last + 1
    draft = draft or _draft(journal, service, name, document)
    rule = _rule(journal, service)
    if rule is not None:
        seen = secrets.checked(document.text) if draft is None else draft.checked()
        conformance.admit(journal, rule, number, seen)
    text, digest = document.text, document.digest
    if draft is not None:
        text = draft.sealed(journal.connection, journal.now)
        digest = digest_of(text)
    journal.connection.execute(
        _INSERT_VERSION,
        {
            "service_id": service.id,
            "environment": DEFAULT_ENVIRONMENT,
            "number": number,
            "enabled": True,
            "digest": digest,
            "size": len(text.encode()),
            "author": journal.actor.name,
            "note": journal.note,
            "created_at": journal.now,
            "revision": journal.revision,
            "document": text,
        },
    )
    journal.record(log.VERSION_CREATED, name, number=number, current=number, digest=digest)
    return Written(
        name,
        number,
        _stamp(journal.connection, service, number, digest),
        number,
        service_id=service.id,
        has_secrets=draft is not None and draft.has_secrets,
    )


def _removed(journal: Journal, service: _Service, document: Document) -> tuple[str, ...]:
    """The top-level keys of what is current that ``document`` does not have.

    Who may not read is not told of them.
    """
    if not journal.actor.may("config:read"):
        return ()
    row = journal.connection.execute(_CURRENT_BYTES, {"series": service.id}).one_or_none()
    if row is None:
        return ()
    try:
        before = parse_stored(intact(bytes(row.document).decode(), row.digest))
    except (UnicodeDecodeError, DocumentDamaged):
        return ()  # it is damaged, and to write another version is how it is mended
    now = document.value if before else {}
    return tuple(key for key in before if key not in now)


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
    seen = secrets.checked(version.served)
    if service.marks:
        home = _home(journal, service, name)
        found = secrets.stored(journal.connection, home, version.served)
        seen = secrets.checked_stored(found, journal.realm.secrets)
    conformance.admit(journal, rule, number, seen, which)


def _number_before_current(connection: Connection, service_id: int, name: str) -> int:
    """The highest enabled number below the current one. Raises VersionNotFound."""
    enabled = connection.scalars(_ENABLED_NUMBERS, {"series": service_id}).all()
    if len(enabled) < 2:
        raise VersionNotFound(name, "before the current one that is enabled")
    return enabled[-2]


def _remove(journal: Journal, service_id: int, name: str) -> None:
    kept_marks.keep(journal, service_id, name)
    conformance.forget(journal.connection, service_id)
    for rows in (VersionRow.service_id, TagRow.service_id, ServiceRow.id):
        journal.connection.execute(delete(rows.class_).where(rows == service_id))
    journal.record(log.SERVICE_DELETED, name)
