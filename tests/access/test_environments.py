"""Rights that are limited to some environments: every route, every stream, every message."""

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from distributed_config.services.policy.visibility import Scope
from tests.support.access import ADMINISTRATOR, As, alike, watching
from tests.support.callers import Answer, Caller
from tests.support.routes import ABOUT_A_SERVICE, path_of, routes
from tests.support.secrets import listening
from tests.support.server import Server
from tests.support.waiting import until


@dataclass(frozen=True)
class Place:
    """Environments of the module's server: ``prod`` inherits, ``apart`` stands alone."""

    prod: str = "prod"
    apart: str = "apart"
    locked: str = "locked"


@pytest.fixture(scope="module", autouse=True)
def place(administrator: Caller) -> Place:
    found = Place()
    administrator.make("environments", {"name": found.prod})
    administrator.make("environments", {"name": found.apart, "inherits": None})
    locked = {"name": found.locked, "inherits": None, "protected": True}
    administrator.make("environments", locked)
    return found


def put(caller: Caller, service: str, document: Any, **query: Any) -> Answer:
    return caller.ask("PUT", "/config", document, service=service, **query)


def written(caller: Caller, service: str, document: Any, **query: Any) -> None:
    answer = put(caller, service, document, **query)
    assert answer.status_code == 200, answer.text


# --- every route that names a service


HIDDEN = [
    (["default"], "prod"),
    (["prod"], "default"),
    (["nowhere"], "default"),
    (["nowhere"], "prod"),
]


@pytest.mark.parametrize(("environments", "hidden"), HIDDEN)
@pytest.mark.parametrize(("method", "path", "body", "query"), ABOUT_A_SERVICE)
def test_a_hidden_environment_is_answered_as_one_that_does_not_exist(
    administrator: Caller,
    acting: As,
    name: str,
    environments: list[str],
    hidden: str,
    method: str,
    path: str,
    body: Any,
    query: dict[str, Any],
) -> None:
    for environment in ("default", "prod"):
        written(administrator, name, {"canary": 1}, environment=environment)
    caller = acting("organisation-administrator", environments=environments)

    # Two environments can be compared in no environment.
    place = {} if (method, path) == ("PATCH", "/api/v1/services") else {"environment": hidden}
    foreign = caller.ask(method, path, body, service=name, **query, **place)
    place = dict.fromkeys(place, "missing")
    absent = caller.ask(method, path, body, service=name, **query, **place)

    assert alike(foreign, absent, "missing", hidden), (foreign.text, absent.text)
    # What holds in all environments says so first, whichever one is named.
    is_of_all = path.startswith("/api/v1/services") and method != "GET"
    assert foreign.status_code == (403 if is_of_all else 404)
    assert "canary" not in foreign.text
    for environment in ("default", "prod"):
        stored = administrator.ask(
            "GET", "/config", service=name, version="current", environment=environment
        )
        assert stored.json() == {"canary": 1}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_nothing_is_created_in_a_hidden_environment(acting: As, name: str, method: str) -> None:
    caller = acting("organisation-administrator", environments=["prod"])

    hidden = caller.ask(method, "/config", {"n": 1}, service=name)
    absent = caller.ask(method, "/config", {"n": 1}, service=name, environment="missing")

    assert hidden.status_code == 404
    assert alike(hidden, absent, "default", "missing")


