"""The commands environments, explain and promote, and all others in an environment."""

import itertools
import json
from collections.abc import Callable

import pytest

from tests.support.server import Api
from tests.support.terminals import Terminal


@pytest.fixture(autouse=True)
def there(terminal: Terminal, store: Api) -> None:
    """Create the environments, unless an earlier test has."""
    listed = store.http.get("/api/v1/environments").json()["environments"]
    known = {each["name"] for each in listed}
    for place, inherits in (("staging", "default"), ("prod", "staging")):
        if place not in known:
            body = {"name": place, "inherits": inherits}
            assert store.http.post("/api/v1/environments", json=body).status_code == 200


def put(store: Api, service: str, document: object, environment: str = "default") -> None:
    assert store.put(service, document, environment=environment).status_code == 200


def resolved(store: Api, service: str, environment: str) -> object:
    query = {"version": "current", "resolved": "true", "environment": environment}
    return store.get(service, **query).json()


# --- environments


def test_an_environment_is_created_changed_and_deleted(terminal: Terminal, name: str) -> None:
    created = terminal.output(
        "environments", "create", name, "--inherits", "staging", "--description", "of a test"
    )
    terminal.output("environments", "change", name, "--protected", "--position", "7")
    [row] = [row for row in terminal.rows("environments") if row[0] == name]
    terminal.output("environments", "change", name, "--alone", "--no-protected")
    [value] = [each for each in terminal.value("environments") if each["name"] == name]
    nobody = terminal.misused("environments", "delete", name)
    deleted = terminal.output("environments", "delete", name, "-y")

    assert created == f"The environment {name} is created.\n"
    assert row[:4] == [name, "staging", "protected", "of a test"]
    assert (value["inherits"], value["protected"], value["position"]) == (None, False, 7)
    assert "give --yes" in nobody
    assert deleted == f"The environment {name} is deleted.\n"
    assert "say what changes" in terminal.misused("environments", "change", name)
    assert "not both" in terminal.misused(
        "environments", "create", name, "--alone", "--inherits", "staging"
    )


def test_an_environment_with_versions_is_not_deleted(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {}, "prod")

    assert "has versions" in terminal.refused("environments", "delete", "prod", "-y")


def test_an_environment_that_was_typed_wrong_is_guessed(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {"n": 1})

    for words in (("get", name), ("set", name, "n=1"), ("explain", name), ("history", name)):
        refused = terminal.refused(*words, "-e", "stagng")
        assert "There are: default, " in refused
        assert "Did you mean staging?" in refused
    assert "prod" in terminal.refused("diff", name, "--from", "default", "--to", "prd")


# --- reading and writing


def test_get_is_what_programs_get_and_layer_what_is_stored(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {"db": {"host": "h", "port": 1}})
    put(store, name, {"db": {"host": "s"}}, "staging")

    whole = json.loads(terminal.output("get", name, "-e", "prod"))
    layer = json.loads(terminal.output("get", name, "--environment", "staging", "--layer"))
    by_variable = terminal.output("get", name, "db.host", DISTCONF_ENVIRONMENT="prod")
    as_yaml = terminal.output("get", name, "-e", "prod", "--output", "yaml")
    numbered = json.loads(terminal.output("get", name, "-e", "staging", "--version", "0"))
    variables = terminal.output("env", name, "-e", "prod")

    assert whole == {"db": {"host": "s", "port": 1}}
    assert layer == numbered == {"db": {"host": "s"}}
    assert by_variable == "s\n"
    assert as_yaml == "db:\n  host: s\n  port: 1\n"
    assert "DB_HOST='s'" in variables or "DB_HOST=s" in variables


def test_a_layer_is_begun_by_setting_a_value(terminal: Terminal, store: Api, name: str) -> None:
    put(store, name, {"log": {"level": "info"}, "n": 1})

    said = terminal.output("set", name, "log.level=debug", "-e", "staging")
    terminal.output("set", name, "n=2", "-e", "staging")
    terminal.output("unset", name, "log.level", "-e", "staging")

    assert said == f"{name}@staging is at version 0.\n"
    assert resolved(store, name, "staging") == {"log": {"level": "info"}, "n": 2}
    assert store.get(name, version="current").json() == {"log": {"level": "info"}, "n": 1}
    assert "no service" in terminal.refused("set", f"{name}-not", "n=1", "-e", "staging")


def test_a_layer_is_begun_in_the_editor(terminal: Terminal, store: Api, name: str) -> None:
    put(store, name, {"n": 1})
    script = terminal.home / "editor"
    script.write_text('#!/bin/sh\ncp "$1" seen\necho \'{"n": 2}\' > "$1"\n')
    script.chmod(0o755)

    said = terminal.output("edit", name, "-e", "staging", EDITOR=str(script))

    assert (terminal.home / "seen").read_text() == "{}\n"
    assert said == f"{name}@staging is at version 0.\n"


