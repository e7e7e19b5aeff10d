"""A damaged database is found out before any of it is served, and what is read is compared."""

import ast
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distributed_config.models.sqlite import raw_connection
from tests.support.faults import assert_refused
from tests.support.server import Server
from tests.support.waiting import until

_PAGE = 4096
_VERIFYING = 2  # the byte of the file of words that whoever verifies has locked


def flip_a_bit_of_an_index(database: Path) -> None:
    """One bit of a service's name in the index that services are found by; the table is whole."""
    with raw_connection(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(root,)] = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_services_1'"
        )
    content = bytearray(database.read_bytes())
    start = (root - 1) * _PAGE
    place = content.index(b"payments", start, start + _PAGE)
    content[place] ^= 1
    database.write_bytes(content)


@pytest.fixture
def damaged(tmp_path: Path) -> Server:
    """A stopped server, whose database says otherwise in an index than in its table."""
    with Server(tmp_path / "instance") as server:
        server.api.put("payments", {"n": 1})
    flip_a_bit_of_an_index(server.database)
    return server


def test_an_index_that_differs_from_its_table_is_refused_at_the_start(damaged: Server) -> None:
    done = damaged.run("serve")

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"distconf: The database {damaged.database} is damaged (")


@pytest.mark.parametrize(
    "command", [("serve",), ("serve", "--upgrade"), ("db", "upgrade"), ("backup", "copy.db")]
)
def test_an_empty_file_is_refused_as_damaged_and_no_database_is_begun_in_it(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    server = Server(tmp_path / "instance")
    server.instance.mkdir()
    server.database.touch()

    done = server.run(*command, cwd=tmp_path)

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"distconf: The database {server.database} is damaged (it is empty);")
    assert server.database.stat().st_size == 0
    assert "BAD  schema: " in server.run("check").stdout


def test_in_a_new_folder_a_database_is_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance")

    assert server.run("db", "upgrade").returncode == 0

    assert [path.name for path in server.instance.iterdir()] == ["distconf.db"]


def test_two_that_make_the_database_at_once_leave_one(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance")
    command = [sys.executable, "-m", "distributed_config", "db", "upgrade"]

    both = [subprocess.Popen(command, env=server.environment) for _ in range(2)]

    assert [each.wait(60) for each in both] == [0, 0]
    assert [path.name for path in server.instance.iterdir()] == ["distconf.db"]
    assert server.run("check").returncode == 0


def test_a_server_whose_database_was_moved_away_makes_no_empty_one(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        server.api.put("web", {"n": 1})
        server.database.rename(tmp_path / "elsewhere.db")
        server.api.get("other")

    assert not server.database.exists()


# --- in the background


@contextmanager
def nobody_verifies(server: Server) -> Iterator[None]:
    """Holds the turn of whoever verifies the database, so that nobody gets on with it."""
    with Path(f"{server.database}-marks").open("a+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, _VERIFYING)
        yield


def _statuses(server: Server) -> list[tuple[int, str]]:
    paths = ("/readyz", "/config?service=web", "/api/v1/services", "/api/v1/changes?after=0")
    answers = [server.api.http.get(path) for path in paths]
    answers.append(server.api.put("web", {"n": 2}))
    return [(answer.status_code, answer.json().get("code", "")) for answer in answers]


def test_a_large_database_is_served_only_once_it_is_verified(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance", verify_bytes=0)
    server.prepare()
    with nobody_verifies(server):
        server.start()
        try:
            assert server.api.http.get("/healthz").status_code == 200
            for _ in range(10):
                assert _statuses(server) == [(503, "database-unverified")] * 5
        except BaseException:
            server.stop()
            raise
    try:
        until(lambda: server.api.http.get("/readyz").status_code == 200)
        assert server.api.put("web", {"n": 1}).status_code == 200
        assert "was verified in" in server.log.read_text()
    finally:
        server.stop()


def test_a_large_database_that_is_damaged_is_never_served(damaged: Server) -> None:
    damaged.environment["DISTCONF_VERIFY_BYTES"] = "0"
    damaged.start()
    try:
        ready = damaged.api.http
        until(lambda: ready.get("/readyz").json()["code"] == "database-damaged")
        assert _statuses(damaged) == [(503, "database-damaged")] * 5
        assert_refused(damaged.api.get("payments"), 503, "database-damaged")
        assert damaged.api.http.get("/healthz").status_code == 200
        assert f"The database {damaged.database} is damaged" in damaged.log.read_text()
    finally:
        damaged.stop()


# --- one loader


def _tamper(server: Server, statement: str) -> None:
    with raw_connection(server.database) as connection:
        assert connection.execute(statement).rowcount == 1


def test_the_history_of_keys_does_not_show_a_document_that_was_not_stored(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        server.api.put("web", {"n": 1})
        server.api.put("other", {"n": 2})
        _tamper(server, "UPDATE versions SET document = '{\"n\": 66}' WHERE service_id = 1")

        refused = server.api.http.get("/config/history?section=web")
        assert refused.status_code == 503
        assert server.api.http.get("/config/history?section=other").status_code == 200


def test_a_schema_that_was_not_stored_neither_masks_nor_admits(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        server.api.define("login", {"properties": {"password": {"x-secret": True}}})
        made = server.api.put("web", {"password": "one"}, definition="login")
        assert made.status_code == 200
        _tamper(server, "UPDATE definition_revisions SET schema = replace(schema, 'rue', 'ruE')")

        assert_refused(server.api.get("web", version="current"), 503, "document-damaged")
        assert_refused(server.api.put("web", {"password": "two"}), 503, "document-damaged")


def test_a_room_that_reads_a_stored_text_compares_its_digest() -> None:
    services = Path(__file__).parents[2] / "distributed_config" / "services"
    stored = {("VersionRow", "document"), ("DefinitionRevisionRow", "schema")}
    reading: set[str] = set()
    comparing: set[str] = set()
    for path in services.rglob("*.py"):
        # Statements may stand in one module of a room and be run in another.
        room = path.relative_to(services).parts[0].removesuffix(".py")
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        columns = {
            (node.value.id, node.attr)
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        reading |= {room} if columns & stored else set()
        # ``documents.load.verify_row`` compares as well, for whoever reads by its columns.
        comparing |= {room} if {"intact", "verify_row"} & names else set()
    assert {"documents", "versions", "definitions", "secrets"} <= reading
    assert reading - {"integrity"} <= comparing  # it is what compares all digests
