"""One batch of units of work: a transaction that they share.

A commit costs an fsync, and that is most of what a write costs. So units that wait at the same
moment share one; and a unit that fails is undone alone, so that sharing is never noticed.

Most units that fail do so before they write anything, and nothing has to be undone. So a batch is
run with one savepoint, at its beginning. Only if a unit fails after it has written, the batch goes
back there and is run again, with a savepoint for each unit.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, event, exc

from distributed_config.errors import DocumentDamaged
from distributed_config.models.sqlite import in_transaction, rows_written, storage_error
from distributed_config.services.journal import audit
from distributed_config.services.journal.allowance import Allowance
from distributed_config.services.journal.head import Head, advance_head
from distributed_config.services.journal.pending import TABLES, Pending
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environments
from distributed_config.services.policy.actor import Actor
from distributed_config.wire import now

T = TypeVar("T")

_LONGEST = 0.25
"""Seconds of the processor after which a batch is committed; the rest waits its turn again."""

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
    """Looks at each statement of the unit that is running, before it is executed.

    A unit that has used up its allowance is stopped there and nowhere else: between two statements
    nothing is half done. And a statement that reads the journal finds what is pending.
    """

    def __init__(self, engine: Engine) -> None:
        self._allowance: Allowance | None = None
        self._pending: Pending | None = None
        event.listen(engine, "before_cursor_execute", self._check)

    @contextmanager
    def watch(self, allowance: Allowance, pending: Pending) -> Iterator[None]:
        """Hold the statements of the block to ``allowance``, and insert ``pending`` before reads.

        Raises TooMuchWork from them.
        """
        self._allowance, self._pending = allowance, pending
        try:
            yield
            allowance.check()
        finally:
            self._allowance = self._pending = None

    def _check(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        allowance = self._allowance
        # Compared here as well: a call for each statement would cost more than the comparison.
        if allowance is not None and time.thread_time() > allowance.ends_at:
            allowance.check()
        # The names stand in some other statements too: to insert early is only slower.
        if self._pending is not None and any(table in statement for table in TABLES):
            self._pending.insert()


class _HalfDone(Exception):  # nothing went wrong here: it carries an outcome out of a loop
    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class Batch:
    """The units that one transaction of ``connection`` has run.

    ``head`` is the journal's head with what they recorded, ``outcomes`` what came of each, in the
    order in which they ran. ``touched`` are the series that changed, each an organisation, a
    service and an environment; ``affects_all`` says that a change belongs to no service.
    ``work_ms`` is as for ``Writer``.
    """

    def __init__(
        self, connection: Connection, head: Head, guard: Guard, work_ms: int | None
    ) -> None:
        self._connection = connection
        self._guard = guard
        self._work_ms = work_ms
        self._first = head
        self._half_done: Outcome | None = None
        self._start()

    def _start(self) -> None:
        self._began = time.thread_time()
        self._pending = Pending(self._connection)
        self.head = self._first
        self.outcomes: list[Outcome] = []
        self.touched: set[tuple[int, str, str]] = set()
        self.affects_all = False

    @property
    def has_changes(self) -> bool:
        """Whether any unit recorded a change."""
        return self.head.revision > self._first.revision

    def run(self, jobs: list[Job[Any]]) -> list[Job[Any]]:
        """Run the jobs, and undo each that fails; return those that there was no time for.

        At least one is run. Their callers hear of the outcomes after the commit. Raises what
        concerns the whole transaction, as a full disk.
        """
        self._connection.exec_driver_sql("SAVEPOINT batch")
        try:
            return self._run_all(jobs, self._run_freely)
        except _HalfDone as half_done:
            # The failed unit is not run again: its outcome would be the same, and it may have
            # failed because it takes too long.
            self._half_done = half_done.outcome
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT batch")
            self._start()
            return self._run_all(jobs, self._run_in_savepoint)

    def finish(self) -> None:
        """Store what the units recorded. The last statements before the commit."""
        self._pending.insert()
        if self.head != self._first:
            advance_head(self._connection, self.head)

    def _run_all(self, jobs: list[Job[Any]], run: Callable[[Job[Any]], Outcome]) -> list[Job[Any]]:
        for position, job in enumerate(jobs):
            if self.outcomes and time.thread_time() - self._began > _LONGEST:
                return jobs[position:]
            # Its caller has given up; a future that was told so cannot be asked again.
            if job.done.cancelled():
                continue
            # From here on a caller cannot give up any more.
            if job.done.running() or job.done.set_running_or_notify_cancel():
                self.outcomes.append(run(job))
        return []

    def _run_freely(self, job: Job[Any]) -> Outcome:
        """Run one job. Raises _HalfDone if it failed after it had written something."""
        before = rows_written(self._connection)
        outcome = self._run(job)
        if outcome.error is not None and rows_written(self._connection) != before:
            raise _HalfDone(outcome)
        return outcome

    def _run_in_savepoint(self, job: Job[Any]) -> Outcome:
        """Run one job, and undo what it wrote if it fails."""
        if self._half_done is not None and job is self._half_done.job:
            return self._half_done
        # What units before it recorded must not be undone with it.
        self._pending.insert()
        self._connection.exec_driver_sql("SAVEPOINT unit")
        outcome = self._run(job)
        if outcome.error is not None:
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
        self._connection.exec_driver_sql("RELEASE SAVEPOINT unit")
        return outcome

    def _run(self, job: Job[Any]) -> Outcome:
        mark = self._pending.mark()
        try:
            return self._run_unit(job)
        except Exception as error:  # whatever it is, the other units go on
            # Some errors make SQLite undo the whole transaction by itself.
            if _concerns_all(error) or not in_transaction(self._connection):
                raise
            self._pending.forget_after(mark)
            return Outcome(job, error=error)

    def _run_unit(self, job: Job[Any]) -> Outcome:
        allowance = Allowance(self._work_ms)
        transaction = Transaction(
            self._connection,
            job.actor,
            self.head,
            now(),
            job.note,
            pending=self._pending,
            allowance=allowance,
        )
        with self._guard.watch(allowance, self._pending):
            result = job.unit(transaction)
            # With the unit: no change without its entry in the audit log, and none twice.
            audit.seal(transaction)
        self.head = transaction.head
        self.touched.update(self._touched_by(transaction))
        self.affects_all |= transaction.affects_all
        return Outcome(job, result)

    def _touched_by(self, transaction: Transaction) -> Iterator[tuple[int, str, str]]:
        """Yield the series that a transaction changed."""
        organisation = transaction.organisation
        everywhere: list[str] | None = None
        for service, environment in transaction.touched_series:
            if environment is not None:
                yield organisation, service, environment
                continue
            if everywhere is None:
                everywhere = environments.names(self._connection, organisation)
            for name in everywhere:
                yield organisation, service, name


def _concerns_all(error: Exception) -> bool:
    """Return whether the transaction is lost with the unit; one damaged document is its own."""
    meaning = storage_error(error) if isinstance(error, exc.DBAPIError) else None
    return meaning is not None and not isinstance(meaning, DocumentDamaged)
