"""Documents as flat names and texts, as env and properties have them. Standard library only.

Nothing is lost or changed silently: what has no name, no text, or the name of something else is
refused. docs/decisions/0021-flattening.md says why each rule is as it is.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from distributed_config.errors import NotRepresentable, Problem
from distributed_config.wire import Location, child_of, pointer_of

Join = Callable[[str | None, str | int], str]
"""The name of what stands under a key: made of the name of what holds it (None: the document)."""

Faults = Callable[[str, Any], Iterator[tuple[str, str]]]
"""What is wrong with a name and the value that would have it: messages, each with its rule."""

# Nested names repeat what they are nested in, so the text can be much longer than the document.
_MOST_TEXT = 16 << 20
_MOST_PROBLEMS = 100


def flatten(
    document: Mapping[str, Any], join: Join, faults: Faults, holders: tuple[type, ...]
) -> dict[str, str]:
    """The text of every value by its name; values of the types in ``holders`` are taken apart.

    Raises NotRepresentable with everything that cannot be written.
    """
    found: dict[str, str] = {}
    places: dict[str, Location] = {}
    problems = []
    for place, name, value in _leaves(document, join, holders):
        problems += [Problem(pointer_of(place), *fault) for fault in faults(name, value)]
        if name in found:
            problems.append(_clash(place, places[name], name))
            continue
        found[name], places[name] = plain_text(value), place
    if problems:
        raise not_representable(problems)
    return found


def plain_text(value: Any) -> str:
    """Text as it is, and everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def not_representable(problems: Sequence[Problem]) -> NotRepresentable:
    """One error that speaks for all ``problems``; it tells the first 100."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return NotRepresentable(
        f"{first.pointer}: {first.message}{more} JSON (format=json) holds everything.",
        problems[:_MOST_PROBLEMS],
    )


def _leaves(
    document: Mapping[str, Any], join: Join, holders: tuple[type, ...]
) -> Iterator[tuple[Location, str, Any]]:
    """Every value that is not taken apart, with its place and its name, in the document's order."""
    waiting: list[tuple[Location, str | None, Any]] = [(None, None, document)]
    length = 0
    while waiting:
        place, name, value = waiting.pop()
        if name is not None and not (isinstance(value, holders) and value):
            yield place, name, value
            continue
        length += (len(name or "") + 1) * len(value)
        if length > _MOST_TEXT:  # before the names are made
            raise NotRepresentable("Its names would be far too long. Ask for format=json.")
        for inner, child in reversed(child_of(place, value)):
            assert inner is not None  # what is inside something has a key there
            waiting.append((inner, join(name, inner[1]), child))


def _clash(place: Location, other: Location, name: str) -> Problem:
    message = (
        f"It would be called {name[:80]}, and so would {pointer_of(other)}. Rename one of them."
    )
    return Problem(pointer_of(place), message, "clash")
