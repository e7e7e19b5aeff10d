"""Faults of disks and databases, and the responses that a server must give under them."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from distributed_config.models.sqlite import raw_connection
from tests.support.needs import need
from tests.support.server import Api, Server

SOME = 20
"""Connections enough to reach every worker: the kernel spreads them over the workers."""


def each_on_a_new_connection(
    server: Server, call: Callable[[Api, int], httpx2.Response], number: int = SOME
) -> list[httpx2.Response]:
    """Return the responses to ``call``, each on a new connection, so that every worker has some."""
    with closing(Api(server.url)) as api:
        api.http.headers["Connection"] = "close"
        return [call(api, i) for i in range(number)]


def assert_refused(response: httpx2.Response, status: int, code: str = "") -> None:
    """Check that it is a problem document that says when to try again."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == code or not code
    assert int(response.headers["Retry-After"]) > 0
    assert response.json()["success"] is False


def fill(folder: Path) -> Path:
    """Leave no byte free in the file system of ``folder``; return the file that takes them."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the write lock of the database, as another program would."""
    with raw_connection(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@contextmanager
def injected(fault: str, pids: set[int], only: Path | None = None) -> Iterator[None]:
    """Let flushes to disk by the processes ``pids`` fail with ``fault``, in the words of strace.

    ``only`` is a file; without it the flushes of every file fail.
    """
    need(shutil.which("strace") is not None, "strace")
    need(os.geteuid() == 0, "root, to trace the server")
    process = subprocess.Popen(
        [
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            f"inject=fsync,fdatasync:{fault}",
            *(["-P", str(only)] if only else []),
            *[part for pid in pids for part in ("-p", str(pid))],
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_traced(process, pids)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(15)


def _wait_until_traced(tracer: "subprocess.Popen[Any]", pids: set[int]) -> None:
    """Wait until all threads of all ``pids`` are traced."""
    deadline = time.monotonic() + 10
    status = [path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/status")]
    while not all(
        re.search(rf"^TracerPid:\t{tracer.pid}$", path.read_text(), re.MULTILINE) for path in status
    ):
        assert time.monotonic() < deadline
        assert tracer.poll() is None, "strace ended"
        time.sleep(0.02)
