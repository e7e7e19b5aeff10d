"""A write waits for as long as was promised, from when it arrived; and nobody else waits for it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from distributed_config.asgi.pools import Late, Pool
from distributed_config.commands import schema
from distributed_config.errors import DatabaseBusy, StorageFailed
from distributed_config.models.sqlite import writing_engine
from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store import writer as writer_module
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import Writer
from distributed_config.wire import Document, digest_of
from tests.support.faults import assert_refused, each_on_a_new_connection, locked
from tests.support.server import Api, Server

EMPTY = Document("{}", digest_of("{}"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    settings = Settings(instance=tmp_path)
    schema.upgrade(settings)
    return settings.database_path


@pytest.fixture
def writer(database: Path) -> Iterator[Writer]:
    made = Writer(writing_engine(database, 1), Watermarks(database), lock_seconds=1)
    yield made
    made.stop()


def put(name: str) -> Callable[[Transaction], object]:
    return lambda transaction: versions.put(transaction, Series(name), EMPTY)


# --- for a thread


def test_work_that_finds_no_thread_in_time_is_refused_and_never_begun() -> None:
    held, go_on = threading.Event(), threading.Event()
    begun: list[str] = []

    def hold(_waited: float) -> str:
        held.set()
        go_on.wait(10)
        return "held"

    def note(name: str) -> Callable[[float], None]:
        return lambda _waited: begun.append(name)

    async def scene() -> None:
        pool = Pool("test", 1, patience=0.05)
        first = asyncio.ensure_future(pool.run(hold))
        while not held.is_set():
            await asyncio.sleep(0)
        late = [asyncio.ensure_future(pool.run(note(f"late {i}"))) for i in range(20)]
        ends = await asyncio.gather(*late, return_exceptions=True)
        assert [type(end) for end in ends] == [Late] * 20
        assert pool.active == 1
        go_on.set()
        assert await first == "held"  # what has begun is finished, however long it takes
        assert await pool.run(lambda waited: waited < 10)
        pool.shutdown()

    asyncio.run(scene())

    assert begun == []


def test_the_time_that_a_write_waited_for_its_thread_is_taken_from_what_it_may_wait(
    database: Path,
) -> None:
    patient = Writer(writing_engine(database, 1), Watermarks(database), lock_seconds=60)
    with ThreadPoolExecutor(2) as threads:
        with locked(database):
            late = threads.submit(patient.write, LOCAL_OPERATOR, put("late"), waited=60)
            soon = threads.submit(patient.write, LOCAL_OPERATOR, put("soon"), waited=20)
            assert isinstance(late.exception(20), DatabaseBusy)
            assert not soon.done()
        soon.result(20)
    patient.stop()


# --- for the lock


def test_who_came_later_than_the_first_is_not_refused_with_it(
    writer: Writer, database: Path
) -> None:
    with ThreadPoolExecutor(2) as threads:
        with locked(database):
            first = threads.submit(writer.write, LOCAL_OPERATOR, put("first"))
            time.sleep(0.6)
            second = threads.submit(writer.write, LOCAL_OPERATOR, put("second"))
            assert isinstance(first.exception(5), DatabaseBusy)
            time.sleep(0.1)  # SQLite has given up as well by now
            assert not second.done()
        second.result(5)


def test_of_many_writers_before_a_locked_database_nobody_waits_for_the_others(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "instance", workers=1, threads=3, lock_seconds=1) as server:
        server.api.put("web", {"n": 0})

        def write(number: int) -> float:
            began = time.monotonic()
            for answer in each_on_a_new_connection(
                server, lambda api, _: api.put("web", {"n": number}), 1
            ):
                assert_refused(answer, 503, "database-busy")
            return time.monotonic() - began

        with locked(server.database), ThreadPoolExecutor(40) as threads:
            waits = list(threads.map(write, range(1, 41)))

        # Two at a time, each two a second after those before: that would be twenty seconds.
        assert max(waits) < 10
        assert server.api.put("web", {"n": "after"}).json()["version"] == 1


# --- probes


def test_probes_are_answered_while_more_writes_wait_than_there_are_threads(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "instance", workers=1, threads=3, lock_seconds=20) as server:
        server.api.put("web", {"n": 0})
        with closing(Api(server.url)) as probes, ThreadPoolExecutor(12) as threads:
            with locked(server.database):
                writes = [threads.submit(_put, server, i) for i in range(12)]
                time.sleep(0.3)
                for _ in range(3):
                    assert_refused(probes.http.get("/readyz"), 503, "database-busy")
                    assert probes.http.get("/healthz").status_code == 200
                assert not any(write.done() for write in writes)
            assert [write.result() for write in writes] == [200] * 12
            assert probes.http.get("/readyz").status_code == 200


def test_probes_are_answered_while_no_more_requests_may_wait(tmp_path: Path) -> None:
    settings = {"workers": 1, "threads": 3, "queue": 2, "lock_seconds": 20}
    with Server(tmp_path / "instance", **settings) as server:
        server.api.put("web", {"n": 0})
        with closing(Api(server.url)) as probes, ThreadPoolExecutor(2) as threads:
            with locked(server.database):
                writes = [threads.submit(_put, server, i) for i in range(2)]
                time.sleep(0.3)
                assert_refused(probes.get("web", format="yaml"), 503, "overloaded")
                assert probes.http.get("/healthz").status_code == 200
                assert_refused(probes.http.get("/readyz"), 503, "database-busy")
            assert [write.result() for write in writes] == [200] * 2


def test_readings_of_secrets_that_wait_for_a_lock_hold_up_no_other_reading(
    tmp_path: Path,
) -> None:
    marks = {"type": "object", "properties": {"password": {"x-secret": True}}}
    with Server(tmp_path / "instance", workers=1, threads=3, lock_seconds=20) as server:
        server.api.define("marks", marks)
        server.api.put("secret", {"password": "hidden"}, definition="marks")
        server.api.put("web", {"n": 0})

        def read() -> str:
            with closing(Api(server.url)) as api:
                return api.get("secret", version="current").text

        with closing(Api(server.url)) as others, ThreadPoolExecutor(8) as threads:
            with locked(server.database):
                readings = [threads.submit(read) for _ in range(8)]
                time.sleep(0.3)
                for _ in range(3):
                    found = others.get("web", version="current", min_revision=0)
                    assert found.json() == {"n": 0}
                assert not any(reading.done() for reading in readings)
            assert [reading.result() for reading in readings] == ['{"password": "hidden"}'] * 8


def _put(server: Server, number: int) -> int:
    with closing(Api(server.url)) as api:
        return api.put("web", {"n": number + 1}).status_code


def test_a_probe_waits_for_nothing_when_others_have_waited_as_long(
    writer: Writer, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writer.probe() == 0
    writer.write(LOCAL_OPERATOR, put("web"))
    assert writer.probe() == 1
    with ThreadPoolExecutor(2) as threads:
        with locked(database):
            waiting = threads.submit(writer.write, LOCAL_OPERATOR, put("other"))
            monkeypatch.setattr(writer_module, "_PROBE_SECONDS", 60.0)
            while writer._waiting_since is None:
                time.sleep(0.01)
            writer._waiting_since -= 60
            assert isinstance(threads.submit(writer.probe).exception(20), DatabaseBusy)
            assert not waiting.done()
        monkeypatch.undo()
        waiting.result(5)
        assert writer.probe() == 2


def test_a_probe_says_that_the_disk_failed(writer: Writer, database: Path) -> None:
    Watermarks(database).fail()

    with pytest.raises(StorageFailed):
        writer.probe()
