"""Tables for people: aligned columns, headers, and times in the reader's own time zone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any


def table_lines(rows: Sequence[Mapping[str, Any]], *, with_header: bool = True) -> Iterator[str]:
    """Yield the lines of a table of ``rows``. The rows have the same keys, which are its header.

    Text with line breaks is put on one line, so that a row stays one line for ``grep``. Without
    rows there is not even a header.
    """
    if not rows:
        return
    names = list(rows[0])
    cells = [[_one_line(row[name]) for name in names] for row in rows]
    header = [name.upper() for name in names]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for line in [header, *cells] if with_header else cells:
        padded = (f"{text:{width}}" for text, width in zip(line, widths, strict=True))
        yield "  ".join(padded).rstrip() + "\n"


def history_rows(versions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows for the versions of a service, which the API lists newest first.

    The first enabled one is marked as current: that is the one that is served.
    """
    current = next((version["number"] for version in versions if version["enabled"]), None)
    return [
        {
            "version": version["number"],
            "state": _state(version, version["number"] == current),
            "time": local_time(version["created_at"]),
            "author": version["author"],
            "note": version["note"],
        }
        for version in versions
    ]


def local_time(text: str) -> str:
    """Return an RFC 3339 time as ``2026-11-21 10:30:00``, in the local time zone."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _state(version: Mapping[str, Any], is_current: bool) -> str:
    if version.get("deleted"):
        return "deleted"
    if not version["enabled"]:
        return "disabled"
    return "* current" if is_current else "enabled"


def _one_line(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())
