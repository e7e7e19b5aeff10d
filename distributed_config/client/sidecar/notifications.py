"""The notifications of one change: each is sent once, and retried by itself until it succeeds."""

import logging
import threading
from collections.abc import Callable

from distributed_config.client.http.backoff import Backoff, RetryTimer
from distributed_config.client.sidecar.plan import Target
from distributed_config.client.sidecar.reload import notifiers

# As in target_file: a command that fails at once must not run many times a second.
_BACKOFF = Backoff(first=2.0, most=30.0, least=0.5)

_logger = logging.getLogger("distconf.sidecar")


class Notifications:
    """What an application still has to be told about its file. ``ended`` stops it."""

    def __init__(self, target: Target, ended: threading.Event) -> None:
        self.problem = ""
        """The reason why the application could not be notified; empty if it was."""
        self.excused: tuple[type[Exception], ...] = ()
        """Errors that are normal now, as while the application is not running yet."""
        self._target = target
        self._ended = ended
        self._pending: list[Callable[[Target], None]] = []
        self._retry = RetryTimer(_BACKOFF)

    def prepare(self) -> None:
        """Let ``send`` notify of a new change. An older one that failed is superseded."""
        self._pending = notifiers(self._target)
        self._retry = RetryTimer(_BACKOFF)

    def send(self) -> None:
        """Send whatever is pending, if it is time for that."""
        if not self._pending or not self._retry.is_due:
            return
        failures = []
        for notifier in list(self._pending):
            if self._ended.is_set():
                return
            try:
                notifier(self._target)
            except Exception as error:  # of any kind: it is reported, and tried again
                if not isinstance(error, self.excused):
                    failures.append(str(error) or type(error).__name__)
                    continue
                _logger.info("%s is there; nobody is running yet: %s", self._target.file, error)
            self._pending.remove(notifier)
        self.problem = (
            f"It is written, but the application was not notified: {' '.join(failures)}"
            if failures
            else ""
        )
        if failures:
            _logger.error("%s: %s", self._target.file, self.problem)
        self._retry.start_pause()
