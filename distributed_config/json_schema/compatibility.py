"""How a new schema differs from an old one, for the documents of both.

Backward compatible: whatever the old schema allows, the new one allows. Forward compatible: the
other way round. Only a proof makes a revision compatible (``containment``). What is here finds the
reasons for the rest: both schemas are walked side by side, and each keyword that allows less, or
more, is one. Where the only reasons are keywords that may do either, nothing is decided.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from distributed_config.json_schema.containment import contains
from distributed_config.json_schema.messages import to_text, types_in_words
from distributed_config.json_schema.outline import Node, Part
from distributed_config.json_schema.places import Whole

_MOST_REASONS = 200
_DEEPEST = 80  # references can lead deeper than a schema's text is nested


@dataclass(frozen=True)
class Reason:
    """One difference. ``pointer`` leads to it in the new schema, or to where it was in the old.

    ``narrower``: something that was allowed is not any more. ``wider``: something is allowed that
    was not. With both set it may be either.
    """

    pointer: str
    message: str
    narrower: bool
    wider: bool


@dataclass(frozen=True)
class Compatibility:
    """``backward`` and ``forward`` are None where it could not be decided."""

    backward: bool | None
    forward: bool | None
    reasons: tuple[Reason, ...]


def compare(old: dict[str, Any], new: dict[str, Any]) -> Compatibility:
    """The difference between two schemas that ``schema_of`` has passed."""
    before, after = Whole(old), Whole(new)
    kept, known = contains(after, before), contains(before, after)
    reasons = _Comparison(before, after).reasons()
    narrower = [reason for reason in reasons if reason.narrower]
    wider = [reason for reason in reasons if reason.wider]
    return Compatibility(
        _verdict(kept, narrower), _verdict(known, wider), tuple(_remaining(reasons, kept, known))
    )


def _verdict(shown: bool | None, against: list[Reason]) -> bool | None:
    """``shown`` is a proof. Where there is none, a keyword that clearly says less speaks for no."""
    if shown or shown is None:
        return shown
    return False if any(reason.narrower != reason.wider for reason in against) else None


def _remaining(
    reasons: Iterable[Reason], kept: bool | None, known: bool | None
) -> Iterator[Reason]:
    """What speaks against the directions that have no proof, and at least one reason for each."""
    narrower, wider = not kept, not known
    for reason in reasons:
        told = replace(
            reason,
            narrower=reason.narrower and not kept,
            wider=reason.wider and not known,
        )
        if told.narrower or told.wider:
            yield told
            narrower, wider = narrower and not told.narrower, wider and not told.wider
    if narrower or wider:
        message = "That nothing breaks cannot be shown, so it cannot be decided."
        yield Reason("", message, narrower, wider)


# --- side by side


_EVERY_TYPE = ("array", "boolean", "integer", "null", "number", "object", "string")
_LEAST = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum")
_MOST = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")
_EXACT = ("pattern", "format", "dependentRequired", "minContains", "maxContains", "uniqueItems")
# Where a part that allows more can make the whole allow more or less.
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


def _narrower(node: Node, key: str, message: str) -> Reason:
    return Reason(f"{node.pointer}/{key}", message, narrower=True, wider=False)


def _wider(node: Node, key: str, message: str) -> Reason:
    return Reason(f"{node.pointer}/{key}", message, narrower=False, wider=True)


def _either(node: Node, key: str, message: str) -> Reason:
    return Reason(f"{node.pointer}/{key}", message, narrower=True, wider=True)


class _Comparison:
    """Two schemas side by side."""

    def __init__(self, old: Whole, new: Whole) -> None:
        self._old = old
        self._new = new
        # What is being compared has no differences of its own: they are told where it began.
        self._known: dict[tuple[str | None, str | None], tuple[Reason, ...]] = {}
        self._under_mixed = 0
        self._depth = 0

    def reasons(self) -> tuple[Reason, ...]:
        old, new = self._old.root.node, self._new.root.node
        found = self._differences(old, new)
        if self._old.draft != self._new.draft:
            found = (_either(new, "$schema", "The draft is another one."), *found)
        return tuple(dict.fromkeys(found))

    def _differences(self, old: Node, new: Node) -> tuple[Reason, ...]:
        old, new = _followed(self._old, old), _followed(self._new, new)
        if not old.schema and not new.schema:
            return ()
        if self._depth == _DEEPEST:
            return (Reason(new.pointer, "It lies too deep to be compared.", True, True),)
        pair = _identity(old), _identity(new)
        if pair not in self._known:
            self._known[pair] = ()
            self._depth += 1
            self._known[pair] = _first(self._compared(old, new))
            self._depth -= 1
        elif (
            self._under_mixed
            and not self._known[pair]
            and self._old.outline.schema != self._new.outline.schema
        ):
            # What is told where it began has there another meaning than here.
            return (_either(new, "$ref", "It was changed, and refers to itself."),)
        return self._known[pair]

    def _compared(self, old: Node, new: Node) -> Iterator[Reason]:
        if _is_false(old) or _is_false(new):
            if not _is_false(old):
                yield Reason(new.pointer, "Nothing is allowed here any more.", True, False)
            if not _is_false(new):
                yield Reason(new.pointer, "Something is allowed here now.", False, True)
            return
        yield from _of_types(old, new)
        yield from _of_values(old, new)
        yield from _of_limits(old, new)
        yield from _of_multiples(old, new)
        yield from _of_required(old, new)
        for key in _EXACT:
            yield from _of_exact(old, new, key)
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
            yield _either(new, "$ref", "It refers to something else.")
            return
        for pair in zip(before, after, strict=True):
            yield from self._differences(*pair)

    def _of_members(self, old: Node, new: Node) -> Iterator[Reason]:
        rest = [
            whole.place(node.additional).node if node.additional else _anything(node)
            for whole, node in ((self._old, old), (self._new, new))
        ]
        if old.patterned.keys() != new.patterned.keys():
            yield _either(new, "patternProperties", "The patterns of names are others.")
        else:
            for name, part in old.patterned.items():
                yield from self._parts(part, new.patterned[name])
        for name in dict.fromkeys([*old.properties, *new.properties]):
            before, after = old.properties.get(name), new.properties.get(name)
            if before is not None and after is not None:
                yield from self._parts(before, after)
            elif after is not None:
                node = self._new.place(after).node
                known = "The property is new."
                if not _is_false(rest[0]):
                    known = "The property is described now; before, it could be anything."
                yield from _summed(node, known, self._differences(rest[0], node))
            elif before is not None:
                node = self._old.place(before).node
                gone = "The property is gone, and no other is allowed."
                if not _is_false(rest[1]):
                    gone = "The property is not described any more; it can be anything."
                yield from _summed(node, gone, self._differences(node, rest[1]))
        differences = self._differences(*rest)
        if differences and (_is_false(rest[0]) or _is_false(rest[1])):
            say = "Properties without a name here are {} allowed."
            text = say.format("not" if _is_false(rest[1]) else "now")
            yield from _summed(_anything(new, "additionalProperties"), text, differences)
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
            yield _narrower(new, "allOf", "One more must hold.")
        if len(before) > len(after):
            yield _wider(new, "allOf", "One less must hold.")

    def _of_alternatives(self, old: Node, new: Node) -> Iterator[Reason]:
        before, after = _listed(old, "anyOf"), _listed(new, "anyOf")
        for pair in zip(before, after, strict=False):
            yield from self._parts(*pair)
        if before and len(after) > len(before):
            yield _wider(new, "anyOf", "There is one more alternative.")
        elif after and len(before) > len(after):
            yield _narrower(new, "anyOf", "There is one alternative less.")
        elif bool(before) != bool(after):
            how = _narrower if after else _wider
            yield how(
                new, "anyOf", "One of several must hold" + (" now." if after else " no more.")
            )

    def _of_negation(self, old: Node, new: Node) -> Iterator[Reason]:
        before, after = _part(old, "not"), _part(new, "not")
        if before is None and after is None:
            return
        if before is None or after is None:
            how = _narrower if before is None else _wider
            yield how(new, "not", "What is ruled out is another.")
            return
        for each in self._mixed_differences([before], [after]):
            yield Reason(each.pointer, each.message, narrower=each.wider, wider=each.narrower)

    def _of_mixed(self, old: Node, new: Node, keys: tuple[str, ...]) -> Iterator[Reason]:
        if not any(key in node.schema for node in (old, new) for key in keys):
            return
        before, after = _inside(old, keys), _inside(new, keys)
        if not before or not after:
            how = _wider if before else _narrower
            yield how(new, keys[0], "It is gone." if before else "It is new.")
            return
        same_shape = [_relative(old, each) for each in before] == [
            _relative(new, each) for each in after
        ] and _names(old, keys) == _names(new, keys)
        if not same_shape or self._mixed_differences(before, after):
            yield _either(new, keys[0], f"What {keys[0]} says is another.")

    def _parts(self, before: Part, after: Part) -> tuple[Reason, ...]:
        return self._differences(self._old.place(before).node, self._new.place(after).node)

    def _mixed_differences(self, before: list[Part], after: list[Part]) -> list[Reason]:
        self._under_mixed += 1
        found = [each for pair in zip(before, after, strict=True) for each in self._parts(*pair)]
        self._under_mixed -= 1
        return found


def _followed(whole: Whole, node: Node) -> Node:
    """``node``, or what it refers to if it says nothing else; references end somewhere."""
    while len(node.references) == 1 and node.schema.keys() <= _WITHOUT_EFFECT:
        [node] = _targets(whole, node)
    return node


def _targets(whole: Whole, node: Node) -> list[Node]:
    targets = map(whole.outline.target, node.references)
    return [whole.place(part).node for part in targets if part]


def _anything(node: Node, key: str = "additionalProperties") -> Node:
    """What stands where ``node`` says nothing."""
    return Node(f"{node.pointer}/{key}", {})


def _identity(node: Node) -> str | None:
    # All that say nothing are one: under a schema that refers to itself there is no end of them.
    return node.pointer if node.schema else None


def _first(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The first of ``reasons``, each once: nobody reads more, and they multiply on the way up."""
    found: dict[Reason, None] = {}
    for reason in reasons:
        found[reason] = None
        if len(found) == _MOST_REASONS:
            break
    return tuple(found)


