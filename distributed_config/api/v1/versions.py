"""The history of one service: its versions, two of them side by side, and the way back."""

from operator import attrgetter
from typing import Any, NamedTuple

from flask import Blueprint

from distributed_config import wire
from distributed_config.http import auth, conditions
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.series import series_of
from distributed_config.http.writes import commit_to
from distributed_config.schemas import answers, version_answers, version_queries
from distributed_config.schemas.versions import render_version, render_version_with_document
from distributed_config.services import merges, versions
from distributed_config.services.changed_places import count_changed_places
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
    query=version_queries.VersionsQuery,
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
        series_of(query),
        before=before,
        limit=size + 1,
        documents=query["documents"],
    )
    # Documents are large, and most readers of a history want to know when and by whom.
    render = render_version_with_document if query["documents"] else render_version
    rendered = [render(version) for version in history[:size]]
    if "changed" in query["include"]:
        counts = count_changed_places(auth.reader(), series_of(query), history[:size])
        for entry in rendered:
            entry["changed"] = counts.get(entry["number"])
    body = {"service": name, "versions": rendered}
    return page_response(body, next_cursor(query, epoch, history, size, attrgetter("number")))


@route(
    blueprint,
    "GET",
    "/diff",
    permission="config:read",
    query=version_queries.DiffQuery,
    answers={200: answers.DiffAnswer},
    refusals=(404, 409, 410, 422),
)
def diff(query: dict[str, Any]) -> ResponseData:
    """Compare two versions of a service, or what programs get of it in two environments.

    `patch` is the JSON Patch that leads from one to the other, `text` a unified diff. Each has at
    most a megabyte; if there is more, `truncated` is true, and neither is complete.
    """
    # Masked for those who may not read secrets: a difference would tell them otherwise.
    old, new = (_side(query, query["service"], query[side]) for side in ("old", "new"))
    difference = compare(
        wire.parse_stored(old.text), wire.parse_stored(new.text), old.name, new.name
    )
    return json_response(answers.DiffAnswer.render(difference))


class _Side(NamedTuple):
    """One side of a comparison: a document, and how it is called."""

    text: str
    name: str


def _side(query: dict[str, Any], service: str, which: int | str) -> _Side:
    """Return a version by its number, or what there is in the environment ``which``."""
    if isinstance(which, int):
        version = versions.stored(auth.reader(), series_of(query), which)
        return _Side(version.served, f"{service} version {which}")
    series = Series(service, which)
    if query["resolved"]:
        version = versions.resolved(auth.reader(), series).version
    else:
        version = versions.current(auth.reader(), series)
    return _Side(version.served, f"{service} in {which}")


@route(
    blueprint,
    "POST",
    "/merge",
    permission="config:read",
    query=version_queries.MergeQuery,
    body_types=("application/json", "application/yaml", "application/toml"),
    answers={200: version_answers.MergeAnswer},
    refusals=(404, 410, 422),
)
def merge(query: dict[str, Any]) -> ResponseData:
    """Merge a document that was made from an earlier version with what is current. Stores nothing.

    What only one side changed is in `merged`; what both changed in different ways is listed in
    `contested`, and `merged` has the current value there. Arrays are merged as wholes. Publish the
    result with `If-Match` as in `if_match`.
    """
    series = series_of(query)
    limits = http_request.document_limits()
    mine = wire.make_document(http_request.body_value(), limits, series.service)
    merged = merges.merge_with_current(auth.reader(), series, query["base"], mine.value)
    current = merged.current
    epoch = head.read_head(reader_connection()).epoch
    body = {
        "base": query["base"],
        "current": current.number,
        "if_match": wire.version_etag(epoch, current.number, current.stamp),
        "merged": merged.document,
        "contested": version_answers.ContestedAnswer.render_all(merged.contested),
    }
    # It may have secrets that came with the request.
    return json_response(body, Cache_Control="no-store")


@route(
    blueprint,
    "POST",
    "/rollback",
    permission="config:write",
    query=version_queries.RollbackQuery,
    answers={200: answers.WrittenAnswer},
    refusals=(404, 410, 412, 422, 507),
    headers=("If-Match", "If-Unmodified-Since", "Idempotency-Key", "Config-Note"),
)
def roll_back(query: dict[str, Any]) -> ResponseData:
    """Append a copy of an older version: of the one before, unless `to` says which."""
    http_request.refuse_body()
    series, number, expect = series_of(query), query["to"], conditions.precondition()
    return commit_to(
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
