"""Tokens: shown once, changed in part, rotated, revoked, forged."""

import base64
import socket
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from distributed_config.http import auth
from distributed_config.services.access.token_format import is_token
from tests.support.access import ADMINISTRATOR, As, watching
from tests.support.callers import PASSWORD, Caller, logged_in
from tests.support.server import Server

# --- tokens


def test_a_revoked_token_is_refused_by_every_worker_and_its_streams_close(
    guarded: Server, administrator: Caller, acting: As, name: str
) -> None:
    administrator.put(name, {"n": 0})
    caller = acting("reader")
    callers = [Caller(guarded.url, caller.token) for _ in range(12)]
    for each in callers * 3:  # every worker has the answer in memory now
        assert each.get(name).status_code == 200
    [listed] = [
        each
        for each in administrator.ask("GET", "/api/v1/tokens", limit=500).json()["tokens"]
        if caller.token.startswith(each["hint"])
    ]
    heard: list[str] = []
    with watching(guarded, caller.token, heard) as thread:
        revoked = administrator.ask("DELETE", "/api/v1/tokens", id=listed["id"])
        assert revoked.status_code == 200, revoked.text
        assert {each.get(name).status_code for each in callers * 3} == {401}
        thread.join(5)
        assert not thread.is_alive(), "the stream is still open"
    assert "token.revoked" not in "".join(heard)


def test_a_token_that_ends_by_itself_is_not_answered_from_memory(
    guarded: Server, administrator: Caller, name: str
) -> None:
    administrator.put(name, {"n": 0})
    made = administrator.make("tokens", {"name": "short", "role": "reader", "seconds": 1})
    caller = Caller(guarded.url, made["token"])
    assert [caller.get(name).status_code for _ in range(8)] == [200] * 8

    time.sleep(1.1)

    assert [caller.get(name).status_code for _ in range(8)] == [401] * 8


def test_a_rotated_token_overlaps_with_the_new_one_and_then_ends(
    guarded: Server, administrator: Caller, name: str
) -> None:
    administrator.put(name, {"n": 0})
    made = administrator.make("tokens", {"name": "rotated", "role": "reader"})

    fresh = administrator.make("tokens/rotate", {"overlap": 1}, id=made["id"])

    old, new = (Caller(guarded.url, each["token"]) for each in (made, fresh))
    assert (old.get(name).status_code, new.get(name).status_code) == (200, 200)
    time.sleep(1.1)
    assert (old.get(name).status_code, new.get(name).status_code) == (401, 200)


