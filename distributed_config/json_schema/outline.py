"""The schemas inside a schema, and the part of a value that each applies to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from distributed_config.wire import escape_pointer, parse_pointer

Schema = dict[str, Any]
Part = tuple[str, Any]
"""The pointer of a schema, and the schema: an object, or true or false."""

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"
# A $dynamicRef leads where a $ref would, as long as only one anchor has its name; otherwise the
# outline is ambiguous.
REFERENCES = ("$ref", "$dynamicRef")

# These apply to the value itself.
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_ONES = ("not", "if", "then", "else")
_SAME_MAPS = ("dependentSchemas", "dependencies")
# These apply to every member of an object, and to every element of an array.
_ALL_MEMBERS = ("unevaluatedProperties", "propertyNames")
_ALL_ELEMENTS = ("contains", "unevaluatedItems")
# These apply to nothing by themselves: they are there to be referred to.
_STORES = ("$defs", "definitions")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_HOLDING_SCHEMAS = frozenset(
    {
        *_SAME_LISTS,
        *_SAME_ONES,
        *_SAME_MAPS,
        *_ALL_MEMBERS,
        *_ALL_ELEMENTS,
        *_STORES,
        "properties",
        "patternProperties",
        "additionalProperties",
        "prefixItems",
        "items",
        "additionalItems",
    }
)

_ONLY_IN_7 = frozenset({"additionalItems", "contentMediaType", "contentEncoding"})
_ONLY_IN_2020_12 = frozenset(
    {
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "dependentRequired",
        "dependentSchemas",
        "maxContains",
        "minContains",
        "prefixItems",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)


@dataclass
class Node:
    """One schema inside a schema, by what it hands on to others.

    ``references`` and ``same`` apply to the same value. To a member of an object applies the one
    of ``properties`` that has its name, or else ``additional``; those of ``patterned`` that match;
    and each of ``all_members``. To an element of an array applies the one of ``positions``, or
    else ``rest``; and each of ``all_elements``.
    """

    pointer: str
    schema: Schema
    references: list[str] = field(default_factory=list)
    same: list[Part] = field(default_factory=list)
    properties: dict[str, Part] = field(default_factory=dict)
    patterned: dict[str, Part] = field(default_factory=dict)
    additional: Part | None = None
    all_members: list[Part] = field(default_factory=list)
    positions: list[Part] = field(default_factory=list)
    rest: Part | None = None
    all_elements: list[Part] = field(default_factory=list)

    @property
    def member_groups(self) -> list[list[Part]]:
        """The schemas for members: to each member all groups apply, and of each group only one."""
        named = [*self.properties.values(), *_as_list(self.additional)]
        return [named, *([part] for part in (*self.patterned.values(), *self.all_members))]

    @property
    def element_groups(self) -> list[list[Part]]:
        """The schemas for elements: to each element all groups apply, and of each only one."""
        listed = [*self.positions, *_as_list(self.rest)]
        return [listed, *([part] for part in self.all_elements)]

    @property
    def patterns(self) -> list[Part]:
        """The patterns for texts and for names of members, each with its pointer before it."""
        pattern = self.schema.get("pattern")
        keyed = self.schema.get("patternProperties")
        return [
            *([(f"{self.pointer}/pattern", pattern)] if isinstance(pattern, str) else []),
            *((f"{self.pointer}/patternProperties", name) for name in keyed or ()),
        ]

    def at(self, position: int) -> Part | None:
        """Return what applies to the element at ``position``, besides ``all_elements``."""
        return self.positions[position] if position < len(self.positions) else self.rest


class Outline:
    """Every schema inside ``schema``, by its pointer, and where its references lead."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.draft = draft_of(schema) or DRAFT_2020_12
        self.nodes: dict[str, Node] = {}
        self.is_ambiguous = False
        """Whether two schemas have the same anchor: which one is meant depends on the reader."""
        self._anchors: dict[str, str] = {}
        self._targets: dict[str, Part] = {}
        self._add(("", schema))
        # A reference may lead to a place where no keyword has a schema, such as `#/x-types/port`.
        # Those are added one by one, since they may refer to more of them.
        waiting = list(self.nodes.values())
        while waiting:
            for reference in waiting.pop().references:
                target = self.target(reference)
                if target is not None and target[0] not in self.nodes:
                    waiting += self._add(target)

    def node(self, part: Part) -> Node:
        """Return the node of ``part``, which lies inside the schema."""
        return self.nodes[part[0]]

    def target(self, reference: str) -> Part | None:
        """Return what ``reference`` leads to; None if that is nothing inside the schema."""
        if reference not in self._targets:
            target = self._find(reference)
            # Not cached: while the outline is built, an anchor may still be added.
            if target is None:
                return None
            self._targets[reference] = target
        return self._targets[reference]

    def at_once(self, *start: Part) -> Iterator[Part]:
        """Yield ``start``, and all that holds for the same value whenever these do, each once.

        References and ``allOf`` are followed; alternatives and conditions are not.
        """
        seen: set[str] = set()
        waiting = list(start)
        while waiting:
            part = waiting.pop(0)
            if part[0] in seen:
                continue
            seen.add(part[0])
            yield part
            node = self.node(part)
            targets = map(self.target, node.references)
            waiting += [target for target in targets if target is not None]
            waiting += _listed(node, "allOf")

    def _find(self, reference: str) -> Part | None:
        fragment = self._fragment(reference)
        if fragment is None:
            return None
        if fragment and not fragment.startswith("/"):
            if fragment not in self._anchors:
                return None
            fragment = self._anchors[fragment]
        pointer, here = "", self.schema
        for key in parse_pointer(fragment):
            pointer += f"/{escape_pointer(key)}"
            if isinstance(here, dict) and key in here:
                here = here[key]
            elif isinstance(here, list) and key.isdecimal() and int(key) < len(here):
                here = here[int(key)]
            else:
                return None
        return (pointer, here) if isinstance(here, dict | bool) else None

    def _fragment(self, reference: str) -> str | None:
        """Return what follows the ``#`` of a reference; None if it leads out of this schema.

        The schema may be referred to by its own ``$id``, in whole or relative to that.
        """
        identity = self.schema.get("$id")
        base = urldefrag(identity).url if isinstance(identity, str) else ""
        address, fragment = urldefrag(urljoin(base, reference))
        return unquote(fragment) if reference.startswith("#") or address == base else None

    def _add(self, start: Part) -> list[Node]:
        """Add ``start`` and every schema in it; return the nodes that are new."""
        new = []
        waiting = [start]
        while waiting:
            pointer, schema = waiting.pop()
            if pointer in self.nodes:
                continue
            node = self.nodes[pointer] = _node(pointer, schema, self.draft)
            new.append(node)
            waiting += _below(node)
            names = [node.schema.get(key) for key in _ANCHORS]
            # Draft 7 has no $anchor: there an $id that begins with # is one.
            identity = node.schema.get("$id")
            if self.draft == DRAFT_7 and isinstance(identity, str) and identity.startswith("#"):
                names.append(identity[1:])
            for name in names:
                if isinstance(name, str):
                    self.is_ambiguous |= self._anchors.get(name, pointer) != pointer
                    self._anchors[name] = pointer
        return new


