"""The one thread of a process that writes.

Callers hand it units of work and wait. It takes all that wait at the moment into one batch, and
commits once. So the fsync of a commit is shared by all that came while the one before was running,
and no thread polls for a lock that another thread of its process holds.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, exc

from distributed_config.errors import DatabaseBusy, StorageFailed
from distributed_config.models.sqlite import storage_error
from distributed_config.services.journal import transaction
from distributed_config.services.journal.head import Head, read_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.store.batch import Batch, Guard, Job, Outcome, Unit
from distributed_config.store.checkpoints import Checkpoints
from distributed_config.store.process_lock import ProcessLock
from distributed_config.store.uptime import uptime
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire import now

T = TypeVar("T")

_MOST_IN_BATCH = 64
_PROBE_SECONDS = 0.8
"""How long a probe waits: a load balancer often gives up on readiness after a second."""
_CLOCK_TOLERANCE = 1.0
_WARNS_EVERY = 3_600.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchStats:
    """The figures of one batch, for metrics: its units, and the seconds that it took."""

    units: int
    seconds: float


class _Undone(Exception):  # nothing went wrong: it carries a result out of a unit
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Writer:
    """Writes units of work to the database of ``engine``; its thread starts when it is needed.

    ``on_commit`` gets the figures of each batch, in the writer's thread. ``work_ms`` is the
    processor time that a unit may use under the lock, in milliseconds; None: any.
    """

    def __init__(
        self,
        engine: Engine,
        watermarks: Watermarks,
        lock_seconds: int,
        on_commit: Callable[[BatchStats], None] = lambda _stats: None,
        work_ms: int | None = None,
    ) -> None:
        self._engine = engine
        self._watermarks = watermarks
        self._lock = ProcessLock(watermarks.path)
        self._checkpoints = Checkpoints(engine, watermarks)
        self._guard = Guard(engine)
        self._lock_seconds = lock_seconds
        self._on_commit = on_commit
        self._work_ms = work_ms
        self._queue: SimpleQueue[Job[Any] | None] = SimpleQueue()
        # Jobs that were taken from the queue and have to wait; only the thread touches them.
        self._deferred: deque[Job[Any]] = deque()
        self._waiting_since: float | None = None
        self._probe: Job[int] | None = None
        self._warns_at = 0.0
        self._starting = threading.Lock()
        self._probing = threading.Lock()
        self._thread: threading.Thread | None = None

    def write(self, actor: Actor, unit: Unit[T], note: str = "", waited: float = 0) -> T:
        """Return what ``unit`` returns, once all that it wrote is on disk.

        ``waited`` is how many seconds the caller has waited already, of those that a write may
        wait. Whatever the unit raises is raised here, and nothing of it is written. Raises
        DatabaseBusy, StorageFull or StorageFailed when it could not be written.
        """
        patience = max(0.0, self._lock_seconds - waited)
        job = self._submit(actor, unit, note, patience)
        try:
            return job.done.result(patience)
        except TimeoutError:
            if job.done.cancel():
                raise DatabaseBusy() from None
            # It is being written. Only the outcome can tell whether "busy" would be a lie.
            return job.done.result()

    def post(self, actor: Actor, unit: Unit[Any]) -> None:
        """Have ``unit`` written some time soon. No caller waits for it, and it may be lost."""
        with suppress(StorageFailed):
            self._submit(actor, unit, "", 0).done.add_done_callback(_log_failure)

    def probe(self) -> int:
        """Return the journal's revision, once a small write has gone all the way to the disk.

        Waits for less than a second, and not at all when others have waited for the database as
        long as that already. Raises DatabaseBusy, StorageFull or StorageFailed.
        """
        self._refuse_after_failure()
        with self._probing:
            if self._probe is None or self._probe.done.done():
                # It is tried for longer than anybody waits: the next probe finds it under way,
                # and a busy database does not fill up with probes.
                self._probe = self._submit(
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
        """Return what ``unit`` would return; everything that it wrote is undone."""

        def undo(transaction: Transaction) -> None:
            transaction.is_rehearsal = True
            raise _Undone(unit(transaction))

        try:
            self.write(actor, undo, note, waited)
        except _Undone as end:
            return cast(T, end.result)
        raise AssertionError("a rehearsal always ends by being undone")

    def stop(self) -> None:
        """End the thread, after all that was handed to it before is written."""
        if self._thread is not None and self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
            self._checkpoints.finish()
        self._engine.dispose()

    def _refuse_after_failure(self) -> None:
        if self._watermarks.failed:
            raise StorageFailed()
        self._watermarks.require_in_place()

    def _submit(self, actor: Actor, unit: Unit[T], note: str, patience: float) -> Job[T]:
        """Put a job into the queue, and make sure that there is a thread to take it."""
        self._refuse_after_failure()
        self._ensure_thread()
        job = Job(actor, note, unit, Future[T](), time.monotonic() + patience)
        self._queue.put(job)
        return job

    def _ensure_thread(self) -> None:
        # It is started here, and not with the writer: the server forks in between, and a thread
        # would stay behind in the parent.
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if not job.done.cancelled():
                self._write_batch(job)
                self._checkpoints.move_if_large()

    def _next(self) -> Job[Any] | None:
        """Wait for the next job; None is the mark of the end. Deferred jobs came first."""
        return self._deferred.popleft() if self._deferred else self._queue.get()

    def _write_batch(self, first: Job[Any]) -> None:
        """Write ``first`` and all that wait after it by the time the database's lock is held."""
        began = time.perf_counter()
        jobs: list[Job[Any]] | None = None
        self._waiting_since = self._waiting_since or time.monotonic()
        try:
            with self._lock.acquire(), self._engine.connect() as connection:
                self._refuse_after_failure()
                stored = read_head(connection)  # the first statement takes the lock
                self._waiting_since = None
                head = replace(stored, steady=stored.steady.advance(uptime()))
                self._warn_of_clock(head)
                # Only now: all that came while this process waited for the lock shares the commit.
                jobs = self._collect(first)
                outcomes = self._commit_batch(connection, head, jobs)
        except Exception as error:  # whatever it is, the callers must hear of it
            meaning = self._to_storage_error(error)
            if jobs is None:
                self._defer_or_fail(self._collect(first), meaning)
            else:
                for job in jobs:
                    job.fail(meaning)
            return
        self._report(BatchStats(len(outcomes), time.perf_counter() - began))
        for outcome in outcomes:
            outcome.deliver()

    def _warn_of_clock(self, head: Head) -> None:
        """Log, now and then, that changes cannot have the time of the clock."""
        lag = head.clock_lag(now())
        if lag < _CLOCK_TOLERANCE or time.monotonic() < self._warns_at:
            return
        self._warns_at = time.monotonic() + _WARNS_EVERY
        _logger.warning(
            "the clock stands %.0f s behind the newest change: until it has passed that, every "
            "change gets that time. Set the clock right; `distconf check` says more.",
            lag,
        )

    def _defer_or_fail(self, jobs: list[Job[Any]], error: Exception) -> None:
        """End the jobs that did not get the lock; those with time left wait on.

        Each waits for as long as it was promised, and not for what is left of the first one's time.
        """
        moment = time.monotonic()
        for job in jobs:
            if isinstance(error, DatabaseBusy) and job.deadline > moment:
                self._deferred.append(job)
            else:
                job.fail(error)
        if not self._deferred and self._queue.empty():
            self._waiting_since = None  # nobody waits any more

    def _report(self, stats: BatchStats) -> None:
        """Measure a batch before its callers go on: they may look for it in the metrics."""
        try:
            self._on_commit(stats)
        except Exception:  # the batch is on the disk, and its callers must hear of that
            _logger.exception("a commit could not be measured")

    def _collect(self, first: Job[Any]) -> list[Job[Any]]:
        """Return ``first`` and the jobs that wait after it, in the order in which they came."""
        jobs = [first]
        while len(jobs) < _MOST_IN_BATCH and (self._deferred or not self._queue.empty()):
            job = self._next()
            if job is None:
                self._queue.put(None)  # the mark of the end is the loop's to take
                break
            jobs.append(job)
        return jobs

    def _commit_batch(
        self, connection: Connection, head: Head, jobs: list[Job[Any]]
    ) -> list[Outcome]:
        """Run the jobs and commit; return the outcomes, which no caller may see before.

        Even a refusal may rest on what another unit of the batch wrote. The rest of a long batch
        is deferred, so that the other processes have their turn.
        """
        batch = Batch(connection, head, self._guard, self._work_ms)
        deferred = batch.run(jobs)
        batch.finish()
        if batch.has_changes:
            # Before the commit: a process that is killed between the two leaves a watermark that
            # is too high, which costs some cached responses. The other way round they would lie.
            self._watermarks.raise_to(batch.head.revision, batch.touched, batch.affects_all)
        self._commit(connection)
        self._watermarks.require_in_place()  # else it went into a file that nobody finds
        if batch.has_changes:
            self._watermarks.acknowledge(batch.head.epoch, batch.head.revision)
        self._deferred.extendleft(reversed(deferred))
        return batch.outcomes

    def _commit(self, connection: Connection) -> None:
        try:
            connection.commit()
        except exc.DBAPIError as error:
            if isinstance(storage_error(error), StorageFailed):
                # SQLite would gladly acknowledge the next commit, over a gap in what is on disk.
                self._watermarks.fail()
            raise

    def _to_storage_error(self, error: Exception) -> Exception:
        """Return what the callers are told instead of an error of the driver, and log it."""
        meaning = storage_error(error) if isinstance(error, exc.DBAPIError) else None
        if meaning is None:
            _logger.error("a batch of writes failed", exc_info=error)
            return error
        _logger.error("nothing was written: %s (%s)", meaning.code, error)
        return meaning


def _log_failure(done: "Future[Any]") -> None:
    if not done.cancelled() and done.exception() is not None:
        _logger.warning("a write that no caller waits for was lost: %s", done.exception())
