"""Versions added to a series: created, appended, patched, rolled back and copied.

One file: all of these verbs end in ``_insert``, which nothing else may call.
"""

from dataclasses import dataclass, replace
from typing import Any

from distributed_config.errors import (
    DocumentDamaged,
    NoCurrentVersion,
    OutOfScope,
    PreconditionFailed,
    ServiceExists,
    VersionNotFound,
)
from distributed_config.services import secrets
from distributed_config.services.conformance import rules
from distributed_config.services.documents.current import CurrentKey, find_current, in_series
from distributed_config.services.documents.preconditions import Precondition, no_precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import graph, merging
from distributed_config.services.layers.effects import Effects, hidden_secrets
from distributed_config.services.layers.merging import MARK_OF_USE
from distributed_config.services.layers.prechecks import prechecked_effects
from distributed_config.services.patches import patched
from distributed_config.services.secrets import Draft, StoredDocument, kept_marks, to_json
from distributed_config.services.versions.conformity import accept_new
from distributed_config.services.versions.preconditions import check_precondition, require_expected
from distributed_config.services.versions.read import (
    document_key,
    find_service,
    load_version,
    require_service,
)
from distributed_config.services.versions.render import version_stamp
from distributed_config.services.versions.statements import (
    CURRENT_BYTES,
    ENABLED_NUMBERS,
    INSERT_ROLLBACK,
    INSERT_SERVICE,
    INSERT_VERSION,
)
from distributed_config.services.versions.values import PUBLISH, WRITE, ServiceKey, WriteResult
from distributed_config.wire import (
    Document,
    DocumentLimits,
    digest_of,
    make_document,
    parse_stored,
)

_OPERATIONS_OF_A_CHANGE = 25
"""How many operations of a JSON Patch take about as long as one change."""


def create(
    transaction: Transaction, series: Series, document: Document, definition_id: int | None = None
) -> WriteResult:
    """Create the service with ``document`` as version 0; it may conform to a definition.

    A service that has versions in other environments only gets its first one in this one.
    Whatever was secret in a deleted service of the same name is secret in this one. Raises
    ServiceExists, OutOfScope, NotConforming, or Forbidden where the definition would unmark it.
    """
    transaction.allowance.count(size=len(document.text))
    # A name outside the actor's scope looks free even if it is taken, so this comes first.
    if not transaction.visibility.allows(series.service):
        raise OutOfScope(series.service)
    service = find_service(transaction.reader, series)
    if service is not None:
        if service.has_versions:
            raise ServiceExists(series.service)
        return _insert(transaction, service, series, document)
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
    # Attached before there is a version: what the definition marks is never stored in the clear.
    if definition_id is not None:
        rules.attach_definition(transaction, service_id, series.service, definition_id)
    # Looked up again: attaching may have changed the marks.
    created = find_service(transaction.reader, series)
    assert created is not None
    return _insert(transaction, created, series, document)


