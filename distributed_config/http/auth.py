"""Authentication and authorisation: who sent a request, and what its route needs.

Every route states the permission that it needs; the application does not start otherwise. In open
mode there is one actor, the local operator, who may do everything. In token mode a request is
authenticated before anything of it is parsed.
"""

import base64
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from flask import Flask, g, request

from distributed_config import wire
from distributed_config.errors import (
    AccountNotFound,
    CannotStart,
    Forbidden,
    Invalid,
    Problem,
    Unauthenticated,
)
from distributed_config.http import auditing, database, rate_limits
from distributed_config.http.request import exchange_of_request
from distributed_config.services.access import identify, organisations
from distributed_config.services.access.identify import Identity
from distributed_config.services.access.token_format import PREFIX, is_token
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.services.policy.permissions import PERMISSIONS
from distributed_config.services.reader import Reader
from distributed_config.settings import Settings

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "anybody"
"""The permission of routes that reveal nothing, and of those by which one logs in."""

AUTHENTICATED = "somebody"
"""The permission of routes about the actor alone: it takes no role."""

AUTHENTICATED_PENDING_PASSWORD = "holder"  # noqa: S105  # the name of a permission
"""Like AUTHENTICATED, but also allowed while a change of password is pending."""

COOKIE = "distconf_session"
ORGANISATION = "Config-Organisation"
"""The header that names the organisation to act in, for members of several."""

CLAIMED_ACTOR = "Config-Actor"
"""The header in which a terminal names its user. It proves nothing: in token mode it is ignored."""

_LONGEST_CLAIM = 100
_RECORD_USE_EVERY = 60_000_000  # microseconds; each use would be a write for each read
_LOCAL = Identity(LOCAL_OPERATOR, 0, None, None)


def requires(permission: str) -> Callable[[View], View]:
    """Decorate a view with the permission that it needs. Raises CannotStart for one unknown."""
    if permission not in {PUBLIC, AUTHENTICATED, AUTHENTICATED_PENDING_PASSWORD, *PERMISSIONS}:
        raise CannotStart(f"{permission!r} is not a permission.")

    def mark(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]  # functions take attributes
        return view

    return mark


def actor() -> Actor:
    """Return who sent the current request. Raises Unauthenticated."""
    return identity().actor


def reader() -> Reader:
    """Return the request's connection, with what the actor may see."""
    return Reader(database.reader_connection(), actor().visibility)


def identity() -> Identity:
    """Return the actor of the current request with their token. Raises Unauthenticated."""
    current: Identity | None = g.get("identity")
    if current is None:
        raise Unauthenticated()
    return current


def actor_name() -> str:
    """Return the actor's name for the log; "-" where the request is not authenticated."""
    current: Identity | None = g.get("identity")
    return "-" if current is None else current.actor.name


def require(permission: str) -> None:
    """Raise Forbidden unless the actor holds ``permission``."""
    actor().require(permission)


def init_auth(app: Flask, settings: Settings) -> None:
    """Authenticate and authorise each request of ``app`` before anything of it is parsed."""

    @app.before_request
    def _authorise() -> None:
        view = app.view_functions.get(request.endpoint or "")
        needed = getattr(view, "permission", PUBLIC)
        if settings.is_open:
            g.identity = _with_address(_local_identity())
        elif needed != PUBLIC:
            rate_limits.limit_request(presented_token(), _authenticate)
            # After the limit, so that a refused request writes nothing.
            _record_use(identity())
        else:
            rate_limits.limit_anonymous()
        if needed in {PUBLIC, AUTHENTICATED_PENDING_PASSWORD}:
            return
        if identity().must_change:
            raise Forbidden("Choose another password first: POST /auth/password.")
        if needed != AUTHENTICATED:
            require(needed)


def refuse_unstated_routes(app: Flask) -> None:
    """Raise CannotStart if a route does not state its permission."""
    unstated = sorted(
        f"{rule.rule}"
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], "permission", None) is None
    )
    if unstated:
        raise CannotStart(f"These routes state no permission: {', '.join(unstated)}.")


