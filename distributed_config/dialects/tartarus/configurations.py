"""The dialect's routes for configurations, each of which is a service ``DEFINITION/KEY``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from distributed_config import errors, wire
from distributed_config.dialects.base import environment, refuse_preconditions, write
from distributed_config.dialects.tartarus.errors import (
    MistakeCollector,
    config_missing,
    definition_missing,
    failure,
    invalid,
    reasons,
)
from distributed_config.dialects.tartarus.listing import (
    listed_environment,
    parse_filters,
    parse_listing,
    parse_times,
)
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
from distributed_config.services import catalogue, definitions, versions
from distributed_config.services.conformance import index_search, rules
from distributed_config.services.conformance.index_search import NameFilter, Order, Query
from distributed_config.services.conformance.rules import Configuration
from distributed_config.services.definitions import Definition
from distributed_config.services.documents.preconditions import Precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
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
    series = Series(f"{key}/{config_key}", environment())
    return write(_create, key, series, document, render=_render_created)


def _create(transaction: Transaction, key: str, series: Series, document: Document) -> str:
    """Return the document as it was written, with its secrets masked."""
    try:
        written = definitions.create_service(transaction, series, document, key)
    except errors.ServiceExists:
        message = f"Config already exists with '{_key_of(series)}'!"
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
    place = listed_environment(definition)
    require_visible(auth.reader(), place)
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
    query = Query(filters, names, _among(definition, place, service_ids), place)
    order = Order(listing.path, listing.descending, listing.by)
    matches = index_search.find(
        connection, definition.id, query, order, offset=listing.offset, limit=listing.limit
    )
    # The original tells the total, so a list costs two searches.
    total = index_search.count(connection, definition.id, query)
    ids = [match.service_id for match in matches]
    results = [_render(configuration) for configuration in _configurations(ids, place)]
    return success("Configurations listed", listing.render(results, total))


@route("GET", "/<key>/config/<config_key>", "config:read")
def read_config(key: str, config_key: str) -> ResponseData:
    series = Series(f"{key}/{config_key}", environment())
    configuration = _require_config(require_definition(key), series)
    if configuration.text is None:
        # Every version of it is disabled, for which the dialect has no word.
        raise config_missing(config_key)
    return success("Configuration retrieved", _render(configuration))


@route("PUT", "/<key>/config/<config_key>", "config:write")
def update_config(key: str, config_key: str) -> ResponseData:
    definition, series = require_definition(key), Series(f"{key}/{config_key}", environment())
    _require_config(definition, series)
    body, collector = body_object(), MistakeCollector()
    document = NOTHING
    with collector:
        document = document_of(field(body, "data", dict), series.service)
    raise_collected(collector, definition, body)
    expect = conditions.precondition()
    return write(_update, series, document, expect, render=_render_updated)


def _update(
    transaction: Transaction, series: Series, document: Document, expect: Precondition
) -> str:
    """Return the document as it was written, with its secrets masked."""
    try:
        # It was there a moment ago; a PUT must not create it again if it was deleted since.
        _require_series(transaction.reader, series)
        written = versions.put(transaction, series, document, expect)
    except errors.ServiceNotFound:
        raise config_missing(_key_of(series)) from None
    except errors.NotConforming as error:
        raise invalid("data", *reasons(error.problems)) from None
    return versions.masked_text(transaction, written, document)


def _render_updated(text: str, _head: Head) -> ResponseData:
    return success("Configuration updated", wire.parse_stored(text))


@route("DELETE", "/<key>/config/<config_key>", "config:write")
def delete_config(key: str, config_key: str) -> ResponseData:
    series = Series(f"{key}/{config_key}", environment())
    _require_config(require_definition(key), series)

    def render(_nothing: None, _head: Head) -> ResponseData:
        data = {"config_definition_key": key, "config_key": config_key}
        return success("Configuration deleted", data)

    return write(_delete, series, conditions.precondition(), render=render)


def _delete(transaction: Transaction, series: Series, expect: Precondition) -> None:
    try:
        versions.delete_with_versions(transaction, series, expect)
    except errors.ServiceNotFound:
        raise config_missing(_key_of(series)) from None


def _require_config(definition: Definition, series: Series) -> Configuration:
    """Return a configuration of ``definition``. Raises the dialect's error if there is none.

    A service of that name which conforms to another definition is no configuration of this one.
    """
    config_key = _key_of(series)
    try:
        service_id = _require_series(auth.reader(), series)
    except errors.ServiceNotFound:
        check_key(config_key, "config_key")
        raise config_missing(config_key) from None
    rule = rules.rule_for_service(reader_connection(), service_id)
    if rule is None or rule.definition_id != definition.id:
        raise config_missing(config_key)
    [configuration] = _configurations([service_id], series.environment)
    return configuration


def _require_series(reader: Reader, series: Series) -> int:
    """Return the id of a service that has versions in the series' environment.

    Raises ServiceNotFound or EnvironmentNotFound.
    """
    service_id = versions.require(reader, series)
    if series.environment not in versions.environments_of(reader.connection, service_id):
        raise errors.ServiceNotFound(series.service, series.environment)
    return service_id


def _among(
    definition: Definition, place: str, service_ids: frozenset[int] | None
) -> frozenset[int] | None:
    """Return which of ``service_ids`` have a document in an environment; None stands for all.

    In the default environment those without one are listed as well, as the dialect always did.
    """
    if place == DEFAULT_ENVIRONMENT:
        return service_ids
    names = set(catalogue.served_names(auth.reader(), f"{definition.name}/", place))
    present = frozenset(
        service_id
        for service_id, name in rules.services(reader_connection(), definition.id)
        if name in names
    )
    return present if service_ids is None else present & service_ids


def _configurations(ids: Sequence[int], place: str) -> list[Configuration]:
    """Return the configurations with these ids, with what is current in the environment."""
    found = rules.configurations(auth.reader(), ids)
    if place == DEFAULT_ENVIRONMENT:
        return found
    return [replace(each, text=_text_in(Series(each.name, place))) for each in found]


def _text_in(series: Series) -> str | None:
    """Return the text of a series' current document; None if there is none."""
    try:
        return versions.current(auth.reader(), series).served
    except (errors.ServiceNotFound, errors.NoCurrentVersion):
        return None


def _key_of(series: Series) -> str:
    """Return the dialect's key of a configuration, which is a service ``DEFINITION/KEY``."""
    return series.service.partition("/")[2]


def _render(configuration: Configuration) -> dict[str, Any]:
    text = configuration.text
    return {
        "config_key": configuration.name.partition("/")[2],
        "data": None if text is None else wire.parse_stored(text),
        "created_at": wire.format_time(configuration.created_at),
        "modified_at": wire.format_time(configuration.changed_at),
    }
