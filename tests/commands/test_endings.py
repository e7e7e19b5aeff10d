"""However a command ends, it ends with a sentence: on full disks and outputs, closed or narrow."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distributed_config.commands.files import whole_file
from distributed_config.commands.group import COMMANDS
from distributed_config.models import sqlite as engines
from tests.support.faults import fill
from tests.support.server import Server

_TELLING = {
    "serve": ("--help",),
    "db": ("upgrade",),
    "backup": ("--help",),
    "restore": ("--help",),
    "import": ("--dry-run", "services.json"),
    "secrets": ("new-key", "new"),
    "definitions": ("--help",),
    "create-organisation": ("acme",),
    "create-user": ("--help",),
    "change-user": ("--help",),
    "list-users": ("--help",),
    "list-memberships": ("--help",),
    "add-member": ("--help",),
    "set-password": ("--help",),
    "remove-user": ("--help",),
    "create-role": ("--help",),
    "create-token": ("ci", "--role", "reader"),
    "list-tokens": ("--help",),
    "change-token": ("--help",),
    "revoke-token": ("--help",),
    "rotate-token": ("--help",),
    "audit": ("export",),
}
"""Arguments with which a command writes something; none where there is no need for any."""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A database with some services, and no server."""
    folder = tmp_path_factory.mktemp("endings")
    server = Server(folder / "instance")
    server.prepare()
    (folder / "services.json").write_text('{"web": {"n": 1}, "größe": {"é": "ü"}}')
    assert server.run("import", "services.json", cwd=folder).returncode == 0
    return server


def _end(
    server: Server, *arguments: str, module: str = "distributed_config", **options: Any
) -> tuple[int, list[str]]:
    """The exit code and the lines on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**server.environment, **options.pop("env", {})},
        cwd=server.instance.parent,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
        **options,
    )
    return done.returncode, done.stderr.decode().splitlines()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_whose_output_is_full_says_so(stopped: Server, command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        code, lines = _end(stopped, command, *_TELLING.get(command, ()), stdout=full)
    assert (code, lines[-1]) == (1, "distconf: No space left on device: the output")
    assert len(lines) <= 2, lines  # `create-token` says first that there is a token


@pytest.mark.parametrize("command", ["", "get", "sidecar"])
def test_help_that_could_not_be_written_is_no_success(stopped: Server, command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        module = "distributed_config.client"
        code, lines = _end(stopped, *filter(None, [command, "--help"]), module=module, stdout=full)
    assert (code, lines) == (1, ["distconf: No space left on device: the output"])


@pytest.mark.parametrize("command", ["check", "export", "audit", "settings"])
def test_a_closed_output_is_no_error(stopped: Server, command: str) -> None:
    arguments = [sys.executable, "-m", "distributed_config", command]
    arguments += _TELLING.get(command, ())
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *arguments],
        env=stopped.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_cannot_show_a_name_is_told_of_in_a_sentence(stopped: Server) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    code, lines = _end(stopped, "audit", "export", stdout=subprocess.DEVNULL, env=environment)
    assert code == 1
    [line] = lines
    assert line.endswith("cannot be written in ascii. Set PYTHONIOENCODING=utf-8.")


# --- a full disk


@pytest.fixture
def full_disk(small_disk: Path) -> Iterator[Path]:
    """A file system without a free byte, beside a folder that was made in time."""
    (small_disk / "instance").mkdir()
    (small_disk / "kept.json").write_text("what was there")
    fill(small_disk)
    return small_disk


def test_a_backup_onto_a_full_disk_says_so_and_leaves_nothing(
    stopped: Server, full_disk: Path
) -> None:
    target = full_disk / "backup.db"
    code, lines = _end(stopped, "backup", str(target))
    assert code == 1
    assert lines == [
        f"distconf: There is no space left to write {target}. Nothing was changed; free some "
        "space, or choose another place."
    ]
    assert sorted(each.name for each in full_disk.iterdir()) == ["filler", "instance", "kept.json"]


@pytest.mark.parametrize("command", [("export",), ("audit", "export")])
def test_an_export_onto_a_full_disk_says_so_and_leaves_what_was_there(
    stopped: Server, full_disk: Path, command: tuple[str, ...]
) -> None:
    target = full_disk / "kept.json"
    code, lines = _end(stopped, *command, str(target))
    assert (code, lines) == (1, [f"distconf: No space left on device: {target}"])
    assert target.read_text() == "what was there"


def test_an_export_into_a_folder_on_a_full_disk_names_the_file(
    stopped: Server, full_disk: Path
) -> None:
    code, [line] = _end(stopped, "export", f"{full_disk}/")
    assert code == 1
    assert line.startswith(f"distconf: No space left on device: {full_disk}/")
    assert line.endswith(".json")


@pytest.mark.parametrize("command", ["db upgrade", "serve --upgrade", "restore backup.db"])
def test_a_database_that_cannot_be_made_for_want_of_space_is_told_of_in_a_sentence(
    stopped: Server, full_disk: Path, command: str
) -> None:
    backup = stopped.instance.parent / "backup.db"
    assert stopped.run("backup", "--force", str(backup)).returncode == 0
    environment = {"DISTCONF_INSTANCE": str(full_disk / "instance")}
    code, [line] = _end(stopped, *command.split(), env=environment)
    assert code == 1
    assert "no space left" in line.lower()
    assert "None" not in line
    assert not (full_disk / "instance" / "distconf.db").exists()


def test_a_write_onto_a_full_disk_is_refused_in_a_sentence(small_disk: Path) -> None:
    server = Server(small_disk / "instance")
    server.prepare()
    document = '{"web": {"text": "' + "x" * 900_000 + '"}}'
    (small_disk / "large.json").write_text(document)
    fill(small_disk)
    done = server.run("import", str(small_disk / "large.json"))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "no space left" in line.lower()


# --- other ends


@pytest.mark.parametrize("command", ["export", "check", "list-roles", "audit"])
def test_a_damaged_page_that_a_command_meets_is_told_of_in_a_sentence(
    stopped: Server, tmp_path: Path, command: str
) -> None:
    other = Server(tmp_path / "instance")
    other.instance.mkdir()
    content = bytearray(stopped.database.read_bytes())
    content[8 * 4096 :] = os.urandom(len(content) - 8 * 4096)
    other.database.write_bytes(content)
    done = other.run(command, *_TELLING.get(command, ()))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (0 if command == "check" else 1), done.stderr


def test_whoever_reads_the_output_may_go_before_its_end(stopped: Server) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code, lines = _end(stopped, "settings", stdout=writing)
    os.close(writing)
    assert (code, lines) == (1, [])


def test_a_file_is_replaced_with_its_mode_and_through_its_link(tmp_path: Path) -> None:
    target = tmp_path / "real.json"
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link.json").symlink_to(target)
    with whole_file(tmp_path / "link.json") as file:
        file.write("new")
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.json", "real.json"]


def test_a_device_is_written_and_not_replaced() -> None:
    with (
        pytest.raises(OSError, match="No space left") as caught,
        whole_file(Path("/dev/full")) as file,
    ):
        file.write("text")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")
    assert Path("/dev/full").is_char_device()


def test_errors_of_the_driver_have_a_meaning_too(tmp_path: Path) -> None:
    with (
        pytest.raises(engines.sqlite.OperationalError) as caught,
        engines.raw_connection(tmp_path / "nothing.db") as connection,
    ):
        connection.execute("SELECT 1 FROM sqlite_schema")
    meant = engines.meaning_of(caught.value)
    assert meant is not None
    assert meant.code == "storage-failed"
