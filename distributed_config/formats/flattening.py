"""Documents flattened to names and texts, for env and properties. Standard library only.

Nothing is lost or changed silently: a value without a valid name or text, or with the name of
another value, is refused. docs/decisions/0021-flattening.md gives the reason of each rule.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from distributed_config.errors import NotRepresentable, Problem
from distributed_config.wire import Location, child_of, pointer_of

Join = Callable[[str | None, str | int], str]
"""Returns the name of a value, given the name of its parent (None: the document) and its key."""

Problems = Callable[[str, Any], Iterator[tuple[str, str]]]
"""Yields what is wrong with a name or with its value: messages, each with its rule."""

# Nested names repeat what they are nested in, so the text can be much longer than the document.
_MOST_TEXT = 16 << 20
_MOST_PROBLEMS = 100


def flatten(
    document: Mapping[str, Any], join: Join, problems_of: Problems, containers: tuple[type, ...]
) -> dict[str, str]:
    """Return the text of every value by its name, in the order of the document.

    Values of the types in ``containers`` are taken apart. Raises NotRepresentable with everything
    that cannot be written.
    """
    texts: dict[str, str] = {}
    places: dict[str, Location] = {}
    problems = []
    for place, name, value in _leaves(document, join, containers):
        problems += [Problem(pointer_of(place), *args) for args in problems_of(name, value)]
        if name in texts:
            problems.append(_clash(place, places[name], name))
            continue
        texts[name], places[name] = plain_text(value), place
    if problems:
        raise not_representable(problems)
    return texts


def plain_text(value: Any) -> str:
    """Return text as it is, and every other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def not_representable(problems: Sequence[Problem]) -> NotRepresentable:
    """Return one error for all ``problems``, which lists the first 100."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return NotRepresentable(
        f"{first.pointer}: {first.message}{more} JSON (format=json) holds everything.",
        problems[:_MOST_PROBLEMS],
    )


def _leaves(
    document: Mapping[str, Any], join: Join, containers: tuple[type, ...]
) -> Iterator[tuple[Location, str, Any]]:
    """Yield every value that is not taken apart, with its place and its name, in order."""
    waiting: list[tuple[Location, str | None, Any]] = [(None, None, document)]
    length = 0
    while waiting:
        place, name, value = waiting.pop()
        if name is not None and not (isinstance(value, containers) and value):
            yield place, name, value
            continue
        length += (len(name or "") + 1) * len(value)
        if length > _MOST_TEXT:  # before the names take up memory
            raise NotRepresentable("Its names would be far too long. Ask for format=json.")
        for inner, child in reversed(child_of(place, value)):
            assert inner is not None  # what is inside something has a key there
            waiting.append((inner, join(name, inner[1]), child))


def _clash(place: Location, other: Location, name: str) -> Problem:
    message = (
        f"It would be called {name[:80]}, and so would {pointer_of(other)}. Rename one of them."
    )
    return Problem(pointer_of(place), message, "clash")
