"""The levels of loggers from a configuration: ``{"root": "INFO", "app.db": "DEBUG"}``."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from distributed_config.client.live.config import Config


def follow_levels(config: Config, key: str = "logging") -> Callable[[], None]:
    """Sets the levels that ``config`` has under ``key``, now and whenever they change.

    ``key`` is found as ``config.get`` finds it. A logger that is not named any more has the level
    again that it had before. What is no level is left out. Returns a function that ends it.
    """
    set_now: dict[str, str] = {}
    before: dict[str, int] = {}
    guard = threading.Lock()

    def follow(*_: Any) -> None:
        with guard:
            wanted = _levels(config.get(key))
            for name in wanted.keys() - before.keys():
                before[name] = _logger(name).level
            for name, level in wanted.items():
                if set_now.get(name) != level:  # else somebody may have set another by hand
                    _logger(name).setLevel(level)
            for name in before.keys() - wanted.keys():
                _logger(name).setLevel(before.pop(name))
            set_now.clear()
            set_now.update(wanted)

    end = config.on_change(follow)  # first: what comes in between is followed as well
    follow()
    return end


def _logger(name: str) -> logging.Logger:
    return logging.getLogger(None if name == "root" else name)


def _levels(value: Any) -> dict[str, str]:
    """The level of each logger in ``value``, as far as they are levels."""
    told = value if isinstance(value, Mapping) else {}
    levels = {name: str(level).upper() for name, level in told.items()}
    return {name: level for name, level in levels.items() if _is_level(level)}


def _is_level(name: str) -> bool:
    return isinstance(logging.getLevelName(name), int)
