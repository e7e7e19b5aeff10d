"""What a schema demands at one value, whatever the document.

A schema of forty lines can demand 2^40 looks at a value: each of its parts refers twice to the next
one. That is found when the schema is stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from distributed_config.json_schema.outline import Node, Outline
from distributed_config.json_schema.weights import Weight, weight_of

MOST_LOOKS = 10_000
"""The most looks that a schema may ask for at one value, whatever the document is."""
MOST_NESTED = 1_000
"""The most schemas that may apply to one value, each because of the one before."""


class LoopsInPlace(ValueError):
    """A schema refers to itself without going deeper; the text is the pointer of one such place."""


@dataclass(frozen=True)
class InPlace:
    """The most that a schema demands at one value: looks, and schemas nested in each other."""

    looks: int
    nested: int


def most_in_place(outline: Outline) -> InPlace:
    """Return the most that one schema of ``outline`` demands at one value.

    Raises LoopsInPlace.
    """
    looks: list[int] = []
    marks: list[int] = []
    nested: list[int] = []
    for schema in weighed_schemas(outline):
        # A schema that marks runs those in place a second time, to learn what they evaluate.
        again = 1 + schema.marks
        inner = sum(looks[other] for other in schema.same)
        inner_marks = sum(marks[other] for other in schema.same)
        mark = schema.weight.value + again * (inner + inner_marks)
        # Numbers grow with the schema; beyond the limit it does not matter by how much.
        marks.append(min(mark, MOST_LOOKS + 1))
        own = schema.weight.value + inner + (mark if schema.marks else 0)
        looks.append(min(own, MOST_LOOKS + 1))
        nested.append(1 + max((nested[other] for other in schema.same), default=0))
    return InPlace(max(looks), max(nested))


@dataclass(frozen=True)
class WeighedSchema:
    """One schema, with the numbers of those that apply to the same value because of it.

    ``marks`` says that it has to find out which members or elements the schemas in ``same`` have
    evaluated, for which the validator runs these again.
    """

    node: Node
    weight: Weight
    same: tuple[int, ...]
    marks: bool


def weighed_schemas(outline: Outline) -> list[WeighedSchema]:
    """Return all schemas, each after those that apply to the same value because of it."""
    order = _order(outline)
    numbers = {pointer: number for number, pointer in enumerate(order)}

    def convert(node: Node) -> WeighedSchema:
        same = tuple(numbers[pointer] for pointer in _next_in_place(outline, node))
        marks = "unevaluatedProperties" in node.schema or "unevaluatedItems" in node.schema
        return WeighedSchema(node, weight_of(node, outline.draft), same, marks)

    return [convert(outline.nodes[pointer]) for pointer in order]


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
