"""``/config?service=NAME``: the one endpoint. Its contract is frozen; see docs/config.md."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint

from distributed_config import formats, wire
from distributed_config.errors import (
    Invalid,
    InvalidDocument,
    NoCurrentVersion,
    Problem,
    RevisionNotReached,
)
from distributed_config.formats import Format
from distributed_config.http import auth, conditions, database, secret_reads
from distributed_config.http import request as asked
from distributed_config.http.conditions import Times
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, http_date, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.json_schema import fill_defaults
from distributed_config.live.exchange import Validity
from distributed_config.schemas import answers, queries
from distributed_config.services import definitions, versions
from distributed_config.services.definitions import Definition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head, read_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.reader import Reader
from distributed_config.services.versions import Version, WriteResult
from distributed_config.store.watermarks import HEAD, word_of
from distributed_config.wire import Document

blueprint = Blueprint("config", __name__)

_MIN_REVISION_SECONDS = 5.0
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
    refusals=(404, 406, 410, 412, 422),
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
    that document, whatever the number of versions; what programs should use.
    """
    connection = reader_connection()
    head = read_head(connection)
    name = query["service"]
    basis = Validity(word_of(auth.actor().organisation, name), head.revision)
    _require_revision(query["min_revision"], head)
    answer = _judged(_selected(query, head, _form(query)), name, basis)
    answer.headers |= {
        "Config-Revision": str(head.revision),
        "Cache-Control": "private, no-cache",
        "Vary": "Accept",
    }
    # A secret is given out by the application alone, which notes it.
    may_repeat = answer.status == 304 or not secret_reads.recorded_services()
    if query["min_revision"] is None and (answer.status != 304 or not asked.preferred_wait()):
        # Who waited in vain, and asks again, wants to wait again.
        asked.exchange_of_request().validity = basis if may_repeat else None
    return answer


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
    name = query["service"]
    document = _document(name)

    def unit(transaction: Transaction) -> ResponseData:
        if query["definition"] is None:
            written = versions.create(transaction, Series(name), document)
        else:
            written = definitions.create_service(
                transaction, Series(name), document, query["definition"]
            )
        total = versions.count_services(transaction.reader)
        return _answer(
            transaction,
            written,
            {
                "ID": written.service_id,
                "enabled": True,
                "service": name,
                "serviceJSONconf": versions.masked_text(transaction, written, document),
                "success": True,
                "total_configs": total,
            },
        )

    return commit(unit, asked.note(query["note"]), query["dry_run"])


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
    name = query["service"]
    document = _document(name)
    expect = conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        if query["definition"] is None:
            written = versions.put(transaction, Series(name), document, expect)
        else:
            wanted = query["definition"]
            written = definitions.put_service(transaction, Series(name), document, wanted, expect)
        return _written(transaction, written)

    return commit(unit, asked.note(query["note"]), query["dry_run"])


