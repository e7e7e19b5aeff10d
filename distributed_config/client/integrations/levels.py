"""Levels of loggers from a configuration: ``{"root": "INFO", "app.db": "DEBUG"}``."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from distributed_config.client.live.config import Config


def follow_levels(config: Config, key: str = "logging") -> Callable[[], None]:
    """Set the levels that ``config`` has under ``key``, now and whenever they change.

    ``key`` is a path as in ``config.get``. A logger that is no longer named gets back the level
    that it had before. Unknown levels are ignored. Returns a function that ends it.
    """
    applied: dict[str, str] = {}
    originals: dict[str, int] = {}
    lock = threading.Lock()

    def update(*_: Any) -> None:
        with lock:
            levels = _parse_levels(config.get(key))
            for name in levels.keys() - originals.keys():
                originals[name] = _logger(name).level
            for name, level in levels.items():
                # Only on a change: somebody may have set another level by hand meanwhile.
                if applied.get(name) != level:
                    _logger(name).setLevel(level)
            for name in originals.keys() - levels.keys():
                _logger(name).setLevel(originals.pop(name))
            applied.clear()
            applied.update(levels)

    end = config.on_change(update)  # first, so that a change in between is not missed
    update()
    return end


def _logger(name: str) -> logging.Logger:
    return logging.getLogger(None if name == "root" else name)


def _parse_levels(value: Any) -> dict[str, str]:
    """Return the level of each logger in ``value``, without what is not a level."""
    entries = value if isinstance(value, Mapping) else {}
    levels = {name: str(level).upper() for name, level in entries.items()}
    return {name: level for name, level in levels.items() if _is_level(level)}


def _is_level(name: str) -> bool:
    # getLevelName returns the number of a known name, and text for any other.
    return isinstance(logging.getLevelName(name), int)
