"""Dynaconf: a loader, for the service that DISTCONF_SERVICE names.

Dynaconf(LOADERS_FOR_DYNACONF=["distributed_config.client.integrations.dynaconf"])
"""

import os
from typing import Any

from distributed_config.client.config import Config
from distributed_config.errors import NeverLoaded


def load(
    obj: Any, env: Any = None, silent: bool = True, key: str | None = None, filename: Any = None
) -> None:
    """What dynaconf calls. ``silent``: an unreachable server leaves the settings as they are."""
    del env, filename  # dynaconf gives them to every loader
    try:
        with Config(os.environ["DISTCONF_SERVICE"]) as config:
            value = dict(config.value)
    except NeverLoaded:
        if not silent:
            raise
        return
    obj.update({key: value[key]} if key is not None and key in value else value)
