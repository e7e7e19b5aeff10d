"""A database whose file is replaced under the server, or that lost its log, is noticed."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults import assert_refused, each_on_a_new_connection
from tests.support.server import Server

# --- a file moved over the live one, or away


def _move_over(server: Server) -> None:
    copy = server.instance / "older.db"
    assert server.run("backup", str(copy)).returncode == 0
    copy.rename(server.database)


def _move_away(server: Server) -> None:
    server.database.rename(server.instance / "elsewhere.db")


@pytest.mark.parametrize("move", [_move_over, _move_away])
def test_after_the_file_was_replaced_nothing_is_read_written_or_ready(
    own_server: Server, move: object
) -> None:
    own_server.api.put("web", {"n": 1})
    own_server.api.get("web", version="current")  # so that there is something to be replayed
    assert callable(move)
    move(own_server)

    for question in ("/readyz", "/config?service=web&version=current", "/api/v1/services"):
        for answer in each_on_a_new_connection(
            own_server, lambda api, _, question=question: api.http.get(question), 8
        ):
            assert_refused(answer, 503, "database-moved")
    for answer in each_on_a_new_connection(own_server, lambda api, i: api.put("web", {"n": i}), 8):
        assert_refused(answer, 503, "database-moved")
    assert own_server.api.http.get("/healthz").status_code == 200


def test_the_end_of_a_server_leaves_the_file_alone_that_took_its_place(own_server: Server) -> None:
    own_server.api.put("web", {"n": 1})
    _move_over(own_server)
    before = own_server.database.read_bytes()

    own_server.stop()

    assert own_server.database.read_bytes() == before
    own_server.start()
    assert own_server.api.get("web", version="current").json() == {"n": 1}


def test_a_restore_and_a_restart_put_it_right(own_server: Server, tmp_path: Path) -> None:
    own_server.api.put("web", {"n": 1})
    backup = tmp_path / "backup.db"
    assert own_server.run("backup", str(backup)).returncode == 0
    _move_away(own_server)
    own_server.stop()

    assert own_server.run("restore", str(backup)).returncode == 0
    own_server.start()

    assert own_server.api.get("web", version="current").json() == {"n": 1}
    assert own_server.api.put("web", {"n": 2}).status_code == 200


# --- a log that is missing after a crash


@pytest.fixture
def crashed(tmp_path: Path) -> Iterator[Server]:
    """A server that was killed; what was written last is in the log alone."""
    server = Server(tmp_path / "instance")
    server.prepare()
    server.start()
    for number in range(5):
        assert server.api.put("web", {"n": number}).status_code == 200
    server.kill()
    assert Path(f"{server.database}-wal").stat().st_size > 0
    yield server
    if server.process is not None and server.process.poll() is None:
        server.stop()


def _lose_the_log(server: Server) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{server.database}{suffix}").unlink()


@pytest.mark.parametrize("command", [("serve",), ("serve", "--upgrade"), ("import", "x.json")])
def test_a_log_that_is_missing_after_a_crash_is_noticed_at_the_start(
    crashed: Server, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "x.json").write_text("{}")
    _lose_the_log(crashed)

    for _ in range(2):
        done = crashed.run(*command, cwd=tmp_path)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert "ends at revision 0, but revision 5 was acknowledged" in line
        assert f"{crashed.database}-wal, is missing" in line
    assert "BAD  content: The database" in crashed.run("check").stdout


def test_with_its_log_a_crashed_server_starts_again(crashed: Server) -> None:
    crashed.start()
    assert len(crashed.api.versions("web")) == 5


def test_whoever_wants_to_go_on_without_what_is_lost_can(crashed: Server) -> None:
    _lose_the_log(crashed)
    Path(f"{crashed.database}-marks").unlink()
    crashed.start()
    assert crashed.api.put("web", {"n": 0}).status_code == 200


def test_a_restore_of_an_older_state_is_no_loss(crashed: Server, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    empty = Server(tmp_path / "empty")
    empty.prepare()
    shutil.copy(empty.database, backup)
    _lose_the_log(crashed)

    assert crashed.run("restore", str(backup)).returncode == 0
    crashed.start()
    assert crashed.api.put("web", {"n": 0}).status_code == 200
    crashed.stop(signal.SIGTERM)
    crashed.start()


def test_an_older_copy_in_place_of_the_file_is_noticed(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        server.api.put("web", {"n": 0})
        assert server.run("backup", str(tmp_path / "older.db")).returncode == 0
        server.api.put("web", {"n": 1})
    shutil.copy(tmp_path / "older.db", server.database)

    done = server.run("serve")

    assert done.returncode == 1
    assert "ends at revision 1, but revision 2 was acknowledged" in done.stderr


def test_a_copy_of_the_whole_folder_is_no_loss(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        server.api.put("web", {"n": 0})
    shutil.copytree(server.instance, tmp_path / "copy")
    with Server(tmp_path / "copy") as copy:
        assert copy.api.get("web", version="current").json() == {"n": 0}
