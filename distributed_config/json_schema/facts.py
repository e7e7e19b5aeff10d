"""What holds for every value that a place allows, in its members and elements.

Everything here is sure: an ``allOf`` or a reference always applies, an alternative only perhaps.
"""

from collections.abc import Iterable, Iterator

from distributed_config.json_schema.keywords import smallest
from distributed_config.json_schema.places import Place


def under(a: Place, key: str) -> list[Place]:
    """Return the schemas under ``key`` of all places that hold whenever ``a`` does."""
    parts = [place.part(key) for place in a.together]
    return [part for part in parts if part is not None]


def names_of(a: Place) -> set[str]:
    """Return the names of all members that a schema in ``a`` names."""
    names: set[str] = set()
    for place in a.together:
        names |= place.node.properties.keys()
        if "unevaluatedProperties" in place.schema:
            names |= place.perhaps_evaluated().names
    return names


def on_member(a: Place, name: str, beside: Place | None = None) -> Iterator[Place]:
    """Yield what applies to the member ``name`` of every value that ``a`` allows."""
    for place in a.together:
        yield from place.on_member(name)
        # It applies for sure only to what no keyword beside it may evaluate.
        left = place.part("unevaluatedProperties")
        if left is not None and not place.perhaps_evaluated(beside).has(name):
            yield left


def left_members(a: Place, missing: Iterable[str], beside: Place | None) -> Iterator[Place]:
    """Yield the ``unevaluatedProperties`` that apply to members without a name here.

    ``missing`` are patterns that such a member's name does not match.
    """
    for place in a.together:
        left = place.part("unevaluatedProperties")
        if left is None:
            continue
        # What may be evaluated somewhere is not surely left over, and so proves nothing.
        evaluated = place.perhaps_evaluated(beside)
        if not evaluated.all_members and evaluated.patterns <= set(missing):
            yield left


def positions(a: Place, b: Place) -> range:
    """Return the positions of elements to compare; the last one stands for all after it."""
    last = 0
    for place in (*a.together, *b.together):
        last = max(last, len(place.node.positions))
        if "unevaluatedItems" in place.schema:
            last = max(last, place.perhaps_evaluated().positions)
    # After all listed positions elements are alike, and one stands for them. Beyond the maxItems of
    # a there are none to compare.
    return range(min(last + 1, int(smallest(a, "maxItems", last + 1))))


def on_element(a: Place, position: int, beside: Place | None = None) -> Iterator[Place]:
    """Yield what applies to the element at ``position`` of every value that ``a`` allows."""
    for place in a.together:
        yield from place.on_element(position)
        left = place.part("unevaluatedItems")
        if left is None:
            continue
        evaluated = place.perhaps_evaluated(beside)
        if not evaluated.all_elements and position >= evaluated.positions:
            yield left
