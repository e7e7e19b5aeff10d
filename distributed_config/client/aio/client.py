"""``AsyncClient``: the calls of ``Client``, to be awaited."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from distributed_config.client.aio.threads import Lane
from distributed_config.client.client import Client
from distributed_config.errors import Unreachable

P = ParamSpec("P")
T = TypeVar("T")

_END = object()


def _awaited(
    method: Callable[Concatenate[Client, P], T],
) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    """Return a method of Client as a coroutine function."""

    @wraps(method)
    async def call(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(lambda client: method(client, *args, **kwargs))

    return call


def _iterated(
    method: Callable[Concatenate[Client, P], Iterator[T]],
) -> Callable[Concatenate["AsyncClient", P], AsyncIterator[T]]:
    """Return a method of Client that yields as one for ``async for``."""

    @wraps(method)
    def call(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._iterate(lambda client: method(client, *args, **kwargs))

    return call


class AsyncClient:
    """``Client`` for asyncio; use it in an ``async with`` statement, or ``await close()``.

    ``options`` are those of Client. Each call is made by a thread; ``calls`` is how many can be
    under way at once, and further ones wait for their turn. An ``async for`` has a thread to
    itself. A caller that is cancelled is free at once, and its request is cut off; whether a write
    still took effect is unknown then, as it is when a connection breaks.

    It belongs to one event loop.
    """

    def __init__(self, url: str | None = None, *, calls: int = 8, **options: Any) -> None:
        self._client = Client(url, **options)
        self._places = asyncio.Semaphore(calls)
        self._idle: list[Lane] = []
        self._lanes: set[Lane] = set()
        # Threads of a client that nobody has closed would wait for ever.
        weakref.finalize(self, _end_all, self._lanes)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections; calls that wait for a response raise Unreachable."""
        self._client.close()
        for lane in self._lanes:
            lane.client.close()
        # The other lanes are ended by the calls that have them.
        while self._idle:
            self._end(self._idle.pop())

    # Made of the methods themselves: there is no second copy of what they do, and none of their
    # signatures that could differ.
    get = _awaited(Client.get)
    text = _awaited(Client.text)
    diff = _awaited(Client.diff)
    put = _awaited(Client.put)
    patch = _awaited(Client.patch)
    rollback = _awaited(Client.rollback)
    enable = _awaited(Client.enable)
    history = _iterated(Client.history)
    changes = _iterated(Client.changes)

    async def _call(self, call: Callable[[Client], T]) -> T:
        async with self._places:
            lane = self._idle.pop() if self._idle else self._open_lane()
            try:
                return await lane.run(partial(call, lane.client))
            finally:
                if lane.client.transport.closed:
                    self._end(lane)
                else:
                    self._idle.append(lane)

    async def _iterate(self, start: Callable[[Client], Iterator[T]]) -> AsyncIterator[T]:
        lane = self._open_lane()
        try:
            # Not of the idle ones: an iteration may go on for ever.
            iterator = start(lane.client)
            while True:
                item = await lane.run(partial(next, iterator, _END))
                if item is _END:
                    return
                yield item
        finally:
            self._end(lane)

    def _end(self, lane: Lane) -> None:
        lane.end()
        self._lanes.discard(lane)

    def _open_lane(self) -> Lane:
        if self._client.transport.closed:
            raise Unreachable("The client was closed.")
        lane = Lane(self._client.twin())
        self._lanes.add(lane)
        return lane


def _end_all(lanes: set[Lane]) -> None:
    for lane in lanes:
        lane.end()
