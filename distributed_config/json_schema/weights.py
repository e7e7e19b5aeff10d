"""The cost of the keywords of one schema at one value, in looks.

A look is the time that jsonschema-rs needs to find out that a value has the right type: about ten
nanoseconds. All figures were measured, each at its worst, and are rounded up.
"""

import math
from dataclasses import dataclass
from typing import Any

from distributed_config.json_schema.outline import DRAFT_7, Node, Schema
from distributed_config.json_schema.patterns import matching_cost

_OPTION = 5
_UNEQUAL_NUMBERS = 100  # a fraction is compared exactly, as a ratio of two large integers
_LARGE_NUMBERS = 50
_FORMATS = 10
_INTERNATIONAL = 8  # for each letter: international names are mapped letter by letter
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_LISTS_OF_NAMES = ("dependencies", "dependentRequired", "dependentSchemas")
_MOST_NAMES_COMPARED = 200
_HASHING = 25  # for each value; most of it goes into counting them


@dataclass(frozen=True)
class Weight:
    """The cost of one schema at one value, without the schemas inside it.

    ``value`` is for any value, ``letter`` for each letter of a text, ``number`` for each look that
    ``effort_of`` counts, ``member`` and ``name_letter`` for each member of an object and each
    letter of its name, ``unique`` for comparing the elements of an array with one another.
    ``problems`` is how many problems it may find, in those that cost as much as a simple one.
    """

    value: int = 1
    letter: int = 0
    number: int = 0
    member: int = 1
    name_letter: int = 0
    unique: int = 0
    problems: int = 1


def weight_of(node: Node, draft: str) -> Weight:
    """Return the cost of the keywords of ``node`` in a schema of ``draft``."""
    schema = node.schema
    if draft == DRAFT_7 and "$ref" in schema:
        return Weight()  # in draft 7 nothing beside a $ref counts
    options = _options(schema)
    bounds = [schema[key] for key in _BOUNDS if _is_number(schema.get(key))]
    pattern = schema.get("pattern")
    matching = matching_cost(pattern) if isinstance(pattern, str) else 0
    names = sum(map(matching_cost, node.patterned))
    format_letter = _format_letter(schema)
    dependencies = sum(_length(schema.get(key)) for key in _LISTS_OF_NAMES)
    return Weight(
        value=1
        + _comparing(options)
        + sum(map(effort_of, bounds))
        + matching
        + (_FORMATS if format_letter else 0)
        + dependencies,
        letter=matching + format_letter,
        number=sum(map(_is_number, options)) + len(bounds),
        member=1 + names,
        name_letter=names,
        unique=int(schema.get("uniqueItems") is True),
        problems=1 + dependencies + _problems(node, options),
    )


def effort_of(number: Any) -> int:
    """Return how many more looks it takes to compare ``number`` than a small integer."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return 0
    if isinstance(number, float):
        return _UNEQUAL_NUMBERS + abs(math.frexp(number)[1])
    # Up to 64 bits an integer is one machine word; beyond, comparing grows with the square.
    bits = number.bit_length()
    return 0 if bits < 64 else _LARGE_NUMBERS + bits * bits // 3_000


def _options(schema: Schema) -> list[Any]:
    listed = schema.get("enum", [])
    constant = [schema["const"]] if "const" in schema else []
    return [*constant, *(listed if isinstance(listed, list) else [])]


def _comparing(options: list[Any]) -> int:
    """Return the cost of comparing a value with ``options``."""
    # Texts alone, and small integers alone, are looked up in a table; others one by one.
    if all(isinstance(option, str) for option in options) or all(map(_is_small, options)):
        return 0
    return sum(map(_comparing_with, options))


def _comparing_with(option: Any) -> int:
    if isinstance(option, dict):
        return _OPTION + sum(_OPTION + _comparing_with(value) for value in option.values())
    if isinstance(option, list):
        return _OPTION + sum(map(_comparing_with, option))
    return _OPTION + effort_of(option)


def _format_letter(schema: Schema) -> int:
    named = schema.get("format")
    if not isinstance(named, str):
        return 0
    return _INTERNATIONAL if named.startswith("idn-") else 1


def _problems(node: Node, options: list[Any]) -> int:
    """Return the cost of reporting problems; each carries the part of the schema it is about."""
    closed = node.schema.get("additionalProperties") is False
    closed |= node.schema.get("unevaluatedProperties") is False
    return (
        _length(node.schema.get("required"))
        + sum(map(size_of, options)) // 8
        + size_of(node.schema.get("not")) // 8
        + (4 * min(len(node.properties), _MOST_NAMES_COMPARED) if closed else 0)
    )


def size_of(value: Any) -> int:
    """Return the number of values that ``value`` consists of, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(size_of, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(size_of, value))
    return 1


def comparing_all(elements: list[Any]) -> int:
    """Return the looks that it takes to find out whether ``elements`` are all different."""
    # jsonschema-rs compares hashes, except with large integers, where it compares each with each.
    effort = _largest_integer(elements)
    return _HASHING * size_of(elements) + (effort * len(elements) ** 2 if effort else 0)


def _largest_integer(value: Any) -> int:
    if isinstance(value, dict):
        return max(map(_largest_integer, value.values()), default=0)
    if isinstance(value, list):
        return max(map(_largest_integer, value), default=0)
    return effort_of(value) if isinstance(value, int) else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_small(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and not effort_of(value)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0
