"""Dynaconf: a loader of the service that DISTCONF_SERVICE names.

Dynaconf(LOADERS_FOR_DYNACONF=["distributed_config.client.integrations.dynaconf"])
"""

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from distributed_config.client.live.config import Config
from distributed_config.errors import DistconfError, Invalid, Problem, Rejected
from distributed_config.wire import Location, child_of, pointer_of

_MERGING = {"dynaconf_merge", "dynaconf_merge_unique"}
_COMMAND_KEY = re.compile("dynaconf_|_dynaconf", re.IGNORECASE)

_logger = logging.getLogger(__name__)


class _Text(str):
    """Text that dynaconf would take for a command, such as ``@int 5``: here it is data.

    Dynaconf looks for commands in text whenever it comes across it, also long after loading, as
    when another loader merges something into it. So the text itself has to hide from that.
    """

    __slots__ = ()

    def partition(self, separator: str) -> tuple[str, str, str]:
        """Split as any text does; but the first word is found in no table of commands."""
        head, found, tail = super().partition(separator)
        return _Word(head), found, tail


class _Word(str):
    """A word that no dictionary finds, because its hash differs from that of equal text."""

    __slots__ = ()
    __eq__ = str.__eq__

    def __hash__(self) -> int:
        return ~str.__hash__(self)


def load(
    obj: Any, env: Any = None, silent: bool = True, key: str | None = None, filename: Any = None
) -> None:
    """Load the settings into ``obj``; dynaconf calls this.

    With ``silent`` a failure is logged, and leaves the settings as they are. Otherwise NeverLoaded
    is raised without a server, Invalid where DISTCONF_SERVICE is missing or something else is set
    wrongly, and Rejected for keys that dynaconf would obey.
    """
    del env, filename  # dynaconf passes them to every loader
    try:
        with Config(_service_name()) as config:
            value = config.value
        _refuse_commands(value)
    except DistconfError as error:
        if not silent:
            raise
        _logger.warning("the settings stay as they are: %s", error.detail)
        return
    data = _as_data(value)
    obj.update({key: data[key]} if key is not None and key in data else data)


def _as_data(value: Any) -> Any:
    """Return a copy of ``value`` that dynaconf may change, and finds no commands in."""
    if isinstance(value, Mapping):
        return {key: _as_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_data(item) for item in value]
    return _Text(value) if isinstance(value, str) and value.startswith("@") else value


def _refuse_commands(value: Mapping[str, Any]) -> None:
    """Raise Rejected for keys that make dynaconf do something, such as load a Python file."""
    problems = []
    # A stack, and no recursion: documents may be nested deeper than the application expects.
    waiting: list[tuple[Location, Any]] = [(None, value)]
    while waiting:
        place, here = waiting.pop()
        is_command = place is not None and _COMMAND_KEY.search(str(place[1]))
        if is_command or (isinstance(here, str) and here in _MERGING):
            problems.append(Problem(pointer_of(place), "Dynaconf would obey it.", "dynaconf"))
        waiting.extend(reversed(child_of(place, here)))
    if problems:
        names = ", ".join(problem.pointer for problem in problems)
        message = f"Dynaconf would take {names} for instructions. Rename the keys in the service."
        raise Rejected(message, problems)


def _service_name() -> str:
    name = os.environ.get("DISTCONF_SERVICE", "")
    if not name:
        message = "It is not set. Name the service to load the settings from."
        raise Invalid.from_problems([Problem("", message, "required", "DISTCONF_SERVICE")])
    return name
