"""The API of Tartarus: configurations that belong to definitions, found by indexed properties.

A definition here is a definition there, and its configuration ``KEY`` is the service
``DEFINITION/KEY``. Paths are taken with and without a slash at the end, with and without
``/api/v1``, and in both spellings; credentials are the bare ``Authorization`` header. After
https://github.com/qreater/Tartarus, whose clients work unchanged.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, Literal, TypeVar

from flask import Blueprint, Response, request

from distributed_config import errors, wire
from distributed_config.dialects import tartarus_openapi
from distributed_config.dialects.writing import refuse_preconditions, write
from distributed_config.errors import DistconfError, Invalid, InvalidDocument, Problem
from distributed_config.http import auth, conditions
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.problems import (
    NOTHING_HERE,
    problem_response,
    status_of,
    to_domain_error,
)
from distributed_config.http.response import ResponseData, json_response, to_response
from distributed_config.json_schema import load_schema
from distributed_config.services import definitions, secrets, versions
from distributed_config.services.conformance import index_search, rules
from distributed_config.services.conformance.index_search import Filter, NameFilter, Order, Query
from distributed_config.services.conformance.rules import Configuration
from distributed_config.services.definitions import Definition
from distributed_config.services.definitions import review as evolution
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.versions import WriteResult
from distributed_config.wire import MASK, NAME_LENGTH, Document, DocumentLimits

blueprint = Blueprint("tartarus", __name__)

_BASES = [
    f"{prefix}/{spelling}"
    for prefix in ("/api/v1", "")
    for spelling in ("config_definition", "config-definition")
]
_KEY = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{2,}")
_SEARCH = re.compile(r"\w{3,}")
_MOST_LISTED = 100
_MOST_TOLD = 100
_LIST_PARAMETERS = frozenset(
    {"page", "limit", "sort_by", "sort_order", "search", "created_at", "modified_at"}
)

By = Literal["name", "created", "changed"]
Value = TypeVar("Value")


class _Failure(DistconfError):
    """A refusal in the dialect's own form and words."""

    def __init__(self, status: int, kind: str, *messages: str) -> None:
        super().__init__(" ".join(messages))
        self.status = status
        self.body: dict[str, Any] = {
            "status": "FAILURE",
            "errors": [{"type": kind, "msg": message} for message in messages],
        }


@dataclass(frozen=True)
class _Mistake:
    """One mistake in what was sent: where it is, and what."""

    place: tuple[str, ...]
    message: str
    kind: str = "value_error"

    @property
    def shown(self) -> dict[str, Any]:
        return {"type": self.kind, "loc": list(self.place), "msg": self.message}


class _Wrong(DistconfError):
    """What was sent is refused, for all these mistakes.

    Where a field or parameter is missing or of another type, that has a form of its own there.
    """

    def __init__(self, *mistakes: _Mistake) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__(" ".join(each.message for each in self.mistakes))

    @property
    def failure(self) -> _Failure:
        if all(each.kind == "value_error" for each in self.mistakes):
            said = (
                f"Invalid {each.place[1].capitalize()}! {each.message}" for each in self.mistakes
            )
            return _Failure(422, "validation_error", *said)
        failure = _Failure(422, "validation_error")
        failure.body = {"detail": [each.shown for each in self.mistakes]}
        return failure


class _Look:
    """Everything is looked at before anything is refused.

    Each ``with`` is one look, and keeps what it refuses; ``done`` refuses all of it.
    """

    def __init__(self) -> None:
        self.mistakes: list[_Mistake] = []

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, _Wrong):
            return False
        self.mistakes += error.mistakes
        return True

    def done(self) -> None:
        """Raises _Wrong if there was a mistake."""
        if self.mistakes:
            raise _Wrong(*self.mistakes)


_REQUIRED = "Field required"
_CREATES = "This creates, and there is no version yet that it could be about. Leave it out."
_NOTHING = wire.make_object({}, DocumentLimits())


def _wrong_field(where: str, name: str, message: str) -> _Wrong:
    kind = "missing" if message == _REQUIRED else "type_error"
    return _Wrong(_Mistake((where, name), message, kind))


def _invalid(field: str, *reasons: str, where: str = "body") -> _Wrong:
    return _Wrong(*(_Mistake((where, field), reason) for reason in reasons))


def _invalid_parameter(name: str, reason: str) -> _Wrong:
    return _invalid(name, reason, where="query")


def _definition_missing(key: str) -> _Failure:
    return _Failure(404, "not_found_error", f"Definition not found with '{key}'!")


