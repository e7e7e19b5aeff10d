"""Differences between the keywords of two schemas, one by one, as reasons for people.

Only keywords with plain values are compared here; ``compatibility`` walks through the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from distributed_config.json_schema.messages import to_text, types_in_words
from distributed_config.json_schema.outline import Node

_EVERY_TYPE = ("array", "boolean", "integer", "null", "number", "object", "string")
_LEAST = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum")
_MOST = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")
_EXACT = ("pattern", "format", "dependentRequired", "minContains", "maxContains", "uniqueItems")


@dataclass(frozen=True)
class Reason:
    """One difference between two schemas.

    ``pointer`` leads to it in the new schema, or to where it was in the old one.

    ``narrower``: something that was allowed no longer is. ``wider``: something is allowed that was
    not. With both set it may be either.
    """

    pointer: str
    message: str
    narrower: bool
    wider: bool


def narrower(node: Node, key: str, message: str) -> Reason:
    """Return the reason that ``key`` allows less than before."""
    return Reason(f"{node.pointer}/{key}", message, narrower=True, wider=False)


def wider(node: Node, key: str, message: str) -> Reason:
    """Return the reason that ``key`` allows more than before."""
    return Reason(f"{node.pointer}/{key}", message, narrower=False, wider=True)


def either(node: Node, key: str, message: str) -> Reason:
    """Return the reason that ``key`` may allow less, or more, than before."""
    return Reason(f"{node.pointer}/{key}", message, narrower=True, wider=True)


def keyword_differences(old: Node, new: Node) -> Iterator[Reason]:
    """Yield a reason for each keyword with a plain value that changed what is allowed."""
    yield from _of_types(old, new)
    yield from _of_values(old, new)
    yield from _of_limits(old, new)
    yield from _of_multiples(old, new)
    yield from _of_required(old, new)
    for key in _EXACT:
        yield from _of_exact(old, new, key)


def _of_types(old: Node, new: Node) -> Iterator[Reason]:
    before, after = _types(old), _types(new)
    if before - after:
        yield narrower(
            new,
            "type",
            f"It cannot be {types_in_words(_without_implied(before - after))} any more.",
        )
    if after - before:
        yield wider(
            new, "type", f"It can be {types_in_words(_without_implied(after - before))} now."
        )


def _types(node: Node) -> set[str]:
    named = node.schema.get("type", _EVERY_TYPE)
    types = {named} if isinstance(named, str) else set(named)
    return types | {"integer"} if "number" in types else types


def _without_implied(types: set[str]) -> list[str]:
    # "a number or a whole number" would read as if they were two things.
    return sorted(types - {"integer"} if "number" in types else types)


def _of_values(old: Node, new: Node) -> Iterator[Reason]:
    before, after = _values(old), _values(new)
    if before == after:
        return
    if before is None or after is None:
        how = narrower if before is None else wider
        change = "Only some values are" if before is None else "Any value is"
        yield how(new, "enum", f"{change} allowed now.")
        return
    if before - after:
        yield narrower(new, "enum", f"Not allowed any more: {', '.join(sorted(before - after))}.")
    if after - before:
        yield wider(new, "enum", f"Allowed now: {', '.join(sorted(after - before))}.")


def _values(node: Node) -> set[str] | None:
    """Return the only values that are allowed, each as JSON; None means any value."""
    values = None
    if "enum" in node.schema:
        values = {to_text(value) for value in node.schema["enum"]}
    if "const" in node.schema:
        only = {to_text(node.schema["const"])}
        values = only if values is None else values & only
    return values


def _of_limits(old: Node, new: Node) -> Iterator[Reason]:
    for key in (*_LEAST, *_MOST):
        before, after = old.schema.get(key), new.schema.get(key)
        if before == after:
            continue
        message = f"{key} was {to_text(before)} and is {to_text(after)} now."
        if before is None:
            yield narrower(new, key, f"{key} is {to_text(after)} now.")
        elif after is None:
            yield wider(new, key, f"{key} was {to_text(before)} and was removed.")
        # A lower bound that rises allows less; an upper bound that rises allows more.
        elif (after > before) == (key in _LEAST):
            yield narrower(new, key, message)
        else:
            yield wider(new, key, message)


def _of_multiples(old: Node, new: Node) -> Iterator[Reason]:
    before, after = old.schema.get("multipleOf"), new.schema.get("multipleOf")
    if before == after:
        return
    message = f"multipleOf was {to_text(before)} and is {to_text(after)} now."
    if before is None:
        yield narrower(new, "multipleOf", f"It must be a multiple of {after} now.")
    elif after is None:
        yield wider(new, "multipleOf", f"It need not be a multiple of {before} any more.")
    # Fractions are not divided: with binary floats 0.3 is no multiple of 0.1.
    elif isinstance(before, int) and isinstance(after, int) and not after % before:
        yield narrower(new, "multipleOf", message)
    elif isinstance(before, int) and isinstance(after, int) and not before % after:
        yield wider(new, "multipleOf", message)
    else:
        yield either(new, "multipleOf", message)


def _of_required(old: Node, new: Node) -> Iterator[Reason]:
    before, after = (set(node.schema.get("required", ())) for node in (old, new))
    if after - before:
        yield narrower(new, "required", f"Required now: {', '.join(sorted(after - before))}.")
    if before - after:
        yield wider(new, "required", f"Not required any more: {', '.join(sorted(before - after))}.")


def _of_exact(old: Node, new: Node, key: str) -> Iterator[Reason]:
    # Empty and false values, as in `uniqueItems: false`, say no more than a missing keyword.
    before, after = old.schema.get(key) or None, new.schema.get(key) or None
    if before == after:
        return
    if before is None:
        yield narrower(new, key, f"{key} is {to_text(after)} now.")
    elif after is None:
        yield wider(new, key, f"{key} was {to_text(before)} and was removed.")
    else:
        yield either(new, key, f"{key} was {to_text(before)} and is {to_text(after)} now.")
