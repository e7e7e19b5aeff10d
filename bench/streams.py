"""Streams to very many subscribers, and how soon a change reaches a program or a file."""

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import servers
from bench.servers import JSON, ROOT, Server
from distributed_config.client.live.config import Config

WATCHERS = 10_000
_EVENTS = 10
_BETWEEN = 0.5  # seconds
_FILES = 20


@dataclass
class Streams:
    """Seconds and bytes. ``delivery`` is from the response to a commit to the last subscriber."""

    watchers: int = WATCHERS
    delivery: list[float] = field(default_factory=list)
    missed: int = 0
    bytes_each: float = 0.0
    beside: dict[str, tuple[list[float], float]] = field(default_factory=dict)
    """Delivery and bytes for each subscriber of the other servers that are installed."""
    reads_quiet: list[float] = field(default_factory=list)
    reads_busy: list[float] = field(default_factory=list)
    get: list[float] = field(default_factory=list)
    get_two_lines: list[float] = field(default_factory=list)
    to_program: list[float] = field(default_factory=list)
    to_file: list[float] = field(default_factory=list)


class _TwoLines:
    """The shortest class that has a value by its key, and may be given another document."""

    document: dict[str, int] = {"n": 1}  # noqa: RUF012  # replaced as a whole, never changed

    def __getitem__(self, key: str) -> int:
        return self.document[key]


def measure(folder: Path, watchers: int, say: Callable[[str], None]) -> Streams:
    """Measure everything on one server of ours, then delivery on the others."""
    results = Streams(watchers)
    with servers.ours(folder) as server:
        _put(server, 0)
        _programs(server, folder, results)
        say(f"streams: a change reaches a program in {_median(results.to_program)}")
        results.reads_quiet = _reads(server, 2.0)
        _broadcast(server, results, say)
    _compare(folder, results, say)
    return results


def _broadcast(server: Server, results: Streams, say: Callable[[str], None]) -> None:
    reading = threading.Thread(
        target=lambda: results.reads_busy.extend(_reads(server, _EVENTS * _BETWEEN))
    )

    def put(number: int) -> None:
        if number == 1:
            reading.start()
        _put(server, number)

    result = _deliver("ours", server, results.watchers, put, say)
    reading.join()
    results.delivery, results.bytes_each, results.missed = result


def _compare(folder: Path, results: Streams, say: Callable[[str], None]) -> None:
    """Measure delivery with bare streams, and with etcd and Redis where they are installed."""
    others = {
        "bare": (servers.bare_streams(folder), _signal_bare),
        "etcd": (servers.etcd(folder), _put_etcd),
        "redis": (servers.redis(folder), _publish_redis),
    }
    for name, (other, put) in others.items():
        if other is None:
            continue
        with other as server:
            delivery, bytes_each, _ = _deliver(
                name, server, results.watchers, partial(put, server), say
            )
            results.beside[name] = (delivery, bytes_each)


def _deliver(
    kind: str,
    server: Server,
    watchers: int,
    put: Callable[[int], None],
    say: Callable[[str], None],
) -> tuple[list[float], float, int]:
    """Return, for each event, the seconds to the last subscriber; bytes for each; events missed."""
    before = servers.pss_bytes(server.processes())
    command = [sys.executable, "-m", "bench.watchers", kind, str(server.port)]
    with subprocess.Popen(
        [*command, str(watchers), str(_EVENTS)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        bytes_each = (servers.pss_bytes(server.processes()) - before) / watchers
        say(f"streams: {watchers:,} watch {kind}, {bytes_each / 1024:.1f} KiB each")
        acknowledged = []
        for number in range(1, _EVENTS + 1):
            time.sleep(_BETWEEN)
            put(number)
            acknowledged.append(time.monotonic())
        report = json.loads(process.stdout.readline())
    delivery = [
        max(0.0, last - done) for last, done in zip(report["delivered"], acknowledged, strict=False)
    ]
    say(f"streams: the last watcher of {kind} has a change after {_median(delivery)}")
    return delivery, bytes_each, report["missed"] + report["lost"]


def _signal_bare(server: Server, _number: int) -> None:
    for pid in server.processes()[1:]:
        os.kill(pid, signal.SIGUSR1)


def _put_etcd(server: Server, _number: int) -> None:
    status, _, _ = server.request("POST", "/v3/kv/put", servers.etcd_put())
    assert status == http.HTTPStatus.OK


def _publish_redis(server: Server, _number: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as speaking:
        text = b"x" * 1_000
        speaking.sendall(b"*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n$1000\r\n" + text + b"\r\n")
        assert speaking.recv(100).startswith(b":")


def _programs(server: Server, folder: Path, results: Streams) -> None:
    """Measure how soon a Config and a sidecar have a change of the service that they follow."""
    target = folder / "target.json"
    targets = [{"service": "bench", "file": str(target)}]
    plan = {"debounce": 0, "snapshots": False, "targets": targets}
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [
        sys.executable,
        "-m",
        "distributed_config.client",
        "sidecar",
        "--url",
        f"http://127.0.0.1:{server.port}",
    ]
    with subprocess.Popen(
        [*command, "-c", str(folder / "plan.json")], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as sidecar:
        with Config("bench", url=f"http://127.0.0.1:{server.port}", snapshots=False) as config:
            while not target.exists():
                time.sleep(0.01)
            for number in range(1_000, 1_000 + _FILES):
                _put(server, number)
                began = time.perf_counter()
                while config["n"] != number:
                    time.sleep(0.0005)
                results.to_program.append(time.perf_counter() - began)
                while f'"n": {number}' not in target.read_text():
                    time.sleep(0.0005)
                results.to_file.append(time.perf_counter() - began)
            two_lines = _TwoLines()
            for _ in range(5):
                began = time.perf_counter()
                for _ in range(100_000):
                    config["n"]
                results.get.append((time.perf_counter() - began) / 100_000)
                began = time.perf_counter()
                for _ in range(100_000):
                    two_lines["n"]
                results.get_two_lines.append((time.perf_counter() - began) / 100_000)
        sidecar.terminate()


def _put(server: Server, number: int) -> None:
    body = json.dumps({"n": number, "text": "x" * 900}).encode()
    status, _, _ = server.request("PUT", "/config?service=bench", body, JSON)
    assert status == http.HTTPStatus.OK


def _reads(server: Server, seconds: float) -> list[float]:
    """Read a thousand times a second at most, so that reads never wait for each other."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        connection.request("GET", "/config?service=bench&version=current")
        connection.getresponse().read()
        times.append(time.perf_counter() - began)
        time.sleep(0.001)
    connection.close()
    return times


def _median(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.0f} ms"
