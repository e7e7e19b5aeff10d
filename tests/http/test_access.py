"""Who may do what: every route, every role, the own and a foreign organisation, and every trick."""

import base64
import itertools
import json
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distributed_config.app import create_app
from distributed_config.errors import CannotStart
from distributed_config.http import auth
from distributed_config.models.sqlite import raw_connection
from distributed_config.services.access.token_format import is_token, new_token
from distributed_config.services.policy.permissions import ROLES, expand
from distributed_config.services.policy.visibility import Scope
from distributed_config.settings import Settings
from tests.support.callers import OPEN_CLIENTS, PASSWORD, Answer, Caller, logged_in
from tests.support.server import Server

ADMINISTRATOR = new_token()


@pytest.fixture(scope="module", autouse=True)
def closed_at_the_end() -> Iterator[None]:
    yield
    for http in OPEN_CLIENTS:
        http.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for tokens."""
    folder = tmp_path_factory.mktemp("guarded") / "instance"
    with Server(folder, auth="token", admin_token=ADMINISTRATOR) as running:
        yield running


@pytest.fixture(scope="module")
def administrator(guarded: Server) -> Caller:
    return Caller(guarded.url, ADMINISTRATOR)


As = Callable[..., Caller]


@pytest.fixture(scope="module")
def acting(guarded: Server, administrator: Caller) -> As:
    """``acting("reader", services=["team/"])``: a caller with a token of that role."""

    def make(role: str, organisation: str = "default", **limits: Any) -> Caller:
        body = {"name": f"{role} {uuid4().hex[:6]}", "role": role, **limits}
        headers = {auth.ORGANISATION: organisation}
        made = administrator.make("tokens", body, headers=headers)
        return Caller(guarded.url, made["token"])

    return make


@pytest.fixture(scope="module")
def elsewhere(administrator: Caller) -> str:
    """Another organisation."""
    name = f"other {uuid4().hex[:6]}"
    administrator.make("organisations", {"name": name})
    return name


@pytest.fixture
def user(guarded: Server, administrator: Caller) -> Callable[..., dict[str, Any]]:
    def make(role: str = "editor", **more: Any) -> dict[str, Any]:
        email = f"{uuid4().hex[:8]}@example.org"
        return administrator.make(
            "users", {"email": email, "password": PASSWORD, "role": role, **more}
        )

    return make


def alike(one: Answer, other: Answer, *names: str) -> bool:
    """Whether two answers tell the same, but for the names that were asked about."""

    def told(answer: Answer) -> tuple[int, str]:
        text = answer.text
        for name in names:
            text = text.replace(name, "NAME")
        if "request_id" in text:
            body = json.loads(text)
            body.pop("request_id", None)
            text = json.dumps(body)
        return answer.status_code, text

    return told(one) == told(other)


# --- every route and every role


def routes() -> list[tuple[str, str, str]]:
    """Method, path and permission of every route."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder, "instance"))
        server.prepare()
        app = create_app(Settings(instance=server.instance))
        found = [
            (method, rule.rule, app.view_functions[rule.endpoint].permission)  # type: ignore[attr-defined]
            for rule in app.url_map.iter_rules()
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
        app.extensions["distributed_config"].close()
    return found


def path_of(rule: str) -> str:
    probe = "<any(health, 'readiness-probe'):_probe>"
    return (
        rule.replace(probe, "health").replace("<key>", "absent").replace("<config_key>", "absent")
    )


def test_every_route_is_open_to_who_holds_its_permission_and_to_nobody_else(
    guarded: Server, acting: As, elsewhere: str
) -> None:
    callers = {role: acting(role) for role in ROLES}
    callers |= {f"{role} elsewhere": acting(role, elsewhere) for role in ROLES}
    nobody = Caller(guarded.url)
    wrong = []
    seen: Counter[tuple[str, str, str]] = Counter()
    for method, rule, permission in routes():
        path = path_of(rule)
        if path == "/auth/logout":
            continue  # it would end the token
        status = nobody.ask(method, path).status_code
        if (status == 401) != (permission != auth.PUBLIC):
            wrong.append(("nobody", method, path, status))
        # Of one route in several spellings, every role tries the first.
        plain = path.replace("-", "_").removeprefix("/api/v1").rstrip("/")
        seen[method, plain, permission] += 1
        for name, caller in callers.items() if seen[method, plain, permission] == 1 else ():
            held = expand(ROLES[name.removesuffix(" elsewhere")])
            may = (
                permission in {auth.PUBLIC, auth.AUTHENTICATED, auth.AUTHENTICATED_PENDING_PASSWORD}
                or permission in held
            )
            answer = caller.ask(method, path)
            refused = (
                answer.status_code == 403 and f"it needs the permission {permission}" in answer.text
            )
            if refused == may or answer.status_code == 401:
                wrong.append((name, method, path, answer.status_code))
    assert not wrong


def test_a_route_that_states_no_permission_keeps_the_server_from_starting(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance")
    server.prepare()
    app = create_app(Settings(instance=server.instance))
    app._got_first_request = False
    app.add_url_rule("/new", "new", lambda: "")

    with pytest.raises(CannotStart, match="/new"):
        auth.refuse_unstated_routes(app)
    app.extensions["distributed_config"].close()


@pytest.mark.parametrize("role", [None, "reader", "editor", "publisher"])
def test_what_a_role_may_do_with_a_service_is_what_its_permissions_say(
    guarded: Server, administrator: Caller, acting: As, name: str, role: str | None
) -> None:
    administrator.put(name, {"n": 0})
    administrator.put(name, {"n": 1})
    caller = acting(role) if role else Caller(guarded.url)
    held = expand(ROLES[role]) if role else frozenset()

    def told(*asked: Any, **query: Any) -> int:
        return caller.ask(*asked, **query).status_code

    refused = 403 if role else 401
    reads, writes = (200 if f"config:{each}" in held else refused for each in ("read", "write"))
    publishes = 200 if "config:publish" in held else refused
    step = {"service": name, "enable": 0}
    assert {
        "get": told("GET", "/config", service=name),
        "history": told("GET", "/api/v1/versions", service=name),
        "export": told("GET", "/api/v1/export"),
        "put": told("PUT", "/config", {"n": 2}, service=name),
        "rollback": told("POST", "/api/v1/rollback", service=name, to=0),
        "disable": told("PATCH", "/config", service=name, version=0, enabled="false"),
        "changeset": told("POST", "/api/v1/changesets", {"changes": [step]}),
        "delete": told("DELETE", "/config", service=name, version=0),
    } == {
        "get": reads,
        "history": reads,
        "export": reads,
        "put": writes,
        "rollback": publishes,
        "disable": publishes,
        "changeset": publishes,
        "delete": publishes if publishes != 200 else 409,
    }


# --- what is foreign is as if it were not there


ABOUT_A_SERVICE: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("GET", "/config", None, {}),
    ("GET", "/config", None, {"version": "current"}),
    ("GET", "/config", None, {"version": "0"}),
    ("GET", "/config", None, {"as_of": "2100-01-01T00:00:00Z"}),
    ("GET", "/config", None, {"defaults": "true"}),
    ("PATCH", "/config", {"n": 1}, {}),
    ("PATCH", "/config", None, {"version": 0, "enabled": "false"}),
    ("DELETE", "/config", None, {}),
    ("DELETE", "/config", None, {"version": 0}),
    ("GET", "/api/v1/services/one", None, {}),
    ("PUT", "/api/v1/services/tags", {"tags": ["a"]}, {}),
    ("DELETE", "/api/v1/services/definition", None, {}),
    ("GET", "/api/v1/services/secrets", None, {}),
    ("PUT", "/api/v1/services/secrets", {"pointers": ["/n"]}, {}),
    ("GET", "/api/v1/versions", None, {}),
    ("GET", "/api/v1/diff", None, {"from": 0, "to": 0}),
    ("POST", "/api/v1/rollback", None, {"to": 0}),
]


@pytest.mark.parametrize("place", ["another organisation", "another scope"])
@pytest.mark.parametrize(("method", "path", "body", "query"), ABOUT_A_SERVICE)
def test_what_is_foreign_is_answered_as_what_does_not_exist(
    administrator: Caller,
    acting: As,
    elsewhere: str,
    place: str,
    method: str,
    path: str,
    body: Any,
    query: dict[str, Any],
    name: str,
) -> None:
    administrator.put(f"hidden/{name}", {"n": 0})
    if place == "another scope":
        caller = acting("organisation-administrator", services=["team/", "one"])
    else:
        caller = acting("organisation-administrator", elsewhere)

    foreign = caller.ask(method, path, body, service=f"hidden/{name}", **query)
    absent = caller.ask(method, path, body, service=f"absent/{name}", **query)

    assert alike(foreign, absent, "hidden", "absent"), (foreign.text, absent.text)
    assert foreign.status_code == 404
    assert administrator.get(f"hidden/{name}").json() == {"n": 0}


def test_every_route_that_names_a_service_is_among_those_that_are_tried() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder, "instance"))
        server.prepare()
        app = create_app(Settings(instance=server.instance))
        named = {
            (method, rule.rule)
            for rule in app.url_map.iter_rules()
            for door in [getattr(app.view_functions[rule.endpoint], "route", None)]
            if door is not None and door.query is not None and "service" in door.query().fields
            for method in [door.method]
        }
        app.extensions["distributed_config"].close()
    # Of these one makes a service where there is none, and the others answer with lists.
    lists = {
        ("GET", "/api/v1/changes"),
        ("GET", "/api/v1/audit"),
        ("GET", "/api/v1/audit/export"),
    }
    making = {("POST", "/config"), ("PUT", "/config"), ("PUT", "/api/v1/services/definition")}
    assert named - lists - making == {(method, path) for method, path, _, _ in ABOUT_A_SERVICE}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_outside_of_a_scope_nothing_can_be_made_whether_it_is_there_or_not(
    administrator: Caller, acting: As, method: str, name: str
) -> None:
    administrator.put(f"hidden/{name}", {"n": 0})
    caller = acting("editor", services=["team/"])

    there = caller.ask(method, "/config", {"n": 1}, service=f"hidden/{name}")
    absent = caller.ask(method, "/config", {"n": 1}, service=f"absent/{name}")

    assert there.status_code == 403
    assert alike(there, absent, "hidden", "absent")
    assert caller.put(f"team/{name}", {"n": 1}).status_code == 200


