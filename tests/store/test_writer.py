"""The writer, without a server: what one unit meets is not its neighbours' to bear."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from distributed_config.commands import schema
from distributed_config.models import AuditRow, ChangeRow
from distributed_config.models import sqlite as engines
from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.batch import Job
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import BatchStats, Writer
from distributed_config.wire import Document, digest_of
from tests.support.load import audit
from tests.support.waiting import until

DAMAGED = OperationalError("SELECT", {}, Exception("Could not decode to UTF-8 column"))
NUMBERS = count()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    schema.upgrade(Settings(instance=tmp_path))
    return tmp_path / "distconf.db"


@pytest.fixture
def commits() -> list[BatchStats]:
    return []


@pytest.fixture
def writer(database: Path, commits: list[BatchStats]) -> Iterator[Writer]:
    made = Writer(engines.writing_engine(database, 5), Watermarks(database), 5, commits.append)
    yield made
    made.stop()


def put(transaction: Transaction, name: str = "web") -> int:
    text = f'{{"n": {next(NUMBERS)}}}'
    return versions.put(transaction, Series(name), Document(text, digest_of(text))).number


def putting(name: str) -> Callable[[Transaction], int]:
    return lambda transaction: put(transaction, name)


def in_one_batch(writer: Writer, *units: Callable[[Transaction], Any]) -> list[Any]:
    """Write ``units`` in their order; return what each returned or raised."""
    held, go_on = threading.Event(), threading.Event()

    def hold(_transaction: Transaction) -> None:
        held.set()
        go_on.wait(5)

    def write(unit: Callable[[Transaction], Any]) -> Any:
        try:
            return writer.write(LOCAL_OPERATOR, unit)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(units) + 1) as pool:
        first = pool.submit(write, hold)
        assert held.wait(5)
        outcomes = []
        for number, unit in enumerate(units, 1):
            outcomes.append(pool.submit(write, unit))
            until(lambda number=number: writer._queue.qsize() == number)  # type: ignore[misc]
        go_on.set()
        first.result()
        return [outcome.result() for outcome in outcomes]


def stored(database: Path, query: str) -> list[Any]:
    with engines.raw_connection(database) as connection:
        return list(connection.execute(query).fetchall())


def test_a_unit_that_meets_a_damaged_document_takes_nobody_with_it(
    writer: Writer, database: Path, commits: list[BatchStats]
) -> None:
    def meet_damage(_transaction: Transaction) -> None:
        raise DAMAGED

    assert in_one_batch(writer, meet_damage, put) == [DAMAGED, 0]
    assert [commit.units for commit in commits] == [1, 2]
    assert stored(database, "SELECT count(*) FROM versions") == [(1,)]


def test_a_unit_that_fails_after_it_has_written_is_undone_alone_and_not_run_again(
    writer: Writer, database: Path, commits: list[BatchStats]
) -> None:
    runs: list[str] = []

    def fail_late(transaction: Transaction) -> None:
        runs.append("late")
        put(transaction, "late")
        raise KeyError("late")

    def fail_later(transaction: Transaction) -> None:
        put(transaction, "later")
        raise KeyError("later")

    before, late, between, later, after = in_one_batch(
        writer, putting("before"), fail_late, putting("between"), fail_later, putting("before")
    )

    assert (before, between, after) == (0, 0, 1)
    assert (late.args, later.args) == (("late",), ("later",))
    assert runs == ["late"]
    assert [commit.units for commit in commits] == [1, 5]
    assert stored(database, "SELECT name FROM services ORDER BY id") == [("before",), ("between",)]
    assert stored(database, "SELECT revision, service FROM changes WHERE position = 0") == [
        (1, "before"),
        (2, "between"),
        (3, "before"),
    ]
    assert stored(database, "SELECT revision FROM audit ORDER BY id") == [(1,), (2,), (3,)]
    audit(database)


def test_what_a_unit_recorded_is_forgotten_with_it_even_if_it_wrote_no_row(
    writer: Writer, database: Path
) -> None:
    def record_and_fail(transaction: Transaction) -> None:
        transaction.record("service.tagged", "web")
        raise KeyError("recorded")

    failed, number = in_one_batch(writer, record_and_fail, put)

    assert (failed.args, number) == (("recorded",), 0)
    assert stored(database, "SELECT count(*) FROM changes WHERE kind = 'service.tagged'") == [(0,)]
    audit(database)


def test_a_unit_reads_what_the_units_before_it_recorded(writer: Writer) -> None:
    def count_changes(transaction: Transaction) -> Any:
        rows = transaction.connection.execute(select(func.count()).select_from(ChangeRow))
        return rows.scalar_one()

    def count_entries(transaction: Transaction) -> Any:
        rows = transaction.connection.execute(select(func.count()).select_from(AuditRow))
        return rows.scalar_one()

    first, changes, second, entries = in_one_batch(
        writer, putting("a"), count_changes, putting("b"), count_entries
    )

    assert (first, second) == (0, 0)
    assert (changes, entries) == (2, 2)  # to create a service is a change as well


def test_a_caller_that_has_given_up_does_not_fail_the_batch_that_is_run_again(
    writer: Writer, database: Path
) -> None:
    """The second pass meets the future of such a caller a second time."""
    ran: list[str] = []

    def fail_late(transaction: Transaction) -> None:
        put(transaction, "late")
        raise KeyError("late")

    def give_up(transaction: Transaction) -> Any:
        ran.append("given up")
        return put(transaction, "given up")

    def cancel_last(_transaction: Transaction) -> None:
        [job] = [job for job in jobs if job.unit is give_up]
        job.done.cancel()

    jobs: list[Job[Any]] = []
    submit = writer._submit

    def remember(*arguments: Any) -> Job[Any]:
        jobs.append(submit(*arguments))
        return jobs[-1]

    writer._submit = remember  # type: ignore[method-assign]
    first, gave_up, late, last = in_one_batch(
        writer, cancel_last, give_up, fail_late, putting("last")
    )

    assert (first, last, ran) == (None, 0, [])
    assert isinstance(gave_up, CancelledError)
    assert late.args == ("late",)
    assert stored(database, "SELECT name FROM services") == [("last",)]


def test_rows_that_cannot_be_inserted_fail_every_unit_that_recorded_some(
    writer: Writer, database: Path
) -> None:
    """Also the one that met the error first: it only read."""

    def spoil(transaction: Transaction) -> int:
        number = put(transaction, "first")
        [row] = transaction.pending._rows[ChangeRow][:1]
        transaction.pending.add_change(row)  # the same key twice
        return number

    def read(transaction: Transaction) -> Any:
        return transaction.connection.execute(select(ChangeRow.revision)).first()

    outcomes = in_one_batch(writer, spoil, read, putting("last"))

    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    assert stored(database, "SELECT count(*) FROM versions") == [(0,)]
