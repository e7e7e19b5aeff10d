"""Doors: one decorator says of a route who may use it, what it takes and what it answers.

What is said here is checked at the door, with every problem at once, and described in the
OpenAPI document; there is no second place to keep in step.
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
from distributed_config.http import request as asked
from distributed_config.http.response import ResponseData, to_response
from distributed_config.wire import escape_pointer


@dataclass(frozen=True)
class Route:
    """What is known of one method of one path. ``answers`` are schemas, or media types."""

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
    """A body for the manual, where it is not any configuration."""


View = Callable[..., ResponseData]

_MOST_ELEMENTS = 10_000
_LONGEST_NAME = 80


def route(blueprint: Blueprint, method: str, path: str, **described: Any) -> Callable[[View], View]:
    """Registers a view under ``method`` and ``path``; the rest is as ``Route`` has it.

    The view is called with the loaded ``query`` and, where one is described, ``body``.
    """

    def register(view: View) -> View:
        text = (view.__doc__ or "").strip()
        summary, _, description = text.partition("\n")
        made = Route(method, path, summary, description=_unindented(description), **described)
        query = None if made.query is None else made.query(unknown=RAISE)
        body = None if made.body is None else made.body(unknown=RAISE)

        @auth.requires(made.permission)
        @wraps(view)
        def enter(**path_values: Any) -> Response:
            loaded: dict[str, Any] = dict(path_values)
            _refuse_conditions(made)
            if query is not None:
                loaded["query"] = _load_query(query)
                asked.exchange_of_request().service = _named_service(loaded["query"])
            if body is None:
                return to_response(view(**loaded))
            value = asked.body_value()
            try:
                loaded["body"] = _load_body(body, value)
                return to_response(view(**loaded))
            except Invalid as error:
                raise _in_order(error, value) from None

        enter.door = made  # type: ignore[attr-defined]  # the OpenAPI document is read from it
        blueprint.add_url_rule(path, f"{method.lower()}_{view.__name__}", enter, methods=[method])
        return view

    return register


def _refuse_conditions(made: Route) -> None:
    """A write that would not heed its condition does nothing; readings have their own use of it."""
    if made.method == "GET":
        return
    problems = [
        Problem("", "This request does not heed it. Leave it out.", "condition", name)
        for name in ("If-Match", "If-None-Match", "If-Unmodified-Since")
        if name in request.headers and name not in made.headers
    ]
    if problems:
        raise Invalid.from_problems(problems)


def _named_service(query: dict[str, Any]) -> str:
    """The one service that a query is about, for the log; empty if it is not about one."""
    name = query.get("service", "")
    return name if isinstance(name, str) else ""


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _load_query(schema: Schema) -> Any:
    """The query's parameters. Unknown ones are refused: a typing error must not be ignored."""
    _refuse_other_encodings()
    many = {name for name, each in schema.fields.items() if each.metadata.get("repeatable")}
    given: dict[str, Any] = {}
    repeated = []
    for name, values in request.args.lists():
        if len(values) > 1 and name not in many:
            repeated.append(Problem("", "It is given more than once.", "repeated", name))
        given[name] = values if name in many else values[0]
    try:
        loaded = schema.load(given)
    except ValidationError as error:
        problems = repeated + _query_problems(error, ", ".join(schema.fields))
        # Marshmallow tells unknown names in the order of a set, another one in each process.
        places = {name[:_LONGEST_NAME]: place for place, name in enumerate(given)}
        problems.sort(key=lambda each: places.get(each.parameter, len(places)))
        raise Invalid.from_problems(problems) from None
    if repeated:
        raise Invalid.from_problems(repeated)
    return loaded


def _refuse_other_encodings() -> None:
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
    """``error`` with its problems in the order of the body ``value``, whoever found them first.

    One that says something of its own besides its problems stays as it is.
    """
    kind = type(error)
    if kind not in {Invalid, InvalidDocument} or len(error.problems) < 2:
        return error
    is_told_by_problems = kind.from_problems(error.problems).detail == error.detail
    return (
        kind.from_problems(wire.in_order(error.problems, value)) if is_told_by_problems else error
    )


def _load_body(schema: Schema, value: Any) -> Any:
    wire.require_unambiguous(value)
    _refuse_long_lists(value)
    try:
        return schema.load(value)
    except ValidationError as error:
        raise InvalidDocument.from_problems(_body_problems("", _messages(error))) from None


def _refuse_long_lists(value: Any) -> None:
    """Before each element is looked at: that alone would take long for a list of very many."""
    fields = value.items() if isinstance(value, dict) else ()
    problems = [
        Problem(f"/{escape_pointer(name)}", f"It has more than {_MOST_ELEMENTS} elements.", "limit")
        for name, each in fields
        if isinstance(each, list) and len(each) > _MOST_ELEMENTS
    ]
    if problems:
        raise InvalidDocument.from_problems(problems)


def _body_problems(pointer: str, messages: Any) -> list[Problem]:
    if isinstance(messages, dict):
        found = []
        for key, below in messages.items():
            child = pointer if key == "_schema" else f"{pointer}/{escape_pointer(str(key))}"
            found += _body_problems(child, below)
        return found
    return [Problem(pointer, text, "schema") for text in _texts(messages)]


def _messages(error: ValidationError) -> dict[Any, Any]:
    """Marshmallow's messages by field; those about the whole are under ``_schema``."""
    found: dict[Any, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]  # it has no types
    return found


def _texts(messages: Any) -> list[str]:
    if isinstance(messages, str):
        return [messages]
    if isinstance(messages, dict):
        return [text for below in messages.values() for text in _texts(below)]
    return [text for each in messages for text in _texts(each)]
