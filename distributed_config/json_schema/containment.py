"""A proof that one schema allows everything that another one allows.

The proof goes keyword by keyword: each keyword of the outer schema must follow from the inner
schema. Only what is proved counts, so that an unknown keyword, or a case that nobody thought of,
costs a proof and never makes a false one.

A claim about two places rests on claims about the places inside them. These are assumed at first,
and checked one after the other; when one fails, every claim that rests on it is checked again. What
is left at the end holds: schemas may refer to themselves, but each step leads to a smaller part of
a document, and documents are finite.
"""

from collections.abc import Iterable

from distributed_config.json_schema.facts import (
    left_members,
    names_of,
    on_element,
    on_member,
    positions,
    under,
)
from distributed_config.json_schema.keywords import (
    PLAIN,
    has_format,
    is_listed,
    smallest,
)
from distributed_config.json_schema.places import (
    ANYTHING,
    EVERYTHING,
    TEXT,
    Kinds,
    Place,
    Whole,
    kind_of,
)

# About half a second. A reviewer waits for the answer, and "not decided" is an honest one.
_MOST_STEPS = 300_000
_STEPS_PER_CLAIM = 20
# Disjointness is searched this deep: schemas can be written that have no bottom.
_DEEPEST = 10

Claim = tuple[Place, Place, Kinds]


def contains(outer: Whole, inner: Whole) -> bool | None:
    """Whether it can be proved that ``outer`` allows every document that ``inner`` allows.

    None: trying would take too long, or a reference in one of them is ambiguous. False means that
    there is no proof, and not that there is a counterexample.
    """
    if outer.outline.is_ambiguous or inner.outline.is_ambiguous:
        return None
    return _Proof().run(inner.root, outer.root)


