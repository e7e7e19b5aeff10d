"""``os.environ`` filled from a configuration, for programs that look nowhere else."""

import os
from collections.abc import Mapping, MutableMapping
from typing import Any

from distributed_config.formats.env import variables


def fill_environ(
    config: Mapping[str, Any], prefix: str = "", environ: MutableMapping[str, str] = os.environ
) -> list[str]:
    """Sets the variables that are not set yet: ``db.host`` is ``DB_HOST``; which these were.

    What the environment says already counts more: that is how one overrides on the spot.
    """
    missing = {
        name: text for name, text in variables(config, prefix).items() if name not in environ
    }
    environ.update(missing)
    return list(missing)
