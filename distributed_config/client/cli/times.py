"""Times as people read them: how long ago, or the date of what is long past."""

from datetime import UTC, datetime, timedelta

_STEPS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)
# Beyond this a date says more than a number of days.
_LONG = timedelta(days=60)


def relative(text: str | None, now: datetime | None = None) -> str:
    """Return an RFC 3339 time as ``3 days ago`` or ``in 2 hours``; "" for None.

    What is more than two months away is a date, in the reader's time zone.
    """
    if text is None:
        return ""
    moment = datetime.fromisoformat(text)
    distance = (now or datetime.now(UTC)) - moment
    if abs(distance) >= _LONG:
        return f"{moment.astimezone():%Y-%m-%d}"
    for step, word in _STEPS:
        if abs(distance) >= step:
            count = round(abs(distance) / step)
            span = f"{count} {word}{'' if count == 1 else 's'}"
            return f"in {span}" if distance < timedelta() else f"{span} ago"
    return "just now" if distance >= timedelta() else "in a moment"


def local_time(text: str) -> str:
    """Return an RFC 3339 time as ``2026-11-21 10:30:00``, in the local time zone."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"
