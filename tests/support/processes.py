"""The processes of a server: its workers, and the memory that they use."""

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

from distributed_config.settings import Settings
from tests.support.needs import need
from tests.support.server import Server


def workers_of(server: Server) -> set[int]:
    """Return the process ids of all workers, without gunicorn's master.

    gunicorn starts its workers one after another, and the first one answers before the last one is
    there: wait for it.
    """
    number = int(server.environment.get("DISTCONF_WORKERS", Settings().workers))
    deadline = time.monotonic() + 20
    while len(there := _children_of(server)) < number:
        assert time.monotonic() < deadline, f"of {number} workers only {there} are there"
        time.sleep(0.02)
    return there


def _children_of(server: Server) -> set[int]:
    assert server.process is not None
    master = server.process.pid
    listing = Path(f"/proc/{master}/task/{master}/children")
    need(listing.exists(), "/proc with lists of children")
    return set(map(int, listing.read_text().split()))


def replace_worker(server: Server, killed: int) -> None:
    """Kill the worker ``killed``, and wait until another one is in its place."""
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while killed in (there := workers_of(server)):
        assert time.monotonic() < deadline, f"the workers are {there} after {killed} was killed"
        time.sleep(0.02)


def process_group(server: Server) -> list[int]:
    """Return the ids of all processes of ``server``."""
    assert server.process is not None
    listing = subprocess.run(
        ["ps", "-o", "pid=", "-g", str(server.process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(pid) for pid in listing.stdout.split()]


def resident_bytes(server: Server) -> int:
    """Return the resident memory, in bytes, of the largest process of ``server``."""
    pages = [
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in process_group(server)
    ]
    return max(pages) * resource.getpagesize()
