"""The list of services and their tags."""

from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from flask import Blueprint

from distributed_config.errors import Invalid, Problem
from distributed_config.http import auth
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.series import series_of
from distributed_config.http.writes import commit, json_of
from distributed_config.schemas import (
    answers,
    bodies,
    catalogue_answers,
    catalogue_queries,
    layer_answers,
    queries,
)
from distributed_config.services import catalogue, definitions, last_changes, search
from distributed_config.services.catalogue import Entry
from distributed_config.services.documents.series import Series
from distributed_config.services.journal import head
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.last_changes import Position
from distributed_config.services.layers import extensions

blueprint = Blueprint("services", __name__)


@route(
    blueprint,
    "GET",
    "/services",
    permission="config:read",
    query=catalogue_queries.ServicesQuery,
    answers={200: catalogue_answers.ServicesAnswer},
    refusals=(404, 410, 422),
)
def list_services(query: dict[str, Any]) -> ResponseData:
    """List the services, by name or by their last change."""
    now = head.read_head(reader_connection())
    # One more than the page is read, which tells whether there is another.
    size = page_size(query["limit"])
    filters: dict[str, Any] = {
        "search": query["search"],
        "prefix": query["prefix"],
        "tags": tuple(query["tag"]),
    }
    after = after_key(query, now.epoch, str)
    page = _by_change if query["sort"] == "changed" else _by_name
    entries = page(query, now, after, size + 1, filters)
    body: dict[str, Any] = {
        "services": [_listed(query, entry) for entry, _ in entries[:size]],
    }
    if "total" in query["include"]:
        body["total"] = catalogue.count(auth.reader(), **filters)
    return page_response(body, next_cursor(query, now.epoch, entries, size, itemgetter(1)))


Listed = list[tuple[Entry, str]]
"""Services, each with its key in a cursor."""


def _by_name(
    query: dict[str, Any], _now: Head, after: str | None, limit: int, filters: dict[str, Any]
) -> Listed:
    entries = catalogue.services(
        auth.reader(),
        after=after or "",
        limit=limit,
        environment=query["environment"],
        **filters,
    )
    return [(entry, entry.name) for entry in entries]


def _by_change(
    query: dict[str, Any], now: Head, after: str | None, limit: int, filters: dict[str, Any]
) -> Listed:
    entries = last_changes.services_by_change(
        auth.reader(),
        as_of=now.revision,
        after=None if after is None else _position(after),
        limit=limit,
        environment=query["environment"],
        **filters,
    )
    return [(entry, position.text()) for entry, position in entries]


def _position(key: str) -> Position:
    """Return the position in a cursor's key. Raises Invalid for one that no server has given."""
    position = last_changes.parse_position(key)
    if position is None:
        message = "This server gave no such cursor for this list; follow the Link header."
        raise Invalid.from_problems([Problem("", message, "cursor", "cursor")])
    return position


def _listed(query: dict[str, Any], entry: Entry) -> dict[str, Any]:
    rendered = answers.ServiceAnswer.render(entry)
    if "last_change" in query["include"]:
        series = Series(entry.name, query["environment"])
        change = last_changes.last_change(auth.reader(), series)
        rendered["last_change"] = catalogue_answers.LastChangeAnswer.render(change)
    return rendered


@route(
    blueprint,
    "GET",
    "/tags",
    permission="config:read",
    query=queries.PageQuery,
    answers={200: catalogue_answers.TagsAnswer},
    refusals=(410, 422),
)
def list_tags(query: dict[str, Any]) -> ResponseData:
    """List the tags, each with the number of services that have it."""
    epoch = head.read_head(reader_connection()).epoch
    size = page_size(query["limit"])
    after = after_key(query, epoch, str) or ""
    counts = catalogue.tag_counts(auth.reader(), after=after, limit=size + 1)
    body = {"tags": catalogue_answers.TagAnswer.render_all(counts[:size])}
    return page_response(body, next_cursor(query, epoch, counts, size, attrgetter("tag")))


@route(
    blueprint,
    "GET",
    "/search",
    permission="config:read",
    query=catalogue_queries.SearchQuery,
    answers={200: catalogue_answers.SearchAnswer},
    refusals=(404, 422),
)
def search_services(query: dict[str, Any]) -> ResponseData:
    """Search services: their names, tags and notes, and the keys and values of what is current.

    Secrets are masked for everybody, so they are never found. The search ends after a second, and
    at `limit` hits of each kind; of one document it shows three keys and three values.
    """
    found = search.search(auth.reader(), query["q"], query["environment"], limit=query["limit"])
    body = catalogue_answers.SearchAnswer.render(found)
    return json_response(body, Cache_Control="private, no-cache")


