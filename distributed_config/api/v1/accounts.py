"""Organisations, users, memberships and roles. Tokens are next door."""

from operator import attrgetter
from typing import Any

from distributed_config.api.v1.account_routes import (
    after_name,
    by_id_route,
    changed_grant,
    grant_of,
    list_route,
    member_route,
    named_route,
    render_done,
    write_route,
)
from distributed_config.http import auth
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData
from distributed_config.http.writes import commit, json_of
from distributed_config.schemas import account_answers as answers
from distributed_config.schemas import bodies, queries
from distributed_config.services.access import memberships, organisations, roles, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.memberships import Membership
from distributed_config.services.access.passwords import hash_password
from distributed_config.services.access.users import User
from distributed_config.services.journal.transaction import Transaction

_USERS = {"permission": "user:manage"}
_TENANTS = {"permission": "organisation:manage"}


# --- organisations


@list_route(
    "/organisations",
    permission=auth.AUTHENTICATED,
    answers={200: answers.OrganisationsAnswer},
)
def list_organisations(query: dict[str, Any]) -> ResponseData:
    """List the organisations that you may know of, by name."""
    after, epoch = after_name(query)
    size = page_size(query["limit"])
    visible = organisations.organisations(
        reader_connection(), auth.actor(), after=after, search=query["search"], limit=size + 1
    )
    body = {"organisations": answers.OrganisationAnswer.render_all(visible[:size])}
    return page_response(body, next_cursor(query, epoch, visible, size, attrgetter("name")))


@write_route(
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


@named_route(
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


@list_route("/users", **_USERS, answers={200: answers.UsersAnswer})
def list_users(query: dict[str, Any]) -> ResponseData:
    """List the organisation's users, by their addresses."""
    after, epoch = after_name(query)
    size = page_size(query["limit"])
    members = users.users(auth.reader(), after=after, search=query["search"], limit=size + 1)
    body = {"users": answers.UserAnswer.render_all(members[:size])}
    return page_response(body, next_cursor(query, epoch, members, size, attrgetter("email")))


@write_route("POST", "/users", **_USERS, body=bodies.UserBody, answers={200: answers.UserAnswer})
def create_user(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a user, or make a user of another organisation a member of this one.

    The latter takes an administrator of the server.
    """
    # Hashing takes long, on purpose; it is done before the write lock is held.
    hashed = hash_password(body["password"]) if body["password"] else ""
    email, grant = body["email"], grant_of(body)
    return commit(query, users.create_user, email, grant, hashed, render=_render_user)


@by_id_route(
    "PATCH",
    "/users",
    **_USERS,
    body=bodies.UserChangeBody,
    answers={200: answers.UserAnswer},
)
def change_user(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change a user: rights, password, active or not. Keys that are left out stay as they are."""
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
        rights=changed_grant(before.rights, body),
    )


@by_id_route("DELETE", "/users", **_USERS, answers={200: answers.DoneAnswer})
def remove_user(query: dict[str, Any]) -> ResponseData:
    """Remove a user from the organisation, with the tokens that they created in it."""
    return commit(query, users.remove_user, query["id"], render=render_done)


# --- memberships

_render_membership = json_of(answers.MembershipAnswer)


@list_route(
    "/memberships",
    permission=auth.AUTHENTICATED,
    query=queries.MembershipsQuery,
    answers={200: answers.MembershipsAnswer},
)
def list_memberships(query: dict[str, Any]) -> ResponseData:
    """List memberships: users, their organisations, and their roles in them.

    You see your own in all organisations; if you may manage users, everybody's in this one; and
    if you administer the server, with `email=`, those of one address in all of them. They are
    sorted by address and organisation.
    """
    after, epoch = after_name(query)
    # The key of this list has two parts; neither can hold a line break.
    email, _, organisation = after.partition("\n")
    size = page_size(query["limit"])
    visible = memberships.memberships(
        reader_connection(),
        auth.actor(),
        user_id=auth.identity().user_id,
        email=query["email"],
        search=query["search"],
        after=(email, organisation),
        limit=size + 1,
    )
    body = {"memberships": answers.MembershipAnswer.render_all(visible[:size])}
    return page_response(body, next_cursor(query, epoch, visible, size, attrgetter("key")))


@write_route(
    "POST",
    "/memberships",
    **_USERS,
    body=bodies.MembershipBody,
    answers={200: answers.MembershipAnswer},
)
def add_member(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Make a user of another organisation a member of this one.

    This takes an administrator of the server. A new user is created with `POST /users`.
    """
    return commit(query, _add_member, body["email"], grant_of(body), render=_render_membership)


def _add_member(transaction: Transaction, email: str, grant: Grant) -> Membership:
    memberships.add_member(transaction, email, grant)
    return memberships.membership(transaction.reader, email)


@member_route(
    "PATCH",
    "/memberships",
    **_USERS,
    body=bodies.RightsChangeBody,
    answers={200: answers.MembershipAnswer},
)
def change_member(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change a member's role and scope. Keys that are left out stay as they are."""
    return commit(query, _change_member, query["email"], body, render=_render_membership)


def _change_member(transaction: Transaction, email: str, body: dict[str, Any]) -> Membership:
    before = memberships.membership(transaction.reader, email)
    users.change_user(transaction, before.user_id, rights=changed_grant(before.rights, body))
    return memberships.membership(transaction.reader, email)


@member_route("DELETE", "/memberships", **_USERS, answers={200: answers.DoneAnswer})
def remove_member(query: dict[str, Any]) -> ResponseData:
    """Remove a user from the organisation, as `DELETE /users` does."""
    return commit(query, _remove_member, query["email"], render=render_done)


def _remove_member(transaction: Transaction, email: str) -> None:
    membership = memberships.membership(transaction.reader, email)
    users.remove_user(transaction, membership.user_id)


# --- roles


@list_route("/roles", permission=auth.AUTHENTICATED, answers={200: answers.RolesAnswer})
def list_roles(query: dict[str, Any]) -> ResponseData:
    """List the roles: the six that every organisation has, and its own."""
    after, epoch = after_name(query)
    size = page_size(query["limit"])
    existing = roles.roles(auth.reader(), after=after, search=query["search"], limit=size + 1)
    body = {"roles": answers.RoleAnswer.render_all(existing[:size])}
    return page_response(body, next_cursor(query, epoch, existing, size, attrgetter("key")))


@named_route("PUT", "/roles", **_USERS, body=bodies.RoleBody, answers={200: answers.RoleAnswer})
def set_role(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a role, or give it other permissions."""
    name, permissions = query["name"], body["permissions"]
    return commit(query, roles.set_role, name, permissions, render=json_of(answers.RoleAnswer))


@named_route("DELETE", "/roles", **_USERS, answers={200: answers.DoneAnswer})
def remove_role(query: dict[str, Any]) -> ResponseData:
    """Remove a role that nobody has."""
    return commit(query, roles.remove_role, query["name"], render=render_done)
