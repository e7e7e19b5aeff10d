"""What a pattern costs: the size of the program that a regular expression becomes.

Programs are run without back-tracking, so the time is never more than the text's length times the
program's size. Some patterns do take that long: `^[ab]*a[ab]{1500}$` takes 17 µs for each letter.

A pattern may begin by looking ahead, as `^(?!-)[a-z-]+$` does. It is run as several programs then,
each of them once; any other look-around would take back-tracking.
"""

import re
from functools import lru_cache
from typing import Any

import jsonschema_rs

LARGEST = 1 << 19
"""The bytes that one program may take: enough for `^.{1,500}$`."""

# What a pattern begins with, letter by letter; the last one may be repeated, or left out.
_BEGINNING = re.compile(r"\^([A-Za-z0-9_-]+)(?![?*+{A-Za-z0-9_-])")
_SMALLEST = 1 << 10
_BYTES_PER_LOOK = 64  # measured: at its worst a program takes 10 ns for each 64 bytes of it
_DFA = 1 << 17
# A look ahead tries each place of a text, and goes back from each; a text has fewer places.
_MOST_STEPS_BACK = 20 << 20

# One step over a pattern: an escape, a class of characters, or a single character.
_STEP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)


def compiling() -> dict[str, Any]:
    """How schemas are compiled. Nothing is fetched, whatever a $ref says."""
    options = jsonschema_rs.FancyRegexOptions(
        backtrack_limit=_MOST_STEPS_BACK, size_limit=LARGEST, dfa_size_limit=_DFA
    )
    return {"offline": True, "validate_formats": True, "pattern_options": options}


def program_size(pattern: str) -> int | None:
    """The bytes of its programs, each rounded up to a power of two; None: it cannot be read, or one
    is larger than LARGEST."""
    ahead, rest = _split(pattern)
    sizes = [_size(each) for each in (*ahead, rest)]
    known = [each for each in sizes if each is not None]
    return sum(known) if len(known) == len(sizes) else None


def _split(pattern: str) -> tuple[list[str], str]:
    """The patterns that ``pattern`` looks ahead for at its beginning, and what is left of it."""
    rest = pattern.removeprefix("^")
    ahead = []
    while rest != pattern and rest.startswith(("(?!", "(?=")):
        end = _end_of_group(rest)
        ahead.append(rest[3:end])
        rest = rest[end + 1 :]
    # Outside of all groups, an alternative would not begin where the text does.
    if not ahead or "|" in _outside_of_groups(rest):
        return [], pattern
    return ahead, f"^{rest}"


def _end_of_group(pattern: str) -> int:
    """Where the group ends that ``pattern`` begins with."""
    depth = 0
    for step in _STEP.finditer(pattern):
        depth += {"(": 1, ")": -1}.get(step[0], 0)
        if depth == 0:
            return step.start()
    return len(pattern)


def _outside_of_groups(pattern: str) -> str:
    depth, outside = 0, ""
    for step in _STEP.finditer(pattern):
        depth += {"(": 1, ")": -1}.get(step[0], 0)
        outside += step[0] if depth == 0 and len(step[0]) == 1 else ""
    return outside


@lru_cache(maxsize=4096)
def _size(pattern: str) -> int | None:
    """The bytes of one program, rounded up to a power of two; None: it cannot be read, or is larger
    than LARGEST."""
    size = _SMALLEST
    while size <= LARGEST:
        limit = jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=_DFA)
        try:
            jsonschema_rs.validator_for({"pattern": pattern}, offline=True, pattern_options=limit)
        except ValueError:
            size *= 2
        else:
            return size
    return None


def looks_of(pattern: str) -> int:
    """What matching a text costs at the worst, in looks at it. ``pattern`` is one that is read."""
    return (program_size(pattern) or LARGEST) // _BYTES_PER_LOOK


def fits(pattern: str, text: str) -> bool:
    """Whether ``text`` matches ``pattern``, which is one that is read."""
    return bool(_matcher(pattern).is_valid(text))


def exclude_each_other(one: str, other: str) -> bool:
    """Whether it is plain that no text matches both patterns: they begin with other letters."""
    beginnings = [_BEGINNING.match(pattern) for pattern in (one, other) if "|" not in pattern]
    letters = [found[1] for found in beginnings if found is not None]
    if len(letters) < 2:
        return False
    return not letters[0].startswith(letters[1]) and not letters[1].startswith(letters[0])


@lru_cache(maxsize=1_000)
def _matcher(pattern: str) -> Any:
    return jsonschema_rs.validator_for({"pattern": pattern}, **compiling())
