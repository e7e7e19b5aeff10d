"""Logging in: for browsers and OAuth 2 clients; and changing a password."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Blueprint, request

from distributed_config.errors import (
    Forbidden,
    Invalid,
    Problem,
    Unauthenticated,
    UnsupportedMediaType,
)
from distributed_config.http import auditing, auth, database, rate_limits
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.schemas import account_answers as answers
from distributed_config.schemas import bodies
from distributed_config.services.access import logins, organisations, tokens, users
from distributed_config.services.access.logins import Login
from distributed_config.services.access.passwords import hash_password
from distributed_config.services.access.tokens import IssuedToken
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR

_WRONG = "The address or the password is wrong."

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
    return bearer_response(_authenticate(request.form["username"], request.form["password"]))


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
    session = _authenticate(body["email"], body["password"])
    seconds = database.of().settings.session_seconds
    return _done_with_cookie(session_cookie(session.secret, seconds))


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
    return _done_with_cookie(session_cookie("", 0))


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
    email = auth.actor().name
    # A stolen session must not be a way to guess the password.
    rate_limits.limit_login(request.remote_addr or "", email)
    is_right = logins.has_password(reader_connection(), user_id, body["old"])
    # Checking takes long, on purpose; nobody else should wait for this connection.
    database.release()
    if not is_right:
        auditing.record_refused_login(email, "wrong present password", auth.actor().organisation)
        raise Invalid.from_problems(
            [Problem("/old", "It is not your present password.", "password")]
        )
    # A forced change has to be one; somebody else may know the old password.
    if body["old"] == body["new"]:
        raise Invalid.from_problems([Problem("/new", "It is the old one. Choose another.", "same")])

    hashed = hash_password(body["new"], "/new")
    database.write(auth.actor(), partial(users.set_own_password, user_id=user_id, hashed=hashed))
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


def _authenticate(email: str, password: str) -> IssuedToken:
    """Return a new session. Raises Unauthenticated, in the same words whatever was wrong.

    Other words for an unknown address would tell a stranger who has an account.
    """
    rate_limits.limit_login(request.remote_addr or "", email)
    login = logins.authenticate(reader_connection(), email, password)
    # Checking takes long, on purpose; nobody else should wait for this connection.
    database.release()
    if login is None:
        auditing.record_refused_login(email, "wrong address or password")
        raise Unauthenticated(_WRONG)
    seconds = database.of().settings.session_seconds
    session = database.write(LOCAL_OPERATOR, partial(_open_session, login=login, seconds=seconds))
    auditing.record_login(email, login.organisation)
    return session


def _open_session(transaction: Transaction, login: Login, seconds: int) -> IssuedToken:
    # The password was checked outside the transaction: it may have been changed since.
    if not logins.is_still_valid(transaction.connection, login):
        raise Unauthenticated(_WRONG)
    return tokens.open_session(transaction, login.user_id, login.organisation, seconds)


def bearer_response(session: IssuedToken) -> ResponseData:
    """Return what a terminal gets for a log-in: the session's token (RFC 6749, section 5.1)."""
    seconds = database.of().settings.session_seconds
    body = {"access_token": session.secret, "token_type": "bearer", "expires_in": seconds}
    return json_response(body, Cache_Control="no-store")


def session_cookie(secret: str, seconds: int, *, https: bool = False) -> str:
    """Return the session's cookie (RFC 6265): for this server alone, and out of reach of scripts.

    It lives ``seconds``; 0 deletes it. ``https`` says that the browser came by HTTPS where a
    proxy hides that from this server.
    """
    https = https or request.is_secure or database.of().settings.secure_cookies
    # Without HTTPS the browser would not send a Secure cookie back, and nobody could log in.
    secure = "; Secure" if https else ""
    return f"{auth.COOKIE}={secret}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"
