"""Documents, or parts of them, copied from one environment to another in one revision."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from distributed_config.errors import Forbidden, Invalid, NoCurrentVersion, Problem
from distributed_config.services import changesets, versions
from distributed_config.services.changesets import IN_REQUEST, Step
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environments, merging
from distributed_config.services.layers.merging import MISSING
from distributed_config.services.layers.resolver import Resolver
from distributed_config.services.policy.permissions import READ_SECRET
from distributed_config.services.versions import WriteResult
from distributed_config.wire import DocumentLimits, make_document, parse_pointer


@dataclass(frozen=True)
class Promotion:
    """What is copied: the current documents of ``services``, from one environment to another.

    With ``pointers`` only the values at these places are; None stands for whole documents.
    """

    services: tuple[str, ...]
    source: str
    target: str
    pointers: tuple[str, ...] | None = None


def promote(
    transaction: Transaction, promotion: Promotion, limits: DocumentLimits
) -> list[WriteResult]:
    """Copy documents, or parts of them, from one environment to another.

    Stored documents are copied, and not what is resolved: what the target inherits stays where it
    is. Secrets are sealed again, and parts of documents that have some take the right to read
    them. Raises with the problems of all services; nothing is copied then.
    """
    source, target = promotion.source, promotion.target
    environments.require(transaction.reader, source)
    environments.require(transaction.reader, target)
    if source == target:
        message = f"It is {source!r} on both sides. Name two environments."
        raise Invalid.from_problems([Problem("/to", message, "environment")])
    steps = [
        Step(
            f"/services/{position}",
            f"/services/{position}",
            Series(name, target),
            partial(
                _promote_one,
                source=Series(name, source),
                target=Series(name, target),
                pointers=promotion.pointers,
                limits=limits,
            ),
            literal=False,
        )
        for position, name in enumerate(promotion.services)
    ]
    return changesets.publish(transaction, steps)


def _promote_one(
    transaction: Transaction,
    *,
    source: Series,
    target: Series,
    pointers: Sequence[str] | None,
    limits: DocumentLimits,
) -> WriteResult:
    # A whole document takes its secrets with it, sealed; of a part, its reader sees what it takes.
    if pointers is None:
        return versions.copy(transaction, source, target)
    # Which places there are in the documents, only those may learn who may read them.
    transaction.actor.require("config:read")
    before = versions.current_seen(transaction.reader, target) or {}
    value = _with_parts(before, pointers, _parts_of(transaction, source))
    return versions.put(transaction, target, make_document(value, limits, target.service))


def _parts_of(transaction: Transaction, source: Series) -> Any:
    """Return the current document of ``source``, with its secrets as ``Hidden``."""
    versions.require(transaction.reader, source)
    resolver = Resolver(
        transaction.connection,
        transaction.organisation,
        reveal=transaction.visibility.reads_secrets,
    )
    resolver.prefetch([source.service], [source.environment])
    layer = resolver.layers_of(source.service).get(source.environment)
    if layer is None:
        raise NoCurrentVersion(source.service)
    return layer.value


def _with_parts(document: dict[str, Any], pointers: Sequence[str], source: Any) -> dict[str, Any]:
    """Return ``document`` with what ``source`` has at ``pointers``.

    Raises Invalid with every place at which there is nothing, and Forbidden for secrets.
    """
    problems: list[Problem] = []
    result: dict[str, Any] = document
    for position, pointer in enumerate(pointers):
        tokens = parse_pointer(pointer)
        part = merging.value_at(source, tokens) if pointer.startswith("/") else MISSING
        if part is MISSING:
            message = f"There is nothing at {pointer!r} to copy."
            problems.append(Problem(f"/pointers/{position}", message, IN_REQUEST))
            continue
        if any(hidden.is_masked for hidden in merging.hidden_places(part).values()):
            raise Forbidden(
                f"At {pointer} there are secrets; to copy a part of a document with secrets takes "
                f"{READ_SECRET}. Copy the whole document, or leave this part out."
            )
        result = _set(result, tokens, merging.unwrapped(part), f"/pointers/{position}")
    if problems:
        raise Invalid.from_problems(problems)
    return result


def _set(document: Any, tokens: tuple[str, ...], value: Any, place: str) -> Any:
    """Return ``document`` with ``value`` at ``tokens``; objects on the way are made."""
    if not tokens:
        return value
    first, *rest = tokens
    if not isinstance(document, dict):
        message = "It leads into an array, of which only the whole can be copied."
        raise Invalid.from_problems([Problem(place, message, IN_REQUEST)])
    return {**document, first: _set(document.get(first, {}), tuple(rest), value, place)}
