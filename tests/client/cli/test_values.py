"""The commands set, unset, history, log, diff and watch against a server that asks for tokens."""

import re
from collections.abc import Callable

from tests.support.server import Api
from tests.support.terminals import Terminal

# --- set and unset


def test_values_are_set_and_removed_by_their_paths(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"db": {"host": "h", "port": 1}, "old": 1})

    said = terminal.output("set", name, "db.port=5432", "log.level=debug", "--note", "why")
    unset = terminal.output("unset", name, "old", "/db/host")

    assert said == f"{name} is at version 1.\n"
    assert unset == f"{name} is at version 2.\n"
    assert store.versions(name)[1]["note"] == "why"
    assert store.get(name, version="current").json() == {
        "db": {"port": 5432},
        "log": {"level": "debug"},
    }


def test_removing_what_is_not_there_is_refused_as_a_whole(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"a": 1})

    refused = terminal.refused("unset", name, "a", "b.c", "d")

    assert "b.c: There is no such value" in refused
    assert "  d: There is no such value" in refused
    assert len(store.versions(name)) == 1


def test_set_takes_pairs_alone(terminal: Terminal, name: str) -> None:
    assert "PATH=VALUE" in terminal.misused("set", name, "file.json")
    assert "no service" in terminal.refused("set", name, "a=1")
    assert "no service" in terminal.refused("unset", name, "a")


def test_set_shows_the_difference_between_done_and_rehearsed(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"a": 1})

    assert terminal.output("set", name, "a=2", "--dry-run").endswith("would be at version 1.\n")
    assert terminal.output("set", name, "a=1") == f"{name} is so already, at version 0.\n"
    assert terminal.value("set", name, "a=3") == {"service": name, "version": 1, "changed": True}
    assert terminal.output("set", name, "a=4", "-q") == ""


# --- history and log


def test_a_history_can_be_cut(terminal: Terminal, store: Api, name: str) -> None:
    for n in range(4):
        store.put(name, {"n": n})

    assert [row[0] for row in terminal.rows("history", name, "-n", "2")[1:]] == ["3", "2"]
    assert len(terminal.value("history", name)) == 4


def test_the_log_shows_the_newest_changes_first(terminal: Terminal, store: Api, name: str) -> None:
    store.put(f"{name}/a", {"n": 0}, note="why")
    store.put(f"{name}/b", {"n": 0})
    store.enable(f"{name}/a", 0, False)

    header, *rows = terminal.rows("log", f"{name}/")
    two = terminal.value("log", f"{name}/", "-n", "2")
    switched = terminal.rows("log", f"{name}/", "--kind", "version.disabled")[1:]

    assert header == ["REVISION", "TIME", "ACTOR", "WHAT", "SUBJECT", "VERSION", "NOTE"]
    assert [row[3] for row in rows[:2]] == ["version.disabled", "version.created"]
    assert [row[4] for row in rows[:2]] == [f"{name}/a", f"{name}/b"]
    assert rows[-1][6] == "why"
    assert [each["kind"] for each in two] == ["version.disabled", "version.created"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", two[0]["time"])
    assert [row[4] for row in switched] == [f"{name}/a"]


def test_the_log_finds_what_is_far_back(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, {"n": 0})
    other = f"{name}-other"
    for n in range(130):
        store.put(other, {"n": n})

    assert [row[4] for row in terminal.rows("log", name)[1:]] == [name, name]
    assert [each["version"] for each in terminal.value("log", other, "-n", "3")] == [129, 128, 127]
    done = terminal.run("log", f"{name}-not")
    assert (done.stdout, done.stderr) == ("", "Nothing was changed.\n")


# --- diff


def test_a_difference_is_that_to_the_version_before_unless_others_are_named(
    terminal: Terminal, store: Api, name: str
) -> None:
    for n in range(4):
        store.put(name, {"n": n})
    store.enable(name, 2, False)

    assert "version 1\n+++" in terminal.output("diff", name)
    assert terminal.output("diff", name).count("version 3") == 1
    assert "version 0\n+++" in terminal.output("diff", name, "0")
    assert terminal.value("diff", name, "0", "2") == [{"op": "replace", "path": "/n", "value": 2}]


def test_a_difference_needs_two_versions_or_two_environments(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {})

    assert "no two enabled versions" in terminal.refused("diff", name)
    assert "go together" in terminal.misused("diff", name, "--from", "a")
    assert "not both" in terminal.misused("diff", name, "1", "--from", "a", "--to", "b")


# --- watch


def test_a_change_is_watched_with_the_token_of_the_log_in(
    terminal: Terminal, store: Api, name: str
) -> None:
    before = store.put(name, {"n": 0}).headers["config-revision"]
    with terminal.shell.started("watch", name, "--after", before, DISTCONF_URL="") as running:
        store.put(name, {"n": 1}, note="seen")
        running.until(lambda: "seen" in running.output)

    assert re.search(rf"version.created  {name} 1  seen$", running.output, re.MULTILINE)


def test_who_is_not_let_in_is_told_how_to_get_in(
    stranger: Terminal, store: Api, name: str, as_role: Callable[[str], str]
) -> None:
    url = ("--url", store.url, "--token", "dcf_wrong")

    for words in (("get", name), ("list",), ("watch", name), ("whoami",), ("log",)):
        refused = stranger.refused(*words, *url)
        assert "distconf login" in refused, words
