"""``Config``: a live view of one service, which needs no server to start or to run."""

import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from distributed_config.client.client import Client
from distributed_config.client.http.transport import Backoff, Request, Transport, same_spelling
from distributed_config.client.live.binding import bind as bound
from distributed_config.client.live.frozen import FrozenDict, frozen
from distributed_config.client.live.snapshots import Snapshot, Snapshots, default_folder
from distributed_config.errors import (
    DistconfError,
    Invalid,
    NeverLoaded,
    Problem,
    Rejected,
    Unavailable,
    Unreachable,
)
from distributed_config.wire import parse_pointer, parse_stored
from distributed_config.wire.paths import MISSING, at, find

T = TypeVar("T")
Changed = Callable[[Any, Any], None]

_HELD = 30.0
_STALE_AFTER = 60.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class State:
    """One configuration, whole. It is swapped for the next one in a single assignment.

    ``version`` is None for defaults; ``source`` is ``server``, ``snapshot`` or ``defaults``.
    """

    value: Mapping[str, Any]
    version: int | None
    etag: str
    source: str
    flat: dict[str, Any] = field(default_factory=dict, repr=False)
    """Values by their dotted paths, as far as they were asked for."""


@dataclass(eq=False)
class _Listener:
    callback: Changed
    path: tuple[str, ...]


