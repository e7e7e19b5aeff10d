"""Filling in what a document leaves out and its schema has a ``default`` for."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from distributed_config.json_schema.shape import Node, Outline, Part
from distributed_config.wire import parse_stored


def filled(text: str, value: dict[str, Any]) -> dict[str, Any]:
    """``value`` with the defaults of the schema in ``text``; ``value`` itself is not changed.

    A property that is missing gets the default of the first schema that has one for it, as it is
    written. What is there stays as it is, null as well, and is filled inside. Alternatives,
    conditions and patterns of names give no defaults: which of them hold is not asked.
    """
    outline = _outline(text)
    made: dict[str, Any] = _filled(outline, [("", outline.schema)], value)
    return made


@lru_cache(maxsize=64)
def _outline(text: str) -> Outline:
    return Outline(parse_stored(text))


def _filled(outline: Outline, parts: list[Part], value: Any) -> Any:
    """``value``, to which every schema of ``parts`` applies."""
    nodes = [outline.node(each) for each in outline.at_once(*parts)]
    if isinstance(value, dict):
        inside = {
            name: _filled(outline, _of_member(nodes, name), member)
            for name, member in value.items()
        }
        return {**inside, **dict(_missing(outline, nodes, value))}
    if isinstance(value, list):
        return [
            _filled(outline, _of_element(nodes, position), element)
            for position, element in enumerate(value)
        ]
    return value


def _of_member(nodes: list[Node], name: str) -> list[Part]:
    found = [node.properties.get(name) or _additional(node) for node in nodes]
    return [part for part in found if part is not None]


def _additional(node: Node) -> Part | None:
    return None if node.patterned else node.additional


def _of_element(nodes: list[Node], position: int) -> list[Part]:
    found = [node.at(position) for node in nodes]
    return [part for part in found if part is not None]


def _missing(
    outline: Outline, nodes: list[Node], value: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """The defaults of what ``value`` lacks."""
    seen = set(value)
    for node in nodes:
        for name, part in node.properties.items():
            schemas = [outline.node(each).schema for each in outline.at_once(part)]
            defaults = [schema["default"] for schema in schemas if "default" in schema]
            if defaults and name not in seen:
                seen.add(name)
                yield name, defaults[0]
