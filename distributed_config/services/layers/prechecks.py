"""Checks of very many resolved documents, made before the write lock is held.

A write that changes more than a thousand of them would hold up all other writers while they are
checked. So the write gives up before it has begun, its caller has the documents checked on a
snapshot, and comes again: if nothing that they rest on has changed meanwhile, what was found holds.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from distributed_config.models import ChangeRow
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.kinds import DEFINITION_KINDS, ENVIRONMENT_KINDS
from distributed_config.services.journal.transaction import Impact, Transaction
from distributed_config.services.layers import graph
from distributed_config.services.layers.effects import Effects
from distributed_config.services.policy.actor import Actor

AT_ONCE = 1_000
"""How many resolved documents are checked while the lock is held, if there is another way."""


class TooManyToCheck(Exception):  # no error: the caller checks them and comes again
    """The write of ``text`` to ``series`` changes too many documents to check under the lock."""

    def __init__(self, series: Series, text: str) -> None:
        super().__init__()
        self.series = series
        self.text = text


@dataclass(frozen=True)
class Precheck:
    """A write of ``text`` to ``series`` that is sound, as the journal stood at ``revision``.

    ``dependents`` are the services whose documents it changes, and ``involved`` all that these
    rest on.
    """

    series: Series
    text: str
    revision: int
    dependents: frozenset[str]
    involved: frozenset[str]
    impact: tuple[Impact, ...]

    def holds(self, transaction: Transaction, dependents: list[str]) -> bool:
        """Whether it is still what a check would find, with these ``dependents`` of now."""
        if self.dependents != set(dependents):
            return False
        parameters = {"organisation": transaction.organisation, "after": self.revision}
        return not any(
            kind in DEFINITION_KINDS or kind in ENVIRONMENT_KINDS or service in self.involved
            for service, kind in transaction.connection.execute(_CHANGED, parameters)
        )


def prechecked_effects(transaction: Transaction, series: Series, text: str) -> Effects:
    """Return the effects of a write of ``text`` to a series.

    Raises TooManyToCheck if they are too many, and no precheck that holds says that it is sound.
    """
    dependents = graph.dependents(
        transaction.connection, transaction.organisation, [series.service]
    )
    # Of several writes at once a precheck sees one alone, and not what they make together.
    if len(dependents) <= AT_ONCE or transaction.postponed is not None:
        return Effects.of_series(transaction, series)
    found: Precheck | None = (transaction.prechecks or {}).get(series)
    if found is None or found.text != text or not found.holds(transaction, dependents):
        raise TooManyToCheck(series, text)
    if transaction.is_rehearsal:
        transaction.impact.extend(found.impact)
    return Effects.checked(transaction, series)


def check(connection: Connection, actor: Actor, head: Head, write: TooManyToCheck) -> Precheck:
    """Check a write on the snapshot of ``connection``, whose journal stands at ``head``.

    Raises what the write would raise.
    """
    # A transaction that is never stored: what it records is lost with it.
    transaction = Transaction(connection, actor, head, head.changed_at)
    transaction.is_rehearsal = True
    effects = Effects.of_series(transaction, write.series)
    involved = effects.check_as_if(write.text)
    return Precheck(
        write.series,
        write.text,
        head.revision,
        frozenset(effects.services),
        frozenset(involved),
        tuple(transaction.impact),
    )


_CHANGED = (
    select(ChangeRow.service, ChangeRow.kind)
    .where(
        ChangeRow.organisation_id == bindparam("organisation"),
        ChangeRow.revision > bindparam("after"),
    )
    .distinct()
)
