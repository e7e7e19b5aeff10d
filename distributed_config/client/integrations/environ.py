"""``os.environ`` filled from a configuration, for programs that look nowhere else."""

import os
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from distributed_config.client.sidecar.protected import environment


def fill_environ(
    config: Mapping[str, Any],
    prefix: str = "",
    environ: MutableMapping[str, str] | None = None,
    *,
    allow: Iterable[str] = (),
) -> list[str]:
    """Sets the variables that are not set yet: ``db.host`` is ``DB_HOST``; which these were.

    What the environment says already counts more: that is how one overrides on the spot.
    ``environ`` is ``os.environ`` unless given. Raises Rejected for variables that choose what
    programs run or trust, as ``PATH``, unless ``allow`` names each.
    """
    # It is no default: help() would print what is in it.
    target = os.environ if environ is None else environ
    found = environment(config, prefix, allow)
    missing = {name: text for name, text in found.items() if name not in target}
    target.update(missing)
    return list(missing)
