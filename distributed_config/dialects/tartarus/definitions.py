"""The dialect's routes for configuration definitions."""

from dataclasses import dataclass
from typing import Any

from distributed_config import errors, wire
from distributed_config.dialects.base import refuse_preconditions, write
from distributed_config.dialects.tartarus.errors import (
    MistakeCollector,
    definition_missing,
    failure,
    invalid,
    reasons,
)
from distributed_config.dialects.tartarus.listing import parse_listing
from distributed_config.dialects.tartarus.requests import (
    CREATES,
    NOTHING,
    body_object,
    check_key,
    field,
    index_paths,
    require_definition,
    schema_of,
)
from distributed_config.dialects.tartarus.routes import route, success
from distributed_config.errors import Invalid
from distributed_config.http import auth, conditions
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData
from distributed_config.services import definitions
from distributed_config.services.conformance import rules
from distributed_config.services.definitions import Definition
from distributed_config.services.definitions import review as evolution
from distributed_config.services.definitions.review import Review
from distributed_config.services.documents.preconditions import Precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.wire import NAME_LENGTH, Document

# A configuration's name is the definition's, a slash, and at least three characters of its own.
_LONGEST_KEY = NAME_LENGTH - 4
_ECHOED = ("config_definition_key", "json_schema")


@route("POST", "", "definition:write", 201)
def create_definition() -> ResponseData:
    refuse_preconditions(CREATES, "If-Match", "If-Unmodified-Since")
    body, collector = body_object(), MistakeCollector()
    key, schema, paths = "", NOTHING, list[str]()
    with collector:
        key = field(body, "config_definition_key", str)
        check_key(key, "config_definition_key", _LONGEST_KEY)
    with collector:
        # A definition without a schema accepts every configuration, which {} says.
        schema = schema_of(field(body, "json_schema", dict, {}))
    with collector:
        paths = index_paths(field(body, "indexes", list, []), schema)
    collector.raise_all()
    echo = {name: body[name] for name in _ECHOED if body.get(name) is not None}

    def render(_definition: Definition, _head: Head) -> ResponseData:
        # The dialect sends back what was in the request, and no more.
        return success("Configuration definition created", {**echo, "indexes": paths})

    return write(_create, key, schema, paths, render=render)


def _create(transaction: Transaction, key: str, schema: Document, paths: list[str]) -> Definition:
    try:
        return definitions.create(transaction, key, schema, "none", paths)
    except errors.DefinitionExists:
        message = f"Definition already exists with '{key}'!"
        raise failure(409, "conflict_error", message) from None
    except Invalid as error:
        raise invalid("json_schema", *reasons(error.problems)) from None


@route("GET", "", "definition:read")
def list_definitions() -> ResponseData:
    listing = parse_listing("config_definition_key")
    listed, total = definitions.page(
        auth.reader(),
        by=listing.by,
        descending=listing.descending,
        search=listing.search,
        offset=listing.offset,
        limit=listing.limit,
    )
    results = [_render(definition) for definition in listed]
    return success("Configuration definitions listed", listing.render(results, total))


@route("GET", "/<key>", "definition:read")
def read_definition(key: str) -> ResponseData:
    return success("Configuration definition retrieved", _render(require_definition(key)))


@route("PUT", "/<key>", "definition:write")
def update_definition(key: str) -> ResponseData:
    definition = require_definition(key)
    body, collector = body_object(), MistakeCollector()
    schema: Document | None = None
    paths: list[str] | None = None
    effective = definition.document
    with collector:
        if body.get("json_schema") is not None:
            effective = NOTHING  # where the schema is wrong, no index can be checked against it
            effective = schema = schema_of(field(body, "json_schema", dict))
    with collector:
        # A body with neither is incomplete, which is reported as a missing list of indexes.
        if "indexes" in body or "json_schema" not in body:
            paths = index_paths(field(body, "indexes", list), effective)
    collector.raise_all()
    revision = _Revision(schema, paths, _review(definition, schema), conditions.precondition())
    return write(_revise, key, revision, render=_render_updated)


@dataclass(frozen=True)
class _Revision:
    """The new state of a definition; None leaves a part of it as it is."""

    schema: Document | None
    paths: list[str] | None
    review: Review | None
    expect: Precondition


@dataclass(frozen=True)
class _Updated:
    """The outcome of an update: the indexes and, if there is a new one, the schema."""

    indexes: tuple[str, ...]
    schema: Document | None


def _review(definition: Definition, schema: Document | None) -> Review | None:
    """Return the effect of ``schema``: it reads many documents, so not while writers wait."""
    if schema is None:
        return None
    proposal = definition.proposal(schema)
    return evolution.review(reader_connection(), proposal, auth.actor().visibility)


def _revise(transaction: Transaction, key: str, revision: _Revision) -> _Updated:
    try:
        result = definitions.revise(
            transaction,
            key,
            schema=revision.schema,
            paths=revision.paths,
            review=revision.review,
            expect=revision.expect,
        )
    except errors.BreakingRevision as error:
        messages = [_how_to_force(key, error), *reasons(error.problems)]
        raise invalid("json_schema", *messages) from None
    except Invalid as error:
        raise invalid("json_schema", *(problem.message for problem in error.problems)) from None
    except errors.DefinitionNotFound:
        raise definition_missing(key) from None
    return _Updated(result.definition.indexes, revision.schema)


def _render_updated(updated: _Updated, _head: Head) -> ResponseData:
    data: dict[str, Any] = {"indexes": list(updated.indexes)}
    if updated.schema is not None:
        data["json_schema"] = updated.schema.value
    return success("Configuration definition updated", data)


def _how_to_force(key: str, error: errors.BreakingRevision) -> str:
    """Return why a revision is refused, and what to do: the dialect has no way to force one."""
    return (
        f"Nothing was changed: {error.why}. Change the configurations or the schema, or force it "
        f"with PUT /api/v1/definitions?definition={key}&force=true, and a note that says why."
    )


@route("DELETE", "/<key>", "definition:write")
def delete_definition(key: str) -> ResponseData:
    require_definition(key)

    def render(_services: list[str], _head: Head) -> ResponseData:
        return success("Configuration definition deleted", {"config_definition_key": key})

    return write(_delete, key, conditions.precondition(), render=render)


def _delete(transaction: Transaction, key: str, expect: Precondition) -> list[str]:
    transaction.actor.require_unrestricted()  # before an error can name any service of it
    try:
        _detach_others(transaction, key)
        return definitions.delete_definition(transaction, key, "delete", expect)
    except errors.DefinitionNotFound:
        raise definition_missing(key) from None


def _detach_others(transaction: Transaction, key: str) -> None:
    """Detach the services that are no configurations of the dialect, so that they stay.

    A deletion takes the configurations of a definition with it; a service that was attached
    through our own API is none of them.
    """
    definition = definitions.require(transaction.reader, key)
    for _, service in rules.services(transaction.connection, definition.id):
        if not service.startswith(f"{key}/"):
            definitions.detach(transaction, Series(service))


def _render(definition: Definition) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "config_definition_key": definition.name,
        "indexes": list(definition.indexes),
        "created_at": wire.format_time(definition.created_at),
        "modified_at": wire.format_time(definition.changed_at),
    }
    schema = definition.document.value
    # A definition that was created without a schema is shown without one.
    return {**rendered, "json_schema": schema} if schema else rendered
