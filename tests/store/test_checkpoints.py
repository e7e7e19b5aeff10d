"""Moving SQLite's log into the database: its errors end writing, and the log does not grow on."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from distributed_config.commands import schema
from distributed_config.errors import StorageFailed
from distributed_config.models import sqlite as engines
from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.checkpoints import Checkpoints
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import Writer
from distributed_config.wire import Document, digest_of
from tests.support.faults import each_on_a_new_connection, injected
from tests.support.load import audit
from tests.support.processes import workers_of
from tests.support.server import Api, Server

_LARGE = "x" * 200_000  # twenty of these are what is moved at once


@pytest.fixture
def database(tmp_path: Path) -> Path:
    settings = Settings(instance=tmp_path)
    schema.upgrade(settings)
    return settings.database_path


@contextmanager
def writing(database: Path) -> Iterator[Writer]:
    writer = Writer(engines.writing_engine(database, 5), Watermarks(database), 5)
    try:
        yield writer
    finally:
        writer.stop()


def _write(writer: Writer, number: int) -> None:
    text = f'{{"n": {number}, "text": "{_LARGE}"}}'
    document = Document(text, digest_of(text))
    writer.write(
        LOCAL_OPERATOR, lambda transaction: versions.put(transaction, Series("web"), document)
    )


def _log_size(database: Path) -> int:
    return Path(f"{database}-wal").stat().st_size


# --- errors


def test_a_failed_flush_of_the_database_ends_writing_though_every_commit_was_flushed(
    own_server: Server,
) -> None:
    """Only what goes to the database's file fails: no commit ever meets an error."""
    own_server.api.put("web", {"n": 0})
    acknowledged = 0

    def write(api: Api, number: int) -> int:
        nonlocal acknowledged
        answer = api.patch("web", {"n": number, "text": _LARGE})
        acknowledged += answer.status_code == 200
        return answer.status_code

    with injected("error=EIO", workers_of(own_server), only=own_server.database):
        with closing(Api(own_server.url)) as api:
            statuses = [write(api, i) for i in range(200)]
        assert statuses[-1] == 503, "every write was acknowledged"
        for answer in each_on_a_new_connection(own_server, lambda api, i: api.put("web", {"i": i})):
            assert answer.json()["code"] == "storage-failed"
        assert own_server.api.http.get("/readyz").json()["code"] == "storage-failed"
        assert own_server.api.get("web", version="current").status_code == 200
    assert "could not be moved into the database" in own_server.log.read_text()

    own_server.stop()
    own_server.start()

    assert own_server.api.http.get("/readyz").status_code == 200
    assert len(own_server.api.versions("web")) == 1 + acknowledged
    audit(own_server.database)


def test_a_checkpoint_that_finds_others_at_work_is_no_error(database: Path) -> None:
    with writing(database) as writer, engines.raw_connection(database) as other:
        _write(writer, 0)
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM versions").fetchall()

        for number in range(1, 60):
            _write(writer, number)

        other.execute("ROLLBACK")
        _write(writer, 60)


def test_a_migration_whose_result_cannot_be_moved_makes_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(instance=tmp_path)

    def fail(_path: Path) -> None:
        raise StorageFailed()

    monkeypatch.setattr(engines, "empty_log", fail)
    with pytest.raises(StorageFailed):
        schema.upgrade(settings)

    assert list(tmp_path.iterdir()) == []


# --- growth


def test_the_log_is_moved_and_begins_again_when_it_has_become_large(database: Path) -> None:
    with writing(database) as writer:
        for number in range(200):
            _write(writer, number)
        assert _log_size(database) < 8 << 20
    assert not Path(f"{database}-wal").exists()


def test_the_log_does_not_grow_on_while_somebody_is_always_reading(database: Path) -> None:
    ended = threading.Event()
    engine = engines.writing_engine(database, 5)
    checkpoints = Checkpoints(engine, Watermarks(database), large=100, too_large=1_000)

    def read(pause: float) -> None:
        while not ended.wait(0.0005):
            with engines.raw_connection(database) as connection:
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM versions").fetchall()
                ended.wait(pause)

    readers = [threading.Thread(target=read, args=(0.004 + i / 1_000,)) for i in range(4)]
    with engines.raw_connection(database) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("CREATE TABLE filled (text)")
        for reader in readers:
            reader.start()
        try:
            for _ in range(150):
                writer.execute("INSERT INTO filled VALUES (?)", (_LARGE,))
                checkpoints.move_if_large()
        finally:
            ended.set()
            for reader in readers:
                reader.join()
            engine.dispose()
        # All that was written is seven times as much.
        assert _log_size(database) < 8 << 20


def test_the_file_of_a_stopped_server_holds_everything(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        server.api.put("web", {"n": 1})
    copy = shutil.copy(server.database, tmp_path / "copy.db")
    with engines.raw_connection(Path(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM versions").fetchone() == (1,)
