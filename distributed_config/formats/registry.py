"""All formats by name, with their media types, file extensions, readers and writers.

A format that cannot represent a document refuses it and names the key; nothing is lost silently.
Texts are written so that other readers, older ones included, get the same values.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from distributed_config.errors import InvalidDocument, NotRepresentable, Problem, TooLarge
from distributed_config.formats.env import write_env
from distributed_config.formats.flattening import not_representable
from distributed_config.formats.properties import write_properties
from distributed_config.formats.yaml import read as read_yaml
from distributed_config.formats.yaml import write as write_yaml
from distributed_config.wire import (
    Location,
    child_of,
    decode_utf8,
    exact_float,
    parse_json,
    pointer_of,
)


@dataclass(frozen=True)
class Format:
    """One format. ``write`` renders an object; ``read`` is None where it is only written."""

    name: str
    media_type: str
    aliases: tuple[str, ...]
    extensions: tuple[str, ...]
    write: Callable[[Mapping[str, Any]], str]
    read: Callable[[bytes], Any] | None = None


def read(format_: Format, data: bytes, most_text: int = 256 << 10) -> Any:
    """Return the value in ``data``; ``wire.make_document`` checks whether it is a document.

    ``most_text`` is the size in bytes of the largest YAML or TOML text that is read. Raises
    InvalidDocument or TooLarge.
    """
    if format_.read is None:
        raise InvalidDocument(
            f"{format_.name} is a format for output only. Send JSON, YAML or TOML."
        )
    if format_.name != "json" and len(data) > most_text:
        raise TooLarge("DISTCONF_TEXT_BYTES", most_text)
    if format_.name == "yaml":
        # In proportion, so that users of the command line can raise the limit for their own files.
        return read_yaml(data, most_parts=most_text * 3 // 5)
    return format_.read(data)


def write(format_: Format, value: Mapping[str, Any], size: int, most_text: int = 256 << 10) -> str:
    """Return ``value`` in ``format_``; ``size`` is roughly its length as JSON, in bytes.

    Raises NotRepresentable if the format cannot represent it, or if writing would take long: over
    ``most_text`` bytes only JSON is written.
    """
    if format_.name != "json" and size > most_text:
        raise NotRepresentable(
            f"The document has {size} bytes. Over {most_text} (DISTCONF_TEXT_BYTES) only JSON is "
            "written; ask for format=json."
        )
    return format_.write(value)


def by_name(name: str) -> Format | None:
    """Return the format called ``name``, or None."""
    return FORMATS.get(name)


def by_media_type(media_type: str) -> Format | None:
    """Return the format of a Content-Type, or of one range of an Accept header, or None."""
    bare = media_type.partition(";")[0].strip().lower()
    # RFC 6839: what ends in +json can be read as JSON, as patches are.
    if bare.endswith("+json"):
        return FORMATS["json"]
    for format_ in FORMATS.values():
        if bare == format_.media_type.partition(";")[0] or bare in format_.aliases:
            return format_
    return None


def by_extension(filename: str) -> Format | None:
    """Return the format of a file by its extension, or None."""
    suffix = filename.rpartition(".")[2].lower()
    return next((format_ for format_ in FORMATS.values() if suffix in format_.extensions), None)


# --- JSON


def _write_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


# --- TOML


# tomllib takes time with the square of the parts of a dotted key.
_TOO_DOTTED = re.compile(r"(?:^|[\[{,])\s*(?:[^\s.=\[\]{},]+\s*\.\s*){64}", re.MULTILINE)

_PLACE_IN_TOML = re.compile(r"\(at line ([0-9]{1,9}), column ([0-9]{1,9})\)\Z")


def _read_toml(data: bytes) -> Any:
    text = decode_utf8(data)
    if _TOO_DOTTED.search(text):
        raise InvalidDocument.from_problems([Problem("", "A key has more than 64 parts.", "depth")])
    try:
        return tomllib.loads(text, parse_float=exact_float)
    except RecursionError:
        raise InvalidDocument.from_problems(
            [Problem("", "It is nested far too deep.", "depth")]
        ) from None
    except ValueError as error:
        line, column = _place_in_toml(f"{error}", text)
        problem = Problem("", f"{error}.", "toml", line=line, column=column)
        raise InvalidDocument.from_problems([problem]) from None


def _place_in_toml(message: str, text: str) -> tuple[int, int]:
    """Return the line and the column that tomllib's ``message`` names, both from 1.

    The error has them as attributes only from Python 3.14 on. It calls the end of the text by
    words; (0, 0) where it names no place.
    """
    if message.endswith("(at end of document)"):
        return text.count("\n") + 1, len(text) - text.rfind("\n")
    place = _PLACE_IN_TOML.search(message)
    return (int(place[1]), int(place[2])) if place else (0, 0)


def _write_toml(value: Mapping[str, Any]) -> str:
    problems = list(_not_in_toml(value))
    if problems:
        raise not_representable(problems)
    return tomli_w.dumps(value)


def _not_in_toml(value: Mapping[str, Any]) -> Iterator[Problem]:
    waiting: list[tuple[Location, Any]] = [(None, value)]
    while waiting:
        place, here = waiting.pop()
        if here is None:
            yield Problem(pointer_of(place), "TOML has no null.", "null")
        elif isinstance(here, int) and not -(2**63) <= here < 2**63:
            message = "TOML has no whole number of more than 64 bits."
            yield Problem(pointer_of(place), message, "number")
        waiting.extend(reversed(child_of(place, here)))


# --- all of them


FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        Format("json", "application/json", ("text/json",), ("json",), _write_json, parse_json),
        Format(
            "yaml",
            "application/yaml",
            ("application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml"),
            ("yaml", "yml"),
            write_yaml,
            read_yaml,
        ),
        Format(
            "toml",
            "application/toml",
            ("application/x-toml", "text/toml", "text/x-toml"),
            ("toml",),
            _write_toml,
            _read_toml,
        ),
        Format("env", "text/x-env; charset=utf-8", (), ("env",), write_env),
        Format(
            "properties",
            "text/x-java-properties; charset=utf-8",
            (),
            ("properties",),
            write_properties,
        ),
    )
}
