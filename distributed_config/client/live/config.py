"""``Config``: a live view of one service, which needs no server to start or to run.

One file: the first load, the background and the bindings change one state under one lock.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from distributed_config.client.client import Client
from distributed_config.client.http.backoff import Backoff
from distributed_config.client.http.connection import Connector
from distributed_config.client.http.messages import Request
from distributed_config.client.http.queries import document_query, series_query
from distributed_config.client.http.transport import Transport
from distributed_config.client.live import background
from distributed_config.client.live.binding import bind as bind_value
from distributed_config.client.live.frozen import FrozenDict, freeze
from distributed_config.client.live.listeners import Callback, Listeners, make_listener
from distributed_config.client.live.snapshots import Snapshot, name_snapshot, open_snapshots
from distributed_config.client.live.state import State, state_from
from distributed_config.client.live.view import View
from distributed_config.errors import (
    DistconfError,
    Invalid,
    NeverLoaded,
    Problem,
    Rejected,
    Unavailable,
    Unreachable,
)
from distributed_config.wire import parse_stored

T = TypeVar("T")

# Long enough that idle clients cost little, and short enough for proxies that end idle requests.
_LONG_POLL = 30.0
# For the response after the server has held the request for that long.
_LONG_POLL_MARGIN = 10.0
# Of a request that the server answers at once.
_PLAIN_TIMEOUT = 5.0
_STALE_AFTER = 60.0

_logger = logging.getLogger(__name__)


class Config(View):
    """The current configuration of ``service``, kept up to date in the background.

    Reading takes no lock and never fails because of the server. The configuration is, in this
    order: the server's; the last good snapshot on disk; ``defaults``. The constructor waits for
    the server for at most ``deadline`` seconds, and not at all where nobody listens and there is a
    snapshot. It raises NeverLoaded if there is none of the three.

    ``url``, ``token``, ``environment``, ``backoff`` and ``transport`` are those of ``Client``. The
    document is the resolved one, with all layers merged, and follows each of them; with
    ``resolved=False`` it is that of the one series, as it is stored. ``snapshots`` is the folder of
    snapshots, True for the default one, False for none; with a ``transport`` True is none.
    ``bind`` is a type that every configuration has to fit from the very first, as with the method
    of that name; so one that does not fit can never replace the last good snapshot.
    ``fill_defaults`` fills in the defaults of the service's definition.

    After a fork the parent and the child both follow the server. Following ends with ``close``, or
    when neither the program nor a listener refers to the Config any more.

    Raises Invalid or Rejected for mistakes in the call itself, whatever the server does.
    """

    def __init__(
        self,
        service: str,
        *,
        url: str | None = None,
        token: str | None = None,
        environment: str | None = None,
        resolved: bool = True,
        defaults: Mapping[str, Any] | None = None,
        deadline: float = 3.0,
        snapshots: str | Path | bool = True,
        bind: type[Any] | None = None,
        fill_defaults: bool = False,
        backoff: Backoff | None = None,
        transport: Connector | None = None,
    ) -> None:
        self.service = service
        # No retries: the background has a backoff of its own, which the application can see.
        self._client = Client(
            url,
            token=token,
            environment=environment,
            retries=0,
            backoff=backoff,
            transport=transport,
        )
        series = series_query(service, self.environment)
        self._query = document_query(series, defaults=fill_defaults, resolved=resolved)
        self._snapshot_key = name_snapshot(service, self.environment, resolved, fill_defaults)
        # Applications in this process all have one address, and are not to share snapshots.
        folder = snapshots if transport is None or snapshots is not True else False
        self._snapshots = open_snapshots(folder, self._client.transport.url)
        self._bindings: list[Bound[Any]] = [] if bind is None else [Bound(self, bind, None)]
        self._listeners = Listeners(service)
        self._condition = threading.Condition()
        self._wakers: list[Callable[[], None]] = []
        self._closed = threading.Event()
        self._confirmed_at: float | None = None
        self.problem: DistconfError | None = None
        """The reason why the latest attempt to load failed; None if it did not."""
        self._etag = ""
        """The entity tag of the document that the server need not send again."""
        self._rejected: Rejected | None = None
        self._state = State(FrozenDict(), None, "", "nothing")
        fallback = self._check_defaults(defaults)  # before the thread starts: they may be wrong
        self._thread = background.start_thread(self)
        self._load_first(fallback, deadline)
        background.register(self)
        weakref.finalize(self, self._client.close)

    @property
    def environment(self) -> str:
        """The environment that it is read in."""
        return self._client.environment

    @property
    def transport(self) -> Transport:
        """The connection to the server."""
        return self._client.transport

    @property
    def age(self) -> float | None:
        """Seconds since the server last confirmed the configuration; None if it never did."""
        return None if self._confirmed_at is None else time.monotonic() - self._confirmed_at

    @property
    def stale(self) -> bool:
        """Whether the server has not confirmed the configuration for a minute."""
        age = self.age
        return age is None or age > _STALE_AFTER

    @property
    def closed(self) -> bool:
        """Whether it was closed; it follows nothing any more then."""
        return self._closed.is_set()

    # --- changes

    def on_change(self, callback: Callback, pointer: str = "") -> Callable[[], None]:
        """Call ``callback(new, old)`` after the value at the JSON ``pointer`` has changed.

        Calls come from the background thread, one after the other; None stands for a missing
        value. Exceptions are logged. Returns a function that ends it. Until then, or until
        ``close``, this Config goes on, also if nobody else refers to it. Raises Invalid for a
        callback that cannot be called, or a pointer that is none.
        """
        listener = make_listener(callback, pointer)
        with self._condition:
            self._listeners.add(listener)
            if not self._closed.is_set():
                background.hold(self)

        def end() -> None:
            with self._condition:
                self._listeners.remove(listener)
                if not self._listeners:
                    background.release(self)

        return end

    def wake_on_news(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` after each response and failure, and at the end; it must not block."""
        with self._condition:
            self._wakers.append(wake)

    def wait_for(self, version: int, timeout: float | None = None) -> bool:
        """Wait until ``version`` or a later one is current.

        Returns False if ``timeout`` seconds are over, or the Config was closed. Raises
        RuntimeError in a listener, where the version could never arrive.
        """

        def is_there() -> bool:
            return self.version is not None and self.version >= version

        # Listeners run in the thread that loads: one that waits would wait for itself.
        if threading.current_thread() is self._thread and not is_there():
            message = "A listener cannot wait for a version, which would be loaded only after it."
            raise RuntimeError(message)
        with self._condition:
            self._condition.wait_for(lambda: is_there() or self._closed.is_set(), timeout)
            return is_there()

    def bind(self, kind: type[T]) -> "Bound[T]":
        """Return a view of the configuration as a ``kind``, a dataclass or a pydantic model.

        From now on a configuration that does not fit is rejected: the last good one stays, and
        ``problem`` says why. Raises Rejected if the present one does not fit.
        """
        while True:
            state = self._state
            for binding in self._bindings:
                if binding.kind is kind:
                    return binding
            # Outside the lock: the application's own code runs here, and may take its time.
            bound = Bound(self, kind, bind_value(kind, state.value))
            with self._condition:
                # If another document came meanwhile, it was not checked against this binding.
                if self._state is state:
                    self._bindings = [*self._bindings, bound]
                    return bound

    def close(self) -> None:
        """End the background; the last configuration can still be read."""
        self._end()
        # A listener may close its own Config, and a thread cannot join itself.
        if self._thread is not threading.current_thread():
            self._thread.join(0.5)

    def __enter__(self) -> "Config":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self) -> None:
        self._closed.set()
        self._client.close()
        with self._condition:
            background.unregister(self)
            self._wake_all()

    def _wake_all(self) -> None:
        """Wake whoever waits for news; with the lock held."""
        self._condition.notify_all()
        for wake in self._wakers:
            wake()

    # --- the first load

    def _load_first(self, fallback: "tuple[State, list[Any]] | None", deadline: float) -> None:
        """Wait for the server, and fall back on the snapshot and on the defaults."""
        latest = time.monotonic() + deadline
        with self._condition:
            self._condition.wait_for(lambda: self._has_answer() or self._is_away(), deadline)
        if self._state.version is not None:
            return
        chosen = self._load_snapshot()
        if chosen is None:
            # Without a snapshot, a server that is only starting is worth the wait.
            with self._condition:
                self._condition.wait_for(self._has_answer, max(0.0, latest - time.monotonic()))
            if self._state.version is not None:
                return
            chosen = fallback
        reason = self.problem.detail if self.problem else "The server did not answer in time."
        if chosen is None:
            self._end()
            raise self._never_loaded(reason)
        state, instances = chosen
        with self._condition:
            # The server may have answered while the snapshot was read.
            if self._state.version is not None:
                return
            self._swap(state, instances)
        _logger.warning("%r starts from its %s: %s", self.service, state.source, reason)

    def _never_loaded(self, reason: str) -> NeverLoaded:
        error = NeverLoaded(
            f"There is no configuration of {self.service!r}: none from the server, no snapshot and "
            f"no defaults. {reason}"
        )
        error.reason = self.problem
        return error

    def _load_snapshot(self) -> "tuple[State, list[Any]] | None":
        """Return the snapshot with its bindings, if there is one that fits."""
        snapshot = self._snapshots.load(self._snapshot_key) if self._snapshots else None
        if snapshot is None:
            return None
        # Without its entity tag: the first response is to confirm the whole document.
        state = State(freeze(parse_stored(snapshot.text)), snapshot.version, "", "snapshot")
        try:
            return state, self._bind_all(state.value)
        except Rejected as error:
            _logger.warning("the snapshot of %r is rejected: %s", self.service, error.detail)
            return None

    def _check_defaults(
        self, defaults: Mapping[str, Any] | None
    ) -> "tuple[State, list[Any]] | None":
        """Return the defaults with their bindings.

        They are checked also where the server answers: mistakes in them should not first show
        during an outage. Raises Invalid if they are no mapping, and Rejected if they do not fit
        the bindings.
        """
        if defaults is None:
            return None
        if not isinstance(defaults, Mapping):
            message = 'It must be a mapping, as in {"port": 80}.'
            raise Invalid.from_problems([Problem("", message, "type", "defaults")])
        state = State(freeze(dict(defaults)), None, "", "defaults")
        return state, self._bind_all(state.value)

    def _has_answer(self) -> bool:
        """Whether the server answered, also if it has nothing for this service."""
        is_passing = isinstance(self.problem, Unreachable | Unavailable)
        return self._confirmed_at is not None or (self.problem is not None and not is_passing)

    def _is_away(self) -> bool:
        """Whether nobody listens at the server's address."""
        return isinstance(self.problem, Unreachable) and self.problem.at_once

    # --- the background

    def _poll(self) -> None:
        """Request the document; the server holds the request while its entity tag is current.

        Raises DistconfError if there is no response, or the document is rejected.
        """
        response = self._client.transport.send(self._next_request())
        if response.status == 304:
            self._mark_fresh()
            return
        response.json()  # raises Unreachable unless it is an object, as a server's document is
        state = state_from(response)
        self._rejected = None
        try:
            self._apply(state, response.body.decode())
        except Rejected as error:
            self._rejected = error
            # The same document would be rejected again: wait for another one.
            self._etag = state.etag
            raise
        finally:
            # A document that failed in any other way, as on a full disk, is requested again.
            if self._rejected is None:
                self._etag = self._state.etag

    def _next_request(self) -> Request:
        headers = {"If-None-Match": self._etag} if self._etag else {}
        timeout = _PLAIN_TIMEOUT
        # After a failure the application wants to see at once that it has passed, so the server
        # does not hold that request.
        if self._etag and self.problem is self._rejected:
            headers["Prefer"] = f"wait={_LONG_POLL:.0f}"
            timeout = _LONG_POLL + _LONG_POLL_MARGIN
        return Request("GET", "/config", self._query, headers, timeout=timeout)

    def _apply(self, state: State, text: str) -> None:
        """Make a state the current one, if it fits every binding. Raises Rejected if not."""
        is_applied = False
        while not is_applied:
            bindings = self._bindings
            instances = self._bind_all(state.value)
            with self._condition:
                # A binding that was added meanwhile has not seen this document: try again.
                is_applied = self._bindings is bindings
                if is_applied:
                    old, old_source = self._state.value, self._state.source
                    self._swap(state, instances)
        self._mark_fresh()
        try:
            if self._snapshots is not None:
                assert state.version is not None  # the server's always has one
                self._snapshots.save(self._snapshot_key, Snapshot(state.version, state.etag, text))
        finally:  # the document is current, whatever happens to its copy
            if old_source != "nothing":
                self._listeners.notify(old, self._state.value)

    def _bind_all(self, value: Any) -> list[Any]:
        """Return ``value`` as an instance for each binding. Raises Rejected if it does not fit."""
        return [bind_value(binding.kind, value) for binding in self._bindings]

    def _swap(self, state: State, instances: list[Any]) -> None:
        self._state = state
        for binding, instance in zip(self._bindings, instances, strict=True):
            binding.value = instance

    def _mark_fresh(self) -> None:
        with self._condition:
            self.problem = self._rejected
            # While a document is rejected, the one that is read is not the server's.
            if self._rejected is None:
                self._confirmed_at = time.monotonic()
            self._wake_all()

    def _record_failure(self, error: DistconfError) -> None:
        with self._condition:
            self.problem = error
            self._wake_all()

    def _restart_in_child(self) -> None:
        """Start again in the child of a fork: threads and connections stayed with the parent."""
        if self._closed.is_set():
            return
        # A thread of the parent may have held the lock at the fork, and nobody here would free it.
        self._condition = threading.Condition()
        self._etag = self._state.etag
        self._client = self._client.twin()
        self._thread = background.start_thread(self)


class Bound(Generic[T]):
    """The configuration as a type of the application's own: ``bound.value`` is current.

    ``config`` is the Config that it follows, and ``kind`` the type.
    """

    def __init__(self, config: Config, kind: type[T], value: T) -> None:
        self.config = config
        self.kind = kind
        self.value = value
