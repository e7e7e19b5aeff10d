"""Starlette and FastAPI: a configuration for the lifetime of an application.

app = FastAPI(lifespan=lifespan("web", url="http://config:5000"))
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from distributed_config.client.aio.config import AsyncConfig

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def lifespan(service: str, inner: Lifespan | None = None, **options: Any) -> Lifespan:
    """Return a lifespan that opens the configuration of ``service``, and closes it at the end.

    It is an AsyncConfig: ``app.state.config``, and ``request.state.config`` in requests. ``inner``
    is a lifespan of the application's own, which begins when the configuration is there and ends
    before it is closed; what it yields is in the requests' state as well. ``options`` are those of
    Config. Raises NeverLoaded where there is nothing to start with, and the application does not
    start then.
    """

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            config = await stack.enter_async_context(await AsyncConfig.open(service, **options))
            app.state.config = config
            own = None if inner is None else await stack.enter_async_context(inner(app))
            yield {**(own or {}), "config": config}

    return run
