"""A full disk, a locked database, a failing disk, a damaged file: refused plainly, never served."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from distributed_config.commands import schema
from distributed_config.models.sqlite import raw_connection, writing_engine
from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import Writer
from distributed_config.wire import Document
from tests.support.faults import (
    SOME,
    assert_refused,
    each_on_a_new_connection,
    fill,
    injected,
    locked,
)
from tests.support.load import (
    Acknowledged,
    Load,
    assert_stored,
    audit,
    digest_of,
)
from tests.support.processes import replace_worker, workers_of
from tests.support.server import Api, Server

# --- a full disk


def _fill_until_nothing_fits(server: Server) -> list[Acknowledged]:
    """Fill the free pages of the database; return the writes that were still acknowledged."""
    acknowledged = []
    for text in ("x" * 20_000, ""):
        for i in range(1_000):
            document = {"i": i, "text": text}
            answer = server.api.patch("written", document)
            if answer.status_code != 200:
                assert_refused(answer, 507, "storage-full")
                break
            digest = digest_of(document)
            acknowledged.append(Acknowledged("written", answer.json()["version"], digest))
        else:
            raise AssertionError("the disk does not get full")
    return acknowledged


def _assert_writes_are_refused(server: Server) -> None:
    """Check that writes of every kind are refused by every worker."""
    text = {"text": "x" * 5_000}
    step = {"service": "hot", "document": text}
    kinds: list[Callable[[Api, int], httpx2.Response]] = [
        lambda api, i: api.patch("written", {"never": i, **text}),
        lambda api, i: api.put("hot", {"never": i, **text}),
        lambda api, i: api.post(f"never-{i}", text),
        lambda api, i: api.http.post("/api/v1/changesets", json={"changes": [step]}),
    ]
    for kind in kinds:
        for answer in each_on_a_new_connection(server, kind, 6):
            assert_refused(answer, 507, "storage-full")
    for answer in each_on_a_new_connection(
        server, lambda api, _: api.http.get("/api/v1/export"), 3
    ):
        assert_refused(answer, 507, "storage-full")
    # The dialects refuse too, each with error bodies of its own.
    new: dict[str, Any] = {"section": "never", "values": text}
    others: list[Callable[[Api, int], httpx2.Response]] = [
        lambda api, _: api.http.get("/config/export"),
        lambda api, _: api.http.post("/config/set", json=new),
        lambda api, i: api.http.post(
            "/config_definition", json={"config_definition_key": f"never{i}", "json_schema": text}
        ),
    ]
    for other in others:
        for answer in each_on_a_new_connection(server, other, 3):
            assert answer.status_code == 507, answer.text
            assert answer.headers["Retry-After"] == "10"


def _assert_reads_are_answered(server: Server, documents: dict[str, Any]) -> None:
    """Check reads at every worker; those of YAML are rare, so that hardly one is replayed."""
    for name, document in documents.items():
        for answer in each_on_a_new_connection(
            server, lambda api, _, name=name: api.get(name, version="current"), 6
        ):
            assert (answer.status_code, answer.json()) == (200, document)
        for answer in each_on_a_new_connection(
            server, lambda api, _, name=name: api.get(name, version="current", format="yaml"), 6
        ):
            assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("log_too", [False, True], ids=["log elsewhere", "log on it too"])
def test_on_a_full_disk_reads_go_on_and_writes_again_once_there_is_space(
    tmp_path: Path, small_disk: Path, log_too: bool
) -> None:
    server = Server(small_disk / "instance")
    if not log_too:
        server.log = tmp_path / "server.log"
    with server:
        server.api.put("hot", {"hot": True})
        server.api.put("written", {"first": True})
        server.api.get("hot", version="current")
        filler = fill(small_disk)
        acknowledged = _fill_until_nothing_fits(server)
        head = server.api.changes()[-1]["revision"]
        documents = {
            "hot": {"hot": True},
            "written": server.api.versions("written")[-1]["document"],
        }

        _assert_writes_are_refused(server)
        _assert_reads_are_answered(server, documents)
        assert server.api.http.get("/healthz").status_code == 200
        for answer in each_on_a_new_connection(server, lambda api, _: api.http.get("/readyz")):
            assert_refused(answer, 507, "storage-full")
        replace_worker(server, min(workers_of(server)))
        _assert_writes_are_refused(server)
        _assert_reads_are_answered(server, documents)
        assert server.api.changes()[-1]["revision"] == head

        filler.unlink()

        _assert_reads_are_answered(server, documents)
        for answer in each_on_a_new_connection(server, lambda api, i: api.put("hot", {"back": i})):
            assert answer.status_code == 200, answer.text
        for answer in each_on_a_new_connection(server, lambda api, _: api.http.get("/readyz")):
            assert answer.status_code == 200, answer.text
        assert_stored(server, acknowledged)


# --- a locked database


def test_a_lock_of_three_seconds_is_waited_for_and_nobody_sees_an_error(own_server: Server) -> None:
    own_server.api.put("web", {"first": True})
    own_server.api.put("read", {"read": True})
    ended = threading.Event()
    statuses: set[int] = set()

    def read() -> None:
        with closing(Api(own_server.url)) as api:
            while not ended.is_set():
                statuses.add(api.get("read", version="current").status_code)
                statuses.add(api.get("web", version=0).status_code)

    readers = [threading.Thread(target=read) for _ in range(4)]
    with Load(own_server.url, ["web"]) as load:
        for reader in readers:
            reader.start()
        try:
            load.wait_for(20)
            with locked(own_server.database):
                time.sleep(3)
            load.wait_for(20)
        finally:
            ended.set()
            for reader in readers:
                reader.join()
    assert [answer.text for answer in load.refused] == []
    assert statuses == {200}
    assert_stored(own_server, load.acknowledged)


def test_reads_go_on_while_more_writes_than_threads_wait_for_a_lock(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "instance", workers=1, threads=6, lock_seconds=20) as server:
        server.api.put("web", {"n": 0})
        with closing(Api(server.url)) as readers, ThreadPoolExecutor(24) as threads:
            with locked(server.database):
                writes = [threads.submit(_put, server, i) for i in range(20)]
                time.sleep(0.5)
                for _ in range(20):
                    # With min_revision a read is not answered from the cache.
                    response = readers.get("web", version="current", min_revision=0)
                    assert response.json() == {"n": 0}
                assert not any(future.done() for future in writes)
            assert [future.result() for future in writes] == [200] * 20


def _put(server: Server, number: int) -> int:
    with closing(Api(server.url)) as api:
        return api.put("web", {"n": number + 1}).status_code


def test_a_lock_that_lasts_longer_is_answered_with_503_and_writes_work_after_it(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "instance", lock_seconds=1) as server:
        server.api.put("web", {"n": 0})
        server.api.get("web", version="current")
        with locked(server.database):
            began = time.monotonic()
            refused: list[httpx2.Response] = []
            threads = [
                threading.Thread(
                    target=lambda: refused.extend(
                        each_on_a_new_connection(server, lambda api, i: api.put("web", {"n": 1}), 1)
                    )
                )
                for _ in range(12)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert time.monotonic() - began < 10
            assert len(refused) == 12
            for answer in refused:
                assert_refused(answer, 503, "database-busy")
            assert server.api.get("web", version="current").json() == {"n": 0}
            assert server.api.get("web", version=0, format="yaml").status_code == 200
            assert server.api.http.get("/healthz").status_code == 200
            assert_refused(server.api.http.get("/readyz"), 503, "database-busy")
        answers = each_on_a_new_connection(server, lambda api, i: api.put("web", {"after": i}))
        assert [answer.json()["version"] for answer in answers] == list(range(1, SOME + 1))
        assert server.api.http.get("/readyz").status_code == 200
        audit(server.database)


# --- a damaged file


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database of some hundred pages, as one file."""
    settings = Settings(instance=tmp_path_factory.mktemp("sound"))
    schema.upgrade(settings)
    path = settings.database_path
    writer = Writer(writing_engine(path, 5), Watermarks(path), 5)
    for i in range(60):
        text = f'{{"text": "{f"{i:04}" * 2_000}"}}'
        document = Document(text, digest_of(text))
        writer.write(
            LOCAL_OPERATOR, lambda unit, i=i, d=document: versions.put(unit, Series(f"s{i}"), d)
        )
    writer.stop()
    with raw_connection(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def _garbage(sound: bytes) -> bytes:
    return Random(1).randbytes(len(sound))


def _pages_overwritten(sound: bytes) -> bytes:
    middle = len(sound) // 2 // 4096 * 4096
    return sound[:middle] + Random(2).randbytes(8 * 4096) + sound[middle + 8 * 4096 :]


def _zeros_in_the_middle(sound: bytes) -> bytes:
    middle = len(sound) // 2 // 4096 * 4096
    return sound[:middle] + bytes(8 * 4096) + sound[middle + 8 * 4096 :]


def _cut_at_a_page(sound: bytes) -> bytes:
    return sound[: len(sound) // 2 // 4096 * 4096]


def _cut_within_a_page(sound: bytes) -> bytes:
    return sound[: len(sound) // 2 // 4096 * 4096 + 1_000]


def _cut_within_the_header(sound: bytes) -> bytes:
    return sound[:50]


@pytest.mark.parametrize(
    ("damage", "upgrade"),
    [
        (_garbage, ""),
        (_garbage, "--upgrade"),
        (_pages_overwritten, ""),
        (_pages_overwritten, "--upgrade"),
        (_zeros_in_the_middle, ""),
        (_cut_at_a_page, "--upgrade"),
        (_cut_within_a_page, ""),
        (_cut_within_the_header, "--upgrade"),
    ],
)
def test_a_damaged_database_is_refused_with_one_plain_sentence(
    tmp_path: Path, sound_file: bytes, damage: Callable[[bytes], bytes], upgrade: str
) -> None:
    server = Server(tmp_path / "instance")
    server.instance.mkdir()
    server.database.write_bytes(damage(sound_file))

    code, output, errors = _end_of(server, "serve", *filter(None, [upgrade]))

    assert (code, output) == (1, "")
    [line] = errors.splitlines()
    assert line.startswith(f"distconf: The database {server.database} is damaged (")
    assert line.endswith(".")


def _end_of(server: Server, *arguments: str) -> tuple[int, str, str]:
    """Run a command that should end soon; return its exit code, output and errors.

    It is killed if it serves instead.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed_config", *arguments],
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            output, errors = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output, errors


_TAMPERED = {
    # Valid JSON that nobody stored.
    "changed": "UPDATE versions SET document = '{\"n\": 66}' WHERE number = 1 AND service_id = ?",
    # One flipped bit in the middle of the document, which makes it invalid UTF-8.
    "no-text": "UPDATE versions SET document = CAST(replace(CAST(document AS BLOB), x'31', x'b1') "
    "AS TEXT) WHERE number = 1 AND service_id = ?",
}

_READS = [
    "/config?service={}",
    "/config?service={}&version=current",
    "/config?service={}&version=1",
    "/config?service={}&version=1&format=yaml",
    f"/config?service={{}}&as_of={2 * len(_TAMPERED)}",  # by then all of them are written
    "/api/v1/versions?service={}&documents=true",
    "/api/v1/diff?service={}&from=0&to=1",
    "/api/v1/export?prefix={}",
]
_MERGE = {"Content-Type": "application/merge-patch+json"}


def test_a_damaged_document_is_never_served_nor_built_upon(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "instance") as server:
        for name in (*_TAMPERED, "sound"):
            server.api.put(name, {"n": 0})
            server.api.put(name, {"n": 1})
        server.stop()
        for name, statement in _TAMPERED.items():
            _tamper(server.database, name, statement)
        server.start()

        for name in _TAMPERED:
            for path in _READS:
                for _ in range(2):
                    assert_refused(server.api.http.get(path.format(name)), 503)
            assert_refused(server.api.patch(name, {"m": 1}, headers=_MERGE), 503)
            assert_refused(server.api.http.post(f"/api/v1/rollback?service={name}&to=1"), 503)
            # Its other versions are served.
            assert server.api.get(name, version=0).json() == {"n": 0}
            assert server.api.patch(name, {"n": 2}).json()["version"] == 2
            assert server.api.get(name, version="current").json() == {"n": 2}
        assert server.api.get("sound", version="current").json() == {"n": 1}


def _tamper(database: Path, name: str, statement: str) -> None:
    with raw_connection(database) as connection:
        [(service_id,)] = connection.execute(
            "SELECT id FROM services WHERE name = ?", (name,)
        ).fetchall()
        connection.execute(statement, (service_id,))


# --- a failing disk


_WRITES: list[Callable[[Api, int], httpx2.Response]] = [
    lambda api, i: api.patch("web", {"refused": i}),
    lambda api, i: api.put("web", {"refused": i}),
    lambda api, i: api.post(f"refused-{i}", {}),
    lambda api, i: api.enable("web", 0, False),
    lambda api, i: api.http.post("/api/v1/rollback", params={"service": "web", "to": 0}),
    lambda api, i: api.http.get("/readyz"),
]


def _write_some(server: Server) -> list[Acknowledged]:
    """Make writes at every worker; return the acknowledged ones."""
    server.api.put("web", {"n": -1})
    answers = each_on_a_new_connection(server, lambda api, i: api.patch("web", {"n": i}))
    return [
        Acknowledged("web", answer.json()["version"], digest_of({"n": i}))
        for i, answer in enumerate(answers)
    ]


def _assert_only_reads_go_on(server: Server, acknowledged: list[Acknowledged]) -> None:
    """Check that every worker answers reads, and refuses writes."""

    def read(api: Api, _: int) -> httpx2.Response:
        return api.get("web", version="current")

    for write in _WRITES:
        for answer in each_on_a_new_connection(server, write, 10):
            assert_refused(answer, 503, "storage-failed")
    for answer in each_on_a_new_connection(server, read):
        assert answer.status_code == 200
        assert int(answer.headers["Config-Version"]) == acknowledged[-1].number
    assert server.api.get("web", version=1, format="yaml").status_code == 200
    assert server.api.http.get("/healthz").status_code == 200


def test_a_write_is_answered_only_after_its_flush_to_the_disk_has_come_back(
    own_server: Server,
) -> None:
    own_server.api.put("web", {"n": 0})
    with injected("delay_exit=1000000", workers_of(own_server)):
        for n in (1, 2):
            began = time.monotonic()
            assert own_server.api.patch("web", {"n": n}).status_code == 200
            assert time.monotonic() - began >= 1


def test_after_one_failed_flush_no_worker_acknowledges_anything_until_a_restart(
    own_server: Server,
) -> None:
    """What one worker could not flush, another worker's commit must not rest upon.

    The kernel reports a failed flush once and never again, and the worker that saw it may be gone.
    """
    acknowledged = _write_some(own_server)
    failing = min(workers_of(own_server))

    with injected("error=EIO:when=1", {failing}):
        _write_until_refused(own_server, acknowledged)

    _assert_only_reads_go_on(own_server, acknowledged)
    replace_worker(own_server, failing)
    _assert_only_reads_go_on(own_server, acknowledged)

    own_server.stop()
    own_server.start()
    assert_stored(own_server, acknowledged)
    assert own_server.api.http.get("/readyz").status_code == 200
    assert own_server.api.patch("web", {"restarted": True}).status_code == 200
    audit(own_server.database)


def _write_until_refused(server: Server, acknowledged: list[Acknowledged]) -> None:
    for i in range(200):
        document = {"until": i}
        [answer] = each_on_a_new_connection(
            server, lambda api, _, d=document: api.patch("web", d), 1
        )
        if answer.status_code != 200:
            assert_refused(answer, 503, "storage-failed")
            return
        acknowledged.append(Acknowledged("web", answer.json()["version"], digest_of(document)))
    raise AssertionError("no write reached the failing worker")