@route(
    blueprint,
    "GET",
    "/services/one",
    permission="config:read",
    query=queries.ServiceQuery,
    answers={200: answers.ServiceAnswer},
    refusals=(404, 422),
)
def show_service(query: dict[str, Any]) -> ResponseData:
    """Show one service."""
    entry = catalogue.service(auth.reader(), series_of(query))
    return json_response(answers.ServiceAnswer.render(entry))


@route(
    blueprint,
    "PATCH",
    "/services",
    permission="config:write",
    query=queries.WriteQuery,
    body=bodies.ExtendsBody,
    answers={200: layer_answers.ExtendsAnswer},
    refusals=(404, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def extend_service(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Set which services a service extends, in all environments.

    Their resolved documents are merged below its own, most general first.
    """
    targets = body["extends"]
    render = partial(_render_extended, targets)
    return commit(query, extensions.set_extends, query["service"], targets, render=render)


def _render_extended(targets: list[str], changed: bool, _head: Head) -> ResponseData:
    return json_response({"success": True, "changed": changed, "extends": targets})


@route(
    blueprint,
    "PUT",
    "/services/tags",
    permission="config:write",
    query=queries.WriteQuery,
    body=bodies.TagsBody,
    answers={200: answers.ServiceAnswer},
    refusals=(404, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def tag_service(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Give a service exactly these tags."""
    # The whole set of tags, and not one more or less: so a repeated request changes nothing.
    series, tags = series_of(query), tuple(body["tags"])
    return commit(query, _set_tags, series, tags, render=json_of(answers.ServiceAnswer))


def _set_tags(transaction: Transaction, series: Series, tags: tuple[str, ...]) -> Entry:
    catalogue.set_tags(transaction, series, tags)
    return catalogue.service(transaction.reader, series)


@route(
    blueprint,
    "PUT",
    "/services/definition",
    permission="config:write",
    query=queries.WriteQuery,
    body=bodies.AttachBody,
    answers={200: answers.AttachedAnswer},
    refusals=(404, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def attach_service(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Attach a service to a definition, to which its current version has to conform."""
    series, definition = series_of(query), body["definition"]
    render = partial(_render_attached, definition)
    return commit(query, definitions.attach, series, definition, render=render)


@route(
    blueprint,
    "DELETE",
    "/services/definition",
    permission="config:write",
    query=queries.WriteQuery,
    answers={200: answers.AttachedAnswer},
    refusals=(404, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def detach_service(query: dict[str, Any]) -> ResponseData:
    """Detach a service from its definition."""
    http_request.refuse_body()
    render = partial(_render_attached, None)
    return commit(query, definitions.detach, series_of(query), render=render)


def _render_attached(definition: str | None, changed: bool, _head: Head) -> ResponseData:
    """``definition`` is what the service conforms to now; None: to nothing."""
    return json_response({"success": True, "changed": changed, "definition": definition})


@route(
    blueprint,
    "GET",
    "/services/secrets",
    permission="config:read",
    query=queries.ServiceQuery,
    answers={200: answers.PointersAnswer},
    refusals=(404, 422),
)
def show_pointers(query: dict[str, Any]) -> ResponseData:
    """Show the pointers to the secret values in a service's documents.

    Those that its definition marks, with `"x-secret": true`, are not among them.
    """
    pointers = definitions.secret_pointers(auth.reader(), series_of(query))
    return json_response({"pointers": pointers})


@route(
    blueprint,
    "PUT",
    "/services/secrets",
    permission="config:write",
    query=queries.WriteQuery,
    body=bodies.PointersBody,
    answers={200: answers.MarkedAnswer},
    refusals=(404, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def mark_service(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Set the pointers to the secret values in a service's documents, besides its definition's.

    The values are masked at once, in old versions too, and encrypted from the next version on.
    Removing a pointer takes `config:read-secret`.
    """
    series = series_of(query)
    return commit(query, _set_pointers, series, body["pointers"], render=_render_pointers)


def _set_pointers(
    transaction: Transaction, series: Series, pointers: list[str]
) -> tuple[bool, list[str]]:
    # What is stored is shown, and not what was sent: duplicates are gone.
    changed = definitions.set_secret_pointers(transaction, series, pointers)
    return changed, definitions.secret_pointers(transaction.reader, series)


def _render_pointers(result: tuple[bool, list[str]], _head: Head) -> ResponseData:
    changed, pointers = result
    return json_response({"success": True, "changed": changed, "pointers": pointers})
