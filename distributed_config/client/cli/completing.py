"""The words that fit where somebody pressed the tab key: from the commands, and from the server.

It is quick and silent: who presses a key wants an answer at once, or none.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from distributed_config.client.cli.commands import COMMANDS, Line
from distributed_config.client.cli.connect import profile_from
from distributed_config.client.cli.profiles import profiles_file, read_settings_file
from distributed_config.client.client import Client
from distributed_config.client.http.messages import Request
from distributed_config.errors import DistconfError

_TIMEOUT = 1.0  # seconds for the server's whole answer
_MOST = 500

Found = Iterable[tuple[str, str]]
"""Words, each with a description or ""."""


def print_words(
    words: list[str],
    commands: Mapping[str, Line],
    parser_of: Callable[[str], argparse.ArgumentParser],
) -> None:
    """Print the words that may stand in place of the last of ``words``, one on a line.

    ``parser_of`` returns the parser of a client's command.
    """
    last = words[-1] if words else ""
    with suppress(DistconfError, OSError):  # nothing fits, as far as anybody can tell
        for word, description in _fitting(words or [""], commands, parser_of):
            if word.startswith(last):
                sys.stdout.write(f"{word}\t{description}\n" if description else f"{word}\n")


def _fitting(
    words: list[str],
    commands: Mapping[str, Line],
    parser_of: Callable[[str], argparse.ArgumentParser],
) -> Found:
    name = words[0]
    if len(words) == 1 or (name == "help" and len(words) == 2):
        return [("help", "Explain a command."), *((each, commands[each].help) for each in commands)]
    if name not in COMMANDS:
        return []
    place = _Place(parser_of(name))
    for word in words[1:-1]:
        place.read(word)
    return _values(name, place, words[-1])


# --- where the cursor is


class _Place:
    """Where in a command line the cursor is: what the words before it were arguments of."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.values: dict[str, Any] = {}
        self.flag: argparse.Action | None = None
        self._enter(parser)

    def _enter(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser
        self._positionals = [each for each in parser._actions if not each.option_strings]
        self._filled = 0

    @property
    def positional(self) -> argparse.Action | None:
        """The positional argument that comes next; None if there is none."""
        last = len(self._positionals) - 1
        if self._filled <= last:
            return self._positionals[self._filled]
        is_open = last >= 0 and self._positionals[last].nargs in {"*", "+", argparse.REMAINDER}
        return self._positionals[last] if is_open else None

    def read(self, word: str) -> None:
        """Move past a word."""
        if self.flag is not None:
            self.values[self.flag.dest], self.flag = word, None
        elif word.startswith("-"):
            self._read_flag(word)
        elif self.positional is not None:
            self._read_positional(self.positional, word)

    def _read_flag(self, word: str) -> None:
        name, has_value, value = word.partition("=")
        action = self.parser._option_string_actions.get(name)
        if action is not None and has_value:
            self.values[action.dest] = value
        elif action is not None and action.nargs != 0:
            self.flag = action

    def _read_positional(self, action: argparse.Action, word: str) -> None:
        if isinstance(action, argparse._SubParsersAction):
            inner = action.choices.get(word)
            if inner is not None:
                self._enter(inner)
            return
        self.values.setdefault(action.dest, word)
        self._filled += 1


# --- what fits there


def _values(command: str, place: _Place, word: str) -> Found:
    action = place.flag or place.positional
    if place.flag is None and word.startswith("-"):
        return _flags(place.parser)
    if action is None:
        return []
    if isinstance(action, argparse._SubParsersAction):
        return [(each.dest, each.help or "") for each in action._get_subactions()]
    if action.choices:
        return [(str(each), "") for each in action.choices]
    source = _SOURCES.get((command, action.dest)) or _SOURCES.get(("", action.dest))
    return source({**place.values, "word": word}) if source else []


def _flags(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        for flag in action.option_strings:
            if flag.startswith("--"):
                yield flag, action.help or ""


# --- from the server


def _get(values: Mapping[str, Any], path: str, **query: Any) -> dict[str, Any]:
    names = ("url", "token", "token_file", "profile")
    profile = profile_from(argparse.Namespace(**{name: values.get(name) for name in names}))
    request = Request("GET", path, {**_series(values), **query})
    with Client(profile.url, token=profile.token, timeout=_TIMEOUT, retries=0) as client:
        return client.transport.send(request).json()


def _series(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"service": values.get("service"), "environment": values.get("environment")}


def _services(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # The server selects by what is typed: there may be far more than a page of them.
    query = {"prefix": values["word"], "limit": _MOST}
    found = _get({**values, "service": None, "environment": None}, "/api/v1/services", **query)
    yield from ((each["name"], "") for each in found["services"])


def _environments(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = _get({**values, "service": None, "environment": None}, "/api/v1/environments")
    yield from ((each["name"], each["description"]) for each in found["environments"])


def _versions(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = _get(values, "/api/v1/versions", limit=100)
    yield from ((str(each["number"]), each["note"]) for each in found["versions"])


def _keys(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the paths of all values of a service's current document."""
    yield from ((path, "") for path in _paths(_get(values, "/config", version="current"), ""))


def _pairs(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((f"{path}=", description) for path, description in _keys(values))


def _paths(document: Mapping[str, Any], start: str) -> Iterator[str]:
    for key, value in document.items():
        path = start + key.replace("\\", "\\\\").replace(".", "\\.")
        yield path
        if isinstance(value, dict):
            yield from _paths(value, f"{path}.")


def _definitions(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = _get({**values, "service": None, "environment": None}, "/api/v1/definitions")
    yield from ((each["name"], "") for each in found["definitions"])


def _profiles(_values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    file = profiles_file(os.environ)
    profiles = read_settings_file(file) if file is not None else {}
    yield from ((name, "") for name in profiles)


_SOURCES: dict[tuple[str, str], Callable[[Mapping[str, Any]], Found]] = {
    ("", "service"): _services,
    ("", "services"): _services,
    ("", "parents"): _services,
    ("", "environment"): _environments,
    ("", "inherits"): _environments,
    ("", "source"): _environments,
    ("", "target"): _environments,
    ("environments", "name"): _environments,
    ("", "version"): _versions,
    ("", "old"): _versions,
    ("", "new"): _versions,
    ("", "to"): _versions,
    ("", "path"): _keys,
    ("unset", "paths"): _keys,
    ("", "pairs"): _pairs,
    ("patch", "changes"): _pairs,
    ("definitions", "name"): _definitions,
    ("", "definition"): _definitions,
    ("", "profile"): _profiles,
    ("profile", "name"): _profiles,
}
"""What fits as an argument, by its command ("" for any) and its name in the options."""
