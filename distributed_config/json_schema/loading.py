"""Reading a schema strictly: one that is stored can be compiled, and stays within its bounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jsonschema_rs

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.json_schema.cost import (
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
_META_SCHEMAS = {
    draft: jsonschema_rs.validator_for({"$schema": draft, "$ref": draft}, offline=True)
    for draft in (DRAFT_7, DRAFT_2020_12)
}
_BASED = ("$ref", "$dynamicRef", "$anchor", "$dynamicAnchor")
_NOT_READ = ("$recursiveRef", "$recursiveAnchor", "$vocabulary")


@dataclass(frozen=True)
class SchemaLimits:
    """What a schema may not exceed; see the settings of the same names."""

    size: int = 512 << 10
    depth: int = 64
    keys: int = 60_000


def load_schema(value: Any, limits: SchemaLimits) -> Document:
    """``value`` as a definition will store it. Raises InvalidDocument with every problem in it.

    What it refers to lies inside it: nothing is ever fetched.
    """
    document = make_object(value, DocumentLimits(limits.size, limits.depth, limits.keys))
    draft = draft_of(value)
    if draft is None:
        message = "Drafts 7 and 2020-12 are understood; leave $schema out for 2020-12."
        raise InvalidDocument.from_problems([Problem("/$schema", message, "draft")])
    broken = _META_SCHEMAS[draft].iter_errors(value)
    # 2020-12 is checked by several vocabularies, which may say the same.
    _refuse(list(dict.fromkeys(each for error in broken for each in problems_of(error, []))))
    outline = Outline(value)
    nodes = list(outline.nodes.values())
    _refuse(
        [
            *(each for node in nodes for each in _faults_of_references(outline, node)),
            *(each for node in nodes for each in _faults_of_mark(node)),
            *_faults_of_identities(nodes),
            *_faults_of_size(nodes),
            *_faults_of_patterns(nodes),
        ]
    )
    _refuse(list(_faults_of_cost(outline)))
    _refuse(list(_faults_of_compiling(value)))
    return document


def properties_at(schema: dict[str, Any], path: str) -> list[Keys]:
    """The properties that ``path`` can be read as, in ``schema`` or what it refers to; two at most.

    Raises Invalid for a path that is far too long, or can be read in far too many ways.
    """
    outline = Outline(schema)
    known: dict[tuple[str, ...], dict[str, list[Part]]] = {}

    def step(parts: list[Part], name: str) -> Any:
        pointers = tuple(pointer for pointer, _ in parts)
        if pointers not in known:  # a path tries many names at one place
            known[pointers] = _properties(outline, parts)
        return known[pointers].get(name, MISSING)

    start: list[Part] = [("", schema)]
    return [each.keys for each in islice(readings(path, start, step), 2)]


def _properties(outline: Outline, parts: list[Part]) -> dict[str, list[Part]]:
    """The schemas of every property that ``parts``, or what they refer to, have."""
    found: dict[str, list[Part]] = {}
    for part in outline.at_once(*parts):
        for name, schema in outline.node(part).properties.items():
            found.setdefault(name, []).append(schema)
    return found


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidDocument.from_problems(problems)


def _faults_of_references(outline: Outline, node: Node) -> Iterator[Problem]:
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
    for key in _NOT_READ:
        if key in node.schema:
            yield Problem(f"{node.pointer}/{key}", "It is not understood here.", key)


def _faults_of_identities(nodes: list[Node]) -> Iterator[Problem]:
    """A part may have an ``$id`` as a name. What it would change the meaning of is refused."""
    named = [f"{node.pointer}/" for node in nodes if node.pointer and _is_named(node)]
    if not named:
        return
    for node in nodes:
        based = [key for key in _BASED if key in node.schema]
        if based and f"{node.pointer}/".startswith(tuple(named)):
            message = (
                f"It has {based[0]}, and lies in a part with an $id of its own, by which that "
                "would be understood. Leave that $id out."
            )
            yield Problem(node.pointer, message, "$id")


def _is_named(node: Node) -> bool:
    return not str(node.schema.get("$id", "#")).startswith("#")


def _faults_of_mark(node: Node) -> Iterator[Problem]:
    """A mark that is misspelt would leave a secret in the clear."""
    if not isinstance(node.schema.get(KEYWORD, False), bool):
        yield Problem(f"{node.pointer}/{KEYWORD}", "It is true or false.", KEYWORD)


def _faults_of_size(nodes: list[Node]) -> Iterator[Problem]:
    if len(nodes) > _MOST_SCHEMAS:
        message = f"It has {len(nodes)} schemas in it, of at most {_MOST_SCHEMAS}."
        yield Problem("", message, "size")


def _faults_of_patterns(nodes: list[Node]) -> Iterator[Problem]:
    patterns = [each for node in nodes for each in node.patterns]
    if len(patterns) > _MOST_PATTERNS:
        message = f"It has {len(patterns)} patterns, of at most {_MOST_PATTERNS}."
        yield Problem("", message, "size")
        return
    size = 0
    for pointer, pattern in patterns:
        own = program_size(pattern)
        if own is None:
            message = (
                f"{to_text(pattern)} is not a pattern that is read here, or is too large; "
                "look-around and back-references are not."
            )
            yield Problem(pointer, message, "pattern")
        size += own or LARGEST
        if size > _MOST_OF_PATTERNS:
            message = "Its patterns are too large together; use fewer repetitions and classes."
            yield Problem(pointer, message, "size")
            return


def _faults_of_cost(outline: Outline) -> Iterator[Problem]:
    try:
        most = most_in_place(outline)
    except LoopsInPlace as loop:
        message = "It refers to itself without going deeper into the document."
        yield Problem(str(loop), message, "$ref")
        return
    if most.looks > MOST_LOOKS:
        message = (
            f"It makes one value be looked at more than {MOST_LOOKS} times, whatever the document: "
            "its alternatives and references multiply. Say the same in fewer."
        )
        yield Problem("", message, "cost")
    if most.nested > MOST_NESTED:
        message = (
            f"It has {most.nested} schemas for one value, each inside the one before, of at most "
            f"{MOST_NESTED}. Say the same in fewer steps."
        )
        yield Problem("", message, "cost")


def _faults_of_compiling(value: dict[str, Any]) -> Iterator[Problem]:
    """What only the compiler finds."""
    try:
        jsonschema_rs.validator_for(value, **compiling())
    except jsonschema_rs.ValidationError as error:
        yield from problems_of(error, [])
    except ValueError as error:
        yield Problem("", f"It cannot be compiled: {error}.", "schema")
