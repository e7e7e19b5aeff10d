"""The asyncio side: the gateway in front of the Flask application, and gunicorn's worker.

It serves cached reads, holds waits and streams, and hands everything else to the application in
a thread. It decides nothing: what may be cached, held or streamed the application says.
"""

from distributed_config.asgi.gateway import Gateway

__all__ = ["Gateway"]
