"""What a pattern costs: the size of the program that a regular expression becomes.

Programs are run without back-tracking, so the time is never more than the text's length times the
program's size. Some patterns do take that long: `^[ab]*a[ab]{1500}$` takes 17 µs for each letter.
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


def compiling(largest: int = LARGEST) -> dict[str, Any]:
    """How schemas are compiled. Nothing is fetched, whatever a $ref says."""
    return {
        "offline": True,
        "validate_formats": True,
        "pattern_options": jsonschema_rs.RegexOptions(size_limit=largest, dfa_size_limit=1 << 17),
    }


def program_size(pattern: str) -> int | None:
    """The bytes of the program, rounded up to a power of two; None: it cannot be read, or is larger
    than LARGEST."""
    size = _SMALLEST
    while size <= LARGEST:
        try:
            jsonschema_rs.validator_for({"pattern": pattern}, **compiling(size))
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