def presented_token() -> str:
    """Return the token that the request presents, in whichever way; "" if none.

    `Authorization: Bearer …`, the token alone, or Basic with the token as the password;
    `X-API-Key`; or the cookie of a session.
    """
    header = request.headers.get("Authorization", "")
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        return _basic_password(rest)
    if header.startswith(PREFIX):
        return header
    return request.headers.get("X-API-Key", "") or request.cookies.get(COOKIE, "")


def _local_identity() -> Identity:
    """Return the local operator, under the name and in the organisation of the headers."""
    organisation_name, claimed = _organisation(), _claimed_name()
    if not organisation_name and not claimed:
        return _LOCAL
    operator = LOCAL_OPERATOR
    if organisation_name:
        try:
            organisation = organisations.organisation(
                database.reader_connection(), organisation_name
            )
        except AccountNotFound:
            raise _no_member(organisation_name) from None
        operator = operator.in_organisation(organisation.id)
    if claimed:
        # The name alone: rights and idempotency keys stay those of the operator.
        operator = replace(operator, name=f"{claimed} (unverified)")
    return Identity(operator, 0, None, None)


def _claimed_name() -> str:
    """Return the name in Config-Actor; "" if there is none. Raises Invalid."""
    name = unicodedata.normalize("NFC", _header(CLAIMED_ACTOR).strip())
    if len(name) <= _LONGEST_CLAIM and name.isprintable():
        return name
    message = f"It is a name of at most {_LONGEST_CLAIM} printable characters in UTF-8."
    raise Invalid.from_problems([Problem("", message, "name", CLAIMED_ACTOR)])


def _no_member(organisation: str) -> Forbidden:
    # One error for an organisation that does not exist and for one of others: nobody can probe.
    return Forbidden(f"You belong to no organisation {organisation[:100]!r}.")


def _authenticate() -> str:
    """Set ``g.identity`` from the presented token and return its key. Raises Unauthenticated."""
    g.identity = _with_address(_token_identity())
    exchange_of_request().expires_at = g.identity.expires_at
    return actor().key


def _token_identity() -> Identity:
    secret = presented_token()
    # The form first: what cannot be a token costs no look at the database.
    if not is_token(secret):
        raise Unauthenticated()
    now, organisation = wire.now(), _organisation()
    found = identify.identify(database.reader_connection(), secret, now, organisation)
    if found is None:
        if organisation and identify.identify(database.reader_connection(), secret, now):
            raise _no_member(organisation)
        raise Unauthenticated("This token has ended, or was never good. Get another one.")
    return found


def _with_address(found: Identity) -> Identity:
    return replace(found, actor=replace(found.actor, address=request.remote_addr or ""))


def _record_use(found: Identity) -> None:
    """Record now and then when and from where a token is used; a new address is audited."""
    now = wire.now()
    address = found.actor.address
    # A use in the future was recorded by a clock that was ahead; it must not stop us for long.
    recent = found.used_at is not None and abs(now - found.used_at) < _RECORD_USE_EVERY
    if recent and found.used_from == address:
        return
    record_address = auditing.address_change_entry(found)

    def record(transaction: Transaction) -> None:
        identify.record_use(transaction.connection, found.token_id, now, address)
        if record_address is not None:
            record_address(transaction)

    # Posted, not written: the request does not wait for it, and it may be lost.
    database.of().writer.post(found.actor, record)


def _organisation() -> str:
    """Return the organisation that the request names; "" for the token's own."""
    return _header(ORGANISATION)


def _header(name: str) -> str:
    """Return a header that holds a name: WSGI decodes as Latin-1, and names are UTF-8."""
    text = request.headers.get(name, "")
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _basic_password(credentials: str) -> str:
    """Return the password in the credentials of Basic (RFC 7617); "" if they are malformed."""
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except ValueError:  # not base64, not ASCII, or not UTF-8
        return ""
    return decoded.partition(":")[2]
