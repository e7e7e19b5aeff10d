"""The background threads of live configurations, and what a fork does to them."""

import logging
import os
import threading
import weakref
from typing import Protocol

from distributed_config.client.http.transport import Transport
from distributed_config.errors import DistconfError, Rejected, Unreachable

_logger = logging.getLogger(__name__)


class Followed(Protocol):
    """The side of a Config that its background thread sees."""

    service: str
    _closed: threading.Event

    @property
    def source(self) -> str: ...

    @property
    def transport(self) -> Transport: ...

    def _poll(self) -> None:
        """Wait for news from the server, and apply it. Raises DistconfError if that fails."""

    def _record_failure(self, error: DistconfError) -> None:
        """Let the application see why there is no news."""

    def _restart_in_child(self) -> None:
        """Start again after a fork, with a thread and connections of the child's own."""


_open: "weakref.WeakSet[Followed]" = weakref.WeakSet()
_with_listeners: set[Followed] = set()
"""The configurations that somebody listens to.

They are held here, because the program may hold nothing but the listener.
"""


def register(config: Followed) -> None:
    """Let ``config`` start again in children of a fork."""
    _open.add(config)


def unregister(config: Followed) -> None:
    """Forget a configuration that was closed."""
    _open.discard(config)
    _with_listeners.discard(config)


def hold(config: Followed) -> None:
    """Keep ``config`` alive while it has listeners."""
    _with_listeners.add(config)


def release(config: Followed) -> None:
    """Let ``config`` be collected when the program no longer refers to it."""
    _with_listeners.discard(config)


def start_thread(config: Followed) -> threading.Thread:
    """Follow the server in the background.

    The thread has only a weak reference to ``config``: it ends when nobody else has one.
    """
    thread = threading.Thread(
        target=_follow, args=(weakref.ref(config),), name=f"config {config.service}", daemon=True
    )
    thread.start()
    return thread


def _follow(reference: "weakref.ref[Followed]") -> None:
    failures = 0
    while True:
        config = reference()
        if config is None or config._closed.is_set():
            return
        try:
            config._poll()
            if failures:
                _logger.info("%r: the server answers again", config.service)
            failures, pause = 0, 0.0
        except Rejected as error:
            # The server works, so there is nothing to back off from: the next poll waits there
            # for another document.
            failures, pause = 0, 0.0
            config._record_failure(error)
            _logger.warning("%r: a new document is rejected: %s", config.service, error.detail)
        except DistconfError as error:
            if config.transport.closed:  # as at the end of the program
                return
            failures += 1
            config._record_failure(error)
            # One line for each outage, and not for each attempt in it.
            if failures == 1 and config.source != "nothing":
                _logger.warning("%r stays as it is: %s", config.service, error.detail)
            pause = error.retry_after + config.transport.backoff.seconds(failures)
        except Exception as error:  # also a bug of ours or of a binding: reading goes on
            failures += 1
            _logger.exception("%r could not be loaded", config.service)
            config._record_failure(Unreachable(f"It could not be loaded: {error}"))
            pause = config.transport.backoff.seconds(failures)
        closed = config._closed
        # A reference held through the pause would keep alive what nobody uses any more.
        del config
        if closed.wait(pause):
            return


def _restart_all() -> None:
    for config in list(_open):
        try:
            config._restart_in_child()
        except Exception as error:  # of any kind: the other configurations still start
            config._record_failure(Unreachable(f"It is not followed in this process: {error}"))


# Servers such as gunicorn load the application and then fork; threads do not survive that.
os.register_at_fork(after_in_child=_restart_all)
