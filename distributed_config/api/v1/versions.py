"""The history of one service: its versions, two of them side by side, and the way back."""

from operator import attrgetter
from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.http import auth, conditions
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.schemas import answers, queries
from distributed_config.schemas.versions import render_version, render_version_with_document
from distributed_config.services import versions
from distributed_config.services.diff import compare
from distributed_config.services.documents.series import Series
from distributed_config.services.journal import head
from distributed_config.services.journal.head import Head
from distributed_config.services.versions import WriteResult

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
    name = query["service"]
    epoch = head.read_head(reader_connection()).epoch
    size = page_size(query["limit"])
    before = after_key(query, epoch, int)
    history = versions.history(
        auth.reader(),
        Series(name),
        before=before,
        limit=size + 1,
        documents=query["documents"],
    )
    # Documents are large, and most readers of a history want to know when and by whom.
    render = render_version_with_document if query["documents"] else render_version
    body = {"service": name, "versions": [render(version) for version in history[:size]]}
    return page_response(body, next_cursor(query, epoch, history, size, attrgetter("number")))


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
    reader, series = auth.reader(), Series(query["service"])
    # Masked for those who may not read secrets: a difference would tell them otherwise.
    old = versions.stored(reader, series, query["old"])
    new = versions.stored(reader, series, query["new"])
    difference = compare(
        wire.parse_stored(old.served),
        wire.parse_stored(new.served),
        f"{series.service} version {old.number}",
        f"{series.service} version {new.number}",
    )
    return json_response(answers.DiffAnswer.render(difference))


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
    http_request.refuse_body()
    series, number, expect = Series(query["service"]), query["to"], conditions.precondition()
    return commit(
        query,
        versions.roll_back,
        series,
        number,
        expect,
        render=_render_rolled_back,
        # Without a note the history would show the roll-back like any other version.
        default_note=f"Rolled back to {_which(number)}.",
    )


def _which(number: int | None) -> str:
    return "the one before" if number is None else f"version {number}"


def _render_rolled_back(written: WriteResult, head: Head) -> ResponseData:
    return json_response(
        {"success": True, "version": written.number, "current": written.current},
        Config_Version=str(written.number),
        ETag=wire.version_etag(head.epoch, written.number, written.stamp),
    )
