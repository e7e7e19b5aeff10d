"""Kills and ends at random moments: what was acknowledged is there afterwards, whole and in order.

``Load`` and ``audit`` are what other drills use as well.
"""

import hashlib
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

import httpx2
import pytest

from distributed_config.models.sqlite import raw_connection
from tests.conftest import need
from tests.support.server import JSON, Api, Server


class Acknowledged(NamedTuple):
    """A version that the server said is stored, and what was sent for it."""

    service: str
    number: int
    digest: str


class Load:
    """Writers that write without a pause, each on a connection of its own; use it in a ``with``.

    ``acknowledged`` is what was answered with 2xx, ``refused`` every other answer. An answer that
    never came counts as neither: the write may have happened or not.
    """

    def __init__(self, url: str, services: list[str], writers: int = 4) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.refused: list[httpx2.Response] = []
        self._url = url
        self._services = services
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number,), name=f"load-{number}")
            for number in range(writers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Waits until so many more writes were acknowledged."""
        enough = len(self.acknowledged) + more
        deadline = time.monotonic() + 20
        while len(self.acknowledged) < enough:
            assert time.monotonic() < deadline, f"writes stand still; refused: {self.refused[:3]}"
            time.sleep(0.005)

    def _write(self, writer: int) -> None:
        random = Random()  # never a document twice: PUT would make no version of it
        with closing(Api(self._url)) as api:
            while not self._ended.is_set():
                self._write_once(api, random, writer)

    def _write_once(self, api: Api, random: Random, writer: int) -> None:
        service = random.choice(self._services)
        text = random.choice("aä漢😀") * random.randrange(2_000)
        document = {"writer": writer, "n": random.getrandbits(60), "text": text}
        send = random.choice([api.put, api.patch])
        try:
            response = send(service, document)
        except httpx2.TransportError:
            time.sleep(0.01)  # the worker is gone, or the whole server
            return
        if response.status_code == 200:
            number = response.json()["version"]
            self.acknowledged.append(Acknowledged(service, number, digest_of(document)))
        else:
            self.refused.append(response)


def digest_of(document: Any) -> str:
    """The digest that a stored document must have, worked out without the server's code."""
    return hashlib.sha256(json.dumps(document, ensure_ascii=False).encode()).hexdigest()


def audit(database: Path) -> None:
    """Holds every stored version and the journal against each other, in the file itself."""
    with raw_connection(database) as connection:
        connection.execute("BEGIN")
        versions = connection.execute(
            "SELECT name, number, revision, digest, document FROM versions "
            "JOIN services ON services.id = service_id ORDER BY name, number"
        ).fetchall()
        changes = connection.execute(
            "SELECT service, number, revision, digest FROM changes "
            "WHERE kind = 'version.created' ORDER BY service, number"
        ).fetchall()
        revisions = connection.execute(
            "SELECT DISTINCT revision FROM changes ORDER BY 1"
        ).fetchall()
        [(head,)] = connection.execute("SELECT revision FROM head").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert [version[:4] for version in versions] == changes
    assert [revision for (revision,) in revisions] == list(range(1, head + 1))
    numbers: dict[str, list[int]] = {}
    for name, number, _, digest, document in versions:
        numbers.setdefault(name, []).append(number)
        assert hashlib.sha256(document.encode()).hexdigest() == digest, (name, number)
    for name, found in numbers.items():
        assert found == list(range(len(found))), name


def assert_kept(server: Server, acknowledged: list[Acknowledged]) -> None:
    """Every acknowledged version is served, with its digest and with its change."""
    changed = {
        (change["service"], change["version"], change["digest"])
        for change in server.api.changes()
        if change["kind"] == "version.created"
    }
    assert set(acknowledged) <= changed
    served = {
        (service, version["number"], version["digest"])
        for service in {each.service for each in acknowledged}
        for version in server.api.versions(service)
        if digest_of(version["document"]) == version["digest"]
    }
    assert set(acknowledged) <= served
    assert len(acknowledged) == len({each[:2] for each in acknowledged}), "a number was given twice"
    audit(server.database)


def workers_of(server: Server) -> set[int]:
    """The processes that answer, without the one that looks after them."""
    assert server.process is not None
    master = server.process.pid
    need(Path(f"/proc/{master}/task/{master}/children").exists(), "/proc with lists of children")
    return set(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))


