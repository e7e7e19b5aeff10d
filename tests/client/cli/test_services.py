"""The commands that show and switch services: list, show, tag, disable, enable, delete, open."""

from collections.abc import Callable

from tests.support.server import Api, Server
from tests.support.shells import read_yaml
from tests.support.terminals import Terminal

# --- list and show


def test_a_list_has_headers_and_what_is_current(terminal: Terminal, store: Api, name: str) -> None:
    store.put(f"{name}/a", {"n": 0})
    store.put(f"{name}/a", {"n": 1})
    store.put(f"{name}/b", {})
    store.enable(f"{name}/b", 0, False)
    terminal.output("tag", f"{name}/a", "blue", "team:x")

    header, *rows = terminal.rows("list", "--prefix", f"{name}/")

    assert header == ["SERVICE", "CURRENT", "VERSIONS", "DEFINITION", "TAGS", "UPDATED"]
    assert rows[0][:5] == [f"{name}/a", "1", "2", "", "blue team:x"]
    assert rows[1][:3] == [f"{name}/b", "none", "1"]
    assert {row[5] for row in rows} == {"just now"}


def test_a_list_can_be_searched_and_is_exact_for_programs(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(f"{name}/web", {})
    store.put(f"{name}/api", {})
    terminal.output("tag", f"{name}/api", "blue")

    found = terminal.value("list", f"{name}/w")
    tagged = read_yaml(terminal.output("list", name, "--tag", "blue", "--output", "yaml"))

    assert [each["name"] for each in found] == [f"{name}/web"]
    assert found[0]["created_at"].endswith("Z")
    assert [each["name"] for each in tagged] == [f"{name}/api"]


def test_an_empty_list_is_a_sentence_apart_from_the_output(terminal: Terminal, name: str) -> None:
    done = terminal.run("list", name)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "There is no such service.\n"
    assert terminal.value("list", name) == []


def test_a_list_is_complete_however_long_it_is(terminal: Terminal, store: Api, name: str) -> None:
    services = {f"{name}/{number}": {} for number in range(620)}
    assert store.http.post("/api/v1/import", json=services).status_code == 200

    assert len(terminal.output("list", "--prefix", f"{name}/", "-q").splitlines()) == 620


def test_show_tells_all_about_a_service(terminal: Terminal, store: Api, name: str) -> None:
    store.define(name, {"type": "object"})
    store.put(name, {"n": 0, "password": "p"}, definition=name, note="the first")
    store.http.put(
        "/api/v1/services/secrets", params={"service": name}, json={"pointers": ["/password"]}
    )

    shown = terminal.output("show", name)
    value = terminal.value("show", name)

    facts = dict(line.split(":", 1) for line in shown.splitlines())
    facts = {key: text.strip() for key, text in facts.items()}
    assert facts["Service"] == name
    assert facts["Current"] == "version 0"
    assert facts["Definition"] == name
    assert facts["Secrets"] == "/password"
    assert facts["Newest"].startswith("version 0, by token ")
    assert facts["Newest"].endswith('just now, "the first"')
    assert (value["name"], value["secrets"]) == (name, ["/password"])


# --- tag


def test_tags_are_added_and_removed_one_by_one(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, {})

    assert terminal.output("tag", name, "b", "a") == f"Tags of {name}: a b.\n"
    assert terminal.output("tag", name, "c", "--remove", "a") == f"Tags of {name}: b c.\n"
    assert terminal.output("tag", name) == "b c\n"
    assert terminal.value("tag", name) == {"service": name, "tags": ["b", "c"]}
    assert "no service" in terminal.refused("tag", f"{name}-not", "a")


# --- disable, enable, rollback, delete


def test_disabling_what_is_current_goes_back_at_once(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"n": 0})
    store.put(name, {"n": 1})

    off = terminal.output("disable", name, "--note", "it is bad")
    again = terminal.output("disable", name, "1")
    on = terminal.output("enable", name, "1")

    assert off == f"Version 1 of {name} is disabled; version 0 is current.\n"
    assert again == f"Version 1 of {name} was already disabled; version 0 is current.\n"
    assert on == f"Version 1 of {name} is enabled; version 1 is current.\n"
    assert [each["note"] for each in store.changes() if each["service"] == name][-2] == "it is bad"


