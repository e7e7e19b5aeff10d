"""Paths: how people name a value in a document. The rule is in docs/paths.md.

Standard library only: the client, its terminal, templates and the server's indexes use this.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from distributed_config.errors import Invalid, Problem
from distributed_config.wire.pointers import escape_pointer, parse_pointer

MISSING: Any = object()
"""Stands for a value that does not exist, unlike None, which is the value null."""

# A document is 64 levels deep at most, and nobody writes a longer path by hand.
_MOST_PARTS = 64
_MOST_CHARACTERS = 2_000
# How many values the readings of one path may lead through; real documents need a handful.
_MOST_VISITS = 256

_ESCAPED = re.compile(r"\\([.\\])|(\.)")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")

Keys = tuple[str, ...]

Step = Callable[[Any, str], Any]
"""Returns what a value has under a key, or MISSING."""


@dataclass(frozen=True)
class Visit:
    """A value that a path leads to, or through: ``rest`` are the parts that are left."""

    keys: Keys
    value: Any
    rest: Keys


def find(document: Mapping[str, Any], path: str) -> Any:
    """Return the value at ``path``, or MISSING. Raises Invalid if the path is ambiguous."""
    if path.startswith("/"):
        return at(document, parse_pointer(path))
    return _require_single(path, list(islice(readings(path, document, member), 2)))


def first(document: Any, path: str) -> Any:
    """Return the value at ``path``, or MISSING; if the path is ambiguous, the first reading.

    That is the one whose first key has the most dots. For programs that read many documents and
    have nobody to ask.
    """
    if path.startswith("/"):
        return at(document, parse_pointer(path))
    try:
        return next((visit.value for visit in readings(path, document, member)), MISSING)
    except Invalid:  # too many readings for anybody to have meant one of them
        return MISSING


def locate(document: Mapping[str, Any], path: str) -> Keys:
    """Return the keys that ``path`` names in ``document``, for a write; some may not exist yet.

    The longest part of the path that exists is read as it is, and each part of the rest is a key.
    Raises Invalid if that is ambiguous, or leads into a list.
    """
    if path.startswith("/"):
        keys = parse_pointer(path)
        _refuse_elements(document, keys, path)
        return keys
    visits = list(_visits(document, (), parts_of(path), member, _Budget(path)))
    least = min(len(visit.rest) for visit in visits)
    best = [visit for visit in visits if len(visit.rest) == least]
    if len(best) > 1:
        raise ambiguous(path, [(*visit.keys, *visit.rest) for visit in best])
    [visit] = best
    keys = (*visit.keys, *visit.rest)
    _refuse_elements(document, keys, path)
    return keys


def readings(path: str, start: Any, step: Step) -> Iterator[Visit]:
    """Yield every way to read ``path`` from ``start``; more dots in the first keys come first.

    Raises Invalid for a path that is far too long, or leads through far too many values.
    """
    if path.startswith("/"):
        keys = parse_pointer(path)
        value = start
        for key in keys:
            value = step(value, key) if value is not MISSING else MISSING
        if value is not MISSING:
            yield Visit(keys, value, ())
        return
    for visit in _visits(start, (), parts_of(path), step, _Budget(path)):
        if not visit.rest:
            yield visit


def may_lead_into(path: str, tokens: Keys) -> bool:
    """Whether some reading of ``path`` begins with ``tokens``, where ``*`` matches any key."""
    if path.startswith("/"):
        keys = parse_pointer(path)
        pairs = zip(tokens, keys, strict=False)
        return len(tokens) <= len(keys) and all(token in {"*", key} for token, key in pairs)
    parts = parts_of(path)
    # All ends of a beginning at once, as in a regular expression: no reading is followed twice.
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
    r"""Return the parts of a dotted path: ``log\.root.level`` has ``log.root`` and ``level``.

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


def pointer_of(keys: Keys) -> str:
    """Return the JSON pointer that leads along ``keys``."""
    return "".join(f"/{escape_pointer(key)}" for key in keys)


def at(value: Any, keys: Keys) -> Any:
    """Return the value along ``keys``, through objects and lists, or MISSING."""
    for key in keys:
        if isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            value = member(value, key)
        if value is MISSING:
            return MISSING
    return value


def member(value: Any, key: str) -> Any:
    """Return what an object has under ``key``, or MISSING; nothing else has keys."""
    return value.get(key, MISSING) if isinstance(value, Mapping) else MISSING


def ambiguous(path: str, keys_of_readings: list[Keys]) -> Invalid:
    """Return the error that names two readings of ``path`` as pointers, to be written instead."""
    one, other = (pointer_of(keys) for keys in keys_of_readings[:2])
    message = f"It can be read as {one} or as {other}. Write the one that you mean."
    return Invalid.from_problems([Problem("", message, "ambiguous", path)])


class _Budget:
    """How many values the readings of one path may still lead through."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._left = _MOST_VISITS

    def consume(self) -> None:
        """Take one. Raises Invalid if none is left."""
        self._left -= 1
        if self._left < 0:
            message = "It can be read in far too many ways here. Write a JSON pointer."
            raise Invalid.from_problems([Problem("", message, "ambiguous", self._path)])


def _visits(start: Any, keys: Keys, parts: Keys, step: Step, budget: _Budget) -> Iterator[Visit]:
    """Yield every value that some reading leads to or through; longer keys first."""
    budget.consume()
    for end in range(len(parts), 0, -1):
        key = ".".join(parts[:end])
        value = step(start, key)
        if value is not MISSING:
            yield from _visits(value, (*keys, key), parts[end:], step, budget)
    yield Visit(keys, start, parts)


def _require_single(path: str, visits: list[Visit]) -> Any:
    if len(visits) > 1:
        raise ambiguous(path, [visit.keys for visit in visits])
    return visits[0].value if visits else MISSING


def _refuse_elements(document: Any, keys: Keys, path: str) -> None:
    """Raise Invalid if ``keys`` lead into a list: a merge patch only replaces it as a whole."""
    for number in range(len(keys)):
        if isinstance(at(document, keys[:number]), list):
            message = (
                f"{pointer_of(keys[:number])} is a list, and one element cannot be changed so. "
                "Give the whole list, or a JSON Patch in a file."
            )
            raise Invalid.from_problems([Problem("", message, "element", path)])
