"""Dynaconf: a loader, for the service that DISTCONF_SERVICE names.

Dynaconf(LOADERS_FOR_DYNACONF=["distributed_config.client.integrations.dynaconf"])
"""

import logging
import os
from typing import Any

from distributed_config.client.config import Config
from distributed_config.client.frozen import plain
from distributed_config.errors import DistconfError, Invalid, Problem

_logger = logging.getLogger(__name__)


def load(
    obj: Any, env: Any = None, silent: bool = True, key: str | None = None, filename: Any = None
) -> None:
    """What dynaconf calls. ``silent``: what fails is logged, and leaves the settings as they are.

    Otherwise NeverLoaded is raised without a server, and Invalid where DISTCONF_SERVICE is
    missing or something else is set wrongly.
    """
    del env, filename  # dynaconf gives them to every loader
    try:
        with Config(_service()) as config:
            value = plain(config.value)  # dynaconf changes what it holds
    except DistconfError as error:
        if not silent:
            raise
        _logger.warning("the settings stay as they are: %s", error.detail)
        return
    obj.update({key: value[key]} if key is not None and key in value else value)


def _service() -> str:
    name = os.environ.get("DISTCONF_SERVICE", "")
    if not name:
        message = "It is not set. Name the service that the settings are those of."
        raise Invalid.of([Problem("", message, "required", "DISTCONF_SERVICE")])
    return name
