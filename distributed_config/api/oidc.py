"""Logging in with an identity provider, by OpenID Connect."""

import logging
from dataclasses import replace
from html import escape
from urllib.parse import urlsplit

from flask import Blueprint, Flask, current_app, request

from distributed_config.api.login import session_cookie
from distributed_config.api.openapi import ELSEWHERE
from distributed_config.errors import Forbidden, Invalid, NotFound, Unauthenticated
from distributed_config.http import auditing, auth, database
from distributed_config.http.response import ResponseData
from distributed_config.http.routes import route
from distributed_config.identity import oidc
from distributed_config.identity.oidc import LoginAttempt, Provider
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
# Who lets in whom the provider vouches for, in the journal's words.
_ACTOR = replace(LOCAL_OPERATOR, name="identity provider", key="identity provider")
# A page goes on to /auth/me, and not a redirect: browsers keep a SameSite=Strict cookie to
# themselves as long as they follow what another site began.
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Logged in</title>'
    '<meta http-equiv="refresh" content="0; url={0}"><p>You are logged in: <a href="{0}">go on</a>.'
)
_NO_ACCOUNT = "There is no active account for you here. Ask who administers this server for one."

_logger = logging.getLogger(__name__)


def init_oidc(app: Flask, settings: Settings) -> None:
    """Adds the routes, and the provider if the settings name one; nobody is asked yet."""
    if settings.oidc_issuer:
        app.extensions[_PROVIDER] = Provider(settings)
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
    email = provider.email_of(attempt, code)
    made, organisation = _opened(attempt, email)
    auditing.record_login(email, organisation, "identity provider")
    settings = database.of().settings
    page = _PAGE.format(escape(f"{settings.public_url.rstrip('/')}/auth/me"))
    headers = {
        "Set-Cookie": session_cookie(made.secret, settings.session_seconds, https=_by_https()),
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
    }
    return ResponseData(page.encode(), media_type="text/html; charset=utf-8", headers=headers)


def _provider() -> Provider:
    """The provider. Raises NotFound if there is none."""
    found: Provider | None = current_app.extensions.get(_PROVIDER)
    if found is None:
        raise NotFound("This server has no identity provider. Log in with POST /auth/login.")
    return found


def _opened(attempt: LoginAttempt, email: str) -> tuple[IssuedToken, int]:
    """A new session, once for each log-in, and its organisation.

    Raises Unauthenticated or Forbidden.
    """
    settings = database.of().settings

    def unit(transaction: Transaction) -> tuple[IssuedToken, int]:
        hours = settings.idempotency_hours
        if idempotency.recall(transaction, attempt.key, "", hours) is not None:
            raise Unauthenticated("This log-in was completed already. Begin again.")
        found = logins.from_identity_provider(transaction, email, settings.oidc_role)
        if found is None:
            raise Forbidden(_NO_ACCOUNT)
        idempotency.remember(transaction, attempt.key, "", StoredResponse(200, "{}", b""), hours)
        made = tokens.open_session(
            transaction, found.user_id, found.organisation, settings.session_seconds
        )
        return made, found.organisation

    try:
        return database.write(_ACTOR, unit)
    except Invalid as error:
        _logger.warning("who logged in first cannot become a user: %s", error.detail)
        raise Forbidden(_NO_ACCOUNT) from None


def _by_https() -> bool:
    return database.of().settings.public_url.startswith("https:")


def _cookie(attempt: LoginAttempt) -> str:
    """What ties a log-in to its browser; it comes along when the provider sends that back.

    It is good for one log-in, so nobody has to take it back.
    """
    path = urlsplit(_provider().redirect_uri).path
    secure = "; Secure" if _by_https() else ""
    lifetime = f"Max-Age={oidc.LIFETIME}; Path={path}"
    return f"{COOKIE}={attempt.secret}; {lifetime}; HttpOnly; SameSite=Lax{secure}"
