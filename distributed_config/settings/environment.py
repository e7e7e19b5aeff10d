"""Settings from the environment, and back as text."""

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from distributed_config.errors import CannotStart, Problem
from distributed_config.settings.contradictions import find_contradictions
from distributed_config.settings.fields import PREFIX, Settings, variable

# The client's, which may share an environment with the server.
_CLIENT = {
    "DISTCONF_URL",
    "DISTCONF_TOKEN",
    "DISTCONF_TOKEN_FILE",
    "DISTCONF_PROFILE",
    "DISTCONF_PROFILES",
    "DISTCONF_SERVICE",
    "DISTCONF_SNAPSHOTS",
    "DISTCONF_ENVIRONMENT",
}
# Kubernetes sets these in every pod beside a Service that is called distconf.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_TCP\w*)?)$")


@dataclass(frozen=True)
class Row:
    """One line of the table of settings, as text."""

    name: str
    type: str
    default: str
    help: str
    value: str
    source: str


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of an environment.

    Raises CannotStart with every problem. An unknown ``DISTCONF_`` name is one: a setting that is
    misspelt must not be ignored in silence.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for each in dataclasses.fields(Settings):
        try:
            text = _text_of(each, environ)
            if text is not None:
                values[each.name] = _parse(each, text)
        except (ValueError, OSError) as error:
            problems.append(Problem("", f"{variable(each.name)}: {error}"))
    problems += [
        Problem("", f"{name} is not a setting. `distconf settings` lists them all.")
        for name in sorted(environ)
        if name.startswith(PREFIX)
        and name not in _known_variables()
        and not _SERVICE_LINK.search(name)
    ]
    settings = Settings(**values)
    problems += find_contradictions(settings)
    if problems:
        raise CannotStart(" ".join(problem.message for problem in problems), problems)
    return settings


def table(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Row]:
    """Return the whole table, in its order, with secrets masked and the source of each value."""
    rows = []
    for each in dataclasses.fields(Settings):
        source = "default"
        if variable(each.name) in environ:
            source = "environment"
        elif each.metadata["secret"] and f"{variable(each.name)}_FILE" in environ:
            source = "file"
        value = _to_text(getattr(settings, each.name))
        if each.metadata["secret"]:
            value = _mask_password(value)
        kind = each.type if isinstance(each.type, str) else getattr(each.type, "__name__", "text")
        rows.append(
            Row(
                name=variable(each.name),
                type=_type_name(each, kind),
                default=_to_text(each.default),
                help=each.metadata["help"],
                value=value,
                source=source,
            )
        )
    return rows


def _known_variables() -> set[str]:
    fields = dataclasses.fields(Settings)
    secrets = {f"{variable(each.name)}_FILE" for each in fields if each.metadata["secret"]}
    return {variable(each.name) for each in fields} | secrets | _CLIENT


def _text_of(each: "dataclasses.Field[Any]", environ: Mapping[str, str]) -> str | None:
    name = variable(each.name)
    if name in environ:
        return environ[name].strip()
    if each.metadata["secret"] and f"{name}_FILE" in environ:
        return Path(environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()
    return None


def _parse(each: "dataclasses.Field[Any]", text: str) -> Any:
    default, rules = each.default, each.metadata
    if isinstance(default, bool):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise ValueError(f"{text!r} is neither true nor false.")
        return words[text.lower()]
    if isinstance(default, int):
        number = int(text) if text.lstrip("-").isdigit() else None
        most = rules["most"]
        if number is None or number < rules["least"] or (most is not None and number > most):
            span = f"from {rules['least']}" + (f" to {most}" if most is not None else " up")
            raise ValueError(f"{text!r} is not a whole number {span}.")
        return number
    if isinstance(default, Path):
        return Path(text).expanduser() if text else default
    if isinstance(default, tuple):
        parts = tuple(part.strip() for part in text.split(",") if part.strip())
        return tuple(_require_choice(part, rules["choices"]) for part in parts)
    return _require_choice(text, rules["choices"])


def _require_choice(text: str, choices: tuple[str, ...]) -> str:
    """Return ``text`` if it is one of ``choices``, or if any text will do."""
    if choices and text not in choices:
        known = ", ".join(choice or "(empty)" for choice in choices)
        raise ValueError(f"{text!r} is not one of: {known}.")
    return text


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value == Path() else str(value)


def _type_name(each: "dataclasses.Field[Any]", kind: str) -> str:
    if each.metadata["choices"] and isinstance(each.default, str):
        return " | ".join(choice or "(empty)" for choice in each.metadata["choices"])
    return {"int": "number", "str": "text", "Path": "path", "bool": "true | false"}.get(
        kind, "list"
    )


def _mask_password(url: str) -> str:
    """Return ``url`` without the password that it may hold."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:•••@{host}"))
