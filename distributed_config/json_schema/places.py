"""The places of a schema: what each of its schemas says about a value.

``containment`` compares the places of two schemas; here each schema is looked at alone.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import quote

import jsonschema_rs

from distributed_config.json_schema.evaluated import Evaluated
from distributed_config.json_schema.outline import REFERENCES, Node, Outline, Part, Schema, in_force
from distributed_config.json_schema.patterns import compiling, exclude_each_other, fits
from distributed_config.wire import escape_pointer

Kinds = frozenset[str]
"""Kinds of JSON values; ``number`` stands for those that are not whole."""

NUMBERS = frozenset({"integer", "number"})
EVERYTHING = NUMBERS | {"array", "boolean", "null", "object", "string"}

# Each takes about as long as compiling, or writing out, the whole schema.
_MOST_COMPILED = 100
_MOST_WRITTEN = 200
# Alternatives in alternatives are followed this deep; deeper ones count as allowing every kind.
_MAX_DEPTH = 20

_ANNOTATIONS = frozenset(
    {
        *("$schema", "$id", "$comment", "$defs", "$anchor", "$dynamicAnchor", "definitions"),
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    }
)
# Keywords that decide together which members and elements are evaluated.
_CONDITIONS = (
    ("anyOf",),
    ("oneOf",),
    ("if", "then", "else"),
    ("dependentSchemas",),
    ("contains",),
)


class Whole:
    """A schema that ``load_schema`` accepted, and the places in it."""

    def __init__(self, schema: Schema) -> None:
        self.outline = Outline(schema)
        self.draft = self.outline.draft
        self.root = Place(self, in_force(self.outline.nodes[""], self.draft))
        self._places = {"": self.root}
        self._compiled: dict[str, Any] = {}
        self._kinds: dict[str, Kinds] = {}
        self._written = 0

    def place(self, part: Part) -> "Place":
        """Return the place of ``part``."""
        # One object for each place: claims are compared by identity, and properties are cached.
        pointer = part[0]
        if pointer not in self._places:
            node = in_force(self.outline.nodes[pointer], self.draft)
            self._places[pointer] = Place(self, node)
        return self._places[pointer]

    def kinds(self, place: "Place", levels: int = _MAX_DEPTH) -> Kinds:
        """Return the kinds of which there may be a value that ``place`` allows."""
        known = self._kinds.get(place.pointer)
        if known is not None:
            return known
        kinds = EVERYTHING
        for other in place.together:
            kinds &= other.own_kinds
            for alternatives in other.alternatives() if levels else ():
                allowed = (self.kinds(option, levels - 1) for option in alternatives)
                kinds &= frozenset[str]().union(*allowed)
        if place.listed is not None:
            kinds &= frozenset(map(kind_of, place.listed))
        self._kinds[place.pointer] = kinds
        return kinds

    def text(self, schema: Schema) -> str | None:
        """Return ``schema``, and all that it refers to, as text; None if that takes too long.

        Two schemas with the same text mean the same.
        """
        self._written += 1
        if self._written > _MOST_WRITTEN:
            return None
        targets: dict[str, Any] = {}
        waiting: list[Any] = [schema]
        while waiting:
            for reference in _references(waiting.pop()):
                if reference not in targets:
                    target = self.outline.target(reference)
                    targets[reference] = None if target is None else target[1]
                    waiting.append(targets[reference])
        return json.dumps([self.draft, schema, targets], sort_keys=True)

    def validator(self, pointer: str) -> Any:
        """Return the compiled schema at ``pointer``; None if too many are compiled already."""
        if pointer not in self._compiled:
            if len(self._compiled) == _MOST_COMPILED:
                return None
            # By reference and not by itself: what it refers to lies elsewhere in the whole schema.
            entry = {"$schema": self.draft, "$ref": f"urn:distconf:whole#{_quoted(pointer)}"}
            self._compiled[pointer] = jsonschema_rs.validator_for(
                entry, registry=self._registry, **compiling()
            )
        return self._compiled[pointer]

    @cached_property
    def _registry(self) -> jsonschema_rs.Registry:
        named = {"$schema": self.draft, **self.outline.schema}
        return jsonschema_rs.Registry([("urn:distconf:whole", named)])


class Place:
    """One schema inside a schema; its ``node`` has only the keywords that have an effect."""

    def __init__(self, whole: Whole, node: Node) -> None:
        self.whole = whole
        self.node = node
        self.schema = node.schema
        self.pointer = node.pointer
        self._perhaps: dict[Place | None, Evaluated] = {}

    def part(self, key: str) -> "Place | None":
        """Return the place of the one schema under ``key``; None if there is none."""
        value = self.schema.get(key)
        if not isinstance(value, dict | bool):
            return None
        return self.whole.place((f"{self.pointer}/{key}", value))

    def parts(self, key: str) -> list["Place"]:
        """Return the places of the schemas in the list under ``key``."""
        listed = enumerate(self.schema.get(key, ()))
        return [self.whole.place((f"{self.pointer}/{key}/{i}", schema)) for i, schema in listed]

    def to(self, parts: Iterable[Part]) -> list["Place"]:
        """Return the places of ``parts``."""
        return [self.whole.place(part) for part in parts]

    @cached_property
    def says_nothing(self) -> bool:
        """Whether it allows every value by itself: it has no keyword with an effect."""
        return self.schema.keys() <= _ANNOTATIONS

    @cached_property
    def is_never(self) -> bool:
        """Whether it plainly allows no value; False is no claim that it allows one."""
        ruled_out = self.part("not")
        return ruled_out is not None and ruled_out.says_nothing

    @cached_property
    def together(self) -> list["Place"]:
        """This place and all that hold whenever it does, by ``$ref`` and ``allOf``, each once."""
        places: dict[str, Place] = {}
        waiting = [self]
        while waiting:
            place = waiting.pop(0)
            if place.pointer in places:
                continue
            places[place.pointer] = place
            waiting += [*place.targets(), *place.parts("allOf")]
        return list(places.values())

    def targets(self) -> list["Place"]:
        """Return the places that its references lead to."""
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
        """Yield lists of places; of each list at least one holds whenever this place does."""
        for key in ("anyOf", "oneOf"):
            if key in self.schema:
                yield self.parts(key)

    @cached_property
    def listed(self) -> list[Any] | None:
        """The values that ``enum`` or ``const`` lists, of which others may still rule out some."""
        lists = [place.schema["enum"] for place in self.together if "enum" in place.schema]
        lists += [[place.schema["const"]] for place in self.together if "const" in place.schema]
        # The shortest will do: who asks tries each value against the whole place.
        return min(lists, key=len) if lists else None

    @cached_property
    def values(self) -> list[Any] | None:
        """All values that may be allowed; None where they cannot be listed."""
        if self.listed is None and self.kinds <= {"boolean", "null"}:
            return [value for value in (None, True, False) if kind_of(value) in self.kinds]
        return self.listed

    def allows(self, value: Any) -> bool | None:
        """Whether ``value`` is allowed; None if it would take too long to find out."""
        if self.says_nothing or self.is_never:
            return self.says_nothing
        validator = self.whole.validator(self.pointer)
        return None if validator is None else bool(validator.is_valid(value))

    @cached_property
    def required(self) -> set[str]:
        """The names of members that every allowed object has."""
        return {name for place in self.together for name in place.schema.get("required", ())}

    # --- members and elements

    def on_member(self, name: str) -> list["Place"]:
        """Return what applies to the member ``name``, without ``unevaluatedProperties``."""
        node = self.node
        parts = [part for pattern, part in node.patterned.items() if fits(pattern, name)]
        if name in node.properties:
            parts.append(node.properties[name])
        elif not parts and node.additional is not None:
            parts.append(node.additional)
        return self.to(parts)

    def on_others(self, matching: str | None, missing: Iterable[str]) -> list["Place"]:
        """Return places of which at least one applies to a member that ``properties`` lacks.

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
        """Return what applies to the element at ``position``, without ``unevaluatedItems``."""
        part = self.node.at(position)
        return [] if part is None else [self.whole.place(part)]

    def dependents(self) -> Iterator[tuple[str, "Place | list[str]"]]:
        """Yield each member whose presence requires something: other members, or a schema."""
        for key in ("dependentRequired", "dependentSchemas", "dependencies"):
            for name, value in self.schema.get(key, {}).items():
                if isinstance(value, list):
                    yield name, value
                else:
                    pointer = f"{self.pointer}/{key}/{escape_pointer(name)}"
                    yield name, self.whole.place((pointer, value))

    # --- evaluated members and elements

    @cached_property
    def surely_evaluated(self) -> Evaluated:
        """What is evaluated in every value that is allowed, without ``unevaluated…`` here."""
        evaluated = Evaluated()
        for place in self.together:
            evaluated.add(place.node, unevaluated=place is not self)
        return evaluated

    def perhaps_evaluated(self, beside: "Place | None" = None) -> Evaluated:
        """Return what may be evaluated in some allowed value, without ``unevaluated…`` here.

        What is evaluated at ``beside`` whenever it is evaluated here is left out: it lies under
        alternatives and conditions that are the same there.
        """
        if beside not in self._perhaps:
            self._perhaps[beside] = self._perhaps_evaluated(beside)
        return self._perhaps[beside]

    def _perhaps_evaluated(self, beside: "Place | None") -> Evaluated:
        shared = set() if beside is None else {other.text for other in beside.conditions}
        evaluated = Evaluated()
        for place in self.together:
            evaluated.add(place.node, unevaluated=place is not self)
        for condition in self.conditions:
            if condition.text is None or condition.text not in shared:
                condition.add_to(evaluated)
        return evaluated

    @cached_property
    def conditions(self) -> list["Condition"]:
        """The alternatives and conditions that decide what is evaluated."""
        return [
            Condition(place, keys)
            for place in self.together
            for keys in _CONDITIONS
            if keys[0] in place.schema
        ]


