"""How often a schema can make one value be looked at, however it was written.

Checking costs time in proportion to that. A schema of forty lines can ask for 2^40 looks: each of
its parts refers twice to the next; or it refers twice to itself one level deeper, and doubles with
each level of the document. So the most looks that any one value can get are counted beforehand,
for each level that a document may have.
"""

from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter

from distributed_config.json_schema.patterns import looks_of
from distributed_config.json_schema.shape import Node, Outline

MOST_LOOKS = 2_000
"""The most that a schema may ask for."""

# Comparing with an object or an array costs as much as some looks.
_COMPARISON = 4


class LoopsInPlace(ValueError):
    """A schema refers to itself without going deeper. The pointer of one such place is the text."""


# The levels of a document that are counted; see DISTCONF_DOCUMENT_DEPTH.
_LEVELS = 64
_UNBOUNDED = 1 << 62


def most_looks(outline: Outline) -> int:
    """The most looks at any one value of a document.

    Counting stops above MOST_LOOKS. Raises LoopsInPlace.
    """
    return _most(outline, _own, MOST_LOOKS)


def most_work(outline: Outline) -> int:
    """The same with what the patterns cost, of a schema whose looks and patterns are in bounds."""
    return _most(outline, _own_with_patterns, _UNBOUNDED)


def _most(outline: Outline, own_of: Callable[[Node], int], bound: int) -> int:
    order = _order(outline)
    numbers = {pointer: number for number, pointer in enumerate(order)}
    nodes = [outline.nodes[pointer] for pointer in order]
    same = [_same(outline, node, numbers) for node in nodes]
    groups = [
        tuple(
            [[numbers[pointer] for pointer, _ in group] for group in side if group]
            for side in (node.member_groups, node.element_groups)
        )
        for node in nodes
    ]
    root = numbers[""]
    looks: list[int] = []
    most = 0
    for level in range(_LEVELS):
        before = looks
        looks = []
        for number, node in enumerate(nodes):
            if level == 0:
                own = own_of(node)
            else:
                own = max(
                    sum(max(before[inner] for inner in group) for group in side)
                    for side in groups[number]
                )
            looks.append(min(own + sum(looks[other] for other in same[number]), bound + 1))
        most = max(most, looks[root])
        if most > bound or looks == before:
            break
    return most


def _order(outline: Outline) -> list[str]:
    """The pointers of all nodes, each behind those that apply to the same value."""
    graph = {
        pointer: [*(each for each, _ in node.same), *_targets(outline, node)]
        for pointer, node in outline.nodes.items()
    }
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise LoopsInPlace(error.args[1][0]) from None


def _same(outline: Outline, node: Node, numbers: dict[str, int]) -> list[int]:
    return [numbers[each] for each in (*(part[0] for part in node.same), *_targets(outline, node))]


def _targets(outline: Outline, node: Node) -> list[str]:
    targets = map(outline.target, node.references)
    return [target[0] for target in targets if target is not None]


def _own(node: Node) -> int:
    options = node.schema.get("enum", [])
    costly = sum(isinstance(option, dict | list) for option in options)
    return 1 + _COMPARISON * costly


def _own_with_patterns(node: Node) -> int:
    return _own(node) + sum(looks_of(pattern) for _, pattern in node.patterns)
