"""The smoke checks: as people run them, and that they can fail."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from distributed_config.services.access.token_format import new_token
from tests.support.server import Server, free_port

ROOT = Path(__file__).parents[2]


def run(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: each for name, each in os.environ.items() if "DISTCONF" not in name}
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_checks_start_a_server_of_their_own_and_leave_nothing(tmp_path: Path) -> None:
    done = run("-m", "unittest", "smoke", "-v", TMPDIR=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "... ok" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_checks_run_against_the_server_that_is_named_and_clean_up(server: Server) -> None:
    before = server.api.http.get("/api/v1/services", params={"prefix": "smoke-"}).json()

    done = run("-m", "unittest", "smoke", DISTCONF_URL=server.url)

    assert done.returncode == 0, done.stderr
    after = server.api.http.get("/api/v1/services", params={"prefix": "smoke-"}).json()
    assert before["services"] == after["services"] == []


def test_the_checks_are_a_command_that_shows_a_token(tmp_path: Path) -> None:
    boss = new_token()
    with Server(tmp_path / "instance", auth="token", admin_token=boss) as guarded:
        command = ("-m", "distributed_config", "smoke", "--url", guarded.url)
        good = run(*command, DISTCONF_TOKEN=boss)
        bad = run(*command)

    assert good.returncode == 0, good.stderr
    assert bad.returncode == 1
    assert "FAILED" in bad.stderr


def test_a_server_that_is_not_there_is_told_in_one_sentence() -> None:
    done = run("-m", "distributed_config", "smoke", "--url", f"http://127.0.0.1:{free_port()}")

    assert done.returncode == 3
    assert done.stderr.count("\n") == 1


def test_the_checks_fail_against_what_is_no_configuration_server(tmp_path: Path) -> None:
    port = free_port()
    words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    (tmp_path / "healthz").write_text("here")
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL) as other:
        try:
            wait_for(port)
            done = run("-m", "unittest", "smoke", DISTCONF_URL=f"http://127.0.0.1:{port}")
        finally:
            other.kill()

    assert done.returncode == 1
    assert "FAILED (failures=" in done.stderr


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
