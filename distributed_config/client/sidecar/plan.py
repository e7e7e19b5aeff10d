"""The plan of a sidecar: what it follows and keeps, and all that can be wrong in it."""

import os
import re
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from distributed_config.client.http.transport import address_of
from distributed_config.client.sidecar.rendering import FORMATS
from distributed_config.errors import Invalid, Problem


@dataclass(frozen=True)
class Target:
    """A file that is kept as a service says.

    ``check`` is a command that is run on the new file before it is put in place; ``{file}`` in it
    is that file. Afterwards ``reload`` is run, ``signal`` is sent to the process in ``pidfile``,
    and ``notify`` is called with POST; those that are given. ``allow_env`` names the variables that
    choose what programs run or trust, and may be in an env file all the same.
    """

    service: str
    file: str
    format: str = ""
    template: str = ""
    mode: str = ""
    defaults: bool = False
    symlink: bool = False
    check: str | Sequence[str] = ""
    reload: str | Sequence[str] = ""
    signal: str = ""
    pidfile: str = ""
    notify: str = ""
    allow_env: Sequence[str] = ()

    @property
    def path(self) -> Path:
        return Path(self.file).absolute()

    @property
    def kind(self) -> str:
        """The format: as given, or as the file's ending says, or JSON."""
        ending = self.path.suffix.lstrip(".").replace("yml", "yaml")
        return self.format or (ending if ending in FORMATS else "json")

    @property
    def signal_name(self) -> str:
        """As the standard library calls it."""
        return _signal_name(self.signal)


@dataclass(frozen=True)
class Plan:
    """Everything that one sidecar does. ``debounce`` and ``splay`` are seconds."""

    targets: tuple[Target, ...]
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    debounce: float = 0.2
    splay: float = 0.0
    health: str = ""
    snapshots: str | bool = True
    deadline: float = 10.0


def load_plan(value: Any) -> Plan:
    """The plan in a configuration file. Raises Invalid with everything that is wrong in it."""
    problems: list[Problem] = []
    given = dict(value) if isinstance(value, dict) else {}
    entries = given.pop("targets", [])
    problems += _wrong_kinds("", given, _PLAN_KINDS)
    if not isinstance(entries, list) or not entries:
        message = 'It needs "targets": [{"service": "web", "file": "/etc/web.json"}].'
        problems.append(Problem("/targets", message, "required"))
        entries = []
    problems += _unknown("", given, Plan)
    targets: list[tuple[str, Target]] = []
    for position, entry in enumerate(entries):
        pointer = f"/targets/{position}"
        if not isinstance(entry, dict):
            problems.append(Problem(pointer, "It must be an object.", "type"))
            continue
        wrong = [*_unknown(pointer, entry, Target), *_wrong_kinds(pointer, entry, _TARGET_KINDS)]
        texts = {name: value for name, value in entry.items() if isinstance(value, str)}
        wrong += _faults(
            pointer, {**dict.fromkeys(entry.keys() & {"service", "file"}, "?"), **texts}
        )
        wrong += [
            fault for name in ("check", "reload") for fault in _no_command(pointer, name, entry)
        ]
        problems += wrong
        if not wrong:
            targets.append((pointer, Target(**entry)))
    problems += _twice(targets)
    if problems:
        raise Invalid.from_problems(problems)
    return Plan(targets=tuple(target for _, target in targets), **given)


_TEXT, _NUMBER, _SWITCH = (str,), (int, float), (bool,)
_PLAN_KINDS: dict[str, tuple[type, ...]] = {
    "url": (str, type(None)),
    "token": (str, type(None)),
    "debounce": _NUMBER,
    "splay": _NUMBER,
    "deadline": _NUMBER,
    "health": _TEXT,
    "snapshots": (str, bool),
}
_TARGET_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("service", "file", "format", "template", "mode"), _TEXT),
    **dict.fromkeys(("signal", "pidfile", "notify"), _TEXT),
    **dict.fromkeys(("defaults", "symlink"), _SWITCH),
    **dict.fromkeys(("check", "reload"), (str, list)),
    "allow_env": (list,),
}


def _wrong_kinds(
    pointer: str, entry: dict[str, Any], kinds: dict[str, tuple[type, ...]]
) -> list[Problem]:
    """What is of another type than it has to be; numbers are not negative."""
    wrong = []
    for name, value in entry.items():
        kind = kinds.get(name, (object,))
        fits = isinstance(value, kind) and (bool in kind or not isinstance(value, bool))
        if isinstance(value, list):
            fits = fits and bool(value) and all(isinstance(word, str) for word in value)
        if kind == _NUMBER and fits:
            fits = 0 <= value < float("inf")
        if not fits:
            message = "It is of another type, or a value that makes no sense."
            wrong.append(Problem(f"{pointer}/{name}", message, "type"))
    health = entry.get("health")
    if isinstance(health, str) and health and not re.fullmatch(r".*:\d{1,5}", health):
        message = "It must be an address and a port, as 127.0.0.1:8099."
        wrong.append(Problem(f"{pointer}/health", message, "address"))
    url = entry.get("url")
    if isinstance(url, str) and url:
        try:
            address_of(url)
        except Invalid as error:
            wrong += [
                replace(each, pointer=f"{pointer}/url", parameter="") for each in error.problems
            ]
    return wrong


