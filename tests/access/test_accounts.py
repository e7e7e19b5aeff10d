"""Somebody is left who administers the server; accounts and their streams."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from distributed_config.http import auth
from distributed_config.models.sqlite import raw_connection
from tests.support.access import watching
from tests.support.callers import PASSWORD, Caller, logged_in
from tests.support.server import Server
from tests.support.waiting import until

# --- somebody is left who administers the server


def test_the_last_who_administers_the_server_cannot_be_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    given = {"admin_email": "ada@example.org", "admin_password_file": file}
    with Server(tmp_path / "instance", auth="token", **given) as server:
        ada = logged_in(server, "ada@example.org")
        [me] = ada.ask("GET", "/api/v1/users").json()["users"]
        bob = ada.make("users", {"email": "bob@example.org", "role": "administrator"})
        limited = {"name": "limited", "role": "administrator", "services": ["team/"]}
        ada.make("tokens", limited)

        def refused(method: str, path: str, body: Any = None, by: Caller = ada, **at: Any) -> bool:
            answer = by.ask(method, f"/api/v1/{path}", body, **at)
            assert answer.status_code in {200, 409}, answer.text
            if answer.status_code == 409:
                assert answer.json()["code"] == "last-administrator"
                assert "Create another one first" in answer.json()["detail"]
            return answer.status_code == 409

        # Bob cannot log in, and a token with limits administers nothing.
        less: list[tuple[str, Any]] = [
            ("PATCH", {"active": False}),
            ("PATCH", {"role": "reader"}),
            ("PATCH", {"services": ["team/"]}),
            ("DELETE", None),
        ]
        assert [refused(method, "users", body, id=me["id"]) for method, body in less] == [True] * 4
        at = {"email": "ada@example.org"}
        assert refused("PATCH", "memberships", {"role": "reader"}, **at)
        assert refused("DELETE", "memberships", **at)
        assert server.tell("remove-user", "ada@example.org").returncode == 1
        assert ada.ask("GET", "/auth/me").status_code == 200, "it was done all the same"

        program = ada.make("tokens", {"name": "program", "role": "administrator"})
        acting = Caller(server.url, program["token"])
        assert not refused("PATCH", "users", {"active": False}, by=acting, id=me["id"])
        assert not refused("PATCH", "tokens", {}, by=acting, id=program["id"])
        assert refused("DELETE", "tokens", by=acting, id=program["id"])
        for change in ({"role": "reader"}, {"services": ["a"]}, {"seconds": 5}):
            assert refused("PATCH", "tokens", change, by=acting, id=program["id"]), change
        assert refused(
            "PATCH", "tokens", {"role": "reader", "seconds": 9}, by=acting, id=program["id"]
        )
        assert acting.ask("POST", "/auth/logout").status_code == 409
        assert not refused("POST", "tokens/rotate", {"overlap": 0}, by=acting, id=program["id"])

        # Bob counts once he has logged in without a password, as with an identity provider.
        with raw_connection(server.database) as connection:
            [[last]] = connection.execute("SELECT max(id) FROM tokens").fetchall()
            assert server.tell("revoke-token", str(last)).returncode == 1
            connection.execute(
                "INSERT INTO tokens (kind, organisation_id, user_id, name, digest, hint, role, "
                "services, environments, created_at, created_by, used_from) SELECT kind, "
                "organisation_id, ?, name, 'x', hint, role, services, environments, created_at, "
                "created_by, used_from FROM tokens WHERE kind = 'session'",
                [bob["id"]],
            )
            connection.commit()
        told = server.tell("revoke-token", str(last))
        assert told.returncode == 0, told.stderr
        assert server.tell("change-user", "bob@example.org", "--inactive").returncode == 1


def test_of_two_who_take_each_other_away_at_the_same_time_one_is_left(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    given = {"admin_email": "ada@example.org", "admin_password_file": file}
    with Server(tmp_path / "instance", auth="token", **given) as server:
        ada = logged_in(server, "ada@example.org")
        body = {"email": "bob@example.org", "role": "administrator", "password": PASSWORD}
        ada.make("users", body)
        both = {"ada@example.org": ada, "bob@example.org": logged_in(server, "bob@example.org")}

        def become(role: str, email: str, by: Caller) -> int:
            body = {"role": role}
            return by.ask("PATCH", "/api/v1/memberships", body, email=email).status_code

        # Both are let in by the door before either is done: the lock is taken meanwhile. Where
        # the second is late all the same, the door refuses it, and it is tried again.
        told: set[int] = set()
        for _ in range(10):
            with (
                ThreadPoolExecutor(2) as pool,
                raw_connection(server.database) as connection,
            ):
                connection.execute("BEGIN IMMEDIATE")
                one, other = (
                    pool.submit(become, "reader", email, by)
                    for email, by in zip(both, reversed(both.values()), strict=True)
                )
                time.sleep(0.5)
                connection.execute("ROLLBACK")
                answers = {one.result(), other.result()}
            assert answers in ({200, 409}, {200, 403})
            [left] = [
                by for by in both.values() if "*" in by.ask("GET", "/auth/me").json()["permissions"]
            ]
            assert [become("administrator", email, left) for email in both] == [200, 200]
            told |= answers
            if 409 in told:
                break
        assert 409 in told, "they never met"


def test_who_holds_everything_in_a_scope_does_not_hold_it_elsewhere(
    guarded: Server, administrator: Caller, user: Callable[..., dict[str, Any]], elsewhere: str
) -> None:
    scoped = logged_in(guarded, user("administrator", services=["team/"])["email"])
    chief = user("administrator")

    assert scoped.ask("POST", "/api/v1/organisations", {"name": "x"}).status_code == 403
    renamed = scoped.ask("PATCH", "/api/v1/organisations", {"name": "x"}, name=elsewhere)
    assert renamed.status_code == 403
    there = {auth.ORGANISATION: elsewhere}
    assert scoped.ask("GET", "/auth/me", headers=there).status_code == 403
    for change in ({"password": "a very long new one"}, {"role": "reader"}):
        assert scoped.ask("PATCH", "/api/v1/users", change, id=chief["id"]).status_code == 403
    listed = scoped.ask("GET", "/api/v1/organisations").json()["organisations"]
    assert [each["name"] for each in listed] == ["default"]


def test_a_stream_ends_with_its_token_also_when_that_is_rotated(
    guarded: Server, administrator: Caller, name: str
) -> None:
    made = administrator.make("tokens", {"name": "rotated", "role": "reader"})
    heard: list[str] = []
    with watching(guarded, made["token"], heard) as thread:
        administrator.make("tokens/rotate", {"overlap": 1}, id=made["id"])
        administrator.put(f"{name}-before", {"n": 0})
        until(lambda: f"{name}-before" in "".join(heard))
        time.sleep(1.1)
        administrator.put(f"{name}-after", {"n": 0})
        thread.join(5)
        assert not thread.is_alive()
    assert f"{name}-after" not in "".join(heard)


@pytest.mark.parametrize("text", ["\xff", "\x00", "dGVzdA", "é" * 50])
def test_a_basic_header_that_is_none_is_a_plain_401(guarded: Server, text: str) -> None:
    request = (
        f"GET /config?service=x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {text}\r\n"
        "Connection: close\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", guarded.port), 5)) as sock:
        sock.sendall(request.encode("latin-1"))
        answer = b"".join(iter(lambda: sock.recv(65536), b""))

    assert answer.split()[1] in {b"401", b"400"}


def test_a_password_leaves_no_quick_hash_behind(guarded: Server, administrator: Caller) -> None:
    key = uuid4().hex
    email = f"{uuid4().hex[:8]}@example.org"
    body = {"email": email, "password": PASSWORD, "role": "reader"}
    administrator.make("users", body, headers={"Idempotency-Key": key})

    with raw_connection(guarded.database) as connection:
        kept = connection.execute("SELECT 1 FROM idempotency_keys WHERE key = ?", [key]).fetchall()
    assert kept == []


def test_a_note_does_not_hide_what_became_of_an_account(
    administrator: Caller, user: Callable[..., dict[str, Any]]
) -> None:
    member = user("reader")
    administrator.ask("PATCH", "/api/v1/users", {"role": "editor"}, id=member["id"], note="routine")

    told = administrator.ask("GET", "/api/v1/changes", kind="membership.set", limit=500).json()
    last = told["changes"][-1]
    assert last["subject"] == f"user:{member['id']}"
    assert last["note"] == f"{member['email']}: editor; routine"


@pytest.mark.parametrize(
    ("what", "body", "pointers"),
    [
        (
            "users",
            {"email": "bad", "role": "nix", "services": ["a b", "*", "team//", "team/"]},
            ["/email", "/role", "/services/0", "/services/1", "/services/2"],
        ),
        (
            "tokens",
            {"name": "\n", "role": "nix", "services": ["*"]},
            ["/name", "/role", "/services/0"],
        ),
        (
            "roles",
            {"permissions": ["config:read", "nothing"]},
            ["/permissions/1", "/name"],
        ),
    ],
)
def test_everything_that_is_wrong_with_an_account_is_told_at_once(
    administrator: Caller, what: str, body: dict[str, Any], pointers: list[str]
) -> None:
    method, query = ("PUT", {"name": "*"}) if what == "roles" else ("POST", {})
    answer = administrator.ask(method, f"/api/v1/{what}", body, **query)

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["problems"]] == pointers


def test_a_rehearsal_hands_out_no_token(administrator: Caller) -> None:
    body = {"name": "rehearsed", "role": "reader"}
    made = administrator.make("tokens", body)

    for rehearsed in (
        administrator.make("tokens", body, dry_run=True),
        administrator.make("tokens/rotate", {}, id=made["id"], dry_run=True),
    ):
        assert (rehearsed["name"], rehearsed["token"]) == ("rehearsed", None)
