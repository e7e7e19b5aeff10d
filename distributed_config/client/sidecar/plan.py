"""The plan of a sidecar: the services to follow, the files to write, and how a plan is checked."""

import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from distributed_config.client.http.address import parse_address
from distributed_config.client.sidecar.command_line import command_problems
from distributed_config.client.sidecar.rendering import FORMATS
from distributed_config.errors import Invalid, Problem


@dataclass(frozen=True)
class Target:
    """A file that follows a service, in the plan's environment unless it names another one.

    ``check`` is a command that is run on the new file before it is put in place; ``{file}`` in it
    is that file. Afterwards ``reload`` is run, ``signal`` is sent to the process in ``pidfile``,
    and ``notify`` is called with POST, as far as they are set. ``allow_env`` names the variables
    that choose what programs run or trust, and may be in an env file all the same.
    """

    service: str
    file: str
    environment: str = ""
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
        """The format that is set; otherwise the one of the file's ending, or JSON."""
        ending = self.path.suffix.lstrip(".").replace("yml", "yaml")
        return self.format or (ending if ending in FORMATS else "json")

    @property
    def signal_name(self) -> str:
        """The name of the signal in the standard library."""
        return _signal_name(self.signal)


@dataclass(frozen=True)
class Plan:
    """Everything that one sidecar does. ``debounce``, ``splay`` and ``deadline`` are seconds."""

    targets: tuple[Target, ...]
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    environment: str | None = None
    debounce: float = 0.2
    splay: float = 0.0
    health: str = ""
    snapshots: str | bool = True
    deadline: float = 10.0


def load_plan(value: Any) -> Plan:
    """Return the plan in the value of a file. Raises Invalid with everything that is wrong in it.

    All at once: an operator who mends a plan should not have to start the sidecar once for each
    mistake.
    """
    options = dict(value) if isinstance(value, dict) else {}
    entries = options.pop("targets", [])
    problems = _type_problems("", options, _PLAN_TYPES)
    if not isinstance(entries, list) or not entries:
        message = 'It needs "targets": [{"service": "web", "file": "/etc/web.json"}].'
        problems.append(Problem("/targets", message, "required"))
        entries = []
    problems += _unknown_keys("", options, Plan)
    targets: list[tuple[str, Target]] = []
    for position, entry in enumerate(entries):
        pointer = f"/targets/{position}"
        wrong = _target_problems(pointer, entry)
        problems += wrong
        if not wrong:
            targets.append((pointer, Target(**entry)))
    problems += _repeated_files(targets)
    if problems:
        raise Invalid.from_problems(problems)
    return Plan(targets=tuple(target for _, target in targets), **options)


_TEXT, _NUMBER, _SWITCH = (str,), (int, float), (bool,)
_PLAN_TYPES: dict[str, tuple[type, ...]] = {
    "url": (str, type(None)),
    "token": (str, type(None)),
    "environment": (str, type(None)),
    "debounce": _NUMBER,
    "splay": _NUMBER,
    "deadline": _NUMBER,
    "health": _TEXT,
    "snapshots": (str, bool),
}
_TARGET_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("service", "file", "environment", "format", "template", "mode"), _TEXT),
    **dict.fromkeys(("signal", "pidfile", "notify"), _TEXT),
    **dict.fromkeys(("defaults", "symlink"), _SWITCH),
    **dict.fromkeys(("check", "reload"), (str, list)),
    "allow_env": (list,),
}


def _target_problems(pointer: str, entry: Any) -> list[Problem]:
    if not isinstance(entry, dict):
        return [Problem(pointer, "It must be an object.", "type")]
    problems = [*_unknown_keys(pointer, entry, Target)]
    problems += _type_problems(pointer, entry, _TARGET_TYPES)
    # A required key of another type is a problem already, but it is not missing.
    texts = dict.fromkeys(entry.keys() & {"service", "file"}, "?")
    texts |= {name: value for name, value in entry.items() if isinstance(value, str)}
    problems += _value_problems(pointer, texts)
    for name in ("check", "reload"):
        problems += command_problems(f"{pointer}/{name}", entry.get(name))
    return problems


def _type_problems(
    pointer: str, entry: dict[str, Any], types: dict[str, tuple[type, ...]]
) -> list[Problem]:
    """Return the problems of values that have a wrong type, or are no good for their type."""
    problems = []
    for name, value in entry.items():
        if not _fits(value, types.get(name, (object,))):
            message = "It is of another type, or a value that makes no sense."
            problems.append(Problem(f"{pointer}/{name}", message, "type"))
    health = entry.get("health")
    if isinstance(health, str) and health and not re.fullmatch(r".*:\d{1,5}", health):
        message = "It must be an address and a port, as 127.0.0.1:8099."
        problems.append(Problem(f"{pointer}/health", message, "address"))
    url = entry.get("url")
    if isinstance(url, str) and url:
        try:
            parse_address(url)
        except Invalid as error:
            problems += [
                replace(problem, pointer=f"{pointer}/url", parameter="")
                for problem in error.problems
            ]
    return problems


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    # In Python a bool is an int, but ``debounce: true`` is a mistake.
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if isinstance(value, list):
        fits = fits and bool(value) and all(isinstance(word, str) for word in value)
    if types == _NUMBER and fits:
        # No pause is negative, and none is infinite or NaN, which YAML and TOML can write.
        fits = 0 <= value < float("inf")
    return fits


def _unknown_keys(pointer: str, entry: dict[str, Any], kind: Any) -> list[Problem]:
    known = [field.name for field in fields(kind)]
    return [
        Problem(f"{pointer}/{name}", f"It is not known; there are: {', '.join(known)}.", "unknown")
        for name in entry
        if name not in known
    ]


def _value_problems(pointer: str, entry: dict[str, str]) -> list[Problem]:
    problems = [
        Problem(f"{pointer}/{name}", "It is missing.", "required")
        for name in ("service", "file")
        if not entry.get(name)
    ]
    if not re.fullmatch(r"[0-7]{0,4}", entry.get("mode", "")):
        message = 'It must be octal digits in quotes, as "0640".'
        problems.append(Problem(f"{pointer}/mode", message, "mode"))
    if (entry.get("format") or "json") not in FORMATS:
        message = f"It must be one of: {', '.join(FORMATS)}."
        problems.append(Problem(f"{pointer}/format", message, "format"))
    if entry.get("signal") and not hasattr(signal, _signal_name(entry["signal"])):
        problems.append(Problem(f"{pointer}/signal", "There is no such signal.", "signal"))
    if entry.get("signal") and not entry.get("pidfile"):
        message = "A signal needs the pidfile of the process."
        problems.append(Problem(f"{pointer}/pidfile", message, "required"))
    return problems


def _repeated_files(targets: Sequence[tuple[str, Target]]) -> list[Problem]:
    """Return the targets whose file is another target's: each would undo what the other did."""
    problems, seen = [], set()
    for pointer, target in targets:
        # Links in folders are followed, but a link at the end is the target itself.
        place = (os.path.realpath(target.path.parent), target.path.name)
        if place in seen:
            message = f"{target.file} is another target's already. Give each a file of its own."
            problems.append(Problem(f"{pointer}/file", message, "repeated"))
        seen.add(place)
    return problems


def _signal_name(name: str) -> str:
    return name if name.startswith("SIG") else f"SIG{name}"
