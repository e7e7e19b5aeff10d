"""The API of Tartarus: configurations that belong to definitions, found by indexed properties.

A definition here is a definition there, and its configuration ``KEY`` is the service
``DEFINITION/KEY``. Paths are taken with and without a slash at the end, with and without
``/api/v1``, and in both spellings; credentials are the bare ``Authorization`` header. After
https://github.com/qreater/Tartarus, whose clients work unchanged.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from flask import Blueprint, Response, request

from distributed_config import errors, wire
from distributed_config.edge import auth
from distributed_config.edge import requests as asked
from distributed_config.edge.database import reading
from distributed_config.edge.errors import meant_by, status_of
from distributed_config.edge.publishing import publish
from distributed_config.edge.responses import Answer, json_answer, to_response
from distributed_config.errors import DistconfError, Invalid, InvalidDocument
from distributed_config.json_schema import schema_of
from distributed_config.services import conformance, definitions, evolution, indexes, versions
from distributed_config.services.conformance import Configuration
from distributed_config.services.definitions import Definition
from distributed_config.services.indexes import Filter, Names, Order, Question
from distributed_config.services.journal import Journal
from distributed_config.services.versions import Written
from distributed_config.wire import NAME_LENGTH, Document

blueprint = Blueprint("tartarus", __name__)

_BASES = [
    f"{prefix}/{spelling}"
    for prefix in ("/api/v1", "")
    for spelling in ("config_definition", "config-definition")
]
_KEY = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{2,}")
_SEARCH = re.compile(r"\w{3,}")
_MOST_LISTED = 100
_LIST_PARAMETERS = frozenset(
    {"page", "limit", "sort_by", "sort_order", "search", "created_at", "modified_at"}
)

By = Literal["name", "created", "changed"]


class _Failure(DistconfError):
    """A refusal in the dialect's own form and words."""

    def __init__(self, status: int, kind: str, *messages: str) -> None:
        super().__init__(" ".join(messages))
        self.status = status
        self.body: dict[str, Any] = {
            "status": "FAILURE",
            "errors": [{"type": kind, "msg": message} for message in messages],
        }