@pytest.mark.parametrize("environments", [("default",), ("prod",), ("default", "prod"), ()])
def test_a_visible_environment_is_read_and_written(
    administrator: Caller, acting: As, name: str, environments: tuple[str, ...]
) -> None:
    for environment in ("default", "prod"):
        written(administrator, name, {"in": environment}, environment=environment)
    caller = acting("editor", environments=list(environments))

    for environment in environments or ("default", "prod"):
        query = {"service": name, "version": "current", "environment": environment}
        assert caller.ask("GET", "/config", **query).json() == {"in": environment}
        written(caller, name, {"in": environment, "n": 1}, environment=environment)


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        (
            "/api/v1/changesets",
            {},
            {"changes": [{"service": "NAME", "environment": "PLACE", "document": {"n": 1}}]},
        ),
        (
            "/api/v1/changesets",
            {"environment": "PLACE"},
            {"changes": [{"service": "NAME", "document": {"n": 1}}]},
        ),
        ("/api/v1/import", {"environment": "PLACE"}, {"NAME": {"n": 1}}),
        ("/api/v1/import", {"environment": "PLACE", "prune": "true"}, {"NAME": {"n": 1}}),
        ("/api/v1/promotions", {}, {"services": ["NAME"], "from": "PLACE", "to": "apart"}),
        ("/api/v1/promotions", {}, {"services": ["NAME"], "from": "apart", "to": "PLACE"}),
        (
            "/api/v1/promotions",
            {},
            {"services": ["NAME"], "from": "PLACE", "to": "apart", "pointers": ["/n"]},
        ),
    ],
)
def test_bulk_writes_know_of_no_hidden_environment(
    administrator: Caller, acting: As, name: str, path: str, query: dict[str, str], body: Any
) -> None:
    for environment in ("default", "prod", "apart"):
        written(administrator, name, {"n": 0}, environment=environment)
    caller = acting("organisation-administrator", environments=["apart"])

    def sent(environment: str) -> Answer:
        def fill(value: Any) -> Any:
            if isinstance(value, dict):
                return {fill(key): fill(child) for key, child in value.items()}
            if isinstance(value, list):
                return [fill(child) for child in value]
            return (
                value.replace("NAME", name).replace("PLACE", environment)
                if isinstance(value, str)
                else value
            )

        return caller.ask("POST", path, fill(body), **fill(query))

    hidden, absent = sent("prod"), sent("missing")

    assert hidden.status_code == 404, hidden.text
    assert alike(hidden, absent, "missing", "prod"), (hidden.text, absent.text)
    assert "default" not in hidden.text


def test_no_route_shows_anything_of_a_hidden_environment(
    administrator: Caller, acting: As, name: str
) -> None:
    definition = f"def-{name}"
    schema = {"properties": {"n": {"type": "integer"}}}
    administrator.ask(
        "PUT", "/api/v1/definitions", {"schema": schema, "indexes": ["n"]}, definition=definition
    )
    service = f"{definition}/{name}"
    canary, number = f"canary-{uuid4().hex}", 918_273_645
    digests = []
    written(administrator, service, {"seen": 1}, environment="apart", definition=definition)
    for environment in ("default", "prod"):
        for n in (number, number + 1):
            document = {f"key-{canary}": f"value-{canary}", "n": n}
            query = {"environment": environment, "note": f"note-{canary}"}
            written(administrator, service, document, **query)
        page = administrator.ask(
            "GET", "/api/v1/versions", service=service, environment=environment
        )
        digests += [version["digest"] for version in page.json()["versions"]]
    caller = acting("organisation-administrator", environments=["apart"])
    needles = [canary, str(number), *digests]
    shown = []
    for method, rule, _ in routes():
        if method != "GET" or rule.startswith(("/auth", "/metrics")):
            continue
        path = path_of(rule.replace("<key>", definition).replace("<config_key>", name))
        for query in (
            {},
            {"service": service},
            {"service": service, "environment": "apart"},
            {"service": service, "environment": "prod"},
            {"service": service, "environment": "prod", "version": "current", "resolved": "true"},
            {"service": service, "environment": "default", "version": "0"},
            {"service": service, "environment": "prod", "from": "0", "to": "1"},
            {"service": service, "from": "default", "to": "prod"},
            {"service": service, "from": "apart", "to": "prod", "resolved": "false"},
            {"service": service, "environment": "prod", "documents": "true"},
            {"include": "document", "limit": "500"},
            {"service": service, "include": "document", "limit": "500"},
            {"service": service, "environment": "apart", "resolved": "true"},
            {"limit": "100"},
            {"definition": definition},
            {"definition": definition, "environment": "prod", "where": f"n={number}"},
            {"definition": definition, "environment": "apart", "sort": "n"},
            {"environment": "apart", "sort": "changed", "include": "last_change", "limit": "500"},
            {"environment": "prod", "include": "last_change", "search": name},
            {"q": f"value-{canary}"[:-1], "environment": "apart"},
            {"q": f"note-{canary}"[:-1], "environment": "prod"},
            {"service": service, "environment": "prod", "include": "changed"},
            {"section": service, "limit": "100"},
            {"section": service, "key": "n"},
            {"section": service, "environment": "prod", "limit": "100"},
            {"environment": "prod"},
        ):
            answer = caller.ask(method, path, **query)
            assert answer.status_code < 500, (path, query, answer.text)
            if any(needle in answer.text for needle in needles):
                shown.append((path, query, answer.text[:400]))
    assert not shown, shown[:3]