class Config(Mapping[str, Any]):
    """The current configuration of ``service``, kept up to date in the background.

    Reading takes no lock and never fails because of the server. What is read is, in this order:
    what the server says; the last good snapshot on disk; ``defaults``. The constructor waits for
    the server for at most ``deadline`` seconds, and not at all where nobody listens and there is a
    snapshot. It raises NeverLoaded if there is none of the three.

    ``url``, ``token``: as ``Client`` has them. ``snapshots``: the folder of snapshots, False for
    none. ``bind``: the type that every configuration has to fit from the very first, as with the
    method; so one that does not can never take the place of the last good snapshot. A process
    that forks goes on in both. The following ends with ``close``, or when neither the program nor
    a listener needs it any more.

    Raises Invalid or Rejected for what is wrong in the call itself, whatever the server does.
    """

    def __init__(
        self,
        service: str,
        *,
        url: str | None = None,
        token: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        deadline: float = 3.0,
        snapshots: str | Path | bool = True,
        bind: type[Any] | None = None,
        fill_defaults: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        self.service = service
        self._client = Client(url, token=token, retries=0, backoff=backoff)
        self._query = {"service": service, "version": "current"}
        if fill_defaults:
            self._query["defaults"] = "true"
        self._snapshots: Snapshots | None = None
        # What was filled in is another document.
        self._kept_as = f"{service}?defaults" if fill_defaults else service
        if snapshots is not False:
            try:
                folder = default_folder() if snapshots is True else Path(snapshots)
                self._snapshots = Snapshots(folder, same_spelling(self._client.transport.url))
            except RuntimeError as error:
                _logger.warning("there is no place for snapshots: %s", error)
        self._bounds: list[Bound[Any]] = [] if bind is None else [Bound(self, bind, None)]
        self._listeners: list[_Listener] = []
        self._news = threading.Condition()
        self._ended = threading.Event()
        self._heard_at: float | None = None
        self.problem: DistconfError | None = None
        """Why the newest attempt to load failed; None: it did not."""
        self._known = ""
        self._rejected: Rejected | None = None
        self._state = State(FrozenDict(), None, "", "nothing")
        given = self._given(defaults)  # before anything begins: they may be wrong
        self._thread = self._begin()
        self._load_first(given, deadline)
        _running.add(self)
        weakref.finalize(self, self._client.close)

    # --- reading

    def __getitem__(self, key: str) -> Any:
        return self._state.value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.value)

    def __len__(self) -> int:
        return len(self._state.value)

    def __contains__(self, key: object) -> bool:
        return key in self._state.value

    # Those of Mapping look up each key by itself, and could meet two documents.

    def keys(self) -> KeysView[str]:
        return self._state.value.keys()

    def values(self) -> ValuesView[Any]:
        return self._state.value.values()

    def items(self) -> ItemsView[str, Any]:
        return self._state.value.items()

    def get(self, path: str, default: Any = None) -> Any:
        """What is at ``path``, or ``default``: ``cfg.get("db.host", "localhost")``.

        A key that has dots in it is found too. Raises Invalid where a path could be two values.
        """
        state = self._state
        try:
            return state.flat[path]
        except (KeyError, TypeError):
            return _found(state, path, default)

    # Mappings are equal by what they hold; here each is also itself, to be kept in a set.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<Config {self.service!r} version {self.version} from {self.source}>"

    @property
    def value(self) -> Mapping[str, Any]:
        """The whole configuration, as it is now; it cannot be changed, and does not change."""
        return self._state.value

    @property
    def state(self) -> "State":
        """What is read now, with all that is known of it, as one."""
        return self._state

    @property
    def transport(self) -> Transport:
        """The way to the server."""
        return self._client.transport

    @property
    def version(self) -> int | None:
        """The version that is read now; None: defaults."""
        return self._state.version

    @property
    def source(self) -> str:
        """Where it came from: ``server``, ``snapshot`` or ``defaults``."""
        return self._state.source

    @property
    def age(self) -> float | None:
        """Seconds since the server last said that this is current; None: it never did."""
        return None if self._heard_at is None else time.monotonic() - self._heard_at

    @property
    def stale(self) -> bool:
        """Whether the server has not confirmed for a minute that this is current."""
        age = self.age
        return age is None or age > _STALE_AFTER

    # --- being told

    def on_change(self, callback: Changed, pointer: str = "") -> Callable[[], None]:
        """Calls ``callback(new, old)`` after what is at the JSON ``pointer`` has changed.

        In the background, one after the other; what is missing is None. What it raises is logged.
        Returns a function that ends it. Until then, or until ``close``, this Config goes on, also
        if nobody else holds it. Raises Invalid for what cannot be called, or is no pointer.
        """
        if not callable(callback):
            message = f"{callback!r} cannot be called; give a function of the new and the old."
            raise Invalid.from_problems([Problem("", message, "type", "callback")])
        if pointer and not pointer.startswith("/"):
            message = f"{pointer!r} is not a JSON pointer, as in /db/host."
            raise Invalid.from_problems([Problem("", message, "pointer", "pointer")])
        listener = _Listener(callback, parse_pointer(pointer))
        with self._news:
            self._listeners.append(listener)
            if not self._ended.is_set():
                _heeded.add(self)

        def end() -> None:
            with self._news:
                with suppress(ValueError):
                    self._listeners.remove(listener)
                if not self._listeners:
                    _heeded.discard(self)

        return end

    def wait_for(self, version: int, timeout: float | None = None) -> bool:
        """Waits until ``version``, or a later one, is read; False if the time is up, or closed.

        Raises RuntimeError in a listener: what it waits for comes only after it.
        """

        def there() -> bool:
            return self.version is not None and self.version >= version

        if threading.current_thread() is self._thread and not there():
            message = "A listener cannot wait for a version: it would come only afterwards."
            raise RuntimeError(message)
        with self._news:
            self._news.wait_for(lambda: there() or self._ended.is_set(), timeout)
            return there()

    def bind(self, kind: type[T]) -> "Bound[T]":
        """A view of the configuration as a ``kind``, a dataclass or a model of pydantic's.

        From here on a configuration that does not fit is not taken: the last good one stays, and
        ``problem`` says why. Raises Rejected if the present one does not fit.
        """
        while True:
            state = self._state
            for each in self._bounds:
                if each.kind is kind:
                    return each
            made = Bound(self, kind, bound(kind, state.value))
            with self._news:
                if self._state is state:  # else another one came meanwhile
                    self._bounds = [*self._bounds, made]
                    return made

    def close(self) -> None:
        """Ends the background; what was read last can still be read."""
        self._end()
        if self._thread is not threading.current_thread():
            self._thread.join(0.5)

    def _end(self) -> None:
        self._ended.set()
        self._client.close()
        _running.discard(self)
        with self._news:
            _heeded.discard(self)
            self._news.notify_all()

    def __enter__(self) -> "Config":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside

    def _load_first(self, given: "tuple[State, list[Any]] | None", deadline: float) -> None:
        """Waits for the server, and falls back on the snapshot and on the defaults."""
        latest = time.monotonic() + deadline
        with self._news:
            self._news.wait_for(lambda: self._answered() or self._is_away(), deadline)
        if self._state.version is not None:
            return
        found = self._last_good()
        if found is None:
            # Without a snapshot a server that is just starting is worth the wait.
            with self._news:
                self._news.wait_for(self._answered, max(0.0, latest - time.monotonic()))
            if self._state.version is not None:
                return
            found = given
        reason = self.problem.detail if self.problem else "The server did not answer in time."
        if found is None:
            self._end()
            raise self._never_loaded(reason)
        state, instances = found
        with self._news:
            if self._state.version is not None:
                return  # the server was faster after all
            self._put_in_place(state, instances)
        _logger.warning("%r begins from its %s: %s", self.service, state.source, reason)

    def _never_loaded(self, reason: str) -> NeverLoaded:
        error = NeverLoaded(
            f"There is no configuration of {self.service!r}: none from the server, no snapshot and "
            f"no defaults. {reason}"
        )
        error.reason = self.problem
        return error

    def _last_good(self) -> "tuple[State, list[Any]] | None":
        """The snapshot, if there is one that fits."""
        kept = self._snapshots.load(self._kept_as) if self._snapshots else None
        if kept is None:
            return None
        state = State(frozen(parse_stored(kept.text)), kept.version, "", "snapshot")
        try:
            return state, self._fitted(state.value)
        except Rejected as error:
            _logger.warning("the snapshot of %r is not taken: %s", self.service, error.detail)
            return None

    def _given(self, defaults: Mapping[str, Any] | None) -> "tuple[State, list[Any]] | None":
        """The defaults, looked at also where they are not needed: an outage is no time for faults.

        Raises Invalid if they are no mapping, and Rejected if they do not fit what is bound.
        """
        if defaults is None:
            return None
        if not isinstance(defaults, Mapping):
            message = 'It must be a mapping, as in {"port": 80}.'
            raise Invalid.from_problems([Problem("", message, "type", "defaults")])
        state = State(frozen(dict(defaults)), None, "", "defaults")
        return state, self._fitted(state.value)

    def _fitted(self, value: Any) -> list[Any]:
        """``value`` as each binding wants it."""
        return [bound(each.kind, value) for each in self._bounds]

    def _put_in_place(self, state: State, instances: list[Any]) -> None:
        self._state = state
        for each, instance in zip(self._bounds, instances, strict=True):
            each.value = instance

    def _answered(self) -> bool:
        """Whether the server answered, also if it has nothing to give."""
        passing = isinstance(self.problem, Unreachable | Unavailable)
        return self._heard_at is not None or (self.problem is not None and not passing)

    def _is_away(self) -> bool:
        """Whether nobody listens where the server should be."""
        return isinstance(self.problem, Unreachable) and self.problem.at_once

    def _begin(self) -> threading.Thread:
        thread = threading.Thread(
            target=_run, args=(weakref.ref(self),), name=f"config {self.service}", daemon=True
        )
        thread.start()
        return thread

    def _begin_again(self) -> None:
        """In the child of a fork: threads and connections stayed with the parent."""
        if self._ended.is_set():
            return
        self._news = threading.Condition()
        self._known = self._state.etag
        transport = self._client.transport
        self._client = Client(
            transport.url, token=transport.token, retries=0, backoff=transport.backoff
        )
        self._thread = self._begin()

    def _ask(self) -> None:
        """Asks once; the server holds the question for as long as what is known is current."""
        headers = {}
        if self._known:
            headers["If-None-Match"] = self._known
        if self._known and self.problem is self._rejected:
            # After a failure one wants to know at once whether it has passed.
            headers["Prefer"] = f"wait={_HELD:.0f}"
        request = Request("GET", "/config", self._query, headers, timeout=_HELD + 10)
        if "Prefer" not in headers:
            request.timeout = 5.0
        answer = self._client.transport.ask(request)
        if answer.status == 304:
            self._heard()
            return
        answer.json()  # what is no object came from something else
        version = answer.number("config-version")
        etag = answer.headers.get("etag", "")
        self._rejected = None
        try:
            self._take(answer.body.decode(), version, etag)
        except Rejected as error:
            self._rejected = error
            self._known = etag  # what is waited for is another one
            raise
        finally:
            if self._rejected is None:  # what failed in some other way is asked for again
                self._known = self._state.etag

    def _take(self, text: str, version: int, etag: str) -> None:
        """Makes a document that came the current one, if every binding takes it."""
        value = frozen(parse_stored(text))
        taken = False
        while not taken:
            bounds = self._bounds
            instances = self._fitted(value)
            with self._news:
                taken = self._bounds is bounds  # else another one was added meanwhile
                if taken:
                    old, before = self._state.value, self._state.source
                    self._put_in_place(State(value, version, etag, "server"), instances)
        self._heard()
        try:
            if self._snapshots is not None:
                self._snapshots.save(self._kept_as, Snapshot(version, etag, text))
        finally:  # it is the current one, whatever becomes of its copy
            if before != "nothing":
                self._tell(old)

    def _heard(self) -> None:
        with self._news:
            self.problem = self._rejected
            if self._rejected is None:  # else what is read is not what the server has
                self._heard_at = time.monotonic()
            self._news.notify_all()

    def _failed(self, error: DistconfError) -> None:
        with self._news:
            self.problem = error
            self._news.notify_all()

    def _tell(self, old: Mapping[str, Any]) -> None:
        new = self._state.value
        for listener in list(self._listeners):
            before, after = at(old, listener.path), at(new, listener.path)
            if _same(before, after) or listener not in self._listeners:
                continue
            try:
                listener.callback(
                    None if after is MISSING else after, None if before is MISSING else before
                )
            except BaseException:  # the application's own, also an exit; the others are told
                _logger.exception("a listener to %r failed", self.service)


