"""Rate limits: budgets of reads, of writes and of attempts to log in.

Reads and writes are charged to the actor; without valid credentials, to the address. Where access
is open nothing is limited. What is charged where, and what a refusal costs:
docs/decisions/0017-limits.md.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from distributed_config.errors import Forbidden, TooManyRequests, Unauthenticated
from distributed_config.http.request import exchange_of_request
from distributed_config.live.exchange import QuotaSource
from distributed_config.services.access.token_format import token_digest
from distributed_config.settings import PREFIX, Settings
from distributed_config.wire.addresses import network_of

T = TypeVar("T")

_EXTENSION = "distributed_config.limits"
_READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_UNLIMITED = frozenset({"health"})  # blueprints; no flood may make a probe fail
_LARGEST_LEASE = 50
_LEASE_SHARE = 20  # a lease is at most a twentieth of the budget, because it may go unused
_ADDRESS_FACTOR = 10
_MOST_CACHED = 10_000
_RETRY_STORAGE = 1.0
_WARN_EVERY = 60.0
_STORAGE_SECONDS = 0.5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """How many requests are allowed in which time. ``name`` is what the headers call it."""

    name: str
    setting: str
    item: RateLimitItem

    @property
    def policy(self) -> str:
        """The value of the header RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.name}";q={self.item.amount};w={self.item.get_expiry()}'

    def times(self, factor: int) -> "Budget":
        """Return a budget that is ``factor`` times as large."""
        item = type(self.item)(self.item.amount * factor, self.item.multiples)
        return Budget(self.name, self.setting, item)

    def refusal(self, seconds: int) -> TooManyRequests:
        """Return the error to raise when nothing is left of it for ``seconds``."""
        return TooManyRequests(self.setting, str(self.item), seconds)


