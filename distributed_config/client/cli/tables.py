"""Tables for people: aligned columns with headers."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from distributed_config.client.cli.times import local_time, relative

__all__ = ["history_rows", "local_time", "table_lines"]


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
    widths = [max(map(_width, column)) for column in zip(header, *cells, strict=True)]
    for line in [header, *cells] if with_header else cells:
        padded = (
            text + " " * (width - _width(text)) for text, width in zip(line, widths, strict=True)
        )
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
            "time": relative(version["created_at"]),
            "author": version["author"],
            "note": version["note"],
        }
        for version in versions
    ]


def _state(version: Mapping[str, Any], is_current: bool) -> str:
    if version.get("deleted"):
        return "deleted"
    if not version["enabled"]:
        return "disabled"
    return "* current" if is_current else "enabled"


def _one_line(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    # What moves the cursor or changes colours is shown, and not obeyed: a note is anybody's text.
    text = "" if value is None else " ".join(str(value).split())
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def _width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes: some characters take two, or none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)
