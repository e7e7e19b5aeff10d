"""The asyncio side: hot reads answered again, waits held, everything else handed to Flask."""

from distributed_config.asgi.gateway import Gateway

__all__ = ["Gateway"]
