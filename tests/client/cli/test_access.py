"""The commands users, roles, tokens, memberships, organisations and audit."""

import json
import re
from collections.abc import Callable

import httpx2

from tests.support.callers import PASSWORD
from tests.support.server import Api, Server
from tests.support.terminals import Terminal


def can_log_in(server: Server, email: str, password: str) -> bool:
    form = {"username": email, "password": password}
    return httpx2.post(f"{server.url}/auth/token", data=form, trust_env=False).is_success


# --- users


def test_a_user_is_created_changed_and_removed(
    terminal: Terminal, guarded: Server, name: str
) -> None:
    email = f"{name}@example.org"

    created = terminal.output(
        "users", "create", email, "editor", "--service", "team/", stdin=f"{PASSWORD}\n"
    )
    [row] = terminal.rows("users", "list", email)[1:]
    changed = terminal.output("users", "change", email, "--role", "reader", "--no-active")
    [user] = terminal.value("users", "list", email)
    removed = terminal.output("users", "remove", email, "--yes")

    assert created == f"The user {email} is created.\n"
    assert row[1:5] == [email, "editor", "team/", "active"]
    assert changed == f"{email} is changed.\n"
    assert (user["role"], user["active"], user["services"]) == ("reader", False, ["team/"])
    assert removed == f"{email} is removed.\n"
    assert terminal.value("users", "list", email) == []


def test_a_password_is_given_and_asked_for_twice(
    terminal: Terminal, guarded: Server, ada: str
) -> None:
    code, shown = terminal.typed(
        "users",
        "password",
        ada,
        answers=[("Password:", "a second one, long"), ("again:", "a second one, long")],
    )
    by_terminal = can_log_in(guarded, ada, "a second one, long")
    terminal.output("users", "password", ada, stdin="a third one, longer\n")

    assert code == 0, shown
    assert "second" not in shown
    assert by_terminal
    assert can_log_in(guarded, ada, "a third one, longer")


def test_limits_are_removed_if_that_is_said(terminal: Terminal, ada: str) -> None:
    terminal.output("users", "change", ada, "--service", "a", "--environment", "default")
    terminal.output("memberships", "change", ada, "--unlimited", "--service", "b/")

    [user] = terminal.value("users", "list", ada)
    assert (user["role"], user["services"], user["environments"]) == ("editor", ["b/"], [])


def test_who_is_not_there_cannot_be_changed(terminal: Terminal, name: str) -> None:
    nobody = f"{name}@example.org"

    for words in (("change", nobody, "--role", "reader"), ("remove", nobody, "-y")):
        assert "no such user" in terminal.refused("users", *words)
    assert "say what changes" in terminal.misused("users", "change", nobody)
    assert "give --yes" in terminal.misused("users", "remove", nobody)


# --- memberships and organisations


def test_a_user_becomes_a_member_of_another_organisation(
    terminal: Terminal, ada: str, name: str
) -> None:
    terminal.output("organisations", "create", f"org {name}")
    terminal.output("organisations", "rename", f"org {name}", f"new {name}")
    there = ("--organisation", f"new {name}")
    said = terminal.output("memberships", "add", ada, "reader", *there)

    memberships = terminal.rows("memberships", "list", ada)
    terminal.output("memberships", "remove", ada, "-y", *there)

    assert said == f"{ada} is a member.\n"
    assert [row[1:3] for row in memberships[1:]] == [
        ["default", "editor"],
        [f"new {name}", "reader"],
    ]
    assert [row[1] for row in terminal.rows("memberships", "list", ada)[1:]] == ["default"]
    assert [row[1] for row in terminal.rows("organisations", "list", name)[1:]] == [f"new {name}"]


def test_an_organisation_is_named_by_a_flag_or_a_variable(
    terminal: Terminal, store: Api, name: str
) -> None:
    terminal.output("organisations", "create", name)
    terminal.write("a.json", "{}")
    terminal.output("put", f"{name}-web", "a.json", "--organisation", name)

    there = terminal.output("list", "-q", DISTCONF_ORGANISATION=name)

    assert there.split()[0] == f"{name}-web"
    assert store.get(f"{name}-web").status_code == 404
    assert "no organisation" in terminal.refused("list", "--organisation", f"{name}-not")


# --- roles


