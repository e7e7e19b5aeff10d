"""A database is one file, by whatever path it is reached."""

import os
from pathlib import Path

import pytest

from tests.support.server import Server


def _linked(server: Server, tmp_path: Path) -> Server:
    """A second server, which reaches the database by a symbolic link in another folder."""
    link = tmp_path / "link.db"
    link.symlink_to(server.database)
    return Server(tmp_path / "other", database_url=f"sqlite:///{link}")


def test_two_servers_by_two_paths_see_each_others_writes_at_once(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as one, _linked(one, tmp_path) as two:
        one.api.put("web", {"n": -1})
        for number in range(50):
            writer, reader = (one, two) if number % 2 else (two, one)
            reader.api.get("web", version="current")  # so that there is something to be replayed
            assert writer.api.put("web", {"n": number}).status_code == 200
            assert reader.api.get("web", version="current").json() == {"n": number}


def test_a_folder_that_is_a_link_is_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "instance")
    with Server(tmp_path / "instance") as one, Server(tmp_path / "link") as two:
        one.api.put("web", {"n": 0})
        two.api.get("web", version="current")
        one.api.put("web", {"n": 1})
        assert two.api.get("web", version="current").json() == {"n": 1}


def test_a_running_server_is_not_restored_over_by_another_path(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        backup = tmp_path / "backup.db"
        assert server.run("backup", str(backup)).returncode == 0
        done = _linked(server, tmp_path).run("restore", str(backup))
    assert done.returncode == 1
    assert "is in use; stop the server first" in done.stderr


def test_a_restore_by_a_link_replaces_the_file_and_not_the_link(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        server.api.put("web", {"n": 1})
        backup = tmp_path / "backup.db"
        assert server.run("backup", str(backup)).returncode == 0
        server.api.put("web", {"n": 2})
    linked = _linked(server, tmp_path)

    assert linked.run("restore", str(backup)).returncode == 0

    assert (tmp_path / "link.db").is_symlink()
    with server:
        assert server.api.get("web", version="current").json() == {"n": 1}


@pytest.mark.parametrize("command", [("serve",), ("import", "x.json"), ("restore", "backup.db")])
def test_a_database_with_a_second_name_is_not_written(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    server = Server(tmp_path / "instance")
    server.prepare()
    assert server.run("backup", "backup.db", cwd=tmp_path).returncode == 0
    (tmp_path / "x.json").write_text("{}")
    os.link(server.database, tmp_path / "second.db")

    done = server.run(*command, cwd=tmp_path)

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"distconf: The database {server.database} has a second name")


def test_a_backup_may_have_several_names(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance")
    server.prepare()
    assert server.run("backup", "backup.db", cwd=tmp_path).returncode == 0
    os.link(tmp_path / "backup.db", tmp_path / "yesterday.db")

    assert server.run("check", "yesterday.db", cwd=tmp_path).returncode == 0
    assert server.run("restore", "yesterday.db", cwd=tmp_path).returncode == 0