def test_a_prefix_in_a_scope_is_one_of_whole_segments(acting: As, administrator: Caller) -> None:
    for service in ("team", "team2/a", "teams", "one", "one/b"):
        administrator.put(service, {"n": 0})
    caller = acting("reader", services=["team/", "one"])

    assert caller.get("one").status_code == 200
    for service in ("team", "team2/a", "teams", "one/b"):
        assert caller.get(service).status_code == 404


def test_lists_totals_searches_exports_and_the_feed_reveal_nothing(
    administrator: Caller, acting: As, elsewhere: str, name: str
) -> None:
    secret = f"hidden-{name}"
    administrator.ask("PUT", "/api/v1/definitions", {"schema": {}}, definition=f"def-{name}")
    for service in (secret, f"def-{name}/{secret}"):
        administrator.put(service, {"canary": secret})
        body = {"definition": f"def-{name}"}
        administrator.ask("PUT", "/api/v1/services/definition", body, service=service)
    scoped = acting("organisation-administrator", services=["team/"])
    foreign = acting("organisation-administrator", elsewhere)
    paths: list[tuple[str, dict[str, Any]]] = [
        ("/api/v1/services", {"search": "hidden"}),
        ("/api/v1/services", {"prefix": "hidden"}),
        ("/api/v1/export", {}),
        ("/api/v1/changes", {"include": "document", "limit": 500}),
        ("/api/v1/changes", {"service": secret}),
        ("/api/v1/definitions/services", {"definition": f"def-{name}"}),
        ("/config/export", {}),
        ("/config/history", {"limit": 100}),
        ("/config/get", {"section": secret}),
        (f"/api/v1/config_definition/def-{name}/config/", {}),
    ]
    for caller, (path, query) in itertools.product((scoped, foreign), paths):
        answer = caller.ask("GET", path, **query)
        # The page's own question may stand in its refusal, as the name that is not there.
        text = answer.text.replace(f"'{secret}'", "").replace(f"'def-{name}'", "")
        assert secret not in text, (path, query, answer.text[:500])
    assert foreign.ask("GET", "/api/v1/definitions").json()["definitions"] == []
    shown = scoped.ask("GET", "/api/v1/definitions/one", definition=f"def-{name}").json()
    assert shown["services"] == 0
    made = foreign.ask("POST", "/config", {"n": 0}, service=f"first-{name}").json()
    assert made["total_configs"] == 1


