"""How long until the server answers, what memory it takes then, and how quick the command is."""

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
    """One entry for each time it was done: seconds and bytes."""

    ready: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    help: list[float] = field(default_factory=list)


def measure(folder: Path, times: int, say: Callable[[str], None]) -> Startup:
    """Starts the server ``times`` times on a database that is there; asks for help twice each."""
    found = Startup()
    with servers.ours(folder) as server:
        status, _, _ = server.ask("PUT", "/config?service=bench", document_for("bench"), JSON)
        assert status == http.HTTPStatus.OK
    for number in range(1, times + 1):
        _start(folder, found)
        for _ in range(2):
            found.help.append(_help())
        say(
            f"start {number}/{times}  answers after {found.ready[-1]:.2f} s, "
            f"{found.whole[-1] / 1e6:.0f} MB, help in {found.help[-1]:.2f} s"
        )
    return found


def _start(folder: Path, found: Startup) -> None:
    server = servers.ours(folder, upgrade=False)
    with server:
        found.ready.append(server.started_after)
        found.cpu.append(server.cpu_seconds())
        time.sleep(1)  # the other worker, too, has to be where it will stay
        first, *workers = server.processes()
        found.workers.append(servers.pss_bytes(workers))
        found.whole.append(servers.pss_bytes([first, *workers]))


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
