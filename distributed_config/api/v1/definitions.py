"""Definitions: their revisions, what a new one would do, and the services that conform to them."""

import json
import re
from dataclasses import replace
from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.api.v1.services import shown_service
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.http import auth, conditions
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, cursor_after, page_response, page_size
from distributed_config.http.problems import render_problem
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.json_schema import Compatibility, Reason, compare, load_schema
from distributed_config.schemas import answers, bodies, loader, queries
from distributed_config.services import catalogue, definitions, secrets
from distributed_config.services.conformance import index_search, rules
from distributed_config.services.conformance.index_search import Filter, NameFilter, Order, Query
from distributed_config.services.definitions import Definition
from distributed_config.services.definitions import review as evolution
from distributed_config.services.definitions.review import Review
from distributed_config.services.diff import compare as compare_documents
from distributed_config.services.journal import head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.wire import Document

blueprint = Blueprint("definitions", __name__)

_READ = {"permission": "definition:read"}
_WRITE = {"permission": "definition:write", "headers": ("Idempotency-Key", "Config-Note")}
_REWRITE = {**_WRITE, "headers": ("If-Match", "If-None-Match", "Idempotency-Key", "Config-Note")}
_MOST_SHOWN = 100
_COMPARISON = re.compile(
    r"(?P<path>[^\s<>=]+?)\s*(?P<operator>!?[<>=]+)\s*(?P<value>.*)", re.DOTALL
)
_MEMBERSHIP = re.compile(r"(?P<path>[^\s<>=]+)\s+in\s+(?P<values>.*)", re.DOTALL)


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
    connection = reader_connection()
    epoch = head.read_head(connection).epoch
    size = page_size(query["limit"])
    after = after_key(query, epoch, str) or ""
    found = definitions.definitions(
        auth.reader(),
        after=after,
        limit=size + 1,
        search=query["search"],
    )
    cursor = cursor_after(query, epoch, found[size - 1].name) if len(found) > size else None
    return page_response({"definitions": [_shown(each) for each in found[:size]]}, cursor)


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
    connection = reader_connection()
    found = _require(query["definition"], query["number"])
    etag = wire.version_etag(head.read_head(connection).epoch, found.number, found.stamp)
    conditions.require_match(found.name, etag, _no_times, "definition")
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if conditions.is_not_modified(etag, _no_times):
        return ResponseData(b"", 304, headers=headers)
    answer = json_response(_shown_whole(found))
    answer.headers = headers
    return answer