def _config_missing(key: str) -> _Failure:
    return _Failure(404, "not_found_error", f"Configuration not found with '{key}'!")


# --- doors


def _door(method: str, path: str, permission: str, status: int = 200) -> Callable[[Any], Any]:
    """Registers a view under every spelling of its path."""

    def register(view: Callable[..., ResponseData]) -> Callable[..., ResponseData]:
        @auth.requires(permission)
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
@auth.requires(auth.PUBLIC)
def healthy(_probe: str) -> Response:
    """Whether the process answers."""
    return to_response(json_response(_WELCOME))


@blueprint.get("/")
@auth.requires(auth.PUBLIC)
def welcome() -> Response:
    """The same, as clients of Tartarus ask it; a person who comes with a browser asks for HTML."""
    if "text/html" in request.headers.get("Accept", ""):
        return to_response(problem_response(errors.NotFound(NOTHING_HERE)))
    return to_response(json_response(_WELCOME))


@blueprint.get("/openapi.json")
@auth.requires(auth.PUBLIC)
def describe() -> Response:
    """This API, as OpenAPI 3.1."""
    return to_response(json_response(tartarus_openapi.document()))


@blueprint.get("/docs")
@auth.requires(auth.PUBLIC)
def browse() -> Response:
    """This API, as a page."""
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    body = tartarus_openapi.page().encode()
    return to_response(ResponseData(body, media_type="text/html; charset=utf-8", headers=headers))


_WELCOME = {"message": "Welcome to Tartarus API"}
_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'"


@blueprint.errorhandler(Exception)
def _refused(error: Exception) -> Response:
    meant = to_domain_error(error)
    told = meant if isinstance(meant, _Failure) else _told(meant)
    answer = json_response(told.body, Cache_Control="no-store")
    answer.status = told.status
    if isinstance(meant, errors.Unavailable):
        answer.headers["Retry-After"] = str(meant.retry_after)
    return to_response(answer)


def _told(error: DistconfError) -> _Failure:
    """What the services refuse, in the dialect's words."""
    if isinstance(error, _Wrong):
        return error.failure
    status = status_of(error)
    if isinstance(error, errors.Unauthenticated):
        return _Failure(status, "unauthorized_error", "Please provide a valid API key.")
    kind = "validation_error" if status < 500 else "server_error"
    if isinstance(error, errors.PreconditionFailed):
        kind = "conflict_error"
    return _Failure(status, kind, *(_reasons(error) or [error.detail]))


# --- definitions


@_door("POST", "", "definition:write", 201)
def create_definition() -> ResponseData:
    refuse_preconditions(_CREATES, "If-Match", "If-Unmodified-Since")
    body, look = _object(), _Look()
    key, schema, paths = "", _NOTHING, list[str]()
    with look:
        key = _field(body, "config_definition_key", str)
        _check_key(key, "config_definition_key", NAME_LENGTH - 4)
    with look:
        schema = _schema(_field(body, "json_schema", dict, {}))
    with look:
        paths = _paths(_field(body, "indexes", list, []), schema)
    look.done()

    def unit(transaction: Transaction) -> ResponseData:
        try:
            definitions.create(transaction, key, schema, "none", paths)
        except errors.DefinitionExists:
            said = f"Definition already exists with '{key}'!"
            raise _Failure(409, "conflict_error", said) from None
        except Invalid as error:
            raise _invalid("json_schema", *_reasons(error)) from None
        echo = {name: body[name] for name in _DEFINITION if body.get(name) is not None}
        return _success("Configuration definition created", {**echo, "indexes": paths})

    return write(unit)


_DEFINITION = ("config_definition_key", "json_schema")


@_door("GET", "", "definition:read")
def list_definitions() -> ResponseData:
    listing = _listing("config_definition_key")
    found, total = definitions.page(
        auth.reader(),
        by=listing.by,
        descending=listing.descending,
        search=listing.search,
        offset=listing.offset,
        limit=listing.limit,
    )
    shown = [_shown_definition(each) for each in found]
    return _success("Configuration definitions listed", listing.answer(shown, total))


@_door("GET", "/<key>", "definition:read")
def read_definition(key: str) -> ResponseData:
    return _success("Configuration definition retrieved", _shown_definition(_definition(key)))


