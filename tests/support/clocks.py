"""A clock that a test turns by hand."""


class Clock:
    """Counts seconds like ``time.monotonic``, but moves only when it is told to."""

    def __init__(self, start: float = 1_000.0) -> None:
        self._now = start

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``."""
        self._now += seconds
