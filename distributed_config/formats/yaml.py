"""YAML in and out: plain data only, read by the core schema of YAML 1.2 in one pass.

libyaml turns the text into events, and this module turns the events into values. PyYAML's own
constructor is not used: it recurses, and crashes on 60,000 open brackets. What readers of YAML 1.1
and 1.2 would take for different values is refused, together with the way to write it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.wire import Location, decode_utf8, parse_json, pointer_of

_DEPTH = 64
# One part costs 1.6 µs, so that the default takes a quarter of a second. The densest text that a
# person writes, a list of digits, has 128,000 of them in 256 KiB.
MOST_PARTS = 150_000
_MOST_PROBLEMS = 1_000


def read(data: bytes, most_parts: int = MOST_PARTS) -> Any:
    """Return the value in ``data``; ``wire.make_document`` checks whether it is a document.

    ``most_parts`` is how many keys, values and brackets are read. Raises InvalidDocument.
    """
    text = decode_utf8(data)
    is_json, value = _read_as_json(text)
    if is_json:
        return value
    _refuse_ambiguous_lines(text)
    try:
        return _Reader(text, most_parts).read()
    except yaml.MarkedYAMLError as error:
        raise _refusal(*_explain(error)) from None
    except yaml.YAMLError as error:
        raise _refusal(" ".join(str(error).split()), None) from None


def _read_as_json(text: str) -> tuple[bool, Any]:
    """Return whether ``text`` is JSON, and the value in it.

    JSON is YAML, and defined more exactly: escaped surrogate pairs, long keys and U+2028 have one
    meaning in it, whereas libyaml refuses the first two and breaks the line at the third.
    """
    if not text.lstrip().startswith(("{", "[")) or _has_bare_constants(text):
        return False, None
    try:
        return True, parse_json(text.encode())
    except InvalidDocument:
        return False, None


def _has_bare_constants(text: str) -> bool:
    """Whether NaN or Infinity stand in ``text`` without quotes: in YAML they are text."""
    # Most texts have neither word, and are not parsed twice.
    if "NaN" not in text and "Infinity" not in text:
        return False
    constants: list[str] = []
    try:
        json.loads(text, parse_constant=constants.append)
    except (ValueError, RecursionError):
        return True
    return bool(constants)


_BREAKS = re.compile("[\u0085\u2028\u2029]")
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)


def _refuse_ambiguous_lines(text: str) -> None:
    match = _BREAKS.search(text)
    if match:
        code = f"{ord(match[0]):04x}"
        raise _refusal(
            f"The character U+{code.upper()} ends a line for some readers of YAML and not for "
            f'others; write it as "\\u{code}", in double quotes',
            _Spot(text, match.start()),
        )
    # Here, and not as events: libyaml takes time with the square of their number.
    match = _DIRECTIVE.search(text)
    if match:
        raise _refusal("Directives are not supported", _Spot(text, match.start()))


class _Spot:
    """A line and a column, from 0 as libyaml counts them."""

    def __init__(self, text: str, index: int) -> None:
        self.line = text.count("\n", 0, index)
        self.column = index - (text.rfind("\n", 0, index) + 1)


def _explain(error: yaml.MarkedYAMLError) -> tuple[str, Any]:
    """Return what is wrong, in a sentence, and the mark where."""
    problem = f"{error.problem or error.context}"
    if "escape code" in problem:
        problem += "; write the character itself, or \\U and eight digits"
    return problem, error.problem_mark or error.context_mark


def _refusal(
    message: str, mark: Any, place: Location = None, rule: str = "yaml"
) -> InvalidDocument:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    where = f" (line {line}, column {column})" if line else ""
    text = f"{message.rstrip('.')}{where}."
    problem = Problem(pointer_of(place), text, rule, line=line, column=column)
    return InvalidDocument.from_problems([problem])


class _Reader:
    """A reader that turns the events of one text into its value."""

    def __init__(self, text: str, most_parts: int) -> None:
        self._text = text
        self._events: Iterator[Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._most_parts = self._parts_left = most_parts
        self._problems: list[Problem] = []

    def read(self) -> Any:
        """Return the value of the one document. Raises InvalidDocument with every problem."""
        event = self._next()
        while isinstance(event, StreamStartEvent | DocumentStartEvent):
            event = self._next()
        value = None if isinstance(event, StreamEndEvent) else self._node(event, None, 0)
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                raise _refusal("Only one document may be sent", event.start_mark)
        if self._problems:
            raise InvalidDocument.from_problems(self._problems)
        return value

    def _next(self) -> Event:
        event = next(self._events)
        self._parts_left -= 1
        if self._parts_left < 0:
            raise _refusal(
                f"It has more than {self._most_parts} keys, values and brackets, which would take "
                "too long to read; send it as JSON",
                event.start_mark,
            )
        return event

    def _node(self, event: Event, place: Location, depth: int) -> Any:
        self._refuse_what_is_not_data(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, place)
        if depth >= _DEPTH:
            raise _refusal(f"It is nested deeper than {_DEPTH}", event.start_mark)
        if isinstance(event, MappingStartEvent):
            return self._mapping(place, depth + 1)
        return self._sequence(place, depth + 1)

    def _refuse_what_is_not_data(self, event: Any) -> None:
        if isinstance(event, AliasEvent) or event.anchor is not None:
            raise _refusal(
                "Anchors and aliases are not supported; write the value out", event.start_mark
            )
        if event.tag is not None:
            raise _refusal("Tags are not supported; write plain values", event.start_mark)
        # In braces and brackets libyaml, as YAML 1.1, takes any ? for the mark of a key.
        start = event.start_mark.index
        is_there = event.end_mark.index > start
        if start and is_there and self._text[start - 1] == "?":
            raise _refusal(
                "A ? before a key is part of the key for some readers of YAML and a mark for "
                "others; put the key in quotes, with its ? or without",
                event.start_mark,
            )

    def _sequence(self, place: Location, depth: int) -> list[Any]:
        elements: list[Any] = []
        event = self._next()
        while not isinstance(event, SequenceEndEvent):
            elements.append(self._node(event, (place, len(elements)), depth))
            event = self._next()
        return elements

    def _mapping(self, place: Location, depth: int) -> dict[Any, Any]:
        members: dict[Any, Any] = {}
        event = self._next()
        while not isinstance(event, MappingEndEvent):
            key = self._key(event, place, members)
            members[key] = self._node(self._next(), (place, str(key)), depth)
            event = self._next()
        return members

    def _key(self, event: Event, place: Location, mapping: dict[Any, Any]) -> Any:
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            kind = "a list" if isinstance(event, SequenceStartEvent) else "an object"
            message = f"A key must be text, and this one is {kind}; put it in quotes"
            raise _refusal(message, event.start_mark, place, "key")
        key = self._node(event, place, _DEPTH)
        if key in mapping:
            raise _refusal(f"The key {_short(key)} is a duplicate", event.start_mark)
        return key

    def _scalar(self, event: Any, place: Location) -> Any:
        text: str = event.value
        if not event.implicit[0]:  # in quotes, or a block of text
            return text
        if text == "<<":
            raise _refusal("Merge keys are not supported; write the keys out", event.start_mark)
        if text in _WORDS:
            return _WORDS[text]
        # Most plain values are text: this spares them the regular expressions.
        if text[0] not in "+-.0123456789":
            return text
        try:
            return _number_or_text(text)
        except _AmbiguousError as error:
            spot = event.start_mark
            self._problems.append(
                Problem(pointer_of(place), f"{error}", "number", "", spot.line + 1, spot.column + 1)
            )
            if len(self._problems) == _MOST_PROBLEMS:
                raise InvalidDocument.from_problems(self._problems) from None
            return text
        except ValueError as error:  # 2026-13-45 has no such month
            raise _refusal(f"{error}", event.start_mark) from None


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= 60 else text[:57] + "…"


# --- numbers and words of the core schema

_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"([-+]?)([0-9]*)(?:\.([0-9]*))?([eE][-+]?[0-9]+)?")
# What the floats of YAML 1.1 look like: with a point, and a sign in the exponent.
_OLD_FLOAT = re.compile(r"(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?")
_OCTAL = re.compile(r"0o[0-7]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?)?"
)


class _AmbiguousError(Exception):
    """Readers of YAML would take a text for different values."""

    def __init__(self, text: str, number: str) -> None:
        text = text if len(text) <= 40 else text[:37] + "…"
        super().__init__(
            f"Readers of YAML take {text} for different values; write {number} for the number, "
            f'or "{text}" for the text.'
        )


def _number_or_text(text: str) -> Any:
    """Return the number or text that the core schema takes ``text`` for.

    Text of the core schema stays text, although readers of YAML 1.1 make numbers of some of it,
    such as ``2024_10`` and ``1:30``: nothing that was written is lost. A number of the core schema
    that is none in YAML 1.1 would lose its zeros or its spelling, so it is refused. A date is
    returned as a date, which JSON then refuses: most readers make dates of them, also for YAML 1.2.
    """
    if _INTEGER.fullmatch(text):
        # Short ones need no check of their size.
        return int(text) if len(text) < 16 else _exact(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _LEADING_ZERO.fullmatch(text):
        raise _AmbiguousError(text, _plain_integer(text))
    if _OCTAL.fullmatch(text):
        number = int(text, 0)
        raise _AmbiguousError(text, str(number) if len(text) < 20 else hex(number)[:40])
    match = _FLOAT.fullmatch(text)
    if match and (match[2] or match[3]):
        if not _OLD_FLOAT.fullmatch(text):
            raise _AmbiguousError(text, _old_float(match))
        return _exact(_json_float(match))
    match = _DATE.fullmatch(text)
    if match:
        return date(int(match[1]), int(match[2]), int(match[3]))
    return text


def _exact(text: str) -> Any:
    """Return a number as the JSON reader does, which marks what JSON cannot represent."""
    return parse_json(text.removeprefix("+").encode())


def _plain_integer(text: str) -> str:
    sign = "-" if text.startswith("-") else ""
    return sign + (text.lstrip("+-0")[:40] or "0")


def _json_float(match: re.Match[str]) -> str:
    sign = "-" if match[1] == "-" else ""
    return f"{sign}{match[2].lstrip('0') or '0'}.{match[3] or '0'}{match[4] or ''}"


def _old_float(match: re.Match[str]) -> str:
    """Return the number in a spelling that every reader takes for a number."""
    exponent = match[4] or ""
    if exponent and exponent[1] not in "+-":
        exponent = f"e+{exponent[1:]}"
    sign = "-" if match[1] == "-" else ""
    return f"{sign}{match[2] or '0'}.{match[3] or '0'}{exponent}"[:40]


# --- writing

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_TAKEN = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
# JSON leaves these as they are; in YAML they end lines, or are not allowed.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
# Readers look for the colon of a key in its first 1,024 characters, some in 128 of them.
_LONG_KEY = 120


def write(value: Mapping[str, Any]) -> str:
    """Return ``value`` as YAML that readers of 1.1 and 1.2 understand alike."""
    lines = _of_mapping(value, "") if value else ["{}"]
    return "".join(f"{line}\n" for line in lines)


def _of_mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, inner in value.items():
        text = _text(key)
        if len(text) > _LONG_KEY:
            yield f"{indent}? {text}"
            yield from _after(f"{indent}: ", inner, f"{indent}  ")
        elif isinstance(inner, Mapping) and inner:
            yield f"{indent}{text}:"
            yield from _of_mapping(inner, f"{indent}  ")
        elif isinstance(inner, list) and inner:
            yield f"{indent}{text}:"
            yield from _of_list(inner, indent)
        else:
            yield f"{indent}{text}: {_scalar(inner)}"


def _of_list(value: list[Any], indent: str) -> Iterator[str]:
    for inner in value:
        yield from _after(f"{indent}- ", inner, f"{indent}  ")


def _after(start: str, value: Any, indent: str) -> Iterator[str]:
    """Yield the lines of ``value``, the first of them after ``start``."""
    if not isinstance(value, Mapping | list) or not value:
        yield start + _scalar(value)
        return
    lines = _of_mapping(value, indent) if isinstance(value, Mapping) else _of_list(value, indent)
    yield start + next(lines)[len(indent) :]
    yield from lines


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        text = repr(value)
        # YAML 1.1 takes 1e+16 for text.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    return json.dumps(value)


def _text(text: str) -> str:
    # Only what no reader takes for anything but text goes without quotes.
    if _PLAIN.fullmatch(text) and text.lower() not in _TAKEN:
        return text
    return _ESCAPED.sub(
        lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False)
    )
