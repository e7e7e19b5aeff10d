"""Services attached to the definition that they conform to, and detached from it."""

from distributed_config.errors import PreconditionFailed, ServiceExists
from distributed_config.json_schema import covers
from distributed_config.services import versions
from distributed_config.services.conformance import rules
from distributed_config.services.definitions.read import Definition, require
from distributed_config.services.definitions.secret_pointers import (
    refuse_another,
    refuse_marked_indexes,
    require_to_unmark,
)
from distributed_config.services.documents.preconditions import Precondition, no_precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.reader import Reader
from distributed_config.services.versions import WriteResult
from distributed_config.wire import Document


def attach(transaction: Transaction, series: Series, name: str) -> bool:
    """Make a service conform to a definition. Returns False if it does already.

    Raises NotConforming if the current version does not, and Invalid if the service conforms to
    another definition, or the definition has an index on one of the service's secrets.
    """
    transaction.actor.require_every_environment()
    definition = require(transaction.reader, name)
    service_id = versions.require(transaction.reader, series)
    before = rules.rule_for_service(transaction.connection, service_id)
    if before is not None and before.definition_id == definition.id:
        return False
    refuse_another(before)
    # Attached first: the marks of the definition decide what of the current version is checked,
    # and what of it an index may hold. What does not conform is rolled back.
    rules.attach_definition(transaction, service_id, series.service, definition.id)
    refuse_marked_indexes(transaction, definition, service_id)
    versions.check_current(transaction, series)
    transaction.record(ChangeKind.SERVICE_ATTACHED, series.service, definition=name)
    return True


def create_service(
    transaction: Transaction, series: Series, document: Document, name: str
) -> WriteResult:
    """Create a service that conforms to a definition from its first version on.

    Raises what ``versions.create`` raises, and DefinitionNotFound.
    """
    if versions.lookup(transaction.reader, series) is not None:
        return _create_series(transaction, series, document, name)
    definition = require(transaction.reader, name)
    written = versions.create(transaction, series, document, definition.id)
    refuse_marked_indexes(transaction, definition, written.service_id)
    transaction.record(ChangeKind.SERVICE_ATTACHED, series.service, definition=name)
    return written


def _create_series(
    transaction: Transaction, series: Series, document: Document, name: str
) -> WriteResult:
    """Give a service that has versions elsewhere its first one here. Raises ServiceExists."""
    if series.environment in versions.environments_of(
        transaction.connection, versions.require(transaction.reader, series)
    ):
        raise ServiceExists(series.service)
    return put_service(transaction, series, document, name, no_precondition)


def put_service(
    transaction: Transaction, series: Series, document: Document, name: str, expect: Precondition
) -> WriteResult:
    """Create a service that conforms to a definition, or make it conform with a new version.

    Raises what ``versions.put`` raises, and what ``attach`` raises.
    """
    definition = require(transaction.reader, name)
    service_id = versions.lookup(transaction.reader, series)
    if service_id is None:
        if not expect(None):
            raise PreconditionFailed(series.service, None)
        return create_service(transaction, series, document, name)
    before = rules.rule_for_service(transaction.connection, service_id)
    if before is not None and before.definition_id == definition.id:
        return versions.put(transaction, series, document, expect)
    refuse_another(before)
    # Judged before anything is marked: the client's entity tag is of the version without marks.
    versions.check_expected(transaction, series, expect)
    transaction.actor.require_every_environment()
    # Attached before the document is stored: what the definition marks is never in the clear.
    rules.attach_definition(transaction, service_id, series.service, definition.id)
    refuse_marked_indexes(transaction, definition, service_id)
    written = versions.put(transaction, series, document)
    if not written.changed:
        versions.check_current(transaction, series)
    transaction.record(ChangeKind.SERVICE_ATTACHED, series.service, definition=name)
    return written


def detach(transaction: Transaction, series: Series) -> bool:
    """Detach a service from its definition. Returns False if it has none.

    Raises ServiceNotFound, or Forbidden without the right to publish or, where the definition
    marks secrets, to read them.
    """
    transaction.actor.require_every_environment()
    service_id = versions.require(transaction.reader, series)
    before = rules.rule_for_service(transaction.connection, service_id)
    if before is None:
        return False
    # From here on every writer may store anything, so it takes more than the right to write.
    transaction.actor.require(versions.PUBLISH)
    # Without a definition nothing is marked but by the service's own pointers.
    if not covers("{}", before.schema):
        require_to_unmark(transaction, before.definition)
    rules.detach_definition(transaction.connection, service_id)
    transaction.record(ChangeKind.SERVICE_DETACHED, series.service, definition=before.definition)
    return True


def of_service(reader: Reader, series: Series) -> Definition | None:
    """Return the definition of a service at its newest revision, or None if it has none."""
    service_id = versions.require(reader, series)
    rule = rules.rule_for_service(reader.connection, service_id)
    return None if rule is None else require(reader, rule.definition)
