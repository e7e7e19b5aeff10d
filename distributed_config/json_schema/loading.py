"""Strict loading of schemas: what is stored compiles, and stays within its bounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jsonschema_rs

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.json_schema.in_place import (
    MOST_LOOKS,
    MOST_NESTED,
    LoopsInPlace,
    most_in_place,
)
from distributed_config.json_schema.messages import problems_of, to_text
from distributed_config.json_schema.outline import (
    DRAFT_7,
    DRAFT_2020_12,
    Node,
    Outline,
    Part,
    draft_of,
)
from distributed_config.json_schema.patterns import LARGEST, compiling, program_size
from distributed_config.json_schema.secret_marks import KEYWORD
from distributed_config.wire import Document, DocumentLimits, make_object
from distributed_config.wire.paths import MISSING, Keys, readings

_MOST_SCHEMAS = 5_000
_MOST_PATTERNS = 200
_MOST_OF_PATTERNS = 8 << 20  # bytes when compiled, which takes 20 ms
# Compiled when the module is loaded, and not at the first request that needs them.
_META_SCHEMAS = {
    draft: jsonschema_rs.validator_for({"$schema": draft, "$ref": draft}, offline=True)
    for draft in (DRAFT_7, DRAFT_2020_12)
}
_BASED = ("$ref", "$dynamicRef", "$anchor", "$dynamicAnchor")
_UNSUPPORTED = ("$recursiveRef", "$recursiveAnchor", "$vocabulary")


@dataclass(frozen=True)
class SchemaLimits:
    """The limits of a schema; see the settings of the same names."""

    size: int = 512 << 10
    depth: int = 64
    keys: int = 60_000


def load_schema(value: Any, limits: SchemaLimits) -> Document:
    """Return ``value`` as a definition stores it. Raises InvalidDocument with every problem.

    All references must lead into the schema itself: nothing is ever fetched.
    """
    document = make_object(value, DocumentLimits(limits.size, limits.depth, limits.keys))
    draft = draft_of(value)
    if draft is None:
        message = "Drafts 7 and 2020-12 are supported; leave $schema out for 2020-12."
        raise InvalidDocument.from_problems([Problem("/$schema", message, "draft")])
    # Each step needs what the one before has made sure of, hence several refusals and not one.
    errors = _META_SCHEMAS[draft].iter_errors(value)
    # 2020-12 is checked by several vocabularies, which may report the same problem.
    _refuse(list(dict.fromkeys(problem for error in errors for problem in problems_of(error, []))))
    outline = Outline(value)
    nodes = list(outline.nodes.values())
    _refuse(
        [
            *(problem for node in nodes for problem in _problems_of_references(outline, node)),
            *(problem for node in nodes for problem in _problems_of_mark(node)),
            *_problems_of_identities(nodes),
            *_problems_of_size(nodes),
            *_problems_of_patterns(nodes),
        ]
    )
    _refuse(list(_problems_of_cost(outline)))
    _refuse(list(_problems_of_compiling(value)))
    return document


def properties_at(schema: dict[str, Any], path: str) -> list[Keys]:
    """Return the properties that ``path`` may mean in ``schema``; at most two.

    Those of the schemas that it refers to count as well. Raises Invalid for a path that is far too
    long, or can be read in far too many ways.
    """
    outline = Outline(schema)
    known: dict[tuple[str, ...], dict[str, list[Part]]] = {}

    def step(parts: list[Part], name: str) -> Any:
        pointers = tuple(pointer for pointer, _ in parts)
        if pointers not in known:  # a path tries many names at one place
            known[pointers] = _properties(outline, parts)
        return known[pointers].get(name, MISSING)

    start: list[Part] = [("", schema)]
    # Two are enough: the caller only has to know whether the path is ambiguous.
    return [reading.keys for reading in islice(readings(path, start, step), 2)]


def _properties(outline: Outline, parts: list[Part]) -> dict[str, list[Part]]:
    """Return, by name, the schemas of the properties of ``parts`` and what they refer to."""
    properties: dict[str, list[Part]] = {}
    for part in outline.at_once(*parts):
        for name, schema in outline.node(part).properties.items():
            properties.setdefault(name, []).append(schema)
    return properties


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidDocument.from_problems(problems)


def _problems_of_references(outline: Outline, node: Node) -> Iterator[Problem]:
    for reference in node.references:
        if outline.target(reference) is not None:
            continue
        if reference.startswith("#"):
            yield Problem(node.pointer, f"{to_text(reference)} leads to no schema.", "$ref")
            continue
        message = (
            f"{to_text(reference)} lies outside, and nothing is fetched. "
            "Put what it means under $defs, and refer to it as #/$defs/…."
        )
        yield Problem(node.pointer, message, "$ref")
    for key in _UNSUPPORTED:
        if key in node.schema:
            yield Problem(f"{node.pointer}/{key}", "It is not supported.", key)


def _problems_of_identities(nodes: list[Node]) -> Iterator[Problem]:
    """Yield what an ``$id`` inside the schema would change the meaning of.

    Such an ``$id`` may stand there as a name. But references and anchors under it would resolve
    against it, and other validators do that in different ways.
    """
    named = [f"{node.pointer}/" for node in nodes if node.pointer and _is_named(node)]
    if not named:
        return
    for node in nodes:
        based = [key for key in _BASED if key in node.schema]
        if based and f"{node.pointer}/".startswith(tuple(named)):
            message = (
                f"It has {based[0]}, and lies in a part with an $id of its own, against which that "
                "would be resolved. Leave that $id out."
            )
            yield Problem(node.pointer, message, "$id")


def _is_named(node: Node) -> bool:
    return not str(node.schema.get("$id", "#")).startswith("#")


def _problems_of_mark(node: Node) -> Iterator[Problem]:
    # A mark with a wrong value would be ignored, and would leave a secret in the clear.
    if not isinstance(node.schema.get(KEYWORD, False), bool):
        yield Problem(f"{node.pointer}/{KEYWORD}", "It must be true or false.", KEYWORD)


def _problems_of_size(nodes: list[Node]) -> Iterator[Problem]:
    if len(nodes) > _MOST_SCHEMAS:
        message = f"It contains {len(nodes)} schemas; at most {_MOST_SCHEMAS} are allowed."
        yield Problem("", message, "size")


def _problems_of_patterns(nodes: list[Node]) -> Iterator[Problem]:
    patterns = [pattern for node in nodes for pattern in node.patterns]
    if len(patterns) > _MOST_PATTERNS:
        message = f"It has {len(patterns)} patterns; at most {_MOST_PATTERNS} are allowed."
        yield Problem("", message, "size")
        return
    size = 0
    for pointer, pattern in patterns:
        own = program_size(pattern)
        if own is None:
            message = (
                f"{to_text(pattern)} is no supported pattern, or is too large; "
                "look-around and back-references are not supported."
            )
            yield Problem(pointer, message, "pattern")
        # One that cannot be compiled counts as the largest: finding that out takes as long.
        size += own or LARGEST
        if size > _MOST_OF_PATTERNS:
            message = "Its patterns are too large together; use fewer repetitions and classes."
            yield Problem(pointer, message, "size")
            return


def _problems_of_cost(outline: Outline) -> Iterator[Problem]:
    try:
        most = most_in_place(outline)
    except LoopsInPlace as loop:
        message = "It refers to itself without going deeper into the document."
        yield Problem(str(loop), message, "$ref")
        return
    if most.looks > MOST_LOOKS:
        message = (
            f"It checks one value more than {MOST_LOOKS} times, whatever the document: its "
            "alternatives and references multiply. Use fewer of them."
        )
        yield Problem("", message, "cost")
    if most.nested > MOST_NESTED:
        message = (
            f"It has {most.nested} schemas for one value, each inside the one before; at most "
            f"{MOST_NESTED} are allowed. Use fewer steps."
        )
        yield Problem("", message, "cost")


def _problems_of_compiling(value: dict[str, Any]) -> Iterator[Problem]:
    """Yield the problems that only the compiler finds."""
    try:
        jsonschema_rs.validator_for(value, **compiling())
    except jsonschema_rs.ValidationError as error:
        yield from problems_of(error, [])
    except ValueError as error:
        yield Problem("", f"It cannot be compiled: {error}.", "schema")
