"""One file that follows a service, and an application that is notified of each change once.

Two things are tracked apart: the content of the file, and the notifications about it. Each is
retried by itself, after growing pauses: a file is not written again because nobody could be
notified.
"""

import logging
import os
import random
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed_config.client.http.backoff import Backoff, RetryTimer
from distributed_config.client.http.messages import Request
from distributed_config.client.http.queries import document_query, environment_from, series_query
from distributed_config.client.live.config import Config
from distributed_config.client.live.state import State
from distributed_config.client.sidecar.atomic_swap import (
    is_linked,
    swap,
    swap_link,
    write_temporary,
)
from distributed_config.client.sidecar.notifications import Notifications
from distributed_config.client.sidecar.plan import Plan, Target
from distributed_config.client.sidecar.protected import environment
from distributed_config.client.sidecar.reload import ProcessNotRunningError, run
from distributed_config.client.sidecar.rendering import BY_SERVER, as_json, render_template
from distributed_config.errors import ClientError, Unavailable
from distributed_config.formats.env import as_lines
from distributed_config.formats.properties import write_properties

_LOADING = "It is being loaded."
# Also without news from the server: somebody may have changed the file.
_LOOK_EVERY = 1.0
# Half of each pause is fixed: a check that fails at once must not run many times a second.
_BACKOFF = Backoff(first=2.0, most=30.0, least=0.5)

_logger = logging.getLogger("distconf.sidecar")


class _StaleButUsableError(Exception):
    """The server cannot say now what belongs into the file, whose old content stays in use."""


class _EndedError(Exception):
    """Nothing is written any more: a successor may be writing by now."""


