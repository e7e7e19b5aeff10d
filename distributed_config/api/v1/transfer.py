"""Everything at once, out and in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.api import examples
from distributed_config.errors import Invalid, NotRepresentable, Problem
from distributed_config.http import auditing, auth, database
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData
from distributed_config.http.routes import route
from distributed_config.http.writes import commit, json_of
from distributed_config.schemas import answers, queries
from distributed_config.services import bulk, changesets
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.wire import Document

blueprint = Blueprint("transfer", __name__)


@route(
    blueprint,
    "GET",
    "/export",
    permission="config:read",
    query=queries.ExportQuery,
    answers={200: "document"},
    refusals=(404, 406, 422, 507),
)
def export(query: dict[str, Any]) -> ResponseData:
    """Export the current documents of all services, as one object `{service: document}`.

    They are those of one environment, as they are stored.

    Every export has an entry in the audit log before the response is sent.
    """
    head = read_head(reader_connection())
    format_ = http_request.negotiate_format(query["format"])
    most = database.of().settings.answer_bytes
    values: dict[str, Any] = {}
    size = 0
    for name, document in bulk.export(auth.reader(), query["prefix"], query["environment"]):
        # Counted before anything is parsed: a value takes many times the memory of its text.
        size += len(document.text)
        if size > most:
            raise NotRepresentable(
                f"It would have more than {most} bytes (DISTCONF_ANSWER_BYTES). "
                "Ask for a part with prefix=, or use `distconf export`."
            )
        values[name] = wire.parse_stored(document.text)
    text = http_request.encode(format_, values, size)
    facts = {
        "prefix": query["prefix"][:200],
        "environment": query["environment"],
        "format": format_.name,
        "services": len(values),
    }
    # The entry is on disk before the response is sent: an export that is not in the log must not
    # leave the server.
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
    refusals=(404, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
    example=examples.IMPORT,
)
def import_all(query: dict[str, Any]) -> ResponseData:
    """Import an object `{service: document}`: create or update each service, all or nothing.

    With `prune=true` the services that the object does not name are deleted in the same revision,
    so that the server has exactly what was sent.
    """
    value = http_request.body_value()
    most = database.of().settings.import_services
    # Checked before the documents: one transaction has to hold all of them.
    if isinstance(value, dict) and len(value) > most:
        message = (
            f"At most {most} services are imported at once (DISTCONF_IMPORT_SERVICES). "
            "Send them in parts, or use `distconf import`."
        )
        raise Invalid.from_problems([Problem("", message, "limit")])
    documents = bulk.documents_of(value, http_request.document_limits())
    prefix = query["prefix"] if query["prune"] else None
    imported = _Import(documents, prefix, query["environment"])
    return commit(query, _import, imported, render=json_of(answers.ImportedAnswer))


@dataclass(frozen=True)
class _Import:
    """What is imported, and where to. Other services that begin with ``pruned_prefix`` are deleted.

    A ``pruned_prefix`` of None deletes nothing.
    """

    documents: Sequence[tuple[str, Document | Invalid]]
    pruned_prefix: str | None
    environment: str


def _import(transaction: Transaction, new: _Import) -> dict[str, Any]:
    imported = changesets.import_all(transaction, new.documents, new.environment)
    deleted: tuple[str, ...] = ()
    if new.pruned_prefix is not None:
        names = {name for name, _ in new.documents}
        deleted = changesets.prune(transaction, names, new.pruned_prefix, new.environment)
    return {
        "success": True,
        "created": imported.created,
        "updated": imported.updated,
        "unchanged": imported.unchanged,
        "deleted": deleted,
    }
