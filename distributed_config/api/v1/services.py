"""The list of services and their tags."""

from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.http import auth
from distributed_config.http import request as asked
from distributed_config.http.database import reading
from distributed_config.http.pagination import behind, cursor_behind, page_answer, page_size
from distributed_config.http.response import Answer, json_answer
from distributed_config.http.routes import door
from distributed_config.http.writes import publish
from distributed_config.schemas import answers, bodies, queries
from distributed_config.services import catalogue, definitions
from distributed_config.services.catalogue import Entry
from distributed_config.services.journal import head
from distributed_config.services.journal.transaction import Journal

blueprint = Blueprint("services", __name__)


@door(
    blueprint,
    "GET",
    "/services",
    permission="config:read",
    query=queries.ServicesQuery,
    answers={200: answers.ServicesAnswer},
    refusals=(410, 422),
)
def list_services(query: dict[str, Any]) -> Answer:
    """List the services, by name."""
    connection = reading()
    epoch = head.read_head(connection).epoch
    size = page_size(query["limit"])
    after = behind(query, epoch, str) or ""
    found = catalogue.services(
        connection,
        auth.actor().realm,
        after=after,
        limit=size + 1,
        search=query["search"],
        prefix=query["prefix"],
        tags=tuple(query["tag"]),
    )
    more = len(found) > size
    cursor = cursor_behind(query, epoch, found[size - 1].name) if more else None
    return page_answer({"services": [shown_service(entry) for entry in found[:size]]}, cursor)


@door(
    blueprint,
    "GET",
    "/services/one",
    permission="config:read",
    query=queries.ServiceQuery,
    answers={200: answers.ServiceAnswer},
    refusals=(404, 422),
)
def show_service(query: dict[str, Any]) -> Answer:
    """Show one service."""
    return json_answer(
        shown_service(catalogue.service(reading(), auth.actor().realm, query["service"]))
    )


@door(
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
def tag_service(query: dict[str, Any], body: dict[str, Any]) -> Answer:
    """Give a service exactly these tags."""

    def unit(journal: Journal) -> Answer:
        catalogue.set_tags(journal, query["service"], tuple(body["tags"]))
        entry = catalogue.service(journal.connection, journal.realm, query["service"])
        return json_answer(shown_service(entry))

    return publish(unit, asked.note(query["note"]), query["dry_run"])


@door(
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
def attach_service(query: dict[str, Any], body: dict[str, Any]) -> Answer:
    """Make a service conform to a definition; what is current must already."""
    name, definition = query["service"], body["definition"]

    def unit(journal: Journal) -> Answer:
        changed = definitions.attach(journal, name, definition)
        return json_answer({"success": True, "changed": changed, "definition": definition})

    return publish(unit, asked.note(query["note"]), query["dry_run"])


@door(
    blueprint,
    "DELETE",
    "/services/definition",
    permission="config:write",
    query=queries.WriteQuery,
    answers={200: answers.AttachedAnswer},
    refusals=(404, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def detach_service(query: dict[str, Any]) -> Answer:
    """Make a service conform to no definition."""
    asked.refuse_body()

    def unit(journal: Journal) -> Answer:
        changed = definitions.detach(journal, query["service"])
        return json_answer({"success": True, "changed": changed, "definition": None})

    return publish(unit, asked.note(query["note"]), query["dry_run"])


@door(
    blueprint,
    "GET",
    "/services/secrets",
    permission="config:read",
    query=queries.ServiceQuery,
    answers={200: answers.PointersAnswer},
    refusals=(404, 422),
)
def show_pointers(query: dict[str, Any]) -> Answer:
    """Show which places of a service's documents are secret by pointers of its own.

    Those that its definition marks, with `"x-secret": true`, are not among them.
    """
    pointers = definitions.marked(reading(), auth.actor().realm, query["service"])
    return json_answer({"pointers": pointers})


@door(
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
def mark_service(query: dict[str, Any], body: dict[str, Any]) -> Answer:
    """Make exactly these places of a service's documents secret, besides its definition's.

    They are masked at once, in old versions too, and encrypted from the next version on. To take
    one away takes `config:read-secret`.
    """
    name, wanted = query["service"], body["pointers"]

    def unit(journal: Journal) -> Answer:
        changed = definitions.mark(journal, name, wanted)
        pointers = definitions.marked(journal.connection, journal.realm, name)
        return json_answer({"success": True, "changed": changed, "pointers": pointers})

    return publish(unit, asked.note(query["note"]), query["dry_run"])


def shown_service(entry: Entry) -> dict[str, Any]:
    """A service as lists show it."""
    return {
        "name": entry.name,
        "tags": list(entry.tags),
        "versions": entry.versions,
        "current": entry.current,
        "digest": entry.digest,
        "definition": entry.definition,
        "created_at": wire.rfc3339(entry.created_at),
        "updated_at": wire.rfc3339(entry.updated_at),
    }
