"""Whether the writer of a document may refer to what it newly refers to.

Who may read the result of a reference may not be allowed to read what it leads to. So the one who
shows it to them has to be, and the audit log says who that was.
"""

from collections.abc import Mapping
from typing import Any

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.services.documents.series import Series
from distributed_config.services.journal import audit
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import merging
from distributed_config.services.layers.merging import USE, Reference
from distributed_config.services.layers.resolver import Resolved, Resolver
from distributed_config.services.policy.permissions import READ_SECRET
from distributed_config.wire import parse_pointer


def texts_of(value: Any) -> dict[str, str]:
    """Return what a document refers to as text, by the pointers of its references."""
    return {pointer: str(found) for pointer, found in merging.references(value)}


def check(
    transaction: Transaction, resolver: Resolver, series: Series, before: Mapping[str, str]
) -> None:
    """Check that the writer of a series may read what it newly refers to, and record it.

    ``before`` is what it referred to until now, as ``texts_of`` has it; ``resolver`` has the new
    document loaded. Raises InvalidDocument with every problem.
    """
    layer = resolver.layers_of(series.service).get(series.environment)
    if layer is None or merging.MARK_OF_USE not in layer.text:
        return
    new: dict[str, Reference] = {}
    problems = []
    for pointer, found in merging.references(layer.value):
        if isinstance(found, Reference):
            if before.get(pointer) != str(found):
                new[pointer] = found
        elif not _is_removal(layer.value, pointer):
            # Also where other layers would make it whole: nobody would check it then.
            problems.append(Problem(pointer, found, "reference"))
    for pointer, found in new.items():
        problem = _problem_of(transaction, resolver, series, pointer, found)
        problems += [] if problem is None else [problem]
    if problems:
        raise InvalidDocument.from_problems(problems)
    if new:
        uses = sorted({found.service for found in new.values()})
        audit.record(
            transaction,
            AuditKind.REFERENCED,
            organisation=transaction.organisation,
            service=series.service,
            detail={"environment": series.environment, "uses": uses},
        )


def _is_removal(value: Any, pointer: str) -> bool:
    """Whether a ``$use`` is ``null``: it takes a reference of an earlier layer away."""
    found = merging.value_at(value, parse_pointer(pointer) if pointer else ())
    return found[USE] is None


def _problem_of(
    transaction: Transaction, resolver: Resolver, series: Series, pointer: str, found: Reference
) -> Problem | None:
    """Return why the writer may not refer to what is found at ``pointer``; None if they may."""
    is_visible = transaction.visibility.allows(found.service)
    if not is_visible or not transaction.actor.may("config:read"):
        message = f"There is no service {found.service!r} that you may read."
        return Problem(pointer, message, "reference")
    # In all environments below as well: it is filled in there with what is there.
    places = resolver.chains.below(series.environment)
    targets = filter(None, (resolver.resolve(found.service, place) for place in places))
    problems = (_problem_in(transaction, target, pointer, found) for target in targets)
    return next(filter(None, problems), None)


def _problem_in(
    transaction: Transaction, target: Resolved, pointer: str, found: Reference
) -> Problem | None:
    if not _may_read(transaction, target):
        message = "In another environment it leads to documents that you may not read."
        return Problem(pointer, message, "reference")
    is_hidden = merging.hidden_places(merging.value_at(target.value, found.tokens))
    if is_hidden and not transaction.actor.may(READ_SECRET):
        message = f"It leads to a secret; to use it elsewhere takes {READ_SECRET}."
        return Problem(pointer, message, "secret")
    return None


def _may_read(transaction: Transaction, resolved: Resolved) -> bool:
    """Whether the actor may read a resolved document, or all the layers that it is made of."""
    visibility = transaction.visibility
    return visibility.allows_environment(resolved.environment) or all(
        visibility.allows_environment(layer.environment) for layer in resolved.layers
    )
