"""Held requests on a plain WSGI server: what the asyncio front does, with a thread for each."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange
from distributed_config.live.hub import wait_outdated
from distributed_config.live.watermarks import Watermarks

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Once:
    """Stands in for start_response, so that nothing is sent before the answer is the last."""

    arguments: tuple[Any, ...] = ()

    def __call__(self, *arguments: Any) -> None:
        self.arguments = arguments


class Holding:
    """WSGI middleware that repeats a held question; it stands aside behind the front."""

    def __init__(self, app: WsgiApp, marks: Watermarks) -> None:
        self._app = app
        self._marks = marks

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if exchange.KEY in environ:
            return self._app(environ, start_response)
        began = time.monotonic()
        pause = 0.0
        while True:
            told = environ[exchange.KEY] = Exchange()
            once = _Once()
            parts = self._app(environ, once)
            if told.hold is None or not self._outdated(told, began):
                start_response(*once.arguments)
                return parts
            getattr(parts, "close", lambda: None)()
            time.sleep(pause)
            pause = min(0.2, pause * 2 + 0.002)

    def _outdated(self, told: Exchange, began: float) -> bool:
        assert told.hold is not None
        remaining = told.hold.seconds - (time.monotonic() - began)
        return wait_outdated(self._marks, told.hold.basis, remaining)
