"""Whether one schema allows all that another does: a proof, or none.

The proof goes keyword by keyword: each that the outer schema has must follow from what the inner
one says. Only what is shown here counts, so a keyword that is not known, or a case that is not
thought of, costs a proof and never makes a false one.

A claim about two places rests on claims about what is inside them. Those are believed at first, and
looked at one after the other; when one fails, all that rests on it is looked at again. What is left
at the end holds: schemas may refer to themselves, but each round leads to a smaller part of a
document, and documents are finite.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from distributed_config.json_schema.outline import Schema
from distributed_config.json_schema.places import (
    ANYTHING,
    EVERYTHING,
    NUMBERS,
    TEXT,
    Kinds,
    Place,
    Whole,
    kind_of,
)

# Half a second or so. Beyond that there is no proof.
_MOST_STEPS = 300_000
_STEPS_OF_A_LOOK = 20
# How deep two places are searched for something that keeps them apart.
_DEEPEST = 10

Claim = tuple[Place, Place, Kinds]


def contains(outer: Whole, inner: Whole) -> bool | None:
    """Whether it can be shown that ``outer`` allows all that ``inner`` does.

    None: it would take too long to try, or what one of them refers to is ambiguous.
    """
    if outer.outline.is_ambiguous or inner.outline.is_ambiguous:
        return None
    return _Proof().of(inner.root, outer.root)


class _Proof:
    """What is claimed, and what has failed. ``a`` is always the inner and ``b`` the outer place."""

    def __init__(self) -> None:
        self._failed: set[Claim] = set()
        self._resting_on: dict[Claim, set[Claim]] = {}
        self._waiting: list[Claim] = []
        self._again: dict[Claim, None] = {}
        self._current: Claim | None = None
        self._apart: dict[Claim, bool] = {}
        self._steps = 0

    def of(self, a: Place, b: Place) -> bool | None:
        """Whether ``b`` allows all that ``a`` does; None: too many steps."""
        if not a.kinds:
            return True
        first = a, b, a.kinds
        self._resting_on[first] = set()
        self._waiting = [first]
        while self._waiting and first not in self._failed:
            self._steps += _STEPS_OF_A_LOOK
            self._look_at(self._waiting.pop())
            if self._steps > _MOST_STEPS:
                return None
            if not self._waiting:
                # Only now: more may have failed since.
                self._waiting, self._again = list(self._again), {}
        return first not in self._failed

    def _look_at(self, claim: Claim) -> None:
        self._current = claim
        if claim not in self._failed and not self._follows(*claim):
            self._failed.add(claim)
            self._again |= dict.fromkeys(self._resting_on[claim])

    def _within(self, a: Place, b: Place, kinds: Kinds = EVERYTHING) -> bool:
        """Whether it may be believed that ``b`` allows all values of ``kinds`` that ``a`` allows.

        What is looked at now then rests on it.
        """
        kinds &= a.kinds
        if not kinds or b.says_nothing or a.is_never or a is b:
            return True
        claim = a, b, kinds
        self._steps += 1
        if claim in self._failed or self._steps > _MOST_STEPS:
            return False
        if claim not in self._resting_on:
            self._resting_on[claim] = set()
            self._waiting.append(claim)
        if self._current is not None:
            self._resting_on[claim].add(self._current)
        return True

    def _follows(self, a: Place, b: Place, kinds: Kinds) -> bool:
        if all(self._constraints(a, each, kinds) for each in b.together):
            return True
        if a.values is not None and len(a.values) <= _MOST_STEPS - self._steps:
            self._steps += len(a.values)
            values = [each for each in a.values if kind_of(each) in kinds]
            return all(b.allows(each) for each in values if a.allows(each) is not False)
        return any(
            all(self._within(each, b, kinds) for each in alternatives)
            for place in a.together
            for alternatives in place.alternatives()
        )

    def _any_within(self, some: Iterable[Place], b: Place) -> bool:
        return any(self._within(each, b) for each in (*some, ANYTHING))

    def _all_within(self, some: Iterable[Place], b: Place) -> bool:
        return all(self._within(each, b) for each in some)

    def _equal(self, a: Place, b: Place, kinds: Kinds = EVERYTHING) -> bool:
        return self._within(a, b, kinds) and self._within(b, a, kinds)

    def _constraints(self, a: Place, b: Place, kinds: Kinds) -> bool:
        """Whether ``a`` allows nothing that the keywords of ``b`` itself forbid."""
        plain = all(rule(a, b.schema) for of, rule in _PLAIN if of & kinds)
        return (
            plain
            and kinds <= b.own_kinds
            and _is_listed(a, b)
            and _has_format(a, b, kinds)
            and self._negation(a, b, kinds)
            and self._alternatives(a, b, kinds)
            and self._branches(a, b, kinds)
            and ("object" not in kinds or self._object(a, b))
            and ("array" not in kinds or self._array(a, b))
        )

    # --- the same value

    def _negation(self, a: Place, b: Place, kinds: Kinds) -> bool:
        ruled_out = b.part("not")
        return (
            ruled_out is None
            or self._are_apart(a, ruled_out, kinds)
            or any(self._within(ruled_out, each, kinds) for each in _under(a, "not"))
        )

    def _alternatives(self, a: Place, b: Place, kinds: Kinds) -> bool:
        return all(
            self._fits_one(a, b, key, kinds)
            # Each kind of value may fit another alternative.
            or all(self._fits_one(a, b, key, frozenset({kind})) for kind in kinds)
            for key in ("anyOf", "oneOf")
            if key in b.schema
        )

    def _fits_one(self, a: Place, b: Place, key: str, kinds: Kinds) -> bool:
        options = b.parts(key)
        if key == "oneOf" and self._same_options(a, options, kinds):
            return True
        cases = [each for place in a.together for each in place.alternatives()]
        return any(
            all(
                self._picks_one(case, i, options, key, kinds) for i, case in enumerate(alternatives)
            )
            for alternatives in (*cases, [a])
        )

    def _picks_one(
        self, a: Place, likely: int, options: list[Place], key: str, kinds: Kinds
    ) -> bool:
        """Whether all that ``a`` allows fits one of ``options``; ``likely`` is its position."""
        first = options[likely : likely + 1]
        return any(self._picks(a, each, options, key, kinds) for each in (*first, *options))

    def _picks(self, a: Place, option: Place, options: list[Place], key: str, kinds: Kinds) -> bool:
        """Whether all that ``a`` allows fits ``option``, and no other if it must be one."""
        return self._within(a, option, kinds) and (
            key == "anyOf"
            or all(
                self._are_apart(a, other, kinds) or self._are_apart(option, other, kinds)
                for other in options
                if other is not option
            )
        )

    def _same_options(self, a: Place, options: list[Place], kinds: Kinds) -> bool:
        return any(
            len(own) == len(options)
            and all(self._equal(x, y, kinds) for x, y in zip(own, options, strict=True))
            for own in (place.parts("oneOf") for place in a.together)
        )

    def _branches(self, a: Place, b: Place, kinds: Kinds) -> bool:
        condition = b.part("if")
        if condition is None:
            return True
        return all(
            self._branch(a, b, condition, key, kinds) for key in ("then", "else") if key in b.schema
        )

    def _branch(self, a: Place, b: Place, condition: Place, key: str, kinds: Kinds) -> bool:
        wanted = b.part(key)
        assert wanted is not None
        if self._within(a, wanted, kinds):
            return True
        for place in a.together:
            own, branch = place.part("if"), place.part(key)
            if own is None or branch is None or not self._within(branch, wanted, kinds):
                continue
            # Whatever takes this branch of b took it in a.
            if self._within(condition, own) if key == "then" else self._within(own, condition):
                return True
        return False

    # --- objects

    def _object(self, a: Place, b: Place) -> bool:
        return (
            self._names(a, b)
            and self._dependents(a, b)
            and self._named_members(a, b)
            and self._other_members(a, b)
            and self._unevaluated_members(a, b)
        )

    def _names(self, a: Place, b: Place) -> bool:
        wanted = b.part("propertyNames")
        return wanted is None or self._any_within([TEXT, *_under(a, "propertyNames")], wanted)

    def _dependents(self, a: Place, b: Place) -> bool:
        own = [each for place in a.together for each in place.dependents()]
        for name, wanted in b.dependents():
            mine = [value for other, value in own if other == name]
            if isinstance(wanted, Place):
                schemas = [each for each in mine if isinstance(each, Place)]
                if not self._any_within([a, *schemas], wanted):
                    return False
            else:
                lists = [each for each in mine if isinstance(each, list)]
                if not set(wanted) <= a.required.union({name}, *lists):
                    return False
        return True

    def _named_members(self, a: Place, b: Place) -> bool:
        return all(
            self._any_within(_on_member(a, name), wanted)
            for name in sorted(_names_of(a) | b.node.properties.keys())
            for wanted in b.on_member(name)
        )

    def _other_members(self, a: Place, b: Place) -> bool:
        """Members that neither names: which patterns match them is not known."""
        node = b.node
        matched = all(
            self._on_others(a, b.whole.place(part), pattern, ())
            for pattern, part in node.patterned.items()
        )
        rest = node.additional
        return matched and (
            rest is None or self._on_others(a, b.whole.place(rest), None, node.patterned)
        )

    def _on_others(
        self, a: Place, wanted: Place, matching: str | None, missing: Iterable[str]
    ) -> bool:
        return any(
            self._all_within(place.on_others(matching, missing), wanted) for place in a.together
        ) or self._any_within(_left_members(a, missing, None), wanted)

    def _unevaluated_members(self, a: Place, b: Place) -> bool:
        wanted, evaluated = b.part("unevaluatedProperties"), b.surely_evaluated
        if wanted is None or evaluated.all_members or wanted.says_nothing:
            return True
        names = {name for name in _names_of(a) if not evaluated.has(name)}
        if not all(self._any_within(_on_member(a, name, b), wanted) for name in sorted(names)):
            return False
        others = _left_members(a, evaluated.patterns, b)
        return self._on_others(a, wanted, None, evaluated.patterns) or self._any_within(
            others, wanted
        )

    # --- arrays

    def _array(self, a: Place, b: Place) -> bool:
        return self._elements(a, b) and self._contained(a, b) and self._unevaluated_elements(a, b)

    def _elements(self, a: Place, b: Place) -> bool:
        return all(
            self._any_within(_on_element(a, position), wanted)
            for position in _positions(a, b)
            for wanted in b.on_element(position)
        )

    def _contained(self, a: Place, b: Place) -> bool:
        wanted = b.part("contains")
        if wanted is None:
            return True
        least, most = b.schema.get("minContains", 1), b.schema.get("maxContains")
        enough = least == 0
        few = most is None or _most(a, "maxItems") <= most
        for place in a.together:
            own = place.part("contains")
            if own is not None:
                as_many = place.schema.get("minContains", 1) >= least
                enough = enough or (as_many and self._within(own, wanted))
                as_few = most is not None and place.schema.get("maxContains", most + 1) <= most
                few = few or (as_few and self._within(wanted, own))
        return enough and few

    def _unevaluated_elements(self, a: Place, b: Place) -> bool:
        wanted, evaluated = b.part("unevaluatedItems"), b.surely_evaluated
        if wanted is None or evaluated.all_elements or wanted.says_nothing:
            return True
        return all(
            self._any_within(_on_element(a, position, b), wanted)
            for position in _positions(a, b)
            if position >= evaluated.positions
        )

    # --- apart

    def _are_apart(self, x: Place, y: Place, kinds: Kinds, levels: int = _DEEPEST) -> bool:
        """Whether it can be shown that no value of ``kinds`` is allowed by both."""
        kinds &= x.kinds & y.kinds
        if not kinds or x.is_never or y.is_never:
            return True
        claim = x, y, kinds
        if claim not in self._apart:
            self._steps += _STEPS_OF_A_LOOK
            if not levels or self._steps > _MOST_STEPS:
                return False
            self._apart[claim] = False
            self._apart[claim] = self._found_apart(x, y, kinds, levels - 1)
        return self._apart[claim]

    def _found_apart(self, x: Place, y: Place, kinds: Kinds, levels: int) -> bool:
        for one, other in ((x, y), (y, x)):
            if one.values is not None:
                self._steps += len(one.values)
                values = [each for each in one.values if kind_of(each) in kinds]
                return all(other.allows(each) is False for each in values)
        return kinds == {"object"} and any(
            self._are_apart(p, q, EVERYTHING, levels)
            for name in sorted(x.required | y.required)
            for p in _on_member(x, name)
            for q in _on_member(y, name)
        )


# --- what is known of a


def _under(a: Place, key: str) -> list[Place]:
    """The schemas under ``key``, of all that hold whenever ``a`` does."""
    found = [place.part(key) for place in a.together]
    return [each for each in found if each is not None]


def _names_of(a: Place) -> set[str]:
    """The members that anything in ``a`` names."""
    found: set[str] = set()
    for place in a.together:
        found |= place.node.properties.keys()
        if "unevaluatedProperties" in place.schema:
            found |= place.perhaps_evaluated().names
    return found


def _on_member(a: Place, name: str, beside: Place | None = None) -> Iterator[Place]:
    """What applies to the member ``name`` of whatever ``a`` allows."""
    for place in a.together:
        yield from place.on_member(name)
        left = place.part("unevaluatedProperties")
        if left is not None and not place.perhaps_evaluated(beside).has(name):
            yield left


def _left_members(a: Place, missing: Iterable[str], beside: Place | None) -> Iterator[Place]:
    """What applies, as unevaluated, to members that nothing names and ``missing`` do not match."""
    for place in a.together:
        left = place.part("unevaluatedProperties")
        if left is None:
            continue
        evaluated = place.perhaps_evaluated(beside)
        if not evaluated.all_members and evaluated.patterns <= set(missing):
            yield left


def _positions(a: Place, b: Place) -> range:
    """Positions of elements, the last one for all that follow, as far as ``a`` allows them."""
    last = 0
    for place in (*a.together, *b.together):
        last = max(last, len(place.node.positions))
        if "unevaluatedItems" in place.schema:
            last = max(last, place.perhaps_evaluated().positions)
    return range(min(last + 1, int(_most(a, "maxItems", last + 1))))


def _on_element(a: Place, position: int, beside: Place | None = None) -> Iterator[Place]:
    """What applies to the element at ``position`` of whatever ``a`` allows."""
    for place in a.together:
        yield from place.on_element(position)
        left = place.part("unevaluatedItems")
        if left is None:
            continue
        evaluated = place.perhaps_evaluated(beside)
        if not evaluated.all_elements and position >= evaluated.positions:
            yield left


# --- keywords with plain values


def _all_of(a: Place, key: str) -> list[Any]:
    return [place.schema[key] for place in a.together if key in place.schema]


def _most(a: Place, key: str, otherwise: float = float("inf")) -> float:
    return min(_all_of(a, key), default=otherwise)


def _is_listed(a: Place, b: Place) -> bool:
    for key in ("enum", "const"):
        if key in b.schema:
            allowed = b.schema[key] if key == "enum" else [b.schema[key]]
            texts = {_text(each) for each in allowed}
            if a.values is None or not all(_text(each) in texts for each in a.values):
                return False
    return True


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _has_format(a: Place, b: Place, kinds: Kinds) -> bool:
    # Which formats are checked, and how, depends on the draft.
    wanted = b.schema.get("format")
    if wanted is None or "string" not in kinds:
        return True
    return a.whole.draft == b.whole.draft and wanted in _all_of(a, "format")


def _has_content(a: Place, wanted: Schema) -> bool:
    keys = ("contentMediaType", "contentEncoding")
    content = [wanted.get(key) for key in keys]
    own = [[place.schema.get(key) for key in keys] for place in a.together]
    return content == [None, None] or content in own


def _at_least(key: str) -> Callable[[Place, Schema], bool]:
    def holds(a: Place, wanted: Schema) -> bool:
        least = wanted.get(key, 0)
        return bool(least == 0 or max(_all_of(a, key), default=0) >= least)

    return holds


def _at_most(key: str) -> Callable[[Place, Schema], bool]:
    def holds(a: Place, wanted: Schema) -> bool:
        return key not in wanted or _most(a, key) <= wanted[key]

    return holds


def _in_range(a: Place, wanted: Schema) -> bool:
    return _is_above(
        [(each, False) for each in _all_of(a, "minimum")]
        + [(each, True) for each in _all_of(a, "exclusiveMinimum")],
        wanted.get("minimum"),
        wanted.get("exclusiveMinimum"),
    ) and _is_above(
        [(-each, False) for each in _all_of(a, "maximum")]
        + [(-each, True) for each in _all_of(a, "exclusiveMaximum")],
        -wanted["maximum"] if "maximum" in wanted else None,
        -wanted["exclusiveMaximum"] if "exclusiveMaximum" in wanted else None,
    )


def _is_above(bounds: list[tuple[float, bool]], least: float | None, above: float | None) -> bool:
    """Whether one of ``bounds``, each with whether it is excluded itself, is high enough."""
    return (least is None or any(bound >= least for bound, _ in bounds)) and (
        above is None
        or any(bound > above or (excluded and bound == above) for bound, excluded in bounds)
    )


def _is_multiple(a: Place, wanted: Schema) -> bool:
    step = wanted.get("multipleOf")
    if step is None or (step == 1 and "number" not in a.kinds):
        return True
    own = _all_of(a, "multipleOf")
    whole = isinstance(step, int)
    return step in own or any(whole and isinstance(each, int) and not each % step for each in own)


def _matches(a: Place, wanted: Schema) -> bool:
    pattern = wanted.get("pattern")
    return not pattern or pattern in _all_of(a, "pattern")


def _is_unique(a: Place, wanted: Schema) -> bool:
    return (
        not wanted.get("uniqueItems")
        or True in _all_of(a, "uniqueItems")
        or _most(a, "maxItems") <= 1
    )


def _has_required(a: Place, wanted: Schema) -> bool:
    return a.required >= set(wanted.get("required", ()))


_PLAIN: list[tuple[Kinds, Callable[[Place, Schema], bool]]] = [
    (NUMBERS, _in_range),
    (NUMBERS, _is_multiple),
    (frozenset({"string"}), _matches),
    (frozenset({"string"}), _has_content),
    (frozenset({"string"}), _at_least("minLength")),
    (frozenset({"string"}), _at_most("maxLength")),
    (frozenset({"array"}), _at_least("minItems")),
    (frozenset({"array"}), _at_most("maxItems")),
    (frozenset({"array"}), _is_unique),
    (frozenset({"object"}), _at_least("minProperties")),
    (frozenset({"object"}), _at_most("maxProperties")),
    (frozenset({"object"}), _has_required),
]
