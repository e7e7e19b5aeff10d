"""The client library: nothing but the standard library, Python 3.10 or newer.

    from distributed_config.client import Client, Config

    with Client("http://config:5000") as client:
        client.put({"port": 8080}, "web")

    cfg = Config("web", url="http://config:5000", defaults={"port": 80})
    cfg["port"]

``Client`` asks call by call; ``Config`` is a live view of one service that needs no server to
start or to run. Errors are those of ``distributed_config.errors``.
"""

from distributed_config.client.client import Client, Configuration, Written
from distributed_config.client.config import Bound, Config
from distributed_config.client.streams import Revision
from distributed_config.client.transport import Backoff
from distributed_config.errors import DistconfError

__all__ = [
    "Backoff",
    "Bound",
    "Client",
    "Config",
    "Configuration",
    "DistconfError",
    "Revision",
    "Written",
]