class RateLimits:
    """The budgets of one process, or of all processes that share a storage.

    While the storage is down nothing is refused, and the log says so. ``clock`` counts seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.reads = _budget("reads", settings.limit_reads)
        self.writes = _budget("writes", settings.limit_writes)
        self.logins = _budget("logins", settings.limit_logins)
        self._clock = clock
        self._is_remote = settings.limit_storage != ""
        self._limiter = SlidingWindowCounterRateLimiter(_storage(settings.limit_storage))
        # The storage in memory reads and increments in two steps: without a lock two threads at
        # the same count could take the same request from it. Redis does it in one script.
        self._lock: AbstractContextManager[object] = (
            nullcontext() if self._is_remote else threading.Lock()
        )
        self._down_until = 0.0
        self._warned_at = -_WARN_EVERY
        self._refused_until: dict[tuple[str, str], float] = {}
        self._refused_lock = threading.Lock()

    @property
    def quota_source(self) -> QuotaSource | None:
        """Where the gateway leases reads; None if reads are not limited."""
        if self.reads is None:
            return None
        return QuotaSource(self._lend, self.reads.item.get_expiry(), self._is_remote)

    def consume(self, budget: Budget, *key: str) -> None:
        """Take one request from the budget of ``key``. Raises TooManyRequests if none is left."""
        g.limit_policy = budget.policy
        if self._take(budget, key, 1):
            return
        raise _refuse(budget, self._seconds_until_more(budget, key))

    def cache_refusal(self, budget: Budget, secret: str, refusal: TooManyRequests) -> None:
        """Cache that the token ``secret`` was refused, for as long as a retry is useless."""
        with self._refused_lock:
            key = (budget.name, token_digest(secret))
            self._refused_until[key] = self._clock() + refusal.retry_after
            while len(self._refused_until) > _MOST_CACHED:
                del self._refused_until[next(iter(self._refused_until))]

    def check_cached_refusal(self, budget: Budget, secret: str) -> None:
        """Raise TooManyRequests if ``secret`` was refused, and has not waited as it should.

        A client that floods costs no look at the database this way.
        """
        if not self._refused_until or not secret:
            return
        key = (budget.name, token_digest(secret))
        left = self._refused_until.get(key, 0.0) - self._clock()
        if left > 0:
            g.limit_policy = budget.policy
            raise _refuse(budget, int(left) + 1)
        with self._refused_lock:
            self._refused_until.pop(key, None)

    def _lend(self, quota_key: str) -> int:
        assert self.reads is not None  # there is no quota source otherwise
        block = max(1, min(_LARGEST_LEASE, self.reads.item.amount // _LEASE_SHARE))
        return block if self._take(self.reads, (quota_key,), block) else 0

    def _take(self, budget: Budget, key: tuple[str, ...], cost: int) -> bool:
        def hit() -> bool:
            with self._lock:
                return self._limiter.hit(budget.item, budget.name, *key, cost=cost)

        return self._query_storage(hit, True)

    def _seconds_until_more(self, budget: Budget, key: tuple[str, ...]) -> int:
        def reset_time() -> float:
            return self._limiter.get_window_stats(budget.item, budget.name, *key).reset_time

        # Whole seconds for Retry-After, rounded up: a client that comes too early is refused.
        return max(0, int(self._query_storage(reset_time, 0.0) - time.time())) + 1

    def _query_storage(self, query: Callable[[], T], default: T) -> T:
        """Return the result of ``query``; ``default`` while the storage is down."""
        if self._down_until:
            if self._clock() < self._down_until:
                return default
            # This thread tries whether it is back; moving the time on keeps all others from it.
            self._down_until = self._clock() + _RETRY_STORAGE
        try:
            result = query()
        except StorageError as error:
            self._storage_down(error)
            return default
        self._down_until = 0.0
        return result

    def _storage_down(self, error: StorageError) -> None:
        now = self._clock()
        self._down_until = now + _RETRY_STORAGE
        if now - self._warned_at >= _WARN_EVERY:
            self._warned_at = now
            # The type alone: the message of a Redis client may have the password of the URL.
            _logger.warning(
                "the storage of the limits (DISTCONF_LIMIT_STORAGE) does not answer; nothing is "
                "limited meanwhile: %s",
                type(error.storage_error).__name__,
            )


def _refuse(budget: Budget, seconds: int) -> TooManyRequests:
    g.limit_left = f'"{budget.name}";r=0;t={seconds}'
    return budget.refusal(seconds)


def init_rate_limits(app: Flask, settings: Settings) -> None:
    """Give ``app`` its budgets; none where access is open, because all are one actor there."""
    is_limited = settings.limit_reads or settings.limit_writes or settings.limit_logins
    if settings.is_open or not is_limited:
        return
    app.extensions[_EXTENSION] = RateLimits(settings)

    @app.after_request
    def _add_headers(response: Response) -> Response:
        if "limit_policy" in g:
            response.headers["RateLimit-Policy"] = g.limit_policy
        if "limit_left" in g:
            response.headers["RateLimit"] = g.limit_left
            # Set here too, because dialects render errors in a form of their own.
            response.headers["Retry-After"] = g.limit_left.rpartition("=")[2]
        return response


def quota_source_of(app: Flask) -> QuotaSource | None:
    """Return where the gateway of ``app`` leases reads; None if reads are not limited."""
    limits: RateLimits | None = app.extensions.get(_EXTENSION)
    return None if limits is None else limits.quota_source


def limit_request(secret: str, identify: Callable[[], str]) -> None:
    """Charge the request to the actor whose key ``identify`` returns for the token ``secret``.

    With invalid credentials it is charged to the address. Raises what ``identify`` raises, or
    TooManyRequests.
    """
    charged = _charged_budget()
    if charged is None:
        identify()
        return
    limits, budget = charged
    exchange = exchange_of_request()
    if exchange.is_repeat:
        key = identify()
    else:
        limits.check_cached_refusal(budget, secret)
        try:
            key = _identify(limits, budget, identify)
            limits.consume(budget, key)
        except TooManyRequests as refusal:
            limits.cache_refusal(budget, secret, refusal)
            raise
    if budget is limits.reads:
        exchange.quota_key = key


def limit_anonymous() -> None:
    """Charge a request that needs no credentials to its address. Raises TooManyRequests."""
    charged = None if request.blueprint in _UNLIMITED else _charged_budget()
    if charged is not None and not exchange_of_request().is_repeat:
        limits, budget = charged
        limits.consume(budget, "address", network_of(request.remote_addr or ""))


def limit_login(address: str, name: str) -> None:
    """Charge an attempt to log in as ``name`` from ``address``. Raises TooManyRequests.

    Address and name together have a budget, so that nobody can lock out a user who is elsewhere;
    and the address has a larger one over all names, against guessing many of them.
    """
    limit_login_of_unknown(address)
    limits = _current()
    if limits is not None and limits.logins is not None:
        key = (network_of(address), token_digest(name.strip().casefold()))
        limits.consume(limits.logins, "name", *key)


def limit_login_of_unknown(address: str) -> None:
    """Charge an attempt to log in from ``address`` whose name is not known yet.

    It has the larger budget of the address alone. Raises TooManyRequests.
    """
    limits = _current()
    if limits is not None and limits.logins is not None:
        limits.consume(limits.logins.times(_ADDRESS_FACTOR), "address", network_of(address))


def _identify(limits: RateLimits, budget: Budget, identify: Callable[[], str]) -> str:
    try:
        return identify()
    except (Unauthenticated, Forbidden):
        # A budget of its own: somebody who guesses must not use up what anonymous clients of the
        # same address may read.
        limits.consume(budget, "failed", network_of(request.remote_addr or ""))
        raise


def _charged_budget() -> tuple[RateLimits, Budget] | None:
    """Return the budget of the current request; None if it is not limited."""
    limits = _current()
    if limits is None:
        return None
    budget = limits.reads if request.method in _READ_METHODS else limits.writes
    return None if budget is None else (limits, budget)


def _current() -> RateLimits | None:
    limits: RateLimits | None = current_app.extensions.get(_EXTENSION)
    return limits


def _budget(name: str, text: str) -> Budget | None:
    if not text:
        return None
    return Budget(name, f"{PREFIX}LIMIT_{name.upper()}", parse(text))


def _storage(url: str) -> Storage:
    options: dict[str, float | str | bool] = {"wrap_exceptions": True}
    if url:
        # Short timeouts: a request waits for this, and is let through when it fails.
        options |= {
            "key_prefix": "distconf",
            "socket_timeout": _STORAGE_SECONDS,
            "socket_connect_timeout": _STORAGE_SECONDS,
        }
    storage = storage_from_string(url or "memory://", **options)
    assert isinstance(storage, Storage)  # the asyncio ones have URLs of their own
    return storage
