"""``distconf``, run as its users run it."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from distributed_config.models import sqlite as engines
from tests.support.server import Server

Fill = Callable[[Server], None]


@pytest.fixture
def stopped(tmp_path: Path) -> Server:
    """A server that is not running, on an empty database."""
    server = Server(tmp_path / "instance")
    server.prepare()
    return server


@pytest.fixture(scope="session")
def made_before(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Fill], Server]:
    """A stopped server as ``fill`` leaves it; what it does is done once, under ``name``."""
    kept: dict[str, Path] = {}

    def made(name: str, fill: Fill) -> Server:
        if name not in kept:
            first = Server(tmp_path_factory.mktemp(name) / "instance")
            first.prepare()
            fill(first)
            kept[name] = first.instance
        copy = tmp_path_factory.mktemp(name) / "instance"
        shutil.copytree(kept[name], copy)
        return Server(copy)

    return made


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def exported(server: Server) -> dict[str, object]:
    documents: dict[str, object] = json.loads(server.tell("export").stdout)
    return documents


def test_help_names_every_command(stopped: Server) -> None:
    told = stopped.run("--help").stdout

    for command in ("serve", "db", "check", "backup", "restore", "export", "import", "settings"):
        assert command in told
        assert stopped.tell(command, "--help").returncode == 0
    assert stopped.run("nonsense").returncode == 2


def test_settings_tell_where_each_value_came_from(stopped: Server) -> None:
    rows = json.loads(stopped.run("settings", "--output", "json").stdout)

    sources = {row["name"]: row["source"] for row in rows}
    assert sources["DISTCONF_BIND"] == "environment"
    assert sources["DISTCONF_WORKERS"] == "default"
    assert "DISTCONF_WORKERS" in stopped.run("settings").stdout


def test_a_wrong_setting_is_told_in_one_line(tmp_path: Path) -> None:
    run = Server(tmp_path / "instance", workers="many").run("check")

    assert run.returncode == 1
    assert "DISTCONF_WORKERS" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_folder_of_files_is_imported_and_exported(stopped: Server, tmp_path: Path) -> None:
    source = written(
        tmp_path / "in",
        web_dot_yaml="port: 8080\n",
        team__api_dot_toml='name = "api"\n',
        team__job_dot_v2_dot_json='{"n": 1}',
        _dot_hidden_dot_yaml="- no",
    )

    rehearsed = stopped.tell("import", "--dry-run", str(source))
    assert rehearsed.stdout == "Would be created: 3, updated: 0, unchanged: 0.\n"
    assert exported(stopped) == {}
    done = stopped.tell("import", str(source), "--note", "first")

    assert done.stdout == "Created: 3, updated: 0, unchanged: 0.\n"
    assert exported(stopped) == {
        "team/api": {"name": "api"},
        "team/job.v2": {"n": 1},
        "web": {"port": 8080},
    }
    assert stopped.tell("export", str(tmp_path / "out") + "/", "--format", "yaml").returncode == 0
    assert (tmp_path / "out/team/api.yaml").read_text() == "name: api\n"
    again = stopped.tell("import", str(tmp_path / "out"))
    assert again.stdout == "Created: 0, updated: 0, unchanged: 3.\n"


def test_an_import_with_any_fault_does_nothing_and_names_them_all(
    stopped: Server, tmp_path: Path
) -> None:
    source = written(tmp_path / "in", a_dot_json="{}", b_dot_json='{"n": NaN}', c_dot_txt="x")

    run = stopped.tell("import", str(source))

    assert run.returncode == 1
    assert "b.json" in run.stderr
    assert "c.txt" in run.stderr
    assert exported(stopped) == {}


def test_an_import_beside_a_running_server_is_seen_at_once(
    own_server: Server, tmp_path: Path
) -> None:
    own_server.api.put("web", {"n": 0})
    assert own_server.api.get("web", version="current").json() == {"n": 0}
    file = tmp_path / "all.json"
    file.write_text('{"web": {"n": 1}}')

    assert own_server.run("import", str(file)).returncode == 0

    for _ in range(8):
        assert own_server.api.get("web", version="current").json() == {"n": 1}


def test_a_backup_taken_while_writing_is_sound_and_can_be_restored(
    own_server: Server, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    api = own_server.api
    api.put("web", {"n": 0})
    etag = api.get("web").headers["etag"]
    stop = threading.Event()

    def write() -> None:
        number = 1
        while not stop.is_set():
            api.patch("web", {"n": number})
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert own_server.run("backup", str(backup)).returncode == 0
    finally:
        stop.set()
        writer.join()
    assert own_server.run("check", str(backup)).returncode == 0
    refused = own_server.run("restore", str(backup))
    assert refused.returncode == 1
    assert "stop the server" in refused.stderr
    old_epoch = own_server.api.http.get("/api/v1/changes").json()["epoch"]
    own_server.stop()

    assert own_server.run("restore", str(backup)).returncode == 0
    own_server.start()

    answer = own_server.api.get("web", version=0)
    assert answer.json() == {"n": 0}
    assert answer.headers["etag"] != etag
    gone = own_server.api.http.get("/api/v1/changes", params={"epoch": old_epoch})
    assert gone.status_code == 410
    stale = own_server.api.patch("web", {}, headers={"If-Match": etag})
    assert stale.status_code == 412
    assert list(own_server.instance.glob("*before-restore*"))
    assert own_server.run("check").returncode == 0


def test_what_the_server_and_its_commands_write_is_for_its_user_alone(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance")
    before = os.umask(0o022)
    try:
        server.start()
        server.api.put("web", {"n": 0})
        for command in ("backup", "export"):
            assert server.run(command, str(tmp_path / f"{command}.json")).returncode == 0
        server.stop()
        assert server.run("restore", str(tmp_path / "backup.json")).returncode == 0
    finally:
        os.umask(before)

    written_here = [tmp_path / "backup.json", tmp_path / "export.json", server.instance]
    written_here += server.instance.iterdir()
    assert len(written_here) >= 6
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in written_here} == {
        path.name: "0o0" for path in written_here
    }


def test_a_backup_does_not_replace_a_file_unasked(stopped: Server, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    file.write_text("mine")

    assert stopped.tell("backup", str(file)).returncode == 1
    assert file.read_text() == "mine"
    assert stopped.tell("backup", str(file), "--force").returncode == 0
    assert list(tmp_path.glob("*.partial")) == []


@pytest.mark.parametrize(
    "content", [b"", b"not a database at all", b"SQLite format 3\x00" + b"x" * 5000]
)
def test_what_is_not_a_sound_backup_is_not_restored(
    stopped: Server, tmp_path: Path, content: bytes
) -> None:
    before = stopped.database.read_bytes()
    file = tmp_path / "backup.db"
    file.write_bytes(content)

    run = stopped.tell("restore", str(file))

    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert stopped.database.read_bytes() == before


@pytest.fixture
def faulty(made_before: Callable[[str, Fill], Server]) -> Server:
    def fill(stopped: Server) -> None:
        file = stopped.instance / "all.json"
        file.write_text('{"a": {"n": 0}, "b": {"n": 0}}')
        assert stopped.tell("import", str(file)).returncode == 0
        assert stopped.tell("check").returncode == 0

    return made_before("faulty", fill)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE versions SET document = '{}' WHERE service_id = 1", "digest"),
        ("UPDATE versions SET number = 3 WHERE service_id = 1", "last is number 3"),
        ("DELETE FROM changes WHERE position > 1", "has no change in the journal"),
        ("UPDATE head SET revision = 9", "head is at 9"),
        ("UPDATE changes SET revision = 5; UPDATE head SET revision = 5", "missing"),
        ("DELETE FROM versions WHERE service_id = 2", "has no version"),
    ],
)
def test_check_finds_what_is_not_as_promised(faulty: Server, damage: str, told: str) -> None:
    with engines.raw_connection(faulty.database) as connection:
        connection.executescript(damage)

    run = faulty.tell("check")

    assert run.returncode == 1
    assert told in run.stdout
    assert json.loads(faulty.tell("check", "--output", "json").stdout)


# --- definitions


SCHEMA = "type: object\nproperties:\n  port: {type: integer, minimum: 1}\nrequired: [port]\n"


@pytest.fixture
def defined(made_before: Callable[[str, Fill], Server]) -> Server:
    """A definition, and a service that conforms to it."""

    def fill(stopped: Server) -> None:
        folder = stopped.instance.parent
        files = written(folder / "files", web_dot_yaml=SCHEMA, shop_dot_json='{"port": 80}')
        put = stopped.tell("definitions", "put", "web", str(files / "web.yaml"), "--index", "port")
        assert put.stdout == "The definition 'web' is at revision 0.\n", put.stderr
        imported = written(folder / "import", shop_dot_json='{"port": 80}')
        assert stopped.tell("import", str(imported)).returncode == 0
        assert stopped.tell("definitions", "attach", "web", "shop").returncode == 0

    return made_before("defined", fill)


def test_a_schema_that_cannot_be_read_is_refused_with_the_name_of_its_file(
    defined: Server, tmp_path: Path
) -> None:
    for name, words in {"broken.json": "Expecting value", "notes.txt": "names no format"}.items():
        file = tmp_path / name
        file.write_text('{"type": ')
        refused = defined.tell("definitions", "put", "another", str(file))
        assert refused.returncode == 1
        assert f"{file}: " in refused.stderr
        assert words in refused.stderr


def test_definitions_are_kept_from_the_terminal(defined: Server, tmp_path: Path) -> None:
    def told(*arguments: str) -> str:
        run = defined.tell("definitions", *arguments)
        assert run.returncode == 0, run.stderr
        return run.stdout

    wider = written(tmp_path / "files", wider_dot_toml="type = 'object'\n") / "wider.toml"
    assert "revision 1" in told("put", "web", str(wider), "--no-indexes", "--policy", "backward")
    assert "is so already" in told("put", "web", str(wider))
    assert told("show", "web") == '{"type": "object"}\n'
    assert told("show", "web", "--number", "0", "--format", "yaml").startswith("type: object\n")
    history = [line.split()[0] for line in told("history", "web").splitlines()]
    assert history == ["REVISION", "1", "0"]
    assert json.loads(told("list", "--output", "json"))[0]["policy"] == "backward"
    assert told("services", "web") == "shop\n"
    assert '-  "required": [' in told("diff", "web", "0", "1")
    assert "no definition" in told("detach", "shop")
    assert "is deleted" in told("delete", "web")


def test_a_configuration_is_checked_with_an_exit_code_for_ci(
    defined: Server, tmp_path: Path
) -> None:
    folder = written(tmp_path / "ci", good_dot_json='{"port": 1}', bad_dot_json='{"port": "x"}')
    good = defined.tell("definitions", "check", "web", str(folder / "good.json"))
    bad = defined.tell("definitions", "check", "web", str(folder / "bad.json"))

    assert (good.returncode, bad.returncode) == (0, 1)
    assert "/port: It must be a whole number." in bad.stderr


def test_an_import_of_what_does_not_conform_is_refused_whole(
    defined: Server, tmp_path: Path
) -> None:
    folder = written(
        tmp_path / "bad", shop_dot_json='{"port": "x"}', other_dot_json="{}", third_dot_json="[]"
    )
    both = written(tmp_path / "both", all_dot_json='{"other": {}, "..": {"n": NaN}}') / "all.json"
    run = defined.tell("import", str(folder), str(both))

    assert run.returncode == 1
    assert "/shop/port: It must be a whole number." in run.stderr
    assert f"{folder / 'third.json'}: A configuration is a JSON object" in run.stderr
    assert f"{both}: The service 'other' is in {folder / 'other.json'} already." in run.stderr
    assert f"{both} /..: '..': a name is made of" in run.stderr
    assert f"{both} /../n: NaN is not a number" in run.stderr
    assert exported(defined) == {"shop": {"port": 80}}


def test_a_breaking_revision_is_reviewed_refused_and_forced(
    defined: Server, tmp_path: Path
) -> None:
    text = SCHEMA.replace("minimum: 1", "minimum: 1000")
    file = str(written(tmp_path / "files", strict_dot_yaml=text) / "strict.yaml")
    review = defined.tell("definitions", "review", "web", file)
    refused = defined.tell("definitions", "put", "web", file)
    unexplained = defined.tell("definitions", "put", "web", file, "--force")
    tried = defined.tell("definitions", "put", "web", file, "--force", "--note", "x", "--dry-run")
    forced = defined.tell("definitions", "put", "web", file, "--force", "--note", "it must be")

    assert (review.returncode, refused.returncode, unexplained.returncode) == (1, 1, 1)
    assert "shop version 0: /port: It must be at least 1000." in review.stdout
    assert "Backward compatible (old documents stay valid): no." in review.stdout
    assert "force it" in refused.stderr
    assert "would be at revision 1" in tried.stdout
    assert "is at revision 1" in forced.stdout
    assert "forced  it must be" in defined.tell("definitions", "history", "web").stdout


def test_check_tells_of_an_index_that_does_not_have_what_is_current(defined: Server) -> None:
    assert defined.tell("check").returncode == 0
    with engines.raw_connection(defined.database) as connection:
        connection.execute("UPDATE index_entries SET key = '9'")

    run = defined.tell("check")

    assert run.returncode == 1
    assert "the indexes do not have what the service 'shop' has" in run.stdout
