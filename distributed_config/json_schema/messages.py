"""Problems of a document in words.

No message contains a value of the document, because that may be a secret.
"""

import difflib
import json
from collections.abc import Callable
from typing import Any

from jsonschema_rs import ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

from distributed_config.errors import Problem
from distributed_config.wire import escape_pointer

_LONGEST = 200
# Comparing a misspelt name takes some microseconds for each name that there is.
_MOST_SUGGESTED, _MOST_KNOWN, _LONGEST_SUGGESTED = 5, 200, 100
_KINDS = {
    "array": "an array",
    "integer": "a whole number",
    "object": "an object",
    "boolean": "true or false",
    "null": "null",
    "number": "a number",
    "string": "a string",
}
_LIMITS = {
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
    "minItems": "of at least {} elements",
    "maxItems": "of at most {} elements",
    "minProperties": "of at least {} keys",
    "maxProperties": "of at most {} keys",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
}


def problems_of(error: ValidationError, known: list[str]) -> list[Problem]:
    """Return one broken rule as problems.

    ``known`` are the properties that the place may have, for suggestions.
    """
    pointer = pointer_of(error.instance_path)
    kind = error.kind
    if isinstance(kind, Kind.AdditionalProperties | Kind.UnevaluatedProperties):
        # One problem for each property: an editor marks each at its own place.
        return [
            Problem(
                f"{pointer}/{escape_pointer(name)}",
                _unknown(name, known if position < _MOST_SUGGESTED else []),
                kind.name,
            )
            for position, name in enumerate(kind.unexpected)
        ]
    return [Problem(pointer, _sentence(error), _rule(kind))]


def pointer_of(path: list[str | int]) -> str:
    """Return the JSON pointer of a path of keys and positions."""
    return "".join(f"/{escape_pointer(str(key))}" for key in path)


def to_text(value: Any) -> str:
    """Return a value of a schema as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def types_in_words(types: list[str]) -> str:
    """Render ``["string", "null"]`` as ``a string or null``."""
    return " or ".join(_KINDS.get(name, name) for name in types)


def _rule(kind: Kind) -> str:
    return "false" if isinstance(kind, Kind.FalseSchema) else kind.name


def _sentence(error: ValidationError) -> str:
    kind = error.kind
    if isinstance(kind, Kind.AnyOf | Kind.OneOfNotValid):
        message = f"It fits none of the {len(kind.context)} alternatives."
        return message + _nearest(error, kind.context)
    if isinstance(kind, Kind.PropertyNames):
        return f"A key in it is not allowed: {_sentence(kind.error)}"
    if kind.name in _LIMITS:
        return f"It must be {_LIMITS[kind.name].format(kind.value)}."
    render = _SENTENCES.get(type(kind))
    return f"It breaks the rule {kind.name}." if render is None else render(kind)


_SENTENCES: dict[type, Callable[[Any], str]] = {
    Kind.Type: lambda kind: f"It must be {types_in_words(kind.types)}.",
    Kind.Required: lambda kind: f"{to_text(kind.property)} is missing; it is required.",
    Kind.Enum: lambda kind: f"It must be one of: {', '.join(map(to_text, kind.options[:20]))}.",
    Kind.Constant: lambda kind: f"It must be {to_text(kind.expected_value)}.",
    Kind.Pattern: lambda kind: f"It must match the pattern {kind.pattern[:_LONGEST]}.",
    Kind.Format: lambda kind: f"It must be in the format {kind.format}.",
    Kind.MultipleOf: lambda kind: f"It must be a multiple of {kind.multiple_of}.",
    Kind.UniqueItems: lambda _: "Its elements must all be different.",
    Kind.FalseSchema: lambda _: "Nothing is allowed here; leave it out.",
    Kind.Contains: lambda _: "Too few or too many of its elements match `contains`.",
    Kind.Not: lambda kind: f"It must not match what is ruled out: {to_text(kind.schema)}.",
    Kind.OneOfMultipleValid: lambda _: "It fits several alternatives, and must fit exactly one.",
    Kind.AdditionalItems: lambda kind: f"It has at most {kind.limit} elements.",
    Kind.UnevaluatedItems: lambda _: "It has elements that the schema does not allow.",
}


def _nearest(error: ValidationError, context: list[list[ValidationError]]) -> str:
    """Return what is wrong according to the alternative that comes nearest."""
    failed = [errors for errors in context if errors]
    if not failed:
        return ""

    # An alternative that got deeper into the value before it failed is likelier the one that was
    # meant; after that, the one with the fewest problems.
    def distance(errors: list[ValidationError]) -> tuple[int, int]:
        return -max(len(each.instance_path) for each in errors), len(errors)

    first = min(failed, key=distance)[0]
    inner = pointer_of(first.instance_path).removeprefix(pointer_of(error.instance_path))
    where = f"{inner}: " if inner else ""
    return f" The nearest one: {where}{_sentence(first)}"


def _unknown(name: str, known: list[str]) -> str:
    likely = known[:_MOST_KNOWN] if len(name) <= _LONGEST_SUGGESTED else []
    near = difflib.get_close_matches(name, likely, 1)
    if near:
        return f"There is no such property; did you mean {to_text(near[0])}?"
    if known and len(known) <= 20:
        return f"There is no such property; there are: {', '.join(sorted(known))}."
    return "There is no such property; leave it out."
