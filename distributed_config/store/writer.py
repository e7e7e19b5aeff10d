"""The one thread of a process that writes.

Callers hand it units of work and wait. It takes whatever waits at the moment, runs each unit in a
savepoint of its own inside one transaction, and commits once. So a commit's fsync is shared by
all who came while the one before was running, nobody polls for a lock held by a neighbour thread,
and a unit that fails is undone alone. What a unit changed is sealed in the audit log inside its
savepoint.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, event, exc

from distributed_config.errors import DatabaseBusy, DocumentDamaged, StorageFailed
from distributed_config.models.sqlite import storage_error
from distributed_config.services.journal import audit, transaction
from distributed_config.services.journal.allowance import Allowance
from distributed_config.services.journal.head import Head, advance_head, read_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.store.checkpoints import Checkpoints
from distributed_config.store.process_lock import ProcessLock
from distributed_config.store.uptime import uptime
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire import now

T = TypeVar("T")
Unit = Callable[[Transaction], T]

_MOST_IN_BATCH = 64
_LONGEST_BATCH = 0.25
"""Seconds of the processor after which a batch is committed, and what is left waits its turn."""
_PROBE_SECONDS = 0.8
"""How long a probe waits: those who ask for readiness often give up after a second."""
_CLOCK_TOLERANCE = 1.0
_WARNS_EVERY = 3_600.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchStats:
    """What one batch came to, for those who measure."""

    units: int
    seconds: float


@dataclass(frozen=True)
class _Job(Generic[T]):
    """A unit that is to be written. Whoever wants it waits no longer than ``until``."""

    actor: Actor
    note: str
    unit: Unit[T]
    done: "Future[T]"
    until: float

    def fail(self, error: Exception) -> None:
        """Tells who waits, if anybody still does."""
        with suppress(InvalidStateError):
            self.done.set_exception(error)


@dataclass(frozen=True)
class _Outcome:
    """What came of a unit: what it returned, or the error it raised."""

    result: Any = None
    error: Exception | None = None

    def tell(self, done: "Future[Any]") -> None:
        if self.error is not None:
            done.set_exception(self.error)
        else:
            done.set_result(self.result)


def _concerns_all(error: Exception) -> bool:
    """Whether the whole transaction is lost with the unit; one damaged document is its own."""
    meant = storage_error(error) if isinstance(error, exc.DBAPIError) else None
    return meant is not None and not isinstance(meant, DocumentDamaged)


def _log_failure(done: "Future[Any]") -> None:
    if not done.cancelled() and done.exception() is not None:
        _logger.warning("what nobody waits for was not written: %s", done.exception())


class _Undone(Exception):  # nothing went wrong: it carries a result out of a unit
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Writer:
    """Writes units of work to the database behind ``engine``; its thread starts when needed.

    ``on_commit`` is told of each batch, in the writer's thread. ``work_ms`` is the processor time
    that a unit may use under the lock, in milliseconds; None: any.
    """

    def __init__(
        self,
        engine: Engine,
        marks: Watermarks,
        lock_seconds: int,
        on_commit: Callable[[BatchStats], None] = lambda _commit: None,
        work_ms: int | None = None,
    ) -> None:
        self._engine = engine
        self._marks = marks
        self._turnstile = ProcessLock(marks.path)
        self._checkpoints = Checkpoints(engine, marks)
        self._lock_seconds = lock_seconds
        self._on_commit = on_commit
        self._work_ms = work_ms
        self._orders: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        # What was taken from the queue and is still to be written; the thread's own.
        self._left: deque[_Job[Any]] = deque()
        self._waiting_since: float | None = None
        self._probe: _Job[int] | None = None
        self._warns_at = 0.0
        self._allowance: Allowance | None = None
        event.listen(engine, "before_cursor_execute", self._check_allowance)
        self._starting = threading.Lock()
        self._probing = threading.Lock()
        self._thread: threading.Thread | None = None

    def write(self, actor: Actor, unit: Unit[T], note: str = "", waited: float = 0) -> T:
        """What ``unit`` returns, once all it wrote is on disk.

        ``waited`` is how many seconds the caller has waited already, of those that a write may
        wait. Whatever the unit raises is raised here, and nothing of it is written. Raises
        DatabaseBusy, StorageFull or StorageFailed when it could not be written.
        """
        patience = max(0.0, self._lock_seconds - waited)
        order = self._ordered(actor, unit, note, patience)
        try:
            return order.done.result(patience)
        except TimeoutError:
            if order.done.cancel():
                raise DatabaseBusy() from None
            # It is being written: only the outcome can tell what to answer.
            return order.done.result()

    def post(self, actor: Actor, unit: Unit[Any]) -> None:
        """Has ``unit`` written some time soon, for what nobody waits for and may be lost."""
        with suppress(StorageFailed):
            self._ordered(actor, unit, "", 0).done.add_done_callback(_log_failure)

    def probe(self) -> int:
        """The journal's revision, once a small write has gone all the way to the disk.

        Waits for less than a second, and not at all when others have waited for the database as
        long as that already. Raises DatabaseBusy, StorageFull or StorageFailed.
        """
        self._refuse_after_failure()
        with self._probing:
            if self._probe is None or self._probe.done.done():
                # It is tried for longer than anybody waits: the next one finds it under way.
                self._probe = self._ordered(
                    LOCAL_OPERATOR, transaction.touch_head, "", self._lock_seconds
                )
            probe = self._probe
        moment = time.monotonic()
        patience = (self._waiting_since or moment) + _PROBE_SECONDS - moment
        try:
            return probe.done.result(max(0.0, patience))
        except TimeoutError:
            raise DatabaseBusy() from None

    def rehearse(self, actor: Actor, unit: Unit[T], note: str = "", waited: float = 0) -> T:
        """What ``unit`` would return; everything it wrote is undone."""

        def undone(transaction: Transaction) -> None:
            raise _Undone(unit(transaction))

        try:
            self.write(actor, undone, note, waited)
        except _Undone as end:
            return cast(T, end.result)
        raise AssertionError("a rehearsal always ends by being undone")

    def stop(self) -> None:
        """Ends the thread after what was ordered before is written."""
        if self._thread is not None and self._thread.is_alive():
            self._orders.put(None)
            self._thread.join()
            self._checkpoints.finish()
        self._engine.dispose()

    def _refuse_after_failure(self) -> None:
        if self._marks.failed:
            raise StorageFailed()
        self._marks.require_in_place()

    def _ordered(self, actor: Actor, unit: Unit[T], note: str, patience: float) -> _Job[T]:
        """An order in the queue, for the thread to see to."""
        self._refuse_after_failure()
        self._ensure_thread()
        order = _Job(actor, note, unit, Future[T](), time.monotonic() + patience)
        self._orders.put(order)
        return order

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (order := self._left.popleft() if self._left else self._orders.get()) is not None:
            if not order.done.cancelled():
                self._write_batch(order)
                self._checkpoints.look()

    def _write_batch(self, first: _Job[Any]) -> None:
        """Writes ``first`` and all that wait behind it by the time the database's lock is held."""
        began = time.perf_counter()
        batch: list[_Job[Any]] | None = None
        self._waiting_since = self._waiting_since or time.monotonic()
        try:
            with self._turnstile.turn(), self._engine.connect() as connection:
                self._refuse_after_failure()
                stored = read_head(connection)  # the first statement takes the lock
                self._waiting_since = None
                head = replace(stored, steady=stored.steady.advance(uptime()))
                self._warn_of_clock(head)
                batch = self._gather(first)
                done = self._run_units(connection, head, batch)
        except Exception as error:  # whatever it is, those who wait must hear of it
            meant = self._judge(error)
            if batch is None:
                self._refuse_late(self._gather(first), meant)
            else:
                for order in batch:
                    order.fail(meant)
            return
        self._tell_of(BatchStats(len(done), time.perf_counter() - began))
        for order, outcome in done:
            outcome.tell(order.done)

    def _warn_of_clock(self, head: Head) -> None:
        """Says, now and then, that changes cannot have the time of the clock."""
        behind = head.clock_lag(now())
        if behind < _CLOCK_TOLERANCE or time.monotonic() < self._warns_at:
            return
        self._warns_at = time.monotonic() + _WARNS_EVERY
        _logger.warning(
            "the clock stands %.0f s behind the newest change: until it has passed that, every "
            "change gets that time. Set the clock right; `distconf check` says more.",
            behind,
        )

    def _refuse_late(self, waiting: list[_Job[Any]], error: Exception) -> None:
        """Tells those in ``waiting`` that the lock was not to be had; those with time left wait on.

        Each waits for as long as it was promised, and not for what is left of the first one's time.
        """
        moment = time.monotonic()
        for order in waiting:
            if isinstance(error, DatabaseBusy) and order.until > moment:
                self._left.append(order)
            else:
                order.fail(error)
        if not self._left and self._orders.empty():
            self._waiting_since = None  # nobody waits any more

    def _tell_of(self, commit: BatchStats) -> None:
        """Tells first who measures: who reads its own write in the metrics finds it there."""
        try:
            self._on_commit(commit)
        except Exception:  # what is written is written, and those who wait must hear of it
            _logger.exception("a commit could not be measured")

    def _gather(self, first: _Job[Any]) -> list[_Job[Any]]:
        """``first`` and what waits after it, in the order in which it came."""
        batch = [first]
        while len(batch) < _MOST_IN_BATCH and (self._left or not self._orders.empty()):
            order = self._left.popleft() if self._left else self._orders.get()
            if order is None:
                self._orders.put(None)  # the end was asked for: it is the loop's to take
                break
            batch.append(order)
        return batch

    def _run_units(
        self, connection: Connection, head: Head, batch: list[_Job[Any]]
    ) -> list[tuple[_Job[Any], "_Outcome"]]:
        """Runs every unit, each in a savepoint, and commits; what came of each, in their order.

        Nobody is told before the commit: even a refusal may rest on what another unit wrote. Of a
        long batch the rest is left for the next one, after the other processes had their turn.
        """
        first = head
        done: list[tuple[_Job[Any], _Outcome]] = []
        touched: set[tuple[int, str]] = set()
        everything = False
        rest: list[_Job[Any]] = []
        began = time.thread_time()
        for position, order in enumerate(batch):
            if done and time.thread_time() - began > _LONGEST_BATCH:
                rest = batch[position:]
                break
            # From here on a caller cannot give up any more.
            if not order.done.set_running_or_notify_cancel():
                continue
            connection.exec_driver_sql("SAVEPOINT unit")
            allowance = Allowance(self._work_ms)
            transaction = Transaction(
                connection, order.actor, head, now(), order.note, allowance=allowance
            )
            try:
                result = self._run_unit(order, transaction)
            except Exception as error:  # a unit that fails takes nobody with it
                if _concerns_all(error):
                    raise
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
                done.append((order, _Outcome(error=error)))
            else:
                connection.exec_driver_sql("RELEASE SAVEPOINT unit")
                done.append((order, _Outcome(result)))
                head = transaction.head
                touched |= {
                    (transaction.organisation, name) for name in transaction.touched_services
                }
                everything |= transaction.affects_all
        if head != first:
            advance_head(connection, head)
        if head.revision > first.revision:
            self._marks.raise_to(head.revision, touched, everything)
        self._commit(connection)
        self._marks.require_in_place()  # else it went into a file that nobody finds
        if head.revision > first.revision:
            self._marks.acknowledge(head.epoch, head.revision)
        self._left.extendleft(reversed(rest))
        return done

    def _run_unit(self, order: _Job[T], transaction: Transaction) -> T:
        """What a unit returns, with what it changed sealed. Raises TooMuchWork."""
        self._allowance = transaction.allowance
        try:
            result = order.unit(transaction)
            audit.seal(transaction)
            transaction.allowance.check()
        finally:
            self._allowance = None
        return result

    def _check_allowance(self, *_of_statement: object) -> None:
        """Called before each statement: those are the steps of a unit."""
        if self._allowance is not None:
            self._allowance.check()

    def _commit(self, connection: Connection) -> None:
        try:
            connection.commit()
        except exc.DBAPIError as error:
            if isinstance(storage_error(error), StorageFailed):
                # SQLite would gladly acknowledge the next commit, over a gap in what is on disk.
                self._marks.fail()
            raise

    def _judge(self, error: Exception) -> Exception:
        """What ``error`` means to those who wait."""
        meant = storage_error(error) if isinstance(error, exc.DBAPIError) else None
        if meant is None:
            _logger.error("a batch of writes failed", exc_info=error)
            return error
        _logger.error("nothing was written: %s (%s)", meant.code, error)
        return meant
