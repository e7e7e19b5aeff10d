"""What people meet in the terminal: tables, the words of refusals, and folders kept in step."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import Api, Server
from tests.support.source import ROOT


class Terminal:
    """``distconf``'s client commands against one server, as a shell would run them."""

    def __init__(self, url: str, folder: Path) -> None:
        self._environment = {
            "DISTCONF_URL": url,
            "HOME": str(folder),
            "TZ": "Asia/Tokyo",
            "PYTHONPATH": str(ROOT),  # commands run elsewhere
        }
        self._folder = folder

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "distributed_config.client", *words],
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def first_line(self, *words: str) -> str:
        """Return the first line of a command that goes on, which is ended then."""
        command = [sys.executable, "-m", "distributed_config.client", *words]
        with subprocess.Popen(
            command, env=self._environment, cwd=self._folder, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.terminate()
        return line

    def refused(self, *words: str) -> str:
        """What a command that must fail says, without the program's name."""
        done = self.run(*words)
        assert done.returncode == 1, done
        return done.stderr.removeprefix("distconf: ").rstrip("\n")


@pytest.fixture
def terminal(server: Server, tmp_path: Path) -> Terminal:
    return Terminal(server.url, tmp_path)


@pytest.fixture
def stopped(tmp_path: Path) -> Server:
    """A server that is not running, on an empty database."""
    server = Server(tmp_path / "instance")
    server.prepare()
    return server


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- tables


def test_a_history_marks_what_is_current_and_shows_how_long_ago_it_was_written(
    terminal: Terminal, api: Api, name: str
) -> None:
    api.put(name, {"n": 0}, note="first\nlines")
    api.put(name, {"n": 1})
    api.put(name, {"n": 2})
    api.enable(name, 2, False)

    header, *rows = terminal.run("history", name).stdout.splitlines()

    assert header.split() == ["VERSION", "STATE", "TIME", "AUTHOR", "NOTE"]
    assert [re.split(r"  +", row)[1] for row in rows] == ["disabled", "* current", "enabled"]
    assert rows[2].endswith("first lines")
    assert all(re.split(r"  +", row)[2] == "just now" for row in rows)


def test_a_watch_shows_the_time_of_the_reader(terminal: Terminal, api: Api, name: str) -> None:
    before = api.put(name, {"n": 0}).headers["config-revision"]
    api.put(name, {"n": 1})
    stored = api.versions(name)[1]["created_at"]

    line = terminal.first_line("watch", name, "--after", before)

    hour = (int(stored[11:13]) + 9) % 24  # Tokyo has no summer time
    assert f" {hour:02d}:{stored[14:19]} " in line


def test_lists_of_the_operator_have_headers(stopped: Server, tmp_path: Path) -> None:
    stopped.tell("create-token", "ci", "--role", "reader", "--days", "3")
    schema = tmp_path / "web.json"
    schema.write_text("{}")
    stopped.tell("definitions", "put", "web", str(schema))

    tokens = stopped.tell("list-tokens").stdout.splitlines()
    definitions = stopped.tell("definitions", "list").stdout.splitlines()

    assert tokens[0].split() == ["ID", "NAME", "HINT", "USER", "ROLE", "SERVICES", "STATE", "USED"]
    assert re.search(r"good until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d +never$", tokens[1])
    assert [line.split() for line in definitions] == [
        ["NAME", "REVISION", "POLICY", "SERVICES"],
        ["web", "0", "none", "0"],
    ]


# --- refusals


def test_a_refusal_of_a_document_names_its_file_and_every_fault(
    terminal: Terminal, tmp_path: Path, name: str
) -> None:
    (tmp_path / "one.json").write_text('{"a": 1e999}')
    (tmp_path / "two.json").write_text('{"a": 1e999, "service": "other"}')

    one = terminal.refused("put", name, "one.json")
    two = terminal.refused("put", name, "two.json").splitlines()

    assert one == "one.json: /a: 1e999 is not a number that JSON can hold."
    assert two[0].startswith("two.json: /a: 1e999")
    assert [line.split(":")[0] for line in two[1:]] == ["  /a", "  /service"]


def test_refusals_speak_of_commands_and_flags(terminal: Terminal, api: Api, name: str) -> None:
    api.put(name, {})
    refusals = [
        terminal.refused("get", f"{name}-not"),
        terminal.refused("get", name, "--version", "7"),
        terminal.refused("get", name, "--as-of", "soon"),
        terminal.refused("patch", name, "a=1", "--if-match", '"7.x"'),
        terminal.refused("patch", name, "a=1", "--note", "x" * 1001),
        terminal.refused("get", "not a name"),
    ]

    assert [re.search(r"(GET|PUT|POST|\?service=|If-Match)", each) for each in refusals] == [
        None
    ] * 6
    wanted = ("distconf put", "distconf history", "--as-of", "--if-match", "--note", "SERVICE")
    for said, words in zip(refusals, wanted, strict=True):
        assert words in said


# --- the one before


def test_a_rollback_without_a_number_goes_to_the_one_before(
    terminal: Terminal, api: Api, name: str
) -> None:
    for n in range(3):
        api.put(name, {"n": n})
    api.enable(name, 1, False)

    assert terminal.run("rollback", name).returncode == 0

    assert api.get(name, version="current").json() == {"n": 0}
    assert api.versions(name)[-1]["note"] == "Rolled back to the one before."


def test_a_rollback_without_a_number_needs_one_before(
    terminal: Terminal, api: Api, name: str
) -> None:
    api.put(name, {})

    assert "no version before the current one" in terminal.refused("rollback", name)
    assert len(api.versions(name)) == 1


# --- switches


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "1"])
def test_a_switch_is_turned_on_as_python_and_shells_write_it(
    api: Api, name: str, word: str
) -> None:
    assert api.put(name, {"n": 0}, dry_run=word).status_code == 200
    assert api.get(name).status_code == 404


