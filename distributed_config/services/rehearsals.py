"""What a rehearsed write changes in a document, with every secret masked.

A secret that stays is stored as it was, byte for byte; one that comes with the write is sealed
again, even if it is the same. So two stored documents can be compared without opening a secret, and
nobody learns from the difference whether a guess was right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, TypeVarTuple

from distributed_config.services import secrets
from distributed_config.services.diff import Changes, list_changes
from distributed_config.services.documents.load import load_current
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.secrets.stand_ins import StandIns
from distributed_config.services.versions import lookup

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True)
class _Side:
    """The current document of a series before or after a write; {} where nothing is current."""

    name: str
    value: dict[str, Any]


@dataclass(frozen=True)
class Rehearsed(Generic[T]):
    """The result of a rehearsed write, and the document that was current before it, and after."""

    result: T
    before: _Side
    after: _Side
    stand_ins: StandIns

    def changes(self) -> Changes:
        """Return what the write changes. It takes long, so it is made without the write lock."""
        before, after = self.before, self.after
        changes = list_changes(before.value, after.value, before.name, after.name)
        entries, text = self.stand_ins.mask(changes.entries), self.stand_ins.mask(changes.text)
        return Changes(entries, text, changes.truncated)


def rehearse(
    transaction: Transaction,
    verb: Callable[[Transaction, Series, *Arguments], T],
    series: Series,
    *arguments: *Arguments,
) -> Rehearsed[T]:
    """Run ``verb`` on ``series``, and return its result with the documents before and after.

    Raises what the verb raises, and Forbidden for an actor who may not read.
    """
    # What was there before is content: an actor who may write but not read learns none of it.
    transaction.actor.require("config:read")
    stand_ins = StandIns()
    before = _side(transaction, series, stand_ins)
    result = verb(transaction, series, *arguments)
    return Rehearsed(result, before, _side(transaction, series, stand_ins), stand_ins)


def _side(transaction: Transaction, series: Series, stand_ins: StandIns) -> _Side:
    service_id = lookup(transaction.reader, series)
    found = None
    if service_id is not None:
        found = load_current(transaction.connection, service_id, series.environment)
    # Nothing is not null: against an empty object every key shows as new.
    if found is None:
        return _Side(f"{series.service} without a current version", {})
    transaction.allowance.count(size=len(found.text))
    stored = secrets.load_stored(transaction.connection, found.key, found.text)
    name = f"{series.service} version {found.number}"
    return _Side(name, stand_ins.replace(stored))
