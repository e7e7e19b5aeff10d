"""Compatibility of a new schema with an old one, and the reasons where there is none.

Backward compatible: the new schema allows everything that the old one allows. Forward compatible:
the other way round. Only a proof makes a revision compatible (``containment``). This module finds
the reasons for the rest: it walks through both schemas side by side, and each keyword that allows
less, or more, is a reason. Where all reasons are keywords that may do either, nothing is decided.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from distributed_config.json_schema.containment import contains
from distributed_config.json_schema.differences import (
    Reason,
    either,
    keyword_differences,
    narrower,
    wider,
)
from distributed_config.json_schema.outline import Node, Part
from distributed_config.json_schema.places import Whole

_MOST_REASONS = 200
_MAX_DEPTH = 80  # references can lead deeper than a schema's text is nested


@dataclass(frozen=True)
class Compatibility:
    """The result of a comparison.

    ``backward`` and ``forward`` are None where they could not be decided; ``reasons`` then say what
    speaks against them.
    """

    backward: bool | None
    forward: bool | None
    reasons: tuple[Reason, ...]


def compare(old: dict[str, Any], new: dict[str, Any]) -> Compatibility:
    """Compare two schemas that ``load_schema`` accepted."""
    before, after = Whole(old), Whole(new)
    backward, forward = contains(after, before), contains(before, after)
    reasons = _Comparison(before, after).reasons()
    return Compatibility(
        _verdict(backward, [reason for reason in reasons if reason.narrower]),
        _verdict(forward, [reason for reason in reasons if reason.wider]),
        tuple(_remaining(reasons, backward, forward)),
    )


def _verdict(proof: bool | None, against: list[Reason]) -> bool | None:
    """Whether it is compatible: yes with a proof, no with a clear reason against, else None."""
    if proof or proof is None:
        return proof
    # A missing proof is no counterexample; a keyword that only allows less comes close to one.
    return False if any(reason.narrower != reason.wider for reason in against) else None


def _remaining(
    reasons: Iterable[Reason], backward: bool | None, forward: bool | None
) -> Iterator[Reason]:
    """Yield the reasons against the directions without a proof; at least one for each."""
    unexplained = {"narrower": not backward, "wider": not forward}
    for reason in reasons:
        # With a proof, a reason against that direction was a false alarm of the keyword's.
        remaining = replace(
            reason,
            narrower=reason.narrower and not backward,
            wider=reason.wider and not forward,
        )
        if remaining.narrower or remaining.wider:
            yield remaining
            unexplained["narrower"] &= not remaining.narrower
            unexplained["wider"] &= not remaining.wider
    if any(unexplained.values()):
        message = "It could not be decided whether this revision breaks anything."
        yield Reason("", message, **unexplained)


# In these a part that allows more can make the whole allow more or less: the whole may depend on
# how many parts hold, or on a part not holding.
_MIXED = (
    ("oneOf",),
    ("contains",),
    ("unevaluatedProperties",),
    ("unevaluatedItems",),
    ("dependentSchemas",),
    ("dependencies",),
    ("if", "then", "else"),
)
_WITHOUT_EFFECT = frozenset(
    {
        "$ref",
        "$dynamicRef",
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "$anchor",
        "$dynamicAnchor",
        "definitions",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
    }
)


class _Comparison:
    """A walk through two schemas side by side."""

    def __init__(self, old: Whole, new: Whole) -> None:
        self._old = old
        self._new = new
        # A pair that is still being compared has no differences of its own: a schema that refers to
        # itself ends here, and its differences are reported where the comparison began.
        self._known: dict[tuple[str | None, str | None], tuple[Reason, ...]] = {}
        self._under_mixed = 0
        self._depth = 0

    def reasons(self) -> tuple[Reason, ...]:
        old, new = self._old.root.node, self._new.root.node
        reasons = self._differences(old, new)
        if self._old.draft != self._new.draft:
            # Keywords change their meaning with the draft, in either direction.
            reasons = (either(new, "$schema", "The draft changed."), *reasons)
        return tuple(dict.fromkeys(reasons))

    def _differences(self, old: Node, new: Node) -> tuple[Reason, ...]:
        old, new = _resolve(self._old, old), _resolve(self._new, new)
        if not old.schema and not new.schema:
            return ()
        if self._depth == _MAX_DEPTH:
            return (Reason(new.pointer, "It is nested too deeply to be compared.", True, True),)
        pair = _identity(old), _identity(new)
        if pair not in self._known:
            self._known[pair] = ()
            self._depth += 1
            self._known[pair] = _first(self._compare(old, new))
            self._depth -= 1
        elif (
            self._under_mixed
            and not self._known[pair]
            and self._old.outline.schema != self._new.outline.schema
        ):
            # Under a negation or an alternative, a change means something else than where the
            # comparison of this pair began.
            return (either(new, "$ref", "It refers to itself, and changed."),)
        return self._known[pair]

    def _compare(self, old: Node, new: Node) -> Iterator[Reason]:
        if _is_false(old) or _is_false(new):
            if not _is_false(old):
                yield Reason(new.pointer, "Nothing is allowed here any more.", True, False)
            if not _is_false(new):
                yield Reason(
                    new.pointer, "Something is allowed here now; before, nothing was.", False, True
                )
            return
        yield from keyword_differences(old, new)
        yield from self._of_references(old, new)
        yield from self._of_members(old, new)
        yield from self._of_elements(old, new)
        yield from self._of_names(old, new)
        yield from self._of_conjunction(old, new)
        yield from self._of_alternatives(old, new)
        yield from self._of_negation(old, new)
        for keys in _MIXED:
            yield from self._of_mixed(old, new, keys)

    def _of_references(self, old: Node, new: Node) -> Iterator[Reason]:
        before, after = _targets(self._old, old), _targets(self._new, new)
        if len(before) != len(after):
            yield either(new, "$ref", "It has more or fewer references than before.")
            return
        for pair in zip(before, after, strict=True):
            yield from self._differences(*pair)

    def _of_members(self, old: Node, new: Node) -> Iterator[Reason]:
        rest = [
            whole.place(node.additional).node if node.additional else _anything(node)
            for whole, node in ((self._old, old), (self._new, new))
        ]
        if old.patterned.keys() != new.patterned.keys():
            yield either(new, "patternProperties", "The patterns in patternProperties changed.")
        else:
            for name, part in old.patterned.items():
                yield from self._parts(part, new.patterned[name])
        for name in dict.fromkeys([*old.properties, *new.properties]):
            before, after = old.properties.get(name), new.properties.get(name)
            if before is not None and after is not None:
                yield from self._parts(before, after)
            elif after is not None:
                node = self._new.place(after).node
                message = "The property is new."
                if not _is_false(rest[0]):
                    message = "The property is described now; before, it could be anything."
                yield from _summarise(node, message, self._differences(rest[0], node))
            elif before is not None:
                node = self._old.place(before).node
                message = "The property was removed, and no others are allowed."
                if not _is_false(rest[1]):
                    message = "The property is no longer described; it can be anything."
                yield from _summarise(node, message, self._differences(node, rest[1]))
        differences = self._differences(*rest)
        if differences and (_is_false(rest[0]) or _is_false(rest[1])):
            now = "no longer" if _is_false(rest[1]) else "now"
            message = f"Properties that are not named here are {now} allowed."
            yield from _summarise(_anything(new, "additionalProperties"), message, differences)
        else:
            yield from differences

    def _of_elements(self, old: Node, new: Node) -> Iterator[Reason]:
        for position in range(max(len(old.positions), len(new.positions)) + 1):
            before, after = old.at(position), new.at(position)
            yield from self._differences(
                self._old.place(before).node if before else _anything(old, "items"),
                self._new.place(after).node if after else _anything(new, "items"),
            )

    def _of_names(self, old: Node, new: Node) -> Iterator[Reason]:
        names = [_part(node, "propertyNames") for node in (old, new)]
        yield from self._differences(
            self._old.place(names[0]).node if names[0] else _anything(old, "propertyNames"),
            self._new.place(names[1]).node if names[1] else _anything(new, "propertyNames"),
        )

    def _of_conjunction(self, old: Node, new: Node) -> Iterator[Reason]:
        before, after = _listed(old, "allOf"), _listed(new, "allOf")
        for pair in zip(before, after, strict=False):
            yield from self._parts(*pair)
        if len(after) > len(before):
            yield narrower(new, "allOf", "One more schema must hold.")
        if len(before) > len(after):
            yield wider(new, "allOf", "One schema fewer must hold.")

    def _of_alternatives(self, old: Node, new: Node) -> Iterator[Reason]:
        before, after = _listed(old, "anyOf"), _listed(new, "anyOf")
        for pair in zip(before, after, strict=False):
            yield from self._parts(*pair)
        if before and len(after) > len(before):
            yield wider(new, "anyOf", "There is one more alternative.")
        elif after and len(before) > len(after):
            yield narrower(new, "anyOf", "There is one alternative fewer.")
        elif bool(before) != bool(after):
            how = narrower if after else wider
            yield how(
                new,
                "anyOf",
                "One of several must hold now." if after else "The alternatives were removed.",
            )

    def _of_negation(self, old: Node, new: Node) -> Iterator[Reason]:
        before, after = _part(old, "not"), _part(new, "not")
        if before is None and after is None:
            return
        if before is None or after is None:
            how = narrower if before is None else wider
            yield how(new, "not", "What is ruled out changed.")
            return
        # Under a negation less is more.
        for reason in self._mixed_differences([before], [after]):
            yield replace(reason, narrower=reason.wider, wider=reason.narrower)

    def _of_mixed(self, old: Node, new: Node, keys: tuple[str, ...]) -> Iterator[Reason]:
        if not any(key in node.schema for node in (old, new) for key in keys):
            return
        before, after = _inside(old, keys), _inside(new, keys)
        if not before or not after:
            how = wider if before else narrower
            yield how(new, keys[0], f"{keys[0]} was {'removed' if before else 'added'}.")
            return
        same_shape = [_relative(old, part) for part in before] == [
            _relative(new, part) for part in after
        ] and _names(old, keys) == _names(new, keys)
        if not same_shape or self._mixed_differences(before, after):
            yield either(new, keys[0], f"{keys[0]} changed.")

    def _parts(self, before: Part, after: Part) -> tuple[Reason, ...]:
        return self._differences(self._old.place(before).node, self._new.place(after).node)

    def _mixed_differences(self, before: list[Part], after: list[Part]) -> list[Reason]:
        self._under_mixed += 1
        pairs = zip(before, after, strict=True)
        reasons = [reason for pair in pairs for reason in self._parts(*pair)]
        self._under_mixed -= 1
        return reasons


def _resolve(whole: Whole, node: Node) -> Node:
    """Return ``node``, or what it refers to if it says nothing else.

    References end somewhere: ``load_schema`` refuses loops.
    """
    while len(node.references) == 1 and node.schema.keys() <= _WITHOUT_EFFECT:
        [node] = _targets(whole, node)
    return node


def _targets(whole: Whole, node: Node) -> list[Node]:
    targets = map(whole.outline.target, node.references)
    return [whole.place(part).node for part in targets if part]


def _anything(node: Node, key: str = "additionalProperties") -> Node:
    """Return the empty schema that stands where ``node`` says nothing."""
    return Node(f"{node.pointer}/{key}", {})


def _identity(node: Node) -> str | None:
    # All empty schemas are one: under a schema that refers to itself there is no end of them.
    return node.pointer if node.schema else None


def _first(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return the first of ``reasons``, each once."""
    # Nobody reads more than so many, and they multiply on the way up.
    distinct: dict[Reason, None] = {}
    for reason in reasons:
        distinct[reason] = None
        if len(distinct) == _MOST_REASONS:
            break
    return tuple(distinct)