def in_force(node: Node, draft: str) -> Node:
    """Return ``node`` with only those keywords that have an effect there in ``draft``."""
    schema = node.schema
    if draft == DRAFT_7 and "$ref" in schema:
        effective = {"$ref": schema["$ref"]}  # in draft 7 nothing beside a $ref counts
    else:
        idle = _idle_in_7(schema) if draft == DRAFT_7 else _ONLY_IN_7
        if "contains" not in schema:
            idle |= {"minContains", "maxContains"}
        if "if" not in schema:
            idle |= {"then", "else"}
        effective = {key: value for key, value in schema.items() if key not in idle}
    return node if len(effective) == len(schema) else _node(node.pointer, effective, draft)


def _idle_in_7(schema: Schema) -> frozenset[str]:
    # additionalItems are those after a list of schemas; without a list there are none.
    alone = not isinstance(schema.get("items"), list)
    return _ONLY_IN_2020_12 | ({"additionalItems"} if alone else set())


def draft_of(schema: Any) -> str | None:
    """Return the draft that ``schema`` names, 2020-12 if it names none; None if unsupported."""
    named = schema.get("$schema", DRAFT_2020_12)
    if not isinstance(named, str):
        return None
    return {
        "http://json-schema.org/draft-07/schema": DRAFT_7,
        "http://json-schema.org/draft/2020-12/schema": DRAFT_2020_12,
    }.get(named.removesuffix("#").replace("https://", "http://"))


def _node(pointer: str, schema: Any, draft: str) -> Node:
    # A schema may be true, which allows anything as {} does, or false, which allows nothing.
    node = Node(pointer, schema if isinstance(schema, dict) else {} if schema else {"not": {}})
    values = [node.schema.get(key) for key in REFERENCES]
    node.references = [value for value in values if isinstance(value, str)]
    if draft == DRAFT_7 and "$ref" in node.schema:
        return node  # in draft 7 nothing beside a $ref counts
    if _HOLDING_SCHEMAS.isdisjoint(node.schema):
        return node  # most schemas contain no others, and are done here
    node.same = [
        *(part for key in _SAME_LISTS for part in _listed(node, key)),
        *(part for key in _SAME_ONES for part in _as_list(_one(node, key))),
        *(part for key in _SAME_MAPS for part in _mapped(node, key).values()),
    ]
    node.properties = _mapped(node, "properties")
    node.patterned = _mapped(node, "patternProperties")
    node.additional = _one(node, "additionalProperties")
    node.all_members = [part for key in _ALL_MEMBERS for part in _as_list(_one(node, key))]
    # What 2020-12 calls prefixItems and items, draft 7 calls items and additionalItems.
    listed = "prefixItems" if draft == DRAFT_2020_12 else "items"
    node.positions = _listed(node, listed)
    node.rest = _one(node, "items") or _one(node, "additionalItems")
    node.all_elements = [part for key in _ALL_ELEMENTS for part in _as_list(_one(node, key))]
    return node


def _below(node: Node) -> Iterator[Part]:
    if _HOLDING_SCHEMAS.isdisjoint(node.schema):
        return
    yield from node.same
    for group in (*node.member_groups, *node.element_groups):
        yield from group
    for key in _STORES:
        yield from _mapped(node, key).values()


def _as_list(part: Part | None) -> list[Part]:
    return [] if part is None else [part]


def _one(node: Node, key: str) -> Part | None:
    value = node.schema.get(key)
    return (f"{node.pointer}/{key}", value) if isinstance(value, dict | bool) else None


def _listed(node: Node, key: str) -> list[Part]:
    value = node.schema.get(key)
    if not isinstance(value, list):
        return []
    return [(f"{node.pointer}/{key}/{i}", schema) for i, schema in enumerate(value)]


def _mapped(node: Node, key: str) -> dict[str, Part]:
    value = node.schema.get(key)
    if not isinstance(value, dict):
        return {}
    return {
        name: (f"{node.pointer}/{key}/{escape_pointer(name)}", schema)
        for name, schema in value.items()
        if isinstance(schema, dict | bool)  # draft 7's dependencies may be lists of names
    }
