"""One's own sessions: where one is logged in, and in which organisation."""

from typing import Any

from distributed_config import wire
from distributed_config.api.v1.account_routes import (
    by_id_route,
    list_route,
    render_changed,
    write_route,
)
from distributed_config.errors import AccountNotFound, Forbidden
from distributed_config.http import auth
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.writes import commit
from distributed_config.schemas import account_answers as answers
from distributed_config.schemas import bodies, queries
from distributed_config.services.access import sessions
from distributed_config.services.journal.head import Head

_OWN: dict[str, Any] = {"permission": auth.AUTHENTICATED}


@list_route(
    "/sessions", **{**_OWN, "query": None, "refusals": ()}, answers={200: answers.SessionsAnswer}
)
def list_sessions() -> ResponseData:
    """List your sessions, newest first: since when, last used when and from where.

    A token of a program has none, and neither has a personal token: whoever found it must not
    learn where its user is. `present` is the session that the request came with.
    """
    user, present = _session_of_request()
    found = [] if user is None else sessions.sessions(reader_connection(), user, wire.now())
    listed = [
        {**answers.SessionAnswer.render(session), "present": session.id == present}
        for session in found
    ]
    return json_response({"sessions": listed}, Cache_Control="no-store")


@write_route(
    "PATCH",
    "/sessions",
    **_OWN,
    body=bodies.SessionBody,
    answers={200: answers.DoneAnswer},
)
def move_session(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Choose the organisation in which this session acts, where a request names none."""
    user, present = _session_of_request()
    if user is None:
        raise Forbidden(
            f"Only a session has an organisation to choose. Send the header {auth.ORGANISATION}, "
            "or log in."
        )
    return commit(query, sessions.move, present, body["organisation"], render=render_changed)


@by_id_route("DELETE", "/sessions", **_OWN, answers={200: answers.EndedAnswer})
def end_session(query: dict[str, Any]) -> ResponseData:
    """End one of your sessions."""
    http_request.refuse_body()
    user, _present = _session_of_request()
    if user is None:
        # Another of the user's tokens may be limited, and must not lock its user out.
        raise AccountNotFound("session", query["id"])
    return commit(query, sessions.end, user, query["id"], render=_render_ended)


@by_id_route(
    "DELETE",
    "/sessions/others",
    **_OWN,
    query=queries.AccountWriteQuery,
    answers={200: answers.EndedAnswer},
)
def end_other_sessions(query: dict[str, Any]) -> ResponseData:
    """End all of your sessions but the present one."""
    http_request.refuse_body()
    user, present = _session_of_request()
    if user is None:
        raise AccountNotFound("session", present)
    return commit(query, sessions.end_others, user, present, render=_render_ended)


def _render_ended(ended: int, _head: Head) -> ResponseData:
    return json_response({"success": True, "changed": ended > 0, "ended": ended})


def _session_of_request() -> tuple[int | None, int]:
    """Return the user of the session that the request came with, and its id; None without one."""
    identity = auth.identity()
    user = identity.user_id if identity.kind == "session" else None
    return user, identity.token_id