def test_a_stream_tells_only_what_its_watcher_may_hear(
    guarded: Server, administrator: Caller, acting: As, elsewhere: str, name: str
) -> None:
    scoped = acting("reader", services=["team/"])
    foreign = acting("reader", elsewhere)
    heard: dict[str, list[str]] = {"scoped": [], "foreign": []}
    with (
        watching(guarded, scoped.token, heard["scoped"]),
        watching(guarded, foreign.token, heard["foreign"]),
    ):
        administrator.put(f"hidden/{name}", {"canary": 1})
        administrator.put(f"team/{name}", {"n": 1})
        assert until(lambda: f"team/{name}" in "".join(heard["scoped"]))
        time.sleep(0.3)
    assert "hidden" not in "".join(heard["scoped"])
    assert name not in "".join(heard["foreign"])


def test_a_bulk_write_is_refused_whole_if_one_item_may_not_be(
    administrator: Caller, acting: As, name: str
) -> None:
    administrator.put(f"hidden/{name}", {"n": 0})
    caller = acting("editor", services=["team/"])
    steps = [
        {"service": f"team/{name}", "document": {"n": 1}},
        {"service": f"hidden/{name}", "document": {"n": 1}},
    ]
    imported = {f"team/{name}": {"n": 1}, f"hidden/{name}": {"n": 1}}

    changeset = caller.ask("POST", "/api/v1/changesets", {"changes": steps})
    importing = caller.ask("POST", "/api/v1/import", imported)

    assert (changeset.status_code, importing.status_code) == (403, 403)
    assert changeset.json()["problems"][0]["pointer"].startswith("/changes/1")
    assert caller.get(f"team/{name}").status_code == 404
    assert administrator.get(f"hidden/{name}").json() == {"n": 0}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "a/", "a/b", "a/b/", "b/", "ab", "a/b/c"]), max_size=3),
    st.lists(st.sampled_from(["a", "a/", "a/b", "a/b/", "b/", "ab", "a/b/c"]), max_size=3),
)
def test_a_scope_that_covers_another_has_all_that_it_has(
    wide: list[str], narrow: list[str]
) -> None:
    names = ["a", "a/b", "a/b/c", "a/c", "ab", "b", "b/x", "a/b/c/d"]
    one, other = Scope(tuple(wide)), Scope(tuple(narrow))
    if one.contains_scope(other):
        assert all(one.contains(name) for name in names if other.contains(name))


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


