"""The commands export, import and definitions: over HTTP, and on the file."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import Api, Server
from tests.support.shells import read_yaml
from tests.support.stubs import Recorder
from tests.support.terminals import Terminal


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- export


def test_an_export_is_one_object_or_a_folder_of_files(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(f"{name}/a", {"n": 1.0, "t": "ö"})
    store.put(f"{name}/deep/b", {"n": 2})
    prefix = ("--prefix", f"{name}/")

    printed = terminal.output("export", *prefix)
    folder = terminal.run("export", "out/", *prefix)
    terminal.run("export", "yaml/", "--format", "yaml", *prefix)
    terminal.run("export", "all.toml", *prefix)

    both = {f"{name}/a": {"n": 1.0, "t": "ö"}, f"{name}/deep/b": {"n": 2}}
    assert json.loads(printed) == both
    assert folder.stderr == "Services written to out/: 2.\n"
    written = files_of(terminal.home / "out")
    assert {file: json.loads(text) for file, text in written.items()} == {
        f"{service}.json": document for service, document in both.items()
    }
    in_yaml = files_of(terminal.home / "yaml")
    assert read_yaml(in_yaml[f"{name}/a.yaml"]) == {"n": 1.0, "t": "ö"}
    assert f'["{name}/a"]\nn = 1.0' in (terminal.home / "all.toml").read_text()


def test_an_export_removes_the_files_of_what_is_gone(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(f"{name}/a", {})
    terminal.write(f"out/{name}/gone.json", "{}")
    terminal.write(f"out/{name}/README.md", "ours")
    terminal.write("out/other.json", "{}")

    done = terminal.run("export", "out/", "--prune", "--prefix", f"{name}/")

    assert set(files_of(terminal.home / "out")) == {
        "other.json",
        f"{name}/a.json",
        f"{name}/README.md",
    }
    assert f"Removed out/{name}/gone.json." in done.stderr
    assert "folder" in terminal.misused("export", "all.json", "--prune")


def test_an_export_masks_secrets_for_who_may_not_read_them(
    terminal: Terminal, store: Api, name: str, as_role: Callable[[str], str]
) -> None:
    store.put(name, {"password": "p"})
    query = {"service": name}
    store.http.put("/api/v1/services/secrets", params=query, json={"pointers": ["/password"]})

    ours = terminal.output("export", "--prefix", name)
    theirs = terminal.output("export", "--prefix", name, "--token-file", as_role("reader"))

    assert json.loads(ours)[name] == {"password": "p"}
    assert json.loads(theirs)[name] == {"password": "•••"}


# --- import


def test_files_and_folders_are_imported_all_or_nothing(
    terminal: Terminal, store: Api, name: str
) -> None:
    terminal.write(f"in/{name}/a.json", '{"n": 1}')
    terminal.write(f"in/{name}/deep/b.toml", "n = 2")
    terminal.write("in/.git/c.json", "{}")
    terminal.write("more.yaml", f"{name}/c:\n  n: 3\n")

    rehearsed = terminal.output("import", "in", "more.yaml", "--dry-run")
    nothing = store.get(f"{name}/a").status_code
    said = terminal.output("import", "in", "more.yaml", "--note", "all")
    again = terminal.value("import", "more.yaml")

    assert rehearsed == "Would be created: 3, updated: 0, unchanged: 0.\n"
    assert nothing == 404
    assert said == "Created: 3, updated: 0, unchanged: 0.\n"
    assert [store.get(f"{name}/{part}").json()["n"] for part in ("a", "deep/b", "c")] == [1, 2, 3]
    assert again["unchanged"] == [f"{name}/c"]
    assert store.versions(f"{name}/a")[0]["note"] == "all"


def test_an_import_names_what_is_wrong_and_where(terminal: Terminal, store: Api, name: str) -> None:
    terminal.write("wrong.json", json.dumps({f"{name}/a": {"service": "other"}, f"{name}/b": 1}))
    terminal.write("in/twice.json", json.dumps({"x": 1}))
    terminal.write("twice.json", json.dumps({"twice": {}}))
    terminal.write("list.json", "[]")

    wrong = terminal.refused("import", "wrong.json")

    assert f"/{name}~1a/service" in wrong
    assert f"/{name}~1b" in wrong
    assert "already" in terminal.refused("import", "in", "twice.json")
    assert "list.json" in terminal.refused("import", "list.json", "twice.json")
    assert "absent.json" in terminal.refused("import", "absent.json")
    assert "--prune" in terminal.misused("import", "twice.json", "--prefix", "a")


def test_an_import_that_prunes_says_what_it_deleted(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(f"{name}/gone", {})
    terminal.write("one.json", json.dumps({f"{name}/a": {}}))

    done = terminal.run("import", "one.json", "--prune", "--prefix", f"{name}/")

    assert done.stdout == "Created: 1, updated: 0, unchanged: 0, deleted: 1.\n"
    assert done.stderr == f"  deleted {name}/gone\n"


# --- here or there


@pytest.fixture
def here(stranger: Terminal) -> Terminal:
    """Somebody on a machine with a database of its own, with a service ``here``."""
    environment = {"DISTCONF_INSTANCE": str(stranger.home / "instance")}
    assert stranger.run("db", "upgrade", **environment).returncode == 0
    stranger.write("here.json", '{"here": {}}')
    assert stranger.run("import", "here.json", **environment).returncode == 0
    return stranger


def test_without_a_server_the_file_is_exported_and_with_one_the_server(
    here: Terminal, guarded: Server, name: str
) -> None:
    environment = {"DISTCONF_INSTANCE": str(here.home / "instance")}
    here.write("its.token", guarded.environment["DISTCONF_ADMIN_TOKEN"])
    named = ("--url", guarded.url, "--token-file", "its.token")

    on_file = json.loads(here.output("export", **environment))
    by_flag = json.loads(here.output("export", *named, **environment))
    in_spite = here.output("export", "--local", **{**environment, "DISTCONF_URL": guarded.url})
    here.output("login", *named)
    by_log_in = json.loads(here.output("export", **environment))
    forced = json.loads(here.output("export", "--local", **environment))
    log = here.output("audit", "--local", "export", **environment)
    checked = here.output("audit", "verify", **environment)

    assert on_file == json.loads(in_spite) == forced == {"here": {}}
    assert "here" not in by_flag
    assert by_log_in == by_flag
    assert '"local operator"' in log
    assert checked.startswith("ok")


@pytest.mark.parametrize("words", ["export", "definitions list", "import here.json"])
@pytest.mark.parametrize("variable", ["DISTCONF_URL", "DISTCONF_PROFILE"])
def test_a_variable_names_a_server_for_what_is_also_done_here(
    here: Terminal, words: str, variable: str
) -> None:
    with Recorder({"definitions": []}) as other:
        profiles = {"p": {"url": other.url}}
        here.write(".config/distconf/profiles.json", json.dumps(profiles))
        value = other.url if variable == "DISTCONF_URL" else "p"
        here.run(*words.split(), **{variable: value})

    assert len(other.requests) == 1


# --- definitions


def test_a_definition_is_created_reviewed_and_revised(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"port": 1})
    terminal.write("first.json", '{"properties": {"port": {"type": "integer"}}}')
    terminal.write("next.toml", 'required = ["host"]\n[properties.port]\ntype = "integer"\n')

    created = terminal.output("definitions", "put", name, "first.json", "--index", "port")
    attached = terminal.output("definitions", "attach", name, name)
    review = terminal.run("definitions", "review", name, "next.toml")
    refused = terminal.refused("definitions", "put", name, "next.toml")
    forced = terminal.output(
        "definitions", "put", name, "next.toml", "--force", "--note", "on purpose"
    )

    assert created == f"The definition {name!r} is at revision 0.\n"
    assert attached == f"The service {name!r} conforms to {name!r}.\n"
    assert review.returncode == 1
    assert re.search(r"^Checked: \d+\. Documents that would not conform: [1-9]", review.stdout)
    assert f'{name} version 0: "host" is missing' in review.stdout
    assert "host" in refused
    assert forced.endswith(f"The definition {name!r} is at revision 1.\n")
    assert [row[3] for row in terminal.rows("definitions", "history", name)[1:]] == ["forced", ""]


def test_a_definition_is_shown_compared_and_used_to_check(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.define(name, {"properties": {"port": {"type": "integer"}}}, indexes=["port"])
    store.define(name, {"properties": {"port": {"type": "number"}}})
    store.put(name, {"port": 5}, definition=name)
    terminal.write("good.yaml", "port: 1\n")
    terminal.write("bad.json", '{"port": "x"}')

    row = next(row for row in terminal.rows("definitions", "list", name)[1:] if row[0] == name)
    diff = terminal.run("definitions", "diff", name, "0", "1")
    bad = terminal.run("definitions", "check", name, "bad.json")

    assert row[1:4] == ["1", "none", "1"]
    assert json.loads(terminal.output("definitions", "show", name, "--number", "0")) == {
        "properties": {"port": {"type": "integer"}}
    }
    assert '+      "type": "number"' in diff.stdout
    assert "Backward compatible" in diff.stderr
    assert terminal.output("definitions", "check", name, "good.yaml") == (
        f"good.yaml conforms to {name!r}.\n"
    )
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("distconf: bad.json: /port: ")
    assert terminal.output("definitions", "services", name, "--where", "port>=5") == f"{name}\n"
    assert terminal.output("definitions", "services", name, "--where", "port>5") == ""


def test_a_definition_in_use_is_deleted_only_with_a_decision(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.define(name, {})
    store.put(name, {}, definition=name)

    nobody = terminal.misused("definitions", "delete", name)
    refused = terminal.refused("definitions", "delete", name, "--yes")
    detached = terminal.output("definitions", "detach", name)
    store.http.put(
        "/api/v1/services/definition", params={"service": name}, json={"definition": name}
    )
    deleted = terminal.output("definitions", "delete", name, "--cascade", "detach", "-y")

    assert "give --yes" in nobody
    assert name in refused
    assert detached == f"The service {name!r} conforms to no definition.\n"
    assert deleted == f"The definition {name!r} is deleted; services detached: 1.\n"
