"""Attaching services to the definition that they conform to, and detaching them."""

from distributed_config.errors import PreconditionFailed
from distributed_config.json_schema import covers
from distributed_config.services import versions
from distributed_config.services.conformance import rules
from distributed_config.services.definitions.read import Definition, require
from distributed_config.services.definitions.secret_pointers import (
    refuse_another,
    refuse_marked_indexes,
    require_to_unmark,
)
from distributed_config.services.documents.preconditions import Precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.reader import Reader
from distributed_config.services.versions import WriteResult
from distributed_config.wire import Document


def attach(transaction: Transaction, series: Series, name: str) -> bool:
    """Makes a service conform to a definition; whether it did not already.

    Raises NotConforming if what is current does not, and Invalid if the service conforms to
    another definition.
    """
    definition = require(transaction.reader, name)
    service_id = versions.require(transaction.reader, series)
    before = rules.rule_for_service(transaction.connection, service_id)
    if before is not None and before.definition_id == definition.id:
        return False
    refuse_another(before)
    rules.attach_definition(transaction, service_id, series.service, definition.id)
    refuse_marked_indexes(transaction, definition, service_id)
    versions.check_current(transaction, series)
    transaction.record(ChangeKind.SERVICE_ATTACHED, series.service, definition=name)
    return True


def create_service(
    transaction: Transaction, series: Series, document: Document, name: str
) -> WriteResult:
    """Makes a service that conforms to a definition from its first version on.

    Raises what ``versions.create`` does, and DefinitionNotFound.
    """
    definition = require(transaction.reader, name)
    written = versions.create(transaction, series, document, definition.id)
    refuse_marked_indexes(transaction, definition, written.service_id)
    transaction.record(ChangeKind.SERVICE_ATTACHED, series.service, definition=name)
    return written


def put_service(
    transaction: Transaction, series: Series, document: Document, name: str, expect: Precondition
) -> WriteResult:
    """Creates a service that conforms to a definition, or makes it conform with a new version.

    Raises what ``versions.put`` does, and what ``attach`` does.
    """
    definition = require(transaction.reader, name)
    found = versions.lookup(transaction.reader, series)
    if found is None:
        if not expect(None):
            raise PreconditionFailed(series.service, None)
        return create_service(transaction, series, document, name)
    before = rules.rule_for_service(transaction.connection, found)
    if before is not None and before.definition_id == definition.id:
        return versions.put(transaction, series, document, expect)
    refuse_another(before)
    # Judged before anything is marked: the tag that was read does not know of it.
    versions.check_expected(transaction, series, expect)
    # What it marks must be known before the document is stored.
    rules.attach_definition(transaction, found, series.service, definition.id)
    refuse_marked_indexes(transaction, definition, found)
    written = versions.put(transaction, series, document)
    if not written.changed:
        versions.check_current(transaction, series)
    transaction.record(ChangeKind.SERVICE_ATTACHED, series.service, definition=name)
    return written


def detach(transaction: Transaction, series: Series) -> bool:
    """Makes a service conform to nothing; whether it did conform to something."""
    service_id = versions.require(transaction.reader, series)
    before = rules.rule_for_service(transaction.connection, service_id)
    if before is None:
        return False
    transaction.actor.require(versions.PUBLISH)  # what holds it to a form is taken away
    if not covers("{}", before.schema):
        require_to_unmark(transaction, before.definition)
    rules.detach_definition(transaction.connection, service_id)
    transaction.record(ChangeKind.SERVICE_DETACHED, series.service, definition=before.definition)
    return True


def of_service(reader: Reader, series: Series) -> Definition | None:
    """The definition that a service conforms to, at its newest revision."""
    service_id = versions.require(reader, series)
    rule = rules.rule_for_service(reader.connection, service_id)
    return None if rule is None else require(reader, rule.definition)