# --- nobody can grant what they do not hold


@pytest.mark.parametrize("role", ["administrator", "nonsense", ""])
@pytest.mark.parametrize("what", ["users", "tokens"])
def test_nobody_can_grant_more_than_they_hold(acting: As, role: str, what: str) -> None:
    caller = acting("organisation-administrator")
    body: dict[str, Any] = {"name": "x", "role": role}
    if what == "users":
        body = {"email": f"{uuid4().hex[:8]}@example.org", "role": role}

    answer = caller.ask("POST", f"/api/v1/{what}", body)

    assert answer.status_code == (403 if role == "administrator" else 422)


def test_nobody_can_widen_their_scope_or_a_role_of_theirs(
    guarded: Server, administrator: Caller, acting: As, user: Callable[..., dict[str, Any]]
) -> None:
    scoped = acting("organisation-administrator", services=["team/"])
    for services in ([], ["other/"], ["team/", "other"], ["tea"]):
        body = {"name": "wider", "role": "reader", "services": services}
        assert scoped.ask("POST", "/api/v1/tokens", body).status_code == 403
    body = {"name": "narrower", "role": "reader", "services": ["team/a/"]}
    assert scoped.ask("POST", "/api/v1/tokens", body).status_code == 200
    role = f"own-{uuid4().hex[:6]}"
    held = {"permissions": ["config:read", "user:manage"]}
    assert administrator.ask("PUT", "/api/v1/roles", held, name=role).status_code == 200
    member = user(role)
    caller = logged_in(guarded, member["email"])
    for permissions in (["*"], ["config:*"], ["config:read", "user:manage", "token:manage"]):
        wider = caller.ask("PUT", "/api/v1/roles", {"permissions": permissions}, name=role)
        assert wider.status_code in {403, 422}, permissions
    for wider_one in ({"role": "administrator"}, {"role": "publisher"}):
        changed = caller.ask("PATCH", "/api/v1/users", wider_one, id=member["id"])
        assert changed.status_code == 403


