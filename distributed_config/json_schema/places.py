"""What one place of a schema says of a value, without asking another schema."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

import jsonschema_rs

from distributed_config.json_schema.outline import REFERENCES, Node, Outline, Part, Schema, in_force
from distributed_config.json_schema.patterns import compiling, exclude_each_other, fits
from distributed_config.wire import escape_pointer

Kinds = frozenset[str]
"""Kinds of JSON values; ``number`` are here those that are not whole."""

NUMBERS = frozenset({"integer", "number"})
EVERYTHING = NUMBERS | {"array", "boolean", "null", "object", "string"}

# Each takes about as long as to compile, or to write, the whole schema.
_MOST_COMPILED = 100
_MOST_WRITTEN = 200
# Alternatives in alternatives are looked into this deep.
_DEEPEST = 20

_ANNOTATIONS = frozenset(
    {
        *("$schema", "$id", "$comment", "$defs", "$anchor", "$dynamicAnchor", "definitions"),
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    }
)
# What decides together what is evaluated.
_CONDITIONS = (
    ("anyOf",),
    ("oneOf",),
    ("if", "then", "else"),
    ("dependentSchemas",),
    ("contains",),
)


@dataclass
class Evaluated:
    """Which members or elements the keywords of a place, and of all beside it, look at.

    ``unevaluatedProperties`` and ``unevaluatedItems`` apply to the others.
    """

    names: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)
    all_members: bool = False
    positions: int = 0
    all_elements: bool = False

    def has(self, name: str) -> bool:
        """Whether the member ``name`` is looked at."""
        return (
            self.all_members
            or name in self.names
            or any(fits(pattern, name) for pattern in self.patterns)
        )

    def add(self, node: Node, *, unevaluated: bool) -> None:
        """Adds what ``node`` itself looks at; its ``unevaluated…`` if ``unevaluated``."""
        self.names |= node.properties.keys()
        self.patterns |= node.patterned.keys()
        self.positions = max(self.positions, len(node.positions))
        self.all_members |= node.additional is not None
        self.all_elements |= node.rest is not None
        if unevaluated:
            self.all_members |= "unevaluatedProperties" in node.schema
            self.all_elements |= "unevaluatedItems" in node.schema


class Whole:
    """A schema that ``schema_of`` has passed, and the places in it."""

    def __init__(self, schema: Schema) -> None:
        self.outline = Outline(schema)
        self.draft = self.outline.draft
        self.root = Place(self, in_force(self.outline.nodes[""], self.draft))
        self._places = {"": self.root}
        self._compiled: dict[str, Any] = {}
        self._kinds: dict[str, Kinds] = {}
        self._written = 0

    def place(self, part: Part) -> "Place":
        """The place of ``part``."""
        pointer = part[0]
        if pointer not in self._places:
            node = in_force(self.outline.nodes[pointer], self.draft)
            self._places[pointer] = Place(self, node)
        return self._places[pointer]

    def kinds(self, place: "Place", levels: int = _DEEPEST) -> Kinds:
        """The kinds of which there may be a value that ``place`` allows."""
        known = self._kinds.get(place.pointer)
        if known is not None:
            return known
        kinds = EVERYTHING
        for each in place.together:
            kinds &= each.own_kinds
            for alternatives in each.alternatives() if levels else ():
                of_each = (self.kinds(one, levels - 1) for one in alternatives)
                kinds &= frozenset[str]().union(*of_each)
        if place.listed is not None:
            kinds &= frozenset(map(kind_of, place.listed))
        self._kinds[place.pointer] = kinds
        return kinds

    def text(self, schema: Schema) -> str | None:
        """``schema``, and all that it refers to, as text; None: that would take too long.

        Two that have the same text say the same.
        """
        self._written += 1
        if self._written > _MOST_WRITTEN:
            return None
        found: dict[str, Any] = {}
        waiting: list[Any] = [schema]
        while waiting:
            for reference in _references(waiting.pop()):
                if reference not in found:
                    target = self.outline.target(reference)
                    found[reference] = None if target is None else target[1]
                    waiting.append(found[reference])
        return json.dumps([self.draft, schema, found], sort_keys=True)

    def validator(self, pointer: str) -> Any:
        """The schema at ``pointer``, compiled; None: it is one too many."""
        if pointer not in self._compiled:
            if len(self._compiled) == _MOST_COMPILED:
                return None
            asked = {"$schema": self.draft, "$ref": f"urn:distconf:whole#{_quoted(pointer)}"}
            self._compiled[pointer] = jsonschema_rs.validator_for(
                asked, registry=self._registry, **compiling()
            )
        return self._compiled[pointer]

    @cached_property
    def _registry(self) -> jsonschema_rs.Registry:
        named = {"$schema": self.draft, **self.outline.schema}
        return jsonschema_rs.Registry([("urn:distconf:whole", named)])


class Place:
    """One schema inside a schema. The keywords of ``node`` are those that have an effect."""

    def __init__(self, whole: Whole, node: Node) -> None:
        self.whole = whole
        self.node = node
        self.schema = node.schema
        self.pointer = node.pointer
        self._perhaps: dict[Place | None, Evaluated] = {}

    def part(self, key: str) -> "Place | None":
        """The place of the one schema under ``key``."""
        value = self.schema.get(key)
        if not isinstance(value, dict | bool):
            return None
        return self.whole.place((f"{self.pointer}/{key}", value))

    def parts(self, key: str) -> list["Place"]:
        """The places of the schemas in the list under ``key``."""
        listed = enumerate(self.schema.get(key, ()))
        return [self.whole.place((f"{self.pointer}/{key}/{i}", each)) for i, each in listed]

    def to(self, parts: Iterable[Part]) -> list["Place"]:
        """The places of ``parts``."""
        return [self.whole.place(part) for part in parts]

    @cached_property
    def says_nothing(self) -> bool:
        """Whether it allows every value by itself: it has no keyword with an effect."""
        return self.schema.keys() <= _ANNOTATIONS

    @cached_property
    def is_never(self) -> bool:
        """Whether it is plain that it allows no value."""
        ruled_out = self.part("not")
        return ruled_out is not None and ruled_out.says_nothing

    @cached_property
    def together(self) -> list["Place"]:
        """This place and all that hold whenever it does, by ``$ref`` and ``allOf``, each once."""
        found: dict[str, Place] = {}
        waiting = [self]
        while waiting:
            place = waiting.pop(0)
            if place.pointer in found:
                continue
            found[place.pointer] = place
            waiting += [*place.targets(), *place.parts("allOf")]
        return list(found.values())

    def targets(self) -> list["Place"]:
        """What its references lead to."""
        targets = map(self.whole.outline.target, self.node.references)
        return self.to(target for target in targets if target is not None)

    # --- values

    @cached_property
    def own_kinds(self) -> Kinds:
        """The kinds that ``type`` allows."""
        named = self.schema.get("type", EVERYTHING)
        kinds = frozenset({named} if isinstance(named, str) else named)
        return kinds | NUMBERS if "number" in kinds else kinds

    @cached_property
    def kinds(self) -> Kinds:
        """The kinds of which there may be a value that is allowed."""
        return self.whole.kinds(self)

    def alternatives(self) -> Iterator[list["Place"]]:
        """Lists of places, of each of which at least one holds whenever this one does."""
        for key in ("anyOf", "oneOf"):
            if key in self.schema:
                yield self.parts(key)

    @cached_property
    def listed(self) -> list[Any] | None:
        """The values that ``enum`` or ``const`` lists, of which others may still rule out some."""
        lists = [place.schema["enum"] for place in self.together if "enum" in place.schema]
        lists += [[place.schema["const"]] for place in self.together if "const" in place.schema]
        return min(lists, key=len) if lists else None

    @cached_property
    def values(self) -> list[Any] | None:
        """All values that may be allowed, if they can be counted; None: they cannot."""
        if self.listed is None and self.kinds <= {"boolean", "null"}:
            return [each for each in (None, True, False) if kind_of(each) in self.kinds]
        return self.listed

    def allows(self, value: Any) -> bool | None:
        """Whether ``value`` is allowed; None: it would take too long to say."""
        if self.says_nothing or self.is_never:
            return self.says_nothing
        validator = self.whole.validator(self.pointer)
        return None if validator is None else bool(validator.is_valid(value))

    @cached_property
    def required(self) -> set[str]:
        """The names of members that there must be."""
        return {name for place in self.together for name in place.schema.get("required", ())}

    # --- members and elements

    def on_member(self, name: str) -> list["Place"]:
        """What applies to the member ``name``, but for ``unevaluatedProperties``."""
        node = self.node
        found = [part for pattern, part in node.patterned.items() if fits(pattern, name)]
        if name in node.properties:
            found.append(node.properties[name])
        elif not found and node.additional is not None:
            found.append(node.additional)
        return self.to(found)

    def on_others(self, matching: str | None, missing: Iterable[str]) -> list["Place"]:
        """What applies to a member that is not named in ``properties``: at least one of these.

        ``matching`` is a pattern that its name matches, and ``missing`` are some that it does not.
        """
        node = self.node
        if matching in node.patterned:
            return self.to([node.patterned[matching]])
        possible = [
            part
            for pattern, part in node.patterned.items()
            if pattern not in missing and not (matching and exclude_each_other(pattern, matching))
        ]
        rest = ANYTHING if node.additional is None else self.whole.place(node.additional)
        return [rest, *self.to(possible)]

    def on_element(self, position: int) -> list["Place"]:
        """What applies to every element at ``position``, but for ``unevaluatedItems``."""
        part = self.node.at(position)
        return [] if part is None else [self.whole.place(part)]

    def dependents(self) -> Iterator[tuple[str, "Place | list[str]"]]:
        """What must be when there is a member: other members, or a schema holds."""
        for key in ("dependentRequired", "dependentSchemas", "dependencies"):
            for name, value in self.schema.get(key, {}).items():
                if isinstance(value, list):
                    yield name, value
                else:
                    pointer = f"{self.pointer}/{key}/{escape_pointer(name)}"
                    yield name, self.whole.place((pointer, value))

    # --- what is evaluated

    @cached_property
    def surely_evaluated(self) -> Evaluated:
        """What is evaluated in every value that is allowed, without ``unevaluated…`` here."""
        found = Evaluated()
        for place in self.together:
            found.add(place.node, unevaluated=place is not self)
        return found

    def perhaps_evaluated(self, beside: "Place | None" = None) -> Evaluated:
        """What may be evaluated in some value that is allowed, without ``unevaluated…`` here.

        Left out is what is evaluated at ``beside`` whenever it is evaluated here: under
        alternatives and conditions that are the same there.
        """
        if beside not in self._perhaps:
            self._perhaps[beside] = self._perhaps_evaluated(beside)
        return self._perhaps[beside]

    def _perhaps_evaluated(self, beside: "Place | None") -> Evaluated:
        shared = set() if beside is None else {each.text for each in beside.conditions}
        found = Evaluated()
        for place in self.together:
            found.add(place.node, unevaluated=place is not self)
        for condition in self.conditions:
            if condition.text is None or condition.text not in shared:
                condition.add_to(found)
        return found

    @cached_property
    def conditions(self) -> list["Condition"]:
        """The alternatives and conditions on which it depends what is evaluated."""
        return [
            Condition(place, keys)
            for place in self.together
            for keys in _CONDITIONS
            if keys[0] in place.schema
        ]


class Condition:
    """The schemas under ``keys`` of ``place``, of which not all hold for every value."""

    def __init__(self, place: Place, keys: tuple[str, ...]) -> None:
        self._place = place
        self._keys = keys

    @cached_property
    def text(self) -> str | None:
        """Two that have the same text evaluate the same, whatever the value; None: not known."""
        schema = self._place.schema
        return self._place.whole.text({key: schema[key] for key in self._keys if key in schema})

    def add_to(self, found: Evaluated) -> None:
        """Adds to ``found`` all that may be evaluated because of it."""
        found.all_elements |= "contains" in self._keys
        for place in self._inside():
            found.add(place.node, unevaluated=True)
            found.all_elements |= "contains" in place.schema

    def _inside(self) -> list[Place]:
        """Every place that may apply to the same value because of it."""
        prefixes = tuple(f"{self._place.pointer}/{key}" for key in self._keys)
        same = [part for part in self._place.node.same if _begins(part[0], prefixes)]
        found: dict[str, Place] = {}
        waiting = self._place.to(same)
        while waiting:
            place = waiting.pop()
            if place.pointer not in found:
                found[place.pointer] = place
                waiting += [*place.targets(), *place.to(place.node.same)]
        return list(found.values())


def kind_of(value: Any) -> str:
    """The kind of a JSON value; 1.0 is a whole number."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    kinds = {type(None): "null", int: "integer", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def _references(value: Any) -> Iterator[str]:
    """Everything that may be a reference in ``value``, a schema."""
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in REFERENCES and isinstance(each, str):
                yield each
            yield from _references(each)


def _begins(pointer: str, prefixes: tuple[str, ...]) -> bool:
    return any(pointer == prefix or pointer.startswith(f"{prefix}/") for prefix in prefixes)


def _quoted(pointer: str) -> str:
    return quote(pointer, safe="/~")


ANYTHING = Whole({}).root
TEXT = Whole({"type": "string"}).root
