"""Configurations as files and templates. Values are data: nothing is evaluated."""

import json
import re
from collections.abc import Mapping
from typing import Any

from distributed_config.errors import Invalid, NotRepresentable, Problem
from distributed_config.wire.paths import MISSING, find

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


def render_template(template: str, value: Mapping[str, Any]) -> str:
    """``template`` with ``${db.host}`` and ``${db.port:-5432}`` replaced; ``$$`` is a dollar.

    Raises NotRepresentable with every path that has neither a value nor a default, or could be
    two values.
    """
    missing: list[Problem] = []

    def replace(found: "re.Match[str]") -> str:
        dollar, path, default = found.groups()
        if dollar:
            return "$"
        try:
            here = find(value, path.strip())
        except Invalid as error:
            missing.append(Problem("", error.detail, "template"))
            return ""
        if here is not MISSING:
            return as_text(here)
        if default is None:
            missing.append(Problem("", f"There is no {path} to fill in.", "template"))
        return default or ""

    text = _PLACE.sub(replace, template)
    missing += [
        Problem("", f"{found!r} is no place to fill in; it is like ${{db.host}}.", "template")
        for found in _UNREAD.findall(_PLACE.sub("", template))
    ]
    if missing:
        raise NotRepresentable(" ".join(each.message for each in missing), missing)
    return text
