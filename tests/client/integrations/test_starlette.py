"""Lifespans of Starlette and FastAPI, on the protocol that both speak: ASGI's lifespan."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from distributed_config import errors
from distributed_config.client import AsyncConfig, Client
from distributed_config.client.integrations.starlette import Lifespan, lifespan
from tests.client.conftest import Run
from tests.support.scripts import threads_of
from tests.support.server import Server
from tests.support.waiting import eventually


class App:
    """What Starlette does with a lifespan: its state goes into each request of the server."""

    def __init__(self, lifespan: Lifespan) -> None:
        self.state = SimpleNamespace()
        self._lifespan = lifespan

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any
    ) -> None:
        assert scope["type"] == "lifespan"
        assert (await receive())["type"] == "lifespan.startup"
        try:
            async with self._lifespan(self) as state:
                scope["state"].update(state or {})
                await send({"type": "lifespan.startup.complete"})
                assert (await receive())["type"] == "lifespan.shutdown"
        except errors.DistconfError as error:
            await send({"type": "lifespan.startup.failed", "message": error.detail})
            raise
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def served(app: App) -> AsyncIterator[dict[str, Any]]:
    """Start and stop ``app`` as a server does; yields the state of its requests."""
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    try:
        if (await from_app.get())["type"] == "lifespan.startup.complete":
            yield scope["state"]
            await to_app.put({"type": "lifespan.shutdown"})
            assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
    finally:
        await task


def test_a_configuration_is_there_for_the_lifetime_of_an_application(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 0})
    app = App(lifespan(name, url=server.url, snapshots=False))

    async def work() -> None:
        async with served(app) as state:
            config = app.state.config
            assert isinstance(config, AsyncConfig)
            assert state == {"config": config}
            assert config["n"] == 0
            await asyncio.to_thread(client.put, {"n": 1})
            assert await config.wait_for(1, 5)
        assert config.config.closed

    run(work())

    assert eventually(lambda: not threads_of(name))


def test_the_applications_own_lifespan_runs_inside(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 7})
    told: list[Any] = []

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, Any]]:
        told.append(("start", app.state.config["n"]))
        yield {"database": "open"}
        told.append(("end", app.state.config.config.closed))

    app = App(lifespan(name, own, url=server.url, snapshots=False))

    async def work() -> None:
        async with served(app) as state:
            assert state == {"config": app.state.config, "database": "open"}

    run(work())

    assert told == [("start", 7), ("end", False)]


def test_an_own_lifespan_that_fails_closes_the_configuration(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 0})

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    app = App(lifespan(name, own, url=server.url, snapshots=False))

    async def work() -> None:
        with pytest.raises(ValueError, match="no database"):
            async with app._lifespan(app):
                """Never reached."""
        assert app.state.config.config.closed

    run(work())


def test_an_application_does_not_start_without_a_configuration(
    nowhere: str, name: str, run: Run
) -> None:
    app = App(lifespan(name, url=nowhere, snapshots=False, deadline=0.1))

    async def work() -> None:
        with pytest.raises(errors.NeverLoaded):
            async with app._lifespan(app):
                """Never reached."""

    run(work())
