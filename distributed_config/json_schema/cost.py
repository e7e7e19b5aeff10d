"""How much work it is to check a document, counted before it is checked.

A schema of forty lines can ask for 2^40 looks: each of its parts refers twice to the next; or it
refers twice to itself one level deeper, and doubles with each level of the document. What makes
one value be looked at too often whatever the document is, is found when the schema is stored. What
depends on the document is counted for that document: which schemas apply to each of its values, and
how many times.

All schemas that may apply count, alternatives and conditions too, so checking never takes longer
than what is counted.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from distributed_config.json_schema.outline import Node, Outline, Part
from distributed_config.json_schema.weights import Weight, effort_of, size_of, weight_of

MOST_LOOKS = 10_000
"""The most looks that a schema may ask for at one value, whatever the document is."""
MOST_NESTED = 1_000
"""The most schemas that may apply to one value, each because of the one before."""

# Together these take less than 250 ms of one core, on a slow machine.
MOST_WORK = 8_000_000
"""The looks that checking one document may take, of ten nanoseconds each."""
_MOST_STEPS = 50_000  # of counting, which take about a microsecond each
_MOST_MADE = 20_000  # schemas in new places, which take about three microseconds each
_MOST_TOLD = 220_000  # values that are handed over with the faults that are told of them

# The checker calls itself for each schema on the way to a value. 6,400 calls are known to fit the
# stack of a thread, and 12,800 are known to end the process.
_MOST_CALLS = 2_000
_KEPT = 40_000
_FAULT = 16  # telling one takes as long as handing over so many values
_LOOKS_OF_A_VALUE = 64  # handing one over takes as long
_ELEMENTS_PER_STEP = 16
_HASHING = 25  # looks for each value; to know how many there are takes most of it

Uses = tuple[tuple[int, int], ...]
"""Schemas by their numbers, and how many times each applies."""


class LoopsInPlace(ValueError):
    """A schema refers to itself without going deeper. The pointer of one such place is the text."""


class TooMuchWork(ValueError):
    """Checking a document would take too long."""


@dataclass(frozen=True)
class InPlace:
    """What a schema asks for at one value at the worst."""

    looks: int
    nested: int


def most_in_place(outline: Outline) -> InPlace:
    """The most that one schema of ``outline`` asks for at one value. Raises LoopsInPlace."""
    looks: list[int] = []
    marks: list[int] = []
    nested: list[int] = []
    for each in _schemas(outline):
        again = 1 + each.marks
        inner = sum(looks[other] for other in each.same)
        inner_marks = sum(marks[other] for other in each.same)
        mark = each.weight.value + again * (inner + inner_marks)
        # Numbers grow with the schema; beyond the limit it does not matter by how much.
        marks.append(min(mark, MOST_LOOKS + 1))
        own = each.weight.value + inner + (mark if each.marks else 0)
        looks.append(min(own, MOST_LOOKS + 1))
        nested.append(1 + max((nested[other] for other in each.same), default=0))
    return InPlace(max(looks), max(nested))


@dataclass(frozen=True)
class _Schema:
    """One schema, with those that it hands on to by their numbers.

    ``marks`` says that it has to find out which members or elements the schemas in ``same`` have
    looked at already, for which these are asked again.
    """

    node: Node
    weight: Weight
    same: tuple[int, ...]
    marks: bool


def _schemas(outline: Outline) -> list[_Schema]:
    """All schemas, each after those that apply to the same value because of it."""
    order = _order(outline)
    numbers = {pointer: number for number, pointer in enumerate(order)}

    def made(node: Node) -> _Schema:
        same = tuple(numbers[pointer] for pointer in _next_in_place(outline, node))
        marks = "unevaluatedProperties" in node.schema or "unevaluatedItems" in node.schema
        return _Schema(node, weight_of(node, outline.draft), same, marks)

    return [made(outline.nodes[pointer]) for pointer in order]


def _order(outline: Outline) -> list[str]:
    graph = {
        pointer: list(_next_in_place(outline, node)) for pointer, node in outline.nodes.items()
    }
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise LoopsInPlace(error.args[1][0]) from None


def _next_in_place(outline: Outline, node: Node) -> Iterator[str]:
    yield from (pointer for pointer, _ in node.same)
    for reference in node.references:
        target = outline.target(reference)
        if target is not None:
            yield target[0]


class Meter:
    """Counts what it costs to check documents against one schema.

    The schemas that apply to a value, with how many times each does, make a place. A document leads
    from place to place; the places that were met are kept, so that counting is quick.
    """

    def __init__(self, outline: Outline) -> None:
        self.schemas = _schemas(outline)
        self._numbers = {each.node.pointer: number for number, each in enumerate(self.schemas)}
        self._places: dict[Uses, _Place] = {}
        self._kept = self._made = 0

    def require_affordable(self, value: Any, most: int = MOST_WORK, at: Part = ("", None)) -> None:
        """Raises TooMuchWork if checking ``value`` may take more than ``most`` looks.

        It is checked against the whole schema, or the part of it ``at`` a place.
        """
        self._made = 0
        if self._kept > _KEPT:
            self._places = {}
            self._kept = 0
        _Work(most).add(self._start(at), value, 0)

    def is_tellable(self, value: Any) -> bool:
        """Whether every fault of ``value``, which is affordable, can be told in time."""
        return _telling(self._start(), value, 0)[1] <= _MOST_TOLD

    def place(self, parts: Iterable[tuple[Part, int]]) -> "_Place | None":
        """The place where each of ``parts`` applies so many times; None: nothing applies."""
        times: Counter[int] = Counter()
        for (pointer, _), count in parts:
            times[self._numbers[pointer]] += count
        if not times:
            return None
        uses = tuple(sorted(times.items()))
        found = self._places.get(uses)
        return self._make(uses) if found is None else found

    def _start(self, part: Part = ("", None)) -> "_Place":
        place = self.place([(part, 1)])
        assert place is not None
        return place

    def _make(self, uses: Uses) -> "_Place":
        made = self._places[uses] = _Place(self, uses)
        self._kept += made.size
        self._made += made.size
        if self._made > _MOST_MADE:
            raise TooMuchWork
        return made


class _Place:
    """The schemas that apply to a value, and what they cost together."""

    def __init__(self, meter: Meter, uses: Uses) -> None:
        self._meter = meter
        self._uses: list[tuple[Node, int, int]] = []
        self.value = self.letter = self.number = self.faults = 0
        self._member = self._name_letter = self._unique = 0
        self._listed = self.nested = 0
        for use in _spread(meter.schemas, uses):
            self._add(use)
        self.size = len(self._uses)
        self._named = [node.properties for node, _, _ in self._uses if node.properties]
        self._by_name: dict[str | None, _Place | None] = {}
        self._by_position: dict[int, _Place | None] = {}

    def own(self, value: Any) -> int:
        """The looks at ``value``, without those at what is in it."""
        if isinstance(value, str):
            return self.value + self.letter * len(value)
        if isinstance(value, dict):
            return self.value + self._own_of_members(value)
        if isinstance(value, list):
            return self.value + (_comparing(value) * self._unique if self._unique else 0)
        return self.value + (self.number * effort_of(value) if self.number else 0)

    def member(self, name: str) -> "_Place | None":
        """The place of the member ``name``."""
        known = name if any(name in each for each in self._named) else None
        if known not in self._by_name:
            self._by_name[known] = self._meter.place(self._parts_of_member(known))
        return self._by_name[known]

    def element(self, position: int) -> "_Place | None":
        """The place of the element at ``position``."""
        known = min(position, self._listed)
        if known not in self._by_position:
            self._by_position[known] = self._meter.place(self._parts_of_element(known))
        return self._by_position[known]

    def listed(self, elements: list[Any]) -> int:
        """How many of ``elements`` have places of their own; the others share one."""
        return min(self._listed, len(elements))

    def _add(self, use: "_Use") -> None:
        weight, asked = use.schema.weight, use.asked
        self._uses.append((use.schema.node, use.times, asked))
        self.value += weight.value * asked
        self.letter += weight.letter * asked
        self.number += weight.number * asked
        self.faults += weight.faults * use.times
        self._member += weight.member * asked
        self._name_letter += weight.name_letter * asked
        self._unique += weight.unique * asked
        self._listed = max(self._listed, len(use.schema.node.positions))
        self.nested = max(self.nested, use.nested)

    def _own_of_members(self, value: dict[str, Any]) -> int:
        looks = self._member * len(value)
        names = self._names
        if names is None and not self._name_letter:
            return looks
        letters = sum(map(len, value))
        if names is not None:
            looks += names.value * len(value) + names.letter * letters
        return looks + self._name_letter * letters

    @cached_property
    def _names(self) -> "_Place | None":
        """The place of the names of members."""
        return self._meter.place(
            (part, times)
            for node, times, _ in self._uses
            for part in node.all_members
            if part[0] == f"{node.pointer}/propertyNames"
        )

    def _parts_of_member(self, name: str | None) -> Iterator[tuple[Part, int]]:
        """What applies to the member ``name``, or to one that no schema names.

        Which patterns match is not asked: all of them count.
        """
        for node, times, asked in self._uses:
            part = node.additional if name is None else node.properties.get(name, node.additional)
            if part is not None:
                yield part, times
            for part in node.patterned.values():
                yield part, times
            for part in node.all_members:
                if part[0] != f"{node.pointer}/propertyNames":
                    yield part, asked

    def _parts_of_element(self, position: int) -> Iterator[tuple[Part, int]]:
        for node, times, asked in self._uses:
            part = node.at(position)
            if part is not None:
                yield part, times
            for part in node.all_elements:
                yield part, asked


class _Use(NamedTuple):
    """A schema that applies to a value so many times, as the last of ``nested`` that each apply
    because of the one before."""

    schema: _Schema
    times: int
    asked: int
    nested: int


def _spread(schemas: list[_Schema], uses: Uses) -> Iterator[_Use]:
    """All schemas that apply to a value to which ``uses`` do.

    One is asked more often than it applies where another ``marks``: to know which members are left
    over, that one checks each schema in place again, and asks it which members it looked at.
    """
    times = Counter(dict(uses))
    marking: Counter[int] = Counter()
    nested = dict.fromkeys(times, 1)
    waiting = [-number for number in times]
    heapq.heapify(waiting)
    while waiting:
        number = -heapq.heappop(waiting)
        schema = schemas[number]
        if schema.marks:
            marking[number] += times[number]
        again = marking[number] * (2 if schema.marks else 1)
        for other in schema.same:
            if other not in nested:
                heapq.heappush(waiting, -other)
            times[other] += times[number] + again
            marking[other] += again
            nested[other] = max(nested.get(other, 0), nested[number] + 1)
        yield _Use(schema, times[number], times[number] + marking[number], nested[number])


class _Work:
    """What checking a document has cost so far."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._looks = self._steps = 0

    def add(self, place: _Place, value: Any, calls: int) -> None:
        """Adds what ``value`` at ``place`` costs. ``calls`` are those that led to it."""
        calls += place.nested
        if calls > _MOST_CALLS:
            raise TooMuchWork
        self._spend(1, place.own(value))
        if isinstance(value, dict):
            for name, member in value.items():
                inner = place.member(name)
                if inner is not None:
                    self.add(inner, member, calls)
        elif isinstance(value, list):
            self._add_elements(place, value, calls)

    def _add_elements(self, place: _Place, elements: list[Any], calls: int) -> None:
        listed = place.listed(elements)
        for position in range(listed):
            inner = place.element(position)
            if inner is not None:
                self.add(inner, elements[position], calls)
        rest = place.element(listed) if len(elements) > listed else None
        if rest is None:
            return
        self._spend(len(elements) // _ELEMENTS_PER_STEP, 0)
        plain = 0
        for element in elements[listed:] if listed else elements:
            if element and (element.__class__ is dict or element.__class__ is list):
                self.add(rest, element, calls)
            else:
                plain += rest.own(element)
        self._spend(0, plain)

    def _spend(self, steps: int, looks: int) -> None:
        self._steps += steps
        self._looks += looks
        if self._looks > self._most or self._steps > _MOST_STEPS:
            raise TooMuchWork


def _comparing(elements: list[Any]) -> int:
    """The looks that it takes to find out whether ``elements`` are all different."""
    # Equal hashes show it, except with large integers, where each is compared with each.
    effort = _largest_integer(elements)
    return _HASHING * size_of(elements) + (effort * len(elements) ** 2 if effort else 0)


def _largest_integer(value: Any) -> int:
    if isinstance(value, dict):
        return max(map(_largest_integer, value.values()), default=0)
    if isinstance(value, list):
        return max(map(_largest_integer, value), default=0)
    return effort_of(value) if isinstance(value, int) else 0


def _telling(place: _Place | None, value: Any, calls: int) -> tuple[int, int]:
    """How many values ``value`` consists of, and what telling all that may be wrong there costs.

    With each fault goes a copy of the value; and to find the faults of an alternative, it is
    checked again for each alternative that it is in.
    """
    calls += 0 if place is None else place.nested
    size, told = 1, 0
    for inner, part in _parts(place, value):
        inner_size, inner_told = _telling(inner, part, calls)
        size += inner_size
        told += inner_told
    if place is not None:
        told += place.faults * (_FAULT + size + calls)
        told += place.own(value) * calls // _LOOKS_OF_A_VALUE
    return size, told


def _parts(place: _Place | None, value: Any) -> Iterator[tuple[_Place | None, Any]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield (None if place is None else place.member(name)), member
    elif isinstance(value, list):
        for position, element in enumerate(value):
            yield (None if place is None else place.element(position)), element
