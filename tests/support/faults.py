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
    """The answers to ``call``, each on a connection of its own, so that every worker is asked."""
    with closing(Api(server.url)) as api:
        api.http.headers["Connection"] = "close"
        return [call(api, i) for i in range(number)]


def assert_refused(answer: httpx2.Response, status: int, code: str = "") -> None:
    """A refusal in the one form, which says when to try again."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == code or not code
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["success"] is False


def fill(folder: Path) -> Path:
    """Leaves no byte free in the file system of ``folder``; returns the file that took them."""
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
    """Another program holds the database for writing."""
    with raw_connection(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@contextmanager
def injected(fault: str, pids: set[int], only: Path | None = None) -> Iterator[None]:
    """Flushes to the disk by the processes ``pids`` meet ``fault``, until the end of the block.

    ``only`` is the file whose flushes do; every file's, unless it is given.
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
    """All threads of all ``pids``."""
    deadline = time.monotonic() + 10
    status = [path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/status")]
    while not all(
        re.search(rf"^TracerPid:\t{tracer.pid}$", path.read_text(), re.MULTILINE) for path in status
    ):
        assert time.monotonic() < deadline
        assert tracer.poll() is None, "strace ended"
        time.sleep(0.02)
