"""Configurations as files and templates. Values are data: nothing is evaluated."""

import json
import re
from collections.abc import Mapping
from typing import Any

from distributed_config.errors import NotRepresentable, Problem

FORMATS = ("json", "yaml", "toml", "env", "properties")
BY_SERVER = frozenset({"yaml", "toml"})
"""Written by the server: the standard library cannot."""

_PLACE = re.compile(r"\$(?:(\$)|\{([^}:]+)(?::-([^}]*))?\})")
_UNREAD = re.compile(r"\$\{[^}\n]{0,40}\}?")


def as_json(value: Mapping[str, Any]) -> str:
    """``value`` as JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_text(value: Any) -> str:
    """A value as it stands in a template."""
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
