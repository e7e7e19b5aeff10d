"""Times: microseconds since 1970, and RFC 3339."""

from datetime import datetime, timezone

UTC = timezone.utc  # noqa: UP017  # the client runs on Python 3.10, which has no datetime.UTC


def now() -> int:
    """Return the time in microseconds since 1970 in UTC: how times are stored."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)


def format_time(microseconds: int) -> str:
    """Return a stored time as RFC 3339 text in UTC, as in ``2026-11-21T09:30:00.000001Z``."""
    # Split by integers: a float has too few digits for microseconds of this century.
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds % 1_000_000:06d}Z"


def parse_time(text: str) -> int:
    """Return RFC 3339 text as a stored time. Raises ValueError, also for one without a zone."""
    # A + in a query arrives as a space unless it was escaped.
    moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError("a time needs a date, a time and a zone")
    return int(moment.timestamp() * 1_000_000)
