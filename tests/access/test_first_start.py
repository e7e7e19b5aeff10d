"""The first administrator, and accounts from the terminal."""

import json
import time
from pathlib import Path

from distributed_config.services.access.token_format import is_token, new_token
from tests.support.callers import PASSWORD, Caller, logged_in
from tests.support.server import Server

# --- the first one, and the terminal


def test_the_first_start_prints_a_token_once(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance", auth="token")
    with server:
        time.sleep(0.2)
        said = server.log.read_text()
        [token] = [word for word in said.split() if is_token(word)]
        assert Caller(server.url, token).put("web", {"n": 0}).status_code == 200
    with server:
        assert token not in server.log.read_text()[len(said) :]
        assert "not shown again" not in server.log.read_text()[len(said) :]


def test_the_first_administrator_can_be_a_user(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    given = {"admin_email": "Ada@Example.org", "admin_password_file": file}
    with Server(tmp_path / "instance", auth="token", **given) as server:
        caller = logged_in(server, "ada@example.org")
        assert "*" in caller.ask("GET", "/auth/me").json()["permissions"]
        assert PASSWORD not in server.log.read_text()


def test_accounts_are_kept_from_the_terminal(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", auth="token", admin_token=new_token()) as server:
        assert server.tell("create-organisation", "shop").stdout == "Created organisation id=2\n"
        ada = ("create-user", "ada@example.org", "shop", "editor")
        made = server.tell(*ada, input=PASSWORD + "\n")
        assert made.stdout == "Created user id=1\n", made.stderr
        again = server.tell(*ada, input=PASSWORD)
        assert again.returncode == 1
        assert "already" in again.stderr
        token = server.tell("create-token", "ci", "--role", "editor", "--organisation", "shop")
        caller = Caller(server.url, token.stdout.strip())
        assert caller.put("web", {"n": 0}).status_code == 200
        listed = json.loads(
            server.tell("list-tokens", "--organisation", "shop", "--output", "json").stdout
        )
        which = (str(listed[0]["id"]), "--organisation", "shop")
        change = ("--name", "cd", "--role", "reader", "--days", "9", "--service", "web")
        assert "is changed" in server.tell("change-token", *which, *change).stdout
        assert (caller.put("web", {"n": 1}).status_code, caller.get("web").status_code) == (
            403,
            200,
        )
        [now] = json.loads(
            server.tell("list-tokens", *which[1:], "--search", "cd", "--output", "json").stdout
        )
        assert (now["role"], now["services"], now["state"][:10]) == ("reader", "web", "good until")
        wider = server.tell("change-token", *which, "--unlimited", "--for-ever")
        assert wider.returncode == 0, wider.stderr
        joined = server.tell("add-member", "ada@example.org", "default", "reader")
        assert joined.stdout == "ada@example.org is a member of default.\n", joined.stderr
        belongs = server.tell("list-memberships", "ada@example.org")
        assert [line.split() for line in belongs.stdout.splitlines()] == [
            ["ORGANISATION", "ROLE", "SERVICES"],
            ["default", "reader"],
            ["shop", "editor"],
        ]
        named = server.tell("change-user", "ada@example.org", "--role", "editor", "--service", "a/")
        assert named.returncode == 0, named.stderr
        [user] = json.loads(server.tell("list-users", "--output", "json").stdout)
        assert (user["role"], user["services"], user["active"]) == ("editor", "a/", True)
        revoked = server.tell("revoke-token", *which)
        assert "is revoked" in revoked.stdout
        assert caller.get("web").status_code == 401
        assert server.tell("remove-user", "ada@example.org").returncode == 0
        assert logged_in(server, "ada@example.org").get("web").json() == {"n": 0}