def _is_false(node: Node) -> bool:
    return node.schema.get("not") in ({}, True) and isinstance(node.schema["not"], dict | bool)


def _part(node: Node, key: str) -> Part | None:
    value = node.schema.get(key)
    return (f"{node.pointer}/{key}", value) if isinstance(value, dict | bool) else None


def _listed(node: Node, key: str) -> list[Part]:
    values = node.schema.get(key, [])
    return [(f"{node.pointer}/{key}/{i}", each) for i, each in enumerate(values)]


def _inside(node: Node, keys: tuple[str, ...]) -> list[Part]:
    """The schemas under ``keys``, in the order of their pointers."""
    starts = tuple(f"{node.pointer}/{key}" for key in keys)
    parts = [*node.same, *node.all_members, *node.all_elements]
    return sorted((part for part in parts if _begins(part[0], starts)), key=lambda part: part[0])


def _begins(pointer: str, starts: tuple[str, ...]) -> bool:
    return any(pointer == start or pointer.startswith(f"{start}/") for start in starts)


def _relative(node: Node, part: Part) -> str:
    return part[0].removeprefix(node.pointer)


def _names(node: Node, keys: tuple[str, ...]) -> list[Any]:
    """What stands under ``keys`` besides schemas: the names that draft 7's dependencies list."""
    values = [node.schema.get(key) for key in keys]
    return [
        [(name, each) for name, each in value.items() if isinstance(each, list)]
        for value in values
        if isinstance(value, dict)
    ]


