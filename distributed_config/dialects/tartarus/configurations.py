"""The dialect's routes for configurations, each of which is a service ``DEFINITION/KEY``."""

from typing import Any

from distributed_config import errors, wire
from distributed_config.dialects.base import refuse_preconditions, write
from distributed_config.dialects.tartarus.errors import (
    MistakeCollector,
    config_missing,
    definition_missing,
    failure,
    invalid,
    reasons,
)
from distributed_config.dialects.tartarus.listing import parse_filters, parse_listing, parse_times
from distributed_config.dialects.tartarus.requests import (
    CREATES,
    NOTHING,
    body_object,
    check_key,
    document_of,
    field,
    raise_collected,
    require_definition,
)
from distributed_config.dialects.tartarus.routes import route, success
from distributed_config.http import auth, conditions
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData
from distributed_config.services import definitions, versions
from distributed_config.services.conformance import index_search, rules
from distributed_config.services.conformance.index_search import NameFilter, Order, Query
from distributed_config.services.conformance.rules import Configuration
from distributed_config.services.definitions import Definition
from distributed_config.services.documents.preconditions import Precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.wire import NAME_LENGTH, Document


@route("POST", "/<key>/config", "config:write", 201)
def create_config(key: str) -> ResponseData:
    refuse_preconditions(CREATES, "If-Match", "If-Unmodified-Since")
    definition = require_definition(key)
    body, collector = body_object(), MistakeCollector()
    config_key, document = "", NOTHING
    with collector:
        config_key = field(body, "config_key", str)
        check_key(config_key, "config_key", NAME_LENGTH - len(key) - 1)
    with collector:
        # The key may be too long, which is its own mistake: the document is checked all the same.
        name = f"{key}/{config_key}"[:NAME_LENGTH]
        document = document_of(field(body, "data", dict), name)
    raise_collected(collector, definition, body)
    return write(_create, key, config_key, document, render=_render_created)


def _create(transaction: Transaction, key: str, config_key: str, document: Document) -> str:
    """Return the document as it was written, with its secrets masked."""
    try:
        series = Series(f"{key}/{config_key}")
        written = definitions.create_service(transaction, series, document, key)
    except errors.ServiceExists:
        message = f"Config already exists with '{config_key}'!"
        raise failure(409, "conflict_error", message) from None
    except errors.DefinitionNotFound:
        raise definition_missing(key) from None
    except errors.NotConforming as error:
        raise invalid("data", *reasons(error.problems)) from None
    return versions.masked_text(transaction, written, document)


def _render_created(text: str, _head: Head) -> ResponseData:
    return success("Configuration created", wire.parse_stored(text))


@route("GET", "/<key>/config", "config:read")
def list_configs(key: str) -> ResponseData:
    definition = require_definition(key)
    collector = MistakeCollector()
    with collector:
        listing = parse_listing("config_key", definition.indexes)
    with collector:
        filters = parse_filters(definition)
    with collector:
        service_ids = parse_times(definition)
    collector.raise_all()
    connection = reader_connection()
    # Names with another slash, as DEFINITION/a/b, are services that were attached through our own
    # API: a key has no slash.
    names = NameFilter(f"{key}/", listing.search, never="/", visibility=auth.actor().visibility)
    query = Query(filters, names, service_ids)
    order = Order(listing.path, listing.descending, listing.by)
    matches = index_search.find(
        connection, definition.id, query, order, offset=listing.offset, limit=listing.limit
    )
    # The original tells the total, so a list costs two searches.
    total = index_search.count(connection, definition.id, query)
    ids = [match.service_id for match in matches]
    results = [_render(configuration) for configuration in rules.configurations(auth.reader(), ids)]
    return success("Configurations listed", listing.render(results, total))


@route("GET", "/<key>/config/<config_key>", "config:read")
def read_config(key: str, config_key: str) -> ResponseData:
    configuration = _require_config(require_definition(key), config_key)
    if configuration.text is None:
        # Every version of it is disabled, for which the dialect has no word.
        raise config_missing(config_key)
    return success("Configuration retrieved", _render(configuration))


@route("PUT", "/<key>/config/<config_key>", "config:write")
def update_config(key: str, config_key: str) -> ResponseData:
    definition = require_definition(key)
    _require_config(definition, config_key)
    body, collector = body_object(), MistakeCollector()
    document = NOTHING
    with collector:
        document = document_of(field(body, "data", dict), f"{key}/{config_key}")
    raise_collected(collector, definition, body)
    expect = conditions.precondition()
    return write(_update, key, config_key, document, expect, render=_render_updated)


def _update(
    transaction: Transaction, key: str, config_key: str, document: Document, expect: Precondition
) -> str:
    """Return the document as it was written, with its secrets masked."""
    series = Series(f"{key}/{config_key}")
    try:
        # It was there a moment ago; a PUT must not create it again if it was deleted since.
        versions.require(transaction.reader, series)
        written = versions.put(transaction, series, document, expect)
    except errors.ServiceNotFound:
        raise config_missing(config_key) from None
    except errors.NotConforming as error:
        raise invalid("data", *reasons(error.problems)) from None
    return versions.masked_text(transaction, written, document)


def _render_updated(text: str, _head: Head) -> ResponseData:
    return success("Configuration updated", wire.parse_stored(text))


@route("DELETE", "/<key>/config/<config_key>", "config:write")
def delete_config(key: str, config_key: str) -> ResponseData:
    _require_config(require_definition(key), config_key)

    def render(_nothing: None, _head: Head) -> ResponseData:
        data = {"config_definition_key": key, "config_key": config_key}
        return success("Configuration deleted", data)

    return write(_delete, key, config_key, conditions.precondition(), render=render)


def _delete(transaction: Transaction, key: str, config_key: str, expect: Precondition) -> None:
    try:
        versions.delete_with_versions(transaction, Series(f"{key}/{config_key}"), expect)
    except errors.ServiceNotFound:
        raise config_missing(config_key) from None


def _require_config(definition: Definition, config_key: str) -> Configuration:
    """Return a configuration of ``definition``. Raises the dialect's error if there is none.

    A service of that name which conforms to another definition is no configuration of this one.
    """
    series = Series(f"{definition.name}/{config_key}")
    try:
        service_id = versions.require(auth.reader(), series)
    except errors.ServiceNotFound:
        check_key(config_key, "config_key")
        raise config_missing(config_key) from None
    rule = rules.rule_for_service(reader_connection(), service_id)
    if rule is None or rule.definition_id != definition.id:
        raise config_missing(config_key)
    [configuration] = rules.configurations(auth.reader(), [service_id])
    return configuration


def _render(configuration: Configuration) -> dict[str, Any]:
    text = configuration.text
    return {
        "config_key": configuration.name.partition("/")[2],
        "data": None if text is None else wire.parse_stored(text),
        "created_at": wire.format_time(configuration.created_at),
        "modified_at": wire.format_time(configuration.changed_at),
    }
