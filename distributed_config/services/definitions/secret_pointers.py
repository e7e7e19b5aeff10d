"""The pointers of a service: places in its documents that are secret besides the definition's."""

import re
from collections.abc import Sequence

from distributed_config.errors import Forbidden, Invalid, Problem
from distributed_config.services import secrets, versions
from distributed_config.services.conformance import rules
from distributed_config.services.conformance.rules import Rule
from distributed_config.services.definitions.read import Definition, require
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.permissions import READ_SECRET
from distributed_config.services.reader import Reader
from distributed_config.wire.paths import may_lead_into

MOST_POINTERS = 100

_LONGEST_POINTER = 500

# RFC 6901, but for "", which would be the whole document, and for what cannot be stored.
_POINTER = re.compile(r"(?:/(?:[^~/\x00-\x1f\ud800-\udfff]|~[01])*)+")


def set_secret_pointers(transaction: Transaction, series: Series, pointers: Sequence[str]) -> bool:
    """Make exactly these places of a service's documents secret.

    Returns whether that changed anything. Raises Invalid for malformed pointers and for those that
    lead to an indexed property, and Forbidden if an actor without the right to read secrets
    removes one.
    """
    transaction.actor.require_every_environment()
    service_id = versions.require(transaction.reader, series)
    new = list(dict.fromkeys(pointers))
    before = secret_pointers(transaction.reader, series)
    _refuse_malformed(new)
    # What was stored before a place was marked is in the clear, so without its pointer it shows.
    if set(before) - set(new):
        transaction.actor.require(READ_SECRET)
    if new == before:
        return False
    secrets.set_pointers(transaction.connection, service_id, new, transaction.now)
    rule = rules.rule_for_service(transaction.connection, service_id)
    if rule is not None:
        definition = require(transaction.reader, rule.definition)
        refuse_marked_indexes(transaction, definition, service_id)
    transaction.record(ChangeKind.SERVICE_MARKED, series.service, about=", ".join(new)[:500])
    return True


def _refuse_malformed(pointers: Sequence[str]) -> None:
    problems = []
    for position, pointer in enumerate(pointers):
        if not _POINTER.fullmatch(pointer) or len(pointer) > _LONGEST_POINTER:
            message = (
                "A JSON pointer to a place inside the document is needed, as in /db/password or "
                f"/users/*/key, of at most {_LONGEST_POINTER} characters."
            )
            problems.append(Problem(f"/pointers/{position}", message, "pointer"))
    if len(pointers) > MOST_POINTERS:
        message = f"A service has at most {MOST_POINTERS} pointers."
        problems.append(Problem("/pointers", message, "limit"))
    if problems:
        raise Invalid.from_problems(problems)


def secret_pointers(reader: Reader, series: Series) -> list[str]:
    """Return the pointers of a service to what is secret in it. Raises ServiceNotFound."""
    return secrets.pointers(reader.connection, versions.require(reader, series))


def refuse_another(rule: Rule | None) -> None:
    """Raise Invalid if a service already has the rule of a definition."""
    if rule is not None:
        message = f"It conforms to the definition {rule.definition!r}; detach it from that first."
        raise Invalid.from_problems([Problem("", message, "definition", "definition")])


def refuse_marked_indexes(
    transaction: Transaction, definition: Definition, service_id: int
) -> None:
    """Raise Invalid if a pointer of the service marks a property that the definition indexes."""
    pointers = secrets.pointers(transaction.connection, service_id)
    own = [secrets.tokens_of(pointer) for pointer in pointers]
    problems = [
        Problem("", f"{path!r} is indexed by {definition.name!r}, and cannot be secret.", "secret")
        for path in definition.indexes
        if any(may_lead_into(path, tokens) for tokens in own)
    ]
    if problems:
        raise Invalid.from_problems(problems)


def require_to_unmark(transaction: Transaction, definition: str) -> None:
    """Raise Forbidden unless the actor may read secrets, and so may unmark some."""
    # What was stored before it was marked is in the clear, and only the mark hides it.
    if not transaction.actor.may(READ_SECRET):
        raise Forbidden(
            f"The definition {definition!r} marks secrets, and this would unmark some: that takes "
            f"{READ_SECRET}. Keep every x-secret, or ask who administers your organisation."
        )


def refuse_indexes_on_marked(transaction: Transaction, name: str) -> None:
    """Raise Invalid if the definition now indexes what a pointer of one of its services marks."""
    definition = require(transaction.reader, name)
    for service_id in secrets.services_with_pointers(transaction.connection, definition.id):
        refuse_marked_indexes(transaction, definition, service_id)
