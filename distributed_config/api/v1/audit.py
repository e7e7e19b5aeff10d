"""The audit log: who did what, from where, and when; read, exported, and its head."""

from typing import Any

from flask import Blueprint

from distributed_config.errors import NotRepresentable
from distributed_config.http import auditing, auth, database
from distributed_config.http.database import reading
from distributed_config.http.pagination import behind, cursor_behind, page_answer, page_size
from distributed_config.http.response import Answer, json_answer
from distributed_config.http.routes import door
from distributed_config.schemas import answers, audit_entries, queries
from distributed_config.services.journal import audit
from distributed_config.services.journal.audit import Wanted
from distributed_config.services.journal.head import read_head

blueprint = Blueprint("audit", __name__)

_LONGEST_FACT = 200


@door(
    blueprint,
    "GET",
    "/audit",
    permission="audit:read",
    query=queries.AuditQuery,
    answers={200: answers.AuditAnswer},
    refusals=(410, 422),
)
def list_entries(query: dict[str, Any]) -> Answer:
    """List the entries of the audit log, newest first.

    Those of your organisation, about services that your rights reach. An entry of kind `changed`
    seals one revision of the journal and shows the first hundred of its changes.
    """
    epoch = read_head(reading()).epoch
    size = page_size(query["limit"])
    before = behind(query, epoch, int)
    found = audit.newest(reading(), auth.actor(), _wanted(query), before=before, limit=size + 1)
    cursor = cursor_behind(query, epoch, found[size - 1].id) if len(found) > size else None
    return page_answer(
        {"entries": [audit_entries.shown_entry(each) for each in found[:size]]}, cursor
    )


@door(
    blueprint,
    "GET",
    "/audit/export",
    permission="audit:read",
    query=queries.AuditExportQuery,
    answers={200: tuple(audit_entries.FORMATS.values())},
    refusals=(406, 422, 507),
)
def export_entries(query: dict[str, Any]) -> Answer:
    """Export the same entries, oldest first, as JSON lines or as CSV.

    The export has an entry of its own, which is on disk before it is answered. In CSV a cell
    that a spreadsheet would take for a formula has a ' before it.
    """
    most = database.of().settings.answer_bytes
    entries = audit.oldest(reading(), auth.actor(), _wanted(query))
    lines: list[bytes] = []
    size = 0
    for line in audit_entries.written(entries, query["format"]):
        lines.append(line.encode())
        size += len(lines[-1])
        if size > most:
            raise NotRepresentable(
                f"It would have more than {most} bytes (DISTCONF_ANSWER_BYTES). Ask for a part "
                "with since= and until=, or use `distconf audit export`."
            )
    auditing.note_now(audit.AUDIT_EXPORT, _told(query))
    headers = {"Cache-Control": "no-store"}
    return Answer(
        b"".join(lines), media_type=audit_entries.FORMATS[query["format"]], headers=headers
    )


@door(
    blueprint,
    "GET",
    "/audit/head",
    permission="audit:read",
    answers={200: answers.AuditHeadAnswer},
)
def show_head() -> Answer:
    """Show the newest entry's id and hash: keep them elsewhere, and nobody can rewrite the log.

    `distconf audit verify --pinned ID:HASH` compares.
    """
    head = audit.head(reading(), auth.actor())
    return json_answer({"id": head.id, "hash": head.hash}, Cache_Control="no-store")


def _wanted(query: dict[str, Any]) -> Wanted:
    return Wanted(
        actor=query["actor"],
        kinds=tuple(query["kind"]),
        service=query["service"],
        since=query["since"],
        until=query["until"],
        first_revision=query["from_revision"],
        last_revision=query["to_revision"],
    )


def _told(query: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, as the export's own entry has it."""
    return {
        name: value[:_LONGEST_FACT] if isinstance(value, str) else value
        for name, value in query.items()
        if value not in (None, [])
    }
