"""The work that validating a document takes, known before it is validated.

A schema of forty lines can refer to itself twice, one level deeper, and so double the looks with
each level of a document. So they are counted for the document: which schemas apply to each of its
values, and how many times. Where no document of its length could take too long, that is spared.

All schemas that may apply count, alternatives and conditions included, so that validation never
takes longer than counted.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

from distributed_config.json_schema.ceiling import Ceiling, ceiling_of
from distributed_config.json_schema.in_place import WeighedSchema, weighed_schemas
from distributed_config.json_schema.outline import Node, Outline, Part
from distributed_config.json_schema.weights import comparing_all, effort_of

# Together these take less than 250 ms of one core, on a slow machine.
MOST_WORK = 8_000_000
"""The looks that checking one document may take, of ten nanoseconds each."""
_MOST_STEPS = 50_000  # of counting, which take about a microsecond each
_MOST_CREATED = 20_000  # schemas in new places, which take about three microseconds each
_MOST_REPORTED = 220_000  # values that are handed over with the problems that are found in them

# The validator recurses for each schema on the way to a value. 6,400 calls are known to fit into
# the stack of a thread, and 12,800 are known to crash the process.
_MOST_CALLS = 2_000
_MOST_CACHED = 40_000  # schemas in places
_PROBLEM = 16  # reporting one takes as long as handing over so many values
_LOOKS_OF_A_VALUE = 64  # handing one over takes as long
_ELEMENTS_PER_STEP = 16

Uses = tuple[tuple[int, int], ...]
"""The schemas that apply to a value, by their numbers, and how many times each applies."""


class TooMuchWork(ValueError):
    """Validating a document would take too long."""


class Meter:
    """A counter of what it costs to validate documents against one schema.

    The schemas that apply to a value, with the number of times for each, are a place. A document
    leads from place to place; places are cached, so that counting is quick.
    """

    def __init__(self, outline: Outline) -> None:
        self.schemas = weighed_schemas(outline)
        self._numbers = {schema.node.pointer: number for number, schema in enumerate(self.schemas)}
        self._places: dict[Uses, _Place] = {}
        self._cached = self._created = 0

    def affords_any(self, length: int) -> bool:
        """Whether every document whose text has so many letters, or fewer, is surely affordable.

        False means that this depends on the document; see ``require_affordable``.
        """
        ceiling = self._ceiling
        if ceiling is None:
            return False
        return ceiling.looks * length <= MOST_WORK and ceiling.calls <= _MOST_CALLS

    def require_affordable(self, value: Any, most: int = MOST_WORK, at: Part = ("", None)) -> None:
        """Raise TooMuchWork if validating ``value`` may take more than ``most`` looks.

        It is validated against the whole schema, or against the part of it ``at`` a place.
        """
        self._created = 0
        # All at once: to find out which places are used least would cost more than they do.
        if self._cached > _MOST_CACHED:
            self._places = {}
            self._cached = 0
        _Work(most).add(self._start(at), value, 0)

    @cached_property
    def _ceiling(self) -> Ceiling | None:
        return ceiling_of(self.schemas)

    def is_reportable(self, value: Any) -> bool:
        """Whether every problem of ``value``, which was counted as affordable, can be reported."""
        return _reporting(self._start(), value, 0)[1] <= _MOST_REPORTED

    def place(self, parts: Iterable[tuple[Part, int]]) -> "_Place | None":
        """Return the place where each of ``parts`` applies so many times; None: nothing applies."""
        times: Counter[int] = Counter()
        for (pointer, _), count in parts:
            times[self._numbers[pointer]] += count
        if not times:
            return None
        uses = tuple(sorted(times.items()))
        place = self._places.get(uses)
        return self._create(uses) if place is None else place

    def _start(self, part: Part = ("", None)) -> "_Place":
        place = self.place([(part, 1)])
        assert place is not None
        return place

    def _create(self, uses: Uses) -> "_Place":
        place = self._places[uses] = _Place(self, uses)
        self._cached += place.size
        self._created += place.size
        if self._created > _MOST_CREATED:
            raise TooMuchWork
        return place


class _Place:
    """The schemas that apply to a value, and what they cost together."""

    def __init__(self, meter: Meter, uses: Uses) -> None:
        self._meter = meter
        self._uses: list[tuple[Node, int, int]] = []
        self.value = self.letter = self.number = self.problems = 0
        self._member = self._name_letter = self._unique = 0
        self._listed = self.nested = 0
        for use in _spread(meter.schemas, uses):
            self._add(use)
        self.size = len(self._uses)
        self._named = [node.properties for node, _, _ in self._uses if node.properties]
        self._by_name: dict[str | None, _Place | None] = {}
        self._by_position: dict[int, _Place | None] = {}

    def own(self, value: Any) -> int:
        """Return the looks at ``value``, without those at the values inside it."""
        if isinstance(value, str):
            return self.value + self.letter * len(value)
        if isinstance(value, dict):
            return self.value + self._own_of_members(value)
        if isinstance(value, list):
            return self.value + (comparing_all(value) * self._unique if self._unique else 0)
        return self.value + (self.number * effort_of(value) if self.number else 0)

    def member(self, name: str) -> "_Place | None":
        """Return the place of the member ``name``."""
        # Names that no schema has share one place: else a document could create any number.
        known = name if any(name in names for names in self._named) else None
        if known not in self._by_name:
            self._by_name[known] = self._meter.place(self._parts_of_member(known))
        return self._by_name[known]

    def element(self, position: int) -> "_Place | None":
        """Return the place of the element at ``position``."""
        known = min(position, self._listed)
        if known not in self._by_position:
            self._by_position[known] = self._meter.place(self._parts_of_element(known))
        return self._by_position[known]

    def listed(self, elements: list[Any]) -> int:
        """Return how many of ``elements`` have places of their own; the others share one."""
        return min(self._listed, len(elements))

    def _add(self, use: "_Use") -> None:
        weight, runs = use.schema.weight, use.runs
        self._uses.append((use.schema.node, use.times, runs))
        self.value += weight.value * runs
        self.letter += weight.letter * runs
        self.number += weight.number * runs
        self.problems += weight.problems * use.times
        self._member += weight.member * runs
        self._name_letter += weight.name_letter * runs
        self._unique += weight.unique * runs
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
        """The place of the names of members, to which ``propertyNames`` applies."""
        return self._meter.place(
            (part, times)
            for node, times, _ in self._uses
            for part in node.all_members
            if part[0] == f"{node.pointer}/propertyNames"
        )

    def _parts_of_member(self, name: str | None) -> Iterator[tuple[Part, int]]:
        """Yield what applies to the member ``name``; None: to one that no schema names.

        All patterns count, whether they match or not: matching them is what is to be bounded.
        """
        for node, times, runs in self._uses:
            part = node.additional if name is None else node.properties.get(name, node.additional)
            if part is not None:
                yield part, times
            for part in node.patterned.values():
                yield part, times
            for part in node.all_members:
                if part[0] != f"{node.pointer}/propertyNames":
                    yield part, runs

    def _parts_of_element(self, position: int) -> Iterator[tuple[Part, int]]:
        for node, times, runs in self._uses:
            part = node.at(position)
            if part is not None:
                yield part, times
            for part in node.all_elements:
                yield part, runs


class _Use(NamedTuple):
    """A schema that applies to a value so many times, and runs ``runs`` times.

    It is the last of ``nested`` schemas that each apply because of the one before.
    """

    schema: WeighedSchema
    times: int
    runs: int
    nested: int


def _spread(schemas: list[WeighedSchema], uses: Uses) -> Iterator[_Use]:
    """Yield all schemas that apply to a value to which ``uses`` do.

    A schema runs more often than it applies where another one ``marks``: to know which members are
    left over, that one validates with each schema in place again, and asks which members it saw.
    """
    times = Counter(dict(uses))
    marking: Counter[int] = Counter()
    nested = dict.fromkeys(times, 1)
    # The largest number first: a schema comes after all that apply because of it, so that its own
    # count is final when it is taken. heapq has the smallest first, hence the minus.
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
    """The cost of validating a document, as far as it is counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._looks = self._steps = 0

    def add(self, place: _Place, value: Any, calls: int) -> None:
        """Add the cost of ``value`` at ``place``; ``calls`` is the depth of the stack there."""
        calls += place.nested
        if calls > _MOST_CALLS:
            raise TooMuchWork
        # Steps are bounded as well as looks: the counting itself must not take long.
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
        # Elements without elements of their own are added in one loop without calls: arrays of ten
        # thousand numbers are common.
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


def _reporting(place: _Place | None, value: Any, calls: int) -> tuple[int, int]:
    """Return how many values ``value`` has, and the cost of reporting all possible problems.

    Each problem comes with a copy of the value; and to find the problems of an alternative, the
    validator runs again for each alternative that it is in.
    """
    calls += 0 if place is None else place.nested
    size, cost = 1, 0
    for inner, part in _parts(place, value):
        inner_size, inner_cost = _reporting(inner, part, calls)
        size += inner_size
        cost += inner_cost
    if place is not None:
        cost += place.problems * (_PROBLEM + size + calls)
        cost += place.own(value) * calls // _LOOKS_OF_A_VALUE
    return size, cost


def _parts(place: _Place | None, value: Any) -> Iterator[tuple[_Place | None, Any]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield (None if place is None else place.member(name)), member
    elif isinstance(value, list):
        for position, element in enumerate(value):
            yield (None if place is None else place.element(position)), element
