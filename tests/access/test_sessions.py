"""One's own sessions: listed, ended, and moved to another organisation."""

from collections.abc import Callable
from typing import Any

from distributed_config.http import auth
from tests.support.access import As
from tests.support.callers import Caller, logged_in
from tests.support.server import Api, Server
from tests.support.waiting import until

MakeUser = Callable[..., dict[str, Any]]


def listed(caller: Caller) -> list[dict[str, Any]]:
    answer = caller.ask("GET", "/api/v1/sessions")
    assert answer.status_code == 200, answer.text
    sessions: list[dict[str, Any]] = answer.json()["sessions"]
    return sessions


def test_a_user_sees_all_own_sessions_and_nobody_elses(guarded: Server, user: MakeUser) -> None:
    email = user()["email"]
    first, second = logged_in(guarded, email), logged_in(guarded, email)
    other = logged_in(guarded, user()["email"])

    found = listed(second)

    assert [session["present"] for session in found] == [True, False]
    assert found[0]["id"] > found[1]["id"]
    assert {session["organisation"] for session in found} == {"default"}
    until(lambda: listed(second)[0]["used_from"] == "127.0.0.1")
    assert found[0]["created_at"] < found[0]["expires_at"]
    assert [session["present"] for session in listed(first)] == [False, True]
    assert len(listed(other)) == 1


def test_a_session_is_ended_by_its_user_and_at_once(guarded: Server, user: MakeUser) -> None:
    email = user()["email"]
    lost, mine = logged_in(guarded, email), logged_in(guarded, email)
    stranger = logged_in(guarded, user()["email"])
    assert lost.ask("GET", "/auth/me").status_code == 200
    lost_id = listed(mine)[1]["id"]

    refused = stranger.ask("DELETE", "/api/v1/sessions", id=lost_id)
    rehearsed = mine.ask("DELETE", "/api/v1/sessions", id=lost_id, dry_run="true")
    assert (refused.status_code, refused.json()["code"]) == (404, "account-not-found")
    assert rehearsed.json()["ended"] == 1
    assert lost.ask("GET", "/auth/me").status_code == 200

    ended = mine.ask("DELETE", "/api/v1/sessions", id=lost_id)

    assert ended.json() == {"success": True, "changed": True, "ended": 1}
    assert lost.ask("GET", "/auth/me").status_code == 401
    assert mine.ask("GET", "/auth/me").status_code == 200
    assert mine.ask("DELETE", "/api/v1/sessions", id=lost_id).status_code == 404


def test_all_other_sessions_are_ended_and_the_present_one_stays(
    guarded: Server, user: MakeUser
) -> None:
    email = user()["email"]
    others = [logged_in(guarded, email) for _ in range(2)]
    mine, stranger = logged_in(guarded, email), logged_in(guarded, user()["email"])

    ended = mine.ask("DELETE", "/api/v1/sessions/others").json()

    assert ended["ended"] == 2
    assert [other.ask("GET", "/auth/me").status_code for other in others] == [401, 401]
    assert [session["present"] for session in listed(mine)] == [True]
    assert stranger.ask("GET", "/auth/me").status_code == 200
    again = mine.ask("DELETE", "/api/v1/sessions/others").json()
    assert again == {"success": True, "changed": False, "ended": 0}


def test_a_token_sees_and_ends_no_session(guarded: Server, acting: As, user: MakeUser) -> None:
    session = logged_in(guarded, user()["email"])
    body = {"name": "mine", "personal": True, "role": "reader"}
    personal = Caller(guarded.url, session.make("tokens", body)["token"])
    [own] = listed(session)

    for caller in (personal, acting("administrator")):
        assert listed(caller) == []
        assert caller.ask("DELETE", "/api/v1/sessions", id=own["id"]).status_code == 404
        assert caller.ask("DELETE", "/api/v1/sessions/others").status_code == 404
        moved = caller.ask("PATCH", "/api/v1/sessions", {"organisation": "default"})
        assert moved.status_code == 403
    assert session.ask("GET", "/auth/me").status_code == 200


def test_a_session_moves_to_another_organisation_of_its_user(
    guarded: Server, administrator: Caller, user: MakeUser, elsewhere: str, name: str
) -> None:
    email = user()["email"]
    there = {auth.ORGANISATION: elsewhere}
    administrator.make("memberships", {"email": email, "role": "reader"}, headers=there)
    administrator.put(name, {"n": 0})
    mine, other = logged_in(guarded, email), logged_in(guarded, email)
    # Read first, so that an answer from the cache would show.
    assert [mine.get(name).status_code for _ in range(2)] == [200, 200]

    moved = mine.ask("PATCH", "/api/v1/sessions", {"organisation": elsewhere})

    assert moved.json() == {"success": True, "changed": True}
    me = mine.ask("GET", "/auth/me").json()
    assert me["organisation"] == elsewhere
    assert "config:write" not in me["permissions"]
    assert mine.get(name).status_code == 404
    assert other.ask("GET", "/auth/me").json()["organisation"] == "default"
    assert [each["organisation"] for each in listed(other)] == ["default", elsewhere]
    again = mine.ask("PATCH", "/api/v1/sessions", {"organisation": elsewhere})
    assert again.json()["changed"] is False


def test_an_organisation_that_one_does_not_belong_to_looks_like_none(
    guarded: Server, user: MakeUser, elsewhere: str
) -> None:
    mine = logged_in(guarded, user(role="organisation-administrator")["email"])

    foreign = mine.ask("PATCH", "/api/v1/sessions", {"organisation": elsewhere})
    absent = mine.ask("PATCH", "/api/v1/sessions", {"organisation": "absent"})

    assert (foreign.status_code, foreign.json()["code"]) == (404, "account-not-found")
    told = foreign.json()["detail"].replace(elsewhere, "absent")
    assert told == absent.json()["detail"]
    assert mine.ask("GET", "/auth/me").json()["organisation"] == "default"


def test_the_local_operator_has_no_sessions(api: Api) -> None:
    assert api.http.get("/api/v1/sessions").json() == {"sessions": []}
