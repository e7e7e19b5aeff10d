"""The check that a version conforms to its service's definition before it becomes current."""

from distributed_config.services import secrets
from distributed_config.services.conformance import rules
from distributed_config.services.conformance.rules import Rule
from distributed_config.services.documents.current import find_current
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import effects, environments
from distributed_config.services.secrets import Draft
from distributed_config.services.versions.read import document_key, find_service, load_version
from distributed_config.services.versions.values import ServiceKey
from distributed_config.wire import Document


def check_current(transaction: Transaction, series: Series) -> None:
    """Raise NotConforming unless what is current conforms to the newly attached definition."""
    service = find_service(transaction.reader, series)
    assert service is not None  # it was just attached
    if not service.has_layers:
        _check_series(transaction, service, series)
        return
    # A definition is that of the service in all environments.
    for environment in environments.names(transaction.connection, transaction.organisation):
        _check_series(transaction, service, Series(series.service, environment))
    effects.check_rule(transaction, series.service)


def _check_series(transaction: Transaction, service: ServiceKey, series: Series) -> None:
    key = find_current(transaction.connection, service.id, series.environment)
    if key is not None:
        which = f"Version {key.number}, which is current,"
        accept_stored(transaction, service, series, key.number, which)


def accept_stored(
    transaction: Transaction, service: ServiceKey, series: Series, number: int | None, which: str
) -> None:
    """Let the stored version ``number`` become current, or nothing if it is None.

    ``which`` is the subject of the error text. Raises NotConforming. Where there are layers, what
    they make together is checked by ``layers.effects``.
    """
    rule = _rule(transaction, service)
    if rule is None:
        return
    if number is None:
        rules.clear(transaction, rule, series.environment)
        return
    version = load_version(transaction.connection, service.id, series, number)
    document = secrets.validation_input(version.served)
    if service.secret_marks:
        key = document_key(transaction.reader, series, service)
        base = secrets.load_stored(transaction.connection, key, version.served)
        document = secrets.validation_input_of_stored(base, transaction.visibility.reads_secrets)
    if service.has_layers and rule.applies_to == rules.RESOLVED:
        rules.record_check(transaction, rule, series.environment, number, document.masked)
    else:
        rules.accept(transaction, rule, series.environment, number, document, which=which)


def accept_new(
    transaction: Transaction,
    service: ServiceKey,
    series: Series,
    document: Document,
    draft: Draft | None,
    *,
    is_layer: bool,
) -> None:
    """Let ``document`` become the next version. Raises NotConforming.

    ``draft`` is the document with its secrets found; None: it can have none. ``is_layer`` says that
    ``layers.effects`` checks what it and others make together.
    """
    rule = _rule(transaction, service)
    if rule is None:
        return
    checked = secrets.validation_input(document.text) if draft is None else draft.validation_input()
    number = service.last + 1
    if is_layer and rule.applies_to == rules.RESOLVED:
        rules.record_check(transaction, rule, series.environment, number, checked.masked)
    else:
        rules.accept(transaction, rule, series.environment, number, checked)


def _rule(transaction: Transaction, service: ServiceKey) -> Rule | None:
    # The service was looked up with its definition's id: without one there is no second query.
    if service.definition_id is None:
        return None
    return rules.rule_for_service(transaction.connection, service.id)
