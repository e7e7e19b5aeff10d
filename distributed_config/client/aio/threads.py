"""Threads that work for an event loop, and do not outlast whoever waits for them."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from distributed_config.client.client import Client

T = TypeVar("T")

_Calls = SimpleQueue["tuple[Future[Any], Callable[[], Any]] | None"]


class Lane:
    """A thread that makes one call after the other, with a client of its own."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._calls: _Calls = SimpleQueue()
        # A daemon: a program can end while a call waits for a host that does not answer.
        threading.Thread(
            target=_serve, args=(self._calls,), name="distconf call", daemon=True
        ).start()

    async def run(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns. If the caller is cancelled, the lane ends with the call."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self.end()
            raise

    def end(self) -> None:
        """Cut off the call that is under way, and end the thread."""
        self.client.close()
        self._calls.put(None)


async def in_thread(call: Callable[[], T], undo: Callable[[T], Any]) -> T:
    """Return what ``call`` returns in a thread of its own.

    If the caller is cancelled meanwhile, ``undo`` gets the result once it is there.
    """
    future: Future[T] = Future()
    threading.Thread(target=_fulfil, args=(future, call), name="distconf call", daemon=True).start()
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:

        def clean_up(done: "Future[T]") -> None:
            if not done.cancelled() and done.exception() is None:
                undo(done.result())

        future.add_done_callback(clean_up)
        raise


def _serve(calls: _Calls) -> None:
    while (entry := calls.get()) is not None:
        _fulfil(*entry)
        # A result that this thread still referred to would outlive its use.
        del entry


def _fulfil(future: "Future[T]", call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # whatever it is, it is the caller's
        future.set_exception(error)
    else:
        future.set_result(result)