def test_the_last_change_has_no_note_of_a_first_version_in_a_hidden_environment(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, name, {"n": 0}, environment="prod", note="a note of prod")
    query = {"environment": "apart", "include": "last_change", "prefix": name}

    hidden, shown = (
        acting("reader", environments=environments).ask("GET", "/api/v1/services", **query)
        for environments in (["apart"], [])
    )

    notes = [each.json()["services"][0]["last_change"]["note"] for each in (hidden, shown)]
    assert notes == ["", "a note of prod"]


def test_streams_tell_nothing_of_a_hidden_environment(
    guarded: Server, administrator: Caller, acting: As, name: str
) -> None:
    caller = acting("organisation-administrator", environments=["apart"])
    both = acting("organisation-administrator", environments=["apart", "prod"])
    canary = f"canary-{uuid4().hex}"
    seen: dict[str, list[str]] = {"apart": [], "both": []}
    world: Any = SimpleNamespace(server=guarded, tokens={"caller": caller.token})
    resolved = f"/api/v1/changes?service={name}&environment=apart&resolved=true"
    with (
        watching(guarded, caller.token, seen["apart"]),
        watching(guarded, both.token, seen["both"]),
        listening(world, "caller", "/api/v1/changes?include=document", websocket=True) as socket,
        listening(world, "caller", "/api/v1/config_store/updates", websocket=True) as dialect,
        listening(world, "caller", resolved, websocket=False) as layers,
    ):
        for environment in ("default", "prod"):
            query = {"environment": environment, "note": canary}
            written(administrator, name, {"value": canary}, **query)
        written(administrator, name, {"last": "one"}, environment="apart")
        until(lambda: "last" in "".join(seen["apart"]) and "last" in "".join(seen["both"]))
        until(lambda: b"last" in socket and name.encode() in layers)
        time.sleep(0.2)
    assert canary in "".join(seen["both"])
    for heard in ("".join(seen["apart"]), socket.decode(errors="replace"), layers.decode()):
        assert canary not in heard
        assert '"prod"' not in heard
    assert canary.encode() not in dialect


def test_the_layers_that_a_reader_may_not_see_change_without_saying_how(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, name, {"n": 1}, note="secret note")
    written(administrator, name, {"m": 1}, environment="prod")
    caller = acting("reader", environments=["prod"])
    query = {"service": name, "environment": "prod", "resolved": "true", "limit": 500}

    changes = caller.ask("GET", "/api/v1/changes", **query).json()["changes"]

    veiled = [change for change in changes if change["kind"] == "layer.changed"]
    assert veiled
    for change in veiled:
        assert (change["version"], change["digest"], change["note"]) == (None, None, "")
        assert change["environment"] == "prod"
    assert "secret note" not in str(changes)
    assert "default" not in {change["environment"] for change in changes}


# --- the audit log


