"""``GET /api/v1/access``: who may do what with a service, and through what."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.access import As
from tests.support.callers import Caller, logged_in
from tests.support.server import Server

MakeUser = Callable[..., dict[str, Any]]


def access(caller: Caller, service: str, **query: Any) -> list[dict[str, Any]]:
    answer = caller.ask("GET", "/api/v1/access", service=service, **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["access"]
    return found


def test_users_are_listed_with_what_their_role_and_scope_give_them(
    administrator: Caller, user: MakeUser, name: str
) -> None:
    service = f"team/{name}"
    administrator.put(service, {"n": 0})
    inside = user("editor", services=["other/", "team/"])["email"]
    unlimited = user("reader")["email"]
    outside = user("publisher", services=["other/"])["email"]
    environments = user("publisher", environments=["elsewhere"])["email"]
    counting = user("metrics")["email"]

    found = {each["user"]: each for each in access(administrator, service) if each["user"]}

    assert {
        key: found[inside][key] for key in ("kind", "name", "role", "permissions", "scopes")
    } == {
        "kind": "user",
        "name": inside,
        "role": "editor",
        "permissions": ["config:read", "config:write"],
        "scopes": [{"services": ["team/"], "environments": []}],
    }
    assert found[unlimited]["scopes"] == []
    assert not {outside, environments, counting} & found.keys()


def test_what_is_listed_is_what_holds(
    guarded: Server, administrator: Caller, acting: As, user: MakeUser, name: str
) -> None:
    service = f"team/{name}"
    administrator.put(service, {"n": 0})
    editor = logged_in(guarded, user("editor", services=["team/"])["email"])
    body = {"name": f"own {name}", "personal": True, "role": "reader", "services": [service]}
    personal = Caller(guarded.url, editor.make("tokens", body)["token"])

    [found] = [each for each in access(administrator, service) if each["name"] == f"own {name}"]

    assert (found["kind"], found["role"]) == ("personal", "reader")
    assert found["permissions"] == ["config:read"]
    assert found["scopes"] == [
        {"services": ["team/"], "environments": []},
        {"services": [service], "environments": []},
    ]
    assert personal.get(service).status_code == 200
    assert personal.put(service, {"n": 1}).status_code == 403


def test_tokens_that_have_ended_and_those_of_inactive_users_are_left_out(
    guarded: Server, administrator: Caller, user: MakeUser, name: str
) -> None:
    administrator.put(name, {"n": 0})
    administrator.make("tokens", {"name": f"kept {name}", "role": "reader"})
    ended = administrator.make("tokens", {"name": f"ended {name}", "role": "reader"})
    person = user("editor")
    session = logged_in(guarded, person["email"])
    session.make("tokens", {"name": f"own {name}", "personal": True, "role": ""})
    names = {each["name"] for each in access(administrator, name, limit=500)}
    assert {f"kept {name}", f"ended {name}", f"own {name}", person["email"]} <= names

    administrator.ask("DELETE", "/api/v1/tokens", id=ended["id"])
    administrator.ask("PATCH", "/api/v1/users", {"active": False}, id=person["id"])

    names = {each["name"] for each in access(administrator, name, limit=500)}
    assert f"kept {name}" in names
    assert not {f"ended {name}", f"own {name}", person["email"]} & names


def test_the_list_is_paged_users_first(administrator: Caller, user: MakeUser, name: str) -> None:
    administrator.put(name, {"n": 0})
    user("reader")
    whole = access(administrator, name, limit=500)
    found, answer = [], administrator.ask("GET", "/api/v1/access", service=name, limit=2)
    found += answer.json()["access"]
    while "next" in answer.links:
        answer = administrator.http.get(answer.links["next"]["url"])
        found += answer.json()["access"]

    assert found == whole
    kinds = [each["kind"] for each in whole]
    assert kinds == sorted(kinds, key=lambda kind: kind != "user")


@pytest.mark.parametrize(
    ("permission", "kinds"), [("user:manage", {"user"}), ("token:manage", {"machine"})]
)
def test_an_actor_who_manages_one_kind_sees_that_kind_alone(
    administrator: Caller,
    acting: As,
    user: MakeUser,
    name: str,
    permission: str,
    kinds: set[str],
) -> None:
    administrator.put(name, {"n": 0})
    user("reader")
    role = f"{permission.partition(':')[0]}s-{name}"
    administrator.ask("PUT", "/api/v1/roles", {"permissions": [permission]}, name=role)

    found = access(acting(role), name, limit=500)

    assert {each["kind"] for each in found} - {"personal"} == kinds
    refused = acting("publisher").ask("GET", "/api/v1/access", service=name)
    assert refused.status_code == 403
