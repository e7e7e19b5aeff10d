"""How soon the server answers, what memory it uses then, and how quick the command is."""

import http
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench import servers
from bench.documents import document_for
from bench.servers import JSON


@dataclass
class Startup:
    """Results in seconds and bytes, one entry for each repetition."""

    ready: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    help: list[float] = field(default_factory=list)


def measure(folder: Path, times: int, say: Callable[[str], None]) -> Startup:
    """Start the server ``times`` times on an existing database, and run ``--help`` twice each."""
    result = Startup()
    with servers.ours(folder) as server:
        status, _, _ = server.request("PUT", "/config?service=bench", document_for("bench"), JSON)
        assert status == http.HTTPStatus.OK
    for number in range(1, times + 1):
        _start(folder, result)
        for _ in range(2):
            result.help.append(_help())
        say(
            f"start {number}/{times}  answers after {result.ready[-1]:.2f} s, "
            f"{result.whole[-1] / 1e6:.0f} MB, help in {result.help[-1]:.2f} s"
        )
    return result


def _start(folder: Path, result: Startup) -> None:
    server = servers.ours(folder, upgrade=False)
    with server:
        result.ready.append(server.startup_seconds)
        result.cpu.append(server.cpu_seconds())
        time.sleep(1)  # until the other worker has started as well
        first, *workers = server.processes()
        result.workers.append(servers.pss_bytes(workers))
        result.whole.append(servers.pss_bytes([first, *workers]))


def _help() -> float:
    began = time.perf_counter()
    subprocess.run(
        [str(servers.distconf()), "--help"],
        env=servers.neutral_environment(),
        check=True,
        capture_output=True,
        timeout=20,
    )
    return time.perf_counter() - began
