"""Documents as Java's properties, in ASCII.

Standard library only: the server and the sidecar both write them here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from distributed_config.formats.flattening import flatten


def write_properties(document: Mapping[str, Any]) -> str:
    """``document`` as properties: nested keys are joined by a dot, elements are ``key[0]``.

    Raises NotRepresentable with every value that shares its key with another one, or is none that
    properties can hold.
    """
    found = flatten(document, _join, _faults, holders=(Mapping, list))
    return "".join(
        f"{_escaped_property(key, in_key=True)}={_escaped_property(text)}\n"
        for key, text in found.items()
    )


def _join(holder: str | None, key: str | int) -> str:
    if holder is None:
        return str(key)
    return f"{holder}[{key}]" if isinstance(key, int) else f"{holder}.{key}"


def _faults(_name: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        yield "properties has no null. Leave the key out, or give it a value.", "null"
    elif isinstance(value, Mapping | list):
        kind = "object" if isinstance(value, Mapping) else "array"
        yield f"properties has no empty {kind}. Leave the key out, or put something in.", "empty"


def _escaped_property(text: str, in_key: bool = False) -> str:
    special = "\\" + (" :=#!" if in_key else "")
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    written = []
    for i, character in enumerate(text):
        if character in special or (character == " " and i == 0):
            written.append("\\" + character)
        elif character in named:
            written.append(named[character])
        elif " " <= character <= "~":
            written.append(character)
        else:
            units = character.encode("utf-16-be")
            written += [f"\\u{units[j]:02x}{units[j + 1]:02x}" for j in range(0, len(units), 2)]
    return "".join(written)
