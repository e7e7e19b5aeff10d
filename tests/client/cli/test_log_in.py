"""The commands login, logout, whoami and profile, and the files that they keep."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import httpx2

from tests.support.access import ADMINISTRATOR
from tests.support.callers import PASSWORD, Caller
from tests.support.server import Server
from tests.support.shells import read_yaml
from tests.support.stubs import Recorder
from tests.support.terminals import Terminal


def credentials(terminal: Terminal) -> Path:
    return terminal.home / ".config" / "distconf" / "credentials.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_let_in(server: Server, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.get(f"{server.url}/auth/me", headers=headers, trust_env=False).is_success


# --- login


def test_a_password_is_asked_for_and_never_shown(
    stranger: Terminal, guarded: Server, ada: str
) -> None:
    answers = [("E-mail", ada), ("Password:", PASSWORD)]
    code, shown = stranger.typed("login", "--url", guarded.url, answers=answers)

    assert code == 0, shown
    assert PASSWORD not in shown
    assert f"You are {ada} at {guarded.url}." in shown
    assert stranger.value("whoami")["name"] == ada


def test_the_token_is_in_a_file_that_nobody_else_can_read(
    stranger: Terminal, guarded: Server, ada: str
) -> None:
    folder = credentials(stranger).parent
    folder.mkdir(parents=True, mode=0o755)
    answers = [("Password:", PASSWORD)]
    stranger.typed("login", "--url", guarded.url, "--email", ada, answers=answers)

    assert (mode(folder), mode(credentials(stranger))) == (0o700, 0o600)
    stored = json.loads(credentials(stranger).read_text())
    assert list(stored["logins"]) == [guarded.url]
    assert is_let_in(guarded, stored["logins"][guarded.url]["token"])

    credentials(stranger).chmod(0o640)
    assert "chmod 600" in stranger.refused("whoami")


def test_the_folder_is_that_of_xdg(stranger: Terminal, guarded: Server, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    words = ("login", "--url", guarded.url, "--token-stdin")
    stranger.output(*words, stdin=f"{ADMINISTRATOR}\n", XDG_CONFIG_HOME=str(elsewhere))

    assert (elsewhere / "distconf" / "credentials.json").exists()
    assert not credentials(stranger).exists()


def test_a_wrong_password_and_a_wrong_token_are_not_kept(
    stranger: Terminal, guarded: Server, ada: str
) -> None:
    answers = [("Password:", "wrong")]
    code, shown = stranger.typed("login", "--url", guarded.url, "--email", ada, answers=answers)
    stranger.write("wrong.token", "dcf_wrong")
    refused = stranger.refused("login", "--url", guarded.url, "--token-file", "wrong.token")

    assert (code, "address or the password is wrong" in shown) == (1, True)
    assert refused.startswith("distconf: ")
    assert not credentials(stranger).exists()


def test_a_script_cannot_be_asked_for_a_password(stranger: Terminal, guarded: Server) -> None:
    assert "--token-file" in stranger.misused("login", "--url", guarded.url)


def test_a_password_that_has_to_be_changed_is_changed_while_logging_in(
    stranger: Terminal, guarded: Server, ada: str
) -> None:
    administrator = Caller(guarded.url, ADMINISTRATOR)
    [user] = administrator.ask("GET", "/api/v1/users", search=ada).json()["users"]
    administrator.ask("PATCH", "/api/v1/users", {"must_change": True}, id=user["id"])
    new = f"{PASSWORD} new"
    answers = [
        ("Password:", PASSWORD),
        ("New password:", new),
        ("again:", "a typing error"),
        ("New password:", new),
        ("again:", new),
    ]

    code, shown = stranger.typed("login", "--url", guarded.url, "--email", ada, answers=answers)

    assert code == 0, shown
    assert new not in shown
    assert stranger.value("whoami")["must_change"] is False


# --- which server, and which token


def test_a_token_is_sent_to_the_server_that_issued_it_and_to_no_other(terminal: Terminal) -> None:
    with Recorder() as other:
        terminal.run("get", "web", "--url", other.url)

    assert {token for _, _, token in other.requests} == {""}


def test_the_token_of_a_profile_is_for_the_profiles_server(terminal: Terminal) -> None:
    with Recorder() as ours, Recorder() as other:
        profiles = {"p": {"url": f"{ours.url}/", "token": "of-p"}}
        terminal.write(".config/distconf/profiles.json", json.dumps(profiles))
        terminal.run("get", "web", "--profile", "p", "--url", other.url)
        terminal.run("get", "web", "--profile", "p", "--url", ours.url)

    assert [token for _, _, token in other.requests] == [""]
    assert [token for _, _, token in ours.requests] == ["Bearer of-p"]


def test_the_environment_comes_before_the_log_in(terminal: Terminal) -> None:
    with Recorder() as other:
        terminal.run("get", "web", DISTCONF_URL=other.url)
        terminal.run("get", "web", DISTCONF_URL=other.url, DISTCONF_TOKEN="of-the-environment")

    tokens = {token for _, _, token in other.requests}
    assert tokens == {"", "Bearer of-the-environment"}


def test_a_token_comes_from_a_file_that_is_named(stranger: Terminal, guarded: Server) -> None:
    stranger.write("a.token", ADMINISTRATOR)

    assert (
        stranger.output(
            "list", "zzz-none", "--url", guarded.url, "--token-file", "a.token", "--output", "json"
        )
        == "[]\n"
    )
    assert "cannot be read" in stranger.refused("list", "--token-file", "absent.token")


def test_the_last_log_in_is_used_and_the_others_are_kept(
    terminal: Terminal, guarded: Server
) -> None:
    with Recorder({"name": "bob", "expires_at": None}) as other:
        terminal.output("login", "--url", f"{other.url}/", "--token-stdin", stdin="of-bob")
        terminal.run("get", "web")
        there = terminal.run("list", "--url", guarded.url)

    assert {token for _, _, token in other.requests} == {"Bearer of-bob"}
    assert there.returncode == 0


# --- logout


def test_logging_out_ends_the_session_at_the_server(
    stranger: Terminal, guarded: Server, ada: str
) -> None:
    answers = [("Password:", PASSWORD)]
    stranger.typed("login", "--url", guarded.url, "--email", ada, answers=answers)
    token = json.loads(credentials(stranger).read_text())["logins"][guarded.url]["token"]

    said = stranger.output("logout")

    assert said == f"You are logged out of {guarded.url}.\n"
    assert not is_let_in(guarded, token)
    assert json.loads(credentials(stranger).read_text())["logins"] == {}
    assert "You were not logged in" in stranger.output("logout")


def test_logging_out_leaves_a_token_that_was_given(terminal: Terminal, guarded: Server) -> None:
    terminal.output("logout", "--all")

    assert is_let_in(guarded, ADMINISTRATOR)
    assert json.loads(credentials(terminal).read_text())["url"] == ""


def test_a_server_that_is_gone_is_logged_out_of_as_well(
    stranger: Terminal, guarded: Server, ada: str, nowhere: str
) -> None:
    answers = [("Password:", PASSWORD)]
    stranger.typed("login", "--url", guarded.url, "--email", ada, answers=answers)
    file = credentials(stranger)
    file.write_text(file.read_text().replace(guarded.url, nowhere))

    done = stranger.run("logout")

    assert done.returncode == 0
    assert "ends by itself" in done.stderr
    assert json.loads(file.read_text())["logins"] == {}


# --- whoami


def test_whoami_tells_name_organisation_and_rights(
    terminal: Terminal, guarded: Server, as_role: Callable[[str], str]
) -> None:
    shown = terminal.output("whoami", "--token-file", as_role("reader"))

    facts = dict(re_split(line) for line in shown.splitlines())
    assert facts["Server"] == guarded.url
    assert facts["Name"] == "token a reader"
    assert facts["Organisation"] == "default"
    assert facts["Permissions"] == "config:read definition:read"
    assert facts["Expires"] == "never"


def re_split(line: str) -> tuple[str, str]:
    name, _, text = line.partition(":")
    return name, text.strip()


# --- profiles


def test_profiles_are_added_used_and_removed(terminal: Terminal, guarded: Server) -> None:
    terminal.output("profile", "add", "here", guarded.url, "--token-file", "administrator.token")
    terminal.output("profile", "add", "there", "https://config.example.org")
    used = terminal.output("profile", "use", "here")
    rows = terminal.rows("profile")
    shown = read_yaml(terminal.output("profile", "show", "here", "--output", "yaml"))
    terminal.output("profile", "remove", "there")

    assert used == f"Commands use here from now on: {guarded.url}.\n"
    assert [row[0] for row in rows] == ["PROFILE", "* here", "there"]
    assert shown["url"] == guarded.url
    assert shown["token"].endswith("administrator.token")
    assert terminal.value("whoami")["url"] == guarded.url
    assert [each["name"] for each in terminal.value("profile", "list")] == ["here"]


def test_a_profile_that_is_removed_is_used_no_longer(terminal: Terminal, guarded: Server) -> None:
    terminal.output("profile", "add", "here", guarded.url)
    terminal.output("profile", "use", "here")
    terminal.output("profile", "remove", "here")

    assert json.loads(credentials(terminal).read_text())["profile"] == ""
    assert "there are: none" in terminal.refused("profile", "remove", "here")
    assert "no such profile" in terminal.refused("profile", "use", "here")


def test_a_profile_in_toml_is_not_written_over(terminal: Terminal) -> None:
    terminal.write(".config/distconf/profiles.toml", '[prod]\nurl = "http://a"\n')

    refused = terminal.refused("profile", "add", "new", "http://b")

    assert "profiles.toml" in refused
    assert [each["name"] for each in terminal.value("profile")] == ["prod"]
    assert "address of a server" in terminal.refused("profile", "add", "new", "nonsense")


def test_a_token_in_a_profile_is_not_shown(terminal: Terminal) -> None:
    profiles = {"prod": {"url": "http://a", "token": "dcf_secret"}}
    terminal.write(".config/distconf/profiles.json", json.dumps(profiles))

    for words in (("profile",), ("profile", "show", "prod"), ("profile", "--output", "json")):
        assert "dcf_secret" not in terminal.output(*words)
