"""Names of services and definitions, and notes: which characters they may hold."""

import re
import unicodedata

from distributed_config.errors import Invalid, Problem
from distributed_config.wire.numbers import shortened

NAME_LENGTH = 200

_SEGMENT = re.compile(r"\w[\w.\-]*")
_ENVIRONMENT = re.compile(r"\w[\w.\-]{0,49}")
# All control characters but tab and newline.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def check_name(name: str, what: str = "service") -> str:
    """Return ``name`` if it follows the rules for names. Raises Invalid with the rule it breaks.

    Letters and digits of any script and ``_ . -``, in segments joined by ``/``; each segment
    starts with a letter, a digit or ``_``; normalised (NFC); at most 200 characters.
    """
    problem = name_problem(name)
    if problem:
        raise Invalid.from_problems([Problem("", f"{shortened(name)!r}: {problem}", "name", what)])
    return name


def name_problem(name: str) -> str | None:
    """Return which rule ``name`` breaks, as a sentence; None if it breaks none."""
    if not name:
        return "a name is needed, as in ?service=web."
    if len(name) > NAME_LENGTH:
        return f"a name has at most {NAME_LENGTH} characters, this one has {len(name)}."
    # Refused, not normalised: two names that look the same must not be one service here and two
    # in a client's own tables.
    if unicodedata.normalize("NFC", name) != name:
        return "a name is written in Unicode's composed form (NFC); normalise it before sending."
    if not all(_SEGMENT.fullmatch(segment) for segment in name.split("/")):
        return (
            "a name is made of letters, digits and _ . - in segments joined by /, "
            "and each segment starts with a letter, a digit or _."
        )
    return None


def environment_problem(name: str) -> str | None:
    """Return why no environment can be called ``name``, as a sentence; None if one can."""
    if unicodedata.normalize("NFC", name) != name:
        return "A name is written in Unicode's composed form (NFC); normalise it before sending."
    if not _ENVIRONMENT.fullmatch(name):
        return (
            "A name has at most 50 letters, digits, _ . or -, and starts with a letter, a digit "
            "or _."
        )
    if name.isdecimal():
        # GET /api/v1/diff takes versions and environments in the same place.
        return "Digits alone would look like a version."
    return None


def check_note(note: str, longest: int) -> str:
    """Return ``note`` if it is short enough and has no control characters. Raises Invalid."""
    if len(note) > longest:
        raise Invalid.from_problems(
            [Problem("", f"A note has at most {longest} characters.", "note", "note")]
        )
    if _CONTROL.search(note) or not is_encodable(note):
        message = "A note holds text, without control characters."
        raise Invalid.from_problems([Problem("", message, "note", "note")])
    return note


def is_encodable(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
