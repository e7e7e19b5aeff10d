"""Held requests on a plain WSGI server: what the asyncio front does, with a thread for each."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange
from distributed_config.live.hub import wait_outdated
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire.targets import name_host, split_target

_PAUSE = 0.002
_LONGEST_PAUSE = 0.2

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _CapturedStart:
    """Stands in for start_response, so that nothing is sent before the answer is the last."""

    arguments: tuple[Any, ...] = ()

    def __call__(self, *arguments: Any) -> None:
        self.arguments = arguments


class LongPollMiddleware:
    """WSGI middleware that repeats a held question; it stands aside behind the front."""

    def __init__(self, app: WsgiApp, marks: Watermarks) -> None:
        self._app = app
        self._marks = marks

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if exchange.KEY in environ:
            return self._app(environ, start_response)
        host, environ["PATH_INFO"] = split_target(environ.get("PATH_INFO", ""))
        name_host(environ, host)
        deadline = 0.0
        pause = _PAUSE
        told = environ[exchange.KEY] = Exchange()
        while True:
            once = _CapturedStart()
            parts = self._app(environ, once)
            if told.hold is None:
                start_response(*once.arguments)
                return parts
            getattr(parts, "close", lambda: None)()
            deadline = deadline or time.monotonic() + told.hold.seconds
            remaining = deadline - time.monotonic()
            if wait_outdated(self._marks, told.hold.basis, remaining):
                # The mark is raised just before the commit: the first look may come too early.
                time.sleep(min(pause, max(remaining, 0)))
                pause = min(_LONGEST_PAUSE, pause * 2)
            told = environ[exchange.KEY] = Exchange(last=time.monotonic() >= deadline, again=True)
