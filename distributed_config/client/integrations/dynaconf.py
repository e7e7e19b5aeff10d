"""Dynaconf: a loader, for the service that DISTCONF_SERVICE names.

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
_ORDER = re.compile("dynaconf_|_dynaconf", re.IGNORECASE)

_logger = logging.getLogger(__name__)


class _Text(str):
    """Text that dynaconf would take for a command, as ``@int 5``: here it is data.

    Dynaconf takes commands out of text whenever it comes across it, also long after the loading, as
    when another loader merges something into it. So the text itself says that it is none.
    """

    __slots__ = ()

    def partition(self, separator: str) -> tuple[str, str, str]:
        """The same as of any text; but the first word is found in no table of commands."""
        before, between, after = super().partition(separator)
        return _Word(before), between, after


class _Word(str):
    """A word that no dictionary finds, since its hash is another than that of the same text."""

    __slots__ = ()
    __eq__ = str.__eq__

    def __hash__(self) -> int:
        return ~str.__hash__(self)


def load(
    obj: Any, env: Any = None, silent: bool = True, key: str | None = None, filename: Any = None
) -> None:
    """What dynaconf calls. ``silent``: what fails is logged, and leaves the settings as they are.

    Otherwise NeverLoaded is raised without a server, Invalid where DISTCONF_SERVICE is missing or
    something else is set wrongly, and Rejected for keys that dynaconf would obey.
    """
    del env, filename  # dynaconf gives them to every loader
    try:
        with Config(_service()) as config:
            value = config.value
        _refuse_orders(value)
    except DistconfError as error:
        if not silent:
            raise
        _logger.warning("the settings stay as they are: %s", error.detail)
        return
    data = _as_data(value)
    obj.update({key: data[key]} if key is not None and key in data else data)


def _as_data(value: Any) -> Any:
    """``value`` as copies that dynaconf may change, and finds no commands in."""
    if isinstance(value, Mapping):
        return {key: _as_data(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_data(each) for each in value]
    return _Text(value) if isinstance(value, str) and value.startswith("@") else value


def _refuse_orders(value: Mapping[str, Any]) -> None:
    """Raises Rejected for what tells dynaconf to do something, as to load a file of Python."""
    problems = []
    waiting: list[tuple[Location, Any]] = [(None, value)]
    while waiting:
        place, here = waiting.pop()
        is_order = place is not None and _ORDER.search(str(place[1]))
        if is_order or (isinstance(here, str) and here in _MERGING):
            problems.append(Problem(pointer_of(place), "Dynaconf would obey it.", "dynaconf"))
        waiting.extend(reversed(child_of(place, here)))
    if problems:
        names = ", ".join(each.pointer for each in problems)
        message = f"Dynaconf would take {names} for what it is to do. Rename it in the service."
        raise Rejected(message, problems)


def _service() -> str:
    name = os.environ.get("DISTCONF_SERVICE", "")
    if not name:
        message = "It is not set. Name the service that the settings are those of."
        raise Invalid.from_problems([Problem("", message, "required", "DISTCONF_SERVICE")])
    return name
