"""One batch of units of work: a transaction that they share, and a savepoint for each.

A commit costs an fsync, and that is most of what a write costs. So units that wait at the same
moment share one; and a unit that fails is undone alone, so that sharing is never noticed.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, event, exc

from distributed_config.errors import DocumentDamaged
from distributed_config.models.sqlite import storage_error
from distributed_config.services.journal import audit
from distributed_config.services.journal.allowance import Allowance
from distributed_config.services.journal.head import Head, advance_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import Actor
from distributed_config.wire import now

T = TypeVar("T")
Unit = Callable[[Transaction], T]
"""Work that is done whole or not at all. It may be run in a batch with others."""


@dataclass(frozen=True)
class Job(Generic[T]):
    """A unit that is to be written. Its caller waits until ``deadline``, on the monotonic clock."""

    actor: Actor
    note: str
    unit: Unit[T]
    done: "Future[T]"
    deadline: float

    def fail(self, error: Exception) -> None:
        """Give the caller ``error``, unless the caller has given up."""
        with suppress(InvalidStateError):
            self.done.set_exception(error)


@dataclass(frozen=True)
class Outcome:
    """The end of one job: what its unit returned, or the error that it raised."""

    job: Job[Any]
    result: Any = None
    error: Exception | None = None

    def deliver(self) -> None:
        """Give the caller the outcome."""
        if self.error is not None:
            self.job.done.set_exception(self.error)
        else:
            self.job.done.set_result(self.result)


class Guard:
    """Checks the allowance of the unit that is running, before each of its statements.

    A unit is stopped there and nowhere else: between two statements nothing is half done.
    """

    def __init__(self, engine: Engine) -> None:
        self._allowance: Allowance | None = None
        event.listen(engine, "before_cursor_execute", self._check)

    @contextmanager
    def limit(self, allowance: Allowance) -> Iterator[None]:
        """Hold the statements of the block to ``allowance``. Raises TooMuchWork from them."""
        self._allowance = allowance
        try:
            yield
            allowance.check()
        finally:
            self._allowance = None

    def _check(self, *_statement: object) -> None:
        allowance = self._allowance
        # Compared here as well: a call for each statement would cost more than the comparison.
        if allowance is not None and time.thread_time() > allowance.ends_at:
            allowance.check()


class Batch:
    """The units that one transaction of ``connection`` has run.

    ``head`` is the journal's head with what they recorded, ``outcomes`` what came of each, in the
    order in which they ran. ``touched`` are the services that changed, as pairs of organisation
    and name; ``affects_all`` says that a change belongs to no service. ``work_ms`` is as for
    ``Writer``.
    """

    def __init__(
        self, connection: Connection, head: Head, guard: Guard, work_ms: int | None
    ) -> None:
        self._connection = connection
        self._guard = guard
        self._work_ms = work_ms
        self._first = head
        self._began = time.thread_time()
        self.head = head
        self.outcomes: list[Outcome] = []
        self.touched: set[tuple[int, str]] = set()
        self.affects_all = False

    @property
    def seconds(self) -> float:
        """The seconds of the processor that the batch has used so far."""
        return time.thread_time() - self._began

    @property
    def has_changes(self) -> bool:
        """Whether any unit recorded a change."""
        return self.head.revision > self._first.revision

    def run(self, job: Job[Any]) -> None:
        """Run one job, and undo it if it fails; its caller hears of it after the commit.

        Raises what concerns the whole transaction, as a full disk.
        """
        # From here on a caller cannot give up any more.
        if not job.done.set_running_or_notify_cancel():
            return
        self._connection.exec_driver_sql("SAVEPOINT unit")
        try:
            outcome = self._run_unit(job)
        except Exception as error:  # whatever it is, the other units go on
            if _concerns_all(error):
                raise
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
            outcome = Outcome(job, error=error)
        else:
            self._connection.exec_driver_sql("RELEASE SAVEPOINT unit")
        self.outcomes.append(outcome)

    def _run_unit(self, job: Job[Any]) -> Outcome:
        allowance = Allowance(self._work_ms)
        transaction = Transaction(
            self._connection, job.actor, self.head, now(), job.note, allowance=allowance
        )
        with self._guard.limit(allowance):
            result = job.unit(transaction)
            # Inside the savepoint: no change without its entry in the audit log, and none twice.
            audit.seal(transaction)
        self.head = transaction.head
        self.touched |= {(transaction.organisation, name) for name in transaction.touched_services}
        self.affects_all |= transaction.affects_all
        return Outcome(job, result)

    def advance_head(self) -> None:
        """Store the journal's head, if anything moved it. The last statement before the commit."""
        if self.head != self._first:
            advance_head(self._connection, self.head)


def _concerns_all(error: Exception) -> bool:
    """Return whether the transaction is lost with the unit; one damaged document is its own."""
    meaning = storage_error(error) if isinstance(error, exc.DBAPIError) else None
    return meaning is not None and not isinstance(meaning, DocumentDamaged)
