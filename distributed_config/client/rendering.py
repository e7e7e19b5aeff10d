"""Configurations as files and as environment variables. Values are data: nothing is evaluated."""

import json
import re
from collections.abc import Mapping
from typing import Any

from distributed_config.client.binding import paths
from distributed_config.errors import NotRepresentable, Problem

FORMATS = ("json", "yaml", "toml", "env", "properties")
BY_SERVER = frozenset({"yaml", "toml"})
"""Written by the server: the standard library cannot."""

_PLACE = re.compile(r"\$(?:(\$)|\{([^}:]+)(?::-([^}]*))?\})")
_UNREAD = re.compile(r"\$\{[^}\n]{0,40}\}?")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


def as_json(value: Mapping[str, Any]) -> str:
    """``value`` as JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def environment(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``value`` as variables: ``db.host`` is ``DB_HOST``; lists are JSON, null is empty.

    Raises NotRepresentable with every name that two values would have, and every value that a
    variable cannot hold.
    """
    found: dict[str, str] = {}
    problems = []
    for path, each in paths(value):
        name = prefix + _NOT_IN_NAMES.sub("_", path).upper()
        text = as_text(each)
        pointer = "/" + path.replace(".", "/")
        if not _NAME.fullmatch(name):
            problems.append(Problem(pointer, f"{name!r} is no name of a variable.", "name"))
        if name in found:
            problems.append(Problem(pointer, f"Another value is {name} as well.", "name"))
        if "\0" in text:
            problems.append(Problem(pointer, "A variable cannot hold a NUL character.", "value"))
        found[name] = text
    if problems:
        raise NotRepresentable(f"{problems[0].pointer}: {problems[0].message}", problems)
    return found


def as_env(value: Mapping[str, Any], prefix: str = "", lead: str = "") -> str:
    """The same as lines that a shell reads, each behind ``lead``."""
    lines = [f"{lead}{name}={_quoted(text)}" for name, text in environment(value, prefix).items()]
    return "".join(f"{line}\n" for line in lines)


def as_properties(value: Mapping[str, Any]) -> str:
    """``value`` as Java properties: ``db.host=…``, in ASCII."""
    lines = []
    for path, each in paths(value):
        key = re.sub(r"([\\ :=#!])", r"\\\1", path)
        text = as_text(each).replace(chr(92), chr(92) * 2)
        if text[:1].isspace():
            text = chr(92) + text  # else it is taken for the space behind the sign
        lines.append(f"{_ascii(key)}={_ascii(text)}\n")
    return "".join(lines)


def as_text(value: Any) -> str:
    """A value as it stands in a variable or a template."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def filled_in(template: str, value: Mapping[str, Any]) -> str:
    """``template`` with ``${db.host}`` and ``${db.port:-5432}`` replaced; ``$$`` is a dollar.

    Raises NotRepresentable with every name that has neither a value nor a default.
    """
    missing = []

    def replace(found: "re.Match[str]") -> str:
        dollar, path, default = found.groups()
        if dollar:
            return "$"
        here: Any = value
        for key in path.strip().split("."):
            if not isinstance(here, Mapping) or key not in here:
                if default is None:
                    missing.append(Problem("", f"There is no {path} to fill in.", "template"))
                return default or ""
            here = here[key]
        return as_text(here)

    text = _PLACE.sub(replace, template)
    missing += [
        Problem("", f"{found!r} is no place to fill in; it is like ${{db.host}}.", "template")
        for found in _UNREAD.findall(_PLACE.sub("", template))
    ]
    if missing:
        raise NotRepresentable(" ".join(each.message for each in missing), missing)
    return text


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"


def _ascii(text: str) -> str:
    escapes = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    lines = text
    for plain, escaped in escapes.items():
        lines = lines.replace(f"\\{plain}", escaped).replace(plain, escaped)
    return "".join(
        each if each.isascii() else "".join(f"\\u{code:04x}" for code in _units(each))
        for each in lines
    )


def _units(character: str) -> list[int]:
    data = character.encode("utf-16-be")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
