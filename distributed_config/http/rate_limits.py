"""How often somebody may ask: budgets of reads, of writes and of attempts to log in.

Reads and writes are counted for each token; for who shows none that is good, for each address. In
the open mode nothing is counted. What is counted where, and what a refusal costs:
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
from distributed_config.http import request as asked
from distributed_config.live.exchange import QuotaSource
from distributed_config.services.access.token_format import token_digest
from distributed_config.settings import PREFIX, Settings
from distributed_config.wire.addresses import network_of

T = TypeVar("T")

_KEY = "distributed_config.limits"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_UNCOUNTED = frozenset({"health"})  # blueprints; no flood may make a probe fail
_MOST_LENT = 50
_LENT_SHARE = 20  # what one lease may leave unused is a twentieth of the budget
_LOOSER = 10
_MOST_REMEMBERED = 10_000
_AWAY = 1.0
_TOLD_EVERY = 60.0
_PATIENCE = 0.5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """How often something may be asked. ``name`` is what the headers call it."""

    name: str
    setting: str
    item: RateLimitItem

    @property
    def policy(self) -> str:
        """What there is, in the words of the header RateLimit-Policy."""
        return f'"{self.name}";q={self.item.amount};w={self.item.get_expiry()}'

    def times(self, factor: int) -> "Budget":
        """A budget that is so many times as large."""
        item = type(self.item)(self.item.amount * factor, self.item.multiples)
        return Budget(self.name, self.setting, item)

    def refusal(self, seconds: int) -> TooManyRequests:
        """What is raised when nothing is left of it for so long."""
        return TooManyRequests(self.setting, str(self.item), seconds)


class Limits:
    """The budgets of one process, or of all that share a storage.

    When the storage is away nothing is refused, and the log says so.
    """

    def __init__(self, settings: Settings) -> None:
        self.reads = _budget("reads", settings.limit_reads)
        self.writes = _budget("writes", settings.limit_writes)
        self.logins = _budget("logins", settings.limit_logins)
        self._waits = settings.limit_storage != ""
        self._limiter = SlidingWindowCounterRateLimiter(_storage(settings.limit_storage))
        # In memory, two threads at the same count could take the same request from it.
        self._turn: AbstractContextManager[object] = (
            nullcontext() if self._waits else threading.Lock()
        )
        self._away_until = 0.0
        self._told_at = -_TOLD_EVERY
        self._refused: dict[tuple[str, str], float] = {}
        self._remembering = threading.Lock()

    @property
    def lender(self) -> QuotaSource | None:
        """What the front takes reads from; None if reads are not counted."""
        if self.reads is None:
            return None
        return QuotaSource(self._lend, self.reads.item.get_expiry(), self._waits)

    def spend(self, budget: Budget, *asker: str) -> None:
        """Takes one from a budget of ``asker``. Raises TooManyRequests if nothing is left."""
        g.limit_policy = budget.policy
        if self._take(budget, asker, 1):
            return
        seconds = self._seconds_until_more(budget, asker)
        g.limit_left = f'"{budget.name}";r=0;t={seconds}'
        raise budget.refusal(seconds)

    def remember(self, budget: Budget, secret: str, refusal: TooManyRequests) -> None:
        """Keeps in mind who was refused, for as long as it is not worth trying."""
        with self._remembering:
            self._refused[budget.name, token_digest(secret)] = (
                time.monotonic() + refusal.retry_after
            )
            while len(self._refused) > _MOST_REMEMBERED:
                del self._refused[next(iter(self._refused))]

    def refuse_again(self, budget: Budget, secret: str) -> None:
        """Raises TooManyRequests for who was told to wait, and does not."""
        if not self._refused or not secret:
            return
        which = (budget.name, token_digest(secret))
        left = self._refused.get(which, 0.0) - time.monotonic()
        if left > 0:
            seconds = int(left) + 1
            g.limit_policy = budget.policy
            g.limit_left = f'"{budget.name}";r=0;t={seconds}'
            raise budget.refusal(seconds)
        with self._remembering:
            self._refused.pop(which, None)

    def _lend(self, asker: str) -> int:
        assert self.reads is not None  # there is no lender otherwise
        some = max(1, min(_MOST_LENT, self.reads.item.amount // _LENT_SHARE))
        return some if self._take(self.reads, (asker,), some) else 0

    def _take(self, budget: Budget, asker: tuple[str, ...], cost: int) -> bool:
        def hit() -> bool:
            with self._turn:
                return self._limiter.hit(budget.item, budget.name, *asker, cost=cost)

        return self._ask(hit, True)

    def _seconds_until_more(self, budget: Budget, asker: tuple[str, ...]) -> int:
        def look() -> float:
            return self._limiter.get_window_stats(budget.item, budget.name, *asker).reset_time

        # Whole seconds, and never too early.
        return max(0, int(self._ask(look, 0.0) - time.time())) + 1

    def _ask(self, question: Callable[[], T], otherwise: T) -> T:
        """What the storage answers; ``otherwise`` while it is away."""
        if self._away_until:
            if time.monotonic() < self._away_until:
                return otherwise
            # One tries whether it is back; nobody else waits for that.
            self._away_until = time.monotonic() + _AWAY
        try:
            answer = question()
        except StorageError as error:
            self._note_away(error)
            return otherwise
        self._away_until = 0.0
        return answer

    def _note_away(self, error: StorageError) -> None:
        now = time.monotonic()
        self._away_until = now + _AWAY
        if now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            _logger.warning(
                "the storage of the limits (DISTCONF_LIMIT_STORAGE) does not answer; nothing is "
                "limited meanwhile: %s",
                type(error.storage_error).__name__,
            )


def init_limits(app: Flask, settings: Settings) -> None:
    """Gives ``app`` its budgets; none in the open mode."""
    wanted = settings.limit_reads or settings.limit_writes or settings.limit_logins
    if settings.is_open or not wanted:
        return
    app.extensions[_KEY] = Limits(settings)

    @app.after_request
    def _tell(response: Response) -> Response:
        if "limit_policy" in g:
            response.headers["RateLimit-Policy"] = g.limit_policy
        if "limit_left" in g:
            response.headers["RateLimit"] = g.limit_left
            # Dialects write errors in words of their own; when to come again is the same.
            response.headers["Retry-After"] = g.limit_left.rpartition("=")[2]
        return response


def of() -> Limits | None:
    """The current application's; None if it has none."""
    found: Limits | None = current_app.extensions.get(_KEY)
    return found


