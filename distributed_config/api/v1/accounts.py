"""Organisations, users, memberships, roles and tokens."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.errors import Forbidden
from distributed_config.http import auth
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, cursor_after, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.schemas import answers, bodies, queries
from distributed_config.services.access import memberships, organisations, roles, tokens, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.memberships import Membership
from distributed_config.services.access.organisations import Organisation
from distributed_config.services.access.passwords import hash_password
from distributed_config.services.access.roles import Role
from distributed_config.services.access.tokens import IssuedToken, Token
from distributed_config.services.access.users import User
from distributed_config.services.journal import head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import Scope

blueprint = Blueprint("accounts", __name__)

_USERS = {"permission": "user:manage"}
_TENANTS = {"permission": "organisation:manage"}
_TOKENS = {"permission": auth.AUTHENTICATED}

_listing = partial(route, blueprint, "GET", query=queries.AccountsQuery, refusals=(404, 410, 422))
_making = partial(
    route,
    blueprint,
    query=queries.AccountWriteQuery,
    headers=("Config-Note",),
    refusals=(404, 422, 507),
)
_naming = partial(_making, query=queries.NamedAccountQuery)
_changing = partial(_making, query=queries.AccountQuery, refusals=(404, 409, 422, 507))
_of_member = partial(_changing, query=queries.MembershipQuery)


# --- organisations


@_listing(
    "/organisations", permission=auth.AUTHENTICATED, answers={200: answers.OrganisationsAnswer}
)
def list_organisations(query: dict[str, Any]) -> ResponseData:
    """List the organisations that you may know of, by name."""
    cursor, epoch = _cursor(query)
    size = page_size(query["limit"])
    found = organisations.organisations(
        reader_connection(), auth.actor(), after=cursor, search=query["search"], limit=size + 1
    )
    shown = [_shown_organisation(each) for each in found[:size]]
    return page_response({"organisations": shown}, _next(query, epoch, found, size, "name"))


@_making(
    "POST",
    "/organisations",
    **_TENANTS,
    body=bodies.OrganisationBody,
    answers={200: answers.OrganisationAnswer},
)
def create_organisation(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create an organisation."""

    def unit(transaction: Transaction) -> ResponseData:
        return json_response(
            _shown_organisation(organisations.create_organisation(transaction, body["name"]))
        )

    return _published(unit, query)


