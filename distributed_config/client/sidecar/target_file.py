"""Keeping one file as a service says, and telling the application of each change, once.

Two things are kept apart: what the file holds, and whom that was told. What fails is tried again
after growing pauses, each by itself: nothing is written anew because nobody could be told.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distributed_config.client.http.transport import Request
from distributed_config.client.live.config import Config, State
from distributed_config.client.sidecar.atomic_swap import (
    is_linked,
    swap,
    swap_link,
    write_temporary,
)
from distributed_config.client.sidecar.plan import Plan, Target
from distributed_config.client.sidecar.protected import environment
from distributed_config.client.sidecar.reload import ProcessNotRunningError, notifiers, run
from distributed_config.client.sidecar.rendering import BY_SERVER, as_json, render_template
from distributed_config.errors import ClientError, Unavailable
from distributed_config.formats.env import as_lines
from distributed_config.formats.properties import write_properties

_LOADING = "It is being loaded."
_LOOK_EVERY = 1.0
_LONGEST_PAUSE = 30.0

_logger = logging.getLogger("distconf.sidecar")


class _StaleButUsableError(Exception):
    """The server cannot say now what the file should hold; what it holds is to be lived with."""


class _EndedError(Exception):
    """Nothing is written any more: another plan may have come meanwhile."""


class TargetFile:
    """Keeps one target."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self.target = target
        self.problem = _LOADING
        """Why the file does not hold what is current; empty: it does."""
        self.unheard = ""
        """Why the application was not told of what the file holds; empty: it was."""
        self._plan = plan
        self._config: Config | None = None
        self._news = threading.Event()
        self._ended = threading.Event()
        self._guard = threading.RLock()  # what the file holds, and what is said of it, is one
        self._held: State | None = None
        """What was put into the file, or found in it; None: nothing yet."""
        self._data = b""
        """The same, in its format."""
        self._stamp: tuple[int, ...] = ()
        """Of the file, when it was last seen to hold that."""
        self._old_is_good = False
        self._tried: State | None = None
        self._tries = _Tries()
        self._changed = False
        """Whether the file was changed, and nobody was told yet."""
        self._drafted = threading.Lock()
        """Held while there is a draft beside the file."""
        self._untold: list[Callable[[Target], None]] = []
        self._tells = _Tries()
        self._excused: tuple[type[Exception], ...] = ()

    def load(self) -> None:
        """Waits until the server has answered, or the deadline; not for longer than that."""
        try:
            self._loaded()
        except Exception as error:  # whatever it is: it is told, and tried again
            self._failed(error)

    def attempt(self) -> bool:
        """Makes the file what is current, and tells of it; whether it is what is current.

        What fails is told, and the file stays.
        """
        try:
            self._write(self._loaded())
        except Exception as error:  # whatever it is: it is told, and the following goes on
            self._failed(error)
        else:
            self.problem, self._old_is_good = "", False
        self._tries.pause()
        self._tell()
        return not self.problem

    def run(self) -> None:
        """Keeps the file until the end."""
        while not self._ended.is_set():
            self._news.wait(_LOOK_EVERY)
            self._news.clear()
            # Everything that comes until the wait is over is written as one.
            if self._is_news() and self._ended.wait(self._plan.debounce + self._splay()):
                return
            if self._is_due():
                self.attempt()
            else:
                self._tell()

    def leave(self) -> None:
        """Lets nothing begin any more."""
        self._ended.set()
        self._news.set()

    def end(self) -> None:
        """Ends the following and the thread; nothing is written any more once this returns.

        Waits for a check that runs, so that no draft is left beside the file.
        """
        self.leave()
        with self._guard:
            config = self._config
        if config is not None:
            config.close()
        with self._drafted:
            pass

    @property
    def is_good(self) -> bool:
        """Whether there is a file to live with, though it may be old."""
        with self._guard:
            there = self._stands() if self._held else self.target.path.exists()
        return there and (self._old_is_good or not self.problem)

    def health(self) -> dict[str, Any]:
        """All that there is to say."""
        config = self._config
        away = config.problem if config is not None else None
        held = self._held
        said = [self.problem, self.unheard]
        if away is not None and away.detail not in self.problem:
            said.append(away.detail)
        return {
            "service": self.target.service,
            "file": self.target.file,
            "good": self.is_good,
            "version": held.version if held else None,
            "current": config.version if config else None,
            "stale": config.stale if config else True,
            "age": config.age if config else None,
            "problem": " ".join(each for each in said if each),
        }

    # --- when to write

    def _is_news(self) -> bool:
        """Whether there is something that was never tried."""
        state = self._config.state if self._config else None
        return state is not None and state.version is not None and state is not self._tried

    def _is_due(self) -> bool:
        """Whether to write; again only after a pause, also where somebody else changes the file."""
        if self._is_news():
            return True
        nothing = self._config is not None and self._config.version is None
        if nothing or not self._tries.is_time:
            return False
        return bool(self.problem) or not self._stands()

    def _splay(self) -> float:
        splay = self._plan.splay if self._held is not None else 0.0
        return random.uniform(0, splay)  # noqa: S311  # it only has to differ

    def _stands(self) -> bool:
        """Whether the file holds what was put into it; it is read when it was touched."""
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

    def _loaded(self) -> Config:
        """The live view of the service; it is made first, where it is not there yet."""
        if self._ended.is_set():
            raise _EndedError
        if self._config is not None:
            return self._config
        made = Config(
            self.target.service,
            url=self._plan.url,
            token=self._plan.token,
            defaults={},  # it goes on looking for the server, instead of giving up
            deadline=self._plan.deadline,
            snapshots=self._plan.snapshots,
            fill_defaults=self.target.defaults,
        )
        made.on_change(lambda _new, _old: self._news.set())
        with self._guard:
            if not self._ended.is_set():
                self._config = made
                return made
        made.close()
        raise _EndedError

    def _write(self, config: Config) -> None:
        """Makes the file what is current. Raises whatever hinders that."""
        state = config.state
        if state is not self._tried:
            self._tried, self._tries = state, _Tries()
        if state.version is None:
            reason = config.problem.detail if config.problem else "The server does not answer."
            raise _StaleButUsableError(f"There is no snapshot to write it from. {reason}")
        data = self._data if state is self._held else self._rendered(config, state)
        if not self._found(state, data):
            self._place(state, data)
        if self._changed:
            name = self.target.service
            _logger.info("%s is %s version %s", self.target.file, name, state.version)
            self._untold, self._tells, self._changed = notifiers(self.target), _Tries(), False

    def _found(self, state: State, data: bytes) -> bool:
        """Whether the file holds ``data`` already."""
        with self._guard:
            before = self._held, self._data, self._stamp
            self._held, self._data, self._stamp = state, data, ()
            if self._stands():
                return True
            self._held, self._data, self._stamp = before
            return False

    def _place(self, state: State, data: bytes) -> None:
        with self._drafted:
            if self._ended.is_set():
                raise _EndedError
            self._place_by_draft(state, data)

    def _place_by_draft(self, state: State, data: bytes) -> None:
        path = self.target.path
        draft = write_temporary(path, data, self.target.mode)
        try:
            if self.target.check:
                run(self.target.check, draft)
            with self._guard:
                if self._ended.is_set():
                    raise _EndedError
                # Who was not there yet reads the file when it starts.
                nobody = ProcessNotRunningError if path.exists() else Exception
                self._excused = () if self._held else (nobody,)
                self._changed = True  # also if it fails half-way, and is found to be done later
                (swap_link if self.target.symlink else swap)(path, draft)
                self._held, self._data, self._stamp = state, data, ()
        finally:
            draft.unlink(missing_ok=True)

    def _rendered(self, config: Config, state: State) -> bytes:
        if self.target.template:
            # Bytes, so that the ends of its lines stay as they are.
            return render_template(
                Path(self.target.template).read_bytes().decode(), state.value
            ).encode()
        if self.target.kind in BY_SERVER:
            return self._by_server(config, state)
        write = {"env": self._as_env, "properties": write_properties}.get(self.target.kind, as_json)
        return write(state.value).encode()

    def _as_env(self, value: Mapping[str, Any]) -> str:
        return as_lines(environment(value, allowed=self.target.allow_env))

    def _by_server(self, config: Config, state: State) -> bytes:
        """The format as the server writes it. Without a server YAML is JSON, which it may be."""
        query = {
            "service": self.target.service,
            "version": state.version,
            "format": self.target.kind,
            "defaults": "true" if self.target.defaults else None,
        }
        try:
            return config.transport.ask(Request("GET", "/config", query, {"Accept": "*/*"})).body
        except (ClientError, Unavailable) as error:
            if self.target.path.exists():
                reason = f"Only the server writes {self.target.kind}. {error.detail}"
                raise _StaleButUsableError(reason) from None
            if self.target.kind == "yaml":
                return as_json(state.value).encode()
            raise

    def _failed(self, error: Exception) -> None:
        if self._ended.is_set():
            return
        self.problem = str(error) or type(error).__name__
        self._old_is_good = isinstance(error, _StaleButUsableError)
        _logger.error("%s is not written: %s", self.target.file, self.problem)

    # --- telling

    def _tell(self) -> None:
        """Tells those that were not told yet of what the file holds, when it is time."""
        if not self._untold or not self._tells.is_time:
            return
        failures = []
        for way in list(self._untold):
            if self._ended.is_set():
                return
            try:
                way(self.target)
            except Exception as error:  # whatever it is: it is told, and the following goes on
                if not isinstance(error, self._excused):
                    failures.append(str(error) or type(error).__name__)
                    continue
                _logger.info("%s is there; nobody was to be told: %s", self.target.file, error)
            self._untold.remove(way)
        self.unheard = (
            f"It is written, but nobody was told: {' '.join(failures)}" if failures else ""
        )
        if failures:
            _logger.error("%s: %s", self.target.file, self.unheard)
        self._tells.pause()


class _Tries:
    """When something may be tried again: after pauses that grow with each time."""

    def __init__(self) -> None:
        self._number = 0
        self._next = 0.0

    @property
    def is_time(self) -> bool:
        """Whether the pause is over."""
        return time.monotonic() >= self._next

    def pause(self) -> None:
        """It was tried; a pause begins."""
        self._number += 1
        longest = min(_LONGEST_PAUSE, 2.0**self._number)
        self._next = time.monotonic() + random.uniform(longest / 2, longest)  # noqa: S311  # the same


def _stamp_of(path: Path) -> tuple[int, ...]:
    """What changes with a file, as far as that can be told without reading it."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
