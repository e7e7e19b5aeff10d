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
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, exc

from distributed_config.errors import DatabaseBusy, DocumentDamaged, StorageFailed
from distributed_config.live.checkpoints import Checkpoints
from distributed_config.live.turnstile import Turnstile
from distributed_config.live.watermarks import Watermarks
from distributed_config.models.engine import storage_error
from distributed_config.services import audit
from distributed_config.services import journal as log
from distributed_config.services.actors import Actor
from distributed_config.services.journal import Head, Journal
from distributed_config.wire import now

T = TypeVar("T")
Unit = Callable[[Journal], T]

_MOST_IN_BATCH = 64

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Commit:
    """What one batch came to, for those who measure."""

    units: int
    seconds: float


@dataclass(frozen=True)
class _Order(Generic[T]):
    actor: Actor
    note: str
    unit: Unit[T]
    done: "Future[T]"


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

    ``on_commit`` is told of each batch, in the writer's thread.
    """

    def __init__(
        self,
        engine: Engine,
        marks: Watermarks,
        lock_seconds: int,
        on_commit: Callable[[Commit], None] = lambda _commit: None,
    ) -> None:
        self._engine = engine
        self._marks = marks
        self._turnstile = Turnstile(marks.path)
        self._checkpoints = Checkpoints(engine, marks)
        # A little longer than the lock is waited for: the reason is then told by who waited.
        self._patience = lock_seconds + 1
        self._on_commit = on_commit
        self._orders: SimpleQueue[_Order[Any] | None] = SimpleQueue()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def write(self, actor: Actor, unit: Unit[T], note: str = "") -> T:
        """What ``unit`` returns, once all it wrote is on disk.

        Whatever the unit raises is raised here, and nothing of it is written. Raises
        DatabaseBusy, StorageFull or StorageFailed when it could not be written.
        """
        self._refuse_after_failure()
        self._ensure_thread()
        order = _Order(actor, note, unit, Future[T]())
        self._orders.put(order)
        try:
            return order.done.result(self._patience)
        except TimeoutError:
            if order.done.cancel():
                raise DatabaseBusy() from None
            # It is being written: only the outcome can tell what to answer.
            return order.done.result()

    def post(self, actor: Actor, unit: Unit[Any]) -> None:
        """Has ``unit`` written some time soon, for what nobody waits for and may be lost."""
        if self._marks.failed:
            return
        self._ensure_thread()
        order = _Order(actor, "", unit, Future[Any]())
        order.done.add_done_callback(_log_failure)
        self._orders.put(order)

    def rehearse(self, actor: Actor, unit: Unit[T], note: str = "") -> T:
        """What ``unit`` would return; everything it wrote is undone."""

        def undone(journal: Journal) -> None:
            raise _Undone(unit(journal))

        try:
            self.write(actor, undone, note)
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

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._start:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            self._write_batch(order)
            self._checkpoints.look()

    def _write_batch(self, first: _Order[Any]) -> None:
        """Writes ``first`` and all that wait behind it by the time the database's lock is held."""
        began = time.perf_counter()
        batch: list[_Order[Any]] | None = None
        try:
            with self._turnstile.turn(), self._engine.connect() as connection:
                self._refuse_after_failure()
                head = log.head(connection)
                batch = self._gather(first)
                outcomes = self._run_units(connection, head, batch)
        except Exception as error:  # whatever it is, those who wait must hear of it
            meant = self._judge(error)
            for order in self._gather(first) if batch is None else batch:
                order.done.set_exception(meant)
            return
        self._tell_of(Commit(len(batch), time.perf_counter() - began))
        for order, outcome in zip(batch, outcomes, strict=True):
            outcome.tell(order.done)

    def _tell_of(self, commit: Commit) -> None:
        """Tells first who measures: who reads its own write in the metrics finds it there."""
        try:
            self._on_commit(commit)
        except Exception:  # what is written is written, and those who wait must hear of it
            _logger.exception("a commit could not be measured")

    def _gather(self, first: _Order[Any]) -> list[_Order[Any]]:
        """``first`` and what waits behind it, without those whose callers gave up.

        From here on a caller cannot give up any more.
        """
        batch = []
        order: _Order[Any] | None = first
        while order is not None:
            if order.done.set_running_or_notify_cancel():
                batch.append(order)
            if len(batch) == _MOST_IN_BATCH or self._orders.empty():
                return batch
            order = self._orders.get()
        self._orders.put(None)  # the end was asked for: it is the loop's to take
        return batch

    def _run_units(
        self, connection: Connection, head: Head, batch: list[_Order[Any]]
    ) -> list["_Outcome"]:
        """Runs every unit, each in a savepoint, and commits; what came of each, in their order.

        Nobody is told before the commit: even a refusal may rest on what another unit wrote.
        """
        first = head
        outcomes: list[_Outcome] = []
        touched: set[tuple[int, str]] = set()
        everything = False
        for order in batch:
            journal = Journal(connection, order.actor, head, now(), order.note)
            connection.exec_driver_sql("SAVEPOINT unit")
            try:
                result = order.unit(journal)
                audit.seal(journal)
            except Exception as error:  # a unit that fails takes nobody with it
                if _concerns_all(error):
                    raise
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
                outcomes.append(_Outcome(error=error))
            else:
                connection.exec_driver_sql("RELEASE SAVEPOINT unit")
                outcomes.append(_Outcome(result))
                head = journal.head
                touched |= {(journal.organisation, name) for name in journal.services}
                everything |= journal.everything
        if head != first:
            log.advance(connection, head)
        if head.revision > first.revision:
            self._marks.raise_to(head.revision, touched, everything)
        self._commit(connection)
        self._marks.require_in_place()  # else it went into a file that nobody finds
        if head.revision > first.revision:
            self._marks.acknowledge(head.epoch, head.revision)
        return outcomes

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