@_door("PUT", "/<key>", "definition:write")
def update_definition(key: str) -> ResponseData:
    found = _definition(key)
    body, look = _object(), _Look()
    schema: Document | None = None
    paths: list[str] | None = None
    known = found.document
    with look:
        if body.get("json_schema") is not None:
            known = _NOTHING  # where the schema is wrong, nobody knows what has an index
            known = schema = _schema(_field(body, "json_schema", dict))
    with look:
        if "indexes" in body or "json_schema" not in body:
            paths = _paths(_field(body, "indexes", list), known)
    look.done()
    visibility = auth.actor().visibility
    review = (
        None
        if schema is None
        else evolution.review(reader_connection(), found.proposal(schema), visibility)
    )
    expect = conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        try:
            done = definitions.revise(
                transaction, key, schema=schema, paths=paths, review=review, expect=expect
            )
        except errors.BreakingRevision as error:
            raise _invalid("json_schema", _unforced(key, error), *_reasons(error)) from None
        except Invalid as error:
            raise _invalid("json_schema", *(each.message for each in error.problems)) from None
        except errors.DefinitionNotFound:
            raise _definition_missing(key) from None
        shown: dict[str, Any] = {"indexes": list(done.definition.indexes)}
        if schema is not None:
            shown["json_schema"] = schema.value
        return _success("Configuration definition updated", shown)

    return write(unit)


def _unforced(key: str, error: errors.BreakingRevision) -> str:
    """Why a revision is refused, and what to do about it: to force it takes another door."""
    return (
        f"Nothing was changed: {error.why}. Change the configurations or the schema, or force it "
        f"with PUT /api/v1/definitions?definition={key}&force=true, and a note that says why."
    )


@_door("DELETE", "/<key>", "definition:write")
def delete_definition(key: str) -> ResponseData:
    _definition(key)
    expect = conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        transaction.actor.require_unrestricted()  # before any service of it is named
        try:
            _release_others(transaction, key)
            definitions.delete_definition(transaction, key, "delete", expect)
        except errors.DefinitionNotFound:
            raise _definition_missing(key) from None
        return _success("Configuration definition deleted", {"config_definition_key": key})

    return write(unit)


def _release_others(transaction: Transaction, key: str) -> None:
    """Detaches the services that are no configurations of the dialect's: they stay."""
    found = definitions.require(transaction.reader, key)
    for _, service in rules.services(transaction.connection, found.id):
        if not service.startswith(f"{key}/"):
            definitions.detach(transaction, Series(service))


# --- configurations


@_door("POST", "/<key>/config", "config:write", 201)
def create_config(key: str) -> ResponseData:
    refuse_preconditions(_CREATES, "If-Match", "If-Unmodified-Since")
    found = _definition(key)
    body, look = _object(), _Look()
    config_key, document = "", _NOTHING
    with look:
        config_key = _field(body, "config_key", str)
        _check_key(config_key, "config_key", NAME_LENGTH - len(key) - 1)
    with look:
        name = f"{key}/{config_key}"[:NAME_LENGTH]
        document = _document(_field(body, "data", dict), name)
    _finish(look, found, body)

    def unit(transaction: Transaction) -> ResponseData:
        name = f"{key}/{config_key}"
        try:
            written = definitions.create_service(transaction, Series(name), document, key)
        except errors.ServiceExists:
            said = f"Config already exists with '{config_key}'!"
            raise _Failure(409, "conflict_error", said) from None
        except errors.DefinitionNotFound:
            raise _definition_missing(key) from None
        except errors.NotConforming as error:
            raise _invalid("data", *_reasons(error)) from None
        return _success("Configuration created", _back(transaction, written, document))

    return write(unit)


@_door("GET", "/<key>/config", "config:read")
def list_configs(key: str) -> ResponseData:
    found = _definition(key)
    look = _Look()
    with look:
        listing = _listing("config_key", found.indexes)
    with look:
        filters = _filters(found)
    with look:
        among = _among(found)
    look.done()
    connection = reader_connection()
    names = NameFilter(f"{key}/", listing.search, never="/", visibility=auth.actor().visibility)
    question = Query(filters, names, among)
    order = Order(listing.path, listing.descending, listing.by)
    listed = index_search.find(
        connection, found.id, question, order, offset=listing.offset, limit=listing.limit
    )
    total = index_search.count(connection, found.id, question)
    ids = [each.service_id for each in listed]
    configurations = rules.configurations(auth.reader(), ids)
    shown = [_shown_config(each) for each in configurations]
    return _success("Configurations listed", listing.answer(shown, total))


@_door("GET", "/<key>/config/<config_key>", "config:read")
def read_config(key: str, config_key: str) -> ResponseData:
    found = _config(_definition(key), config_key)
    if found.text is None:
        raise _config_missing(config_key)  # every version of it is disabled
    return _success("Configuration retrieved", _shown_config(found))