def test_who_manages_users_cannot_become_one_who_holds_more(
    guarded: Server, administrator: Caller, user: Callable[..., dict[str, Any]]
) -> None:
    role = f"help-desk-{uuid4().hex[:6]}"
    administrator.ask("PUT", "/api/v1/roles", {"permissions": ["user:manage"]}, name=role)
    desk = logged_in(guarded, user(role)["email"])
    chief = user("administrator")

    for body in ({"password": "a very long new one"}, {"active": False}, {"must_change": True}):
        assert desk.ask("PATCH", "/api/v1/users", body, id=chief["id"]).status_code == 403
    assert desk.ask("DELETE", "/api/v1/users", id=chief["id"]).status_code == 403
    assert logged_in(guarded, chief["email"]).ask("GET", "/auth/me").status_code == 200


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("users", {"email": "x@example.org", "role": "reader", "id": 1}),
        ("users", {"email": "x@example.org", "role": "reader", "organisation_id": 1}),
        ("tokens", {"name": "x", "role": "reader", "digest": "0" * 64}),
        ("tokens", {"name": "x", "role": "reader", "permissions": ["*"]}),
        ("tokens", {"name": "x", "role": "reader", "kind": "session"}),
    ],
)
def test_what_a_body_may_not_say_is_refused(
    administrator: Caller, what: str, body: dict[str, Any]
) -> None:
    answer = administrator.ask("POST", f"/api/v1/{what}", body)

    assert answer.status_code == 422
    assert "Unknown field" in answer.text


def test_a_change_of_rights_takes_effect_at_once_on_every_worker(
    guarded: Server, administrator: Caller, user: Callable[..., dict[str, Any]], name: str
) -> None:
    administrator.put(name, {"n": 0})
    member = user("editor")
    session = logged_in(guarded, member["email"])
    callers = [Caller(guarded.url, session.token) for _ in range(12)]
    assert {each.get(name).status_code for each in callers * 2} == {200}

    administrator.ask("PATCH", "/api/v1/users", {"services": ["team/"]}, id=member["id"])
    assert {each.get(name).status_code for each in callers * 2} == {404}
    administrator.ask("PATCH", "/api/v1/users", {"services": []}, id=member["id"])
    assert {each.get(name).status_code for each in callers * 2} == {200}
    administrator.ask("PATCH", "/api/v1/users", {"role": "sync"}, id=member["id"])
    assert {each.put(name, {"n": 9}).status_code for each in callers} == {403}
    administrator.ask("PATCH", "/api/v1/users", {"active": False}, id=member["id"])
    assert {each.get(name).status_code for each in callers * 2} == {401}


def test_who_belongs_to_several_organisations_names_the_one_that_is_meant(
    guarded: Server,
    administrator: Caller,
    user: Callable[..., dict[str, Any]],
    elsewhere: str,
    name: str,
) -> None:
    member = user("editor")
    there = {auth.ORGANISATION: elsewhere}
    body = {"email": member["email"], "role": "reader"}
    administrator.make("users", body, headers=there)
    session = logged_in(guarded, member["email"])

    belongs = session.ask("GET", "/api/v1/memberships").json()["memberships"]
    assert {each["organisation"]: each["role"] for each in belongs} == {
        "default": "editor",
        elsewhere: "reader",
    }
    assert session.put(name, {"n": 0}).status_code == 200
    assert session.ask("PUT", "/config", {}, service=name, headers=there).status_code == 403
    assert session.ask("GET", "/config", service=name, headers=there).status_code == 404
    nowhere = {auth.ORGANISATION: "nowhere"}
    refused = session.ask("GET", "/config", service=name, headers=nowhere)
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "You belong to no organisation 'nowhere'.",
    )


# --- taking over what is another's


def test_nobody_but_an_administrator_rotates_or_ends_what_is_somebody_elses_own(
    guarded: Server, acting: As, user: Callable[..., dict[str, Any]]
) -> None:
    chief = user("administrator")
    session = logged_in(guarded, chief["email"])
    own = session.make("tokens", {"name": "own", "personal": True})
    caller = acting("organisation-administrator")
    with raw_connection(guarded.database) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM tokens").fetchall()]
        [[session_id]] = connection.execute(
            "SELECT id FROM tokens WHERE user_id = ? AND kind = 'session'", [chief["id"]]
        ).fetchall()

    assert own["id"] in ids
    for number in (own["id"], session_id):
        rotated = caller.ask("POST", "/api/v1/tokens/rotate", {"overlap": 60}, id=number)
        revoked = caller.ask("DELETE", "/api/v1/tokens", id=number)
        assert {rotated.status_code, revoked.status_code} <= {403, 404}
    assert Caller(guarded.url, own["token"]).ask("GET", "/auth/me").status_code == 200
    fresh = session.make("tokens/rotate", {"overlap": 0}, id=own["id"])
    assert Caller(guarded.url, fresh["token"]).ask("GET", "/auth/me").status_code == 200