def test_the_audit_log_has_no_entry_of_a_write_into_a_hidden_environment(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, name, {"n": 1}, environment="apart")
    written(administrator, name, {"n": 1}, environment="prod", note="why")
    other = f"other-{name}"
    written(administrator, other, {"n": 1})
    written(administrator, name, {"r": {"$use": f"{other}#/n"}})
    caller = acting("organisation-administrator", environments=["apart"])

    entries = caller.ask("GET", "/api/v1/audit", service=name, limit=100).json()["entries"]
    exported = caller.ask("GET", "/api/v1/audit/export", service=name).text

    assert [entry["kind"] for entry in entries] == ["referenced", "changed"]
    assert all(change["environment"] in {None, "apart"} for change in entries[-1]["changes"])
    assert entries[0]["detail"] == {}
    assert other not in exported
    assert "prod" not in exported


def test_the_audit_log_has_no_entry_of_several_writes_into_a_hidden_environment(
    administrator: Caller, acting: As, name: str
) -> None:
    changes = [{"service": f"{name}-{i}", "merge": {"n": 1}} for i in range(2)]
    for i in range(2):
        written(administrator, f"{name}-{i}", {"n": 0}, environment="prod")
    query = {"environment": "prod"}
    answer = administrator.ask("POST", "/api/v1/changesets", {"changes": changes}, **query)
    assert answer.status_code == 200, answer.text
    since = {"from_revision": answer.headers["Config-Revision"]}
    limited = acting("organisation-administrator", environments=["apart"])
    other = acting("organisation-administrator", environments=["prod"])

    def entries(caller: Caller) -> list[Any]:
        found: list[Any] = caller.ask("GET", "/api/v1/audit", **since).json()["entries"]
        return [entry for entry in found if entry["service"] is None]

    assert entries(limited) == []
    assert len(entries(other)[-1]["changes"]) == 2


def test_the_audit_log_names_no_hidden_service_that_was_referred_to(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, f"hidden/{name}", {"n": 1})
    written(administrator, f"team/{name}", {"r": {"$use": f"hidden/{name}#/n"}})
    caller = acting("organisation-administrator", services=["team/"])

    answer = caller.ask("GET", "/api/v1/audit", service=f"team/{name}", kind="referenced")

    assert [entry["detail"]["uses"] for entry in answer.json()["entries"]] == [[]]


# --- messages about what rests on a layer


def test_what_breaks_out_of_sight_is_counted_and_not_named(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, f"team/{name}", {"port": 1})
    written(administrator, f"team/{name}-seen", {"use": {"$use": f"team/{name}#/port"}})
    written(administrator, f"hidden/{name}", {"use": {"$use": f"team/{name}#/port"}})
    by_service = acting("editor", services=["team/"])
    by_environment = acting("editor", environments=["default"])

    for caller, hidden, unseen in ((by_service, "hidden", 2), (by_environment, "prod", 2)):
        broken = put(caller, f"team/{name}", {"other": 1})
        rehearsed = put(caller, f"team/{name}", {"port": 2}, dry_run="true")
        rehearsed_broken = put(caller, f"team/{name}", {"other": 1}, dry_run="true")
        assert broken.status_code == rehearsed_broken.status_code == 422
        assert broken.json()["code"] == "breaks-others"
        assert f"and {unseen} resolved documents that you may not see" in broken.json()["detail"]
        assert f"team/{name}-seen" in broken.json()["detail"]
        assert rehearsed.json()["impact_unseen"] > 0
        assert rehearsed_broken.json()["impact_unseen"] > 0
        for answer in (broken, rehearsed, rehearsed_broken):
            assert hidden not in answer.text, answer.text


def test_what_breaks_only_out_of_sight_is_refused_all_the_same(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, f"team/{name}", {"port": 1}, environment="apart")
    referring = {"use": {"$use": f"team/{name}#/port"}}
    written(administrator, f"hidden/{name}", referring, environment="apart")
    caller = acting("editor", services=["team/"])

    answer = put(caller, f"team/{name}", {}, environment="apart")

    assert answer.status_code == 422
    assert "it would break a resolved document that you may not see." in answer.json()["detail"]
    assert "hidden" not in answer.text
    assert "port" not in answer.text


