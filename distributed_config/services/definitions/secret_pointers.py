"""Places in the documents of one service that are secret, besides those of its definition."""

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


_POINTER = re.compile(r"(?:/(?:[^~/\x00-\x1f\ud800-\udfff]|~[01])*)+")


def set_secret_pointers(transaction: Transaction, series: Series, pointers: Sequence[str]) -> bool:
    """Makes exactly these places of a service's documents secret; whether that changed anything.

    Raises Invalid for pointers that cannot be, or lead to what is indexed, and Forbidden if one
    is taken away by an actor who may not read secrets.
    """
    service_id = versions.require(transaction.reader, series)
    wanted = list(dict.fromkeys(pointers))
    before = secret_pointers(transaction.reader, series)
    _refuse_pointers(wanted)
    if set(before) - set(wanted):
        transaction.actor.require(READ_SECRET)
    if wanted == before:
        return False
    secrets.set_pointers(transaction.connection, service_id, wanted, transaction.now)
    rule = rules.rule_for_service(transaction.connection, service_id)
    if rule is not None:
        definition = require(transaction.reader, rule.definition)
        refuse_marked_indexes(transaction, definition, service_id)
    transaction.record(ChangeKind.SERVICE_MARKED, series.service, about=", ".join(wanted)[:500])
    return True


def _refuse_pointers(pointers: Sequence[str]) -> None:
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
    """The pointers of a service's own to what is secret in it. Raises ServiceNotFound."""
    return secrets.pointers(reader.connection, versions.require(reader, series))


def refuse_another(rule: Rule | None) -> None:
    if rule is not None:
        message = f"It conforms to the definition {rule.definition!r}; detach it from that first."
        raise Invalid.from_problems([Problem("", message, "definition", "definition")])


def refuse_marked_indexes(
    transaction: Transaction, definition: Definition, service_id: int
) -> None:
    """Raises Invalid if a service's pointers mark what the definition has an index on."""
    own = [secrets.tokens_of(each) for each in secrets.pointers(transaction.connection, service_id)]
    problems = [
        Problem("", f"{path!r} is indexed by {definition.name!r}, and cannot be secret.", "secret")
        for path in definition.indexes
        if any(may_lead_into(path, tokens) for tokens in own)
    ]
    if problems:
        raise Invalid.from_problems(problems)


def require_to_unmark(transaction: Transaction, definition: str) -> None:
    """What was stored before it was marked is in the clear: a mark hides it, until it is gone."""
    if not transaction.actor.may(READ_SECRET):
        raise Forbidden(
            f"The definition {definition!r} marks secrets, and this would unmark some: that takes "
            f"{READ_SECRET}. Keep every x-secret, or ask who administers your organisation."
        )


def refuse_indexes_on_marked(transaction: Transaction, name: str) -> None:
    """Raises Invalid if the definition now has an index on what one of its services marks."""
    definition = require(transaction.reader, name)
    for service_id in secrets.services_with_pointers(transaction.connection, definition.id):
        refuse_marked_indexes(transaction, definition, service_id)