def _is_false(node: Node) -> bool:
    return node.schema.get("not") in ({}, True) and isinstance(node.schema["not"], dict | bool)


def _part(node: Node, key: str) -> Part | None:
    value = node.schema.get(key)
    return (f"{node.pointer}/{key}", value) if isinstance(value, dict | bool) else None


def _listed(node: Node, key: str) -> list[Part]:
    values = node.schema.get(key, [])
    return [(f"{node.pointer}/{key}/{i}", value) for i, value in enumerate(values)]


def _inside(node: Node, keys: tuple[str, ...]) -> list[Part]:
    """Return the schemas under ``keys``, in the order of their pointers."""
    starts = tuple(f"{node.pointer}/{key}" for key in keys)
    parts = [*node.same, *node.all_members, *node.all_elements]
    return sorted((part for part in parts if _begins(part[0], starts)), key=lambda part: part[0])


def _begins(pointer: str, starts: tuple[str, ...]) -> bool:
    return any(pointer == start or pointer.startswith(f"{start}/") for start in starts)


def _relative(node: Node, part: Part) -> str:
    return part[0].removeprefix(node.pointer)


def _names(node: Node, keys: tuple[str, ...]) -> list[Any]:
    """Return what stands under ``keys`` besides schemas: lists of names, in ``dependencies``."""
    values = [node.schema.get(key) for key in keys]
    return [
        [(name, names) for name, names in value.items() if isinstance(names, list)]
        for value in values
        if isinstance(value, dict)
    ]


def _summarise(node: Node, message: str, differences: Iterable[Reason]) -> Iterator[Reason]:
    """Yield one reason in place of all ``differences``, or none if there are none."""
    reasons = list(differences)
    if reasons:
        yield Reason(
            node.pointer,
            message,
            narrower=any(reason.narrower for reason in reasons),
            wider=any(reason.wider for reason in reasons),
        )