def test_each_series_has_a_history_and_switches_of_its_own(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {"n": 1})
    put(store, name, {"n": 2}, "staging")
    put(store, name, {"n": 3}, "staging")
    here = ("-e", "staging")

    before = [row[0] for row in terminal.rows("history", name, *here)[1:]]
    diff = terminal.value("diff", name, *here)
    off = terminal.output("disable", name, *here)
    rolled = terminal.output("rollback", name, "1", *here)
    shown = terminal.output("show", name, *here)
    gone = terminal.output("delete", name, *here, "--disable-first", "-y")

    assert before == ["1", "0"]
    assert diff == [{"op": "replace", "path": "/n", "value": 3}]
    assert off == f"Version 1 of {name}@staging is disabled; version 0 is current.\n"
    assert rolled == f"{name}@staging is at version 2.\n"
    assert "default staging" in shown
    assert gone == f"{name}@staging is deleted.\n"
    assert resolved(store, name, "staging") == {"n": 1}


def test_an_environment_is_exported_and_imported_alone(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {"n": 1})
    terminal.write("one.json", json.dumps({name: {"n": 2}}))

    terminal.output("import", "one.json", "-e", "staging")
    there = json.loads(terminal.output("export", "--prefix", name, "-e", "staging"))
    here = json.loads(terminal.output("export", "--prefix", name))

    assert (there, here) == ({name: {"n": 2}}, {name: {"n": 1}})


def test_the_log_and_a_watch_name_the_environment(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {"n": 1})
    put(store, name, {"n": 2}, "staging")

    subjects = [row[4] for row in terminal.rows("log", name)[1:]]
    staged = terminal.value("log", name, "-e", "staging", "--kind", "version.created")
    with terminal.shell.started("watch", name, "-e", "staging", DISTCONF_URL="") as running:
        numbers = itertools.count(10)

        def is_seen() -> bool:
            # The watch begins with what is published once it is connected.
            for place in ("staging", "default"):
                put(store, name, {"n": next(numbers)}, place)
            return f"version.created  {name}@staging" in running.output

        running.until(is_seen)
        lines = running.output.splitlines()

    assert subjects[0] == f"{name}@staging"
    assert [each["environment"] for each in staged] == ["staging"]
    assert all(f"{name}@staging" in line for line in lines)


def test_a_service_extends_others(terminal: Terminal, store: Api, name: str) -> None:
    put(store, f"{name}/base", {"level": "info"})
    put(store, f"{name}/web", {"port": 1})

    said = terminal.output("extend", f"{name}/web", f"{name}/base")
    answer = terminal.output("extend", f"{name}/web")
    whole = json.loads(terminal.output("get", f"{name}/web"))
    circle = terminal.refused("extend", f"{name}/base", f"{name}/web")
    terminal.output("extend", f"{name}/web", "--none")

    assert said == f"{name}/web extends {name}/base.\n"
    assert answer == f"{name}/base\n"
    assert whole == {"level": "info", "port": 1}
    assert f"{name}/web" in circle
    assert json.loads(terminal.output("get", f"{name}/web")) == {"port": 1}
    assert "not both" in terminal.misused("extend", name, "other", "--none")


def test_environments_and_their_series_are_completed(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {"only-here": 1}, "staging")

    def words(*typed: str) -> list[str]:
        lines = terminal.output("__complete", *typed).splitlines()
        return [line.partition("\t")[0] for line in lines]

    assert words("get", name, "-e", "sta") == ["staging"]
    assert words("promote", name, "--from", "pr") == ["prod"]
    assert words("environments", "change", "sta") == ["staging"]
    assert words("set", name, "-e", "staging", "only") == ["only-here="]
    assert words("unset", "-e", "staging", name, "only") == ["only-here"]


# --- explain


