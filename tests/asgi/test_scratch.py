"""Folders in shared memory that a killed server leaves behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from distributed_config.live import scratch
from tests.support.processes import workers_of
from tests.support.server import Server
from tests.support.waiting import until

IN_MEMORY = Path("/dev/shm")  # where servers make them


def folder_of(server: Server) -> Path:
    """Where a running server counts."""
    [pid, *_] = workers_of(server)
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if "/distconf-" in line:
            return Path(line.split(maxsplit=5)[5]).parent
    raise AssertionError("the server counts nowhere")


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Server]:
    """A server that goes on running all the time."""
    with Server(tmp_path / "beside", workers=1) as running:
        yield running


def test_the_folder_of_a_killed_server_is_gone_after_the_next_start(
    tmp_path: Path, beside: Server
) -> None:
    server = Server(tmp_path / "instance")
    with server:
        left = folder_of(server)
        server.kill()
        assert left.exists()

        server.start()

        assert not left.exists()
        kept = [folder_of(each) for each in (server, beside)]
        assert all(each.exists() for each in kept)
        assert beside.api.http.get("/metrics").status_code == 200
    assert not kept[0].exists()
    assert kept[1].exists()


def test_workers_that_outlive_their_master_keep_their_folder(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance", workers=1)
    with server:
        folder, [worker] = folder_of(server), workers_of(server)
        os.kill(worker, signal.SIGSTOP)
        try:
            assert server.process is not None
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait(5)
            scratch.sweep(folder.parent)
            assert folder.exists()
        finally:
            os.kill(worker, signal.SIGKILL)

        def is_swept() -> bool:
            scratch.sweep(folder.parent)
            return not folder.exists()

        until(is_swept)
        server.start()


def test_only_folders_of_servers_are_swept(tmp_path: Path) -> None:
    """What others made, under whatever name, stays; links are not followed."""
    left = scratch.make(str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner").touch()
    for name in ("distconf-no-owner", "another"):
        (tmp_path / name).mkdir()
    (tmp_path / "another" / "owner").touch()
    (tmp_path / "distconf-link").symlink_to(elsewhere)
    (tmp_path / "distconf-file").touch()
    (tmp_path / "distconf-linked-owner").mkdir()
    (tmp_path / "distconf-linked-owner" / "owner").symlink_to(elsewhere / "owner")
    (tmp_path / "distconf-free").mkdir()
    (tmp_path / "distconf-free" / "owner").touch()

    scratch.sweep(tmp_path)

    assert {each.name for each in tmp_path.iterdir()} == {
        "another",
        "distconf-file",
        "distconf-link",
        "distconf-linked-owner",
        "distconf-no-owner",
        "elsewhere",
        left.name,
    }
    assert (elsewhere / "owner").exists()
