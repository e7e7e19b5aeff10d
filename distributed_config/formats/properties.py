"""Documents as Java properties, in ASCII.

Standard library only: the server and the sidecar share this writer.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from distributed_config.formats.flattening import flatten


def write_properties(document: Mapping[str, Any]) -> str:
    """Return ``document`` as properties: nested keys are joined by dots, elements are ``key[0]``.

    Raises NotRepresentable with every value that shares its key with another one, or that
    properties cannot hold.
    """
    texts = flatten(document, _join, _problems, containers=(Mapping, list))
    return "".join(f"{_escape(key, in_key=True)}={_escape(text)}\n" for key, text in texts.items())


def _join(parent: str | None, key: str | int) -> str:
    if parent is None:
        return str(key)
    return f"{parent}[{key}]" if isinstance(key, int) else f"{parent}.{key}"


def _problems(_name: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        yield "properties has no null. Leave the key out, or give it a value.", "null"
    elif isinstance(value, Mapping | list):
        kind = "object" if isinstance(value, Mapping) else "array"
        yield f"properties has no empty {kind}. Leave the key out, or put something in.", "empty"


def _escape(text: str, in_key: bool = False) -> str:
    # java.util.Properties reads a file as Latin-1, and \uXXXX as UTF-16: ASCII is safe for both.
    special = "\\" + (" :=#!" if in_key else "")
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    parts = []
    for i, character in enumerate(text):
        if character in special or (character == " " and i == 0):
            parts.append("\\" + character)
        elif character in named:
            parts.append(named[character])
        elif " " <= character <= "~":
            parts.append(character)
        else:
            units = character.encode("utf-16-be")
            parts += [f"\\u{units[j]:02x}{units[j + 1]:02x}" for j in range(0, len(units), 2)]
    return "".join(parts)