def test_an_account_that_was_made_elsewhere_is_no_way_in(
    guarded: Server, administrator: Caller, acting: As, elsewhere: str
) -> None:
    email = f"{uuid4().hex[:8]}@example.org"
    foreign = acting("organisation-administrator", elsewhere)
    body = {"email": email, "password": "theirs, known to others", "role": "reader"}
    made = foreign.make("users", body)
    early = logged_in(guarded, email, "theirs, known to others")

    mine = acting("organisation-administrator")
    assert mine.ask("POST", "/api/v1/users", {**body, "role": "reader"}).status_code == 403
    administrator.make("users", {"email": email, "password": PASSWORD, "role": "administrator"})

    assert early.ask("GET", "/auth/me").status_code == 401
    form = {"username": email, "password": "theirs, known to others"}
    wrong = httpx2.post(f"{guarded.url}/auth/token", data=form, trust_env=False)
    assert wrong.status_code == 401
    assert "*" in logged_in(guarded, email).ask("GET", "/auth/me").json()["permissions"]
    for change in ({"password": "another long one"}, {"active": False}, {"services": ["a/"]}):
        assert foreign.ask("PATCH", "/api/v1/users", change, id=made["id"]).status_code == 403


def test_a_narrow_token_makes_no_wide_one(
    guarded: Server, user: Callable[..., dict[str, Any]]
) -> None:
    session = logged_in(guarded, user("editor")["email"])
    body = {"name": "narrow", "role": "reader", "services": ["team/"], "personal": True}
    narrow = Caller(guarded.url, session.make("tokens", body)["token"])

    wide = narrow.ask("POST", "/api/v1/tokens", {"name": "wide", "personal": True})
    long = session.ask(
        "POST", "/api/v1/tokens", {"name": "x", "personal": True, "services": ["a/"] * 5_000}
    )

    assert (wide.status_code, long.status_code) == (403, 422)
    whole = session.make("tokens", {"name": "whole", "personal": True})
    for path, query in (("/api/v1/tokens/rotate", whole["id"]), ("/api/v1/tokens", whole["id"])):
        method = "POST" if path.endswith("rotate") else "DELETE"
        body = {"overlap": 60} if method == "POST" else None
        assert narrow.ask(method, path, body, id=query).status_code == 403


def test_a_token_can_make_itself_less_and_nothing_else(
    guarded: Server, user: Callable[..., dict[str, Any]]
) -> None:
    session = logged_in(guarded, user("publisher")["email"])
    limits = {"role": "editor", "services": ["team/"], "seconds": 3600}
    made = session.make("tokens", {"name": "narrow", "personal": True, **limits})
    other = session.make("tokens", {"name": "whole", "personal": True})
    narrow = Caller(guarded.url, made["token"])

    def told(caller: Caller, token: Any, body: Any) -> int:
        return caller.ask("PATCH", "/api/v1/tokens", body, id=token["id"]).status_code

    more: list[dict[str, Any]] = [
        {"name": "administrator"},
        {"role": ""},
        {"role": "publisher"},
        {"role": "administrator"},
        {"services": []},
        {"services": ["team/", "other"]},
        {"services": ["tea"]},
        {"seconds": None},
        {"seconds": 7200},
        {"role": "reader", "services": [], "seconds": 60},
    ]
    assert [told(narrow, made, body) for body in more] == [403] * len(more)
    for body in ({"role": "reader"}, {"name": "x"}, {"seconds": 1}, {"services": ["team/"]}):
        assert told(narrow, other, body) == 403
    less = {"role": "reader", "services": ["team/a/"], "seconds": 600}
    assert told(narrow, made, less) == 200
    assert told(narrow, made, {"role": "editor"}) == 403
    assert told(Caller(guarded.url, other["token"]), made, {"seconds": None}) == 403
    # Who logs in is the user, and gives and takes as when it was made.
    assert told(session, made, {"role": "", "services": [], "seconds": None, "name": "x"}) == 200
    assert told(session, made, {"role": "administrator"}) == 403
    wrong = ({"seconds": 0}, {"name": ""}, {"role": "nonsense"}, {"services": ["/"]}, {"kind": "x"})
    assert {told(session, made, body) for body in wrong} == {422}