def test_a_role_of_ones_own_is_created_and_deleted(terminal: Terminal, name: str) -> None:
    said = terminal.output("roles", "set", name, "config:read", "config:write")
    rows = terminal.rows("roles", "list")
    refused = terminal.refused("roles", "set", name, "config:fly")
    deleted = terminal.output("roles", "delete", name, "-y")

    assert said == f"The role {name} has 2 permissions.\n"
    assert rows[0] == ["ROLE", "KIND", "PERMISSIONS"]
    assert [name, "own", "config:read config:write"] in rows
    assert ["reader", "built in", "config:read definition:read"] in rows
    assert "config:fly" in refused
    assert deleted == f"The role {name} is deleted.\n"


# --- tokens


def test_a_token_is_alone_on_the_output(terminal: Terminal, name: str) -> None:
    done = terminal.run("tokens", "create", name, "--role", "reader", "--days", "3")
    rehearsed = terminal.output("tokens", "create", name, "--role", "reader", "--dry-run")

    assert re.fullmatch(r"dcf_\w+\n", done.stdout)
    assert "not shown again" in done.stderr
    assert rehearsed == f"The token {name} would be created.\n"
    terminal.write("its.token", done.stdout)
    assert terminal.run("whoami", "--token-file", "its.token").returncode == 0


def test_a_token_is_changed_rotated_and_revoked(terminal: Terminal, name: str) -> None:
    first = terminal.value("tokens", "create", name, "--role", "reader", "--days", "3")
    number = str(first["id"])

    terminal.output("tokens", "change", number, "--name", f"new {name}", "--for-ever")
    changed = terminal.rows("tokens", "list", name)[1]
    second = terminal.value("tokens", "rotate", number, "--overlap", "60")
    revoked = terminal.output("tokens", "revoke", str(second["id"]), "-y")
    again = terminal.output("tokens", "revoke", str(second["id"]), "-y")

    assert changed[1] == f"new {name}"
    assert changed[6:] == ["good", "never"]
    assert revoked == f"The token {second['id']} is revoked.\n"
    assert again == f"The token {second['id']} was already revoked.\n"
    states = [row[6] for row in terminal.rows("tokens", "list", name)[1:]]
    assert states == ["ends in a moment", "revoked"] or states == ["ends in 1 minute", "revoked"]
    terminal.write("revoked.token", second["token"])
    assert "distconf login" in terminal.refused("whoami", "--token-file", "revoked.token")


def test_a_token_needs_a_role_or_an_owner(stranger: Terminal, guarded: Server, ada: str) -> None:
    answers = [("Password:", PASSWORD)]
    stranger.typed("login", "--url", guarded.url, "--email", ada, answers=answers)

    misused = stranger.misused("tokens", "create", "mine")
    issued = stranger.value("tokens", "create", "mine", "--personal", "--days", "1")

    assert "--personal" in misused
    assert issued["user"] == ada
    assert "no token" in stranger.refused("tokens", "revoke", "1", "-y")


# --- audit


def test_the_audit_log_is_listed_filtered_and_exported(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"n": 1})
    terminal.output("tokens", "create", name, "--role", "reader", "-q", "--output", "json")

    rows = terminal.rows("audit", "list", "--service", name)
    newest = terminal.value("audit", "list", "-n", "1")
    head = terminal.output("audit", "head")
    lines = terminal.output("audit", "export", "--service", name).splitlines()
    terminal.output("audit", "export", "all.csv", "--format", "csv")

    assert rows[0] == ["ID", "TIME", "KIND", "ACTOR", "ADDRESS", "ABOUT", "REVISION"]
    assert rows[1][2] == "changed"
    assert rows[1][5] == name
    assert len(newest) == 1
    assert re.fullmatch(r"\d+:[0-9a-f]{64}\n", head)
    assert [json.loads(line)["changes"][0]["service"] for line in lines] == [name]
    assert (terminal.home / "all.csv").read_text().startswith("id,time,")
    assert (terminal.home / "all.csv").stat().st_mode & 0o077 == 0


def test_the_audit_log_is_not_for_everybody(
    terminal: Terminal, as_role: Callable[[str], str]
) -> None:
    editor = ("--token-file", as_role("editor"))

    for words in (("audit", "list"), ("audit", "export"), ("audit", "head"), ("users",)):
        assert "distconf: " in terminal.refused(*words, *editor)
