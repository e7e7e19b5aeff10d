"""Everything at once, out and in."""

from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.api import examples
from distributed_config.errors import Invalid, NotRepresentable, Problem
from distributed_config.http import auditing, auth, database
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.schemas import answers, queries
from distributed_config.services import bulk, changesets
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction

blueprint = Blueprint("transfer", __name__)


@route(
    blueprint,
    "GET",
    "/export",
    permission="config:read",
    query=queries.ExportQuery,
    answers={200: "document"},
    refusals=(406, 422, 507),
)
def export(query: dict[str, Any]) -> ResponseData:
    """Export the current documents of all services, as one object `{service: document}`.

    Every export has an entry in the audit log before it is answered.
    """
    connection = reader_connection()
    head = read_head(connection)
    format_ = asked.negotiate_format(query["format"])
    most = database.of().settings.answer_bytes
    found = bulk.export(auth.reader(), query["prefix"])
    values: dict[str, Any] = {}
    size = 0
    for name, document in found:
        size += len(document.text)
        if size > most:
            raise NotRepresentable(
                f"It would have more than {most} bytes (DISTCONF_ANSWER_BYTES). "
                "Ask for a part with prefix=, or use `distconf export`."
            )
        values[name] = wire.parse_stored(document.text)
    text = asked.encode(format_, values, size)
    facts = {"prefix": query["prefix"][:200], "format": format_.name, "services": len(values)}
    auditing.record_now(AuditKind.EXPORT, facts)
    headers = {"Config-Revision": str(head.revision), "Cache-Control": "private, no-cache"}
    return ResponseData(text.encode(), media_type=format_.media_type, headers=headers)


@route(
    blueprint,
    "POST",
    "/import",
    permission="config:write",
    query=queries.ImportQuery,
    body_types=("application/json", "application/yaml", "application/toml"),
    answers={200: answers.ImportedAnswer},
    refusals=(422, 507),
    headers=("Idempotency-Key", "Config-Note"),
    example=examples.IMPORT,
)
def import_all(query: dict[str, Any]) -> ResponseData:
    """Import an object `{service: document}`: creates or updates each, all or nothing.

    With `prune=true` the services that the object does not name are deleted with it, so that what
    is served is exactly what was sent.
    """
    value = asked.body_value()
    most = database.of().settings.import_services
    if isinstance(value, dict) and len(value) > most:
        message = (
            f"At most {most} services are imported at once (DISTCONF_IMPORT_SERVICES). "
            "Send them in parts, or use `distconf import`."
        )
        raise Invalid.from_problems([Problem("", message, "limit")])
    documents = bulk.documents_of(value, asked.document_limits())

    def unit(transaction: Transaction) -> ResponseData:
        done = changesets.import_all(transaction, documents)
        deleted: tuple[str, ...] = ()
        if query["prune"]:
            named = {name for name, _ in documents}
            deleted = changesets.prune(transaction, named, query["prefix"])
        return json_response(
            {
                "success": True,
                "created": done.created,
                "updated": done.updated,
                "unchanged": done.unchanged,
                "deleted": deleted,
            }
        )

    return commit(unit, asked.note(query["note"]), query["dry_run"])