def test_explain_tells_where_each_value_comes_from(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, f"{name}/base", {"level": "info", "db": {"host": "h"}})
    store.put(f"{name}/web", {"port": 1}, note="quieter")
    terminal.output("extend", f"{name}/web", f"{name}/base")
    put(store, f"{name}/web", {"db": {"host": "s"}}, "staging")

    header, *rows = terminal.rows("explain", f"{name}/web", "-e", "staging")
    one = terminal.rows("explain", f"{name}/web", "db.host", "-e", "staging")[1:]
    value = terminal.value("explain", f"{name}/web", "/port")

    assert header == ["KEY", "VALUE", "FROM", "INSTEAD OF"]
    by_key = {row[0]: row for row in rows}
    assert by_key["/level"][2].startswith(f"{name}/base@default:0, by token ")
    assert by_key["/port"][2].endswith(', just now, "quieter"')
    assert by_key["/db/host"][1] == '"s"'
    assert by_key["/db/host"][3] == f'"h" of {name}/base@default:0'
    assert [row[0] for row in one] == ["/db/host"]
    assert [each["pointer"] for each in value["values"]] == ["/port"]
    assert "no service" in terminal.refused("explain", f"{name}/not")


# --- diff and promote


def test_two_environments_are_compared_as_programs_get_them(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {"a": 1, "b": 1})
    put(store, name, {"b": 2}, "staging")

    text = terminal.output("diff", name, "--from", "default", "--to", "staging")
    patch = terminal.value("diff", name, "--from", "default", "--to", "staging")

    assert '-  "b": 1' in text
    assert '+  "b": 2' in text
    assert patch == [{"op": "replace", "path": "/b", "value": 2}]


def test_a_promotion_shows_what_changes_and_asks(terminal: Terminal, store: Api, name: str) -> None:
    for part in ("a", "b"):
        put(store, f"{name}/{part}", {"n": 1}, "staging")
    put(store, f"{name}/a", {"n": 0}, "prod")
    words = ("promote", f"{name}/a", f"{name}/b", "--from", "staging", "--to", "prod")

    nobody = terminal.run(*words)
    no = terminal.typed(*words, answers=[("[y/N]", "n")], NO_COLOR="1")
    before = resolved(store, f"{name}/a", "prod")
    yes = terminal.typed(*words, answers=[("[y/N]", "y")], NO_COLOR="1")

    assert (nobody.returncode, "give --yes" in nobody.stderr) == (2, True)
    assert no[0] == 1
    assert '-  "n": 0\n+  "n": 1' in no[1]
    assert "--- (nothing)" in no[1]
    assert before == {"n": 0}
    assert yes[0] == 0
    assert f"{name}/a@prod is at version 1." in yes[1]
    assert f"{name}/b@prod is at version 0." in yes[1]
    revisions = {each["revision"] for each in terminal.value("log", f"{name}/", "-n", "2")}
    assert len(revisions) == 1


def test_a_promotion_of_parts_leaves_the_rest(terminal: Terminal, store: Api, name: str) -> None:
    put(store, name, {"log": {"level": "debug"}, "n": 1}, "staging")
    put(store, name, {"log": {"level": "info"}, "n": 0, "gone": 1}, "prod")
    words = ("promote", name, "--from", "staging", "--to", "prod", "--pointer", "/log/level")

    shown = terminal.output(*words, "--dry-run")
    done = terminal.value(*words, "--yes", "--note", "why")
    again = terminal.output(*words, "--yes")

    assert '+    "level": "debug"' in shown
    assert '"n"' not in [line for line in shown.splitlines() if line[:1] in "+-"]
    assert f"{name}@prod would be at version 1." in shown
    assert done["changes"] == [{"service": name, "version": 1, "changed": True}]
    assert resolved(store, name, "prod") == {"log": {"level": "debug"}, "n": 0, "gone": 1}
    assert again == "prod is like staging already.\n"


def test_a_promotion_is_refused_to_who_may_only_read(
    terminal: Terminal, store: Api, name: str, as_role: Callable[[str], str]
) -> None:
    put(store, name, {"n": 1}, "staging")
    words = ("promote", name, "--from", "staging", "--to", "prod", "--yes", "-q")

    assert "distconf: " in terminal.refused(*words, "--token-file", as_role("reader"))
    assert "staging" in terminal.refused(
        "promote", f"{name}-not", "--from", "staging", "--to", "prod", "--yes", "-q"
    )


# --- programs


def test_a_program_runs_with_the_environment_that_is_named(
    terminal: Terminal, store: Api, name: str
) -> None:
    put(store, name, {"n": 1, "m": 1})
    put(store, name, {"n": 2}, "staging")
    command = ("--", "sh", "-c", "echo $N $M")
    target = ("--service", name, "--file", "app.json", "--once")

    run = terminal.output("exec", "--service", name, "-e", "prod", *command)
    by_variable = terminal.output("exec", "--service", name, *command, DISTCONF_ENVIRONMENT="prod")
    wrote = terminal.run("sidecar", *target, "-e", "staging")

    assert run == by_variable == "2 1\n"
    assert wrote.returncode == 0
    assert json.loads((terminal.home / "app.json").read_text()) == {"n": 2, "m": 1}