class TargetFile:
    """Keeps the file of one target up to date."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self.target = target
        self.problem = _LOADING
        """The reason why the file is not current; empty if it is."""
        self._plan = plan
        self._environment = environment_from(target.environment or plan.environment, os.environ)
        self._config: Config | None = None
        self._news = threading.Event()
        self._ended = threading.Event()
        # The content of the file and what is known about it change together.
        self._guard = threading.RLock()
        self._written: State | None = None
        """The state that was written to the file, or found in it; None if there is none yet."""
        self._data = b""
        """The same as bytes in the target's format."""
        self._stamp: tuple[int, ...] = ()
        """The file's stamp when it was last seen to hold them."""
        self._is_stale_but_usable = False
        self._attempted: State | None = None
        self._retry = RetryTimer(_BACKOFF)
        self._is_changed = False
        """Whether the file was changed and no notification was prepared yet."""
        self._draft_lock = threading.Lock()
        """Held while there is a draft beside the file."""
        self._notifications = Notifications(target, self._ended)

    # --- what the sidecar does with it

    def load(self) -> None:
        """Wait until the server has answered, or the deadline is over."""
        try:
            self._load_config()
        except Exception as error:  # of any kind: it is reported, and tried again
            self._record_failure(error)

    def sync(self) -> bool:
        """Write the file if it is not current, and notify. Return whether it is current.

        A failure is reported, and leaves the file as it is.
        """
        try:
            self._write(self._load_config())
        except Exception as error:  # of any kind: it is reported, and tried again
            self._record_failure(error)
        else:
            self.problem, self._is_stale_but_usable = "", False
        self._retry.start_pause()
        self._notifications.send()
        return not self.problem

    def run(self) -> None:
        """Keep the file current until the end."""
        while not self._ended.is_set():
            self._news.wait(_LOOK_EVERY)
            self._news.clear()
            # Everything that comes during this pause is written in one step.
            if self._has_news() and self._ended.wait(self._plan.debounce + self._splay()):
                return
            if self._is_due():
                self.sync()
            else:
                self._notifications.send()

    def request_stop(self) -> None:
        """Start nothing new from now on."""
        self._ended.set()
        self._news.set()

    def stop(self) -> None:
        """End everything; nothing is written any more once this returns.

        It waits for a check that is running, so that no draft is left beside the file.
        """
        self.request_stop()
        with self._guard:
            config = self._config
        if config is not None:
            config.close()
        with self._draft_lock:
            pass

    # --- reports

    @property
    def is_good(self) -> bool:
        """Whether there is a file to work with, though it may be old."""
        with self._guard:
            is_there = self._is_intact() if self._written else self.target.path.exists()
        return is_there and (self._is_stale_but_usable or not self.problem)

    def health(self) -> dict[str, Any]:
        """Return the report on this file for ``/healthz``."""
        config = self._config
        server_problem = config.problem if config is not None else None
        written = self._written
        problems = [self.problem, self._notifications.problem]
        # The file's own problem often quotes the server's.
        if server_problem is not None and server_problem.detail not in self.problem:
            problems.append(server_problem.detail)
        return {
            "service": self.target.service,
            "environment": self._environment,
            "file": self.target.file,
            "good": self.is_good,
            "version": written.version if written else None,
            "current": config.version if config else None,
            "stale": config.stale if config else True,
            "age": config.age if config else None,
            "problem": " ".join(filter(None, problems)),
        }

    def _record_failure(self, error: Exception) -> None:
        # What fails because of the end is no failure.
        if self._ended.is_set():
            return
        self.problem = str(error) or type(error).__name__
        self._is_stale_but_usable = isinstance(error, _StaleButUsableError)
        _logger.error("%s is not written: %s", self.target.file, self.problem)

    # --- when to write

    def _has_news(self) -> bool:
        """Whether there is a state that was never attempted."""
        state = self._config.state if self._config else None
        return state is not None and state.version is not None and state is not self._attempted

    def _is_due(self) -> bool:
        """Whether to write now; after an attempt only when its pause is over.

        That holds also where somebody else changes the file again and again: two sidecars on one
        file must not fight at full speed.
        """
        if self._has_news():
            return True
        has_nothing = self._config is not None and self._config.version is None
        if has_nothing or not self._retry.is_due:
            return False
        return bool(self.problem) or not self._is_intact()

    def _splay(self) -> float:
        """Return a random pause, so that many instances do not reload at the same moment.

        The first write is not delayed: an application is waiting for it.
        """
        splay = self._plan.splay if self._written is not None else 0.0
        return random.uniform(0, splay)  # noqa: S311  # it only has to differ

    def _is_intact(self) -> bool:
        """Whether the file holds what was written. It is read only if its stamp has changed."""
        path = self.target.path
        try:
            with self._guard:
                stamp = _stamp_of(path)
                if self.target.symlink and not is_linked(path):
                    return False
                if stamp != self._stamp and path.read_bytes() == self._data:
                    self._stamp = stamp
                return stamp == self._stamp
        except OSError:
            return False

    # --- writing

    def _load_config(self) -> Config:
        """Return the live view of the service, which is created the first time."""
        if self._ended.is_set():
            raise _EndedError
        if self._config is not None:
            return self._config
        config = Config(
            self.target.service,
            url=self._plan.url,
            token=self._plan.token,
            environment=self._environment,
            # With defaults it goes on looking for the server, instead of raising NeverLoaded.
            defaults={},
            deadline=self._plan.deadline,
            snapshots=self._plan.snapshots,
            fill_defaults=self.target.defaults,
        )
        config.on_change(lambda _new, _old: self._news.set())
        with self._guard:
            # stop() may have come while this waited for the server, and found nothing to close.
            if not self._ended.is_set():
                self._config = config
                return config
        config.close()
        raise _EndedError

    def _write(self, config: Config) -> None:
        """Make the file current. Raises whatever prevents that."""
        state = config.state
        if state is not self._attempted:
            # A new state has its own chance at once, whatever the last one was.
            self._attempted, self._retry = state, RetryTimer(_BACKOFF)
        if state.version is None:
            reason = config.problem.detail if config.problem else "The server does not answer."
            raise _StaleButUsableError(f"There is no snapshot to write it from. {reason}")
        data = self._data if state is self._written else self._render(config, state)
        if not self._adopt(state, data):
            self._replace(state, data)
        if self._is_changed:
            name = self.target.service
            _logger.info("%s is %s version %s", self.target.file, name, state.version)
            self._notifications.prepare()
            self._is_changed = False

    def _adopt(self, state: State, data: bytes) -> bool:
        """Return whether the file already holds ``data``, and count it as written then."""
        with self._guard:
            before = self._written, self._data, self._stamp
            self._written, self._data, self._stamp = state, data, ()
            if self._is_intact():
                return True
            self._written, self._data, self._stamp = before
            return False

    def _replace(self, state: State, data: bytes) -> None:
        with self._draft_lock:
            if self._ended.is_set():
                raise _EndedError
            draft = write_temporary(self.target.path, data, self.target.mode)
            try:
                if self.target.check:
                    run(self.target.check, draft)
                self._put_in_place(draft, state, data)
            finally:
                draft.unlink(missing_ok=True)

    def _put_in_place(self, draft: Path, state: State, data: bytes) -> None:
        path = self.target.path
        with self._guard:
            if self._ended.is_set():
                raise _EndedError
            # An application that is not running yet reads the file when it starts. Where there
            # was no file at all it cannot run, so nothing that a notification raises matters.
            is_normal = ProcessNotRunningError if path.exists() else Exception
            self._notifications.excused = () if self._written else (is_normal,)
            # Before the swap: it may fail half-way, and the file be found in place later.
            self._is_changed = True
            (swap_link if self.target.symlink else swap)(path, draft)
            self._written, self._data, self._stamp = state, data, ()

    # --- rendering

    def _render(self, config: Config, state: State) -> bytes:
        if self.target.template:
            # As bytes: read_text() would change the template's line ends.
            template = Path(self.target.template).read_bytes().decode()
            return render_template(template, state.value).encode()
        if self.target.kind in BY_SERVER:
            return self._render_on_server(config, state)
        writers = {"env": self._as_env, "properties": write_properties}
        return writers.get(self.target.kind, as_json)(state.value).encode()

    def _as_env(self, value: Mapping[str, Any]) -> str:
        return as_lines(environment(value, allowed=self.target.allow_env))

    def _render_on_server(self, config: Config, state: State) -> bytes:
        """Return the version in a format that only the server writes.

        Without a server, an existing file stays; a new YAML file is JSON, which is YAML as well.
        """
        # The number of a version says nothing about the layers below it; a revision does. A
        # snapshot has none, but then the server's own state is on its way.
        query = document_query(
            series_query(self.target.service, self._environment),
            as_of=state.revision,
            defaults=self.target.defaults,
            resolved=True,
        )
        query["format"] = self.target.kind
        try:
            return config.transport.send(Request("GET", "/config", query, {"Accept": "*/*"})).body
        except (ClientError, Unavailable) as error:
            if self.target.path.exists():
                reason = f"Only the server writes {self.target.kind}. {error.detail}"
                raise _StaleButUsableError(reason) from None
            if self.target.kind == "yaml":
                return as_json(state.value).encode()
            raise


def _stamp_of(path: Path) -> tuple[int, ...]:
    """Return what changes with a file, as far as that shows without reading it."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
