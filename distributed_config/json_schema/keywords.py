"""Keywords whose values are plain: whether what one place says implies what another says.

Each function answers for one keyword, or a few that belong together. ``a`` is the inner place, of
which everything may be used; ``outer`` is a place, or the keywords of one, that ``a`` has to imply.
An answer of False means only that this keyword proves nothing.
"""

import json
from collections.abc import Callable
from typing import Any

from distributed_config.json_schema.outline import Schema
from distributed_config.json_schema.places import NUMBERS, Kinds, Place


def all_of(a: Place, key: str) -> list[Any]:
    """Return the values of ``key`` in all places that hold whenever ``a`` does."""
    return [place.schema[key] for place in a.together if key in place.schema]


def smallest(a: Place, key: str, otherwise: float = float("inf")) -> float:
    """Return the smallest upper bound that ``a`` has under ``key``."""
    return min(all_of(a, key), default=otherwise)


def is_listed(a: Place, outer: Place) -> bool:
    """Whether all values that ``a`` lists are in the ``enum`` and ``const`` of ``outer``."""
    for key in ("enum", "const"):
        if key in outer.schema:
            allowed = outer.schema[key] if key == "enum" else [outer.schema[key]]
            texts = {_text(value) for value in allowed}
            if a.values is None or not all(_text(value) in texts for value in a.values):
                return False
    return True


def _text(value: Any) -> str:
    # By their texts, because Python takes True for 1. That 1.0 and 1 differ costs a proof at most.
    return json.dumps(value, sort_keys=True)


def has_format(a: Place, outer: Place, kinds: Kinds) -> bool:
    """Whether every text that ``a`` allows has the ``format`` of ``outer``."""
    required = outer.schema.get("format")
    if required is None or "string" not in kinds:
        return True
    # Which formats are checked, and how, depends on the draft.
    return a.whole.draft == outer.whole.draft and required in all_of(a, "format")


def _has_content(a: Place, outer: Schema) -> bool:
    keys = ("contentMediaType", "contentEncoding")
    # The two are read together: the encoding says what the media type is the type of.
    content = [outer.get(key) for key in keys]
    own = [[place.schema.get(key) for key in keys] for place in a.together]
    return content == [None, None] or content in own


def _at_least(key: str) -> Callable[[Place, Schema], bool]:
    def holds(a: Place, outer: Schema) -> bool:
        least = outer.get(key, 0)
        return bool(least == 0 or max(all_of(a, key), default=0) >= least)

    return holds


def _atsmallest(key: str) -> Callable[[Place, Schema], bool]:
    def holds(a: Place, outer: Schema) -> bool:
        return key not in outer or smallest(a, key) <= outer[key]

    return holds


def _in_range(a: Place, outer: Schema) -> bool:
    # An upper bound is a lower one of the negated value, so that one comparison serves both.
    return _is_above(
        [(bound, False) for bound in all_of(a, "minimum")]
        + [(bound, True) for bound in all_of(a, "exclusiveMinimum")],
        outer.get("minimum"),
        outer.get("exclusiveMinimum"),
    ) and _is_above(
        [(-bound, False) for bound in all_of(a, "maximum")]
        + [(-bound, True) for bound in all_of(a, "exclusiveMaximum")],
        -outer["maximum"] if "maximum" in outer else None,
        -outer["exclusiveMaximum"] if "exclusiveMaximum" in outer else None,
    )


def _is_above(bounds: list[tuple[float, bool]], least: float | None, above: float | None) -> bool:
    """Whether one of ``bounds``, each with whether it is excluded itself, is high enough."""
    return (least is None or any(bound >= least for bound, _ in bounds)) and (
        above is None
        or any(bound > above or (excluded and bound == above) for bound, excluded in bounds)
    )


def _is_multiple(a: Place, outer: Schema) -> bool:
    step = outer.get("multipleOf")
    if step is None or (step == 1 and "number" not in a.kinds):
        return True
    own = all_of(a, "multipleOf")
    # Only integers are divided: the remainder of two floats depends on how they were rounded.
    return step in own or (
        isinstance(step, int) and any(isinstance(other, int) and not other % step for other in own)
    )


def _matches(a: Place, outer: Schema) -> bool:
    pattern = outer.get("pattern")
    # Whether one regular expression contains another is not decided here: only equal ones count.
    return not pattern or pattern in all_of(a, "pattern")


def _is_unique(a: Place, outer: Schema) -> bool:
    # An array of one element has no duplicates.
    return (
        not outer.get("uniqueItems")
        or True in all_of(a, "uniqueItems")
        or smallest(a, "maxItems") <= 1
    )


def _has_required(a: Place, outer: Schema) -> bool:
    return a.required >= set(outer.get("required", ()))


PLAIN: list[tuple[Kinds, Callable[[Place, Schema], bool]]] = [
    (NUMBERS, _in_range),
    (NUMBERS, _is_multiple),
    (frozenset({"string"}), _matches),
    (frozenset({"string"}), _has_content),
    (frozenset({"string"}), _at_least("minLength")),
    (frozenset({"string"}), _atsmallest("maxLength")),
    (frozenset({"array"}), _at_least("minItems")),
    (frozenset({"array"}), _atsmallest("maxItems")),
    (frozenset({"array"}), _is_unique),
    (frozenset({"object"}), _at_least("minProperties")),
    (frozenset({"object"}), _atsmallest("maxProperties")),
    (frozenset({"object"}), _has_required),
]
"""The rules that compare a place with the keywords of another, and the kinds they are about."""