@route(
    blueprint,
    "PATCH",
    "/config",
    **_WRITE,
    query=queries.PatchQuery,
    body_types=(*_DOCUMENT_TYPES, asked.MERGE_PATCH, asked.JSON_PATCH),
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
    name = query["service"]
    expect = conditions.precondition()
    limits = asked.document_limits()

    if query["version"] is not None:
        asked.refuse_body()

        def unit(transaction: Transaction) -> ResponseData:
            number, enabled = query["version"], query["enabled"]
            written = versions.set_enabled(transaction, Series(name), number, enabled, expect)
            return _written(transaction, written, enabled=enabled)

    elif asked.media_type() == asked.MERGE_PATCH:
        changes = _object_of_merge_patch()

        def unit(transaction: Transaction) -> ResponseData:
            return _written(
                transaction, versions.merge(transaction, Series(name), changes, limits, expect)
            )

    elif asked.media_type() == asked.JSON_PATCH:
        operations = _operations()

        def unit(transaction: Transaction) -> ResponseData:
            return _written(
                transaction, versions.patch(transaction, Series(name), operations, limits, expect)
            )

    else:
        document = _document(name)

        def unit(transaction: Transaction) -> ResponseData:
            return _written(
                transaction, versions.append(transaction, Series(name), document, expect)
            )

    return commit(unit, asked.note(query["note"]), query["dry_run"])


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
    """Delete a service of which every version is disabled, or one disabled version's document."""
    asked.refuse_body()
    name = query["service"]
    expect = conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        if query["version"] is not None:
            number = query["version"]
            return _written(
                transaction, versions.delete_version(transaction, Series(name), number, expect)
            )
        versions.delete_service(transaction, Series(name), expect)
        return json_response({"success": True})

    return commit(unit, asked.note(query["note"]), query["dry_run"])


# --- reading


def _require_revision(asked_for: int | None, head: Head) -> None:
    if asked_for is None or head.revision >= asked_for:
        return
    asked.wait_for_change(Validity(HEAD, asked_for - 1), _MIN_REVISION_SECONDS)
    raise RevisionNotReached(asked_for, head.revision)


@dataclass(frozen=True)
class _Found:
    """What was asked for, and when it changed last; ``times`` looks for the time before, too."""

    answer: ResponseData
    modified_at: int
    times: Times


@dataclass(frozen=True)
class _Form:
    """How documents are to be shown: in which format, and filled with whose defaults."""

    format: Format
    definition: Definition | None

    @property
    def variant(self) -> str:
        """What tells this form from others, for entity tags."""
        if self.definition is None:
            return self.format.name
        return f"{self.format.name}.defaults-{self.definition.digest[:16]}"

    def text(self, stored: str) -> str:
        """A stored document as JSON."""
        if self.definition is None:
            return stored
        return json.dumps(self.value(stored), ensure_ascii=False)

    def value(self, stored: str) -> dict[str, Any]:
        """A stored document's value."""
        value = wire.parse_stored(stored)
        return value if self.definition is None else fill_defaults(self.definition.schema, value)


def _form(query: dict[str, Any]) -> _Form:
    definition = None
    if query["defaults"]:
        visibility = auth.actor().visibility
        definition = definitions.of_service(
            Reader(reader_connection(), visibility), Series(query["service"])
        )
    return _Form(asked.negotiate_format(query["format"]), definition)


def _selected(query: dict[str, Any], head: Head, form: _Form) -> _Found:
    connection, visibility, name = reader_connection(), auth.actor().visibility, query["service"]
    which = query["version"]
    if query["as_of"] is not None:
        return _one(_as_of(name, query["as_of"], head), head, form, is_fixed=True)
    if which == "current":
        return _one(versions.current(Reader(connection, visibility), Series(name)), head, form)
    if which is not None:
        found = versions.numbered(Reader(connection, visibility), Series(name), int(which))
        return _one(found, head, form, is_fixed=True)
    most = database.of().settings.answer_bytes
    existing = versions.all_existing(Reader(connection, visibility), Series(name), most)
    if len(existing) > 1:
        return _all(existing, head, form)
    if not existing or not existing[0].enabled:
        raise NoCurrentVersion(name)
    return _one(existing[0], head, form)


def _as_of(name: str, moment: str, head: Head) -> Version:
    connection, visibility = reader_connection(), auth.actor().visibility
    if moment.isascii() and moment.isdigit() and len(moment) < 19:
        if int(moment) > head.revision:
            raise _in_future(name, f"The newest revision is {head.revision}.")
        return versions.as_of_revision(Reader(connection, visibility), Series(name), int(moment))
    try:
        time = wire.parse_time(moment)
    except (ValueError, OverflowError):
        message = "It is neither a revision nor a time as in 2026-11-21T09:30:00Z."
        raise Invalid.from_problems([Problem("", message, "time", "as_of")]) from None
    # The journal's times can be ahead of a clock that was set back.
    latest = max(wire.now(), head.changed_at)
    if time > latest:
        raise _in_future(name, f"Here it is {wire.format_time(latest)}.")
    return versions.as_of_time(Reader(connection, visibility), Series(name), time)


def _in_future(name: str, now: str) -> Invalid:
    """Nobody knows what will be current: the answer would be another one later."""
    versions.require(auth.reader(), Series(name))  # else that is what is told
    message = f"It lies in the future. {now} Leave as_of out for what is current."
    return Invalid.from_problems([Problem("", message, "time", "as_of")])


def _one(version: Version, head: Head, form: _Form, is_fixed: bool = False) -> _Found:
    """One version; ``is_fixed``: the request names it for good, whatever is current."""
    if form.format.name == "json":
        text = form.text(version.served)
    else:
        text = asked.encode(form.format, form.value(version.served), version.size)
    # What is masked, and what is not, are two answers: no cache takes one for the other.
    variant = f"{form.variant}.{version.view}" if version.view else form.variant
    headers = {
        "ETag": wire.version_etag(head.epoch, version.number, version.stamp, variant),
        "Config-Version": str(version.number),
    }
    answer = ResponseData(text.encode(), 200, form.format.media_type, headers)
    times: Times = partial(_times_of, version.service)
    known = version.moved_at
    # Marks and defaults come and go, also of a version that stays what it is.
    if version.may_have_secrets or form.definition is not None:
        times, known = partial(_times_of_all, version.service), 0
    elif is_fixed:
        times, known = lambda: (version.created_at,), version.created_at
    return _Found(answer, known or times()[0], times)


def _all(found: list[Version], head: Head, form: _Form) -> _Found:
    """Every version that still exists, and which of them is current, told by the tag as well."""
    size = sum(each.size for each in found)
    texts = {str(each.number): form.text(each.served) for each in found}
    body = asked.encode(form.format, texts, size).encode()
    enabled = [each for each in found if each.enabled]
    disabled = ",".join(str(each.number) for each in found if not each.enabled)
    headers = {}
    digest = wire.digest_of(body.decode() + disabled)
    variant = f"all-{form.variant}.{digest[:16]}"
    if enabled:
        newest = enabled[-1]
        headers["ETag"] = wire.version_etag(head.epoch, newest.number, newest.stamp, variant)
        headers["Config-Version"] = str(newest.number)
    else:
        headers["ETag"] = wire.absent_etag(head.epoch, found[-1].life, f".{variant}")
    if disabled:
        headers["Config-Disabled"] = disabled
    answer = ResponseData(body, 200, form.format.media_type, headers)
    marked = found[-1].may_have_secrets or form.definition is not None
    times = partial(_times_of_all if marked else _times_of, found[-1].service)
    return _Found(answer, times()[0], times)


def _times_of(name: str) -> tuple[int, ...]:
    return versions.version_times(auth.reader(), Series(name))


def _times_of_all(name: str) -> tuple[int, ...]:
    return versions.change_times(auth.reader(), Series(name))


def _judged(found: _Found, name: str, basis: Validity) -> ResponseData:
    """304 if the asker has this very answer; held for as long as it likes to wait for another.

    Raises PreconditionFailed if it wants another one than there is.
    """
    answer = found.answer
    answer.headers["Last-Modified"] = http_date(found.modified_at)
    etag = answer.headers["ETag"]
    conditions.require_match(name, etag, found.times)
    if not conditions.is_not_modified(etag, found.times):
        return answer
    asked.wait_for_change(basis, asked.preferred_wait())
    return ResponseData(b"", 304, headers=answer.headers)


# --- writing


def _document(name: str) -> Document:
    return wire.make_document(asked.body_value(), asked.document_limits(), name)


def _object_of_merge_patch() -> dict[str, Any]:
    value = formats.read(formats.FORMATS["json"], asked.body_bytes())
    if not isinstance(value, dict):
        raise InvalidDocument.from_problems(
            [Problem("", "A merge patch is a JSON object here.", "type")]
        )
    wire.require_unambiguous(value)
    changes: dict[str, Any] = value
    return changes


def _operations() -> list[Any]:
    value = formats.read(formats.FORMATS["json"], asked.body_bytes())
    if not isinstance(value, list):
        raise InvalidDocument.from_problems(
            [Problem("", "A JSON Patch is an array of operations.", "type")]
        )
    wire.require_unambiguous(value)
    return value


def _written(
    transaction: Transaction, written: WriteResult, enabled: bool | None = None
) -> ResponseData:
    body: dict[str, Any] = {"success": True, "version": written.number}
    if enabled is not None:
        body["enabled"] = enabled
    body |= {"current": written.current, "changed": written.changed, **_removed(written)}
    return _answer(transaction, written, body)


def _removed(written: WriteResult) -> dict[str, Any]:
    """Which keys a whole document took away, some of them by name; nothing if it took none."""
    if not written.removed:
        return {}
    some = [f"/{wire.escape_pointer(key)}" for key in written.removed[:_MOST_REMOVED]]
    more = len(written.removed) - len(some)
    return {"removed": some, "removed_more": more} if more else {"removed": some}


def _answer(transaction: Transaction, written: WriteResult, body: dict[str, Any]) -> ResponseData:
    headers = {"Config_Version": str(written.number)}
    if written.current == written.number:
        headers["ETag"] = wire.version_etag(transaction.epoch, written.number, written.stamp)
    return json_response(body, **headers)