def test_a_circle_through_hidden_services_does_not_name_them(
    administrator: Caller, acting: As, name: str
) -> None:
    first, hidden, last = f"team/{name}-1", f"hidden/{name}-2", f"team/{name}-3"
    written(administrator, first, {"n": 1})
    written(administrator, hidden, {"n": {"$use": f"{first}#/n"}})
    written(administrator, last, {"n": {"$use": f"{hidden}#/n"}})
    caller = acting("editor", services=["team/"])

    answer = put(caller, first, {"n": 1, "m": {"$use": f"{last}#/n"}})

    assert answer.status_code == 422
    assert f"{first} → {last} → … → {first}" in answer.json()["detail"]
    assert "hidden" not in answer.text


def test_what_rests_out_of_sight_on_a_deleted_service_is_not_named(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, f"team/{name}", {"n": 1})
    written(administrator, f"hidden/{name}", {"n": 1})
    body = {"extends": [f"team/{name}"]}
    administrator.ask("PATCH", "/api/v1/services", body, service=f"hidden/{name}")
    caller = acting("publisher", services=["team/"])
    caller.ask("PATCH", "/config", service=f"team/{name}", version=0, enabled="false")

    answer = caller.ask("DELETE", "/config", service=f"team/{name}")

    assert answer.status_code == 409
    assert answer.json()["code"] == "service-in-use"
    assert "hidden" not in answer.text


# --- answers that were given before


def test_a_narrowed_token_is_refused_from_its_next_request_on_by_every_worker(
    guarded: Server, administrator: Caller, name: str
) -> None:
    written(administrator, name, {"in": "prod"}, environment="prod")
    body = {"name": f"narrow {name}", "role": "reader", "environments": ["prod", "apart"]}
    made = administrator.make("tokens", body)
    headers = {"Authorization": f"Bearer {made['token']}"}
    query = {"service": name, "version": "current", "environment": "prod"}

    def statuses(**more: Any) -> set[int]:
        # A connection of its own reaches any of the workers.
        found = set()
        for _ in range(24):
            with httpx2.Client(base_url=guarded.url, trust_env=False) as http:
                found.add(
                    http.get("/config", params={**query, **more}, headers=headers).status_code
                )
        return found

    assert statuses() == statuses(resolved="true") == {200}
    change = {"environments": ["apart"]}
    done = administrator.ask("PATCH", "/api/v1/tokens", change, id=made["id"])
    assert done.status_code == 200, done.text

    assert statuses() == statuses(resolved="true") == {404}


def test_a_narrowed_token_does_not_get_its_stored_answer_again(
    administrator: Caller, guarded: Server, name: str
) -> None:
    body = {"name": f"narrow {name}", "role": "editor", "environments": ["prod", "apart"]}
    made = administrator.make("tokens", body)
    caller = Caller(guarded.url, made["token"])
    sent: dict[str, Any] = {
        "service": name,
        "environment": "prod",
        "headers": {"Idempotency-Key": f"key-{name}"},
    }
    first = caller.ask("POST", "/config", {"canary": 1}, **sent)
    assert first.status_code == 200
    change = {"environments": ["apart"]}
    administrator.ask("PATCH", "/api/v1/tokens", change, id=made["id"])

    again = caller.ask("POST", "/config", {"canary": 1}, **sent)

    assert again.status_code == 403
    assert "canary" not in again.text


# --- who may grant what


@pytest.mark.parametrize(
    ("environments", "status"),
    [(["prod"], 200), (["default"], 403), (["prod", "default"], 403), ([], 403)],
)
def test_rights_in_some_environments_grant_no_others(
    acting: As, environments: list[str], status: int
) -> None:
    caller = acting("organisation-administrator", environments=["prod"])
    body = {"name": f"t {uuid4().hex[:6]}", "role": "reader", "environments": environments}

    token = caller.ask("POST", "/api/v1/tokens", body)

    assert token.status_code == status, token.text
    if status == 403:
        assert "environments" in token.json()["detail"]


