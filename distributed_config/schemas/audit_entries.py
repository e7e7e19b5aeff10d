"""Entries of the audit log, for the API and for exports: as JSON, as lines of JSON, and as CSV.

They are rendered by hand, because an export passes millions of them through here, and because the
columns of the CSV are a promise of its own.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from distributed_config import wire
from distributed_config.schemas.changes import render_change
from distributed_config.services.journal.audit import AuditEntry

FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv"}

# A spreadsheet takes a cell that begins like this for a formula, and runs it. A name that somebody
# else chose must not run anything on the machine of an auditor.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "id",
    "time",
    "organisation",
    "kind",
    "actor",
    "address",
    "service",
    "revision",
    "detail",
    "previous",
    "hash",
    "changes",
)


def render_entry(entry: AuditEntry) -> dict[str, Any]:
    """Return one entry, with the changes that it seals."""
    return {
        "id": entry.id,
        "time": wire.format_time(entry.happened_at),
        "organisation": entry.organisation_id,
        "kind": entry.kind,
        "actor": entry.actor,
        "address": entry.address,
        "service": entry.service,
        "revision": entry.revision,
        "detail": entry.detail,
        "previous": entry.previous,
        "hash": entry.hash,
        "changes": [render_change(change) for change in entry.changes],
    }


def render_entries(entries: Iterable[AuditEntry], format_name: str) -> Iterator[str]:
    """Yield ``entries`` as the lines of a text in one of ``FORMATS``, each with its line end."""
    if format_name == "csv":
        yield _line(_COLUMNS)
    for entry in entries:
        rendered = render_entry(entry)
        if format_name == "csv":
            yield _line(_cell(rendered[name]) for name in _COLUMNS)
        else:
            yield json.dumps(rendered, ensure_ascii=False) + "\n"


def _line(cells: Iterable[str]) -> str:
    # The csv module writes to files alone; it knows the quoting of RFC 4180.
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA) else text
