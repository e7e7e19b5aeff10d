"""Filling in what a document leaves out, where its schema has a ``default``."""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

import jsonschema_rs

from distributed_config.json_schema.cost import Meter, TooMuchWork
from distributed_config.json_schema.outline import DRAFT_7, Node, Outline, Part
from distributed_config.json_schema.patterns import compiling
from distributed_config.wire import parse_stored

_HERE = "https://schema.invalid/"  # never fetched: it is the schema itself


def fill_defaults(text: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return ``value`` with the defaults of the schema in ``text``; ``value`` is not changed.

    A missing property gets the default of the first schema that has one for it, as it is written,
    unless one of the schemas of the property refuses it. What is there stays as it is, null
    included, and is filled inside. Alternatives, conditions and patterns of names give no defaults:
    they may hold for one document and not for the next.
    """
    defaults = _defaults_of(text)
    filled: dict[str, Any] = _fill(defaults, [("", defaults.outline.schema)], value)
    return filled


class _Defaults:
    """The defaults in a schema, and a check of which of them may be filled in."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.outline = Outline(schema)
        self._fitting: dict[tuple[str, ...], bool] = {}

    def fits(self, parts: list[Part], default: Any) -> bool:
        """Whether all of ``parts``, the schemas of one property, allow it to be ``default``."""
        key = tuple(pointer for pointer, _ in parts)
        if key not in self._fitting:
            self._fitting[key] = self._is_allowed(parts, default)
        return self._fitting[key]

    def _is_allowed(self, parts: list[Part], default: Any) -> bool:
        if self._validator is None:
            return False
        try:
            for part in parts:
                self._meter.require_affordable(default, at=part)
        except TooMuchWork:
            return False
        return self._validator.is_valid({pointer: default for pointer, _ in parts})

    @cached_property
    def _meter(self) -> Meter:
        return Meter(self.outline)

    @cached_property
    def _validator(self) -> jsonschema_rs.Validator | None:
        """A validator of objects that have a value for each pointer of a property's schema.

        One for all properties, because compiling takes as long for one as for all. None: the schema
        cannot be referred to from outside, because a part of it has an ``$id``.
        """
        pointers = {
            part[0] for node in self.outline.nodes.values() for part in node.properties.values()
        }
        draft = jsonschema_rs.Draft7 if self.outline.draft == DRAFT_7 else jsonschema_rs.Draft202012
        schema = {
            "$schema": self.outline.draft,
            "properties": {pointer: {"$ref": f"{_HERE}#{quote(pointer)}"} for pointer in pointers},
        }
        try:
            registry = jsonschema_rs.Registry([(_HERE, self.outline.schema)], draft=draft)
            return jsonschema_rs.validator_for(schema, registry=registry, **compiling())
        except ValueError:
            return None


@lru_cache(maxsize=64)
def _defaults_of(text: str) -> _Defaults:
    return _Defaults(parse_stored(text))


def _fill(defaults: _Defaults, parts: list[Part], value: Any) -> Any:
    """Return ``value`` with its defaults; every schema of ``parts`` applies to it."""
    outline = defaults.outline
    nodes = [outline.node(part) for part in outline.at_once(*parts)]
    if isinstance(value, dict):
        inside = {
            name: _fill(defaults, _of_member(nodes, name), member) for name, member in value.items()
        }
        return {**inside, **dict(_missing(defaults, nodes, value))}
    if isinstance(value, list):
        return [
            _fill(defaults, _of_element(nodes, position), element)
            for position, element in enumerate(value)
        ]
    return value


def _of_member(nodes: list[Node], name: str) -> list[Part]:
    parts = [node.properties.get(name) or _additional(node) for node in nodes]
    return [part for part in parts if part is not None]


def _additional(node: Node) -> Part | None:
    # With patterns it depends on the name, and patterns give no defaults.
    return None if node.patterned else node.additional


def _of_element(nodes: list[Node], position: int) -> list[Part]:
    parts = [node.at(position) for node in nodes]
    return [part for part in parts if part is not None]


def _missing(
    defaults: _Defaults, nodes: list[Node], value: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield the names that ``value`` lacks, each with its default."""
    for name in dict.fromkeys(name for node in nodes for name in node.properties):
        if name in value:
            continue
        parts = [node.properties[name] for node in nodes if name in node.properties]
        default = next(_defaults_for(defaults.outline, parts), None)
        if default is not None and defaults.fits(parts, default[0]):
            yield name, default[0]


def _defaults_for(outline: Outline, parts: list[Part]) -> Iterator[tuple[Any]]:
    """Yield the defaults that the schemas of one property have for it.

    Each is in a tuple of its own, because None is a default as well: JSON's null.
    """
    for part in parts:
        for other in outline.at_once(part):
            schema = outline.node(other).schema
            if "default" in schema:
                yield (schema["default"],)