def _no_times() -> tuple[int, ...]:
    """A definition has no date of HTTP's: conditions that name one are ignored."""
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
    schema = _schema(name, body)
    assert schema is not None  # it is required

    def unit(transaction: Transaction) -> ResponseData:
        policy, paths = body.get("policy", "none"), body.get("indexes", [])
        made = definitions.create(transaction, name, schema, policy, paths)
        return _answer(transaction, made, _shown_whole(made), 201)

    return commit(unit, asked.note(query["note"]), query["dry_run"])


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

    What the body leaves out stays as it is; the schema that is there already makes no revision.
    A revision that makes a current document invalid, or breaks what the policy protects, is
    refused with all that speaks against it; `force=true` with a note does it nevertheless.
    """
    name = query["definition"]
    schema = _schema(name, body)
    policy, paths = body.get("policy"), body.get("indexes")
    expect, forced = conditions.precondition(), query["force"]
    review = _review(name, schema)

    def unit(transaction: Transaction) -> ResponseData:
        if schema is not None and not definitions.exists(transaction, name, expect):
            made = definitions.create(transaction, name, schema, policy or "none", paths or [])
            return _answer(transaction, made, _shown_revision(made, True, None), 201)
        done = definitions.revise(
            transaction,
            name,
            schema=schema,
            policy=policy,
            paths=paths,
            review=review,
            forced=forced,
            expect=expect,
        )
        shown = _shown_revision(done.definition, done.changed, done.review)
        return _answer(transaction, done.definition, shown)

    return commit(unit, asked.note(query["note"]), query["dry_run"])


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
    """Tell what a schema would do in place of the newest revision; nothing is stored.

    Which current documents would not conform, and whether old documents stay valid (backward
    compatible) and new ones are valid under the old schema (forward).
    """
    found = _require(query["definition"])
    auth.actor().require_unrestricted()
    auth.require("config:read")  # its answer tells of what documents hold
    review = _review(query["definition"], _stored_as(body["schema"]))
    assert review is not None  # the definition was just found
    return json_response(_shown_review(review, found.policy))


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
    asked.refuse_body()
    expect = conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        services = definitions.delete_definition(
            transaction, query["definition"], query["cascade"], expect
        )
        return json_response({"success": True, "services": services})

    return commit(unit, asked.note(query["note"]), query["dry_run"])


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
    connection, name = reader_connection(), query["definition"]
    epoch = head.read_head(connection).epoch
    size = page_size(query["limit"])
    before = after_key(query, epoch, int)
    found = definitions.revisions(auth.reader(), name, before=before, limit=size + 1)
    cursor = cursor_after(query, epoch, found[size - 1].number) if len(found) > size else None
    show = _shown_whole if query["schemas"] else _shown
    return page_response(
        {"definition": name, "revisions": [show(each) for each in found[:size]]}, cursor
    )


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
    before, after = old.document.value, new.document.value
    names = (f"{name} revision {old.number}", f"{name} revision {new.number}")
    difference = compare_documents(before, after, *names)
    return json_response(
        {
            "patch": difference.patch,
            "text": difference.text,
            "truncated": difference.truncated,
            "compatibility": _shown_compatibility(compare(before, after)),
        }
    )


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

    Of dots in place of a secret nothing is asked: only a service knows what they stand for.
    """
    found = _require(query["definition"], query["number"])
    document = wire.make_object(asked.body_value(), asked.document_limits())
    seen = secrets.validation_input_alone(document.text, found.schema)
    problems = rules.problems_of(found.schema, seen)
    shown = [render_problem(each) for each in problems[:_MOST_SHOWN]]
    return json_response({"valid": not problems, "problems": shown})


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
    """List the services that conform to a definition, found and sorted by indexed properties."""
    auth.require("config:read")
    connection, name = reader_connection(), query["definition"]
    epoch = head.read_head(connection).epoch
    size = page_size(query["limit"])
    found = _require(name)
    filters = tuple(
        replace(each, path=definitions.indexed_path(found, each.path))
        for each in _filters(query["where"])
    )
    sort = query["sort"] and definitions.indexed_path(found, query["sort"])
    services = index_search.find(
        connection,
        found.id,
        Query(filters, NameFilter(search=query["search"], visibility=auth.actor().visibility)),
        Order(sort, descending=query["order"] == "desc"),
        after=_position(query, epoch),
        limit=size + 1,
    )
    cursor = None
    if len(services) > size:
        cursor = cursor_after(query, epoch, json.dumps(services[size - 1].position))
    ids = [each.service_id for each in services[:size]]
    shown = [shown_service(entry) for entry in catalogue.services_by_id(auth.reader(), ids)]
    return page_response({"definition": name, "services": shown}, cursor)


# --- what is asked


def _schema(name: str, body: dict[str, Any]) -> Document | None:
    """The schema in a body; None: it has none.

    Raises InvalidDocument, with all that is wrong with the body and pointers into it.
    """
    problems: list[Problem] = list(body[loader.FAULTS])
    schema = None
    if "schema" in body:
        try:
            schema = _stored_as(body["schema"])
        except InvalidDocument as error:
            problems += error.problems
    if not problems:
        return schema  # its indexes are looked at where it is stored
    problems += _faults_beside(name, body, schema)
    raise InvalidDocument.from_problems(problems)


def _faults_beside(name: str, body: dict[str, Any], schema: Document | None) -> list[Problem]:
    """What else is wrong in a body: with how ``schema`` goes with the indexes."""
    paths = body.get("indexes", [])
    if schema is None and "schema" in body:
        return definitions.path_problems(body["schema"], paths)
    if schema is not None:
        marks = definitions.mark_problems(schema)
        return [*marks, *definitions.path_problems(schema.value, paths, schema.text)]
    found = definitions.lookup(auth.reader(), name)
    if found is None or any(each.pointer == "/schema" for each in body[loader.FAULTS]):
        return definitions.path_problems({}, paths)
    return definitions.path_problems(found.document.value, paths, found.schema)


def _stored_as(value: Any) -> Document:
    """The schema in a body. Raises InvalidDocument, with pointers into the body."""
    try:
        return load_schema(value, asked.schema_limits())
    except InvalidDocument as error:
        raise InvalidDocument.from_problems(
            [Problem(f"/schema{each.pointer}", each.message, each.rule) for each in error.problems]
        ) from None


def _review(name: str, schema: Document | None) -> Review | None:
    """What ``schema`` would do, found out before anybody waits for it; None: nothing."""
    if schema is None:
        return None
    connection = reader_connection()
    found = definitions.lookup(auth.reader(), name)
    return (
        None
        if found is None
        else evolution.review(connection, found.proposal(schema), auth.actor().visibility)
    )


def _require(name: str, number: int | None = None) -> Definition:
    return definitions.require(auth.reader(), name, number)


