"""A token ends everything that it created, and nobody who finds one can keep it alive."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from distributed_config import wire
from distributed_config.commands import schema
from distributed_config.errors import Forbidden
from distributed_config.services.access import identify, tokens
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.token_format import new_token
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import connect, open_writer
from tests.support.callers import PASSWORD, Caller, logged_in
from tests.support.server import Server

ADMINISTRATOR = new_token()
MANAGER = "organisation-administrator"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("families") / "instance"
    with Server(folder, auth="token", admin_token=ADMINISTRATOR) as running:
        yield running


@pytest.fixture(scope="module")
def session(guarded: Server) -> Caller:
    """An administrator who has logged in, so that what they create has no parent token."""
    email = f"{uuid4().hex[:8]}@example.org"
    body = {"email": email, "password": PASSWORD, "role": "administrator"}
    Caller(guarded.url, ADMINISTRATOR).make("users", body)
    return logged_in(guarded, email)


Make = Callable[..., tuple[Caller, dict[str, Any]]]


@pytest.fixture
def make(guarded: Server) -> Make:
    """``make(by, role=…, seconds=…)`` returns a caller with a new token, and the response."""

    def create(by: Caller, **body: Any) -> tuple[Caller, dict[str, Any]]:
        fields = {"name": uuid4().hex[:8], "role": MANAGER, **body}
        issued = by.make("tokens", fields)
        return Caller(guarded.url, issued["token"]), issued

    return create


def is_good(caller: Caller) -> bool:
    status = caller.ask("GET", "/auth/me").status_code
    assert status in {200, 401}
    return status == 200


def refusal(caller: Caller, method: str, path: str, body: Any, **query: Any) -> tuple[int, str]:
    answer = caller.ask(method, f"/api/v1/{path}", body, **query)
    return answer.status_code, answer.json().get("detail", "")


def test_a_token_that_ends_makes_none_that_ends_later(session: Caller, make: Make) -> None:
    ending, issued = make(session, seconds=3600)

    _, without = make(ending)
    _, sooner = make(ending, seconds=600)

    assert without["expires_at"] == issued["expires_at"]
    assert sooner["expires_at"] < issued["expires_at"]
    later = {"name": "later", "role": "reader", "seconds": 7200}
    status, detail = refusal(ending, "POST", "tokens", later)
    assert status == 422
    assert issued["expires_at"] in detail


def test_a_token_that_ends_gives_none_a_later_end(session: Caller, make: Make) -> None:
    ending, _ = make(session, seconds=3600)
    _, other = make(session, role="reader", seconds=60)
    _, child = make(ending, role="reader", seconds=60)

    for seconds in (None, 7200):
        for token in (other, child):
            change = {"seconds": seconds}
            assert refusal(ending, "PATCH", "tokens", change, id=token["id"])[0] == 422
        # Nor does a log-in: the token that created it ends earlier.
        assert refusal(session, "PATCH", "tokens", {"seconds": seconds}, id=child["id"])[0] == 422
    assert refusal(ending, "PATCH", "tokens", {"seconds": 600}, id=other["id"])[0] == 200
    assert refusal(session, "PATCH", "tokens", {"seconds": None}, id=other["id"])[0] == 200


def test_a_token_that_ends_rotates_none_that_lasts_longer(session: Caller, make: Make) -> None:
    ending, _ = make(session, seconds=3600)
    _, lasting = make(session, role="reader")

    assert refusal(ending, "POST", "tokens/rotate", {}, id=lasting["id"])[0] == 403


def test_what_a_token_made_ends_with_it(session: Caller, make: Make) -> None:
    parent, issued = make(session)
    child, _ = make(parent)
    grandchild, _ = make(child, role="reader")
    other, _ = make(session)
    assert all(is_good(each) for each in (child, grandchild, other))

    session.ask("DELETE", "/api/v1/tokens", id=issued["id"])

    assert [is_good(each) for each in (parent, child, grandchild, other)] == [False] * 3 + [True]
    changes = session.ask("GET", "/api/v1/changes", after=0, limit=500).json()["changes"]
    assert f"with token:{issued['id']}" in str(changes)


def test_what_a_token_made_elsewhere_ends_with_it_as_well(
    guarded: Server, session: Caller, make: Make
) -> None:
    name = uuid4().hex[:8]
    session.make("organisations", {"name": name})
    parent, issued = make(session, role="administrator")
    body = {"name": "there", "role": "reader"}
    created = parent.make("tokens", body, headers={"Config-Organisation": name})

    session.ask("DELETE", "/api/v1/tokens", id=issued["id"])

    assert not is_good(Caller(guarded.url, created["token"]))


def test_what_a_token_made_ends_sooner_when_it_does(session: Caller, make: Make) -> None:
    parent, issued = make(session)
    child, child_told = make(parent)
    _, grandchild = make(child, role="reader")
    _, short = make(child, role="reader", seconds=60)

    changed = session.ask("PATCH", "/api/v1/tokens", {"seconds": 3600}, id=issued["id"]).json()

    listed = session.ask("GET", "/api/v1/tokens", limit=500).json()["tokens"]
    ends = {each["id"]: each["expires_at"] for each in listed}
    assert ends[child_told["id"]] == ends[grandchild["id"]] == changed["expires_at"]
    assert ends[short["id"]] == short["expires_at"] < changed["expires_at"]


def test_rotation_keeps_what_a_token_made(guarded: Server, session: Caller, make: Make) -> None:
    parent, issued = make(session)
    child, _ = make(parent)

    fresh = parent.make("tokens/rotate", {"overlap": 0}, id=issued["id"])

    assert (is_good(parent), is_good(child)) == (False, True)
    session.ask("DELETE", "/api/v1/tokens", id=fresh["id"])
    assert not is_good(Caller(guarded.url, fresh["token"]))
    assert not is_good(child)


def test_what_a_token_rotated_ends_with_it_and_with_what_made_it(
    guarded: Server, session: Caller, make: Make
) -> None:
    def rotated(by: Caller, token: dict[str, Any]) -> tuple[Caller, dict[str, Any]]:
        fresh = by.make("tokens/rotate", {"overlap": 0}, id=token["id"])
        return Caller(guarded.url, fresh["token"]), fresh

    def end(token: dict[str, Any]) -> None:
        assert session.ask("DELETE", "/api/v1/tokens", id=token["id"]).status_code == 200

    # Whoever found a token and rotates another with it has that one no longer than the first.
    robot, robot_told = make(session)
    _, free = make(session, role="reader")
    taken, _ = rotated(robot, free)
    end(robot_told)
    assert not is_good(taken)

    # By itself, by its maker, and by another of its maker's.
    for by in ("itself", "maker", "sibling"):
        maker, maker_told = make(session)
        child, child_told = make(maker)
        sibling, _ = make(maker)
        fresh, _ = rotated({"itself": child, "maker": maker, "sibling": sibling}[by], child_told)
        assert is_good(fresh)
        end(maker_told)
        assert not is_good(fresh), by

    # Two makers that have nothing to do with each other cannot both end it; nor can it make them.
    maker, maker_told = make(session)
    child, child_told = make(maker)
    stranger, _ = make(session)
    assert refusal(stranger, "POST", "tokens/rotate", {}, id=child_told["id"])[0] == 403
    assert refusal(child, "POST", "tokens/rotate", {}, id=maker_told["id"])[0] == 403
    assert is_good(rotated(session, child_told)[0])


def test_a_log_in_that_ends_takes_no_token_along(guarded: Server, make: Make) -> None:
    email = f"{uuid4().hex[:8]}@example.org"
    body = {"email": email, "password": PASSWORD, "role": MANAGER}
    Caller(guarded.url, ADMINISTRATOR).make("users", body)
    log_in = logged_in(guarded, email)
    created, _ = make(log_in)

    log_in.ask("POST", "/auth/logout")

    assert (is_good(log_in), is_good(created)) == (False, True)


def test_what_a_personal_token_made_ends_with_it(
    guarded: Server, session: Caller, make: Make
) -> None:
    email = f"{uuid4().hex[:8]}@example.org"
    person = session.make("users", {"email": email, "password": PASSWORD, "role": MANAGER})
    for way in ("revoked", "given up", "removed"):
        personal, issued = make(logged_in(guarded, email), personal=True, role="")
        machine, _ = make(personal)
        assert is_good(machine)
        if way == "revoked":
            logged_in(guarded, email).ask("DELETE", "/api/v1/tokens", id=issued["id"])
        elif way == "given up":
            personal.ask("POST", "/auth/logout")
        else:
            session.ask("DELETE", "/api/v1/users", id=person["id"])
        assert not is_good(machine), way


def test_a_personal_token_is_rotated_by_a_log_in_or_an_administrator_and_not_by_itself(
    guarded: Server, session: Caller, make: Make
) -> None:
    email = f"{uuid4().hex[:8]}@example.org"
    session.make("users", {"email": email, "password": PASSWORD, "role": MANAGER})
    log_in = logged_in(guarded, email)
    personal, issued = make(log_in, personal=True, role="")
    other, _ = make(log_in, personal=True, role="")
    manager, _ = make(session)

    for caller in (personal, other, manager):
        assert refusal(caller, "POST", "tokens/rotate", {}, id=issued["id"])[0] == 403
    chief, chief_told = make(session, personal=True, role="")
    assert refusal(chief, "POST", "tokens/rotate", {}, id=chief_told["id"])[0] == 403

    again = log_in.make("tokens/rotate", {}, id=issued["id"])
    assert is_good(Caller(guarded.url, again["token"]))
    once_more = session.make("tokens/rotate", {}, id=again["id"])
    assert (
        Caller(guarded.url, once_more["token"])
        .ask("GET", "/auth/me")
        .json()["name"]
        .startswith(email)
    )


def test_a_token_that_ended_while_its_request_waited_makes_none(tmp_path: Path) -> None:
    settings = Settings(instance=tmp_path)
    schema.upgrade(settings)
    rights = Grant(MANAGER)
    with open_writer(settings) as writer, connect(settings) as connection:
        created = writer.write(
            LOCAL_OPERATOR, lambda transaction: tokens.create_machine(transaction, "parent", rights)
        )
        let_in = identify.identify(connection, created.secret, wire.now())
        assert let_in is not None
        writer.write(
            LOCAL_OPERATOR, lambda transaction: tokens.revoke(transaction, created.token.id, None)
        )

        with pytest.raises(Forbidden, match="just ended"):
            writer.write(
                let_in.actor, lambda transaction: tokens.create_machine(transaction, "late", rights)
            )
