"""The versions of a service: created, appended, patched, turned on and off, deleted."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete

from distributed_config.errors import (
    DocumentDamaged,
    NoCurrentVersion,
    OutOfScope,
    PreconditionFailed,
    ServiceExists,
    StillEnabled,
    VersionNotFound,
)
from distributed_config.models import ServiceRow, TagRow, VersionRow
from distributed_config.services import secrets
from distributed_config.services.conformance import rules
from distributed_config.services.conformance.rules import Rule
from distributed_config.services.documents.preconditions import (
    Precondition,
    Standing,
    no_precondition,
)
from distributed_config.services.documents.series import Series
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.patches import merged, patched
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.secrets import Draft, StoredDocument, kept_marks
from distributed_config.services.versions.read import (
    change_times,
    current_key,
    current_number,
    document_key,
    find_service,
    load_version,
    require_service,
    stamp_of_version,
    version_times,
)
from distributed_config.services.versions.statements import (
    CURRENT_BYTES,
    DISABLE_ALL,
    ENABLE,
    ENABLED_NUMBERS,
    ERASE,
    INSERT_SERVICE,
    INSERT_VERSION,
)
from distributed_config.services.versions.values import PUBLISH, WRITE, ServiceKey, WriteResult
from distributed_config.wire import (
    Document,
    DocumentLimits,
    absent_etag,
    digest_of,
    make_document,
    parse_stored,
    version_etag,
)

_OPERATIONS_OF_A_CHANGE = 25


"""How many operations of a JSON Patch take about as long as one change."""


def create(
    transaction: Transaction, series: Series, document: Document, definition_id: int | None = None
) -> WriteResult:
    """Makes the service ``name`` with ``document`` as version 0; it may conform to a definition.

    What was secret in one of its name that was deleted is secret in it. Raises ServiceExists,
    OutOfScope, NotConforming, or Forbidden where that would be less.
    """
    transaction.allowance.count(size=len(document.text))
    if not transaction.visibility.allows(series.service):
        raise OutOfScope(series.service)
    if find_service(transaction.reader, series) is not None:
        raise ServiceExists(series.service)
    marks = kept_marks.restore(transaction, series.service, definition_id)
    service_id = transaction.connection.execute(
        INSERT_SERVICE,
        {
            "organisation_id": transaction.organisation,
            "name": series.service,
            "created_at": transaction.now,
            "created_revision": transaction.revision,
            "secret_marks": marks,
        },
    ).scalar_one()
    transaction.record(ChangeKind.SERVICE_CREATED, series.service)
    if definition_id is None:
        return _insert(transaction, ServiceKey(service_id, -1, None, marks), series, document)
    # Before there is anything to keep: what the definition marks is never stored in the clear.
    rules.attach_definition(transaction, service_id, series.service, definition_id)
    service = require_service(transaction.reader, series)._replace(last=-1)
    return _insert(transaction, service, series, document)


def append(
    transaction: Transaction,
    series: Series,
    document: Document,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Makes ``document`` the next version.

    Raises ServiceNotFound, PreconditionFailed, or InvalidDocument where it has the mask in place
    of a secret that is not there.
    """
    transaction.allowance.count(size=len(document.text))
    service = _expected(transaction, series, expect)
    removed = _removed(transaction, service, document)
    return replace(_insert(transaction, service, series, document), removed=removed)


