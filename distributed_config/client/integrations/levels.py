"""The levels of loggers from a configuration: ``{"root": "INFO", "app.db": "DEBUG"}``."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from distributed_config.client.config import Config


def follow_levels(config: Config, key: str = "logging") -> Callable[[], None]:
    """Sets the levels that ``config`` has under ``key``, now and whenever they change.

    A logger that is not named any more gets its parent's level again. What is no level is left
    out. Returns a function that ends it.
    """

    def follow(new: Any, old: Any) -> None:
        gone = [name for name in _levels(old) if name not in _levels(new)]
        for name, level in [*dict.fromkeys(gone, "NOTSET").items(), *_levels(new).items()]:
            logger = logging.getLogger(None if name == "root" else name)
            if isinstance(logging.getLevelName(str(level).upper()), int):
                logger.setLevel(str(level).upper())

    follow(config.get(key), None)
    return config.on_change(follow, f"/{key}")


def _levels(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