class Bound(Generic[T]):
    """The configuration as a type of the application's own: ``bound.value`` is current."""

    def __init__(self, config: Config, kind: type[T], value: T) -> None:
        self.config = config
        self.kind = kind
        self.value = value


def _run(reference: "weakref.ref[Config]") -> None:
    """The background of one Config; it ends when nobody holds that any more."""
    failures = 0
    while True:
        config = reference()
        if config is None or config._ended.is_set():
            return
        try:
            config._ask()
            if failures:
                _logger.info("%r: the server answers again", config.service)
            failures, pause = 0, 0.0
        except Rejected as error:
            failures, pause = 0, 0.0
            config._failed(error)
            _logger.warning("%r: what came is not taken: %s", config.service, error.detail)
        except DistconfError as error:
            if config.transport.closed:  # as at the end of the program
                return
            failures += 1
            config._failed(error)
            if failures == 1 and config.source != "nothing":
                _logger.warning("%r stays as it is: %s", config.service, error.detail)
            pause = error.retry_after + config._client.transport.backoff.seconds(failures)
        except Exception as error:  # whatever it is, reading goes on
            failures += 1
            _logger.exception("%r could not be loaded", config.service)
            config._failed(Unreachable(f"It could not be loaded: {error}"))
            pause = config._client.transport.backoff.seconds(failures)
        ended = config._ended
        del config
        if ended.wait(pause):
            return


def _found(state: State, path: Any, default: Any) -> Any:
    """What a state has at a path; kept with it, to be found at once the next time."""
    if not isinstance(path, str):
        return default
    value = find(state.value, path)
    if value is MISSING:
        return default
    state.flat[path] = value
    return value


def _same(one: Any, other: Any) -> bool:
    """Whether both are the same in JSON; 1, 1.0 and true are not."""
    if one is MISSING or other is MISSING:
        return one is other
    try:
        # Defaults may hold what JSON does not know; their own words tell those apart.
        return json.dumps(one, sort_keys=True, default=repr) == json.dumps(
            other, sort_keys=True, default=repr
        )
    except (TypeError, ValueError, RecursionError):
        return False  # told once too often is better than not at all


_running: "weakref.WeakSet[Config]" = weakref.WeakSet()
_heeded: set[Config] = set()
"""Those that have listeners; they are held here, because the program may have nothing of them."""


def _after_fork() -> None:
    for config in list(_running):
        try:
            config._begin_again()
        except Exception as error:  # whatever it is, the others go on
            config._failed(Unreachable(f"It is not followed in this process: {error}"))


os.register_at_fork(after_in_child=_after_fork)
