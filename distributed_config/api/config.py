"""``/config?service=NAME``: the one endpoint. Its contract is frozen; see docs/config.md.

Because it is frozen, the keys of its responses are written out here, one by one: a schema that
changes for another route must not be able to change this one.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint

from distributed_config import formats, wire
from distributed_config.api import representations
from distributed_config.api.representations import Representation
from distributed_config.errors import Invalid, InvalidDocument, Problem, RevisionNotReached
from distributed_config.http import conditions, secret_reads
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, http_date, json_response
from distributed_config.http.routes import route
from distributed_config.http.series import series_of, word_of_series
from distributed_config.http.writes import commit, commit_to
from distributed_config.live.exchange import Validity
from distributed_config.schemas import answers, queries
from distributed_config.services import definitions, versions
from distributed_config.services.documents.preconditions import Precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head, read_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.versions import WriteResult
from distributed_config.store.watermarks import HEAD
from distributed_config.wire import Document

blueprint = Blueprint("config", __name__)

# A client that has just written somewhere waits this long to read its own write here; a healthy
# commit is far quicker.
_MIN_REVISION_SECONDS = 5.0
# Enough to recognise a mistake; the response to a write stays small.
_MOST_REMOVED = 20
_READ = {"permission": "config:read"}
_WRITE = {"permission": "config:write"}
_DOCUMENT_TYPES = ("application/json", "application/yaml", "application/toml")


@route(
    blueprint,
    "GET",
    "/config",
    **_READ,
    query=queries.ConfigReadQuery,
    answers={200: "document", 304: ""},
    refusals=(404, 406, 409, 410, 412, 422),
    headers=(
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
        "Prefer",
    ),
)
def read(query: dict[str, Any]) -> ResponseData:
    """Read a configuration.

    With one version: the document itself. With several: an object of all that still exist, each
    as a JSON string under its number. With `version=current`, a number, or `as_of=`: exactly
    that document, whatever the number of versions; what programs should use. With
    `resolved=true` as well: the layers of the service in the environment as one document.
    """
    # The first statement of the request starts its snapshot: everything below belongs to this head.
    head = read_head(reader_connection())
    _require_revision(query["min_revision"], head)
    selected = representations.select(query, head)
    # A later write to what it rests on raises a watermark, which ends the validity of the
    # response.
    words = {word_of_series(series) for series in selected.basis}
    basis = Validity(tuple(words), head.revision)
    response = _judge(selected, query["service"], basis)
    response.headers |= {
        "Config-Revision": str(head.revision),
        # Only the client itself may store it, and asks each time: what it may read can change.
        "Cache-Control": "private, no-cache",
        "Vary": "Accept",
    }
    # A response with a secret in the clear is not repeated from memory: each such read has an
    # entry in the audit log, and only the application writes those.
    may_repeat = response.status == 304 or not secret_reads.recorded_services()
    # A 304 to a client that waits is not repeated either: it would come back at once, where the
    # next request means to wait again.
    is_lasting = response.status != 304 or not http_request.preferred_wait()
    if query["min_revision"] is None and is_lasting:
        http_request.exchange_of_request().validity = basis if may_repeat else None
    return response


@route(
    blueprint,
    "POST",
    "/config",
    **_WRITE,
    query=queries.PutQuery,
    body_types=_DOCUMENT_TYPES,
    answers={200: answers.CreatedAnswer},
    refusals=(404, 412, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def create(query: dict[str, Any]) -> ResponseData:
    """Create a service, with the body as its version 0."""
    series, definition = series_of(query), query["definition"]
    document = _document(series.service)
    return commit_to(query, _create, series, document, definition, render=_render_created)


@route(
    blueprint,
    "PUT",
    "/config",
    **_WRITE,
    query=queries.PutQuery,
    body_types=_DOCUMENT_TYPES,
    answers={200: answers.WrittenAnswer},
    refusals=(404, 412, 422, 507),
    headers=(
        "If-Match",
        "If-None-Match",
        "If-Unmodified-Since",
        "Idempotency-Key",
        "Config-Note",
    ),
)
def put(query: dict[str, Any]) -> ResponseData:
    """Create a service, or add a version; what is current already makes none."""
    series, definition = series_of(query), query["definition"]
    document, expect = _document(series.service), conditions.precondition()
    return commit_to(query, _put, series, document, definition, expect, render=_render_written)


@route(
    blueprint,
    "PATCH",
    "/config",
    **_WRITE,
    query=queries.PatchQuery,
    body_types=(*_DOCUMENT_TYPES, http_request.MERGE_PATCH, http_request.JSON_PATCH),
    answers={200: answers.WrittenAnswer},
    refusals=(404, 410, 412, 422, 507),
    headers=("If-Match", "If-Unmodified-Since", "Idempotency-Key", "Config-Note"),
)
def patch(query: dict[str, Any]) -> ResponseData:
    """Add a version, patch the current one, or turn a version off or on.

    The body as `application/json` (or YAML, or TOML) is the next version. As
    `application/merge-patch+json` (RFC 7396) or `application/json-patch+json` (RFC 6902) it
    changes a copy of the current one. With `version=` and `enabled=` there is no body.
    """
    series = series_of(query)
    expect, limits = conditions.precondition(), http_request.document_limits()
    if query["version"] is not None:
        http_request.refuse_body()
        number, enabled = query["version"], query["enabled"]
        render = partial(_render_written, enabled=enabled)
        return commit_to(
            query, versions.set_enabled, series, number, enabled, expect, render=render
        )
    # The Content-Type decides, and never the body: a merge patch looks like any document.
    if http_request.media_type() == http_request.MERGE_PATCH:
        changes = _merge_patch()
        return commit_to(
            query, versions.merge, series, changes, limits, expect, render=_render_written
        )
    if http_request.media_type() == http_request.JSON_PATCH:
        operations = _json_patch()
        return commit_to(
            query, versions.patch, series, operations, limits, expect, render=_render_written
        )
    document = _document(query["service"])
    return commit_to(query, versions.append, series, document, expect, render=_render_written)


@route(
    blueprint,
    "DELETE",
    "/config",
    **_WRITE,
    query=queries.DeleteQuery,
    answers={200: answers.WrittenAnswer},
    refusals=(404, 409, 410, 412, 422, 507),
    headers=("If-Match", "If-Unmodified-Since", "Idempotency-Key", "Config-Note"),
)
def delete(query: dict[str, Any]) -> ResponseData:
    """Delete a service of which every version is disabled, or one disabled version's document.

    With `with_versions=true` the service goes in one step, whatever is enabled; that takes a note.
    """
    http_request.refuse_body()
    series, expect = series_of(query), conditions.precondition()
    if query["with_versions"]:
        _require_note(query)
        verb = versions.delete_with_versions
        return commit(query, verb, series, expect, render=_render_deleted)
    if query["version"] is None:
        return commit(query, versions.delete_service, series, expect, render=_render_deleted)
    number = query["version"]
    return commit(query, versions.delete_version, series, number, expect, render=_render_written)


# --- reading


def _require_revision(min_revision: int | None, head: Head) -> None:
    """Raise RevisionNotReached, after a wait, if this server does not have the revision yet."""
    if min_revision is None or head.revision >= min_revision:
        return
    http_request.wait_for_change(Validity((HEAD,), min_revision - 1), _MIN_REVISION_SECONDS)
    raise RevisionNotReached(min_revision, head.revision)


def _judge(selected: Representation, name: str, basis: Validity) -> ResponseData:
    """Apply the request's conditions, in the order of RFC 9110, section 13.2.2.

    Returns a 304 if the client has this very representation, held for as long as it would like to
    wait for another one. Raises PreconditionFailed if it wants another than there is.
    """
    response = selected.response
    response.headers["Last-Modified"] = http_date(selected.modified_at)
    etag = response.headers["ETag"]
    conditions.require_match(name, etag, selected.times)
    if not conditions.is_not_modified(etag, selected.times):
        return response
    http_request.wait_for_change(basis, http_request.preferred_wait())
    return ResponseData(b"", 304, headers=response.headers)


# --- bodies


def _document(name: str) -> Document:
    return wire.make_document(http_request.body_value(), http_request.document_limits(), name)


def _merge_patch() -> dict[str, Any]:
    """Return the body as a merge patch (RFC 7396).

    The RFC allows any JSON value; here it has to be an object, because anything else would
    replace the whole document by something that is no object.
    """
    value = formats.read(formats.FORMATS["json"], http_request.body_bytes())
    if not isinstance(value, dict):
        raise InvalidDocument.from_problems(
            [Problem("", "A merge patch is a JSON object here.", "type")]
        )
    wire.require_unambiguous(value)
    changes: dict[str, Any] = value
    return changes


def _json_patch() -> list[Any]:
    """Return the body as the operations of a JSON Patch (RFC 6902)."""
    value = formats.read(formats.FORMATS["json"], http_request.body_bytes())
    if not isinstance(value, list):
        raise InvalidDocument.from_problems(
            [Problem("", "A JSON Patch is an array of operations.", "type")]
        )
    wire.require_unambiguous(value)
    return value


# --- writing


def _require_note(query: dict[str, Any]) -> None:
    """Raise Invalid unless the request says why: what programs get now will be gone."""
    if not http_request.note(query["note"]).strip():
        message = "To delete a service with its versions takes a note that says why."
        raise Invalid.from_problems([Problem("", message, "note", "note")])


@dataclass(frozen=True)
class _Created:
    """A created service, with everything that its response shows."""

    written: WriteResult
    text: str
    """The document, with its secrets masked."""
    services: int


def _create(
    transaction: Transaction, series: Series, document: Document, definition: str | None
) -> _Created:
    if definition is None:
        written = versions.create(transaction, series, document)
    else:
        written = definitions.create_service(transaction, series, document, definition)
    text = versions.masked_text(transaction, written, document)
    return _Created(written, text, versions.count_services(transaction.reader))


def _put(
    transaction: Transaction,
    series: Series,
    document: Document,
    definition: str | None,
    expect: Precondition,
) -> WriteResult:
    if definition is None:
        return versions.put(transaction, series, document, expect)
    return definitions.put_service(transaction, series, document, definition, expect)


def _render_created(created: _Created, head: Head) -> ResponseData:
    body = {
        "ID": created.written.service_id,
        "enabled": True,
        "service": created.written.service,
        "serviceJSONconf": created.text,
        "success": True,
        "total_configs": created.services,
    }
    return _render(created.written, body, head)


def _render_written(
    written: WriteResult, head: Head, *, enabled: bool | None = None
) -> ResponseData:
    """``enabled`` is what a version was just set to; None if that was not the request."""
    body: dict[str, Any] = {"success": True, "version": written.number}
    if enabled is not None:
        body["enabled"] = enabled
    body |= {"current": written.current, "changed": written.changed, **_removed(written)}
    return _render(written, body, head)


def _removed(written: WriteResult) -> dict[str, Any]:
    """Which top-level keys a whole document took away, the first of them by name.

    A client that sends a part of a document where the whole is meant sees it here.
    """
    if not written.removed:
        return {}
    first = [f"/{wire.escape_pointer(key)}" for key in written.removed[:_MOST_REMOVED]]
    more = len(written.removed) - len(first)
    return {"removed": first, "removed_more": more} if more else {"removed": first}


def _render(written: WriteResult, body: dict[str, Any], head: Head) -> ResponseData:
    headers = {"Config_Version": str(written.number)}
    # The tag of a version that is not served would never match in If-Match.
    if written.current == written.number:
        headers["ETag"] = wire.version_etag(head.epoch, written.number, written.stamp)
    return json_response(body, **headers)


def _render_deleted(_nothing: None, _head: Head) -> ResponseData:
    return json_response({"success": True})