def test_a_token_is_changed_in_part_and_at_once_on_every_worker_and_in_streams(
    guarded: Server, administrator: Caller, name: str
) -> None:
    administrator.put(f"team/{name}", {"n": 0})
    made = administrator.make("tokens", {"name": "before", "role": "editor"})
    callers = [Caller(guarded.url, made["token"]) for _ in range(12)]

    def change(body: Any, **query: Any) -> dict[str, Any]:
        answer = administrator.ask("PATCH", "/api/v1/tokens", body, id=made["id"], **query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def told(method: str, body: Any = None) -> set[int]:
        asked = {"service": f"team/{name}"}
        return {each.ask(method, "/config", body, **asked).status_code for each in callers * 2}

    assert told("GET") == {200}
    rehearsed = change({"name": "after", "role": "reader"}, dry_run="true")
    assert (rehearsed["name"], rehearsed["role"]) == ("after", "reader")
    assert told("PUT", {"n": 0}) == {200}
    heard: list[str] = []
    with watching(guarded, made["token"], heard) as thread:
        changed = change({"name": "after", "role": "reader"}, note="routine")
        assert told("PUT", {"n": 1}) == {403}
        thread.join(5)
        assert not thread.is_alive(), "the stream is still open"
    assert (changed["name"], changed["services"], changed["expires_at"]) == ("after", [], None)
    assert "token" not in changed
    change({"services": ["other/"]})
    assert told("GET") == {404}
    change({"services": []})
    heard = []
    with watching(guarded, made["token"], heard) as thread:
        change({"seconds": 1})
        time.sleep(1.1)
        administrator.put(f"{name}-after", {"n": 0})
        thread.join(5)
        assert not thread.is_alive(), "the stream outlives its token"
    assert f"{name}-after" not in "".join(heard)
    assert told("GET") == {401}
    ended = administrator.ask("PATCH", "/api/v1/tokens", {"seconds": None}, id=made["id"])
    assert ended.status_code == 403, "what has ended came back"
    transaction = administrator.ask(
        "GET", "/api/v1/changes", kind="token.changed", limit=500
    ).json()
    mine = [each for each in transaction["changes"] if each["subject"] == f"token:{made['id']}"]
    assert mine[0]["note"] == "before: named after, reader; routine"
    assert len(mine) == 4, "a rehearsal was recorded"
    audited = administrator.ask("GET", "/api/v1/audit", kind="changed", limit=20).json()["entries"]
    assert mine[0]["revision"] in {each["revision"] for each in audited}


@pytest.mark.parametrize("way", ["Bearer", "bearer", "alone", "Basic", "X-API-Key"])
def test_a_token_can_be_shown_in_every_way_that_tools_know(
    guarded: Server, acting: As, way: str
) -> None:
    token = acting("reader").token
    headers = {"Authorization": f"{way} {token}"}
    if way == "alone":
        headers = {"Authorization": token}
    if way == "Basic":
        text = base64.b64encode(f"anybody:{token}".encode()).decode()
        headers = {"Authorization": f"Basic {text}"}
    if way == "X-API-Key":
        headers = {"X-API-Key": token}

    answer = httpx2.get(f"{guarded.url}/auth/me", headers=headers, trust_env=False)

    assert answer.status_code == 200
    assert answer.json()["permissions"] == ["config:read", "definition:read"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer dcf_" + "a" * 38},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()},
        {"X-API-Key": "' OR 1=1 --"},
        {"X-User": "administrator", "X-Forwarded-User": "administrator"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
        {"Cookie": f"{auth.COOKIE}=dcf_{'a' * 38}"},
        {"Cookie": "session=eyJ1c2VyIjoxfQ.x.y"},
    ],
)
def test_what_is_forged_is_refused_with_401_and_says_nothing(
    guarded: Server, headers: dict[str, str]
) -> None:
    answer = httpx2.get(f"{guarded.url}/config?service=web", headers=headers, trust_env=False)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthenticated"


@pytest.mark.parametrize(
    "path",
    [
        "//config?service=web",
        "/config/?service=web",
        "/config%2f?service=web",
        "/./config?service=web",
        "/healthz/../config?service=web",
        "/CONFIG?service=web",
        "/config;x?service=web",
        "/api/v1/../../config?service=web",
    ],
)
def test_no_spelling_of_a_path_gets_around_the_permission(
    guarded: Server, administrator: Caller, path: str
) -> None:
    administrator.put("web", {"canary": 1})

    with closing(socket.create_connection(("127.0.0.1", guarded.port), 5)) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))

    assert answer.split()[1] in {b"401", b"404", b"400"}
    assert b"canary" not in answer


def test_the_secret_of_a_token_is_shown_once_and_kept_nowhere(
    guarded: Server, administrator: Caller, user: Callable[..., dict[str, Any]]
) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    body = {"name": "canary", "role": "reader"}
    made = administrator.make("tokens", body, headers=headers)
    assert is_token(made["token"])
    caller = Caller(guarded.url, made["token"])
    caller.ask("GET", "/auth/me", token=made["token"], headers={"Config-Note": made["token"]})
    session = logged_in(guarded, user()["email"])
    session.ask("GET", "/auth/me")

    listed = administrator.ask("GET", "/api/v1/tokens", limit=500).text
    changes = administrator.ask("GET", "/api/v1/changes", limit=500).text
    metrics = administrator.ask("GET", "/metrics").text
    files = b"".join(
        path.read_bytes() for path in [*guarded.instance.iterdir(), guarded.log] if path.is_file()
    )

    for token in (made["token"], session.token, ADMINISTRATOR):
        assert token not in listed + changes + metrics
        assert token.encode() not in files
    assert PASSWORD.encode() not in files