def lender_of(app: Flask) -> QuotaSource | None:
    """What the front of ``app`` takes reads from; None if reads are not counted."""
    limits: Limits | None = app.extensions.get(_KEY)
    return None if limits is None else limits.lender


def count(secret: str, identify: Callable[[], str]) -> None:
    """Counts the request for who ``identify`` says shows ``secret``.

    If nobody does, it is counted for the address. Raises what ``identify`` raises, or
    TooManyRequests.
    """
    found = _counting()
    if found is None:
        identify()
        return
    limits, budget = found
    told = asked.exchange_of_request()
    if told.again:
        asker = identify()
    else:
        limits.refuse_again(budget, secret)
        try:
            asker = _known(limits, budget, identify)
            limits.spend(budget, asker)
        except TooManyRequests as refusal:
            limits.remember(budget, secret, refusal)
            raise
    if budget is limits.reads:
        told.asker = asker


def count_stranger() -> None:
    """Counts a request that nobody has to be known for. Raises TooManyRequests."""
    found = None if request.blueprint in _UNCOUNTED else _counting()
    if found is not None and not asked.exchange_of_request().again:
        limits, budget = found
        limits.spend(budget, "address", network_of(request.remote_addr or ""))


def spend_login(address: str, name: str) -> None:
    """Counts an attempt to log in as ``name`` from ``address``. Raises TooManyRequests.

    Both together have a budget, so that nobody can lock out somebody else who is elsewhere; and
    the address has a looser one over all names.
    """
    limits = of()
    if limits is None or limits.logins is None:
        return
    network = network_of(address)
    limits.spend(limits.logins.times(_LOOSER), "address", network)
    limits.spend(limits.logins, "name", network, token_digest(name.strip().casefold()))


def _known(limits: Limits, budget: Budget, identify: Callable[[], str]) -> str:
    try:
        return identify()
    except (Unauthenticated, Forbidden):
        # Apart from what strangers may read there: who guesses is in nobody's way.
        limits.spend(budget, "failed", network_of(request.remote_addr or ""))
        raise


def _counting() -> tuple[Limits, Budget] | None:
    """What the current request is counted in; None if it is not counted."""
    limits = of()
    if limits is None:
        return None
    budget = limits.reads if request.method in _READING else limits.writes
    return None if budget is None else (limits, budget)


def _budget(name: str, text: str) -> Budget | None:
    if not text:
        return None
    return Budget(name, f"{PREFIX}LIMIT_{name.upper()}", parse(text))


def _storage(url: str) -> Storage:
    options: dict[str, float | str | bool] = {"wrap_exceptions": True}
    if url:
        options |= {
            "key_prefix": "distconf",
            "socket_timeout": _PATIENCE,
            "socket_connect_timeout": _PATIENCE,
        }
    storage = storage_from_string(url or "memory://", **options)
    assert isinstance(storage, Storage)  # the asyncio ones have URLs of their own
    return storage
