"""Long polling on a plain WSGI server: what the gateway does, with a thread for each request."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from distributed_config.live.exchange import KEY, Exchange
from distributed_config.live.hub import Backoff, block_until_stale
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire.targets import set_host, split_target

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _CapturedStart:
    """Stands in for start_response, so that nothing is sent before the response is final."""

    arguments: tuple[Any, ...] = ()

    def __call__(self, *arguments: Any) -> None:
        self.arguments = arguments


class LongPollMiddleware:
    """WSGI middleware that repeats a waiting request; it does nothing below the gateway."""

    def __init__(self, app: WsgiApp, watermarks: Watermarks) -> None:
        self._app = app
        self._watermarks = watermarks

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        # The gateway has put an Exchange there, and holds the request itself.
        if KEY in environ:
            return self._app(environ, start_response)
        host, environ["PATH_INFO"] = split_target(environ.get("PATH_INFO", ""))
        set_host(environ, host)
        deadline = 0.0
        backoff = Backoff()
        exchange = environ[KEY] = Exchange()
        while True:
            captured = _CapturedStart()
            parts = self._app(environ, captured)
            if exchange.wait is None:
                start_response(*captured.arguments)
                return parts
            # PEP 3333: whoever drops an iterable closes it, and so ends Flask's request.
            getattr(parts, "close", lambda: None)()
            deadline = deadline or time.monotonic() + exchange.wait.seconds
            remaining = deadline - time.monotonic()
            if block_until_stale(self._watermarks, exchange.wait.validity, remaining):
                time.sleep(backoff.pause(at_most=remaining))
            is_over = time.monotonic() >= deadline
            exchange = environ[KEY] = Exchange(is_final=is_over, is_repeat=True)