def _filters(where: list[str]) -> tuple[Filter, ...]:
    """What ``where=`` asks for. Raises Invalid with all that cannot be understood."""
    filters = []
    problems = []
    for text in where:
        try:
            filters.append(_filter(text.strip()))
        except ValueError as error:
            problems.append(Problem("", f"{text[:80]!r}: {error}", "where", "where"))
    if problems:
        raise Invalid.from_problems(problems)
    return tuple(filters)


def _filter(text: str) -> Filter:
    among = _MEMBERSHIP.fullmatch(text)
    if among is not None:
        return Filter(among["path"], "in", _values(among["values"].strip()))
    found = _COMPARISON.fullmatch(text)
    if found is None:
        raise ValueError("it is not like db.port>=5000, tier=gold or tier in gold,silver.")
    if found["operator"] not in index_search.OPERATORS:
        known = ", ".join(index_search.OPERATORS)
        raise ValueError(
            f"{found['operator'][:20]!r} is no operator here. These are: {known}. "
            'Text that begins like one stands in quotes, as in tier="=gold".'
        )
    value = _value(found["value"].strip())
    ordered = isinstance(value, str | int | float) and not isinstance(value, bool)
    if found["operator"] != "=" and not ordered:
        raise ValueError("only numbers and text are more or less than others.")
    return Filter(found["path"], found["operator"], (value,))


def _values(text: str) -> tuple[Any, ...]:
    """``gold,silver`` or ``["gold", "silver"]``."""
    if not text.startswith("["):
        return tuple(_value(part.strip()) for part in text.split(","))
    value = _json(text)
    if not isinstance(value, list) or any(isinstance(each, dict | list) for each in value):
        raise ValueError("in takes values separated by commas, or a JSON array of them.")
    return tuple(value)


def _value(text: str) -> Any:
    """A JSON scalar where it is one (``10``, ``true``, ``"10"``), and text otherwise."""
    value = _json(text)
    return text if isinstance(value, dict | list) else value


def _json(text: str) -> Any:
    """A JSON value where it is one, and text otherwise."""
    try:
        value = wire.parse_json(text.encode())
        wire.require_unambiguous(value)
    except (InvalidDocument, UnicodeEncodeError):
        return text
    return value


def _position(query: dict[str, Any], epoch: str) -> tuple[Any, ...] | None:
    key = after_key(query, epoch, str)
    if key is None:
        return None
    try:
        position = json.loads(key)
    except ValueError:
        position = None
    length = 2 if query["sort"] else 1
    if not isinstance(position, list) or [type(each) for each in position] != [str] * length:
        message = "It is not one that this server gave for this question; follow Link."
        raise Invalid.from_problems([Problem("", message, "cursor", "cursor")])
    return tuple(position)


# --- what is answered


def _answer(
    transaction: Transaction, definition: Definition, body: dict[str, Any], status: int = 200
) -> ResponseData:
    etag = wire.version_etag(transaction.epoch, definition.number, definition.stamp)
    answer = json_response(body, ETag=etag)
    answer.status = status
    return answer


def _shown(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "number": definition.number,
        "policy": definition.policy,
        "indexes": list(definition.indexes),
        "services": definition.services,
        "digest": definition.digest,
        "author": definition.author,
        "note": definition.note,
        "forced": definition.forced,
        "created_at": wire.format_time(definition.created_at),
        "changed_at": wire.format_time(definition.changed_at),
        "revised_at": wire.format_time(definition.revised_at),
    }


def _shown_whole(definition: Definition) -> dict[str, Any]:
    return {**_shown(definition), "schema": definition.document.value}


def _shown_revision(definition: Definition, changed: bool, review: Review | None) -> dict[str, Any]:
    shown = None if review is None else _shown_review(review, definition.policy)
    return {
        "success": True,
        "changed": changed,
        "definition": _shown(definition),
        "review": shown,
    }


def _shown_review(review: Review, policy: str) -> dict[str, Any]:
    return {
        "checked": review.checked,
        "unfit": len(review.unfit),
        "unfit_services": [
            {
                "service": name,
                "version": each.number,
                "problems": [render_problem(problem) for problem in each.problems],
            }
            for name, each in list(review.unfit.items())[:_MOST_SHOWN]
        ],
        "compatibility": _shown_compatibility(review.compatibility),
        "allowed": not evolution.violations(review, policy),
    }


def _shown_compatibility(compatibility: Compatibility) -> dict[str, Any]:
    return {
        "backward": compatibility.backward,
        "forward": compatibility.forward,
        "reasons": [_shown_reason(reason) for reason in compatibility.reasons[:_MOST_SHOWN]],
    }


def _shown_reason(reason: Reason) -> dict[str, Any]:
    sides = (("backward", reason.narrower), ("forward", reason.wider))
    return {
        "pointer": reason.pointer,
        "message": reason.message,
        "breaks": [side for side, broken in sides if broken],
    }
