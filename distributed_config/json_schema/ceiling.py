"""The most that checking any document can take, known from the length of its text alone.

Most schemas neither refer to themselves nor compare elements with one another. Whatever the
document, each letter of it then costs at most so many looks, and walking through the document to
count them can be spared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from distributed_config.json_schema.in_place import WeighedSchema
from distributed_config.json_schema.outline import Node, Part
from distributed_config.json_schema.weights import Weight

# No number costs more effort for each letter of it than 9e307, however it is written: comparing its
# exponent takes 1,123 looks. An integer of as many digits as are stored takes four for each.
_EFFORT_OF_A_LETTER = 240


@dataclass(frozen=True)
class Ceiling:
    """The most that any document demands.

    ``looks`` are for each letter of its text, however that is spaced; ``calls`` is the depth of the
    validator's stack.
    """

    looks: int
    calls: int


@dataclass(frozen=True)
class _Demand:
    """What one schema demands together with those inside it, at most.

    ``looks`` are for each letter of a value; ``levels`` of the value are looked at, and ``nested``
    schemas apply to one of its values, each because of the one before.
    """

    looks: int
    levels: int
    nested: int


def ceiling_of(schemas: list[WeighedSchema]) -> Ceiling | None:
    """Return the ceiling of the schema that consists of ``schemas``.

    None: there is none, or it is not known. What applies may grow with the depth of a document
    (references to itself), with the square of its length (``uniqueItems``), or because schemas run
    again for what is left (``unevaluatedProperties``).
    """
    if any(schema.marks or schema.weight.unique for schema in schemas):
        return None
    demands: dict[str, _Demand] = {}
    try:
        for schema in _innermost_first(schemas):
            same = [demands[schemas[other].node.pointer] for other in schema.same]
            demands[schema.node.pointer] = _demand(schema, same, demands)
    except CycleError:
        return None
    levels = max(demand.levels for demand in demands.values())
    nested = max(demand.nested for demand in demands.values())
    return Ceiling(demands[""].looks, levels * nested)


def _innermost_first(schemas: list[WeighedSchema]) -> Iterator[WeighedSchema]:
    """Yield each of ``schemas`` after all that apply because of it. Raises CycleError."""
    by_pointer = {schema.node.pointer: schema for schema in schemas}
    order: TopologicalSorter[str] = TopologicalSorter()
    for schema in schemas:
        groups = (*schema.node.member_groups, *schema.node.element_groups)
        order.add(
            schema.node.pointer,
            *(pointer for group in groups for pointer, _ in group),
            *(schemas[other].node.pointer for other in schema.same),
        )
    return (by_pointer[pointer] for pointer in order.static_order())


def _demand(schema: WeighedSchema, same: list[_Demand], demands: dict[str, _Demand]) -> _Demand:
    if not (same or any(schema.node.member_groups) or any(schema.node.element_groups)):
        # Most schemas contain no others, and are done here.
        return _Demand(_looks_of_own_letter(schema.weight, 0), levels=1, nested=1)
    names, *inside = (
        [[demands[pointer] for pointer, _ in group] for group in groups]
        for groups in (_names(schema.node), _members(schema.node), schema.node.element_groups)
    )
    # Each letter belongs to one value inside, or else to this one itself, as a bracket or a name
    # does. So it costs what the more expensive of them costs; what applies in place is added.
    own = _looks_of_own_letter(schema.weight, _most_of(names))
    deeper = [inner.levels for groups in inside for group in groups for inner in group]
    return _Demand(
        looks=max(own, *map(_most_of, inside)) + sum(other.looks for other in same),
        levels=max([1, *(1 + levels for levels in deeper), *(other.levels for other in same)]),
        nested=1 + max((other.nested for other in same), default=0),
    )


def _looks_of_own_letter(weight: Weight, names: int) -> int:
    """Return the most looks for one letter of a value that is not inside a member or an element.

    The first letter pays for the value, the comma or the bracket after a member for the member, and
    the letters of a text or a name for themselves; those of a name cost ``names`` more.
    """
    return max(
        weight.value + weight.number * _EFFORT_OF_A_LETTER,
        weight.letter,
        weight.member,
        weight.name_letter + names,
    )


def _most_of(groups: list[list[_Demand]]) -> int:
    """Return the most looks for one letter to which one schema of each group applies."""
    return sum(max((demand.looks for demand in group), default=0) for group in groups)


def _names(node: Node) -> list[list[Part]]:
    """Return the schemas that apply to the names of members, and not to what they have."""
    return [[part] for part in node.all_members if part[0] == f"{node.pointer}/propertyNames"]


def _members(node: Node) -> list[list[Part]]:
    names = _names(node)
    return [group for group in node.member_groups if group not in names]
