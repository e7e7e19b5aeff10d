"""One configuration as a whole value, with the paths that were looked up in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed_config.wire.paths import MISSING, find


@dataclass(frozen=True, eq=False)
class State:
    """One configuration, whole. It is replaced by the next one in a single assignment.

    ``version`` is None for defaults; ``source`` is ``server``, ``snapshot``, ``defaults``, or
    ``nothing`` before the first load.
    """

    value: Mapping[str, Any]
    version: int | None
    etag: str
    source: str
    flat: dict[str, Any] = field(default_factory=dict, repr=False)
    """Values by their dotted paths, as far as they were looked up.

    It belongs to the state, so that a swap drops the old values together with their document: a
    cache that outlived the swap could return them afterwards.
    """


def look_up(state: State, path: Any, default: Any) -> Any:
    """Return the value at a path, and remember it for the next time; ``default`` if there is none.

    Misses are not remembered: their number has no limit. Raises Invalid for a path that can be
    read as two values.
    """
    if not isinstance(path, str):
        return default
    value = find(state.value, path)
    if value is MISSING:
        return default
    state.flat[path] = value
    return value