def test_whose_a_token_is_and_what_it_holds_says_who_changes_it(
    guarded: Server, administrator: Caller, acting: As, user: Callable[..., dict[str, Any]]
) -> None:
    chief = administrator.make("tokens", {"name": "chief", "role": "administrator"})
    ours = administrator.make("tokens", {"name": "ours", "role": "editor", "services": ["team/"]})
    wide = administrator.make("tokens", {"name": "wide", "role": "editor"})
    own = logged_in(guarded, user()["email"]).make("tokens", {"name": "own", "personal": True})
    body = {"name": "taken", "role": "reader", "services": ["team/a/"]}

    def told(caller: Caller, token: Any, body: Any) -> Answer:
        return caller.ask("PATCH", "/api/v1/tokens", body, id=token["id"])

    manager = acting("organisation-administrator")
    scoped = acting("organisation-administrator", services=["team/"])
    assert told(manager, chief, body).status_code == 403
    assert told(manager, ours, {"role": "administrator"}).status_code == 403
    assert told(scoped, wide, body).status_code == 403
    assert told(scoped, ours, {"services": []}).status_code == 403
    for anybody in (manager, administrator):
        assert told(anybody, own, body).status_code == 403
    for nobody in (logged_in(guarded, user()["email"]), acting("publisher")):
        absent = told(nobody, {"id": 10**9}, body)
        assert absent.status_code == 404
        for token in (chief, ours, own):
            names = (f"token {10**9}", f"token {token['id']}")
            assert alike(told(nobody, token, body), absent, *names)
    assert told(scoped, ours, body).status_code == 200
    assert told(manager, ours, {"role": "publisher", "services": []}).status_code == 200


def test_memberships_are_ones_own_and_those_of_the_organisation_for_who_manages_users(
    guarded: Server,
    administrator: Caller,
    acting: As,
    user: Callable[..., dict[str, Any]],
    elsewhere: str,
    name: str,
) -> None:
    administrator.put(name, {"n": 0})
    member, other = user("editor"), user("reader")
    email = member["email"]
    there = {auth.ORGANISATION: elsewhere}
    body = {"email": email.upper(), "role": "reader", "services": ["team/"]}
    manager, foreign = acting("organisation-administrator"), acting("administrator", elsewhere)

    def told(caller: Caller, method: str, body: Any = None, **query: Any) -> Answer:
        return caller.ask(method, "/api/v1/memberships", body, **query)

    def listed(caller: Caller, **query: Any) -> set[tuple[str, str, str]]:
        found: set[tuple[str, str, str]] = set()
        cursor: dict[str, Any] = {}
        while cursor is not None:
            page = told(caller, "GET", limit=1, **query, **cursor).json()
            assert len(page["memberships"]) <= 1
            found |= {(a["email"], a["organisation"], a["role"]) for a in page["memberships"]}
            cursor = {"cursor": page["next"]} if page["next"] else None
        return found

    added = told(administrator, "POST", body, headers=there)
    assert (added.status_code, added.json()["user"]) == (200, member["id"]), added.text
    assert told(administrator, "POST", body, headers=there).status_code == 422
    session = logged_in(guarded, email)
    both = {(email, "default", "editor"), (email, elsewhere, "reader")}
    assert listed(session) == both
    assert listed(acting("reader")) == set()
    assert listed(manager, email=email.upper()) == {(email, "default", "editor")}
    assert listed(foreign, search=email[:8]) == {(email, elsewhere, "reader")}
    assert listed(administrator, email=email) == both
    assert (other["email"], "default", "reader") in listed(manager, search="@example")

    # Nobody but who administers the server learns which accounts there are elsewhere.
    outsider = acting("organisation-administrator", elsewhere)
    for address in (other["email"], "nobody@example.org"):
        refused = told(outsider, "POST", {"email": address, "role": "reader"})
        assert (refused.status_code, address in refused.text) == (403, False)
        for method in ("PATCH", "DELETE"):
            assert told(outsider, method, {"role": "reader"}, email=address).status_code == 404
    unknown = {"email": "nobody@example.org", "role": "reader"}
    assert told(administrator, "POST", unknown).status_code == 404

    changed = told(manager, "PATCH", {"services": ["team/"]}, email=email)
    assert (changed.json()["role"], changed.json()["services"]) == ("editor", ["team/"])
    assert session.get(name).status_code == 404
    assert told(manager, "PATCH", {"role": "administrator"}, email=email).status_code == 403
    rehearsed = told(manager, "DELETE", email=email, dry_run="true")
    assert (rehearsed.status_code, listed(session)) == (200, both)
    made = session.make("tokens", {"name": "own", "personal": True})
    assert told(manager, "DELETE", email=email).status_code == 200
    assert Caller(guarded.url, made["token"]).get(name).status_code == 401
    assert listed(logged_in(guarded, email)) == {(email, elsewhere, "reader")}


