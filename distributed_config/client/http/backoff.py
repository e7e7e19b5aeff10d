"""Pauses between attempts: growing, capped and random."""

import random
import time
from dataclasses import dataclass

# 2 ** 20 times any first pause is beyond every cap, and a float overflows at 2 ** 1024: a program
# that retries for a day must not fail there.
_MOST_DOUBLINGS = 20


@dataclass(frozen=True)
class Backoff:
    """The pause after a failure: a random time below a limit that doubles with each failure.

    ``first`` is the limit after the first failure and ``most`` the largest limit, in seconds.
    ``least`` is the share of the limit, from 0 to 1, that is always waited. The default is full
    jitter: clients that lost their server at the same moment do not return at the same moment.
    """

    first: float = 0.2
    most: float = 30.0
    least: float = 0.0

    def seconds(self, number: int) -> float:
        """Return the pause after failure ``number``, counted from 1."""
        limit = min(self.most, self.first * 2 ** min(number - 1, _MOST_DOUBLINGS))
        return random.uniform(self.least * limit, limit)  # noqa: S311  # it only has to differ


class RetryTimer:
    """The time of the next attempt at something that is tried until it succeeds."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._attempts = 0
        # Monotonic: a clock that is set back must not stop the retries for hours.
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the pause after the last attempt is over; True before the first attempt."""
        return time.monotonic() >= self._next

    def start_pause(self) -> None:
        """Count an attempt, and start the pause after it."""
        self._attempts += 1
        self._next = time.monotonic() + self._backoff.seconds(self._attempts)
