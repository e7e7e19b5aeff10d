"""The parts that the routes of organisations, users, memberships, roles and tokens share."""

from functools import partial
from typing import Any

from flask import Blueprint

from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.schemas import queries
from distributed_config.services.access.grants import Grant
from distributed_config.services.journal import head
from distributed_config.services.journal.head import Head
from distributed_config.services.policy.visibility import Scope

blueprint = Blueprint("accounts", __name__)


list_route = partial(route, blueprint, "GET", query=queries.AccountsQuery, refusals=(404, 410, 422))
write_route = partial(
    route,
    blueprint,
    query=queries.AccountWriteQuery,
    headers=("Config-Note",),
    refusals=(404, 422, 507),
)
named_route = partial(write_route, query=queries.NamedAccountQuery)
by_id_route = partial(write_route, query=queries.AccountQuery, refusals=(404, 409, 422, 507))
member_route = partial(by_id_route, query=queries.MembershipQuery)


def after_name(query: dict[str, Any]) -> tuple[str, str]:
    """Return the key after which the page begins, and the epoch of cursors."""
    epoch = head.read_head(reader_connection()).epoch
    return after_key(query, epoch, str) or "", epoch


def grant_of(body: dict[str, Any]) -> Grant:
    """Return the role and scope in a body that has all of them."""
    return Grant(body["role"], Scope(tuple(body["services"]), tuple(body["environments"])))


def changed_grant(before: Grant, body: dict[str, Any]) -> Grant:
    """Return ``before`` with the role, services and environments that ``body`` has."""
    services = body.get("services", before.scope.services)
    environments = body.get("environments", before.scope.environments)
    return Grant(body.get("role", before.role), Scope(tuple(services), tuple(environments)))


def render_done(_nothing: None, _head: Head) -> ResponseData:
    """Render the result of a verb that returns nothing: it always changes something."""
    return json_response({"success": True, "changed": True})


def render_changed(changed: bool, _head: Head) -> ResponseData:
    """Render the result of a verb that may find its work done."""
    return json_response({"success": True, "changed": changed})
