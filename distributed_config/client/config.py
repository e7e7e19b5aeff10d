"""``Config``: a live view of one service, which needs no server to start or to run."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from distributed_config.client.binding import bound
from distributed_config.client.client import Client
from distributed_config.client.frozen import frozen
from distributed_config.client.snapshots import Snapshot, Snapshots, default_folder
from distributed_config.client.transport import Backoff, Request, Transport
from distributed_config.errors import DistconfError, NeverLoaded, Rejected, Unreachable
from distributed_config.wire import parse_stored

T = TypeVar("T")
Changed = Callable[[Any, Any], None]

_MISSING = object()
_HELD = 30.0
_STALE_AFTER = 60.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """One configuration, whole. It is swapped for the next one in a single assignment.

    ``version`` is None for defaults; ``source`` is ``server``, ``snapshot`` or ``defaults``.
    """

    value: Mapping[str, Any]
    version: int | None
    etag: str
    source: str


@dataclass
class _Listener:
    callback: Changed
    path: tuple[str, ...]


class Config(Mapping[str, Any]):
    """The current configuration of ``service``, kept up to date in the background.

    Reading takes no lock and never fails because of the server. What is read is, in this order:
    what the server says; the last good snapshot on disk; ``defaults``. The constructor waits for
    the server for at most ``deadline`` seconds and raises NeverLoaded if there is none of the
    three.

    ``url``, ``token``: as ``Client`` has them. ``snapshots``: the folder of snapshots, False for
    none. A process that forks goes on in both.
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
        fill_defaults: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        self.service = service
        self._make_client = partial(Client, url, token=token, retries=0, backoff=backoff)
        self._client = self._make_client()
        self._query = {"service": service, "version": "current"}
        if fill_defaults:
            self._query["defaults"] = "true"
        self._snapshots: Snapshots | None = None
        if snapshots is not False:
            folder = default_folder() if snapshots is True else Path(snapshots)
            self._snapshots = Snapshots(folder, self._client.transport.url)
        self._bounds: list[Bound[Any]] = []
        self._listeners: list[_Listener] = []
        self._news = threading.Condition()
        self._ended = threading.Event()
        self._heard_at: float | None = None
        self.problem: DistconfError | None = None
        """Why the newest attempt to load failed; None: it did not."""
        self._known = ""
        self._flat: dict[str, Any] = {}
        self._value: Mapping[str, Any] = {}
        self._state = State({}, None, "", "nothing")
        self._thread = self._begin()
        self._load_first(defaults, deadline)
        _running.add(self)

    # --- reading

    def __getitem__(self, key: str) -> Any:
        return self._value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def get(self, path: str, default: Any = None) -> Any:
        """What is at the dotted ``path``, or ``default``: ``cfg.get("db.host", "localhost")``."""
        try:
            return self._flat[path]
        except KeyError:
            return self._found(path, default)

    # Mappings are equal by what they hold; here each is also itself, to be kept in a set.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<Config {self.service!r} version {self.version} from {self.source}>"

    @property
    def value(self) -> Mapping[str, Any]:
        """The whole configuration, as it is now; it cannot be changed, and does not change."""
        return self._value

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
        Returns a function that ends it.
        """
        tokens = tuple(
            token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]
        )
        listener = _Listener(callback, tokens)
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def wait_for(self, version: int, timeout: float | None = None) -> bool:
        """Waits until ``version``, or a later one, is read; False when the time is up."""
        with self._news:
            return self._news.wait_for(lambda: (self.version or -1) >= version, timeout)

    def bind(self, kind: type[T]) -> "Bound[T]":
        """A view of the configuration as a ``kind``, a dataclass or a model of pydantic's.

        From here on a configuration that does not fit is not taken: the last good one stays, and
        ``problem`` says why. Raises Rejected if the present one does not fit.
        """
        made = Bound(self, kind, bound(kind, self._value))
        self._bounds.append(made)
        return made

    def close(self) -> None:
        """Ends the background; what was read last can still be read."""
        self._ended.set()
        self._client.close()
        _running.discard(self)
        if self._thread is not threading.current_thread():
            self._thread.join(5)

    def __enter__(self) -> "Config":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside

    def _found(self, path: str, default: Any) -> Any:
        value: Any = self._value
        flat = self._flat
        for key in path.split("."):
            try:
                value = value[key]
            except (KeyError, TypeError, IndexError):
                return default
        flat[path] = value
        return value

    def _load_first(self, defaults: Mapping[str, Any] | None, deadline: float) -> None:
        """Waits for the server, and falls back on the snapshot and on the defaults."""
        with self._news:
            self._news.wait_for(lambda: self._heard_at is not None or self._refused(), deadline)
        if self._state.version is not None:
            return
        kept = self._snapshots.load(self.service) if self._snapshots else None
        with self._news:
            if self._state.version is not None:
                return  # the server was faster after all
            if kept is not None:
                self._swap(parse_stored(kept.text), kept.version, "", "snapshot")
            elif defaults is not None:
                self._swap(dict(defaults), None, "", "defaults")
        if self._state.source == "nothing":
            self.close()
            reason = self.problem.detail if self.problem else "The server did not answer in time."
            raise NeverLoaded(
                f"There is no configuration of {self.service!r}: no server, no snapshot and no "
                f"defaults. {reason}"
            )

    def _refused(self) -> bool:
        """Whether the server answered, and has nothing to give."""
        return self.problem is not None and not isinstance(self.problem, Unreachable)

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
        self._client = self._make_client()
        self._news = threading.Condition()
        self._thread = self._begin()

    def _ask(self) -> None:
        """Asks once; the server holds the question for as long as what is known is current."""
        headers = {}
        if self._known:
            headers = {"If-None-Match": self._known, "Prefer": f"wait={_HELD:.0f}"}
        request = Request("GET", "/config", self._query, headers, timeout=_HELD + 10)
        if self._heard_at is None:
            request.timeout = 5.0
        answer = self._client.transport.ask(request)
        if answer.status == 304:
            self._heard()
            return
        version = int(answer.headers["config-version"])
        # Also where it is not taken: what is waited for then is another one.
        self._known = answer.headers.get("etag", "")
        self._take(answer.body.decode(), version, self._known)

    def _take(self, text: str, version: int, etag: str) -> None:
        """Makes a document that came the current one, if every binding takes it."""
        value = frozen(parse_stored(text))
        made = [(each, bound(each.kind, value)) for each in self._bounds]
        with self._news:
            old, before = self._value, self._state.source
            self._swap(value, version, etag, "server")
            for each, instance in made:
                each.value = instance
        self._heard()
        if self._snapshots is not None:
            self._snapshots.save(self.service, Snapshot(version, etag, text))
        if before != "nothing":
            self._tell(old)

    def _swap(self, value: Any, version: int | None, etag: str, source: str) -> None:
        self._state = State(frozen(value), version, etag, source)
        self._value = self._state.value
        self._flat = {}

    def _heard(self) -> None:
        with self._news:
            self._heard_at = time.monotonic()
            self.problem = None
            self._news.notify_all()

    def _failed(self, error: DistconfError) -> None:
        with self._news:
            self.problem = error
            self._news.notify_all()

    def _tell(self, old: Mapping[str, Any]) -> None:
        for listener in list(self._listeners):
            before, after = _at(old, listener.path), _at(self._value, listener.path)
            if before == after:
                continue
            try:
                listener.callback(
                    None if after is _MISSING else after, None if before is _MISSING else before
                )
            except Exception:  # the application's own; the next listener is told nevertheless
                _logger.exception("a listener to %s failed", self.service)


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
            failures, pause = 0, 0.0
        except Rejected as error:
            failures, pause = 0, 0.0
            config._failed(error)
            _logger.warning("%s: what came is not taken: %s", config.service, error.detail)
        except DistconfError as error:
            failures += 1
            config._failed(error)
            pause = config._client.transport.backoff.seconds(failures)
        except Exception as error:  # whatever it is, reading goes on
            failures += 1
            _logger.exception("%s could not be loaded", config.service)
            config._failed(Unreachable(f"It could not be loaded: {error}"))
            pause = config._client.transport.backoff.seconds(failures)
        ended = config._ended
        del config
        if ended.wait(pause):
            return


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


_running: "weakref.WeakSet[Config]" = weakref.WeakSet()


def _after_fork() -> None:
    for config in list(_running):
        config._begin_again()


os.register_at_fork(after_in_child=_after_fork)