@_door("PUT", "/<key>/config/<config_key>", "config:write")
def update_config(key: str, config_key: str) -> ResponseData:
    found = _definition(key)
    _config(found, config_key)
    body, look = _object(), _Look()
    document = _NOTHING
    with look:
        document = _document(_field(body, "data", dict), f"{key}/{config_key}")
    _finish(look, found, body)
    expect = conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        name = f"{key}/{config_key}"
        try:
            versions.require(transaction.reader, Series(name))
            written = versions.put(transaction, Series(name), document, expect)
        except errors.ServiceNotFound:
            raise _config_missing(config_key) from None
        except errors.NotConforming as error:
            raise _invalid("data", *_reasons(error)) from None
        return _success("Configuration updated", _back(transaction, written, document))

    return write(unit)


@_door("DELETE", "/<key>/config/<config_key>", "config:write")
def delete_config(key: str, config_key: str) -> ResponseData:
    _config(_definition(key), config_key)
    expect = conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        try:
            versions.delete_with_versions(transaction, Series(f"{key}/{config_key}"), expect)
        except errors.ServiceNotFound:
            raise _config_missing(config_key) from None
        gone = {"config_definition_key": key, "config_key": config_key}
        return _success("Configuration deleted", gone)

    return write(unit)


def _back(transaction: Transaction, written: WriteResult, document: Document) -> Any:
    """What was written, without its secrets."""
    return wire.parse_stored(versions.masked_text(transaction, written, document))


# --- what is asked


def _object() -> dict[str, Any]:
    """The body, which must be an object that can be understood in one way."""
    try:
        value = asked.body_value()
        wire.require_unambiguous(value)
    except InvalidDocument as error:
        raise _Wrong(*(_unreadable(each) for each in error.problems)) from None
    if not isinstance(value, dict):
        raise _wrong_field("body", "", "Input should be a valid dictionary")
    return value


def _unreadable(problem: Problem) -> _Mistake:
    parts = problem.pointer.split("/")[1:] or [""]
    return _Mistake(("body", *parts), problem.message, "type_error")


def _field(
    body: dict[str, Any], name: str, kind: type[Value], otherwise: Value | None = None
) -> Value:
    """A field of the body, which must be there unless there is something ``otherwise``."""
    value = body.get(name)
    if value is None and otherwise is not None:
        return otherwise
    if name not in body:
        raise _wrong_field("body", name, _REQUIRED)
    if not isinstance(value, kind):
        raise _wrong_field("body", name, f"Input should be a valid {_KINDS[kind]}")
    return value


_KINDS: dict[type, str] = {str: "string", dict: "dictionary", list: "list"}


def _check_key(key: str, field: str, longest: int = NAME_LENGTH) -> None:
    if not _KEY.fullmatch(key) or len(key) > longest:
        reason = (
            "It must start with a letter, be made of letters, digits and underscores, "
            f"and have at least 3 characters and here at most {longest}."
        )
        raise _invalid(field, reason)


def _schema(value: dict[str, Any]) -> Document:
    try:
        return load_schema(value, asked.schema_limits())
    except Invalid as error:
        raise _invalid("json_schema", *_reasons(error)) from None


def _paths(values: list[Any], schema: Document) -> list[str]:
    if not all(isinstance(each, str) for each in values):
        raise _wrong_field("body", "indexes", "Input should be a valid list of strings")
    try:
        definitions.check_paths(schema, values)
    except Invalid as error:
        raise _invalid("indexes", *(each.message for each in error.problems)) from None
    return values


def _document(data: dict[str, Any], name: str) -> Document:
    if not data:
        raise _invalid("data", "Configuration data must be provided.")
    try:
        return wire.make_document(data, asked.document_limits(), name)
    except Invalid as error:
        raise _invalid("data", *_reasons(error)) from None


def _finish(look: _Look, definition: Definition, body: dict[str, Any]) -> None:
    """Refuses a configuration in which there were mistakes, with what breaks the definition too.

    One without is held to the definition as it is when it is written.
    """
    if look.mistakes:
        with look:
            _refuse_unfit(definition, body.get("data"))
    look.done()


def _refuse_unfit(definition: Definition, data: Any) -> None:
    if not data or not isinstance(data, dict):
        return
    try:
        document = wire.make_object(data, asked.document_limits())
    except InvalidDocument:
        return  # it is no document that could be held to anything
    if MASK in document.text:
        return  # what stands there is not what would be stored
    problems = rules.problems_of(definition.schema, secrets.validation_input(document.text))
    if problems:
        raise _invalid("data", *_said(problems[:_MOST_TOLD]))


