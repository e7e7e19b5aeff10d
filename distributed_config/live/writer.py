"""The one thread of a process that writes.

Callers hand it units of work and wait. It takes whatever waits at the moment, runs each unit in a
savepoint of its own inside one transaction, and commits once. So a commit's fsync is shared by
all who came while the one before was running, nobody polls for a lock held by a neighbour thread,
and a unit that fails is undone alone.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, exc

from distributed_config.errors import DatabaseBusy, StorageFailed
from distributed_config.live.turnstile import Turnstile
from distributed_config.live.watermarks import Watermarks
from distributed_config.models.engine import storage_error
from distributed_config.services import journal as log
from distributed_config.services.journal import Actor, Head, Journal
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
        # A little longer than the lock is waited for: the reason is then told by who waited.
        self._patience = lock_seconds + 1
        self._on_commit = on_commit
        self._orders: SimpleQueue[_Order[Any] | None] = SimpleQueue()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0

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
        if self._thread is not None and self._pid == os.getpid():
            self._orders.put(None)
            self._thread.join()
            self._thread = None
        self._engine.dispose()

    def _refuse_after_failure(self) -> None:
        if self._marks.failed:
            raise StorageFailed()

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._start:
            if self._thread is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        turnstile = Turnstile(self._marks.path)
        while (order := self._orders.get()) is not None:
            self._write_batch(turnstile, order)

    def _write_batch(self, turnstile: Turnstile, first: _Order[Any]) -> None:
        """Writes ``first`` and all that wait behind it by the time the database's lock is held."""
        began = time.perf_counter()
        batch: list[_Order[Any]] | None = None
        results: list[tuple[_Order[Any], Any]] = []
        try:
            with turnstile.turn(), self._engine.connect() as connection:
                self._refuse_after_failure()
                head = log.head(connection)
                batch = self._gather(first)
                self._run_units(connection, head, batch, results)
        except Exception as error:  # whatever it is, those who wait must hear of it
            meant = self._judge(error)
            for order in self._gather(first) if batch is None else batch:
                if not order.done.done():
                    order.done.set_exception(meant)
        else:
            # Measured first: who reads its own write in the metrics finds it there.
            self._on_commit(Commit(len(batch), time.perf_counter() - began))
            for order, result in results:
                order.done.set_result(result)

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
        self,
        connection: Connection,
        head: Head,
        batch: list[_Order[Any]],
        results: list[tuple[_Order[Any], Any]],
    ) -> None:
        """Runs every unit and commits. Units that failed by themselves are answered at once."""
        first = head.revision
        touched: set[tuple[int, str]] = set()
        everything = False
        for order in batch:
            journal = Journal(connection, order.actor, head, now(), order.note)
            connection.exec_driver_sql("SAVEPOINT unit")
            try:
                result = order.unit(journal)
            except Exception as error:  # a unit that fails takes nobody with it
                if isinstance(error, exc.DBAPIError) and storage_error(error) is not None:
                    raise
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
                order.done.set_exception(error)
            else:
                connection.exec_driver_sql("RELEASE SAVEPOINT unit")
                results.append((order, result))
                head = journal.head
                touched |= {(journal.organisation, name) for name in journal.services}
                everything |= journal.wrote and not journal.services
        if head.revision > first:
            log.advance(connection, head)
            self._marks.raise_to(head.revision, touched, everything)
        self._commit(connection)

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
