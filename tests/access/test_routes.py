"""Every route, every role, the own and a foreign organisation."""

import itertools
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed_config.app import create_app
from distributed_config.errors import CannotStart
from distributed_config.http import auth
from distributed_config.services.policy.permissions import ROLES, expand
from distributed_config.services.policy.visibility import Scope
from distributed_config.settings import Settings
from tests.support.access import As, alike, watching
from tests.support.callers import Caller
from tests.support.routes import ABOUT_A_SERVICE, path_of, routes
from tests.support.server import Server
from tests.support.waiting import until

# --- every route and every role


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
        "delete all": told("DELETE", "/config", service=name, with_versions="true", note="why"),
    } == {
        "get": reads,
        "history": reads,
        "export": reads,
        "put": writes,
        "rollback": publishes,
        "disable": publishes,
        "changeset": publishes,
        "delete": publishes if publishes != 200 else 409,
        "delete all": publishes,
    }


# --- what is foreign is as if it were not there


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
        tags = {"tags": [secret.replace("/", ".")[:60]]}
        assert administrator.ask("PUT", "/api/v1/services/tags", tags, service=service).is_success
    scoped = acting("organisation-administrator", services=["team/"])
    foreign = acting("organisation-administrator", elsewhere)
    paths: list[tuple[str, dict[str, Any]]] = [
        ("/api/v1/services", {"search": "hidden"}),
        ("/api/v1/services", {"prefix": "hidden"}),
        ("/api/v1/services", {"sort": "changed", "include": "last_change"}),
        ("/api/v1/tags", {}),
        ("/api/v1/search", {"q": secret}),
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
    for caller in (scoped, foreign):
        total = caller.ask("GET", "/api/v1/services", include="total", search="hidden").json()
        assert total["total"] == 0
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
        until(lambda: f"team/{name}" in "".join(heard["scoped"]))
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
