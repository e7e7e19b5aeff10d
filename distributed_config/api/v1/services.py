"""The list of services and their tags."""

from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.http import auth
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, cursor_after, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.schemas import answers, bodies, queries
from distributed_config.services import catalogue, definitions
from distributed_config.services.catalogue import Entry
from distributed_config.services.documents.series import Series
from distributed_config.services.journal import head
from distributed_config.services.journal.transaction import Transaction

blueprint = Blueprint("services", __name__)


@route(
    blueprint,
    "GET",
    "/services",
    permission="config:read",
    query=queries.ServicesQuery,
    answers={200: answers.ServicesAnswer},
    refusals=(410, 422),
)
def list_services(query: dict[str, Any]) -> ResponseData:
    """List the services, by name."""
    connection = reader_connection()
    epoch = head.read_head(connection).epoch
    size = page_size(query["limit"])
    after = after_key(query, epoch, str) or ""
    found = catalogue.services(
        auth.reader(),
        after=after,
        limit=size + 1,
        search=query["search"],
        prefix=query["prefix"],
        tags=tuple(query["tag"]),
    )
    more = len(found) > size
    cursor = cursor_after(query, epoch, found[size - 1].name) if more else None
    return page_response({"services": [shown_service(entry) for entry in found[:size]]}, cursor)


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
    return json_response(shown_service(catalogue.service(auth.reader(), Series(query["service"]))))


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

    def unit(transaction: Transaction) -> ResponseData:
        catalogue.set_tags(transaction, Series(query["service"]), tuple(body["tags"]))
        entry = catalogue.service(transaction.reader, Series(query["service"]))
        return json_response(shown_service(entry))

    return commit(unit, asked.note(query["note"]), query["dry_run"])


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
    """Make a service conform to a definition; what is current must already."""
    name, definition = query["service"], body["definition"]

    def unit(transaction: Transaction) -> ResponseData:
        changed = definitions.attach(transaction, Series(name), definition)
        return json_response({"success": True, "changed": changed, "definition": definition})

    return commit(unit, asked.note(query["note"]), query["dry_run"])


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
    """Make a service conform to no definition."""
    asked.refuse_body()

    def unit(transaction: Transaction) -> ResponseData:
        changed = definitions.detach(transaction, Series(query["service"]))
        return json_response({"success": True, "changed": changed, "definition": None})

    return commit(unit, asked.note(query["note"]), query["dry_run"])


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
    """Show which places of a service's documents are secret by pointers of its own.

    Those that its definition marks, with `"x-secret": true`, are not among them.
    """
    pointers = definitions.secret_pointers(auth.reader(), Series(query["service"]))
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
    """Make exactly these places of a service's documents secret, besides its definition's.

    They are masked at once, in old versions too, and encrypted from the next version on. To take
    one away takes `config:read-secret`.
    """
    name, wanted = query["service"], body["pointers"]

    def unit(transaction: Transaction) -> ResponseData:
        changed = definitions.set_secret_pointers(transaction, Series(name), wanted)
        pointers = definitions.secret_pointers(transaction.reader, Series(name))
        return json_response({"success": True, "changed": changed, "pointers": pointers})

    return commit(unit, asked.note(query["note"]), query["dry_run"])


def shown_service(entry: Entry) -> dict[str, Any]:
    """A service as lists show it."""
    return {
        "name": entry.name,
        "tags": list(entry.tags),
        "versions": entry.versions,
        "current": entry.current,
        "digest": entry.digest,
        "definition": entry.definition,
        "created_at": wire.format_time(entry.created_at),
        "updated_at": wire.format_time(entry.updated_at),
    }
