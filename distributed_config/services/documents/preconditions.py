"""Preconditions of writes: which version is current, and when it changed last."""

from collections.abc import Callable
from dataclasses import dataclass

_SECOND = 1_000_000


def _no_times() -> tuple[int, ...]:
    return ()


@dataclass(frozen=True)
class Standing:
    """The present state of a service or a definition, as a precondition judges it.

    ``times`` returns the times of its last two changes, newest first, in microseconds since 1970.
    It is a function because few requests send a date, and it takes a query on the journal.
    """

    etag: str
    times: Callable[[], tuple[int, ...]] = _no_times


Precondition = Callable[[Standing | None], bool]
"""Whether a write may go on, given the present state; None: there is nothing yet."""


def no_precondition(_standing: Standing | None) -> bool:
    """Accept any state."""
    return True


def is_unmodified(times: tuple[int, ...], since: int) -> bool:
    """Return whether nothing changed after ``since``, in seconds since 1970.

    ``times`` is as ``Standing.times`` returns it.
    """
    if not times:
        return True
    newest = times[0] // _SECOND
    if newest != since:
        return newest < since
    # HTTP's dates have no fractions (RFC 9110, 5.6.7). Where two changes fell into this second,
    # nobody can tell which of them the client has seen, so it counts as modified.
    return len(times) == 1 or times[1] // _SECOND < since
