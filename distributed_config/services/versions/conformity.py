"""The check that a version conforms to its service's definition before it becomes current."""

from distributed_config.services import secrets
from distributed_config.services.conformance import rules
from distributed_config.services.conformance.rules import Rule
from distributed_config.services.documents.current import find_current
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.secrets import Draft
from distributed_config.services.versions.read import document_key, load_version, require_service
from distributed_config.services.versions.values import ServiceKey
from distributed_config.wire import Document


def check_current(transaction: Transaction, series: Series) -> None:
    """Raise NotConforming unless the current version conforms to the newly attached definition."""
    service = require_service(transaction.reader, series)
    key = find_current(transaction.connection, service.id, series.environment)
    number = None if key is None else key.number
    accept_stored(transaction, service, series, number, f"Version {number}, which is current,")


def accept_stored(
    transaction: Transaction, service: ServiceKey, series: Series, number: int | None, which: str
) -> None:
    """Let the stored version ``number`` become current, or nothing if it is None.

    ``which`` is the subject of the error text. Raises NotConforming.
    """
    rule = _rule(transaction, service)
    if rule is None:
        return
    if number is None:
        rules.clear(transaction, rule)
        return
    version = load_version(transaction.connection, service.id, series, number)
    document = secrets.validation_input(version.served)
    if service.secret_marks:
        key = document_key(transaction.reader, series, service)
        base = secrets.load_stored(transaction.connection, key, version.served)
        document = secrets.validation_input_of_stored(base, transaction.visibility.reads_secrets)
    rules.accept(transaction, rule, series.environment, number, document, which=which)


def accept_new(
    transaction: Transaction,
    service: ServiceKey,
    series: Series,
    document: Document,
    draft: Draft | None,
) -> None:
    """Let ``document`` become the next version. Raises NotConforming.

    ``draft`` is the document with its secrets found; None: it can have none.
    """
    rule = _rule(transaction, service)
    if rule is not None:
        checked = (
            secrets.validation_input(document.text) if draft is None else draft.validation_input()
        )
        rules.accept(transaction, rule, series.environment, service.last + 1, checked)


def _rule(transaction: Transaction, service: ServiceKey) -> Rule | None:
    # The service was looked up with its definition's id: without one there is no second query.
    if service.definition_id is None:
        return None
    return rules.rule_for_service(transaction.connection, service.id)
