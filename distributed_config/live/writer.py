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
from typing import Any, Generic, TypeVar

from sqlalchemy import Engine, exc
from sqlalchemy.orm import Session

from distributed_config.errors import DatabaseBusy, StorageFailed
from distributed_config.live.watermarks import Watermarks
from distributed_config.models.engine import storage_error
from distributed_config.services import journal as log
from distributed_config.services.journal import Actor, Journal
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


class Writer:
    """Writes units of work to the database behind ``engine``; its thread starts when needed.

    ``on_commit`` is told of each batch, in the writer's thread.
    """

    def __init__(
        self,
        engine: Engine,
        marks: Watermarks,
        lock_seconds: int,
        on_commit: Callable[[Commit], None] = lambda commit: None,
    ) -> None:
        self._engine = engine
        self._marks = marks
        # The lock is waited for once by the batch before and once by the unit's own.
        self._patience = 2 * lock_seconds + 1
        self._on_commit = on_commit
        self._orders: SimpleQueue[_Order[Any] | None] = SimpleQueue()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self.failed = False
        """Whether the disk failed during a commit. It stays so until a restart."""

    def write(self, actor: Actor, unit: Unit[T], note: str = "") -> T:
        """What ``unit`` returns, once all it wrote is on disk.

        Whatever the unit raises is raised here, and nothing of it is written. Raises
        DatabaseBusy, StorageFull or StorageFailed when it could not be written.
        """
        if self.failed:
            raise StorageFailed()
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

    def stop(self) -> None:
        """Ends the thread after what was ordered before is written."""
        if self._thread is not None and self._pid == os.getpid():
            self._orders.put(None)
            self._thread.join()
            self._thread = None
        self._engine.dispose()

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._start:
            if self._thread is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            order = self._orders.get()
            batch: list[_Order[Any]] = []
            while order is not None:
                if order.done.set_running_or_notify_cancel():
                    batch.append(order)
                if len(batch) == _MOST_IN_BATCH or self._orders.empty():
                    break
                order = self._orders.get()
            if batch:
                self._write_batch(batch)
            if order is None:
                return

    def _write_batch(self, batch: list[_Order[Any]]) -> None:
        began = time.perf_counter()
        results: list[tuple[_Order[Any], Any]] = []
        try:
            if self.failed:
                raise StorageFailed()
            with Session(self._engine, autoflush=False) as session:
                self._run_units(session, batch, results)
        except exc.DBAPIError as error:
            _fail(batch, self._judge(error))
        except Exception as error:  # whatever it is, those who wait must hear of it
            _fail(batch, error)
        else:
            # Measured first: who reads its own write in the metrics finds it there.
            self._on_commit(Commit(len(batch), time.perf_counter() - began))
            for order, result in results:
                order.done.set_result(result)

    def _run_units(
        self,
        session: Session,
        batch: list[_Order[Any]],
        results: list[tuple[_Order[Any], Any]],
    ) -> None:
        """Runs every unit and commits. Units that failed by themselves are answered at once."""
        head = first = log.head(session)
        touched: set[tuple[int, str]] = set()
        everything = False
        for order in batch:
            journal = Journal(session, order.actor, head, now(), order.note)
            savepoint = session.begin_nested()
            try:
                result = order.unit(journal)
                savepoint.commit()
            except exc.DBAPIError as error:
                if storage_error(error) is not None:
                    raise
                savepoint.rollback()
                order.done.set_exception(error)
            except Exception as error:  # a unit that fails takes nobody with it
                savepoint.rollback()
                order.done.set_exception(error)
            else:
                results.append((order, result))
                head = journal.head
                touched |= {(journal.organisation, name) for name in journal.services}
                everything |= journal.wrote and not journal.services
        if head.revision > first.revision:
            log.advance(session, head)
            self._marks.raise_to(head.revision, touched, everything)
        self._commit(session)

    def _commit(self, session: Session) -> None:
        try:
            session.commit()
        except exc.DBAPIError as error:
            if isinstance(storage_error(error), StorageFailed):
                # SQLite would gladly acknowledge the next commit, over a gap in what is on disk.
                self.failed = True
            raise

    def _judge(self, error: exc.DBAPIError) -> Exception:
        meant = storage_error(error)
        if meant is None:
            return error
        _logger.error("nothing was written: %s (%s)", meant.code, error.orig)
        return meant


def _fail(batch: list[_Order[Any]], error: Exception) -> None:
    for order in batch:
        if not order.done.done():
            order.done.set_exception(error)
