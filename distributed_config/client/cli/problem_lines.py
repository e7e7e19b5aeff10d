"""The problems of a document, shown in a block of comments above its text, with their lines.

JSON has no comments: the block is taken away before the text is sent.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from distributed_config.errors import DistconfError, Problem
from distributed_config.wire import parse_pointer
from distributed_config.wire.paths import pointer_of

_MARK = "#!"  # no line of JSON begins so, and no line of YAML that means anything
_HEAD = "It is not published yet. Correct it; or leave it as it is to give up."
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_LINE = re.compile(r"\bline (\d+)")


@dataclass(frozen=True)
class Draft:
    """A text to edit, and the lines about what is wrong with it."""

    text: str
    problems: tuple[str, ...] = field(default=())

    @property
    def whole(self) -> str:
        """What the editor shows."""
        return "".join(f"{_MARK} {line}\n" for line in self.problems) + self.text


def without_problems(whole: str) -> str:
    """Return the text of what an editor left, without the block above it."""
    lines = whole.splitlines(keepends=True)
    while lines and lines[0].startswith(_MARK):
        del lines[0]
    return "".join(lines)


def with_problems(text: str, error: DistconfError, format_name: str) -> Draft:
    """Return ``text`` with the problems that the server found, each with its line."""
    problems = error.problems or (Problem("", error.detail),)
    places = places_in(text, format_name)
    above = len(problems) + 1
    return Draft(text, (_HEAD, *(_line(problem, places, above) for problem in problems)))


# --- the lines of the block


def _line(problem: Problem, places: dict[str, int], above: int) -> str:
    """Return the line about a problem. ``above`` lines stand above the text."""

    def shifted(found: "re.Match[str]") -> str:
        return f"line {int(found[1]) + above}"

    message = " ".join(_LINE.sub(shifted, problem.message).split())
    place = _nearest(problem.pointer, places)
    where = f"line {place + above}" if place else ""
    return "  ".join(filter(None, (where, problem.pointer, message)))


def _nearest(pointer: str, places: dict[str, int]) -> int:
    """Return the line of a value, or of what it would be in; 0 if neither is known."""
    keys = parse_pointer(pointer) if pointer else ()
    for length in range(len(keys), 0, -1):
        line = places.get(pointer_of(keys[:length]))
        if line:
            return line
    return 0


# --- where a value is


def places_in(text: str, format_name: str) -> dict[str, int]:
    """Return the line, from 1, of each value by its pointer, as far as they can be told."""
    return dict(_json_places(text) if format_name == "json" else _yaml_places(text))


def _json_places(text: str) -> Iterator[tuple[str, int]]:
    """Yield pointers and lines. The text need not be JSON; what follows a fault may be wrong."""
    path: list[str | int] = []  # a number stands for an element of a list
    last = ""
    is_element = False
    for found in _TOKEN.finditer(text):
        part, line = found[0], text.count("\n", 0, found.start()) + 1
        if is_element and part != "]":
            yield _pointer(path), line
        is_element = part in {"[", ","} and (part == "[" or _is_in_list(path))
        if part in {"{", "["}:
            path.append(0 if part == "[" else "")
        elif part in {"}", "]"} and path:
            path.pop()
        elif part == "," and _is_in_list(path):
            path[-1] = int(path[-1]) + 1
        elif part == ":" and path:
            path[-1] = last
            yield _pointer(path), line
        last = _unquoted(part)


def _is_in_list(path: list[str | int]) -> bool:
    return bool(path) and isinstance(path[-1], int)


def _pointer(path: list[str | int]) -> str:
    return pointer_of(tuple(map(str, path)))


def _unquoted(part: str) -> str:
    """Return the text of a string; whatever else it is stays as it is."""
    try:
        return str(json.loads(part)) if part.startswith('"') else part
    except ValueError:
        return part[1:-1]


def _yaml_places(text: str) -> Iterator[tuple[str, int]]:
    """Yield pointers and lines of the keys in blocks; lists and flows are left out."""
    path: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"""( *)(?:"([^"]+)"|'([^']+)'|([^\s#:'"-][^:#]*)):(?: |$)""", line)
        if found is None:
            continue
        indent, key = len(found[1]), found[2] or found[3] or found[4]
        path = [each for each in path if each[0] < indent]
        path.append((indent, key))
        yield pointer_of(tuple(each for _, each in path)), number
