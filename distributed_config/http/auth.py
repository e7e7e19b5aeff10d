"""Who is asking, and what a route needs.

Every route states the permission that it needs; the application does not start otherwise. In the
open mode there is one actor, the local operator, who may do everything. In the token mode whoever
asks shows a token, before anything of the request is parsed.
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
from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange
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
"""The permission of routes that concern nobody but who asks: it takes no role."""

AUTHENTICATED_PENDING_PASSWORD = "holder"  # noqa: S105  # the name of a permission
"""Like AUTHENTICATED, but also allowed while a change of password is pending."""

COOKIE = "distconf_session"
ORGANISATION = "Config-Organisation"
"""The header that names the organisation to act in, for who belongs to several."""

CLAIMED_ACTOR = "Config-Actor"
"""The header in which a terminal says who uses it. Where access is controlled it is ignored."""

_LONGEST_CLAIM = 100
_NOTED_EVERY = 60_000_000  # microseconds; who uses a token all the time is noted now and then
_LOCAL = Identity(LOCAL_OPERATOR, 0, None, None)


def requires(permission: str) -> Callable[[View], View]:
    """States the permission that a view needs."""
    if permission not in {PUBLIC, AUTHENTICATED, AUTHENTICATED_PENDING_PASSWORD, *PERMISSIONS}:
        raise CannotStart(f"{permission!r} is not a permission.")

    def mark(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]  # functions take attributes
        return view

    return mark


def actor() -> Actor:
    """Who sent the current request."""
    return identity().actor


def reader() -> Reader:
    """The request's connection, with what the sender may see."""
    return Reader(database.reader_connection(), actor().visibility)


def identity() -> Identity:
    """The same with the token that they showed. Raises Unauthenticated if nobody is known."""
    found: Identity | None = g.get("identity")
    if found is None:
        raise Unauthenticated()
    return found


def actor_name() -> str:
    """Who sent the current request, as the log has it; "-" before that is known."""
    found: Identity | None = g.get("identity")
    return "-" if found is None else found.actor.name


def require(permission: str) -> None:
    """Raises Forbidden unless who asks holds ``permission``."""
    actor().require(permission)


def init_auth(app: Flask, settings: Settings) -> None:
    """Makes sure of who is asking, and of what they may, before anything is parsed."""

    @app.before_request
    def _identify() -> None:
        view = app.view_functions.get(request.endpoint or "")
        needed = getattr(view, "permission", PUBLIC)
        if settings.is_open:
            g.identity = _from_here(_local())
        elif needed != PUBLIC:
            rate_limits.count(shown_secret(), _identify_shown)
            _note_use(identity())  # behind the count: a refusal writes nothing
        else:
            rate_limits.count_stranger()
        if needed in {PUBLIC, AUTHENTICATED_PENDING_PASSWORD}:
            return
        if identity().must_change:
            raise Forbidden("Choose another password first: POST /auth/password.")
        if needed != AUTHENTICATED:
            require(needed)


def refuse_unstated_routes(app: Flask) -> None:
    """Raises CannotStart if a route does not state its permission."""
    unstated = sorted(
        f"{rule.rule}"
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], "permission", None) is None
    )
    if unstated:
        raise CannotStart(f"These routes state no permission: {', '.join(unstated)}.")


def shown_secret() -> str:
    """The token that the request shows, in whichever way; "" if none.

    `Authorization: Bearer …`, the token alone, or Basic with the token as the password;
    `X-API-Key`; or the cookie of a session.
    """
    header = request.headers.get("Authorization", "")
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        return _password_in(rest)
    if header.startswith(PREFIX):
        return header
    return request.headers.get("X-API-Key", "") or request.cookies.get(COOKIE, "")


def _local() -> Identity:
    """The local operator, by the name that they claim, in the organisation that they name."""
    wanted, claimed = _organisation(), _claimed_name()
    if not wanted and not claimed:
        return _LOCAL
    found = LOCAL_OPERATOR
    if wanted:
        try:
            organisation = organisations.organisation(database.reader_connection(), wanted)
        except AccountNotFound:
            raise _no_member(wanted) from None
        found = found.in_organisation(organisation.id)
    if claimed:
        # The name alone: what they may do, and whose idempotency keys they have, stays.
        found = replace(found, name=f"{claimed} (unverified)")
    return Identity(found, 0, None, None)


def _claimed_name() -> str:
    """Who says to be asking, where nobody has to prove it; "": nobody says. Raises Invalid."""
    name = unicodedata.normalize("NFC", _header(CLAIMED_ACTOR).strip())
    if len(name) <= _LONGEST_CLAIM and name.isprintable():
        return name
    message = f"It is a name of at most {_LONGEST_CLAIM} printable characters in UTF-8."
    raise Invalid.from_problems([Problem("", message, "name", CLAIMED_ACTOR)])


def _no_member(organisation: str) -> Forbidden:
    """The same of one that is not there."""
    return Forbidden(f"You belong to no organisation {organisation[:100]!r}.")


def _identify_shown() -> str:
    """Remembers who shows the token of the request. Their key; raises Unauthenticated."""
    g.identity = _shown()
    return actor().key


def _shown() -> Identity:
    """Who shows the token of the request. Raises Unauthenticated."""
    secret = shown_secret()
    # A look at its form first: what cannot be one costs no look at the database.
    if not is_token(secret):
        raise Unauthenticated()
    now, wanted = wire.now(), _organisation()
    known = identify.identify(database.reader_connection(), secret, now, wanted)
    if known is None:
        if wanted and identify.identify(database.reader_connection(), secret, now) is not None:
            raise _no_member(wanted)
        raise Unauthenticated("This token has ended, or was never good. Get another one.")
    found = _from_here(known)
    told: Exchange = request.environ[exchange.KEY]
    told.until = found.expires_at
    return found


def _from_here(found: Identity) -> Identity:
    """The same with the address of the request."""
    return replace(found, actor=replace(found.actor, address=request.remote_addr or ""))


def _note_use(found: Identity) -> None:
    """Remembers lazily when and from where a token was used; a new address is audited."""
    now = wire.now()
    address = found.actor.address
    # A use in the future was noted by a clock that was ahead; it says nothing of now.
    recent = found.used_at is not None and abs(now - found.used_at) < _NOTED_EVERY
    if recent and found.used_from == address:
        return
    note_move = auditing.moved(found)

    def unit(transaction: Transaction) -> None:
        identify.record_use(transaction.connection, found.token_id, now, address)
        if note_move is not None:
            note_move(transaction)

    database.of().writer.post(found.actor, unit)


def _organisation() -> str:
    """The organisation that the request names."""
    return _header(ORGANISATION)


def _header(name: str) -> str:
    """A header that holds a name: headers are bytes, and a name is UTF-8."""
    text = request.headers.get(name, "")
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _password_in(text: str) -> str:
    try:
        decoded = base64.b64decode(text.strip(), validate=True).decode()
    except ValueError:  # not base64, not ASCII, or not UTF-8
        return ""
    return decoded.partition(":")[2]
