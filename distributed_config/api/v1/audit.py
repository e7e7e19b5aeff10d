"""The audit log: list its entries, export them, and pin its head."""

from operator import attrgetter
from typing import Any

from flask import Blueprint

from distributed_config.errors import NotRepresentable
from distributed_config.http import auditing, auth, database
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.schemas import answers, audit_entries, queries
from distributed_config.services.journal import audit
from distributed_config.services.journal.audit import AuditFilter
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import AuditKind

blueprint = Blueprint("audit", __name__)

_LONGEST_FACT = 200


@route(
    blueprint,
    "GET",
    "/audit",
    permission="audit:read",
    query=queries.AuditQuery,
    answers={200: answers.AuditAnswer},
    refusals=(410, 422),
)
def list_entries(query: dict[str, Any]) -> ResponseData:
    """List the entries of the audit log, newest first.

    Those of your organisation, about services that your rights reach. An entry of kind `changed`
    seals one revision of the journal and shows the first hundred of its changes.
    """
    epoch = read_head(reader_connection()).epoch
    size = page_size(query["limit"])
    before = after_key(query, epoch, int)
    entries = audit.page(
        reader_connection(), auth.actor(), _filter(query), before=before, limit=size + 1
    )
    body = {"entries": [audit_entries.render_entry(entry) for entry in entries[:size]]}
    return page_response(body, next_cursor(query, epoch, entries, size, attrgetter("id")))


@route(
    blueprint,
    "GET",
    "/audit/export",
    permission="audit:read",
    query=queries.AuditExportQuery,
    answers={200: tuple(audit_entries.FORMATS.values())},
    refusals=(406, 422, 507),
)
def export_entries(query: dict[str, Any]) -> ResponseData:
    """Export the same entries, oldest first, as JSON lines or as CSV.

    The export has an entry of its own, which is on disk before the response is sent. In CSV a
    cell that a spreadsheet would take for a formula has a ' before it.
    """
    most = database.of().settings.answer_bytes
    entries = audit.iterate(reader_connection(), auth.actor(), _filter(query))
    lines: list[bytes] = []
    size = 0
    # Rendered in pieces and counted as they come: an export that is too large is given up early.
    for line in audit_entries.render_entries(entries, query["format"]):
        lines.append(line.encode())
        size += len(lines[-1])
        if size > most:
            raise NotRepresentable(
                f"It would have more than {most} bytes (DISTCONF_ANSWER_BYTES). Ask for a part "
                "with since= and until=, or use `distconf audit export`."
            )
    # Who took a copy of the log belongs into the log, and before the copy is sent.
    auditing.record_now(AuditKind.AUDIT_EXPORT, _facts(query))
    headers = {"Cache-Control": "no-store"}
    return ResponseData(
        b"".join(lines), media_type=audit_entries.FORMATS[query["format"]], headers=headers
    )


@route(
    blueprint,
    "GET",
    "/audit/head",
    permission="audit:read",
    answers={200: answers.AuditHeadAnswer},
)
def show_head() -> ResponseData:
    """Show the newest entry's id and hash: with a copy elsewhere, a rewritten log is noticed.

    `distconf audit verify --pinned ID:HASH` compares.
    """
    head = audit.head(reader_connection(), auth.actor())
    return json_response({"id": head.id, "hash": head.hash}, Cache_Control="no-store")


def _filter(query: dict[str, Any]) -> AuditFilter:
    return AuditFilter(
        actor=query["actor"],
        kinds=tuple(query["kind"]),
        service=query["service"],
        since=query["since"],
        until=query["until"],
        first_revision=query["from_revision"],
        last_revision=query["to_revision"],
    )


def _facts(query: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of an export, as its own entry in the log has them."""
    return {
        name: value[:_LONGEST_FACT] if isinstance(value, str) else value
        for name, value in query.items()
        if value not in (None, [])
    }
