"""Kills and stops at random moments: what was acknowledged is there afterwards, whole, in order."""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random

import httpx2
import pytest

from tests.support.load import Acknowledged, Load, assert_stored
from tests.support.processes import replace_worker, workers_of
from tests.support.server import JSON, Api, Server


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server to be killed; its shared memory lies beside the database, and goes with the test."""
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
        assert_stored(mortal, acknowledged)


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
    assert_stored(mortal, load.acknowledged)


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
        # Late requests get a 503 as a problem document, or no connection; nobody sees a 500.
        assert [answer.text for answer in load.refused if answer.status_code != 503] == []
        server.start()
        assert_stored(server, load.acknowledged)


def test_sigterm_ends_in_time_while_late_requests_arrive_on_open_connections(
    tmp_path: Path,
) -> None:
    """A late request on an open connection succeeds, gets a 503, or is cut off."""
    with Server(tmp_path / "instance") as server, ThreadPoolExecutor(40) as pool:
        server.api.put("web", {"n": -1})
        lines = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(41)]
        for line in lines:
            line.request("GET", "/healthz")
            assert line.getresponse().read()
        began = time.monotonic()
        late = [pool.submit(_write_late, line, i) for i, line in enumerate(lines[1:])]
        assert server.stop() == 0
        assert time.monotonic() - began < 10
        answers = [future.result() for future in late]
        lines[0].close()

        assert {status for status, _ in answers} <= {200, 503, 0}
        server.start()
        acknowledged = {n: body for n, (status, body) in enumerate(answers) if status == 200}
        numbers = {n: json.loads(body)["version"] for n, body in acknowledged.items()}
        versions = server.api.versions("web")
        stored = {version["document"]["n"]: version["number"] for version in versions}
        assert numbers.items() <= stored.items()


def _write_late(line: http.client.HTTPConnection, n: int) -> tuple[int, bytes]:
    """Write 40 ms later for each ``n``; return status and body, or 0 if it was cut off."""
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
