"""Organisations, users, memberships, roles and tokens."""

from functools import partial
from operator import attrgetter
from typing import Any

from flask import Blueprint

from distributed_config.errors import Forbidden
from distributed_config.http import auth
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import Render, commit, json_of
from distributed_config.schemas import answers, bodies, queries
from distributed_config.services.access import memberships, organisations, roles, tokens, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.memberships import Membership
from distributed_config.services.access.passwords import hash_password
from distributed_config.services.access.tokens import IssuedToken, Token
from distributed_config.services.access.users import User
from distributed_config.services.journal import head
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import Scope

blueprint = Blueprint("accounts", __name__)

_USERS = {"permission": "user:manage"}
_TENANTS = {"permission": "organisation:manage"}
_TOKENS = {"permission": auth.AUTHENTICATED}

_list_route = partial(
    route, blueprint, "GET", query=queries.AccountsQuery, refusals=(404, 410, 422)
)
_write_route = partial(
    route,
    blueprint,
    query=queries.AccountWriteQuery,
    headers=("Config-Note",),
    refusals=(404, 422, 507),
)
_named_route = partial(_write_route, query=queries.NamedAccountQuery)
_by_id_route = partial(_write_route, query=queries.AccountQuery, refusals=(404, 409, 422, 507))
_member_route = partial(_by_id_route, query=queries.MembershipQuery)


# --- organisations


@_list_route(
    "/organisations", permission=auth.AUTHENTICATED, answers={200: answers.OrganisationsAnswer}
)
def list_organisations(query: dict[str, Any]) -> ResponseData:
    """List the organisations that you may know of, by name."""
    after, epoch = _after(query)
    size = page_size(query["limit"])
    found = organisations.organisations(
        reader_connection(), auth.actor(), after=after, search=query["search"], limit=size + 1
    )
    body = {"organisations": answers.OrganisationAnswer.render_all(found[:size])}
    return page_response(body, next_cursor(query, epoch, found, size, attrgetter("name")))


