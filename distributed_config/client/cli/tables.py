"""Tables for people: headers, columns of one width, and times in the reader's own time zone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any


def table_lines(rows: Sequence[Mapping[str, Any]], *, with_header: bool = True) -> Iterator[str]:
    """The lines of a table of ``rows``, which all have the same keys; these are its header.

    A text with line breaks is put on one line, so that a row stays a row. Nothing is yielded for
    no rows.
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
    """Rows for the versions of a service as the API lists them, newest first.

    The first enabled one is marked: it is what is served.
    """
    current = next((each["number"] for each in versions if each["enabled"]), None)
    return [
        {
            "version": each["number"],
            "state": _state(each, each["number"] == current),
            "time": local_time(each["created_at"]),
            "author": each["author"],
            "note": each["note"],
        }
        for each in versions
    ]


def local_time(text: str) -> str:
    """An RFC 3339 time as people read it: ``2026-11-21 10:30:00``, in the local time zone."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _state(version: Mapping[str, Any], is_current: bool) -> str:
    if version.get("deleted"):
        return "deleted"
    if not version["enabled"]:
        return "disabled"
    return "* current" if is_current else "enabled"


def _one_line(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())
