"""``AsyncConfig``: a live view of one service for asyncio."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from distributed_config.client.aio.threads import in_thread
from distributed_config.client.live.config import Bound, Config
from distributed_config.client.live.listeners import Callback, change_at, make_listener, path_of
from distributed_config.client.live.state import State
from distributed_config.client.live.view import View
from distributed_config.errors import DistconfError, Invalid, Problem

T = TypeVar("T")


class AsyncConfig(View):
    """A ``Config`` for asyncio: ``cfg = await AsyncConfig.open("web")``.

    It reads as a Config does, without ``await``; only what waits is awaited. Listeners are called
    on the event loop. It follows the service until ``close``, the end of an ``async with``, or
    until nothing refers to it any more. ``config`` is the Config itself, as integrations take it.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.service = config.service
        self._loop = asyncio.get_running_loop()
        self._news = _News(self._loop)
        config.wake_on_news(self._news.tell)

    @classmethod
    async def open(cls, service: str, **options: Any) -> "AsyncConfig":
        """Return the configuration of ``service`` after its first load.

        ``options`` are those of Config, and so are the errors.
        """
        return cls(await in_thread(partial(Config, service, **options), Config.close))

    async def __aenter__(self) -> "AsyncConfig":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the background; the last configuration can still be read."""
        await in_thread(self.config.close, _ignore)

    # The Config's own, so that both have a new one at the same moment.
    @property
    def _state(self) -> State:  # type: ignore[override]  # View has a plain attribute
        return self.config._state

    @property
    def environment(self) -> str:
        """The environment that it is read in."""
        return self.config.environment

    @property
    def problem(self) -> DistconfError | None:
        """The reason why the latest attempt to load failed; None if it did not."""
        return self.config.problem

    @property
    def age(self) -> float | None:
        """Seconds since the server last confirmed the configuration; None if it never did."""
        return self.config.age

    @property
    def stale(self) -> bool:
        """Whether the server has not confirmed the configuration for a minute."""
        return self.config.stale

    def bind(self, kind: type[T]) -> Bound[T]:
        """Return a view of the configuration as a ``kind``; see ``Config.bind``."""
        return self.config.bind(kind)

    def on_change(self, callback: Callback, pointer: str = "") -> Callable[[], None]:
        """Call ``callback(new, old)`` on the event loop after the value at ``pointer`` has changed.

        As ``Config.on_change``, except that the loop reports what the callback raises. For a
        coroutine use ``changes``.
        """
        if inspect.iscoroutinefunction(callback):
            message = "Nobody would await a coroutine function here. Use `async for` on changes()."
            raise Invalid.from_problems([Problem("", message, "type", "callback")])
        listener = make_listener(callback, pointer)
        is_ended = False

        def call_on_loop(new: Any, old: Any) -> None:
            if not is_ended:
                listener.callback(new, old)

        end_in_thread = self.config.on_change(
            lambda new, old: _call_soon(self._loop, call_on_loop, new, old), pointer
        )

        def end() -> None:
            nonlocal is_ended
            is_ended = True
            end_in_thread()

        return end

    def changes(self, pointer: str = "") -> AsyncIterator[tuple[Any, Any]]:
        """Yield the new and the old value at the JSON ``pointer`` after each change, until the end.

        Changes that come while the loop's body runs are one change. Raises Invalid for a pointer
        that is none.
        """
        return self._changes_since(self._state, path_of(pointer))

    async def _changes_since(
        self, state: State, path: tuple[str, ...]
    ) -> AsyncIterator[tuple[Any, Any]]:
        while not self.config.closed:
            if self._state is state:
                await self._news.wait()
                continue
            old, state = state, self._state
            change = change_at(path, old.value, state.value)
            if change is not None:
                yield change

    async def wait_for(self, version: int, timeout: float | None = None) -> bool:
        """Wait until ``version`` or a later one is current.

        Returns False if ``timeout`` seconds are over, or the configuration was closed.
        """

        def is_there() -> bool:
            return self.version is not None and self.version >= version

        async def wait() -> None:
            while not is_there() and not self.config.closed:
                await self._news.wait()

        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wait(), timeout)
        return is_there()


class _News:
    """Wakes the tasks that wait for a Config, whose news come from another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake every task that waits; from any thread."""
        _call_soon(self._loop, self._wake)

    async def wait(self) -> None:
        """Wait for the next news."""
        await self._event.wait()

    def _wake(self) -> None:
        # A new one: whoever waits from now on waits for other news.
        self._event.set()
        self._event = asyncio.Event()


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[..., Any], *values: Any) -> None:
    # A loop that is closed raises RuntimeError, and has nobody to call any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *values)


def _ignore(_: Any) -> None:
    """Do nothing: closing need not be undone."""