def _reasons(error: DistconfError) -> list[str]:
    return _said(error.problems)


def _said(problems: Sequence[Problem]) -> list[str]:
    return [
        f"{where}: {each.message}" if where else each.message
        for each, where in ((each, each.parameter or each.pointer) for each in problems)
    ]


def _definition(key: str) -> Definition:
    found = definitions.lookup(auth.reader(), key)
    if found is not None:
        return found
    _check_key(key, "config_definition_key")  # a key that cannot be says so
    raise _definition_missing(key)


def _config(definition: Definition, config_key: str) -> Configuration:
    connection, name = reader_connection(), f"{definition.name}/{config_key}"
    try:
        service_id = versions.require(auth.reader(), Series(name))
    except errors.ServiceNotFound:
        _check_key(config_key, "config_key")
        raise _config_missing(config_key) from None
    rule = rules.rule_for_service(connection, service_id)
    if rule is None or rule.definition_id != definition.id:
        raise _config_missing(config_key)
    [found] = rules.configurations(auth.reader(), [service_id])
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
    orders: dict[str, By] = {key_field: "name", "created_at": "created", "modified_at": "changed"}
    sort_by = request.args.get("sort_by", "modified_at")
    sort_order = request.args.get("sort_order", "desc")
    search = request.args.get("search", "")
    path = sort_by if sort_by in paths and sort_by not in orders else None
    look = _Look()
    with look:
        page, limit = _page_and_limit()
    with look:
        if sort_by not in orders and path is None:
            raise _invalid_parameter("sort_by", f"Sort field must be one of {[*orders, *paths]}.")
    with look:
        if sort_order not in {"asc", "desc"}:
            raise _invalid_parameter("sort_order", "Sort order must be one of ['asc', 'desc'].")
    with look:
        if search and not _SEARCH.fullmatch(search):
            raise _invalid_parameter(
                "search", "It must be at least three letters, digits or underscores."
            )
    look.done()
    by = orders.get(sort_by, "name")
    return _Listing(page, limit, by, path, sort_order == "desc", search)


def _page_and_limit() -> tuple[int, int]:
    look = _Look()
    with look:
        page = _number("page", 1)
    with look:
        limit = _number("limit", 10)
    look.done()
    if page < 1 or limit < 1:
        raise _invalid_parameter("page/limit", "Page number and limit must be greater than 0.")
    if limit > _MOST_LISTED:
        raise _invalid_parameter("page/limit", f"Limit must not be more than {_MOST_LISTED}.")
    return page, limit


def _number(name: str, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise _wrong_field("query", name, "Input should be a valid integer")
    return int(text)


def _filters(definition: Definition) -> tuple[Filter, ...]:
    """What the parameters ask of the indexes; each is compared as text."""
    filters, look = [], _Look()
    for name, text in request.args.items():
        if name in _LIST_PARAMETERS:
            continue  # also where an index has that name
        with look:
            if name not in definition.indexes:
                known = "'created_at', 'modified_at' or indexes"
                raise _invalid_parameter(name, f"Invalid query parameter. Must be one of: {known}")
            filters.append(Filter(name, "in", _spelled(text)))
    look.done()
    return tuple(filters)


def _among(definition: Definition) -> frozenset[int] | None:
    """The services that were created or modified when the parameters say; None: any time."""
    look = _Look()
    with look:
        created = _moment("created_at")
    with look:
        modified = _moment("modified_at")
    look.done()
    if created is None and modified is None:
        return None
    return rules.at_times(reader_connection(), definition.id, created, modified)


def _moment(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return wire.parse_time(text)
    except (ValueError, OverflowError):
        raise _invalid_parameter(name, "It must be a time, as in 2026-11-21T09:30:00Z.") from None


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


def _success(message: str, data: Any) -> ResponseData:
    return json_response({"status": "SUCCESS", "message": f"{message} successfully.", "data": data})


def _shown_definition(definition: Definition) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "config_definition_key": definition.name,
        "indexes": list(definition.indexes),
        "created_at": wire.format_time(definition.created_at),
        "modified_at": wire.format_time(definition.changed_at),
    }
    schema = definition.document.value
    # Who gave no schema is shown none.
    return {**shown, "json_schema": schema} if schema else shown


def _shown_config(configuration: Configuration) -> dict[str, Any]:
    text = configuration.text
    return {
        "config_key": configuration.name.partition("/")[2],
        "data": None if text is None else wire.parse_stored(text),
        "created_at": wire.format_time(configuration.created_at),
        "modified_at": wire.format_time(configuration.changed_at),
    }
