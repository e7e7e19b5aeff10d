"""Log-ins: passwords, cookies, guesses."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2

from distributed_config.http import auth
from distributed_config.services.access.token_format import new_token
from tests.support.access import ADMINISTRATOR, As
from tests.support.callers import PASSWORD, Caller, logged_in
from tests.support.server import Server

# --- log-ins


def test_a_wrong_log_in_is_told_the_same_and_takes_as_long_whatever_is_wrong(
    guarded: Server, administrator: Caller, user: Callable[..., dict[str, Any]]
) -> None:
    known, gone = user()["email"], user()
    administrator.ask("PATCH", "/api/v1/users", {"active": False}, id=gone["id"])
    url = f"{guarded.url}/auth/token"
    times: dict[str, list[float]] = {"known": [], "unknown": [], "inactive": []}
    texts = set()
    for _ in range(4):
        for kind, email in (
            ("known", known),
            ("unknown", "nobody@example.org"),
            ("inactive", gone["email"]),
        ):
            began = time.perf_counter()
            form = {"username": email, "password": "wrong" if kind == "known" else PASSWORD}
            answer = httpx2.post(url, data=form, trust_env=False)
            times[kind].append(time.perf_counter() - began)
            body = answer.json()
            del body["request_id"]
            texts.add((answer.status_code, json.dumps(body)))

    assert len(texts) == 1
    assert texts.pop()[0] == 401
    quickest = {kind: min(each) for kind, each in times.items()}
    assert max(quickest.values()) < 3 * min(quickest.values()) + 0.05


def test_a_browser_gets_a_cookie_that_no_script_reads_and_a_new_one_each_time(
    guarded: Server, user: Callable[..., dict[str, Any]]
) -> None:
    email = user()["email"]
    fixed = new_token()
    body = {"email": email, "password": PASSWORD}
    with httpx2.Client(base_url=guarded.url, trust_env=False) as browser:
        given = browser.post("/auth/login", json=body, headers={"Cookie": f"{auth.COOKIE}={fixed}"})
        cookie = given.headers["set-cookie"]
        session = cookie.partition("=")[2].partition(";")[0]
        assert session != fixed
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        headers = {"Cookie": f"{auth.COOKIE}={session}"}
        assert browser.get("/auth/me", headers=headers).json()["name"] == email
        foreign = {**headers, "Origin": "https://evil.example"}
        forged = browser.put("/config?service=web", json={}, headers=foreign)
        assert forged.status_code == 403
        assert forged.json()["code"] == "cross-site"
        assert browser.post("/auth/logout", headers=headers).status_code == 200
        assert browser.get("/auth/me", headers=headers).status_code == 401


def test_a_log_in_that_is_no_form_of_a_password_is_told_what_is_wrong(guarded: Server) -> None:
    url, form = f"{guarded.url}/auth/token", {"username": "a@example.org", "password": PASSWORD}
    as_json = httpx2.post(url, json=form, trust_env=False)
    empty = httpx2.post(url, data={"grant_type": "refresh_token"}, trust_env=False)

    assert (as_json.status_code, as_json.json()["code"]) == (422, "unsupported-media-type")
    assert [each["parameter"] for each in empty.json()["problems"]] == [
        "username",
        "password",
        "grant_type",
    ]


def test_guessing_the_present_password_is_limited_as_logging_in_is(tmp_path: Path) -> None:
    limits = {"limit_logins": "3 per day", "workers": 1}
    with Server(tmp_path / "instance", auth="token", admin_token=ADMINISTRATOR, **limits) as server:
        chief = Caller(server.url, ADMINISTRATOR)
        body = {"email": "ann@example.org", "password": PASSWORD, "role": "reader"}
        chief.make("users", body)
        session = logged_in(server, "ann@example.org")
        guess = {"old": "a guess of the password", "new": "another good one"}

        answers = [session.ask("POST", "/auth/password", guess).status_code for _ in range(4)]
        assert answers == [422, 422, 429, 429]
        refused = chief.ask("GET", "/api/v1/audit", kind="login.refused").json()["entries"]
        assert [each["actor"] for each in refused] == ["ann@example.org"] * 2


def test_who_has_to_choose_another_password_can_do_nothing_else(
    guarded: Server, administrator: Caller, user: Callable[..., dict[str, Any]]
) -> None:
    member = user("editor")
    body = {"password": "the first one of all", "must_change": True}
    assert administrator.ask("PATCH", "/api/v1/users", body, id=member["id"]).status_code == 200
    session = logged_in(guarded, member["email"], "the first one of all")

    assert session.ask("GET", "/api/v1/services").status_code == 403
    wrong = session.ask("POST", "/auth/password", {"old": PASSWORD, "new": "x" * 20})
    short = session.ask("POST", "/auth/password", {"old": "the first one of all", "new": "x"})
    assert (wrong.status_code, short.status_code) == (422, 422)
    assert [each["pointer"] for each in wrong.json()["problems"]] == ["/old"]
    done = session.ask(
        "POST", "/auth/password", {"old": "the first one of all", "new": "quite another one"}
    )
    assert done.status_code == 200
    assert session.ask("GET", "/auth/me").status_code == 401
    fresh = logged_in(guarded, member["email"], "quite another one")
    assert fresh.ask("GET", "/api/v1/services").status_code == 200


def test_a_personal_token_is_its_user_at_most(
    guarded: Server, administrator: Caller, user: Callable[..., dict[str, Any]], name: str
) -> None:
    administrator.put(name, {"n": 0})
    member = user("editor")
    session = logged_in(guarded, member["email"])
    body = {"name": "laptop", "role": "reader", "personal": True}
    narrow = Caller(guarded.url, session.make("tokens", body)["token"])
    whole = Caller(guarded.url, session.make("tokens", {"name": "all", "personal": True})["token"])

    assert narrow.get(name).status_code == 200
    assert narrow.put(name, {"n": 1}).status_code == 403
    assert whole.put(name, {"n": 1}).status_code == 200
    administrator.ask("PATCH", "/api/v1/users", {"role": "reader"}, id=member["id"])
    assert whole.put(name, {"n": 2}).status_code == 403
    own = session.ask("GET", "/api/v1/tokens").json()["tokens"]
    assert {each["name"] for each in own} == {"laptop", "all"}
    others = administrator.make("tokens", {"name": "machine", "role": "reader"})
    assert session.ask("DELETE", "/api/v1/tokens", id=others["id"]).status_code == 404
    assert administrator.ask("DELETE", "/api/v1/users", id=member["id"]).status_code == 200
    assert {each.get(name).status_code for each in (narrow, whole, session)} == {401}


def test_a_websocket_of_another_site_is_refused(guarded: Server, acting: As) -> None:
    token = acting("reader").token
    lines = [
        "GET /api/v1/changes HTTP/1.1",
        f"Host: 127.0.0.1:{guarded.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Cookie: {auth.COOKIE}={token}",
        "Origin: https://evil.example",
    ]
    with closing(socket.create_connection(("127.0.0.1", guarded.port), 5)) as sock:
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while b"\x88" not in answer and (part := sock.recv(4096)):
            answer += part

    assert b'"hello"' not in answer
    assert b"\x11\x33" in answer, "the close code is not 4403"
