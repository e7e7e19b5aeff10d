"""Paths: how a person names a value in a document. The rule is in docs/paths.md.

Standard library only: the client, the terminal, templates and the server's indexes read paths here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from distributed_config.errors import Invalid, Problem
from distributed_config.wire import escape_pointer

MISSING: Any = object()
"""Stands for a value that is not there; null is one that is."""

# A document is 64 levels deep at most, and nobody writes a longer path by hand.
_MOST_PARTS = 64
_MOST_CHARACTERS = 2_000
# How many places the readings of one path may lead through; real documents need a handful.
_MOST_VISITS = 256

_ESCAPED = re.compile(r"\\([.\\])|(\.)")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")

Keys = tuple[str, ...]

Step = Callable[[Any, str], Any]
"""What a place has under a key: another place, or MISSING."""


@dataclass(frozen=True)
class Visit:
    """A place that a path leads to, or through: ``rest`` are the parts that are left."""

    keys: Keys
    place: Any
    rest: Keys


def find(document: Mapping[str, Any], path: str) -> Any:
    """What ``document`` has at ``path``, or MISSING. Raises Invalid where that could be two."""
    if path.startswith("/"):
        return at(document, parse_pointer(path))
    return _the_only(path, list(islice(readings(path, document, member), 2)))


def first(document: Any, path: str) -> Any:
    """What ``document`` has at ``path``, or MISSING; of two, the one whose key has the dots.

    This is for programs that read many documents and can ask nobody.
    """
    if path.startswith("/"):
        return at(document, parse_pointer(path))
    try:
        return next((each.place for each in readings(path, document, member)), MISSING)
    except Invalid:  # it is too intricate to be meant by anybody
        return MISSING


def locate(document: Mapping[str, Any], path: str) -> Keys:
    """The keys that ``path`` names in ``document``, to be written to; new ones may be among them.

    Of the path as much as possible is what exists already, and each part of the rest is a key.
    Raises Invalid where that could be two places, or would be inside of a list.
    """
    if path.startswith("/"):
        keys = parse_pointer(path)
        _refuse_elements(document, keys, path)
        return keys
    visits = list(_visits(document, (), parts_of(path), member, _Budget(path)))
    least = min(len(each.rest) for each in visits)
    best = [each for each in visits if len(each.rest) == least]
    if len(best) > 1:
        raise ambiguous(path, [(*each.keys, *each.rest) for each in best])
    [visit] = best
    keys = (*visit.keys, *visit.rest)
    _refuse_elements(document, keys, path)
    return keys


def readings(path: str, start: Any, step: Step) -> Iterator[Visit]:
    """Every way to read ``path`` from ``start``, those with more dots in their first keys first.

    Raises Invalid for a path that is far too long, or leads through far too many places.
    """
    if path.startswith("/"):
        keys = parse_pointer(path)
        place = start
        for key in keys:
            place = step(place, key) if place is not MISSING else MISSING
        if place is not MISSING:
            yield Visit(keys, place, ())
        return
    for visit in _visits(start, (), parts_of(path), step, _Budget(path)):
        if not visit.rest:
            yield visit


def may_lead_into(path: str, tokens: Keys) -> bool:
    """Whether some reading of ``path`` begins with ``tokens``, of which ``*`` is any key."""
    if path.startswith("/"):
        keys = parse_pointer(path)
        pairs = zip(tokens, keys, strict=False)
        return len(tokens) <= len(keys) and all(token in {"*", key} for token, key in pairs)
    parts = parts_of(path)
    ends = {0}
    for token in tokens:
        ends = {
            end
            for begin in ends
            for end in range(begin + 1, len(parts) + 1)
            if token in {"*", ".".join(parts[begin:end])}
        }
    return bool(ends)


def parts_of(path: str) -> Keys:
    r"""The parts of a dotted path, without escapes: ``log\.root.level`` is ``log.root``, ``level``.

    Raises Invalid if it is far too long.
    """
    parts, begin, part = [], 0, ""
    for found in _ESCAPED.finditer(path):
        part += path[begin : found.start()]
        begin = found.end()
        if found[2]:
            parts.append(part)
            part = ""
        else:
            part += found[1]
    parts.append(part + path[begin:])
    if len(parts) > _MOST_PARTS or len(path) > _MOST_CHARACTERS:
        message = (
            f"A path has at most {_MOST_PARTS} parts and {_MOST_CHARACTERS} characters. "
            "Read the whole document instead."
        )
        raise Invalid.from_problems([Problem("", message, "path", f"{path[:60]}…")])
    return tuple(parts)


def parse_pointer(pointer: str) -> Keys:
    """The tokens of a JSON pointer (RFC 6901)."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def pointer_of(keys: Keys) -> str:
    """The JSON pointer that leads along ``keys``."""
    return "".join(f"/{escape_pointer(key)}" for key in keys)


def at(value: Any, keys: Keys) -> Any:
    """What ``value`` has along the tokens of a pointer, through objects and lists, or MISSING."""
    for key in keys:
        if isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            value = member(value, key)
        if value is MISSING:
            return MISSING
    return value


def member(value: Any, key: str) -> Any:
    """What an object has under ``key``, or MISSING; nothing else has keys."""
    return value.get(key, MISSING) if isinstance(value, Mapping) else MISSING


def ambiguous(path: str, found: list[Keys]) -> Invalid:
    """The error that names both readings of ``path``, each as it can be written instead."""
    one, other = (pointer_of(keys) for keys in found[:2])
    message = f"It can be read as {one} or as {other}. Write the one that you mean."
    return Invalid.from_problems([Problem("", message, "ambiguous", path)])


class _Budget:
    """How many places the readings of one path have led through."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._left = _MOST_VISITS

    def spend(self) -> None:
        """Raises Invalid when it is spent."""
        self._left -= 1
        if self._left < 0:
            message = "It can be read in far too many ways here. Write a JSON pointer."
            raise Invalid.from_problems([Problem("", message, "ambiguous", self._path)])


def _visits(start: Any, keys: Keys, parts: Keys, step: Step, budget: _Budget) -> Iterator[Visit]:
    """Every place that some reading leads to or through; longer keys first."""
    budget.spend()
    for end in range(len(parts), 0, -1):
        key = ".".join(parts[:end])
        place = step(start, key)
        if place is not MISSING:
            yield from _visits(place, (*keys, key), parts[end:], step, budget)
    yield Visit(keys, start, parts)


def _the_only(path: str, found: list[Visit]) -> Any:
    if len(found) > 1:
        raise ambiguous(path, [each.keys for each in found])
    return found[0].place if found else MISSING


def _refuse_elements(document: Any, keys: Keys, path: str) -> None:
    """Raises Invalid if ``keys`` lead into a list: a merge patch only replaces it as a whole."""
    for number in range(len(keys)):
        if isinstance(at(document, keys[:number]), list):
            message = (
                f"{pointer_of(keys[:number])} is a list, and one element cannot be changed so. "
                "Give the whole list, or a JSON Patch in a file."
            )
            raise Invalid.from_problems([Problem("", message, "element", path)])