def test_a_grant_to_a_member_is_limited_like_one_to_a_token(
    administrator: Caller, acting: As
) -> None:
    caller = acting("organisation-administrator", environments=["prod"])
    email = f"{uuid4().hex[:8]}@example.org"
    new = {"email": email, "password": "correct horse battery staple", "role": "reader"}

    assert caller.ask("POST", "/api/v1/users", new).status_code == 403
    made = administrator.make("users", new)
    for limits in ({"environments": ["default"]}, {"environments": []}):
        answer = caller.ask("PATCH", "/api/v1/users", limits, id=made["id"])
        assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("entry", ["prod/", "no such", "", "a/b", "12", "e" * 51, "e\u0301"])
def test_an_entry_of_environments_is_the_name_of_one(administrator: Caller, entry: str) -> None:
    body = {"name": f"t {uuid4().hex[:6]}", "role": "reader", "environments": ["prod", entry]}

    answer = administrator.ask("POST", "/api/v1/tokens", body)

    assert answer.status_code == 422
    assert [problem["pointer"] for problem in answer.json()["problems"]] == ["/environments/1"]


def test_two_environments_cannot_have_names_that_look_the_same(administrator: Caller) -> None:
    answer = administrator.ask("POST", "/api/v1/environments", {"name": "caf\u0065\u0301"})

    assert answer.status_code == 422
    assert "composed form" in answer.text


@pytest.mark.parametrize(
    ("wide", "narrow", "contains"),
    [
        (Scope(), Scope(environments=("prod",)), True),
        (Scope(environments=("prod",)), Scope(), False),
        (Scope(environments=("prod",)), Scope(environments=("prod",)), True),
        (Scope(environments=("prod",)), Scope(environments=("prod", "default")), False),
        (Scope(environments=("prod", "default")), Scope(environments=("prod",)), True),
        (Scope(("a/",), ("prod",)), Scope(("a/b",), ("prod",)), True),
        (Scope(("a/",), ("prod",)), Scope(("a/b",)), False),
        (Scope(("a/",)), Scope((), ("prod",)), False),
    ],
)
def test_a_scope_with_environments_contains_only_what_lies_in_both_limits(
    wide: Scope, narrow: Scope, contains: bool
) -> None:
    assert wide.contains_scope(narrow) is contains


def test_an_administrator_of_some_environments_is_not_the_last_one(
    administrator: Caller, acting: As
) -> None:
    acting("administrator", environments=["prod"])
    mine = [
        token
        for token in administrator.ask("GET", "/api/v1/tokens").json()["tokens"]
        if token["hint"] == ADMINISTRATOR[:8]
    ]

    answer = administrator.ask("DELETE", "/api/v1/tokens", id=mine[0]["id"])

    assert answer.status_code == 409
    assert answer.json()["code"] == "last-administrator"


def test_an_administrator_of_some_environments_does_not_administer_the_server(
    acting: As, elsewhere: str
) -> None:
    caller = acting("administrator", environments=["prod"])

    answer = caller.ask("POST", "/api/v1/organisations", {"name": f"new {uuid4().hex[:6]}"})
    foreign = caller.ask("GET", "/api/v1/services", headers={"Config-Organisation": elsewhere})

    assert answer.status_code == 403
    assert foreign.status_code in {403, 404}
    for method, body in (("POST", {"name": "x1"}), ("PATCH", {"position": 1}), ("DELETE", None)):
        query = {} if method == "POST" else {"name": "prod"}
        assert caller.ask(method, "/api/v1/environments", body, **query).status_code == 403


# --- protected environments


def in_protected(administrator: Caller, environment: str, name: str) -> None:
    written(administrator, name, {"n": 1}, environment=environment)
    written(administrator, name, {"n": 2}, environment=environment)