class _WrongField(DistconfError):
    """A field or parameter is missing or of another type; that has a form of its own there."""

    def __init__(self, place: str, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        kind = "missing" if message == _REQUIRED else "type_error"
        self.status = 422
        self.body: dict[str, Any] = {
            "detail": [{"type": kind, "loc": [place, name], "msg": message}]
        }


_REQUIRED = "Field required"


def _invalid(field: str, *reasons: str) -> _Failure:
    said = [f"Invalid {field.capitalize()}! {reason}" for reason in reasons]
    return _Failure(422, "validation_error", *said)


def _definition_missing(key: str) -> _Failure:
    return _Failure(404, "not_found_error", f"Definition not found with '{key}'!")


def _config_missing(key: str) -> _Failure:
    return _Failure(404, "not_found_error", f"Configuration not found with '{key}'!")


# --- doors


def _door(method: str, path: str, permission: str, status: int = 200) -> Callable[[Any], Any]:
    """Registers a view under every spelling of its path."""

    def register(view: Callable[..., Answer]) -> Callable[..., Answer]:
        @auth.allows(permission)
        @wraps(view)
        def enter(**keys: str) -> Response:
            answer = view(**keys)
            answer.status = status
            return to_response(answer)

        for number, base in enumerate(_BASES):
            for slash in ("", "/"):
                endpoint = f"{view.__name__}_{number}{'_' if slash else ''}"
                blueprint.add_url_rule(f"{base}{path}{slash}", endpoint, enter, methods=[method])
        return view

    return register


@blueprint.get("/<any(health, 'readiness-probe'):_probe>", strict_slashes=False)
@blueprint.get("/<any(health, 'readiness-probe'):_probe>/", strict_slashes=False)
@blueprint.get("/api/v1/<any(health, 'readiness-probe'):_probe>", strict_slashes=False)
@blueprint.get("/api/v1/<any(health, 'readiness-probe'):_probe>/", strict_slashes=False)
@auth.allows(auth.ANYBODY)
def healthy(_probe: str) -> Response:
    """Whether the process answers."""
    return to_response(
        json_answer({"message": "Welcome to the Tartarus API of Distributed Config"})
    )


@blueprint.errorhandler(Exception)
def _refused(error: Exception) -> Response:
    meant = meant_by(error)
    told = meant if isinstance(meant, _Failure | _WrongField) else _told(meant)
    answer = json_answer(told.body, Cache_Control="no-store")
    answer.status = told.status
    if isinstance(meant, errors.Unavailable):
        answer.headers["Retry-After"] = str(meant.retry_after)
    return to_response(answer)


def _told(error: DistconfError) -> _Failure:
    """What the services refuse, in the dialect's words."""
    status = status_of(error)
    if isinstance(error, errors.Unauthenticated):
        return _Failure(status, "unauthorized_error", "Please provide a valid API key.")
    kind = "validation_error" if status < 500 else "server_error"
    return _Failure(status, kind, error.detail)


# --- definitions


@_door("POST", "", "definition:write", 201)
def create_definition() -> Answer:
    body = _body({"config_definition_key": str}, {"json_schema": dict, "indexes": list})
    key = _new_key(body["config_definition_key"], "config_definition_key", NAME_LENGTH - 4)
    schema = _schema(body.get("json_schema") or {})
    paths = _paths(body.get("indexes") or [], schema)

    def unit(journal: Journal) -> Answer:
        try:
            definitions.create(journal, key, schema, "none", paths)
        except errors.DefinitionExists:
            said = f"Definition already exists with '{key}'!"
            raise _Failure(409, "conflict_error", said) from None
        except Invalid as error:
            raise _invalid("json_schema", *_reasons(error)) from None
        echo = {name: value for name, value in body.items() if value is not None}
        return _success("Configuration definition created", {**echo, "indexes": paths})

    return publish(unit)


@_door("GET", "", "definition:read")
def list_definitions() -> Answer:
    listing = _listing("config_definition_key")
    found, total = definitions.page(
        reading(),
        auth.actor().realm,
        by=listing.by,
        descending=listing.descending,
        search=listing.search,
        offset=listing.offset,
        limit=listing.limit,
    )
    shown = [_shown_definition(each) for each in found]
    return _success("Configuration definitions listed", listing.answer(shown, total))


@_door("GET", "/<key>", "definition:read")
def read_definition(key: str) -> Answer:
    return _success("Configuration definition retrieved", _shown_definition(_definition(key)))


@_door("PUT", "/<key>", "definition:write")
def update_definition(key: str) -> Answer:
    body = _body({}, {"json_schema": dict, "indexes": list})
    if not body:
        raise _WrongField("body", "indexes", _REQUIRED)
    if body.get("indexes", []) is None:
        raise _WrongField("body", "indexes", "Input should be a valid list")
    found = _definition(key)
    schema = None if body.get("json_schema") is None else _schema(body["json_schema"])
    paths = None
    if body.get("indexes") is not None:
        paths = _paths(body["indexes"], schema or found.document)
    realm = auth.actor().realm
    review = None if schema is None else evolution.review(reading(), found.proposal(schema), realm)

    def unit(journal: Journal) -> Answer:
        try:
            done = definitions.revise(journal, key, schema=schema, paths=paths, review=review)
        except errors.BreakingRevision as error:
            raise _invalid("json_schema", error.detail, *_reasons(error)) from None
        except Invalid as error:
            raise _invalid("json_schema", *(each.message for each in error.problems)) from None
        except errors.DefinitionNotFound:
            raise _definition_missing(key) from None
        shown: dict[str, Any] = {"indexes": list(done.definition.indexes)}
        if schema is not None:
            shown["json_schema"] = schema.value
        return _success("Configuration definition updated", shown)

    return publish(unit)


@_door("DELETE", "/<key>", "definition:write")
def delete_definition(key: str) -> Answer:
    _definition(key)

    def unit(journal: Journal) -> Answer:
        journal.actor.require_whole()  # before any service of it is named
        try:
            _release_others(journal, key)
            definitions.remove(journal, key, "delete")
        except errors.DefinitionNotFound:
            raise _definition_missing(key) from None
        return _success("Configuration definition deleted", {"config_definition_key": key})

    return publish(unit)


def _release_others(journal: Journal, key: str) -> None:
    """Detaches the services that are no configurations of the dialect's: they stay."""
    found = definitions.require(journal.connection, journal.realm, key)
    for _, service in conformance.services(journal.connection, found.id):
        if not service.startswith(f"{key}/"):
            definitions.detach(journal, service)


# --- configurations


@_door("POST", "/<key>/config", "config:write", 201)
def create_config(key: str) -> Answer:
    body = _body({"config_key": str, "data": dict}, {})
    config_key = _new_key(body["config_key"], "config_key", NAME_LENGTH - len(key) - 1)
    _definition(key)
    document = _document(body["data"], f"{key}/{config_key}")

    def unit(journal: Journal) -> Answer:
        name = f"{key}/{config_key}"
        try:
            written = definitions.create_service(journal, name, document, key)
        except errors.ServiceExists:
            said = f"Config already exists with '{config_key}'!"
            raise _Failure(409, "conflict_error", said) from None
        except errors.DefinitionNotFound:
            raise _definition_missing(key) from None
        except errors.NotConforming as error:
            raise _invalid("data", *_reasons(error)) from None
        return _success("Configuration created", _back(journal, written, document))

    return publish(unit)


@_door("GET", "/<key>/config", "config:read")
def list_configs(key: str) -> Answer:
    found = _definition(key)
    listing = _listing("config_key", found.indexes)
    connection = reading()
    names = Names(f"{key}/", listing.search, never="/", realm=auth.actor().realm)
    question = Question(_filters(found), names, _among(found))
    order = Order(listing.path, listing.descending, listing.by)
    listed = indexes.find(
        connection, found.id, question, order, offset=listing.offset, limit=listing.limit
    )
    total = indexes.count(connection, found.id, question)
    ids = [each.service_id for each in listed]
    configurations = conformance.configurations(connection, auth.actor().realm, ids)
    shown = [_shown_config(each) for each in configurations]
    return _success("Configurations listed", listing.answer(shown, total))


@_door("GET", "/<key>/config/<config_key>", "config:read")
def read_config(key: str, config_key: str) -> Answer:
    found = _config(_definition(key), config_key)
    if found.text is None:
        raise _config_missing(config_key)  # every version of it is disabled
    return _success("Configuration retrieved", _shown_config(found))


@_door("PUT", "/<key>/config/<config_key>", "config:write")
def update_config(key: str, config_key: str) -> Answer:
    body = _body({"data": dict}, {})
    found = _definition(key)
    document = _document(body["data"], f"{key}/{config_key}")
    _config(found, config_key)

    def unit(journal: Journal) -> Answer:
        name = f"{key}/{config_key}"
        try:
            versions.require(journal.connection, journal.realm, name)
            written = versions.put(journal, name, document)
        except errors.ServiceNotFound:
            raise _config_missing(config_key) from None
        except errors.NotConforming as error:
            raise _invalid("data", *_reasons(error)) from None
        return _success("Configuration updated", _back(journal, written, document))

    return publish(unit)


@_door("DELETE", "/<key>/config/<config_key>", "config:write")
def delete_config(key: str, config_key: str) -> Answer:
    _config(_definition(key), config_key)

    def unit(journal: Journal) -> Answer:
        try:
            versions.retire(journal, f"{key}/{config_key}")
        except errors.ServiceNotFound:
            raise _config_missing(config_key) from None
        gone = {"config_definition_key": key, "config_key": config_key}
        return _success("Configuration deleted", gone)

    return publish(unit)


def _back(journal: Journal, written: Written, document: Document) -> Any:
    """What was written, without its secrets."""
    return wire.parse_stored(versions.shown_back(journal, written, document))


# --- what is asked


def _body(required: dict[str, type], optional: dict[str, type]) -> dict[str, Any]:
    """The known fields of the body. Raises _WrongField for one that is missing or mistyped."""
    try:
        value = asked.body_value()
        wire.refuse_ambiguous(value)
    except InvalidDocument as error:
        raise _WrongField("body", "", error.detail) from None
    if not isinstance(value, dict):
        raise _WrongField("body", "", "Input should be a valid dictionary")
    for name, kind in (required | optional).items():
        if name not in value:
            if name in required:
                raise _WrongField("body", name, _REQUIRED)
        elif not isinstance(value[name], kind) and (name in required or value[name] is not None):
            raise _WrongField("body", name, f"Input should be a valid {_KINDS[kind]}")
    return {name: value[name] for name in (*required, *optional) if name in value}


_KINDS: dict[type, str] = {str: "string", dict: "dictionary", list: "list"}


def _new_key(key: str, field: str, longest: int = NAME_LENGTH) -> str:
    if not _KEY.fullmatch(key) or len(key) > longest:
        reason = (
            "It must start with a letter, be made of letters, digits and underscores, "
            f"and have at least 3 characters and here at most {longest}."
        )
        raise _invalid(field, reason)
    return key


def _schema(value: dict[str, Any]) -> Document:
    try:
        return schema_of(value, asked.schema_limits())
    except Invalid as error:
        raise _invalid("json_schema", *_reasons(error)) from None


def _paths(values: list[Any], schema: Document) -> list[str]:
    if not all(isinstance(each, str) for each in values):
        raise _WrongField("body", "indexes", "Input should be a valid list of strings")
    try:
        definitions.check_paths(schema, values)
    except Invalid as error:
        raise _invalid("indexes", *(each.message for each in error.problems)) from None
    return values


def _document(data: dict[str, Any], name: str) -> Document:
    if not data:
        raise _invalid("data", "Configuration data must be provided.")
    try:
        return wire.document_of(data, asked.limits(), name)
    except Invalid as error:
        raise _invalid("data", *_reasons(error)) from None


def _reasons(error: DistconfError) -> list[str]:
    return [
        f"{each.pointer}: {each.message}" if each.pointer else each.message
        for each in error.problems
    ]


def _definition(key: str) -> Definition:
    found = definitions.lookup(reading(), auth.actor().realm, key)
    if found is not None:
        return found
    _new_key(key, "config_definition_key")  # a key that cannot be says so
    raise _definition_missing(key)


def _config(definition: Definition, config_key: str) -> Configuration:
    connection, name = reading(), f"{definition.name}/{config_key}"
    try:
        service_id = versions.require(connection, auth.actor().realm, name)
    except errors.ServiceNotFound:
        _new_key(config_key, "config_key")
        raise _config_missing(config_key) from None
    rule = conformance.rule_of(connection, service_id)
    if rule is None or rule.definition_id != definition.id:
        raise _config_missing(config_key)
    [found] = conformance.configurations(connection, auth.actor().realm, [service_id])
    return found


@dataclass(frozen=True)
class _Listing:
    """One page of a list, as it was asked for."""

    page: int
    limit: int
    by: By
    path: str | None
    descending: bool
    search: str

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit

    def answer(self, results: list[Any], total: int) -> dict[str, Any]:
        meta = {"page": self.page, "limit": self.limit, "total": total}
        return {"results": results, "meta": meta}


def _listing(key_field: str, paths: tuple[str, ...] = ()) -> _Listing:
    page, limit = _number("page", 1), _number("limit", 10)
    if page < 1 or limit < 1:
        raise _invalid("page/limit", "Page number and limit must be greater than 0.")
    if limit > _MOST_LISTED:
        raise _invalid("page/limit", f"Limit must not be more than {_MOST_LISTED}.")
    orders: dict[str, By] = {key_field: "name", "created_at": "created", "modified_at": "changed"}
    sort_by = request.args.get("sort_by", "modified_at")
    sort_order = request.args.get("sort_order", "desc")
    path = sort_by if sort_by in paths and sort_by not in orders else None
    if sort_by not in orders and path is None:
        raise _invalid("sort_by", f"Sort field must be one of {[*orders, *paths]}.")
    if sort_order not in {"asc", "desc"}:
        raise _invalid("sort_order", "Sort order must be one of ['asc', 'desc'].")
    search = request.args.get("search", "")
    if search and not _SEARCH.fullmatch(search):
        raise _invalid("search", "It must be at least three letters, digits or underscores.")
    by = orders.get(sort_by, "name")
    return _Listing(page, limit, by, path, sort_order == "desc", search)


def _number(name: str, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise _WrongField("query", name, "Input should be a valid integer")
    return int(text)


def _filters(definition: Definition) -> tuple[Filter, ...]:
    """What the parameters ask of the indexes; each is compared as text."""
    filters = []
    for name, text in request.args.items():
        if name in _LIST_PARAMETERS:
            continue  # also where an index has that name
        if name in definition.indexes:
            filters.append(Filter(name, "in", _spelled(text)))
        else:
            known = "'created_at', 'modified_at' or indexes"
            raise _invalid(name, f"Invalid query parameter. Must be one of: {known}")
    return tuple(filters)


def _among(definition: Definition) -> frozenset[int] | None:
    """The services that were created or modified when the parameters say; None: any time."""
    created, modified = _moment("created_at"), _moment("modified_at")
    if created is None and modified is None:
        return None
    return conformance.at_times(reading(), definition.id, created, modified)


def _moment(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return wire.parse_time(text)
    except (ValueError, OverflowError):
        raise _invalid(name, "It must be a time, as in 2026-11-21T09:30:00Z.") from None


def _spelled(text: str) -> tuple[Any, ...]:
    """Every value that is written as ``text``."""
    try:
        value = wire.parse_json(text.encode())
    except (InvalidDocument, UnicodeEncodeError):
        return (text,)
    if isinstance(value, float) and value.is_integer():
        return (text,)  # the index knows 1.0 and 1 by one key; the text 1 finds both
    same = isinstance(value, bool | int | float) and json.dumps(value) == text
    return (text, value) if same else (text,)


# --- what is answered


def _success(message: str, data: Any) -> Answer:
    return json_answer({"status": "SUCCESS", "message": f"{message} successfully.", "data": data})


def _shown_definition(definition: Definition) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "config_definition_key": definition.name,
        "indexes": list(definition.indexes),
        "created_at": wire.rfc3339(definition.created_at),
        "modified_at": wire.rfc3339(definition.changed_at),
    }
    schema = definition.document.value
    # Who gave no schema is shown none.
    return {**shown, "json_schema": schema} if schema else shown


def _shown_config(configuration: Configuration) -> dict[str, Any]:
    text = configuration.text
    return {
        "config_key": configuration.name.partition("/")[2],
        "data": None if text is None else wire.parse_stored(text),
        "created_at": wire.rfc3339(configuration.created_at),
        "modified_at": wire.rfc3339(configuration.changed_at),
    }