def test_a_switch_is_rehearsed_and_holds_a_condition(
    terminal: Terminal, store: Api, name: str
) -> None:
    stale = store.put(name, {"n": 0}).headers["etag"]
    store.put(name, {"n": 1})

    said = terminal.output("disable", name, "--dry-run")
    late = terminal.refused("disable", name, "1", "--if-match", stale)

    assert said == f"Version 1 of {name} would be disabled; version 0 is current.\n"
    assert "--if-match" in late
    assert store.get(name, version="current").json() == {"n": 1}


def test_a_service_is_deleted_only_after_a_yes(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, {})
    store.enable(name, 0, False)

    nobody = terminal.misused("delete", name)
    code, no = terminal.typed("delete", name, answers=[("[y/N]", "n")])
    assert store.get(name).status_code == 404
    assert store.versions(name) != []
    yes = terminal.typed("delete", name, answers=[("[y/N]", "y")])

    assert "give --yes" in nobody
    assert code == 1
    assert "nothing was changed" in no
    assert yes[0] == 0
    assert f"{name} is deleted." in yes[1]
    assert terminal.rows("log", name)[1][3] == "service.deleted"


def test_versions_that_are_served_are_disabled_first_if_that_is_said(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"n": 0})
    store.put(name, {"n": 1})

    refused = terminal.refused("delete", name, "--yes")
    done = terminal.output("delete", name, "--yes", "--disable-first")

    assert "distconf delete --disable-first" in refused
    assert "PATCH" not in refused
    assert done == f"{name} is deleted.\n"


def test_one_version_is_deleted_alone(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, {"n": 0})
    store.put(name, {"n": 1})
    store.enable(name, 0, False)

    done = terminal.output("delete", name, "--version", "0", "-y")

    assert done == f"Version 0 of {name} is deleted.\n"
    assert [row[1] for row in terminal.rows("history", name)[1:]] == ["* current", "deleted"]
    assert "not" in terminal.misused("delete", name, "--version", "0", "--disable-first", "-y")


def test_who_may_only_read_is_refused_by_every_write(
    terminal: Terminal, store: Api, name: str, as_role: Callable[[str], str]
) -> None:
    store.put(name, {"n": 0})
    reader = ("--token-file", as_role("reader"))
    writes = [
        ("set", name, "n=1"),
        ("unset", name, "n"),
        ("disable", name),
        ("enable", name, "0"),
        ("rollback", name, "0"),
        ("delete", name, "-y"),
        ("tag", name, "a"),
        ("users", "list"),
        ("audit", "list"),
    ]

    refused = [terminal.refused(*words, *reader) for words in writes]

    assert all("permission" in each or "may" in each for each in refused), refused
    assert len(store.versions(name)) == 1


# --- open


def test_open_prints_the_address_of_a_service(terminal: Terminal, guarded: Server) -> None:
    assert terminal.output("open") == f"{guarded.url}/api/docs\n"
    assert terminal.output("open", "team/web", "-e", "prod") == (
        f"{guarded.url}/config?service=team%2Fweb&version=current&resolved=true&environment=prod\n"
    )


def test_open_starts_the_browser_of_a_terminal(terminal: Terminal, guarded: Server) -> None:
    browser = terminal.home / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > visited\n')
    browser.chmod(0o755)

    code, _ = terminal.typed("open", "web", BROWSER=f"{browser} %s", SSH_CONNECTION="")

    assert code == 0
    visited = (terminal.home / "visited").read_text()
    assert visited == f"{guarded.url}/config?service=web&version=current&resolved=true\n"