DOORS: list[tuple[str, str, str, Any, dict[str, str]]] = [
    ("PUT", "/config", "json", {"n": 3}, {}),
    ("PATCH", "/config", "json", {"n": 3}, {}),
    ("PATCH", "/config", "merge-patch+json", {"n": 3}, {}),
    ("PATCH", "/config", "json-patch+json", [{"op": "add", "path": "/m", "value": 1}], {}),
    ("PATCH", "/config", "", None, {"version": "1", "enabled": "false"}),
    ("POST", "/api/v1/rollback", "", None, {"to": "0"}),
    ("POST", "/api/v1/changesets", "json", {"changes": [{"service": "NAME", "merge": {}}]}, {}),
    ("POST", "/api/v1/import", "json", {"NAME": {"n": 3}}, {}),
    ("POST", "/api/v1/import", "json", {"other": {}}, {"prune": "true", "prefix": "NAME"}),
]


def through(
    door: tuple[str, str, str, Any, dict[str, str]], caller: Caller, name: str, **more: str
) -> Answer:
    method, path, kind, body, query = door
    text = None if body is None else httpx2.Request("POST", "http://x", json=body).content.decode()
    query = {key: value.replace("NAME", name) for key, value in query.items()} | more
    if "import" not in path and "changesets" not in path:
        query["service"] = name
    return caller.http.request(
        method,
        path,
        content=None if text is None else text.replace("NAME", name).replace("other", f"o-{name}"),
        params=query,
        headers={"Content-Type": f"application/{kind}"} if kind else {},
    )


@pytest.mark.parametrize("door", DOORS, ids=[f"{door[0]} {door[1]} {door[2]}" for door in DOORS])
def test_every_door_into_a_protected_environment_takes_the_right_to_publish(
    administrator: Caller, acting: As, name: str, door: Any
) -> None:
    in_protected(administrator, "locked", name)

    refused = through(door, acting("editor"), name, environment="locked")
    done = through(door, acting("publisher"), name, environment="locked")

    assert refused.status_code == 403, refused.text
    assert "config:publish" in refused.text
    assert done.status_code == 200, done.text


def test_a_new_service_in_a_protected_environment_takes_the_right_to_publish(
    acting: As, name: str
) -> None:
    editor = acting("editor")
    for method in ("POST", "PUT"):
        answer = editor.ask(method, "/config", {}, service=name, environment="locked")
        assert answer.status_code == 403
        assert "'locked', which is protected" in answer.text


@pytest.mark.parametrize("way", ["layer", "extended", "referenced"])
@pytest.mark.parametrize("door", DOORS[:8])
def test_a_write_elsewhere_that_changes_a_protected_document_takes_the_right_to_publish(
    administrator: Caller, acting: As, name: str, way: str, door: Any
) -> None:
    below = f"guard-{uuid4().hex[:6]}"
    administrator.make("environments", {"name": below, "protected": True})
    try:
        in_protected(administrator, "default", name)
        program = name if way == "layer" else f"{name}-program"
        document = {"k": {"$use": f"{name}#/n"}} if way == "referenced" else {"k": 1}
        written(administrator, program, document, environment=below)
        if way == "extended":
            body = {"extends": [name]}
            administrator.ask("PATCH", "/api/v1/services", body, service=program)
        hidden = acting("editor", environments=["default"])

        if door[3] == [{"op": "add", "path": "/m", "value": 1}] and way == "referenced":
            door = (*door[:3], [{"op": "replace", "path": "/n", "value": 9}], {})
        if door[1] == "/api/v1/changesets":
            body = {"changes": [{"service": "NAME", "merge": {"n": 9}}]}
            door = (*door[:3], body, {})
        refused = through(door, acting("editor"), name)
        unseen = through(door, hidden, name)
        done = through(door, acting("publisher"), name)

        assert refused.status_code == unseen.status_code == 403, (refused.text, unseen.text)
        assert done.status_code == 200, done.text
        assert below not in unseen.text
    finally:
        administrator.ask("PATCH", "/api/v1/environments", {"protected": False}, name=below)


