"""How pages write documents, times and events: as text with marks, and everything escaped."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

from distributed_config import wire
from distributed_config.services.journal.changes import Change
from distributed_config.wire.times import UTC

_TOKEN = re.compile(
    r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)'
)
_WORD = re.compile(r"[\w.-]")
_LONGEST_LINE = 20_000
_SECOND = 1_000_000


def document(value: Any) -> str:
    """Return a document as people read and edit it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def highlighted(line: str) -> Markup:
    """Return one line of JSON, escaped, with the parts of it marked for the style sheet."""
    if len(line) > _LONGEST_LINE:
        return escape(line)
    # Escaped first and piece by piece: nothing of a document can become markup.
    result, at = Markup(), 0
    for found in _TOKEN.finditer(line):
        result += escape(line[at : found.start()]) + _marked(found)
        at = found.end()
    return result + escape(line[at:])


def _marked(found: re.Match[str]) -> Markup:
    string, colon, word, number = found.groups()
    kind = "k" if colon else "s" if string else "b" if word else "n"
    text = Markup('<span class="tok-{}">{}</span>').format(kind, string or word or number)
    return text + escape(colon or "")


def marked_words(old: str, new: str) -> tuple[Markup, Markup]:
    """Return two lines, each with what only it has in the middle marked."""
    most = min(len(old), len(new))
    first = next((n for n in range(most) if old[n] != new[n]), most)
    ends = most - first
    last = next((n for n in range(ends) if old[-1 - n] != new[-1 - n]), ends)
    # Whole words: "true" and "false" have an end in common, and nobody reads them so.
    while first and _WORD.match(old[first - 1]):
        first -= 1
    while last and _WORD.match(old[-last]):
        last -= 1
    return _with_mark(old, first, last), _with_mark(new, first, last)


def _with_mark(line: str, first: int, last: int) -> Markup:
    end = len(line) - last
    if first >= end:
        return escape(line)
    marked = Markup("<mark>{}</mark>").format(line[first:end])
    return escape(line[:first]) + marked + escape(line[end:])


def exact_time(microseconds: int) -> str:
    """Return a time to the second, in UTC."""
    return f"{datetime.fromtimestamp(microseconds // _SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"


def machine_time(microseconds: int) -> str:
    """Return a time as the attribute of ``<time>`` has it."""
    return wire.format_time(microseconds)


_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d"))


def relative_time(microseconds: int) -> str:
    """Return how long ago a time is, in few words; a date where that is long."""
    seconds = max(0, wire.now() - microseconds) // _SECOND
    if seconds < 5:
        return "just now"
    for below, unit, name in _STEPS:
        if seconds < below:
            return f"{seconds // unit} {name} ago"
    return f"{datetime.fromtimestamp(microseconds // _SECOND, UTC):%d %b %Y}".lstrip("0")


EVENTS = {
    "service.created": "created",
    "service.deleted": "deleted",
    "service.tagged": "given other tags",
    "service.disabled": "turned off, with all versions",
    "service.marked": "given other marks of secrets",
    "service.attached": "attached to a definition",
    "service.detached": "detached from its definition",
    "service.extended": "given other services to extend",
    "version.created": "version {number} published",
    "version.enabled": "version {number} turned on",
    "version.disabled": "version {number} turned off",
    "version.deleted": "version {number} deleted",
}
"""What a change did, by its kind, as the words after the name of its service."""


def event(change: Change) -> str:
    """Return what a change did, as the words after the name that it is about."""
    words = EVENTS.get(change.kind)
    if words is not None:
        return words.replace("{number}", str(change.number))
    return change.kind.replace(".", " ")


def subject(change: Change) -> str:
    """Return what a change is about, where that is no service."""
    return change.definition or change.environment or change.subject or "the organisation"


def initial(name: str) -> str:
    """Return the letter that stands for a person or a token."""
    return name[:1].upper() or "?"


def hue(name: str) -> int:
    """Return a number below 4 that is always the same for a name, for its colour."""
    # app.js computes it as well, for what arrives later.
    return sum(map(ord, name)) % 4


FILTERS: dict[str, Callable[..., Any]] = {
    "json": highlighted,
    "exact": exact_time,
    "machine": machine_time,
    "ago": relative_time,
    "event": event,
    "subject": subject,
    "initial": initial,
    "hue": hue,
    "words": marked_words,
}