def test_roles_come_in_pages_and_are_searched(administrator: Caller) -> None:
    own = [f"own-{uuid4().hex[:6]}-{letter}" for letter in "ab"]
    for role in own:
        administrator.ask("PUT", "/api/v1/roles", {"permissions": ["config:read"]}, name=role)

    found: list[str] = []
    answer = administrator.ask("GET", "/api/v1/roles", limit=2)
    while True:
        found += [each["name"] for each in answer.json()["roles"]]
        if "next" not in answer.links:
            break
        answer = administrator.http.get(answer.links["next"]["url"])

    assert found[: len(ROLES)] == sorted(ROLES)
    assert set(own) <= set(found[len(ROLES) :])
    assert len(found) == len(set(found))
    searched = administrator.ask("GET", "/api/v1/roles", search=own[0].upper()).json()
    assert [each["name"] for each in searched["roles"]] == [own[0]]


def test_an_answer_is_not_given_again_to_who_lost_a_right(
    guarded: Server, administrator: Caller, user: Callable[..., dict[str, Any]], name: str
) -> None:
    member = user("publisher")
    session = logged_in(guarded, member["email"])
    bulk = {"changes": [{"service": f"bulk/{name}", "document": {"n": 1}}]}
    one = ("PUT", "/config", {"n": 1}, {"service": f"one/{name}"})
    writes = [one, ("POST", "/api/v1/changesets", bulk, {})]
    keys = [{"Idempotency-Key": uuid4().hex} for _ in writes]

    def send() -> list[tuple[int, bool]]:
        answers = [
            session.ask(method, path, body, headers=key, **query)
            for (method, path, body, query), key in zip(writes, keys, strict=True)
        ]
        return [(each.status_code, "Idempotency-Replayed" in each.headers) for each in answers]

    def become(**rights: Any) -> None:
        changed = administrator.ask("PATCH", "/api/v1/users", rights, id=member["id"])
        assert changed.status_code == 200

    assert send() == [(200, False)] * 2
    assert send() == [(200, True)] * 2
    become(services=["team/"])
    assert send() == [(403, False)] * 2
    become(services=[], role="editor")
    assert send() == [(403, False)] * 2
    become(role="publisher")
    assert send() == [(200, True)] * 2


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
        assert until(lambda: f"{name}-before" in "".join(heard))
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


# --- the front never mixes actors


def test_what_is_answered_from_memory_is_what_flask_would_answer_to_the_same_actor(
    guarded: Server, administrator: Caller, acting: As, elsewhere: str
) -> None:
    mark = uuid4().hex[:6]
    services = [f"team/{mark}", f"hidden/{mark}"]
    for service in services:
        administrator.put(service, {"of": "default"})
        headers = {auth.ORGANISATION: elsewhere}
        administrator.ask("PUT", "/config", {"of": "other"}, service=service, headers=headers)
    callers = [
        acting("reader"),
        acting("reader", services=["team/"]),
        acting("reader", elsewhere),
        acting("reader", elsewhere, services=["hidden/"]),
        Caller(guarded.url),
        administrator,
    ]
    tokens = [caller.token or "none" for caller in callers]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(tokens),
                st.sampled_from(services),
                st.sampled_from(["", elsewhere, "default", "nowhere"]),
                st.sampled_from(["Bearer", "X-API-Key"]),
            ),
            min_size=1,
            max_size=8,
        )
    )
    def same(questions: list[tuple[str, str, str, str]]) -> None:
        with httpx2.Client(base_url=guarded.url, trust_env=False) as http:
            for token, service, organisation, way in questions:
                headers = {"X-API-Key": token}
                if way == "Bearer":
                    headers = {"Authorization": f"Bearer {token}"}
                if organisation:
                    headers[auth.ORGANISATION] = organisation
                query = {"service": service, "version": "current"}
                quick = http.get("/config", params=query, headers=headers)
                # What asks for a revision is never answered from memory.
                slow = http.get("/config", params={**query, "min_revision": 0}, headers=headers)
                assert alike(quick, slow), (quick.text, slow.text)

    same()


# --- words


@contextmanager
def watching(server: Server, token: str, heard: list[str]) -> Iterator[threading.Thread]:
    """A stream of changes that is read in the background."""
    sock = socket.create_connection(("127.0.0.1", server.port), 10)
    sock.sendall(
        f"GET /api/v1/changes?include=document HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Accept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )

    def read() -> None:
        sock.settimeout(20)
        try:
            while data := sock.recv(65536):
                heard.append(data.decode())
                if data.endswith(b"0\r\n\r\n"):
                    return
        except OSError:
            return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert until(lambda: "event: hello" in "".join(heard))
    try:
        yield thread
    finally:
        with closing(sock):
            sock.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def until(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
