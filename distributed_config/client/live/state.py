"""One configuration as a whole value, with the paths that were looked up in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed_config.client.http.messages import Response
from distributed_config.client.http.resolved import Layer, parse_layers
from distributed_config.client.live.frozen import freeze
from distributed_config.wire import parse_stored
from distributed_config.wire.paths import MISSING, find


@dataclass(frozen=True, eq=False)
class State:
    """One configuration, whole. It is replaced by the next one in a single assignment.

    ``version`` is None for defaults; of a resolved document it is that of the last layer.
    ``source`` is ``server``, ``snapshot``, ``defaults``, or ``nothing`` before the first load.
    ``revision`` is the position of the server's journal at which it was current, and ``layers`` is
    what it was merged from; only the server tells both.
    """

    value: Mapping[str, Any]
    version: int | None
    etag: str
    source: str
    revision: int | None = None
    layers: tuple[Layer, ...] = ()
    flat: dict[str, Any] = field(default_factory=dict, repr=False)
    """Values by their dotted paths, as far as they were looked up.

    It belongs to the state, so that a swap drops the old values together with their document: a
    cache that outlived the swap could return them afterwards.
    """


def state_from(response: Response) -> State:
    """Return the server's document. Raises Unreachable for what no server of ours would send."""
    return State(
        freeze(parse_stored(response.body.decode())),
        response.number("config-version"),
        response.headers.get("etag", ""),
        "server",
        response.number("config-revision") if "config-revision" in response.headers else None,
        parse_layers(response.headers.get("config-layers", "")),
    )


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