@_naming(
    "PATCH",
    "/organisations",
    **_TENANTS,
    body=bodies.OrganisationBody,
    answers={200: answers.OrganisationAnswer},
)
def rename_organisation(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Give an organisation another name."""

    def unit(transaction: Transaction) -> ResponseData:
        found = organisations.rename_organisation(transaction, query["name"], body["name"])
        return json_response(_shown_organisation(found))

    return _published(unit, query)


# --- users


@_listing("/users", **_USERS, answers={200: answers.UsersAnswer})
def list_users(query: dict[str, Any]) -> ResponseData:
    """List the organisation's users, by their addresses."""
    cursor, epoch = _cursor(query)
    size = page_size(query["limit"])
    found = users.users(
        auth.reader(),
        after=cursor,
        search=query["search"],
        limit=size + 1,
    )
    shown = [_shown_user(each) for each in found[:size]]
    return page_response({"users": shown}, _next(query, epoch, found, size, "email"))


@_making("POST", "/users", **_USERS, body=bodies.UserBody, answers={200: answers.UserAnswer})
def create_user(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a user; who administers the server can make one of elsewhere a member."""
    hashed = hash_password(body["password"]) if body["password"] else ""

    def unit(transaction: Transaction) -> ResponseData:
        made = users.create_user(transaction, body["email"], _rights(body), hashed)
        return _private(_shown_user(made))

    return _published(unit, query)


@_changing(
    "PATCH", "/users", **_USERS, body=bodies.UserChangeBody, answers={200: answers.UserAnswer}
)
def change_user(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change a user: rights, password, active or not. What is not given stays."""
    hashed = hash_password(body["password"]) if "password" in body else None

    def unit(transaction: Transaction) -> ResponseData:
        before = users.user(transaction.reader, query["id"])
        found = users.change_user(
            transaction,
            query["id"],
            active=body.get("active"),
            hashed=hashed,
            must_change=body.get("must_change"),
            rights=_rights_with(before.rights, body),
        )
        return _private(_shown_user(found))

    return _published(unit, query)


@_changing("DELETE", "/users", **_USERS, answers={200: answers.DoneAnswer})
def remove_user(query: dict[str, Any]) -> ResponseData:
    """Remove a user from the organisation, with the tokens that they made in it."""

    def unit(transaction: Transaction) -> ResponseData:
        users.remove_user(transaction, query["id"])
        return _done(True)

    return _published(unit, query)


# --- memberships


@_listing(
    "/memberships",
    permission=auth.AUTHENTICATED,
    query=queries.MembershipsQuery,
    answers={200: answers.MembershipsAnswer},
)
def list_memberships(query: dict[str, Any]) -> ResponseData:
    """List who belongs to which organisation, and what they are there.

    Your own, in all organisations; if you may manage users, everybody's in this one; and if you
    administer the server, with `email=`, somebody's in all of them. By address and organisation.
    """
    cursor, epoch = _cursor(query)
    email, _, organisation = cursor.partition("\n")
    size = page_size(query["limit"])
    found = memberships.memberships(
        reader_connection(),
        auth.actor(),
        user_id=auth.identity().user_id,
        email=query["email"],
        search=query["search"],
        after=(email, organisation),
        limit=size + 1,
    )
    shown = [_shown_membership(each) for each in found[:size]]
    return page_response({"memberships": shown}, _next(query, epoch, found, size, "key"))


@_making(
    "POST",
    "/memberships",
    **_USERS,
    body=bodies.MembershipBody,
    answers={200: answers.MembershipAnswer},
)
def add_member(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Make a user of another organisation a member of this one.

    It takes who administers the server. Who is not known yet is made with `POST /users`.
    """

    def unit(transaction: Transaction) -> ResponseData:
        memberships.add_member(transaction, body["email"], _rights(body))
        return _membership(transaction, body["email"])

    return _published(unit, query)


@_of_member(
    "PATCH",
    "/memberships",
    **_USERS,
    body=bodies.RightsChangeBody,
    answers={200: answers.MembershipAnswer},
)
def change_member(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change what a member is in the organisation: role and scope. What is not given stays."""

    def unit(transaction: Transaction) -> ResponseData:
        before = memberships.membership(transaction.reader, query["email"])
        users.change_user(transaction, before.user_id, rights=_rights_with(before.rights, body))
        return _membership(transaction, query["email"])

    return _published(unit, query)


@_of_member("DELETE", "/memberships", **_USERS, answers={200: answers.DoneAnswer})
def remove_member(query: dict[str, Any]) -> ResponseData:
    """Remove a user from the organisation, as `DELETE /users` does."""

    def unit(transaction: Transaction) -> ResponseData:
        found = memberships.membership(transaction.reader, query["email"])
        users.remove_user(transaction, found.user_id)
        return _done(True)

    return _published(unit, query)


# --- roles


@_listing("/roles", permission=auth.AUTHENTICATED, answers={200: answers.RolesAnswer})
def list_roles(query: dict[str, Any]) -> ResponseData:
    """List the roles: the six that every organisation has, and its own."""
    cursor, epoch = _cursor(query)
    size = page_size(query["limit"])
    found = roles.roles(
        auth.reader(),
        after=cursor,
        search=query["search"],
        limit=size + 1,
    )
    shown = [_shown_role(each) for each in found[:size]]
    return page_response({"roles": shown}, _next(query, epoch, found, size, "key"))


@_naming("PUT", "/roles", **_USERS, body=bodies.RoleBody, answers={200: answers.RoleAnswer})
def set_role(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Make a role, or give it other permissions."""

    def unit(transaction: Transaction) -> ResponseData:
        return json_response(
            _shown_role(roles.set_role(transaction, query["name"], body["permissions"]))
        )

    return _published(unit, query)


@_naming("DELETE", "/roles", **_USERS, answers={200: answers.DoneAnswer})
def remove_role(query: dict[str, Any]) -> ResponseData:
    """Remove a role that nobody has."""

    def unit(transaction: Transaction) -> ResponseData:
        roles.remove_role(transaction, query["name"])
        return _done(True)

    return _published(unit, query)


# --- tokens


@_listing("/tokens", **_TOKENS, answers={200: answers.TokensAnswer})
def list_tokens(query: dict[str, Any]) -> ResponseData:
    """List the organisation's tokens, oldest first; your own, unless you may manage them all."""
    epoch = head.read_head(reader_connection()).epoch
    after = after_key(query, epoch, int) or 0
    size = page_size(query["limit"])
    found = tokens.tokens(
        auth.reader(),
        user_id=None if auth.actor().may("token:manage") else auth.identity().user_id or 0,
        after=after,
        search=query["search"],
        limit=size + 1,
    )
    shown = [_shown_token(each) for each in found[:size]]
    return page_response({"tokens": shown}, _next(query, epoch, found, size, "id"))


@_making("POST", "/tokens", **_TOKENS, body=bodies.TokenBody, answers={200: answers.TokenAnswer})
def create_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a token: for a program, or for yourself. It is shown once, in this answer."""
    rights, seconds = _rights(body), body["seconds"]
    owner = auth.identity().user_id
    if body["personal"] and auth.identity().kind != "session":
        raise Forbidden("Who makes tokens of their own logs in first: POST /auth/token.")
    if not body["personal"]:
        auth.require("token:manage")

    def unit(transaction: Transaction) -> ResponseData:
        if body["personal"] and owner is not None:
            made = tokens.create_personal(transaction, owner, body["name"], rights, seconds)
        else:
            made = tokens.create_machine(transaction, body["name"], rights, seconds)
        return _shown_once(made, query)

    return _published(unit, query)


@_changing(
    "PATCH", "/tokens", **_TOKENS, body=bodies.TokenChangeBody, answers={200: answers.TokenAnswer}
)
def change_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change a token: its name, its rights, how long it lives from now on. What is not given stays.

    It takes effect as a revocation does: at once, and in open streams.
    """
    owner, asking = _owner(), _asking_for_own(query["id"])

    def unit(transaction: Transaction) -> ResponseData:
        tokens.require_owner(transaction.reader, query["id"], owner)
        before = tokens.token(transaction.reader, query["id"])
        ends = before.expires_at
        if "seconds" in body:
            ends = tokens.expiry_after(transaction, body["seconds"])
        after = tokens.change(
            transaction,
            query["id"],
            asking,
            name=body.get("name", before.name),
            rights=_rights_with(before.rights, body),
            expires_at=ends,
        )
        return json_response(_shown_token(after))

    return _published(unit, query)


@_changing(
    "POST", "/tokens/rotate", **_TOKENS, body=bodies.RotateBody, answers={200: answers.TokenAnswer}
)
def rotate_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Make a new token in place of one, which stays good for a while."""
    owner, asking = _owner(), _asking_for_own(query["id"])

    def unit(transaction: Transaction) -> ResponseData:
        tokens.require_owner(transaction.reader, query["id"], owner)
        return _shown_once(tokens.rotate(transaction, query["id"], body["overlap"], asking), query)

    return _published(unit, query)


@_changing("DELETE", "/tokens", **_TOKENS, answers={200: answers.DoneAnswer})
def revoke_token(query: dict[str, Any]) -> ResponseData:
    """Revoke a token: from the next request on, and in open streams, it is good for nothing."""
    owner, asking = _owner(), _asking_for_own(query["id"])

    def unit(transaction: Transaction) -> ResponseData:
        tokens.require_owner(transaction.reader, query["id"], owner)
        return _done(tokens.revoke(transaction, query["id"], asking))

    return _published(unit, query)


def _asking_for_own(token_id: int) -> int | None:
    """The user who asks about a token of their own, if what they show may speak for it.

    That is a log-in, or the token itself: a limited one must not become another that is not.
    """
    shown = auth.identity()
    return shown.user_id if shown.kind == "session" or shown.token_id == token_id else None


def _owner() -> int:
    """Whose tokens one may touch: another's is as if it were not there. 0: all of them."""
    return 0 if auth.actor().may("token:manage") else auth.identity().user_id or -1


# --- what is shown


def _cursor(query: dict[str, Any]) -> tuple[str, str]:
    """Behind what the page begins, and the epoch of cursors."""
    epoch = head.read_head(reader_connection()).epoch
    return after_key(query, epoch, str) or "", epoch


def _next(
    query: dict[str, Any], epoch: str, found: Sequence[Any], size: int, key: str
) -> str | None:
    if len(found) <= size:
        return None
    return cursor_after(query, epoch, getattr(found[size - 1], key))


def _published(unit: Callable[[Transaction], ResponseData], query: dict[str, Any]) -> ResponseData:
    return commit(unit, asked.note(query["note"]), query["dry_run"])


def _rights_with(before: Grant, given: dict[str, Any]) -> Grant:
    """``before`` with what is given of role, services and environments."""
    return _rights({**_shown_rights(before), **given})


def _rights(body: dict[str, Any]) -> Grant:
    return Grant(body["role"], Scope(tuple(body["services"]), tuple(body["environments"])))


def _private(shown: dict[str, Any]) -> ResponseData:
    """What is not kept, also not for an idempotency key: its request held a password."""
    return json_response(shown, Cache_Control="no-store")


def _done(changed: bool) -> ResponseData:
    return json_response({"success": True, "changed": changed})


def _shown_organisation(found: Organisation) -> dict[str, Any]:
    return {"id": found.id, "name": found.name, "created_at": wire.format_time(found.created_at)}


def _shown_rights(rights: Grant) -> dict[str, Any]:
    return {
        "role": rights.role,
        "services": list(rights.scope.services),
        "environments": list(rights.scope.environments),
    }


def _shown_user(found: User) -> dict[str, Any]:
    return {
        "id": found.id,
        "email": found.email,
        "active": found.active,
        "must_change": found.must_change,
        "has_password": found.has_password,
        **_shown_rights(found.rights),
        "created_at": wire.format_time(found.created_at),
    }


def _membership(transaction: Transaction, email: str) -> ResponseData:
    """The membership of an address, as it is now."""
    found = memberships.membership(transaction.reader, email)
    return json_response(_shown_membership(found))


def _shown_membership(found: Membership) -> dict[str, Any]:
    return {
        "user": found.user_id,
        "email": found.email,
        "organisation": found.organisation,
        **_shown_rights(found.rights),
    }


def _shown_role(found: Role) -> dict[str, Any]:
    return {"name": found.name, "permissions": list(found.permissions), "own": found.own}


def _shown_token(found: Token) -> dict[str, Any]:
    return {
        "id": found.id,
        "kind": found.kind,
        "name": found.name,
        "hint": found.hint,
        "user": found.user,
        **_shown_rights(found.rights),
        "created_at": wire.format_time(found.created_at),
        "created_by": found.created_by,
        "expires_at": _time(found.expires_at),
        "revoked_at": _time(found.revoked_at),
        "used_at": _time(found.used_at),
        "used_from": found.used_from,
    }


def _shown_once(made: IssuedToken, query: dict[str, Any]) -> ResponseData:
    # One that is only rehearsed is never good; nobody may take it for the real one.
    secret = None if query["dry_run"] else made.secret
    return json_response({**_shown_token(made.token), "token": secret}, Cache_Control="no-store")


def _time(moment: int | None) -> str | None:
    return None if moment is None else wire.format_time(moment)
