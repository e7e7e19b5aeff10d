"""``os.environ`` from a configuration, for programs that look nowhere else."""

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
    """Set the variables that are not set yet: ``db.host`` is ``DB_HOST``. Return their names.

    Variables that are set stay as they are: that is how an operator overrides a value on the spot.
    ``environ`` is ``os.environ`` unless given. Raises Rejected for variables that choose what
    programs run or trust, such as ``PATH``, unless ``allow`` names them.
    """
    # os.environ is not the default in the signature: help() would print the secrets in it.
    target = os.environ if environ is None else environ
    values = environment(config, prefix, allow)
    missing = {name: text for name, text in values.items() if name not in target}
    target.update(missing)
    return list(missing)