def put(
    transaction: Transaction,
    series: Series,
    document: Document,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Creates the service or appends a version, unless ``document`` is what is current already."""
    found = find_service(transaction.reader, series)
    if found is None:
        if not expect(None):
            raise PreconditionFailed(series.service, None)
        return create(transaction, series, document)
    transaction.allowance.count(size=len(document.text))
    current = current_key(transaction.connection, found.id)
    _check(transaction, found, series, expect)
    draft = _draft(transaction, found, series, document)
    same = draft.is_unchanged if draft else current and current.digest == document.digest
    if current is not None and same:
        return WriteResult(
            series.service,
            current.number,
            stamp_of_version(transaction.connection, found, current.number, current.digest),
            current.number,
            changed=False,
            has_secrets=draft is not None and draft.has_secrets,
        )
    removed = _removed(transaction, found, document)
    return replace(_insert(transaction, found, series, document, draft), removed=removed)


def merge(
    transaction: Transaction,
    series: Series,
    patch: dict[str, Any],
    limits: DocumentLimits,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Appends the current document merged with ``patch`` (RFC 7396)."""
    found = _base_for_patch(transaction, series, expect)
    return _changed(transaction, series, found, merged(found.value, patch), limits)


def patch(
    transaction: Transaction,
    series: Series,
    operations: list[Any],
    limits: DocumentLimits,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Appends the current document changed by ``operations`` (RFC 6902), all of them or none."""
    found = _base_for_patch(transaction, series, expect)
    transaction.allowance.count(changes=len(operations) // _OPERATIONS_OF_A_CHANGE)
    value = patched(found.value, operations, limits, transaction.allowance.check)
    return _changed(transaction, series, found, value, limits)


def roll_back(
    transaction: Transaction,
    series: Series,
    number: int | None,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Appends a copy of version ``number``, disabled or not.

    ``None`` stands for the enabled version before the current one. Raises
    VersionNotFound where there is none.
    """
    transaction.actor.require(PUBLISH)
    service = _expected(transaction, series, expect)
    if number is None:
        number = _number_before_current(transaction.connection, service.id, series)
    old = load_version(transaction.connection, service.id, series, number)
    document = Document(old.served, old.digest)
    transaction.allowance.count(size=len(document.text))
    if not service.secret_marks:
        return _insert(transaction, service, series, document)
    base = secrets.load_stored(
        transaction.connection, document_key(transaction, service, series), old.served
    )
    draft = _drafted(transaction, base.editable(reveal=False), base)
    return _insert(transaction, service, series, document, draft)


def set_enabled(
    transaction: Transaction,
    series: Series,
    number: int,
    enabled: bool,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Turns a version on or off; current moves by its one rule."""
    transaction.actor.require(PUBLISH)
    service = _expected(transaction, series, expect)
    version = load_version(transaction.connection, service.id, series, number)
    stamp = stamp_of_version(transaction.connection, service, number, version.digest)
    before = current_number(transaction, service.id)
    if version.enabled == enabled:
        return WriteResult(series.service, number, stamp, before, changed=False)
    transaction.connection.execute(ENABLE, {"series": service.id, "which": number, "to": enabled})
    current = current_number(transaction, service.id)
    if current != before:
        which = f"Version {current}, which would become current,"
        _admit_stored(transaction, service, series, current, which)
    kind = ChangeKind.VERSION_ENABLED if enabled else ChangeKind.VERSION_DISABLED
    transaction.record(kind, series.service, number=number, current=current, digest=version.digest)
    return WriteResult(series.service, number, stamp, current)


def delete_version(
    transaction: Transaction, series: Series, number: int, expect: Precondition = no_precondition
) -> WriteResult:
    """Deletes a disabled version's document; its number stays taken. Raises StillEnabled."""
    transaction.actor.require(PUBLISH)
    service = _expected(transaction, series, expect)
    version = load_version(transaction.connection, service.id, series, number)
    if version.enabled:
        raise StillEnabled(
            f"Version {number} of {series.service!r} is enabled. Disable it first: "
            f"PATCH …&version={number}&enabled=false."
        )
    transaction.connection.execute(
        ERASE, {"series": service.id, "which": number, "at": transaction.revision}
    )
    current = current_number(transaction, service.id)
    transaction.record(
        ChangeKind.VERSION_DELETED,
        series.service,
        number=number,
        current=current,
        digest=version.digest,
    )
    stamp = stamp_of_version(transaction.connection, service, number, version.digest)
    return WriteResult(series.service, number, stamp, current)


def delete_service(
    transaction: Transaction, series: Series, expect: Precondition = no_precondition
) -> None:
    """Deletes the service and all its versions, if none is enabled. Raises StillEnabled."""
    transaction.actor.require(PUBLISH)
    service_id = _expected(transaction, series, expect).id
    enabled = transaction.connection.scalars(ENABLED_NUMBERS, {"series": service_id}).all()
    if enabled:
        shown = ", ".join(map(str, enabled[:10])) + (" …" if len(enabled) > 10 else "")
        raise StillEnabled(
            f"The service {series.service!r} has enabled versions ({shown}). Disable each first: "
            f"PATCH …&version={enabled[0]}&enabled=false."
        )
    _remove(transaction, service_id, series)


def disable_service(
    transaction: Transaction, series: Series, expect: Precondition = no_precondition
) -> int:
    """Disables every version, so that nothing is served and all can be again; what was current.

    Raises NoCurrentVersion if nothing is, or PreconditionFailed.
    """
    transaction.actor.require(PUBLISH)
    service = _expected(transaction, series, expect)
    before = current_key(transaction.connection, service.id)
    if before is None:
        raise NoCurrentVersion(series.service)
    transaction.connection.execute(DISABLE_ALL, {"series": service.id})
    _admit_stored(transaction, service, series, None, "")
    number: int = before.number
    transaction.record(
        ChangeKind.SERVICE_DISABLED, series.service, number=number, digest=before.digest
    )
    return number


def delete_with_versions(
    transaction: Transaction, series: Series, expect: Precondition = no_precondition
) -> None:
    """Deletes the service and all its versions, enabled or not; what was served is served no more.

    For those who were told to, as when a definition goes with its services.
    """
    transaction.actor.require(PUBLISH)
    service_id = _expected(transaction, series, expect).id
    _remove(transaction, service_id, series)


def check_expected(transaction: Transaction, series: Series, expect: Precondition) -> None:
    """Raises PreconditionFailed unless the service is as expected."""
    _expected(transaction, series, expect)


def check_current(transaction: Transaction, series: Series) -> None:
    """Makes sure that what is current conforms to the service's definition, from now its own."""
    service = require_service(transaction.reader, series)
    number = current_number(transaction, service.id)
    _admit_stored(transaction, service, series, number, f"Version {number}, which is current,")


def _expected(transaction: Transaction, series: Series, expect: Precondition) -> ServiceKey:
    """The service, if it is as expected. Raises ServiceNotFound or PreconditionFailed."""
    service = require_service(transaction.reader, series)
    _check(transaction, service, series, expect)
    return service


def _check(
    transaction: Transaction, service: ServiceKey, series: Series, expect: Precondition
) -> None:
    if expect is no_precondition:
        return
    key = current_key(transaction.connection, service.id)
    if key is None:
        etag = absent_etag(transaction.epoch, service.id)
    else:
        stamp = stamp_of_version(transaction.connection, service, key.number, key.digest)
        etag = version_etag(transaction.epoch, key.number, stamp)
    times = change_times if service.secret_marks else version_times
    standing = Standing(etag, lambda: times(transaction.reader, series))
    if not expect(standing):
        raise PreconditionFailed(series.service, etag)


@dataclass(frozen=True)
class _Base:
    """What a patch changes: the current document, as who changes it may work on it."""

    service: ServiceKey
    value: dict[str, Any]
    stored: StoredDocument | None


def _base_for_patch(transaction: Transaction, series: Series, expect: Precondition) -> _Base:
    """The current document, if it is the expected one.

    Who may not read it cannot patch it either: patches can ask what is there.
    """
    transaction.actor.require("config:read")
    service = require_service(transaction.reader, series)
    key = current_key(transaction.connection, service.id)
    if key is None:
        raise NoCurrentVersion(series.service)
    _check(transaction, service, series, expect)
    if not service.secret_marks:
        found = load_version(transaction.connection, service.id, series, key.number)
        transaction.allowance.count(size=found.size)
        return _Base(service, parse_stored(found.served), None)
    base = _current_stored(transaction, service, series)
    assert base is not None  # something is current
    return _Base(service, base.editable(transaction.visibility.reads_secrets), base)


def _changed(
    transaction: Transaction,
    series: Series,
    base: _Base,
    value: dict[str, Any],
    limits: DocumentLimits,
) -> WriteResult:
    """Appends ``value``, which was made of ``base``."""
    document = make_document(value, limits, series.service)
    draft = _drafted(transaction, value, base.stored) if base.stored else None
    return _insert(transaction, base.service, series, document, draft)


def _current_stored(
    transaction: Transaction, service: ServiceKey, series: Series
) -> StoredDocument | None:
    """The current document as it is stored, with its secrets; None: nothing is current."""
    number = current_number(transaction, service.id)
    if number is None:
        return None
    found = load_version(transaction.connection, service.id, series, number)
    transaction.allowance.count(size=found.size)
    return secrets.load_stored(
        transaction.connection, document_key(transaction, service, series), found.served
    )


def _draft(
    transaction: Transaction, service: ServiceKey, series: Series, document: Document
) -> Draft | None:
    """``document`` with what is secret in it; None where nothing can be, which costs no look."""
    if not service.secret_marks:
        return None
    base = _current_stored(transaction, service, series)
    home = document_key(transaction, service, series)
    marks = secrets.marks_of(transaction.connection, home)
    return secrets.draft_document(
        home, marks, document.value, base, transaction.visibility.reads_secrets
    )


def _drafted(transaction: Transaction, value: dict[str, Any], base: StoredDocument) -> Draft:
    """The same of a value that was made of ``base``."""
    marks = secrets.marks_of(transaction.connection, base.document_key)
    return secrets.draft_document(
        base.document_key, marks, value, base, transaction.visibility.reads_secrets
    )


def _insert(
    transaction: Transaction,
    service: ServiceKey,
    series: Series,
    document: Document,
    draft: Draft | None = None,
) -> WriteResult:
    """Checks and stores the next version; the one place where secrets are encrypted."""
    transaction.actor.require(WRITE)
    number = service.last + 1
    draft = draft or _draft(transaction, service, series, document)
    rule = _rule(transaction, service)
    if rule is not None:
        seen = (
            secrets.validation_input(document.text) if draft is None else draft.validation_input()
        )
        rules.accept(transaction, rule, number, seen)
    text, digest = document.text, document.digest
    if draft is not None:
        text = draft.seal(transaction.connection, transaction.now)
        digest = digest_of(text)
    transaction.connection.execute(
        INSERT_VERSION,
        {
            "service_id": service.id,
            "environment": DEFAULT_ENVIRONMENT,
            "number": number,
            "enabled": True,
            "digest": digest,
            "size": len(text.encode()),
            "author": transaction.actor.name,
            "note": transaction.note,
            "created_at": transaction.now,
            "revision": transaction.revision,
            "document": text,
        },
    )
    transaction.record(
        ChangeKind.VERSION_CREATED, series.service, number=number, current=number, digest=digest
    )
    return WriteResult(
        series.service,
        number,
        stamp_of_version(transaction.connection, service, number, digest),
        number,
        service_id=service.id,
        has_secrets=draft is not None and draft.has_secrets,
    )


def _removed(transaction: Transaction, service: ServiceKey, document: Document) -> tuple[str, ...]:
    """The top-level keys of what is current that ``document`` does not have.

    Who may not read is not told of them.
    """
    if not transaction.actor.may("config:read"):
        return ()
    row = transaction.connection.execute(CURRENT_BYTES, {"series": service.id}).one_or_none()
    if row is None:
        return ()
    try:
        before = parse_stored(intact(bytes(row.document).decode(), row.digest))
    except (UnicodeDecodeError, DocumentDamaged):
        return ()  # it is damaged, and to write another version is how it is mended
    now = document.value if before else {}
    return tuple(key for key in before if key not in now)


def _rule(transaction: Transaction, service: ServiceKey) -> Rule | None:
    """What the service must satisfy; who conforms to nothing costs no look-up."""
    if service.definition_id is None:
        return None
    return rules.rule_for_service(transaction.connection, service.id)


def _admit_stored(
    transaction: Transaction, service: ServiceKey, series: Series, number: int | None, which: str
) -> None:
    """Makes sure that version ``number``, if it is one, may be current."""
    rule = _rule(transaction, service)
    if rule is None:
        return
    if number is None:
        rules.clear(transaction, rule)
        return
    version = load_version(transaction.connection, service.id, series, number)
    seen = secrets.validation_input(version.served)
    if service.secret_marks:
        home = document_key(transaction, service, series)
        found = secrets.load_stored(transaction.connection, home, version.served)
        seen = secrets.validation_input_of_stored(found, transaction.visibility.reads_secrets)
    rules.accept(transaction, rule, number, seen, which)


def _number_before_current(connection: Connection, service_id: int, series: Series) -> int:
    """The highest enabled number below the current one. Raises VersionNotFound."""
    enabled = connection.scalars(ENABLED_NUMBERS, {"series": service_id}).all()
    if len(enabled) < 2:
        raise VersionNotFound(series.service, "before the current one that is enabled")
    return enabled[-2]


def _remove(transaction: Transaction, service_id: int, series: Series) -> None:
    kept_marks.keep(transaction, service_id, series.service)
    rules.delete_conformance(transaction.connection, service_id)
    for rows in (VersionRow.service_id, TagRow.service_id, ServiceRow.id):
        transaction.connection.execute(delete(rows.class_).where(rows == service_id))
    transaction.record(ChangeKind.SERVICE_DELETED, series.service)