class Condition:
    """The schemas under ``keys`` of ``place``, not all of which hold for every value."""

    def __init__(self, place: Place, keys: tuple[str, ...]) -> None:
        self._place = place
        self._keys = keys

    @cached_property
    def text(self) -> str | None:
        """Two conditions with the same text evaluate the same in every value; None: not known."""
        schema = self._place.schema
        return self._place.whole.text({key: schema[key] for key in self._keys if key in schema})

    def add_to(self, evaluated: Evaluated) -> None:
        """Add to ``evaluated`` everything that may be evaluated because of the condition."""
        # In 2020-12 `contains` evaluates the elements that match it, wherever they are.
        evaluated.all_elements |= "contains" in self._keys
        for place in self._inside():
            evaluated.add(place.node, unevaluated=True)
            evaluated.all_elements |= "contains" in place.schema

    def _inside(self) -> list[Place]:
        """Return every place that may apply to the same value because of the condition."""
        prefixes = tuple(f"{self._place.pointer}/{key}" for key in self._keys)
        same = [part for part in self._place.node.same if _begins(part[0], prefixes)]
        places: dict[str, Place] = {}
        waiting = self._place.to(same)
        while waiting:
            place = waiting.pop()
            if place.pointer not in places:
                places[place.pointer] = place
                waiting += [*place.targets(), *place.to(place.node.same)]
        return list(places.values())


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value; 1.0 is an integer, as JSON Schema has it."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    kinds = {type(None): "null", int: "integer", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def _references(value: Any) -> Iterator[str]:
    """Yield everything in a schema that may be a reference."""
    if isinstance(value, list):
        for element in value:
            yield from _references(element)
    elif isinstance(value, dict):
        for key, member in value.items():
            if key in REFERENCES and isinstance(member, str):
                yield member
            yield from _references(member)


def _begins(pointer: str, prefixes: tuple[str, ...]) -> bool:
    return any(pointer == prefix or pointer.startswith(f"{prefix}/") for prefix in prefixes)


def _quoted(pointer: str) -> str:
    return quote(pointer, safe="/~")


ANYTHING = Whole({}).root
TEXT = Whole({"type": "string"}).root