@_write_route(
    "POST",
    "/organisations",
    **_TENANTS,
    body=bodies.OrganisationBody,
    answers={200: answers.OrganisationAnswer},
)
def create_organisation(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create an organisation."""
    create = organisations.create_organisation
    return commit(query, create, body["name"], render=json_of(answers.OrganisationAnswer))


@_named_route(
    "PATCH",
    "/organisations",
    **_TENANTS,
    body=bodies.OrganisationBody,
    answers={200: answers.OrganisationAnswer},
)
def rename_organisation(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Give an organisation another name."""
    rename, render = organisations.rename_organisation, json_of(answers.OrganisationAnswer)
    return commit(query, rename, query["name"], body["name"], render=render)


# --- users

# A response to a write of users is not stored for an Idempotency-Key (no-store): the key is bound
# to a digest of the request, and the request may hold a password.
_render_user = json_of(answers.UserAnswer, Cache_Control="no-store")


@_list_route("/users", **_USERS, answers={200: answers.UsersAnswer})
def list_users(query: dict[str, Any]) -> ResponseData:
    """List the organisation's users, by their addresses."""
    after, epoch = _after(query)
    size = page_size(query["limit"])
    found = users.users(auth.reader(), after=after, search=query["search"], limit=size + 1)
    body = {"users": answers.UserAnswer.render_all(found[:size])}
    return page_response(body, next_cursor(query, epoch, found, size, attrgetter("email")))


@_write_route("POST", "/users", **_USERS, body=bodies.UserBody, answers={200: answers.UserAnswer})
def create_user(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a user; who administers the server can make one of elsewhere a member."""
    # Hashing takes a tenth of a second, on purpose; it is done before anybody waits for it.
    hashed = hash_password(body["password"]) if body["password"] else ""
    email, grant = body["email"], _grant(body)
    return commit(query, users.create_user, email, grant, hashed, render=_render_user)


@_by_id_route(
    "PATCH", "/users", **_USERS, body=bodies.UserChangeBody, answers={200: answers.UserAnswer}
)
def change_user(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change a user: rights, password, active or not. What is not given stays."""
    hashed = hash_password(body["password"]) if "password" in body else None
    return commit(query, _change_user, query["id"], body, hashed, render=_render_user)


def _change_user(
    transaction: Transaction, user_id: int, body: dict[str, Any], hashed: str | None
) -> User:
    before = users.user(transaction.reader, user_id)
    return users.change_user(
        transaction,
        user_id,
        active=body.get("active"),
        hashed=hashed,
        must_change=body.get("must_change"),
        rights=_changed(before.rights, body),
    )


@_by_id_route("DELETE", "/users", **_USERS, answers={200: answers.DoneAnswer})
def remove_user(query: dict[str, Any]) -> ResponseData:
    """Remove a user from the organisation, with the tokens that they made in it."""
    return commit(query, users.remove_user, query["id"], render=_render_done)


# --- memberships

_render_membership = json_of(answers.MembershipAnswer)


@_list_route(
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
    after, epoch = _after(query)
    email, _, organisation = after.partition("\n")
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
    body = {"memberships": answers.MembershipAnswer.render_all(found[:size])}
    return page_response(body, next_cursor(query, epoch, found, size, attrgetter("key")))


@_write_route(
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
    return commit(query, _add_member, body["email"], _grant(body), render=_render_membership)


def _add_member(transaction: Transaction, email: str, grant: Grant) -> Membership:
    memberships.add_member(transaction, email, grant)
    return memberships.membership(transaction.reader, email)


@_member_route(
    "PATCH",
    "/memberships",
    **_USERS,
    body=bodies.RightsChangeBody,
    answers={200: answers.MembershipAnswer},
)
def change_member(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change what a member is in the organisation: role and scope. What is not given stays."""
    return commit(query, _change_member, query["email"], body, render=_render_membership)


def _change_member(transaction: Transaction, email: str, body: dict[str, Any]) -> Membership:
    before = memberships.membership(transaction.reader, email)
    users.change_user(transaction, before.user_id, rights=_changed(before.rights, body))
    return memberships.membership(transaction.reader, email)


@_member_route("DELETE", "/memberships", **_USERS, answers={200: answers.DoneAnswer})
def remove_member(query: dict[str, Any]) -> ResponseData:
    """Remove a user from the organisation, as `DELETE /users` does."""
    return commit(query, _remove_member, query["email"], render=_render_done)


def _remove_member(transaction: Transaction, email: str) -> None:
    membership = memberships.membership(transaction.reader, email)
    users.remove_user(transaction, membership.user_id)


# --- roles


@_list_route("/roles", permission=auth.AUTHENTICATED, answers={200: answers.RolesAnswer})
def list_roles(query: dict[str, Any]) -> ResponseData:
    """List the roles: the six that every organisation has, and its own."""
    after, epoch = _after(query)
    size = page_size(query["limit"])
    found = roles.roles(auth.reader(), after=after, search=query["search"], limit=size + 1)
    body = {"roles": answers.RoleAnswer.render_all(found[:size])}
    return page_response(body, next_cursor(query, epoch, found, size, attrgetter("key")))


@_named_route("PUT", "/roles", **_USERS, body=bodies.RoleBody, answers={200: answers.RoleAnswer})
def set_role(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Make a role, or give it other permissions."""
    name, permissions = query["name"], body["permissions"]
    return commit(query, roles.set_role, name, permissions, render=json_of(answers.RoleAnswer))


@_named_route("DELETE", "/roles", **_USERS, answers={200: answers.DoneAnswer})
def remove_role(query: dict[str, Any]) -> ResponseData:
    """Remove a role that nobody has."""
    return commit(query, roles.remove_role, query["name"], render=_render_done)


# --- tokens


@_list_route("/tokens", **_TOKENS, answers={200: answers.TokensAnswer})
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
    body = {"tokens": answers.TokenAnswer.render_all(found[:size])}
    return page_response(body, next_cursor(query, epoch, found, size, attrgetter("id")))


@_write_route(
    "POST", "/tokens", **_TOKENS, body=bodies.TokenBody, answers={200: answers.TokenAnswer}
)
def create_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a token: for a program, or for yourself. It is shown once, in this answer."""
    grant, owner = _grant(body), auth.identity().user_id
    if body["personal"] and auth.identity().kind != "session":
        raise Forbidden("Who makes tokens of their own logs in first: POST /auth/token.")
    if not body["personal"]:
        auth.require("token:manage")
    name, seconds, render = body["name"], body["seconds"], _issued_renderer(query)
    # In the open mode there is no user whose own a token could be: it is a machine's.
    if body["personal"] and owner is not None:
        return commit(query, tokens.create_personal, owner, name, grant, seconds, render=render)
    return commit(query, tokens.create_machine, name, grant, seconds, render=render)


@_by_id_route(
    "PATCH", "/tokens", **_TOKENS, body=bodies.TokenChangeBody, answers={200: answers.TokenAnswer}
)
def change_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change a token: its name, its rights, how long it lives from now on. What is not given stays.

    It takes effect as a revocation does: at once, and in open streams.
    """
    token_id = query["id"]
    owner, holder = _visible_owner(), _holder_of(token_id)
    render = json_of(answers.TokenAnswer)
    return commit(query, _change_token, token_id, owner, holder, body, render=render)


def _change_token(
    transaction: Transaction, token_id: int, owner: int, holder: int | None, body: dict[str, Any]
) -> Token:
    tokens.require_owner(transaction.reader, token_id, owner)
    before = tokens.token(transaction.reader, token_id)
    expires_at = before.expires_at
    if "seconds" in body:
        expires_at = tokens.expiry_after(transaction, body["seconds"])
    return tokens.change(
        transaction,
        token_id,
        holder,
        name=body.get("name", before.name),
        rights=_changed(before.rights, body),
        expires_at=expires_at,
    )


@_by_id_route(
    "POST", "/tokens/rotate", **_TOKENS, body=bodies.RotateBody, answers={200: answers.TokenAnswer}
)
def rotate_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Make a new token in place of one, which stays good for a while."""
    token_id, overlap = query["id"], body["overlap"]
    owner, holder = _visible_owner(), _holder_of(token_id)
    render = _issued_renderer(query)
    return commit(query, _rotate_token, token_id, owner, holder, overlap, render=render)


def _rotate_token(
    transaction: Transaction, token_id: int, owner: int, holder: int | None, overlap: int
) -> IssuedToken:
    tokens.require_owner(transaction.reader, token_id, owner)
    return tokens.rotate(transaction, token_id, overlap, holder)


@_by_id_route("DELETE", "/tokens", **_TOKENS, answers={200: answers.DoneAnswer})
def revoke_token(query: dict[str, Any]) -> ResponseData:
    """Revoke a token: from the next request on, and in open streams, it is good for nothing."""
    token_id = query["id"]
    owner, holder = _visible_owner(), _holder_of(token_id)
    return commit(query, _revoke_token, token_id, owner, holder, render=_render_changed)


def _revoke_token(transaction: Transaction, token_id: int, owner: int, holder: int | None) -> bool:
    tokens.require_owner(transaction.reader, token_id, owner)
    return tokens.revoke(transaction, token_id, holder)


def _holder_of(token_id: int) -> int | None:
    """Return the user, if what they present may speak for their own token ``token_id``.

    That is a session, or the token itself. Another of their tokens may not: it can be limited,
    and must not become one that is not. None: the actor's permissions decide.
    """
    identity = auth.identity()
    is_own = identity.kind == "session" or identity.token_id == token_id
    return identity.user_id if is_own else None


def _visible_owner() -> int:
    """Return the user whose tokens the actor may touch; 0 for everybody's, -1 for nobody's.

    A token of somebody else is treated as if it did not exist: its id would tell that it does.
    """
    return 0 if auth.actor().may("token:manage") else auth.identity().user_id or -1


def _issued_renderer(query: dict[str, Any]) -> Render[IssuedToken]:
    """Return what renders a token with its secret, the one time that it is shown.

    The secret of a rehearsal was never good, and nobody may take it for a real one: it is null.
    """
    dry_run = query["dry_run"]

    def render(issued: IssuedToken, _head: Head) -> ResponseData:
        body = answers.TokenAnswer.render(issued.token)
        secret = None if dry_run else issued.secret
        return json_response({**body, "token": secret}, Cache_Control="no-store")

    return render


# --- what the routes share


def _after(query: dict[str, Any]) -> tuple[str, str]:
    """Return the key after which the page begins, and the epoch of cursors."""
    epoch = head.read_head(reader_connection()).epoch
    return after_key(query, epoch, str) or "", epoch


def _grant(body: dict[str, Any]) -> Grant:
    return Grant(body["role"], Scope(tuple(body["services"]), tuple(body["environments"])))


def _changed(before: Grant, body: dict[str, Any]) -> Grant:
    """Return ``before`` with the role, services and environments that ``body`` has."""
    services = body.get("services", before.scope.services)
    environments = body.get("environments", before.scope.environments)
    return Grant(body.get("role", before.role), Scope(tuple(services), tuple(environments)))


def _render_done(_nothing: None, _head: Head) -> ResponseData:
    return json_response({"success": True, "changed": True})


def _render_changed(changed: bool, _head: Head) -> ResponseData:
    return json_response({"success": True, "changed": changed})
