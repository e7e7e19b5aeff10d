"""The client library: nothing but the standard library, Python 3.10 or newer.

    from distributed_config.client import Client, Config

    with Client("http://config:5000") as client:
        client.put({"port": 8080}, "web")

    cfg = Config("web", url="http://config:5000", defaults={"port": 80})
    cfg["port"]

``Client`` sends a request with each call. ``Config`` is a live view of one service, which needs no
server to start or to run. ``AsyncClient`` and ``AsyncConfig`` are the same for asyncio. Errors are
those of ``distributed_config.errors``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed_config.client.aio.client import AsyncClient
    from distributed_config.client.aio.config import AsyncConfig
    from distributed_config.client.client import Client, Configuration, Written
    from distributed_config.client.http.backoff import Backoff
    from distributed_config.client.http.events import Revision
    from distributed_config.client.http.in_process import InProcessTransport
    from distributed_config.client.http.resolved import Layer
    from distributed_config.client.live.config import Bound, Config
    from distributed_config.errors import DistconfError

__all__ = [
    "AsyncClient",
    "AsyncConfig",
    "Backoff",
    "Bound",
    "Client",
    "Config",
    "Configuration",
    "DistconfError",
    "InProcessTransport",
    "Layer",
    "Revision",
    "Written",
]

_MODULES = {
    "AsyncClient": "client.aio.client",
    "AsyncConfig": "client.aio.config",
    "Backoff": "client.http.backoff",
    "Bound": "client.live.config",
    "Client": "client.client",
    "Config": "client.live.config",
    "Configuration": "client.client",
    "DistconfError": "errors",
    "InProcessTransport": "client.http.in_process",
    "Layer": "client.http.resolved",
    "Revision": "client.http.events",
    "Written": "client.client",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: importing the package takes no time then."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"distributed_config.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value
