"""Streams to very many watchers, and how long a change takes to reach a program or a file."""

import http.client
import json
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
    """Seconds and bytes. ``delivery``: from a commit's acknowledgement to the last watcher."""

    watchers: int = WATCHERS
    delivery: list[float] = field(default_factory=list)
    missed: int = 0
    bytes_each: float = 0.0
    beside: dict[str, tuple[list[float], float]] = field(default_factory=dict)
    """Of others, as far as they are installed: the same delivery, and bytes for each watcher."""
    reads_quiet: list[float] = field(default_factory=list)
    reads_busy: list[float] = field(default_factory=list)
    get: list[float] = field(default_factory=list)
    to_program: list[float] = field(default_factory=list)
    to_file: list[float] = field(default_factory=list)


def measure(folder: Path, watchers: int, say: Callable[[str], None]) -> Streams:
    """One server for all of it."""
    found = Streams(watchers)
    with servers.ours(folder) as server:
        _put(server, 0)
        _programs(server, folder, found)
        say(f"streams: a change reaches a program in {_middle(found.to_program)}")
        found.reads_quiet = _reads(server, 2.0)
        _broadcast(server, found, say)
    _beside(folder, found, say)
    return found


def _broadcast(server: Server, found: Streams, say: Callable[[str], None]) -> None:
    reading = threading.Thread(
        target=lambda: found.reads_busy.extend(_reads(server, _EVENTS * _BETWEEN))
    )

    def put(number: int) -> None:
        if number == 1:
            reading.start()
        _put(server, number)

    told = _watched("ours", server, found.watchers, put, say)
    reading.join()
    found.delivery, found.bytes_each, found.missed = told


def _beside(folder: Path, found: Streams, say: Callable[[str], None]) -> None:
    """The same with etcd's gateway and with Redis, where they are installed."""
    others = {
        "etcd": (servers.etcd(folder), _put_etcd),
        "redis": (servers.redis(folder), _publish_redis),
    }
    for name, (other, put) in others.items():
        if other is None:
            continue
        with other as server:
            delivery, each, _ = _watched(name, server, found.watchers, partial(put, server), say)
            found.beside[name] = (delivery, each)


def _watched(
    kind: str,
    server: Server,
    watchers: int,
    put: Callable[[int], None],
    say: Callable[[str], None],
) -> tuple[list[float], float, int]:
    """Seconds to the last watcher for each event; bytes for each watcher; events not seen."""
    before = servers.pss_bytes(server.processes())
    command = [sys.executable, "-m", "bench.watchers", kind, str(server.port)]
    with subprocess.Popen(
        [*command, str(watchers), str(_EVENTS)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        each = (servers.pss_bytes(server.processes()) - before) / watchers
        say(f"streams: {watchers:,} watch {kind}, {each / 1024:.1f} KiB each")
        acknowledged = []
        for number in range(1, _EVENTS + 1):
            time.sleep(_BETWEEN)
            put(number)
            acknowledged.append(time.monotonic())
        told = json.loads(process.stdout.readline())
    delivery = [
        max(0.0, last - done) for last, done in zip(told["delivered"], acknowledged, strict=False)
    ]
    say(f"streams: the last watcher of {kind} has a change after {_middle(delivery)}")
    return delivery, each, told["missed"] + told["lost"]


def _put_etcd(server: Server, _number: int) -> None:
    status, _, _ = server.ask("POST", "/v3/kv/put", servers.etcd_put())
    assert status == http.HTTPStatus.OK


def _publish_redis(server: Server, _number: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as speaking:
        text = b"x" * 1_000
        speaking.sendall(b"*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n$1000\r\n" + text + b"\r\n")
        assert speaking.recv(100).startswith(b":")


def _programs(server: Server, folder: Path, found: Streams) -> None:
    """A Config and a sidecar that follow one service."""
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
                found.to_program.append(time.perf_counter() - began)
                while f'"n": {number}' not in target.read_text():
                    time.sleep(0.0005)
                found.to_file.append(time.perf_counter() - began)
            for _ in range(5):
                began = time.perf_counter()
                for _ in range(100_000):
                    config["n"]
                found.get.append((time.perf_counter() - began) / 100_000)
        sidecar.terminate()


def _put(server: Server, number: int) -> None:
    body = json.dumps({"n": number, "text": "x" * 900}).encode()
    status, _, _ = server.ask("PUT", "/config?service=bench", body, JSON)
    assert status == http.HTTPStatus.OK


def _reads(server: Server, seconds: float) -> list[float]:
    """One reader, a thousand times a second at most: what it waits is not for its own kind."""
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


def _middle(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.0f} ms"
