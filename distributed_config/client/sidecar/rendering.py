"""Configurations as text: JSON for people, and templates. Values are data; none is evaluated."""

import json
import re
from collections.abc import Mapping
from typing import Any

from distributed_config.errors import Invalid, NotRepresentable, Problem
from distributed_config.wire.paths import MISSING, find

FORMATS = ("json", "yaml", "toml", "env", "properties")
BY_SERVER = frozenset({"yaml", "toml"})
"""Formats that the server writes, because the standard library cannot."""

_PLACEHOLDER = re.compile(r"\$(?:(\$)|\{([^}:]+)(?::-([^}]*))?\})")
# An opening brace that is no placeholder is nearly always a typing error, and not meant as text.
_MALFORMED = re.compile(r"\$\{[^}\n]{0,40}\}?")


def as_json(value: Mapping[str, Any]) -> str:
    """Return ``value`` as JSON for people: indented, in the order given, with a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_text(value: Any) -> str:
    """Return a value as it appears in a template: text without quotes, null as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def render_template(template: str, value: Mapping[str, Any]) -> str:
    """Replace ``${db.host}`` and ``${db.port:-5432}`` in ``template``; ``$$`` is a dollar.

    Raises NotRepresentable with every path that has neither a value nor a default, or could be
    two values.
    """
    problems: list[Problem] = []

    def replace(match: "re.Match[str]") -> str:
        dollar, path, default = match.groups()
        if dollar:
            return "$"
        try:
            here = find(value, path.strip())
        except Invalid as error:
            problems.append(Problem("", error.detail, "template"))
            return ""
        if here is not MISSING:
            return as_text(here)
        if default is None:
            problems.append(Problem("", f"There is no {path} to fill in.", "template"))
        return default or ""

    rendered = _PLACEHOLDER.sub(replace, template)
    problems += [
        Problem("", f"{text!r} is not a placeholder; those are like ${{db.host}}.", "template")
        for text in _MALFORMED.findall(_PLACEHOLDER.sub("", template))
    ]
    if problems:
        raise NotRepresentable(" ".join(problem.message for problem in problems), problems)
    return rendered