@pytest.mark.parametrize("word", ["yes", "on", "tRUE", "", "2"])
def test_a_switch_takes_no_other_words(api: Api, name: str, word: str) -> None:
    assert api.put(name, {"n": 0}, dry_run=word).status_code == 422
    assert api.get(name).status_code == 404


# --- folders and the server in step


def test_a_service_that_was_deleted_does_not_come_back_through_a_folder(
    stopped: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "all.json").write_text(json.dumps({"web": {"n": 1}, "team/api": {"n": 2}}))
    stopped.tell("import", str(folder / "all.json"))
    (folder / "all.json").unlink()
    stopped.tell("export", f"{folder}/")
    (folder / "README.md").write_text("ours")
    (folder / ".git").mkdir()
    (folder / ".git/old.json").write_text("{}")
    (folder / "old.yaml").write_text("a: 1\n")
    one = tmp_path / "one.json"
    one.write_text('{"web": {"n": 1}}')
    assert stopped.tell("import", "--prune", str(one)).stdout.endswith("deleted: 1.\n")

    done = stopped.tell("export", "--prune", f"{folder}/")

    assert done.returncode == 0, done.stderr
    assert set(files_of(folder)) == {".git/old.json", "README.md", "web.json"}
    assert json.loads((folder / "web.json").read_text()) == {"n": 1}
    stopped.tell("import", str(folder / "web.json"))
    assert json.loads(stopped.tell("export").stdout) == {"web": {"n": 1}}


def test_an_import_that_prunes_is_one_revision_and_can_be_rehearsed(
    stopped: Server, tmp_path: Path
) -> None:
    both, one = tmp_path / "both.json", tmp_path / "one.json"
    both.write_text('{"web": {}, "team/api": {}, "team/off": {}}')
    one.write_text('{"web": {"n": 1}}')
    stopped.tell("import", str(both))

    rehearsed = stopped.tell("import", "--prune", "--dry-run", str(one))
    kept = json.loads(stopped.tell("export").stdout)
    done = stopped.tell("import", "--prune", "--prefix", "team/api", str(one))

    assert rehearsed.stdout == "Would be created: 0, updated: 1, unchanged: 0, deleted: 2.\n"
    assert sorted(kept) == ["team/api", "team/off", "web"]
    assert done.stdout == "Created: 0, updated: 1, unchanged: 0, deleted: 1.\n"
    with stopped:
        newest = stopped.api.changes()[-1]["revision"]
        last = [each for each in stopped.api.changes() if each["revision"] == newest]
        assert {each["service"] for each in last} == {"web", "team/api"}
        assert sorted(json.loads(stopped.tell("export").stdout)) == ["team/off", "web"]


def test_pruning_leaves_what_an_export_leaves_out(own_server: Server) -> None:
    api = own_server.api
    api.put("web", {"n": 0})
    api.put("resting", {"n": 0})
    api.enable("resting", 0, False)

    done = api.http.post("/api/v1/import", params={"prune": "true"}, json={"web": {"n": 1}})

    assert done.json()["deleted"] == []
    assert [each["number"] for each in api.versions("resting")] == [0]


def test_pruning_by_http_deletes_what_is_not_named(own_server: Server) -> None:
    api = own_server.api
    for each in ("web", "api", "job"):
        api.put(each, {"n": 0})

    done = api.http.post(
        "/api/v1/import", params={"prune": "true", "prefix": "a"}, json={"web": {"n": 1}}
    ).json()

    assert (done["updated"], done["deleted"]) == (["web"], ["api"])
    assert api.get("job").status_code == 200


@pytest.mark.parametrize("query", [{"prune": "true"}, {"prefix": "a"}])
def test_pruning_with_nothing_at_all_is_refused(own_server: Server, query: dict[str, str]) -> None:
    own_server.api.put("web", {})

    refused = own_server.api.http.post("/api/v1/import", params=query, json={})

    assert refused.status_code == 422
    assert own_server.api.get("web").status_code == 200