def _unknown(pointer: str, entry: dict[str, Any], kind: Any) -> list[Problem]:
    known = [field.name for field in fields(kind)]
    return [
        Problem(f"{pointer}/{name}", f"It is not known; there are: {', '.join(known)}.", "unknown")
        for name in entry
        if name not in known
    ]


def _faults(pointer: str, entry: dict[str, Any]) -> list[Problem]:
    found = [
        Problem(f"{pointer}/{name}", "It is missing.", "required")
        for name in ("service", "file")
        if not entry.get(name)
    ]
    if not re.fullmatch(r"[0-7]{0,4}", entry.get("mode", "")):
        message = 'It must be octal digits in quotes, as "0640".'
        found.append(Problem(f"{pointer}/mode", message, "mode"))
    if (entry.get("format") or "json") not in FORMATS:
        message = f"It must be one of: {', '.join(FORMATS)}."
        found.append(Problem(f"{pointer}/format", message, "format"))
    if entry.get("signal") and not hasattr(signal, _signal_name(entry["signal"])):
        found.append(Problem(f"{pointer}/signal", "There is no such signal.", "signal"))
    if entry.get("signal") and not entry.get("pidfile"):
        message = "A signal needs the pidfile of the process."
        found.append(Problem(f"{pointer}/pidfile", message, "required"))
    return found


def _no_command(pointer: str, name: str, entry: dict[str, Any]) -> list[Problem]:
    """What is wrong with a command that is of the right type."""
    command = entry.get(name)
    given = [command] if isinstance(command, str) else command
    if not command or not isinstance(given, list):
        return []
    if not all(isinstance(word, str) for word in given):
        return []
    try:
        words = words_of(command)
    except ValueError as error:
        message = f"It cannot be split into words: {error}. Or give a list of them."
        return [Problem(f"{pointer}/{name}", message, "command")]
    if not words or not words[0]:
        return [Problem(f"{pointer}/{name}", "It names no command, as in nginx -t.", "command")]
    found = shell_words(command)
    if not found:
        return []
    # Passed on as words they would be ignored: the check "true && false" would be good.
    message = (
        f"No shell runs it, which {' '.join(found)} would need. "
        'Quote what is meant as it stands, or give a shell: ["sh", "-c", "…"].'
    )
    return [Problem(f"{pointer}/{name}", message, "shell")]


def words_of(command: str | Sequence[str]) -> list[str]:
    """A command in its words. Raises ValueError where a quotation has no end."""
    return shlex.split(command) if isinstance(command, str) else list(command)


# What is quoted or escaped; the text between double quotes is its group.
_QUOTED = re.compile(r"""\\.|'[^']*'|"((?:\\.|[^"\\])*)\"""", re.DOTALL)
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_OPERATOR = re.compile(r"&&|\|[|&]?|;+|&?[<>]+[&|]?|&|[()]|\n")
_EXPANSION = re.compile(r"\$\([^\s)]*|\$\{[^}]*\}?|\$\w+|\$[@*#?$!-]|`[^`]*`?")
# In a list each word is meant as it stands, as find's ";" is; these are nearly always a mistake.
_WORD = re.compile(r"&&|\|[|&]?|&|\d*&?[<>]+(?:[&|]\d*-?)?")


def shell_words(command: str | Sequence[str]) -> list[str]:
    """What in a command only a shell would understand."""
    if not isinstance(command, str):
        return [word for word in command if _WORD.fullmatch(word)]
    text = command.strip()
    # In double quotes a shell still fills in.
    inner = [_ESCAPED.sub("", found[1]) for found in _QUOTED.finditer(text) if found[1]]
    bare = _QUOTED.sub("\0", text)
    found = _OPERATOR.findall(bare)
    for each in (bare, *inner):
        found += _EXPANSION.findall(each)
    return [word.replace("\n", "\\n") for word in found]


def _twice(targets: Sequence[tuple[str, Target]]) -> list[Problem]:
    """The targets whose file is another's already: each would undo what the other did."""
    found, seen = [], set()
    for pointer, target in targets:
        # A link at the very end is the target itself, and not what it leads to.
        place = (os.path.realpath(target.path.parent), target.path.name)
        if place in seen:
            message = f"{target.file} is another target's already. Give each a file of its own."
            found.append(Problem(f"{pointer}/file", message, "repeated"))
        seen.add(place)
    return found


def _signal_name(name: str) -> str:
    return name if name.startswith("SIG") else f"SIG{name}"
