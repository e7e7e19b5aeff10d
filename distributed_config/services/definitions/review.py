"""The review of a new schema: what it would break, found before it is stored.

The expensive part, checking every current document, happens outside the write lock. Under the
lock only the services that changed since are checked again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from distributed_config.errors import BreakingRevision, Problem
from distributed_config.json_schema import Compatibility, compare
from distributed_config.models import ChangeRow, ConformanceRow, ServiceRow, VersionRow
from distributed_config.services import secrets
from distributed_config.services.conformance import rules
from distributed_config.services.documents import load
from distributed_config.services.documents.current import in_environment, is_current
from distributed_config.services.journal import head
from distributed_config.services.journal.kinds import ENVIRONMENT_KINDS
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import graph
from distributed_config.services.layers.chains import load_chains
from distributed_config.services.layers.effects import validation_input
from distributed_config.services.layers.graph import has_layers
from distributed_config.services.layers.resolver import Resolved, Resolver
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT, Visibility
from distributed_config.wire import Document

_MOST_PROBLEMS_OF_ONE = 10
_MOST_PROBLEMS = 100
_BATCH = 500


@dataclass(frozen=True)
class NonConforming:
    """A current version that would not conform, and the first ten of its problems."""

    number: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Proposal:
    """``new`` in place of ``old``, which is revision ``number`` of a definition.

    ``applies_to`` says which documents it would apply to, the ``resolved`` ones or all ``layers``.
    """

    definition_id: int
    number: int
    old: Document
    new: Document
    applies_to: str = rules.RESOLVED


@dataclass(frozen=True)
class Review:
    """The effects of a proposal, as the journal stood at ``revision``.

    ``unfit`` holds the services whose current documents would not conform, by name; documents in
    other environments than the default one by the name, an @ and the environment. ``checked`` is
    how many services conform to the definition now or, where documents are made of layers, how
    many of these were checked.
    """

    proposal: Proposal
    revision: int
    compatibility: Compatibility
    checked: int
    unfit: Mapping[str, NonConforming]


def review(connection: Connection, proposal: Proposal, visibility: Visibility) -> Review:
    """Compare the two schemas, and check every current document against the new one.

    Problems inside secrets that ``visibility`` does not show are left out. Each document takes
    some microseconds: do this where nobody waits for a lock. Raises DocumentDamaged.
    """
    # Of the same snapshot as the documents: ``refresh`` checks again what changed after it.
    revision = head.read_head(connection).revision
    names = [name for _, name in rules.services(connection, proposal.definition_id)]
    checked = len(names)
    if has_layers(connection, visibility.organisation):
        verdicts = list(_check_layers(connection, proposal, visibility, names))
        checked = len(verdicts)
        unfit = {label: fault for label, fault in verdicts if fault is not None}
    else:
        parameters = {"definition": proposal.definition_id, **in_environment()}
        rows = connection.execute(_CURRENT, parameters).yield_per(_BATCH)
        unfit = dict(_non_conforming(connection, rows, proposal.new, visibility.reads_secrets))
    compatibility = compare(proposal.old.value, proposal.new.value)
    return Review(proposal, revision, compatibility, checked, unfit)


def refresh(transaction: Transaction, proposal: Proposal, before: Review | None) -> Review:
    """Return the review as of now, under the write lock.

    ``before`` is one from before the lock was held: only services that changed since then are
    checked again. Without it, or if it is of another proposal, all are.
    """
    connection = transaction.connection
    if before is None or before.proposal != proposal:
        return review(connection, proposal, transaction.visibility)
    if has_layers(connection, transaction.organisation):
        return _refresh_layers(transaction, before)
    names = _changed_since(transaction, before.revision)
    changed = set(names)
    unfit = {name: fault for name, fault in before.unfit.items() if name not in changed}
    parameters = {"definition": proposal.definition_id, **in_environment()}
    # In batches: a statement has a limited number of parameters.
    for start in range(0, len(names), _BATCH):
        batch = {"names": names[start : start + _BATCH]}
        rows = connection.execute(_CURRENT_OF_SOME, {**parameters, **batch})
        reveal = transaction.visibility.reads_secrets
        unfit |= dict(_non_conforming(connection, rows, proposal.new, reveal))
    return replace(before, unfit=unfit, checked=rules.count(connection, proposal.definition_id))


def _refresh_layers(transaction: Transaction, before: Review) -> Review:
    """Return the review as of now, where documents are made of layers."""
    connection, proposal = transaction.connection, before.proposal
    names = _changed_since(transaction, before.revision)
    if _environments_changed_since(transaction, before.revision):
        return review(connection, proposal, transaction.visibility)
    changed = graph.dependents(connection, transaction.organisation, names)
    mine = [name for _, name in rules.services(connection, proposal.definition_id)]
    again = sorted(set(changed) & set(mine))
    others = {
        label: fault
        for label, fault in before.unfit.items()
        if label.partition("@")[0] not in changed
    }
    verdicts = _check_layers(connection, proposal, transaction.visibility, again)
    found = {label: fault for label, fault in verdicts if fault is not None}
    unfit = {**others, **found}
    # Counting all of them again would mean to resolve all of them again.
    return replace(before, unfit=unfit, checked=max(before.checked, len(unfit)))


def violations(review: Review, policy: str) -> list[Problem]:
    """Return the reasons against a revision: documents that would not conform, and its policy.

    The first hundred problems of documents are listed; each has its pointer into the document,
    and the message names the service. The others have pointers into the request.
    """
    of_documents = (
        Problem(fault.pointer, f"{name!r}, version {unfit.number}: {fault.message}", "conformance")
        for name, unfit in review.unfit.items()
        for fault in unfit.problems
    )
    problems = list(islice(of_documents, _MOST_PROBLEMS))
    sides = (
        ("backward", review.compatibility.backward, "narrower"),
        ("forward", review.compatibility.forward, "wider"),
    )
    for side, holds, against in sides:
        # ``None`` means that it cannot be decided, which is no proof that the policy is kept.
        if policy in {side, "full"} and holds is not True:
            problems += [
                Problem(f"/schema{reason.pointer}", reason.message, side)
                for reason in review.compatibility.reasons
                if getattr(reason, against)
            ]
    return problems


def to_error(review: Review, policy: str, problems: Sequence[Problem]) -> BreakingRevision:
    """Return the error for a revision with these ``violations``."""
    reasons = []
    if review.unfit:
        reasons.append(
            f"{len(review.unfit)} of {review.checked} current documents would not conform"
        )
    for side, holds in (
        ("backward", review.compatibility.backward),
        ("forward", review.compatibility.forward),
    ):
        if policy in {side, "full"} and holds is not True:
            verdict = "is not" if holds is False else "cannot be shown to be"
            reasons.append(
                f"the revision {verdict} {side} compatible, as the policy {policy!r} asks"
            )
    return BreakingRevision(", and ".join(reasons), problems[:_MOST_PROBLEMS])


# The current documents of the services of a definition.
_CURRENT = (
    select(*load.COLUMNS)
    .select_from(ConformanceRow)
    .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
    .join(VersionRow, is_current(ConformanceRow.service_id))
    .where(ConformanceRow.definition_id == bindparam("definition"))
    .order_by(ConformanceRow.name)
)

_CURRENT_OF_SOME = _CURRENT.where(ConformanceRow.name.in_(bindparam("names", expanding=True)))


def _changed_since(transaction: Transaction, revision: int) -> list[str]:
    """Return the names of the services that changed after ``revision``."""
    names = transaction.connection.scalars(
        select(ChangeRow.service)
        .where(
            ChangeRow.organisation_id == transaction.organisation,
            ChangeRow.revision > revision,
            ChangeRow.service.is_not(None),
        )
        .distinct()
    )
    return [name for name in names if name is not None]


def _environments_changed_since(transaction: Transaction, revision: int) -> bool:
    """Whether an environment was created, changed or deleted after ``revision``."""
    changes = select(ChangeRow.revision).where(
        ChangeRow.organisation_id == transaction.organisation,
        ChangeRow.revision > revision,
        ChangeRow.kind.in_(ENVIRONMENT_KINDS),
    )
    return transaction.connection.execute(changes.limit(1)).first() is not None


def _check_layers(
    connection: Connection, proposal: Proposal, visibility: Visibility, names: Sequence[str]
) -> Iterator[tuple[str, NonConforming | None]]:
    """Yield each document of ``names`` in all environments; None: it conforms."""
    chains = load_chains(connection, visibility.organisation)
    # In batches: what is resolved stays in memory with its resolver.
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        resolver = Resolver(
            connection, visibility.organisation, reveal=visibility.reads_secrets, chains=chains
        )
        resolver.prefetch(batch, chains.parents)
        for name in batch:
            for environment in chains.parents:
                document = _checked_document(resolver, proposal, name, environment)
                if document is None:
                    continue
                problems = rules.problems_of(proposal.new.text, validation_input(document))
                first = tuple(problems[:_MOST_PROBLEMS_OF_ONE])
                # An environment's name has no @, and neither has a service's.
                is_default = environment == DEFAULT_ENVIRONMENT
                label = name if is_default else f"{name}@{environment}"
                yield label, NonConforming(document.last.number, first) if problems else None


def _checked_document(
    resolver: Resolver, proposal: Proposal, name: str, environment: str
) -> Resolved | None:
    """Return the document of a service in an environment that a proposal applies to, if any."""
    if proposal.applies_to == rules.RESOLVED:
        return resolver.resolve(name, environment)
    layer = resolver.layers_of(name).get(environment)
    return None if layer is None else Resolved(name, environment, layer.value, (layer,))


def _non_conforming(
    connection: Connection, rows: Iterable[Row[*tuple[Any, ...]]], schema: Document, reveal: bool
) -> Iterator[tuple[str, NonConforming]]:
    """Yield the documents of ``rows`` that do not conform to ``schema``, by their services."""
    for document in map(load.verify_row, rows):
        checked = secrets.validation_input(document.text)
        if document.key.secret_marks:
            base = secrets.load_stored(connection, document.key, document.text)
            checked = secrets.validation_input_of_stored(base, reveal)
        problems = rules.problems_of(schema.text, checked)
        if problems:
            first = tuple(problems[:_MOST_PROBLEMS_OF_ONE])
            yield document.key.name, NonConforming(document.number, first)
