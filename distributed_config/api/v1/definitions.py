"""Definitions: their revisions, what a new one would do, and the services that conform to them.

One file: the routes of one resource share their checks and renderings.
"""

import json
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.api.v1 import index_queries
from distributed_config.api.v1.definition_bodies import body_schema, load_body_schema
from distributed_config.http import auth, conditions
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.json_schema import compare
from distributed_config.schemas import answers, bodies, queries
from distributed_config.services import catalogue, definitions, secrets
from distributed_config.services.conformance import index_search, rules
from distributed_config.services.conformance.index_search import Match, NameFilter, Order, Query
from distributed_config.services.definitions import Definition
from distributed_config.services.definitions import review as evolution
from distributed_config.services.definitions.review import Review
from distributed_config.services.diff import compare as compare_documents
from distributed_config.services.documents.preconditions import Precondition
from distributed_config.services.journal import head
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environments
from distributed_config.wire import Document

blueprint = Blueprint("definitions", __name__)

_READ = {"permission": "definition:read"}
_WRITE = {"permission": "definition:write", "headers": ("Idempotency-Key", "Config-Note")}
_REWRITE = {**_WRITE, "headers": ("If-Match", "If-None-Match", "Idempotency-Key", "Config-Note")}


@route(
    blueprint,
    "GET",
    "/definitions",
    **_READ,
    query=queries.DefinitionsQuery,
    answers={200: answers.DefinitionsAnswer},
    refusals=(410, 422),
)
def list_definitions(query: dict[str, Any]) -> ResponseData:
    """List the definitions, by name, without their schemas."""
    epoch = head.read_head(reader_connection()).epoch
    size = page_size(query["limit"])
    after = after_key(query, epoch, str) or ""
    visible = definitions.definitions(
        auth.reader(), after=after, limit=size + 1, search=query["search"]
    )
    body = {"definitions": answers.DefinitionSummary.render_all(visible[:size])}
    return page_response(body, next_cursor(query, epoch, visible, size, attrgetter("name")))


@route(
    blueprint,
    "GET",
    "/definitions/one",
    **_READ,
    query=queries.DefinitionReadQuery,
    answers={200: answers.DefinitionAnswer, 304: ""},
    refusals=(404, 412, 422),
    headers=("If-Match", "If-None-Match"),
)
def show_definition(query: dict[str, Any]) -> ResponseData:
    """Show a definition with its schema, at its newest revision or at `number`."""
    definition = _require(query["definition"], query["number"])
    epoch = head.read_head(reader_connection()).epoch
    etag = wire.version_etag(epoch, definition.number, definition.stamp)
    conditions.require_match(definition.name, etag, _no_times, "definition")
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if conditions.is_not_modified(etag, _no_times):
        return ResponseData(b"", 304, headers=headers)
    response = json_response(answers.DefinitionAnswer.render(definition))
    response.headers = headers
    return response


def _no_times() -> tuple[int, ...]:
    """A definition has no Last-Modified, so that conditions with a date do not apply to it."""
    return ()


