"""What a new schema would do to the services of a definition, before it does it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from distributed_config.errors import BreakingRevision, Problem
from distributed_config.json_schema import Compatibility, compare
from distributed_config.models import ChangeRow, ConformanceRow, ServiceRow, VersionRow
from distributed_config.services import secrets
from distributed_config.services.conformance import rules
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal import head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT, Visibility
from distributed_config.services.secrets import DocumentKey
from distributed_config.wire import Document

_MOST_PROBLEMS = 10  # of one document
_MOST_TOLD = 100
_AT_ONCE = 500


@dataclass(frozen=True)
class NonConforming:
    """A current document that would not conform: its version, and the first ten of its problems."""

    number: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Proposal:
    """``new`` in place of ``old``, which is revision ``number`` of a definition."""

    definition_id: int
    number: int
    old: Document
    new: Document


@dataclass(frozen=True)
class Review:
    """What was found out about a proposal, as the journal stood at ``revision``.

    ``unfit`` holds the services whose current documents would not conform, by name; ``checked``
    is how many conform to the definition.
    """

    proposal: Proposal
    revision: int
    compatibility: Compatibility
    checked: int
    unfit: Mapping[str, NonConforming]


def review(connection: Connection, proposal: Proposal, visibility: Visibility) -> Review:
    """Compares the two schemas, and checks every current document against the new one.

    Problems inside secrets that ``visibility`` does not show are left out. It takes some
    microseconds for each document: do it where nobody waits for a lock.
    """
    revision = head.read_head(connection).revision
    rows = connection.execute(_current(proposal.definition_id)).yield_per(_AT_ONCE)
    unfit = dict(_unfit(connection, rows, proposal.new, visibility.reads_secrets))
    compatibility = compare(proposal.old.value, proposal.new.value)
    checked = rules.count(connection, proposal.definition_id)
    return Review(proposal, revision, compatibility, checked, unfit)


def refresh(transaction: Transaction, proposal: Proposal, before: Review | None) -> Review:
    """The review as of now, under the write lock: only what changed since is looked at again."""
    connection = transaction.connection
    if before is None or before.proposal != proposal:
        return review(connection, proposal, transaction.visibility)
    changed = connection.scalars(
        select(ChangeRow.service)
        .where(
            ChangeRow.organisation_id == transaction.organisation,
            ChangeRow.revision > before.revision,
            ChangeRow.service.is_not(None),
        )
        .distinct()
    ).all()
    names = [name for name in changed if name is not None]
    unfit = {name: each for name, each in before.unfit.items() if name not in set(names)}
    for start in range(0, len(names), _AT_ONCE):
        some = _current(proposal.definition_id).where(
            ConformanceRow.name.in_(names[start : start + _AT_ONCE])
        )
        rows = connection.execute(some)
        unfit |= dict(_unfit(connection, rows, proposal.new, transaction.visibility.reads_secrets))
    return replace(before, unfit=unfit, checked=rules.count(connection, proposal.definition_id))


def violations(found: Review, policy: str) -> list[Problem]:
    """What speaks against the revision: documents that would not conform, a policy not kept.

    The first hundred problems of documents are told, each with its pointer into the document and
    whose that is. The others have pointers into the request.
    """
    told = (
        Problem(fault.pointer, f"{name!r}, version {each.number}: {fault.message}", "conformance")
        for name, each in found.unfit.items()
        for fault in each.problems
    )
    problems = list(islice(told, _MOST_TOLD))
    sides = (
        ("backward", found.compatibility.backward, "narrower"),
        ("forward", found.compatibility.forward, "wider"),
    )
    for side, holds, against in sides:
        if policy in {side, "full"} and holds is not True:
            problems += [
                Problem(f"/schema{reason.pointer}", reason.message, side)
                for reason in found.compatibility.reasons
                if getattr(reason, against)
            ]
    return problems


def to_error(found: Review, policy: str, problems: Sequence[Problem]) -> BreakingRevision:
    """The error that says so, and what can be done."""
    said = []
    if found.unfit:
        said.append(f"{len(found.unfit)} of {found.checked} current documents would not conform")
    for side, holds in (
        ("backward", found.compatibility.backward),
        ("forward", found.compatibility.forward),
    ):
        if policy in {side, "full"} and holds is not True:
            known = "is not" if holds is False else "cannot be shown to be"
            said.append(f"the revision {known} {side} compatible, as the policy {policy!r} asks")
    return BreakingRevision(", and ".join(said), problems[:_MOST_TOLD])


def _current(definition_id: int) -> Select[*tuple[Any, ...]]:
    """The current documents of the services of a definition."""
    return (
        select(
            ServiceRow.id,
            ServiceRow.organisation_id,
            ServiceRow.name,
            ServiceRow.secret_marks,
            VersionRow.number,
            VersionRow.digest,
            VersionRow.document,
        )
        .select_from(ConformanceRow)
        .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
        .join(VersionRow, VersionRow.service_id == ConformanceRow.service_id)
        .where(
            ConformanceRow.definition_id == definition_id,
            VersionRow.environment == DEFAULT_ENVIRONMENT,
            VersionRow.number == rules.CURRENT_NUMBER,
        )
        .order_by(ConformanceRow.name)
    )


def _unfit(
    connection: Connection, rows: Iterable[Row[*tuple[Any, ...]]], schema: Document, reveal: bool
) -> Iterator[tuple[str, NonConforming]]:
    for *whose, number, digest, stored in rows:
        text = intact(stored, digest)
        home = DocumentKey(*whose)
        seen = secrets.validation_input(text)
        if home.secret_marks:
            seen = secrets.validation_input_of_stored(
                secrets.load_stored(connection, home, text), reveal
            )
        problems = rules.problems_of(schema.text, seen)
        if problems:
            yield home.name, NonConforming(number, tuple(problems[:_MOST_PROBLEMS]))