def test_promoting_into_a_protected_environment_takes_the_right_to_publish(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, name, {"n": 1})
    body = {"services": [name], "from": "default", "to": "locked"}
    for pointers in ({}, {"pointers": ["/n"]}):
        answer = acting("editor").ask("POST", "/api/v1/promotions", {**body, **pointers})
        assert answer.status_code == 403, answer.text
        assert "which is protected" in answer.text
    assert acting("publisher").ask("POST", "/api/v1/promotions", body).status_code == 200


def test_extending_a_service_that_is_in_a_protected_environment_takes_the_right_to_publish(
    administrator: Caller, acting: As, name: str
) -> None:
    written(administrator, f"{name}-base", {"n": 1}, environment="locked")
    written(administrator, name, {"k": 1}, environment="locked")
    body = {"extends": [f"{name}-base"]}

    refused = acting("editor").ask("PATCH", "/api/v1/services", body, service=name)
    done = acting("publisher").ask("PATCH", "/api/v1/services", body, service=name)

    assert refused.status_code == 403
    assert "which is protected" in refused.text
    assert done.status_code == 200, done.text


@pytest.fixture
def keeper(administrator: Caller, acting: As) -> Caller:
    """A caller who may manage environments, and not publish."""
    role = f"keeper-{uuid4().hex[:6]}"
    permissions = ["config:read", "config:write", "environment:manage"]
    made = administrator.ask("PUT", "/api/v1/roles", {"permissions": permissions}, name=role)
    assert made.status_code == 200, made.text
    return acting(role)


def test_another_parent_of_a_protected_environment_takes_the_right_to_publish(
    administrator: Caller, keeper: Caller, name: str
) -> None:
    written(administrator, name, {"n": 1})
    change = {"inherits": "default"}

    answer = keeper.ask("PATCH", "/api/v1/environments", change, name="locked")

    assert answer.status_code == 403, answer.text
    assert "config:publish" in answer.text


def test_taking_the_protection_away_takes_the_right_to_publish(keeper: Caller) -> None:
    answer = keeper.ask("PATCH", "/api/v1/environments", {"protected": False}, name="locked")
    described = keeper.ask("PATCH", "/api/v1/environments", {"description": "x"}, name="locked")

    assert answer.status_code == 403
    assert "config:publish" in answer.text
    assert described.status_code == 200


def test_default_can_be_protected_as_well(tmp_path: Any) -> None:
    with Server(tmp_path / "instance", auth="token", admin_token=ADMINISTRATOR) as own:
        administrator = Caller(own.url, ADMINISTRATOR)
        made = administrator.make("tokens", {"name": "editor", "role": "editor"})
        editor = Caller(own.url, made["token"])
        schema = {"schema": {}, "indexes": []}
        administrator.ask("PUT", "/api/v1/definitions", schema, definition="d")
        written(administrator, "d/web", {"n": 1}, definition="d")
        written(editor, "d/web", {"n": 2})
        change = {"protected": True}
        done = administrator.ask("PATCH", "/api/v1/environments", change, name="default")
        assert done.status_code == 200

        ways = [
            put(editor, "d/web", {"n": 3}),
            put(editor, "new", {"n": 3}),
            editor.ask("POST", "/api/v1/import", {"new": {}}),
            editor.ask("POST", "/config/set", {"section": "d", "key": "k", "value": 1}),
            editor.ask("PUT", "/api/v1/config_definition/d/config/web", {"data": {"n": 4}}),
            editor.ask(
                "POST",
                "/api/v1/config_definition/d/config",
                {"config_key": "two", "data": {"n": 4}},
            ),
        ]

        assert all(answer.status_code in {403, 404, 422} for answer in ways), [
            (answer.status_code, answer.text) for answer in ways
        ]
        assert administrator.get("d/web").json() == {"n": 2}
        names = administrator.ask("GET", "/api/v1/services").json()["services"]
        assert [service["name"] for service in names] == ["d/web"]
