"""Nobody grants what they do not hold, or takes over what is another's."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from distributed_config.http import auth
from distributed_config.models.sqlite import raw_connection
from distributed_config.services.policy.permissions import ROLES
from tests.support.access import As, alike
from tests.support.callers import PASSWORD, Answer, Caller, logged_in
from tests.support.server import Server

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
