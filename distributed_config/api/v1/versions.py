"""The history of one service: its versions, two of them side by side, and the way back."""

from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.http import auth, conditions
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, cursor_after, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.schemas import answers, queries
from distributed_config.services import versions
from distributed_config.services.diff import compare
from distributed_config.services.documents.series import Series
from distributed_config.services.journal import head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.reader import Reader
from distributed_config.services.versions import Version

blueprint = Blueprint("versions", __name__)


@route(
    blueprint,
    "GET",
    "/versions",
    permission="config:read",
    query=queries.VersionsQuery,
    answers={200: answers.VersionsAnswer},
    refusals=(404, 410, 422),
)
def list_versions(query: dict[str, Any]) -> ResponseData:
    """List the versions of a service, newest first, disabled and deleted ones among them."""
    connection, name = reader_connection(), query["service"]
    epoch = head.read_head(connection).epoch
    size = page_size(query["limit"])
    before = after_key(query, epoch, int)
    found = versions.history(
        auth.reader(),
        Series(name),
        before=before,
        limit=size + 1,
        documents=query["documents"],
    )
    more = len(found) > size
    cursor = cursor_after(query, epoch, found[size - 1].number) if more else None
    shown = [_shown(version, query["documents"]) for version in found[:size]]
    return page_response({"service": name, "versions": shown}, cursor)


@route(
    blueprint,
    "GET",
    "/diff",
    permission="config:read",
    query=queries.DiffQuery,
    answers={200: answers.DiffAnswer},
    refusals=(404, 410, 422),
)
def diff(query: dict[str, Any]) -> ResponseData:
    """Compare two versions of a service.

    `patch` is the JSON Patch that leads from one to the other, `text` a unified diff. Each has at
    most a megabyte; if there is more, `truncated` is true, and neither is complete.
    """
    connection, visibility, name = reader_connection(), auth.actor().visibility, query["service"]
    old = versions.stored(Reader(connection, visibility), Series(name), query["old"])
    new = versions.stored(Reader(connection, visibility), Series(name), query["new"])
    difference = compare(
        wire.parse_stored(old.served),
        wire.parse_stored(new.served),
        f"{name} version {old.number}",
        f"{name} version {new.number}",
    )
    return json_response(
        {
            "patch": difference.patch,
            "text": difference.text,
            "truncated": difference.truncated,
        }
    )


@route(
    blueprint,
    "POST",
    "/rollback",
    permission="config:write",
    query=queries.RollbackQuery,
    answers={200: answers.WrittenAnswer},
    refusals=(404, 410, 412, 422, 507),
    headers=("If-Match", "If-Unmodified-Since", "Idempotency-Key", "Config-Note"),
)
def roll_back(query: dict[str, Any]) -> ResponseData:
    """Append a copy of an older version: of the one before, unless `to` says which."""
    asked.refuse_body()
    name, number, expect = query["service"], query["to"], conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        written = versions.roll_back(transaction, Series(name), number, expect)
        return json_response(
            {"success": True, "version": written.number, "current": written.current},
            Config_Version=str(written.number),
            ETag=wire.version_etag(transaction.epoch, written.number, written.stamp),
        )

    which = "the one before" if number is None else f"version {number}"
    note = asked.note(query["note"]) or f"Rolled back to {which}."
    return commit(unit, note, query["dry_run"])


def _shown(version: Version, with_document: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "number": version.number,
        "enabled": version.enabled,
        "deleted": version.deleted,
        "digest": version.digest,
        "size": version.size,
        "author": version.author,
        "note": version.note,
        "created_at": wire.format_time(version.created_at),
        "revision": version.revision,
        "definition": None,
        "definition_revision": None,
    }
    if version.checked is not None:
        shown["definition"], shown["definition_revision"] = version.checked
    if with_document:
        text = version.text
        shown["document"] = None if text is None else wire.parse_stored(text)
    return shown
