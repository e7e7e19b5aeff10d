"""Logging in: for browsers, for OAuth 2 clients, and for who changes their password."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, request

from distributed_config import wire
from distributed_config.errors import (
    Forbidden,
    Invalid,
    Problem,
    Unauthenticated,
    UnsupportedMediaType,
)
from distributed_config.http import auditing, auth, database, rate_limits
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.schemas import answers, bodies
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
    body_types=(asked.FORM,),
    answers={200: answers.BearerAnswer},
)
def bearer_token() -> ResponseData:
    """Log in as OAuth 2 clients do: a form of `username` and `password`; a bearer token."""
    if request.mimetype != asked.FORM:
        raise UnsupportedMediaType(f"This takes a form; say Content-Type: {asked.FORM}.")
    _refuse_incomplete(request.form)
    made = _logged_in(request.form["username"], request.form["password"])
    seconds = database.of().settings.session_seconds
    body = {"access_token": made.secret, "token_type": "bearer", "expires_in": seconds}
    return json_response(body, Cache_Control="no-store")


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
    made = _logged_in(body["email"], body["password"])
    answer = json_response({"success": True, "changed": True}, Cache_Control="no-store")
    answer.headers["Set-Cookie"] = session_cookie(
        made.secret, database.of().settings.session_seconds
    )
    return answer


@route(
    blueprint,
    "POST",
    "/logout",
    permission=auth.AUTHENTICATED_PENDING_PASSWORD,
    answers={200: answers.DoneAnswer},
    refusals=(409, 422),
)
def log_out() -> ResponseData:
    """End the session, or whatever token is shown."""
    shown = auth.identity()

    def unit(transaction: Transaction) -> None:
        logins.end_session(transaction, shown.token_id)

    database.write(auth.actor(), unit)
    answer = json_response({"success": True, "changed": True}, Cache_Control="no-store")
    answer.headers["Set-Cookie"] = session_cookie("", 0)
    return answer


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
    """Choose another password. All sessions end, this one too."""
    user_id = auth.identity().user_id
    if user_id is None:
        raise Forbidden("A token of a program has no password.")
    email = auth.actor().name
    rate_limits.limit_login(request.remote_addr or "", email)
    is_right = logins.has_password(reader_connection(), user_id, body["old"])
    database.release()  # checking took long; nobody else should wait for this connection
    if not is_right:
        auditing.record_refused_login(email, "wrong present password", auth.actor().organisation)
        raise Invalid.from_problems(
            [Problem("/old", "It is not your present password.", "password")]
        )
    if body["old"] == body["new"]:
        raise Invalid.from_problems([Problem("/new", "It is the old one. Choose another.", "same")])

    hashed = hash_password(body["new"], "/new")

    def unit(transaction: Transaction) -> None:
        users.set_own_password(transaction, user_id, hashed)

    database.write(auth.actor(), unit)
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
    """Tell who you are here, and what you may do."""
    found = auth.identity()
    actor = found.actor
    scopes = [
        {"services": list(scope.services), "environments": list(scope.environments)}
        for scope in actor.visibility.scopes
    ]
    body = {
        "name": actor.name,
        "organisation": organisations.organisation_name(reader_connection(), actor.organisation),
        "permissions": sorted(actor.permissions),
        "scopes": scopes,
        "expires_at": None if found.expires_at is None else wire.format_time(found.expires_at),
        "must_change": found.must_change,
    }
    return json_response(body, Cache_Control="no-store")


def _refuse_incomplete(form: Mapping[str, str]) -> None:
    problems = [
        Problem("", "The form does not have it.", "required", name)
        for name in ("username", "password")
        if name not in form
    ]
    if form.get("grant_type", "password") != "password":
        problems.append(Problem("", "Only password is understood here.", "grant", "grant_type"))
    if problems:
        raise Invalid.from_problems(problems)


def _logged_in(email: str, password: str) -> IssuedToken:
    """A new session. Raises Unauthenticated, in the same words whatever was wrong."""
    rate_limits.limit_login(request.remote_addr or "", email)
    found = logins.authenticate(reader_connection(), email, password)
    database.release()  # checking took long; nobody else should wait for this connection
    if found is None:
        auditing.record_refused_login(email, "wrong address or password")
        raise Unauthenticated(_WRONG)
    made = _opened(found)
    auditing.record_login(email, found.organisation)
    return made


def _opened(found: Login) -> IssuedToken:
    settings = database.of().settings

    def unit(transaction: Transaction) -> IssuedToken:
        if not logins.is_still_valid(transaction.connection, found):
            raise Unauthenticated(_WRONG)
        return tokens.open_session(
            transaction, found.user_id, found.organisation, settings.session_seconds
        )

    return database.write(LOCAL_OPERATOR, unit)


def session_cookie(secret: str, seconds: int, *, https: bool = False) -> str:
    """The session's cookie (RFC 6265): for this server alone, and for no script.

    ``https``: the browser is known to have come that way, whatever this server sees of it.
    """
    https = https or request.is_secure or database.of().settings.secure_cookies
    secure = "; Secure" if https else ""
    return f"{auth.COOKIE}={secret}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"
