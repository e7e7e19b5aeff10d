"""What a write may expect of what is there: which version it is, and when it changed last."""

from collections.abc import Callable
from dataclasses import dataclass

_SECOND = 1_000_000


def _no_times() -> tuple[int, ...]:
    return ()


@dataclass(frozen=True)
class Standing:
    """What there is now, as a precondition judges it.

    ``times`` gives the times of its last two changes, newest first. It is a function because few
    requests ask for a date, and the answer costs a look at the journal.
    """

    etag: str
    times: Callable[[], tuple[int, ...]] = _no_times


Precondition = Callable[[Standing | None], bool]
"""Whether a write may go on, given what there is; None: there is nothing."""


def no_precondition(_standing: Standing | None) -> bool:
    """Expects nothing."""
    return True


def is_unmodified(times: tuple[int, ...], since: int) -> bool:
    """Whether nothing changed after ``since``, in seconds since 1970.

    HTTP's dates have no fractions. Where two changes fell into the second that is asked about,
    nobody can tell which of them the asker saw, so that counts as modified.
    """
    if not times:
        return True
    newest = times[0] // _SECOND
    if newest != since:
        return newest < since
    return len(times) == 1 or times[1] // _SECOND < since