def _summed(node: Node, message: str, differences: Iterable[Reason]) -> Iterator[Reason]:
    """One reason for all ``differences``."""
    found = list(differences)
    if found:
        narrower = any(each.narrower for each in found)
        yield Reason(node.pointer, message, narrower, any(each.wider for each in found))


# --- keyword by keyword


def _of_types(old: Node, new: Node) -> Iterator[Reason]:
    before, after = _types(old), _types(new)
    if before - after:
        yield _narrower(
            new, "type", f"It cannot be {types_in_words(_told(before - after))} any more."
        )
    if after - before:
        yield _wider(new, "type", f"It can be {types_in_words(_told(after - before))} now.")


def _types(node: Node) -> set[str]:
    named = node.schema.get("type", _EVERY_TYPE)
    types = {named} if isinstance(named, str) else set(named)
    return types | {"integer"} if "number" in types else types


def _told(types: set[str]) -> list[str]:
    return sorted(types - {"integer"} if "number" in types else types)


def _of_values(old: Node, new: Node) -> Iterator[Reason]:
    before, after = _values(old), _values(new)
    if before == after:
        return
    if before is None or after is None:
        how = _narrower if before is None else _wider
        said = (
            "Only some values are allowed now." if before is None else "Any value is allowed now."
        )
        yield how(new, "enum", said)
        return
    if before - after:
        yield _narrower(new, "enum", f"Not allowed any more: {', '.join(sorted(before - after))}.")
    if after - before:
        yield _wider(new, "enum", f"Allowed now: {', '.join(sorted(after - before))}.")