@route(
    blueprint,
    "POST",
    "/definitions",
    **_WRITE,
    query=queries.DefinitionWriteQuery,
    body=bodies.NewDefinitionBody,
    answers={201: answers.DefinitionAnswer},
    refusals=(422, 507),
)
def create_definition(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a definition, with `schema` as its revision 0."""
    name = query["definition"]
    schema = body_schema(name, body)
    assert schema is not None  # the body's schema requires it
    policy, paths = body.get("policy", "none"), body.get("indexes", [])
    create = partial(definitions.create, applies_to=body.get("applies_to", rules.RESOLVED))
    return commit(query, create, name, schema, policy, paths, render=_render_definition)


def _render_definition(definition: Definition, head: Head) -> ResponseData:
    return _render(definition, answers.DefinitionAnswer.render(definition), head, 201)


@route(
    blueprint,
    "PUT",
    "/definitions",
    **_REWRITE,
    query=queries.ReviseQuery,
    body=bodies.DefinitionBody,
    answers={200: answers.RevisedAnswer, 201: answers.RevisedAnswer},
    refusals=(404, 412, 422, 507),
)
def put_definition(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a definition, or give it another schema, policy or indexes.

    What the body leaves out stays as it is; the newest revision's own schema makes no new one.
    A revision that makes a current document invalid, or that its policy forbids, is refused with
    every reason against it; `force=true` with a note applies it all the same.
    """
    name = query["definition"]
    schema = body_schema(name, body)
    revision = _Revision(
        schema=schema,
        policy=body.get("policy"),
        paths=body.get("indexes"),
        applies_to=body.get("applies_to"),
        expect=conditions.precondition(),
        forced=query["force"],
        # It reads every document that conforms: far too long for the time that a write may take.
        # The write then looks only at what was written in between.
        review=_review(name, schema, body.get("applies_to")),
    )
    return commit(query, _put, name, revision, render=_render_put)


@dataclass(frozen=True)
class _Revision:
    """The new state of a definition; None leaves a part of it as it is."""

    schema: Document | None
    policy: str | None
    paths: list[str] | None
    applies_to: str | None
    expect: Precondition
    forced: bool
    review: Review | None


@dataclass(frozen=True)
class _Put:
    """The outcome of a PUT."""

    definition: Definition
    changed: bool
    review: Review | None
    status: int


def _put(transaction: Transaction, name: str, revision: _Revision) -> _Put:
    schema = revision.schema
    # This judges If-None-Match: * as well, in the transaction that creates: of two clients that
    # create at once, one is refused.
    if schema is not None and not definitions.exists(transaction, name, revision.expect):
        policy, paths = revision.policy or "none", revision.paths or []
        applies_to = revision.applies_to or rules.RESOLVED
        created = definitions.create(
            transaction, name, schema, policy, paths, applies_to=applies_to
        )
        return _Put(created, True, None, 201)
    result = definitions.revise(
        transaction,
        name,
        schema=schema,
        policy=revision.policy,
        paths=revision.paths,
        applies_to=revision.applies_to,
        review=revision.review,
        forced=revision.forced,
        expect=revision.expect,
    )
    return _Put(result.definition, result.changed, result.review, 200)


def _render_put(put: _Put, head: Head) -> ResponseData:
    review = None if put.review is None else _render_review(put.review, put.definition.policy)
    body = {
        "success": True,
        "changed": put.changed,
        "definition": answers.DefinitionSummary.render(put.definition),
        "review": review,
    }
    return _render(put.definition, body, head, put.status)


@route(
    blueprint,
    "POST",
    "/definitions/review",
    **_READ,
    query=queries.DefinitionQuery,
    body=bodies.SchemaBody,
    answers={200: answers.ReviewAnswer},
    refusals=(404, 422),
)
def review_definition(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Review a schema in place of the newest revision; nothing is stored.

    The response has the current documents that would not conform, and says whether old documents
    stay valid (backward compatible) and new ones are valid under the old schema (forward).
    """
    definition = _require(query["definition"])
    # The review reads the documents of all services, also those outside a limited scope.
    auth.actor().require_unrestricted()
    auth.require("config:read")  # the problems that it lists quote documents
    review = _review(query["definition"], load_body_schema(body["schema"]))
    assert review is not None  # the definition was found above, in the same snapshot
    return json_response(_render_review(review, definition.policy))


@route(
    blueprint,
    "DELETE",
    "/definitions",
    **_REWRITE,
    query=queries.DeleteDefinitionQuery,
    answers={200: answers.RemovedAnswer},
    refusals=(404, 409, 412, 422, 507),
)
def delete_definition(query: dict[str, Any]) -> ResponseData:
    """Delete a definition to which no service conforms.

    With `cascade=detach` its services stay and conform to nothing; with `cascade=delete` they
    are deleted with all their versions.
    """
    http_request.refuse_body()
    # What becomes of the services has no default: to delete them, or to leave them without a rule,
    # is a decision.
    name, cascade, expect = query["definition"], query["cascade"], conditions.precondition()
    return commit(
        query, definitions.delete_definition, name, cascade, expect, render=_render_deleted
    )


def _render_deleted(services: list[str], _head: Head) -> ResponseData:
    """``services`` are those that conformed to the definition."""
    return json_response({"success": True, "services": services})


@route(
    blueprint,
    "GET",
    "/definitions/revisions",
    **_READ,
    query=queries.RevisionsQuery,
    answers={200: answers.RevisionsAnswer},
    refusals=(404, 410, 422),
)
def list_revisions(query: dict[str, Any]) -> ResponseData:
    """List the revisions of a definition, newest first."""
    name = query["definition"]
    epoch = head.read_head(reader_connection()).epoch
    size = page_size(query["limit"])
    before = after_key(query, epoch, int)
    history = definitions.revisions(auth.reader(), name, before=before, limit=size + 1)
    schema = answers.DefinitionAnswer if query["schemas"] else answers.DefinitionSummary
    body = {"definition": name, "revisions": schema.render_all(history[:size])}
    return page_response(body, next_cursor(query, epoch, history, size, attrgetter("number")))


@route(
    blueprint,
    "GET",
    "/definitions/diff",
    **_READ,
    query=queries.DefinitionDiffQuery,
    answers={200: answers.SchemaDiffAnswer},
    refusals=(404, 422),
)
def diff_revisions(query: dict[str, Any]) -> ResponseData:
    """Compare two revisions of a definition, as texts and as to what they allow."""
    name = query["definition"]
    old, new = (_require(name, query[side]) for side in ("old", "new"))
    # The texts show what was edited, the comparison what it means: key order and titles differ in
    # the former alone.
    before, after = old.document.value, new.document.value
    names = (f"{name} revision {old.number}", f"{name} revision {new.number}")
    difference = compare_documents(before, after, *names)
    compatibility = answers.CompatibilityAnswer.render(compare(before, after))
    body = {**answers.DiffAnswer.render(difference), "compatibility": compatibility}
    return json_response(body)


@route(
    blueprint,
    "POST",
    "/definitions/check",
    **_READ,
    query=queries.DefinitionReadQuery,
    body_types=("application/json", "application/yaml", "application/toml"),
    answers={200: answers.CheckedAnswer},
    refusals=(404, 422),
)
def check_document(query: dict[str, Any]) -> ResponseData:
    """Check a document against a definition; nothing is stored.

    A mask in place of a secret is always accepted: only a service knows what it stands for.
    """
    definition = _require(query["definition"], query["number"])
    document = wire.make_object(http_request.body_value(), http_request.document_limits())
    checkable = secrets.validation_input_alone(document.text, definition.schema)
    problems = rules.problems_of(definition.schema, checkable)
    body = {"valid": not problems, "problems": problems}
    return json_response(answers.CheckedAnswer.render(body))


@route(
    blueprint,
    "GET",
    "/definitions/services",
    **_READ,
    query=queries.ConformingQuery,
    answers={200: answers.ConformingAnswer},
    refusals=(404, 410, 422),
)
def list_conforming(query: dict[str, Any]) -> ResponseData:
    """List the services of a definition, filtered and sorted by indexed properties."""
    auth.require("config:read")
    connection, name = reader_connection(), query["definition"]
    epoch = head.read_head(connection).epoch
    size = page_size(query["limit"])
    definition = _require(name)
    filters = tuple(
        replace(filter_, path=definitions.indexed_path(definition, filter_.path))
        for filter_ in index_queries.parse_filters(query["where"])
    )
    sort = query["sort"] and definitions.indexed_path(definition, query["sort"])
    environments.require_visible(auth.reader(), query["environment"])
    names = NameFilter(search=query["search"], visibility=auth.actor().visibility)
    matches = index_search.find(
        connection,
        definition.id,
        Query(filters, names, environment=query["environment"]),
        Order(sort, descending=query["order"] == "desc"),
        after=index_queries.parse_position(query, epoch),
        limit=size + 1,
    )
    ids = [match.service_id for match in matches[:size]]
    entries = catalogue.services_by_id(auth.reader(), ids, query["environment"])
    body = {"definition": name, "services": answers.ServiceAnswer.render_all(entries)}
    return page_response(body, next_cursor(query, epoch, matches, size, _position_of))


def _position_of(match: Match) -> str:
    """Return where ``match`` is in the list, as its cursor holds it."""
    return json.dumps(match.position)


def _review(name: str, schema: Document | None, applies_to: str | None = None) -> Review | None:
    """Return what ``schema`` would do as the next revision; None if there is nothing to compare.

    ``applies_to`` None leaves that as it is.
    """
    definition = None if schema is None else definitions.lookup(auth.reader(), name)
    if schema is None or definition is None:
        return None
    proposal = definition.proposal(schema, applies_to)
    return evolution.review(reader_connection(), proposal, auth.actor().visibility)


def _require(name: str, number: int | None = None) -> Definition:
    return definitions.require(auth.reader(), name, number)


def _render(definition: Definition, body: dict[str, Any], head: Head, status: int) -> ResponseData:
    etag = wire.version_etag(head.epoch, definition.number, definition.stamp)
    response = json_response(body, ETag=etag)
    response.status = status
    return response


def _render_review(review: Review, policy: str) -> dict[str, Any]:
    """``policy`` decides whether the revision would be allowed without ``force``."""
    unfit = (
        {"service": name, "version": version.number, "problems": version.problems}
        for name, version in review.unfit.items()
    )
    return answers.ReviewAnswer.render(
        {
            "checked": review.checked,
            "unfit": len(review.unfit),
            "unfit_services": unfit,
            "compatibility": review.compatibility,
            "allowed": not evolution.violations(review, policy),
        }
    )