class _Proof:
    """The claims, and those that failed. ``a`` is always the inner and ``b`` the outer place."""

    def __init__(self) -> None:
        self._failed: set[Claim] = set()
        self._dependents_of: dict[Claim, set[Claim]] = {}
        self._waiting: list[Claim] = []
        self._recheck: dict[Claim, None] = {}
        self._current: Claim | None = None
        self._apart: dict[Claim, bool] = {}
        self._steps = 0

    def run(self, a: Place, b: Place) -> bool | None:
        """Whether ``b`` allows all that ``a`` does; None: it took too many steps."""
        if not a.kinds:
            return True
        first = a, b, a.kinds
        self._dependents_of[first] = set()
        self._waiting = [first]
        while self._waiting and first not in self._failed:
            self._steps += _STEPS_PER_CLAIM
            self._check(self._waiting.pop())
            if self._steps > _MOST_STEPS:
                return None
            if not self._waiting:
                # Only now, since more claims may have failed: each is checked again once.
                self._waiting, self._recheck = list(self._recheck), {}
        return first not in self._failed

    def _check(self, claim: Claim) -> None:
        self._current = claim
        if claim not in self._failed and not self._follows(*claim):
            self._failed.add(claim)
            self._recheck |= dict.fromkeys(self._dependents_of[claim])

    def _within(self, a: Place, b: Place, kinds: Kinds = EVERYTHING) -> bool:
        """Whether it may be assumed that ``b`` allows all values of ``kinds`` that ``a`` allows.

        The claim that is being checked then rests on this one.
        """
        kinds &= a.kinds
        if not kinds or b.says_nothing or a.is_never or a is b:
            return True
        claim = a, b, kinds
        self._steps += 1
        # Out of steps, everything fails at once: the result is then None, whatever was left.
        if claim in self._failed or self._steps > _MOST_STEPS:
            return False
        if claim not in self._dependents_of:
            self._dependents_of[claim] = set()
            self._waiting.append(claim)
        if self._current is not None:
            self._dependents_of[claim].add(self._current)
        return True

    def _follows(self, a: Place, b: Place, kinds: Kinds) -> bool:
        if all(self._constraints(a, place, kinds) for place in b.together):
            return True
        # Where a lists its values, trying them all is exact, and decides either way.
        if a.values is not None and len(a.values) <= _MOST_STEPS - self._steps:
            self._steps += len(a.values)
            values = [value for value in a.values if kind_of(value) in kinds]
            return all(b.allows(value) for value in values if a.allows(value) is not False)
        # Of each list of alternatives one holds: if each of them is within b, so is a.
        return any(
            all(self._within(option, b, kinds) for option in alternatives)
            for place in a.together
            for alternatives in place.alternatives()
        )

    def _any_within(self, some: Iterable[Place], b: Place) -> bool:
        return any(self._within(place, b) for place in (*some, ANYTHING))

    def _all_within(self, some: Iterable[Place], b: Place) -> bool:
        return all(self._within(place, b) for place in some)

    def _equal(self, a: Place, b: Place, kinds: Kinds = EVERYTHING) -> bool:
        return self._within(a, b, kinds) and self._within(b, a, kinds)

    def _constraints(self, a: Place, b: Place, kinds: Kinds) -> bool:
        """Whether ``a`` allows nothing that the keywords of ``b`` itself forbid."""
        # The cheap rules come first: most claims that fail, fail there.
        plain = all(rule(a, b.schema) for of, rule in PLAIN if of & kinds)
        return (
            plain
            and kinds <= b.own_kinds
            and is_listed(a, b)
            and has_format(a, b, kinds)
            and self._negation(a, b, kinds)
            and self._alternatives(a, b, kinds)
            and self._branches(a, b, kinds)
            and ("object" not in kinds or self._object(a, b))
            and ("array" not in kinds or self._array(a, b))
        )

    # --- keywords that apply to the value itself

    def _negation(self, a: Place, b: Place, kinds: Kinds) -> bool:
        ruled_out = b.part("not")
        return (
            ruled_out is None
            or self._are_apart(a, ruled_out, kinds)
            # Contraposition: what b rules out lies within what a rules out already.
            or any(self._within(ruled_out, place, kinds) for place in under(a, "not"))
        )

    def _alternatives(self, a: Place, b: Place, kinds: Kinds) -> bool:
        return all(
            self._fits_one(a, b, key, kinds)
            # Texts may fit one alternative and numbers another, though neither fits all of a.
            or all(self._fits_one(a, b, key, frozenset({kind})) for kind in kinds)
            for key in ("anyOf", "oneOf")
            if key in b.schema
        )

    def _fits_one(self, a: Place, b: Place, key: str, kinds: Kinds) -> bool:
        options = b.parts(key)
        if key == "oneOf" and self._same_options(a, options, kinds):
            return True
        cases = [options_of_a for place in a.together for options_of_a in place.alternatives()]
        return any(
            all(
                self._picks_one(case, i, options, key, kinds) for i, case in enumerate(alternatives)
            )
            for alternatives in (*cases, [a])
        )

    def _picks_one(
        self, a: Place, likely: int, options: list[Place], key: str, kinds: Kinds
    ) -> bool:
        """Whether all that ``a`` allows fits one of ``options``, probably that at ``likely``."""
        # Revisions seldom reorder alternatives, so that the first try mostly succeeds.
        first = options[likely : likely + 1]
        return any(self._picks(a, option, options, key, kinds) for option in (*first, *options))

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
        required = b.part(key)
        assert required is not None
        if self._within(a, required, kinds):
            return True
        for place in a.together:
            own, branch = place.part("if"), place.part(key)
            if own is None or branch is None or not self._within(branch, required, kinds):
                continue
            # Whatever takes this branch of b took the same branch of a.
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
        required = b.part("propertyNames")
        # Names are texts, even where a says nothing about them.
        return required is None or self._any_within([TEXT, *under(a, "propertyNames")], required)

    def _dependents(self, a: Place, b: Place) -> bool:
        own = [dependent for place in a.together for dependent in place.dependents()]
        for name, required in b.dependents():
            # The member may require more in a than in b, but not less.
            mine = [value for other, value in own if other == name]
            if isinstance(required, Place):
                schemas = [value for value in mine if isinstance(value, Place)]
                if not self._any_within([a, *schemas], required):
                    return False
            else:
                lists = [value for value in mine if isinstance(value, list)]
                if not set(required) <= a.required.union({name}, *lists):
                    return False
        return True

    def _named_members(self, a: Place, b: Place) -> bool:
        return all(
            self._any_within(on_member(a, name), required)
            for name in sorted(names_of(a) | b.node.properties.keys())
            for required in b.on_member(name)
        )

    def _other_members(self, a: Place, b: Place) -> bool:
        """Whether members that neither schema names are allowed.

        Which patterns match their names is not known, so all that may match are assumed to.
        """
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
        self, a: Place, required: Place, matching: str | None, missing: Iterable[str]
    ) -> bool:
        return any(
            self._all_within(place.on_others(matching, missing), required) for place in a.together
        ) or self._any_within(left_members(a, missing, None), required)

    def _unevaluated_members(self, a: Place, b: Place) -> bool:
        required, evaluated = b.part("unevaluatedProperties"), b.surely_evaluated
        if required is None or evaluated.all_members or required.says_nothing:
            return True
        # Members that b evaluates elsewhere are checked there; only the others count here.
        names = {name for name in names_of(a) if not evaluated.has(name)}
        if not all(self._any_within(on_member(a, name, b), required) for name in sorted(names)):
            return False
        others = left_members(a, evaluated.patterns, b)
        return self._on_others(a, required, None, evaluated.patterns) or self._any_within(
            others, required
        )

    # --- arrays

    def _array(self, a: Place, b: Place) -> bool:
        return self._elements(a, b) and self._contained(a, b) and self._unevaluated_elements(a, b)

    def _elements(self, a: Place, b: Place) -> bool:
        return all(
            self._any_within(on_element(a, position), required)
            for position in positions(a, b)
            for required in b.on_element(position)
        )

    def _contained(self, a: Place, b: Place) -> bool:
        required = b.part("contains")
        if required is None:
            return True
        least, most = b.schema.get("minContains", 1), b.schema.get("maxContains")
        # An array that is short enough cannot contain too many; for too few only a's own
        # `contains` is proof.
        enough = least == 0
        few = most is None or smallest(a, "maxItems") <= most
        for place in a.together:
            own = place.part("contains")
            if own is not None:
                as_many = place.schema.get("minContains", 1) >= least
                enough = enough or (as_many and self._within(own, required))
                as_few = most is not None and place.schema.get("maxContains", most + 1) <= most
                few = few or (as_few and self._within(required, own))
        return enough and few

    def _unevaluated_elements(self, a: Place, b: Place) -> bool:
        required, evaluated = b.part("unevaluatedItems"), b.surely_evaluated
        if required is None or evaluated.all_elements or required.says_nothing:
            return True
        return all(
            self._any_within(on_element(a, position, b), required)
            for position in positions(a, b)
            if position >= evaluated.positions
        )

    # --- disjointness

    def _are_apart(self, x: Place, y: Place, kinds: Kinds, levels: int = _DEEPEST) -> bool:
        """Whether it can be proved that no value of ``kinds`` is allowed by both."""
        kinds &= x.kinds & y.kinds
        if not kinds or x.is_never or y.is_never:
            return True
        claim = x, y, kinds
        if claim not in self._apart:
            self._steps += _STEPS_PER_CLAIM
            if not levels or self._steps > _MOST_STEPS:
                return False
            # Until it is known the answer is no, so that a schema that refers to itself ends.
            self._apart[claim] = False
            self._apart[claim] = self._search_apart(x, y, kinds, levels - 1)
        return self._apart[claim]

    def _search_apart(self, x: Place, y: Place, kinds: Kinds, levels: int) -> bool:
        for one, other in ((x, y), (y, x)):
            if one.values is not None:
                self._steps += len(one.values)
                values = [value for value in one.values if kind_of(value) in kinds]
                return all(other.allows(value) is False for value in values)
        # Two objects cannot be equal if a member that one of them must have can be in no other.
        return kinds == {"object"} and any(
            self._are_apart(p, q, EVERYTHING, levels)
            for name in sorted(x.required | y.required)
            for p in on_member(x, name)
            for q in on_member(y, name)
        )