def replace_worker(server: Server, killed: int) -> None:
    """Kills the worker ``killed`` and waits until another one is in its place."""
    number = len(workers_of(server))
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while killed in (there := workers_of(server)) or len(there) < number:
        assert time.monotonic() < deadline, f"the workers are {there} after {killed} was killed"
        time.sleep(0.02)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server to be killed. What it keeps in memory beside the database dies with the test."""
    server = Server(tmp_path / "instance")
    server.environment["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path / "metrics")
    (tmp_path / "metrics").mkdir()
    server.start()
    yield server
    assert server.process is not None
    if server.process.poll() is None:
        server.kill()


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_under_writers(
    mortal: Server, drill: bool
) -> None:
    random = Random()
    acknowledged: list[Acknowledged] = []
    services = ["red", "green", "blue"]
    for service in services:
        mortal.api.put(service, {})
    for _ in range(20 if drill else 3):
        with Load(mortal.url, services) as load:
            load.wait_for(1)
            time.sleep(random.uniform(0, 0.8))
            mortal.kill()
        assert [answer.text for answer in load.refused] == []
        acknowledged += load.acknowledged
        mortal.start()
        assert_kept(mortal, acknowledged)


def test_nothing_acknowledged_is_lost_when_one_worker_is_killed_and_another_takes_its_place(
    mortal: Server, drill: bool
) -> None:
    random = Random()
    for service in ("red", "green"):
        mortal.api.put(service, {})
    with Load(mortal.url, ["red", "green"]) as load:
        for _ in range(10 if drill else 3):
            load.wait_for(20)
            time.sleep(random.uniform(0, 0.3))
            replace_worker(mortal, random.choice(sorted(workers_of(mortal))))
            load.wait_for(20)
    assert [answer.text for answer in load.refused] == []
    assert_kept(mortal, load.acknowledged)


def test_sigterm_under_writers_loses_nothing_lets_a_held_read_go_and_ends_in_time(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "instance") as server:
        tag = server.api.put("held", {"still": "the same"}).headers["ETag"]
        server.api.put("red", {})
        with Load(server.url, ["red"]) as load, ThreadPoolExecutor(1) as pool:
            held = pool.submit(_held_read, server.url, "held", tag)
            load.wait_for(50)
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 10
            assert held.result().status_code == 304
        # Who comes too late is turned away in the one form, or finds nobody; nobody sees a 500.
        assert [answer.text for answer in load.refused if answer.status_code != 503] == []
        server.start()
        assert_kept(server, load.acknowledged)


def test_sigterm_ends_in_time_while_connections_are_open_and_some_ask_late(
    tmp_path: Path,
) -> None:
    """Who asks late on an open connection is answered as always, is told 503, or is cut off."""
    with Server(tmp_path / "instance") as server, ThreadPoolExecutor(40) as pool:
        server.api.put("web", {"n": -1})
        lines = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(41)]
        for line in lines:
            line.request("GET", "/healthz")
            assert line.getresponse().read()
        began = time.monotonic()
        late = [pool.submit(_ask_late, line, i) for i, line in enumerate(lines[1:])]
        assert server.stop() == 0
        assert time.monotonic() - began < 10
        answers = [each.result() for each in late]
        lines[0].close()

        assert {status for status, _ in answers} <= {200, 503, 0}
        server.start()
        acknowledged = {n: body for n, (status, body) in enumerate(answers) if status == 200}
        written = {n: json.loads(body)["version"] for n, body in acknowledged.items()}
        kept = {each["document"]["n"]: each["number"] for each in server.api.versions("web")}
        assert written.items() <= kept.items()


def _ask_late(line: http.client.HTTPConnection, n: int) -> tuple[int, bytes]:
    """Status and body of a write that begins 40 ms later for each ``n``; 0 if it was cut off."""
    time.sleep(0.04 * n)
    with closing(line):
        try:
            line.request("PATCH", "/config?service=web", json.dumps({"n": n}), JSON)
            answer = line.getresponse()
            return answer.status, answer.read()
        except (ConnectionError, http.client.HTTPException):
            return 0, b""


def _held_read(url: str, service: str, tag: str) -> httpx2.Response:
    with closing(Api(url)) as api:
        return api.get(service, headers={"If-None-Match": tag, "Prefer": "wait=30"})