def append(
    transaction: Transaction,
    series: Series,
    document: Document,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Store ``document`` as the next version, even if it is what is current.

    Raises ServiceNotFound, PreconditionFailed, NotConforming, or InvalidDocument where the mask
    stands for a secret that does not exist.
    """
    transaction.allowance.count(size=len(document.text))
    service = require_expected(transaction, series, expect)
    removed = _removed_keys(transaction, service, series, document)
    return replace(_insert(transaction, service, series, document), removed=removed)


def put(
    transaction: Transaction,
    series: Series,
    document: Document,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Create the service, or append a version unless ``document`` is what is current already.

    Raises what ``create`` and ``append`` raise, but for ServiceExists and ServiceNotFound.
    """
    service = find_service(transaction.reader, series)
    if service is None or not service.has_versions:
        if not expect(None):
            raise PreconditionFailed(series.service, None)
        return create(transaction, series, document)
    transaction.allowance.count(size=len(document.text))
    # Judged even if nothing would change: a client that expected another version has to know.
    check_precondition(transaction, service, series, expect)
    draft = _draft(transaction, service, series, document)
    current = find_current(transaction.connection, service.id, series.environment)
    if current is not None and _is_same(current, document, draft):
        unchanged = _unchanged(transaction, service, series)
        return replace(unchanged, has_secrets=draft is not None and draft.has_secrets)
    removed = _removed_keys(transaction, service, series, document)
    return replace(_insert(transaction, service, series, document, draft), removed=removed)


def merge(
    transaction: Transaction,
    series: Series,
    patch: dict[str, Any],
    limits: DocumentLimits,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Append the current document merged with ``patch`` (RFC 7396).

    Raises NoCurrentVersion besides what ``append`` raises.
    """
    base = _base_for_patch(transaction, series, expect)
    return _append_result(transaction, series, base, merging.merge(base.value, patch), limits)


def patch(
    transaction: Transaction,
    series: Series,
    operations: list[Any],
    limits: DocumentLimits,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Append the current document changed by ``operations`` (RFC 6902): all of them, or none.

    Raises NoCurrentVersion besides what ``append`` raises, and TooMuchWork.
    """
    base = _base_for_patch(transaction, series, expect)
    transaction.allowance.count(changes=len(operations) // _OPERATIONS_OF_A_CHANGE)
    value = patched(base.value, operations, limits, transaction.allowance.check)
    return _append_result(transaction, series, base, value, limits)


def roll_back(
    transaction: Transaction,
    series: Series,
    number: int | None,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Append a copy of version ``number``, enabled or not.

    None stands for the highest enabled version below the current one. Raises VersionNotFound
    where there is none, or VersionDeleted, besides what ``append`` raises.
    """
    transaction.actor.require(PUBLISH)
    service = require_expected(transaction, series, expect)
    if number is None:
        number = _number_before_current(transaction, service, series)
    old = load_version(transaction.connection, service.id, series, number)
    document = Document(old.served, old.digest)
    transaction.allowance.count(size=len(document.text))
    draft = None
    if service.secret_marks:
        key = document_key(transaction.reader, series, service)
        base = secrets.load_stored(transaction.connection, key, old.served)
        # ``reveal=False``: secrets are copied sealed as they are, which takes no right to read
        # them.
        draft = _draft_from(transaction, base.editable(reveal=False), base)
    written = _insert(transaction, service, series, document, draft)
    # A fact of its own, because a note can be left out, and anybody can write one that says so.
    transaction.connection.execute(
        INSERT_ROLLBACK,
        {
            "service_id": service.id,
            "environment": series.environment,
            "number": written.number,
            "to_number": number,
        },
    )
    return written


def copy(transaction: Transaction, source: Series, target: Series) -> WriteResult:
    """Make the current document of ``source`` that of ``target``, unless it is so already.

    Both are series of one service. Secrets are sealed again for their new place, which takes no
    right to read them. Raises ServiceNotFound or NoCurrentVersion besides what ``put`` raises.
    """
    transaction.actor.require("config:read")
    origin = require_service(transaction.reader, source)
    current = find_current(transaction.connection, origin.id, source.environment)
    if current is None:
        raise NoCurrentVersion(source.service)
    version = load_version(transaction.connection, origin.id, source, current.number)
    document = Document(version.served, version.digest)
    if not origin.secret_marks:
        return put(transaction, target, document)
    transaction.allowance.count(size=version.size)
    service = find_service(transaction.reader, target)
    assert service is not None  # it has the other series
    key = document_key(transaction.reader, source, origin)
    base = secrets.load_stored(transaction.connection, key, version.served)
    before = _current_stored(transaction, service, target)
    # Whether the secrets are the same, only those may learn who may read them.
    if (
        before is not None
        and transaction.visibility.reads_secrets
        and to_json(before.revealed) == to_json(base.revealed)
    ):
        return _unchanged(transaction, service, target)
    key = document_key(transaction.reader, target, service)
    marks = secrets.marks_of(transaction.connection, key)
    value = base.editable(reveal=False)
    draft = secrets.draft_document(key, marks, value, base, reveal=False)
    return _insert(transaction, service, target, document, draft)


@dataclass(frozen=True)
class _Base:
    """The current document, as the actor who patches it may work on it.

    ``stored`` has its secrets; None: it can have none.
    """

    service: ServiceKey
    value: dict[str, Any]
    stored: StoredDocument | None


def _base_for_patch(transaction: Transaction, series: Series, expect: Precondition) -> _Base:
    """Return the current document, if it is the expected one."""
    # A JSON Patch can test what is stored, so patching takes the right to read.
    transaction.actor.require("config:read")
    service = require_service(transaction.reader, series)
    current = find_current(transaction.connection, service.id, series.environment)
    if current is None:
        raise NoCurrentVersion(series.service)
    check_precondition(transaction, service, series, expect)
    version = load_version(transaction.connection, service.id, series, current.number)
    transaction.allowance.count(size=version.size)
    if not service.secret_marks:
        return _Base(service, parse_stored(version.served), None)
    key = document_key(transaction.reader, series, service)
    stored = secrets.load_stored(transaction.connection, key, version.served)
    return _Base(service, stored.editable(transaction.visibility.reads_secrets), stored)


def _append_result(
    transaction: Transaction,
    series: Series,
    base: _Base,
    value: dict[str, Any],
    limits: DocumentLimits,
) -> WriteResult:
    """Append ``value``, the result of a patch on ``base``."""
    document = make_document(value, limits, series.service)
    draft = _draft_from(transaction, value, base.stored) if base.stored else None
    return _insert(transaction, base.service, series, document, draft)


def _unchanged(transaction: Transaction, service: ServiceKey, series: Series) -> WriteResult:
    """Return the result of a write that is what is current already."""
    current = find_current(transaction.connection, service.id, series.environment)
    assert current is not None
    stamp = version_stamp(transaction.connection, service, current.number, current.digest)
    return WriteResult(series, current.number, stamp, current.number, changed=False)


def _draft(
    transaction: Transaction, service: ServiceKey, series: Series, document: Document
) -> Draft | None:
    """Return ``document`` with its secrets found; None where it can have none."""
    if not service.secret_marks:
        return None
    key = document_key(transaction.reader, series, service)
    base = _current_stored(transaction, service, series)
    marks = secrets.marks_of(transaction.connection, key)
    return secrets.draft_document(
        key, marks, document.value, base, transaction.visibility.reads_secrets
    )


def _draft_from(transaction: Transaction, value: dict[str, Any], base: StoredDocument) -> Draft:
    """Return ``value``, which was derived from ``base``, with its secrets found."""
    marks = secrets.marks_of(transaction.connection, base.document_key)
    return secrets.draft_document(
        base.document_key, marks, value, base, transaction.visibility.reads_secrets
    )


def _current_stored(
    transaction: Transaction, service: ServiceKey, series: Series
) -> StoredDocument | None:
    """Return the current document with its secrets as they are stored; None: nothing is current."""
    current = find_current(transaction.connection, service.id, series.environment)
    if current is None:
        return None
    version = load_version(transaction.connection, service.id, series, current.number)
    transaction.allowance.count(size=version.size)
    key = document_key(transaction.reader, series, service)
    return secrets.load_stored(transaction.connection, key, version.served)


def _is_same(current: CurrentKey, document: Document, draft: Draft | None) -> bool:
    # Equal secrets are sealed differently each time, so digests of documents with secrets differ.
    return current.digest == document.digest if draft is None else draft.is_unchanged


def _insert(
    transaction: Transaction,
    service: ServiceKey,
    series: Series,
    document: Document,
    draft: Draft | None = None,
) -> WriteResult:
    """Check and store ``document`` as the next version.

    All verbs that add a version end here, and secrets are encrypted nowhere else.
    """
    # Required here, so that no verb can add a version without it.
    transaction.actor.require(WRITE)
    number = service.last + 1
    draft = draft or _draft(transaction, service, series, document)
    effects = _effects(transaction, service, series, document)
    accept_new(transaction, service, series, document, draft, is_layer=effects is not None)
    text, digest = document.text, document.digest
    # Sealed after the check: a sealed value would conform to no rule for the value itself.
    if draft is not None:
        text = draft.seal(transaction.connection, transaction.now)
        digest = digest_of(text)
    transaction.connection.execute(
        INSERT_VERSION,
        {
            "service_id": service.id,
            "environment": series.environment,
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
        ChangeKind.VERSION_CREATED,
        series.service,
        environment=series.environment,
        number=number,
        current=number,
        digest=digest,
    )
    if effects is not None:
        hidden = None if draft is None else hidden_secrets(draft, series.service)
        effects.settle(service.id, hidden)
    return WriteResult(
        series,
        number,
        version_stamp(transaction.connection, service, number, digest),
        number,
        service_id=service.id,
        has_secrets=draft is not None and draft.has_secrets,
    )


def _effects(
    transaction: Transaction, service: ServiceKey, series: Series, document: Document
) -> Effects | None:
    """Return the effects of a new version; None where none of them could be refused.

    Most writes are spared the comparison: plain documents can always be merged.
    """
    if MARK_OF_USE not in document.text and (
        not service.has_layers or _stands_alone(transaction, service, series)
    ):
        return None
    # A document with secrets is checked where they are open, which is here alone.
    if transaction.prechecks is not None and not service.secret_marks:
        return prechecked_effects(transaction, series, document.text)
    return Effects.of_series(transaction, series)


def _stands_alone(transaction: Transaction, service: ServiceKey, series: Series) -> bool:
    """Whether a write to a service can break nothing, nor needs the right to publish.

    A rehearsal is told all the same what it would change.
    """
    return not (
        transaction.is_rehearsal
        or service.definition_id is not None
        or not transaction.actor.may(PUBLISH)
        or graph.is_connected(
            transaction.connection, transaction.organisation, series.service, service.id
        )
    )


def _removed_keys(
    transaction: Transaction, service: ServiceKey, series: Series, document: Document
) -> tuple[str, ...]:
    """Return the top-level keys of the current version that ``document`` does not have."""
    # Names of keys are content: an actor who may write but not read learns none.
    if not transaction.actor.may("config:read"):
        return ()
    parameters = in_series(service.id, series.environment)
    row = transaction.connection.execute(CURRENT_BYTES, parameters).one_or_none()
    if row is None:
        return ()
    try:
        before = parse_stored(intact(bytes(row.document).decode(), row.digest))
    except (UnicodeDecodeError, DocumentDamaged):
        # Another version is how a damaged one is repaired, so it must not be refused.
        return ()
    now = document.value if before else {}
    return tuple(key for key in before if key not in now)


def _number_before_current(transaction: Transaction, service: ServiceKey, series: Series) -> int:
    """Return the highest enabled number below the current one. Raises VersionNotFound."""
    parameters = in_series(service.id, series.environment)
    enabled = transaction.connection.scalars(ENABLED_NUMBERS, parameters).all()
    if len(enabled) < 2:
        raise VersionNotFound(series.service, "before the current one that is enabled")
    return enabled[-2]
