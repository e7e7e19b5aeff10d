"""The contents of requests: bodies with fields, keys, schemas and documents.

Everything here raises RequestInvalid with the mistakes that it finds.
"""

import re
from typing import Any, TypeVar

from distributed_config import wire
from distributed_config.dialects.base import environment
from distributed_config.dialects.tartarus.errors import (
    REQUIRED,
    Mistake,
    MistakeCollector,
    RequestInvalid,
    definition_missing,
    invalid,
    reasons,
    wrong_field,
)
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.http import auth
from distributed_config.http import request as http_request
from distributed_config.json_schema import load_schema
from distributed_config.services import definitions, secrets
from distributed_config.services.conformance import rules
from distributed_config.services.definitions import Definition
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.wire import MASK, NAME_LENGTH, Document, DocumentLimits

Value = TypeVar("Value")

CREATES = "This creates, and there is no version yet that it could be about. Leave it out."
NOTHING = wire.make_object({}, DocumentLimits())
"""Stands where there is no document, or none that could be read."""

_KEY = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{2,}")
_KINDS: dict[type, str] = {str: "string", dict: "dictionary", list: "list"}
_MOST_PROBLEMS = 100


def body_object() -> dict[str, Any]:
    """Return the body, which has to be an object that can be understood in one way only."""
    try:
        value = http_request.body_value()
        wire.require_unambiguous(value)
    except InvalidDocument as error:
        raise RequestInvalid(*map(_unreadable, error.problems)) from None
    if not isinstance(value, dict):
        raise wrong_field("body", "", "Input should be a valid dictionary")
    return value


def _unreadable(problem: Problem) -> Mistake:
    parts = problem.pointer.split("/")[1:] or [""]
    return Mistake(("body", *parts), problem.message, "type_error")


def field(
    body: dict[str, Any], name: str, kind: type[Value], default: Value | None = None
) -> Value:
    """Return a field of the body; it is required unless there is a ``default``.

    With a default ``null`` counts as left out.
    """
    value = body.get(name)
    if value is None and default is not None:
        return default
    if name not in body:
        raise wrong_field("body", name, REQUIRED)
    if not isinstance(value, kind):
        raise wrong_field("body", name, f"Input should be a valid {_KINDS[kind]}")
    return value


def check_key(key: str, name: str, longest: int = NAME_LENGTH) -> None:
    """Check a key by the dialect's rule, which is stricter than that of service names.

    ``name`` is the field that holds it; ``longest`` leaves room in the service's name.
    """
    # The upper bound is ours: the key becomes a part of a service's name, which has one.
    if not _KEY.fullmatch(key) or len(key) > longest:
        reason = (
            "It must start with a letter, be made of letters, digits and underscores, "
            f"and have at least 3 characters and here at most {longest}."
        )
        raise invalid(name, reason)


def schema_of(value: dict[str, Any]) -> Document:
    """Return the schema of a definition."""
    try:
        return load_schema(value, http_request.schema_limits())
    except Invalid as error:
        raise invalid("json_schema", *reasons(error.problems)) from None


def index_paths(values: list[Any], schema: Document) -> list[str]:
    """Return the paths of indexed properties, each of which ``schema`` has to describe."""
    if not all(isinstance(path, str) for path in values):
        raise wrong_field("body", "indexes", "Input should be a valid list of strings")
    try:
        definitions.check_paths(schema, values)
    except Invalid as error:
        raise invalid("indexes", *(problem.message for problem in error.problems)) from None
    return values


def document_of(data: dict[str, Any], name: str) -> Document:
    """Return the document of a configuration, which is the service ``name``."""
    if not data:
        raise invalid("data", "Configuration data must be provided.")
    try:
        return wire.make_document(data, http_request.document_limits(), name)
    except Invalid as error:
        raise invalid("data", *reasons(error.problems)) from None


def raise_collected(
    collector: MistakeCollector, definition: Definition, body: dict[str, Any]
) -> None:
    """Raise the mistakes of a configuration, with what breaks its ``definition`` among them.

    Without a mistake so far the definition is not looked at: the write itself does that, in its
    transaction, where the definition cannot change any more.
    """
    if collector.mistakes:
        with collector:
            _require_conforming(definition, body.get("data"))
    collector.raise_all()


def _require_conforming(definition: Definition, data: Any) -> None:
    if not data or not isinstance(data, dict):
        return
    if environment() != DEFAULT_ENVIRONMENT:
        return  # what it inherits from other environments counts as well
    try:
        document = wire.make_object(data, http_request.document_limits())
    except InvalidDocument:
        return  # there is no document that could conform to anything
    if MASK in document.text:
        return  # a mask stands for a stored secret, which only the transaction puts in its place
    problems = rules.problems_of(definition.schema, secrets.validation_input(document.text))
    if problems:
        raise invalid("data", *reasons(problems[:_MOST_PROBLEMS]))


def require_definition(key: str) -> Definition:
    """Return the definition ``key``. Raises the dialect's error if there is none."""
    definition = definitions.lookup(auth.reader(), key)
    if definition is not None:
        return definition
    check_key(key, "config_definition_key")  # a key that cannot exist is a mistake, not a miss
    raise definition_missing(key)
