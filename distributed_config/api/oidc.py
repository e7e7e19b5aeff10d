"""Logging in with an identity provider, by OpenID Connect."""

import logging
from dataclasses import replace
from functools import partial
from html import escape
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, current_app, request

from distributed_config.api.login import bearer_response
from distributed_config.api.openapi import ELSEWHERE
from distributed_config.errors import Forbidden, Invalid, NotFound, Unauthenticated
from distributed_config.http import auditing, auth, database, rate_limits
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.sessions import session_cookie
from distributed_config.identity import oidc
from distributed_config.identity.device_flow import DeviceFlow, Pending
from distributed_config.identity.oidc import LoginAttempt, Provider
from distributed_config.schemas import account_answers as answers
from distributed_config.schemas import bodies
from distributed_config.services import idempotency
from distributed_config.services.access import logins, tokens
from distributed_config.services.access.tokens import IssuedToken
from distributed_config.services.idempotency import StoredResponse
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings

blueprint = Blueprint("oidc", __name__, url_prefix="/auth/oidc")

COOKIE = "distconf_oidc"
_PROVIDER = "oidc_provider"
_DEVICE_FLOW = "oidc_device_flow"
# The actor, in the journal, of accounts that are created because the provider vouches for them.
_ACTOR = replace(LOCAL_OPERATOR, name="identity provider", key="identity provider")
# A page leads on to /auth/me, and not a redirect: a browser does not send a SameSite=Strict
# cookie along a chain of redirects that another site began.
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Logged in</title>'
    '<meta http-equiv="refresh" content="0; url={0}"><p>You are logged in: <a href="{0}">go on</a>.'
)
_NO_ACCOUNT = "You have no active account here. Ask an administrator for one."

_logger = logging.getLogger(__name__)


def init_oidc(app: Flask, settings: Settings) -> None:
    """Add the routes, and the provider if the settings name one. It is not contacted yet."""
    if settings.oidc_issuer:
        provider = app.extensions[_PROVIDER] = Provider(settings)
        app.extensions[_DEVICE_FLOW] = DeviceFlow(provider, settings)
    app.register_blueprint(blueprint)


