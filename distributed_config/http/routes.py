"""Routes: one decorator states who may use a route, what it takes and what it returns.

What a route states is checked before its view runs, with every problem at once, and is described
in the OpenAPI document: there is no second place to keep in step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Blueprint, Response, request
from marshmallow import RAISE, Schema, ValidationError

from distributed_config import wire
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.http import auth
from distributed_config.http import request as http_request
from distributed_config.http.response import ResponseData, to_response
from distributed_config.wire import escape_pointer


@dataclass(frozen=True)
class Route:
    """One method of one path, as it is checked and described.

    ``answers`` has, for each status, the schema of a JSON response, or its media types; ``""``
    is a response without a body. ``refusals`` are the statuses of errors that are this route's
    own. ``headers`` are the request headers that it uses.
    """

    method: str
    path: str
    summary: str
    permission: str
    query: type[Schema] | None = None
    body: type[Schema] | None = None
    body_types: tuple[str, ...] = ()
    answers: Mapping[int, type[Schema] | str | tuple[str, ...]] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    description: str = ""
    example: Any = None
    """A body for the manual, where the usual example of a configuration would be wrong."""


View = Callable[..., ResponseData]

# No list in a body of ours is meant to be this long.
_MOST_ELEMENTS = 10_000
# Errors quote a parameter's name: a response must not grow with what a client makes up.
_LONGEST_NAME = 80


def route(blueprint: Blueprint, method: str, path: str, **options: Any) -> Callable[[View], View]:
    """Register a view under ``method`` and ``path``; ``options`` are the fields of ``Route``.

    The view is called with the loaded ``query`` and ``body``, where there are schemas for them.
    Its docstring is the summary and description of the OpenAPI document.
    """

    def register(view: View) -> View:
        text = (view.__doc__ or "").strip()
        summary, _, description = text.partition("\n")
        described = Route(method, path, summary, description=_unindented(description), **options)
        # Loaders are made once: a schema copies its fields when it is made.
        query = None if described.query is None else described.query(unknown=RAISE)
        body = None if described.body is None else described.body(unknown=RAISE)

        @auth.requires(described.permission)
        @wraps(view)
        def endpoint(**path_values: Any) -> Response:
            loaded: dict[str, Any] = dict(path_values)
            _refuse_conditions(described)
            if query is not None:
                loaded["query"] = _load_query(query)
                # The access log and the metrics name the service, whatever becomes of the request.
                http_request.exchange_of_request().service = _named_service(loaded["query"])
            if body is None:
                return to_response(view(**loaded))
            # The body is read only now: a request that fails for its query costs no parsing.
            value = http_request.body_value()
            try:
                loaded["body"] = _load_body(body, value)
                return to_response(view(**loaded))
            except Invalid as error:
                raise _in_order(error, value) from None

        endpoint.route = described  # type: ignore[attr-defined]  # the OpenAPI document reads it
        name = f"{method.lower()}_{view.__name__}"
        blueprint.add_url_rule(path, name, endpoint, methods=[method])
        return view

    return register


def _refuse_conditions(described: Route) -> None:
    """Raise Invalid if a write has a condition that this route would ignore.

    Whoever sends ``If-Match`` relies on it: a write that ignored it could overwrite what the
    sender has not seen. To a read a condition that does not apply does no harm.
    """
    if described.method == "GET":
        return
    problems = [
        Problem("", "This route cannot apply it. Leave it out.", "condition", name)
        for name in ("If-Match", "If-None-Match", "If-Unmodified-Since")
        if name in request.headers and name not in described.headers
    ]
    if problems:
        raise Invalid.from_problems(problems)


def _named_service(query: dict[str, Any]) -> str:
    """Return the one service that a query is about, for the log; "" if it is not about one."""
    name = query.get("service", "")
    return name if isinstance(name, str) else ""


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _load_query(schema: Schema) -> Any:
    """Return the query's parameters.

    Raises Invalid with every problem. A parameter that the route does not know is one: a
    misspelled ``dry_run`` must not turn a rehearsal into a write.
    """
    _refuse_other_encodings()
    many = {name for name, field in schema.fields.items() if field.metadata.get("repeatable")}
    parameters: dict[str, Any] = {}
    repeated = []
    for name, values in request.args.lists():
        if len(values) > 1 and name not in many:
            # Werkzeug would take the first one, other servers the last: a proxy could be made to
            # see something else than we do.
            repeated.append(
                Problem("", "It appears more than once. Send it once.", "repeated", name)
            )
        parameters[name] = values if name in many else values[0]
    try:
        loaded = schema.load(parameters)
    except ValidationError as error:
        problems = repeated + _query_problems(error, ", ".join(schema.fields))
        # Marshmallow reports unknown names in the order of a set, which differs from process to
        # process; the order of the request is the same everywhere.
        positions = {name[:_LONGEST_NAME]: position for position, name in enumerate(parameters)}
        problems.sort(key=lambda problem: positions.get(problem.parameter, len(positions)))
        raise Invalid.from_problems(problems) from None
    if repeated:
        raise Invalid.from_problems(repeated)
    return loaded


def _refuse_other_encodings() -> None:
    """Raise Invalid if the query is not UTF-8, which werkzeug would decode with replacements."""
    # Almost every query ends here: the loop below would cost each hot read.
    if b"%" not in request.query_string and request.query_string.isascii():
        return
    problems = []
    for pair in request.query_string.split(b"&"):
        name, _, value = (
            unquote_to_bytes(part.replace(b"+", b" ")) for part in pair.partition(b"=")
        )
        try:
            value.decode()
        except UnicodeDecodeError:
            message = "It is not UTF-8, each byte as %XX."
            problems.append(Problem("", message, "utf-8", name[:80].decode(errors="replace")))
    if problems:
        raise Invalid.from_problems(problems)


def _query_problems(error: ValidationError, known: str) -> list[Problem]:
    problems = []
    for name, messages in _messages(error).items():
        for message in _texts(messages):
            unknown = message == "Unknown field."
            text = f"It is not a parameter here; these are: {known}." if unknown else message
            problems.append(Problem("", text, "query", str(name)[:_LONGEST_NAME]))
    return problems


def _in_order(error: Invalid, value: Any) -> Invalid:
    """Return ``error`` with its problems in the order of the body ``value``.

    They come from several checks, one after the other; a reader goes through the body once. An
    error whose ``detail`` is its own, and not made of its problems, stays as it is.
    """
    kind = type(error)
    if kind not in {Invalid, InvalidDocument} or len(error.problems) < 2:
        return error
    if kind.from_problems(error.problems).detail != error.detail:
        return error
    return kind.from_problems(wire.in_order(error.problems, value))


def _load_body(schema: Schema, value: Any) -> Any:
    wire.require_unambiguous(value)
    _refuse_long_lists(value)
    try:
        return schema.load(value)
    except ValidationError as error:
        raise InvalidDocument.from_problems(_body_problems("", _messages(error))) from None


def _refuse_long_lists(value: Any) -> None:
    """Raise InvalidDocument for a list that is too long, before its elements are checked.

    Marshmallow would make an error for each element, and a body has room for millions.
    """
    fields = value.items() if isinstance(value, dict) else ()
    problems = [
        Problem(f"/{escape_pointer(name)}", f"It has more than {_MOST_ELEMENTS} elements.", "limit")
        for name, field_value in fields
        if isinstance(field_value, list) and len(field_value) > _MOST_ELEMENTS
    ]
    if problems:
        raise InvalidDocument.from_problems(problems)


def _body_problems(pointer: str, messages: Any) -> list[Problem]:
    if isinstance(messages, dict):
        problems = []
        for key, below in messages.items():
            child = pointer if key == "_schema" else f"{pointer}/{escape_pointer(str(key))}"
            problems += _body_problems(child, below)
        return problems
    return [Problem(pointer, text, "schema") for text in _texts(messages)]


def _messages(error: ValidationError) -> dict[Any, Any]:
    """Return marshmallow's messages by field; those about the whole are under ``_schema``."""
    messages: dict[Any, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]  # it has no types
    return messages


def _texts(messages: Any) -> list[str]:
    if isinstance(messages, str):
        return [messages]
    if isinstance(messages, dict):
        return [text for below in messages.values() for text in _texts(below)]
    return [text for message in messages for text in _texts(message)]
