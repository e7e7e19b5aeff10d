"""Patterns, and their cost: the size of the program that a regular expression is compiled to.

Programs run without back-tracking, so that matching never takes longer than the length of the text
times the size of the program. Some patterns do take that long: `^[ab]*a[ab]{1500}$` takes 17 µs for
each letter.

A pattern may begin with look-aheads, as `^(?!-)[a-z-]+$` does. It then runs as several programs,
each of them once; any other look-around would need back-tracking.
"""

import re
from functools import lru_cache
from typing import Any

import jsonschema_rs

LARGEST = 1 << 19
"""The bytes that one program may take: enough for `^.{1,500}$`."""

# The letters that every match begins with; a letter before a quantifier may be missing.
_BEGINNING = re.compile(r"\^([A-Za-z0-9_-]+)(?![?*+{A-Za-z0-9_-])")
_SMALLEST = 1 << 10
_BYTES_PER_LOOK = 64  # measured: at its worst a program takes 10 ns for each 64 bytes of it
_DFA = 1 << 17
# A look-ahead tries each position of a text, and goes back from each. No stored text has so many
# positions, so that the limit never cuts off a match; it only bounds what a mistake here costs.
_MOST_STEPS_BACK = 20 << 20

# One step over a pattern: an escape, a class of characters, or a single character.
_STEP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)


def compiling() -> dict[str, Any]:
    """Return the options that every schema is compiled with; nothing is fetched for a $ref."""
    options = jsonschema_rs.FancyRegexOptions(
        backtrack_limit=_MOST_STEPS_BACK, size_limit=LARGEST, dfa_size_limit=_DFA
    )
    return {"offline": True, "validate_formats": True, "pattern_options": options}


def program_size(pattern: str) -> int | None:
    """Return the bytes of the programs of ``pattern``, each rounded up to a power of two.

    None: it cannot be compiled, or one program is larger than LARGEST.
    """
    ahead, rest = _split(pattern)
    sizes = [_size(part) for part in (*ahead, rest)]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _split(pattern: str) -> tuple[list[str], str]:
    """Return the look-aheads that ``pattern`` begins with, and the rest of it."""
    rest = pattern.removeprefix("^")
    ahead = []
    while rest != pattern and rest.startswith(("(?!", "(?=")):
        end = _end_of_group(rest)
        ahead.append(rest[3:end])
        rest = rest[end + 1 :]
    # In `^(?!a)b|c` the look-ahead belongs to the first alternative only, and cannot be split off.
    if not ahead or "|" in _outside_of_groups(rest):
        return [], pattern
    return ahead, f"^{rest}"


def _end_of_group(pattern: str) -> int:
    """Return the position where the group ends that ``pattern`` begins with."""
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
    """Return the bytes of one program, rounded up to a power of two; None as in program_size."""
    # The compiler says only whether a limit suffices, so limits are tried from small to large.
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


def matching_cost(pattern: str) -> int:
    """Return the looks that matching one letter takes at the worst, for a valid ``pattern``."""
    return (program_size(pattern) or LARGEST) // _BYTES_PER_LOOK


def fits(pattern: str, text: str) -> bool:
    """Whether ``text`` matches ``pattern``, which is a valid one."""
    return bool(_matcher(pattern).is_valid(text))


def exclude_each_other(one: str, other: str) -> bool:
    """Whether no text can match both patterns, because they begin with different letters.

    False means that this is not known.
    """
    beginnings = [_BEGINNING.match(pattern) for pattern in (one, other) if "|" not in pattern]
    letters = [match[1] for match in beginnings if match is not None]
    if len(letters) < 2:
        return False
    return not letters[0].startswith(letters[1]) and not letters[1].startswith(letters[0])


@lru_cache(maxsize=1_000)
def _matcher(pattern: str) -> Any:
    return jsonschema_rs.validator_for({"pattern": pattern}, **compiling())