@route(
    blueprint,
    "GET",
    "/login",
    permission=auth.PUBLIC,
    answers={302: ELSEWHERE},
    refusals=(404,),
)
def begin() -> ResponseData:
    """Log in with your identity provider: where a browser begins."""
    provider = _provider()
    attempt = oidc.begin()
    headers = {
        "Location": provider.address(attempt),
        "Set-Cookie": _cookie(attempt),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return ResponseData(status=302, headers=headers)


@route(
    blueprint,
    "GET",
    "/callback",
    permission=auth.PUBLIC,
    answers={200: "text/html"},
    refusals=(401, 404, 507),
)
def come_back() -> ResponseData:
    """Where the identity provider sends the browser back to, with a `code` and the `state`."""
    provider = _provider()
    attempt = oidc.begun(request.cookies.get(COOKIE, ""), request.args.get("state", ""))
    code = request.args.get("code", "")
    if not code:
        raise Unauthenticated("Your identity provider did not log you in. Begin again.")
    # No transaction is open here: the provider may take seconds to answer.
    email = provider.email_of(attempt, code)
    session = _log_in(attempt.key, email)
    settings = database.of().settings
    page = _PAGE.format(escape(f"{settings.public_url.rstrip('/')}/auth/me"))
    headers = {
        "Set-Cookie": session_cookie(session.secret, settings.session_seconds, https=_by_https()),
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
    }
    return ResponseData(page.encode(), media_type="text/html; charset=utf-8", headers=headers)


@route(
    blueprint,
    "POST",
    "/device",
    permission=auth.PUBLIC,
    answers={200: answers.DeviceLoginAnswer},
    refusals=(404,),
)
def begin_at_terminal() -> ResponseData:
    """Log in with your identity provider from a terminal: where `distconf login` begins.

    Show `verification_uri` and `user_code` to whoever logs in, and ask POST /auth/oidc/device/token
    with the `handle` until they have confirmed it there (RFC 8628).
    """
    _provider()
    rate_limits.limit_login_of_unknown(request.remote_addr or "")
    begun = answers.DeviceLoginAnswer.render(_device_flow().begin())
    return json_response(begun, Cache_Control="no-store")


@route(
    blueprint,
    "POST",
    "/device/token",
    permission=auth.PUBLIC,
    body=bodies.DeviceHandleBody,
    answers={200: answers.BearerAnswer, 202: answers.PendingAnswer},
    refusals=(401, 404, 422, 507),
)
def come_back_to_terminal(body: dict[str, Any]) -> ResponseData:
    """Get the token of a log-in that began at POST /auth/oidc/device, once it is confirmed.

    Until then it is 202, with the seconds to wait in `Retry-After`. The identity provider is not
    asked more often than that, however often this is.
    """
    _provider()
    # No transaction is open here: the provider may take seconds to answer.
    found = _device_flow().ask(body["handle"])
    if isinstance(found, Pending):
        pending = json_response({"interval": found.seconds}, Cache_Control="no-store")
        pending.status = HTTPStatus.ACCEPTED
        pending.headers["Retry-After"] = str(found.seconds)
        return pending
    return bearer_response(_log_in(found.key, found.email))


def _device_flow() -> DeviceFlow:
    flow: DeviceFlow = current_app.extensions[_DEVICE_FLOW]
    return flow


def _provider() -> Provider:
    """Return the provider. Raises NotFound if there is none."""
    provider: Provider | None = current_app.extensions.get(_PROVIDER)
    if provider is None:
        raise NotFound("This server has no identity provider. Log in with POST /auth/login.")
    return provider


def _log_in(key: str, email: str) -> IssuedToken:
    """Return a new session, once for each ``key`` of a log-in, and record it in the audit log.

    Raises Unauthenticated for a log-in that was completed before, and Forbidden for an address
    without an account.
    """
    open_session = partial(_open_session, key=key, email=email, settings=database.of().settings)
    try:
        session, organisation = database.write(_ACTOR, open_session)
    except Invalid as error:
        # The address is no address of ours, or imitates somebody's: the log has the reason, and
        # the browser what it can do.
        _logger.warning("a first log-in cannot become a user: %s", error.detail)
        raise Forbidden(_NO_ACCOUNT) from None
    auditing.record_login(email, organisation, "identity provider")
    return session


def _open_session(
    transaction: Transaction, key: str, email: str, settings: Settings
) -> tuple[IssuedToken, int]:
    hours = settings.idempotency_hours
    # The callback's address stays in the browser's history. The table of idempotency keys is what
    # remembers, in the transaction itself, that a log-in was completed.
    if idempotency.recall(transaction, key, "", hours) is not None:
        raise Unauthenticated("This log-in was completed already. Begin again.")
    login = logins.from_identity_provider(transaction, email, settings.oidc_role)
    if login is None:
        raise Forbidden(_NO_ACCOUNT)
    idempotency.remember(transaction, key, "", StoredResponse(200, "{}", b""), hours)
    session = tokens.open_session(
        transaction, login.user_id, login.organisation, settings.session_seconds
    )
    return session, login.organisation


def _by_https() -> bool:
    return database.of().settings.public_url.startswith("https:")


def _cookie(attempt: LoginAttempt) -> str:
    """Return the cookie that ties an attempt to its browser.

    SameSite=Lax, because the browser comes back from the provider's site with it. It is good for
    one attempt and a few minutes, so nothing has to delete it.
    """
    path = urlsplit(_provider().redirect_uri).path
    secure = "; Secure" if _by_https() else ""
    lifetime = f"Max-Age={oidc.LIFETIME}; Path={path}"
    return f"{COOKIE}={attempt.secret}; {lifetime}; HttpOnly; SameSite=Lax{secure}"
