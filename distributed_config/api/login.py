"""Logging in: for browsers and OAuth 2 clients; and changing a password."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Blueprint, request

from distributed_config.errors import Forbidden, Invalid, Problem, UnsupportedMediaType
from distributed_config.http import auth, database, sessions
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.schemas import account_answers as answers
from distributed_config.schemas import bodies
from distributed_config.services.access import logins, organisations
from distributed_config.services.access.tokens import IssuedToken

blueprint = Blueprint("login", __name__, url_prefix="/auth")


@route(
    blueprint,
    "POST",
    "/token",
    permission=auth.PUBLIC,
    refusals=(401, 422, 507),
    body_types=(http_request.FORM,),
    answers={200: answers.BearerAnswer},
)
def bearer_token() -> ResponseData:
    """Log in as OAuth 2 clients do: a form of `username` and `password`; a bearer token."""
    if request.mimetype != http_request.FORM:
        raise UnsupportedMediaType(f"This takes a form; say Content-Type: {http_request.FORM}.")
    _refuse_incomplete(request.form)
    session = sessions.open_session(request.form["username"], request.form["password"])
    return bearer_response(session)


@route(
    blueprint,
    "POST",
    "/login",
    permission=auth.PUBLIC,
    refusals=(401, 422, 507),
    body=bodies.LoginBody,
    answers={200: answers.DoneAnswer},
)
def log_in(body: dict[str, Any]) -> ResponseData:
    """Log in with a browser: a session in a cookie that no script can read."""
    session = sessions.open_session(body["email"], body["password"])
    seconds = database.of().settings.session_seconds
    return _done_with_cookie(sessions.session_cookie(session.secret, seconds))


@route(
    blueprint,
    "POST",
    "/logout",
    permission=auth.AUTHENTICATED_PENDING_PASSWORD,
    answers={200: answers.DoneAnswer},
    refusals=(409, 422),
)
def log_out() -> ResponseData:
    """End the session, or the token that the request presents."""
    database.write(auth.actor(), partial(logins.end_session, token_id=auth.identity().token_id))
    return _done_with_cookie(sessions.session_cookie("", 0))


@route(
    blueprint,
    "POST",
    "/password",
    permission=auth.AUTHENTICATED_PENDING_PASSWORD,
    body=bodies.PasswordBody,
    answers={200: answers.DoneAnswer},
    refusals=(401, 403, 422, 507),
)
def change_password(body: dict[str, Any]) -> ResponseData:
    """Change your password. All of your sessions end, this one too."""
    user_id = auth.identity().user_id
    if user_id is None:
        raise Forbidden("A token of a program has no password.")
    sessions.change_password(user_id, body["old"], body["new"])
    return json_response({"success": True, "changed": True}, Cache_Control="no-store")


@route(
    blueprint,
    "GET",
    "/me",
    permission=auth.AUTHENTICATED_PENDING_PASSWORD,
    answers={200: answers.ActorAnswer},
    refusals=(401,),
)
def who_am_i() -> ResponseData:
    """Show who you are here, and what you may do."""
    identity = auth.identity()
    actor = identity.actor
    body = {
        "name": actor.name,
        "organisation": organisations.organisation_name(reader_connection(), actor.organisation),
        "permissions": sorted(actor.permissions),
        "scopes": [
            {"services": list(scope.services), "environments": list(scope.environments)}
            for scope in actor.visibility.scopes
        ],
        "expires_at": identity.expires_at,
        "must_change": identity.must_change,
    }
    return json_response(answers.ActorAnswer.render(body), Cache_Control="no-store")


def _done_with_cookie(cookie: str) -> ResponseData:
    response = json_response({"success": True, "changed": True}, Cache_Control="no-store")
    response.headers["Set-Cookie"] = cookie
    return response


def _refuse_incomplete(form: Mapping[str, str]) -> None:
    """Raise Invalid for a form without what RFC 6749, section 4.3.2, demands.

    ``grant_type`` may be left out, though the RFC requires it: a person types this by hand.
    """
    problems = [
        Problem("", "The form does not have it.", "required", name)
        for name in ("username", "password")
        if name not in form
    ]
    if form.get("grant_type", "password") != "password":
        problems.append(Problem("", "Only password is understood here.", "grant", "grant_type"))
    if problems:
        raise Invalid.from_problems(problems)


def bearer_response(session: IssuedToken) -> ResponseData:
    """Return what a terminal gets for a log-in: the session's token (RFC 6749, section 5.1)."""
    seconds = database.of().settings.session_seconds
    body = {"access_token": session.secret, "token_type": "bearer", "expires_in": seconds}
    return json_response(body, Cache_Control="no-store")