def _values(node: Node) -> set[str] | None:
    """The only values that are allowed, each as JSON; None: any."""
    values = None
    if "enum" in node.schema:
        values = {to_text(each) for each in node.schema["enum"]}
    if "const" in node.schema:
        only = {to_text(node.schema["const"])}
        values = only if values is None else values & only
    return values


def _of_limits(old: Node, new: Node) -> Iterator[Reason]:
    for key in (*_LEAST, *_MOST):
        before, after = old.schema.get(key), new.schema.get(key)
        if before == after:
            continue
        told = f"{key} was {to_text(before)} and is {to_text(after)}."
        if before is None:
            yield _narrower(new, key, f"{key} is {to_text(after)} now.")
        elif after is None:
            yield _wider(new, key, f"{key} was {to_text(before)} and is gone.")
        elif (after > before) == (key in _LEAST):
            yield _narrower(new, key, told)
        else:
            yield _wider(new, key, told)


def _of_multiples(old: Node, new: Node) -> Iterator[Reason]:
    before, after = old.schema.get("multipleOf"), new.schema.get("multipleOf")
    if before == after:
        return
    told = f"multipleOf was {to_text(before)} and is {to_text(after)}."
    if before is None:
        yield _narrower(new, "multipleOf", f"It must be a multiple of {after} now.")
    elif after is None:
        yield _wider(new, "multipleOf", f"It need not be a multiple of {before} any more.")
    elif isinstance(before, int) and isinstance(after, int) and not after % before:
        yield _narrower(new, "multipleOf", told)
    elif isinstance(before, int) and isinstance(after, int) and not before % after:
        yield _wider(new, "multipleOf", told)
    else:
        yield _either(new, "multipleOf", told)


def _of_required(old: Node, new: Node) -> Iterator[Reason]:
    before, after = (set(node.schema.get("required", ())) for node in (old, new))
    if after - before:
        yield _narrower(new, "required", f"Required now: {', '.join(sorted(after - before))}.")
    if before - after:
        yield _wider(
            new, "required", f"Not required any more: {', '.join(sorted(before - after))}."
        )


def _of_exact(old: Node, new: Node, key: str) -> Iterator[Reason]:
    before, after = old.schema.get(key) or None, new.schema.get(key) or None
    if before == after:
        return
    if before is None:
        yield _narrower(new, key, f"{key} is {to_text(after)} now.")
    elif after is None:
        yield _wider(new, key, f"{key} was {to_text(before)} and is gone.")
    else:
        yield _either(new, key, f"{key} was {to_text(before)} and is {to_text(after)}.")
