"""The API of a "Unified Config" service: sections of keys.

A section is a service, and a key of it a top-level key of the current document. What is written
here makes versions like everything else; a section that is deleted has all its versions disabled,
so that it can be enabled again.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request

from distributed_config import errors, formats, wire
from distributed_config.dialects.writing import refuse_preconditions, write
from distributed_config.errors import DistconfError, Invalid, InvalidDocument, Problem
from distributed_config.http import auditing, auth, conditions, database, secret_reads
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.problems import status_of, to_domain_error
from distributed_config.http.response import ResponseData, json_response, to_response
from distributed_config.live.feed import Subscription
from distributed_config.services import bulk, changesets, sections, versions
from distributed_config.services.changesets import Step
from distributed_config.services.documents.preconditions import Precondition, no_precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.sections import KeyChange, unwrapped, wrapped
from distributed_config.services.versions import WriteResult
from distributed_config.wire import DocumentLimits, escape_pointer, parse_pointer

blueprint = Blueprint("unified", __name__, url_prefix="/config")

_NAME = re.compile(r"[a-z0-9_-]+")
_FORMATS = {"json": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml"}
_MOST_LISTED = 100

View = Callable[[], ResponseData]


class _Failure(DistconfError):
    """A refusal in the dialect's own form: a ``detail`` and nothing else."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status = status
        self.body = {"detail": detail}


def _door(method: str, path: str, permission: str) -> Callable[[View], View]:
    def register(view: View) -> View:
        @auth.requires(permission)
        def enter() -> Response:
            return to_response(view())

        endpoint = f"{view.__name__}_{method.lower()}"
        blueprint.add_url_rule(path, endpoint, enter, methods=[method])
        return view

    return register


@blueprint.errorhandler(Exception)
def _refused(error: Exception) -> Response:
    meant = to_domain_error(error)
    told = meant if isinstance(meant, _Failure) else _told(meant)
    answer = json_response(told.body, Cache_Control="no-store")
    answer.status = told.status
    if isinstance(meant, errors.Unavailable):
        answer.headers["Retry-After"] = str(meant.retry_after)
    return to_response(answer)


def _told(error: DistconfError) -> _Failure:
    """What the services refuse, in the dialect's form."""
    faults = [_fault(each) for each in error.problems]
    return _Failure(status_of(error), faults or error.detail)


def _fault(problem: Problem) -> dict[str, Any]:
    """One mistake, as the original tells it: with where in the request it is."""
    if problem.parameter:
        where = "header" if problem.parameter[0].isupper() else "query"
        place = [where, problem.parameter]
    else:
        place = ["body", *parse_pointer(problem.pointer)]
    return {"loc": place, "msg": problem.message, "type": "value_error"}


# --- writing


@_door("POST", "/set", "config:write")
@_door("PUT", "/set", "config:write")
def set_values() -> ResponseData:
    """Sets one key of a section, or replaces the section."""
    body = _object()
    key, value, values = body.get("key"), body.get("value"), body.get("values")
    faults = _faults_of_section("/section", body.get("section"))
    if key is not None:
        faults += [*_faults_of_name("/key", key), *_faults_of_value("/value", value)]
    else:
        faults += _faults_of_value("/values", values)
        faults += _faults_of_keys("/values", values if isinstance(values, dict) else {})
    _refuse(faults)
    section, limits, expect = body["section"], asked.document_limits(), conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        if key is None:
            _put(transaction, section, wrapped(values), limits, expect)
        else:
            _set_keys(transaction, section, {key: value}, limits, expect)
        return _saved()

    return write(unit)


@_door("PUT", "/update_bulk", "config:write")
def update_bulk() -> ResponseData:
    """Sets keys of several sections, or replaces those that have none: all of them or none."""
    refuse_preconditions(
        "This writes several sections, and it would be about one. Leave it out, or use "
        "POST /api/v1/changesets with if_match for each.",
        "If-Match",
        "If-None-Match",
        "If-Unmodified-Since",
    )
    body = _object()
    if not body:
        raise _Failure(400, "Empty configuration payload.")
    most = database.of().settings.changeset_services
    if len(body) > most:
        message = (
            f"At most {most} sections are written at once (DISTCONF_CHANGESET_SERVICES). "
            "Send them in parts."
        )
        _refuse([Problem("", message, "limit")])
    _refuse([fault for section, values in body.items() for fault in _faults_of(section, values)])
    limits = asked.document_limits()
    steps = [_step(section, values, limits) for section, values in body.items()]

    def unit(transaction: Transaction) -> ResponseData:
        changesets.publish(transaction, steps)
        return json_response({"message": "Configurations updated successfully!"})

    return write(unit)


@_door("DELETE", "/delete", "config:write")
def delete() -> ResponseData:
    """Deletes a key, or a section."""
    section, key = request.args.get("section"), request.args.get("key", "")
    if section is None:
        raise _missing("section")
    limits, expect = asked.document_limits(), conditions.precondition()

    def unit(transaction: Transaction) -> ResponseData:
        document = _current(transaction, section)
        if document is None or (key and (key not in document or key == sections.WRAPPER)):
            raise _Failure(404, "Config not found.")
        if key:
            rest = {name: value for name, value in document.items() if name != key}
            _put(transaction, section, rest, limits, expect)
        else:
            versions.disable_service(transaction, Series(section), expect)
        return json_response({"status": "deleted"})

    return write(unit)


def _saved() -> ResponseData:
    return json_response({"message": "Configuration saved"})


def _step(section: str, values: Any, limits: DocumentLimits) -> Step:
    """Writes one section of several. A fault is told at ``/section/key``."""

    def act(transaction: Transaction) -> WriteResult:
        if isinstance(values, dict):
            return _set_keys(transaction, section, values, limits)
        return _replace(transaction, section, values, limits)

    pointer = f"/{section}"
    return Step(pointer, pointer, section, act, literal=True)


def _replace(
    transaction: Transaction, section: str, value: Any, limits: DocumentLimits
) -> WriteResult:
    """Makes a list or a plain value the whole of a section. A fault is told at its place there."""
    try:
        document = wire.make_document(wrapped(value), limits, section)
    except InvalidDocument as error:
        inside = f"/{sections.WRAPPER}"
        raise InvalidDocument.from_problems(
            [replace(each, pointer=each.pointer.removeprefix(inside)) for each in error.problems]
        ) from None
    return versions.put(transaction, Series(section), document)


def _set_keys(
    transaction: Transaction,
    section: str,
    values: dict[str, Any],
    limits: DocumentLimits,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Writes keys over what is there."""
    before = _current(transaction, section) or {}
    if before.keys() == {sections.WRAPPER}:
        raise InvalidDocument.from_problems(
            [Problem("", "It is a value, and has no keys.", "type")]
        )
    return _put(transaction, section, {**before, **values}, limits, expect)


def _put(
    transaction: Transaction,
    section: str,
    document: dict[str, Any],
    limits: DocumentLimits,
    expect: Precondition,
) -> WriteResult:
    return versions.put(
        transaction, Series(section), wire.make_document(document, limits, section), expect
    )


def _current(transaction: Transaction, section: str) -> dict[str, Any] | None:
    """The current document of a section, None if there is none."""
    try:
        found = versions.current(transaction.reader, Series(section))
    except (errors.ServiceNotFound, errors.NoCurrentVersion):
        return None
    return wire.parse_stored(found.served)


# --- reading


@_door("GET", "/get", "config:read")
def get() -> ResponseData:
    """The bare value of a key, or a section."""
    section, key = request.args.get("section"), request.args.get("key", "")
    if not section:
        raise _missing("section")
    try:
        found = versions.current(auth.reader(), Series(section))
    except (errors.ServiceNotFound, errors.NoCurrentVersion):
        raise _Failure(404, "Configuration not found") from None
    document = wire.parse_stored(found.served)
    if not key:
        return json_response(unwrapped(document))
    if key not in document or key == sections.WRAPPER:
        raise _Failure(404, "Configuration not found")
    return json_response(document[key])


@_door("GET", "/export", "config:read")
def export() -> ResponseData:
    """Every section. It has an entry in the audit log before it is answered."""
    wanted = request.args.get("format", "json").lower()
    if wanted not in _FORMATS:
        raise _Failure(400, "Unsupported format. Choose 'json', 'yaml', or 'toml'.")
    found = {}
    size = 0
    for name, document in bulk.export(auth.reader()):
        size += len(document.text)
        if size > database.of().settings.answer_bytes:
            raise _Failure(413, "There is too much for one answer; use GET /api/v1/export.")
        found[name] = unwrapped(document.value)
    format_ = formats.FORMATS[_FORMATS[wanted]]
    if format_.name == "json":
        answer = json_response(found)
    else:
        text = asked.encode(format_, found, size)
        answer = ResponseData(text.encode(), media_type=format_.media_type)
    facts = {"prefix": "", "format": format_.name, "services": len(found)}
    auditing.record_now(AuditKind.EXPORT, facts)
    return answer


@_door("GET", "/history", "config:read")
def history() -> ResponseData:
    """What happened to keys, newest first."""
    limit, offset = _number("limit", 1, _MOST_LISTED, 10), _number("offset", 0, 10**9, 0)
    found = sections.history(
        auth.reader(),
        request.args.get("section", ""),
        request.args.get("key", ""),
    )
    shown = [_shown(each) for each in found[offset : offset + limit]]
    return json_response({"total_count": len(found), "data": shown})


@_door("GET", "/updates", "config:read")
def updates() -> ResponseData:
    """A WebSocket: every set, delete and bulk update as it happens."""
    if (
        not asked.exchange_of_request().can_stream
        or request.headers.get("Accept") != "text/event-stream"
    ):
        raise _Failure(426, "Connect with a WebSocket.")
    head = read_head(reader_connection())
    watch = Subscription(auth.actor(), head.revision, head.epoch, shape="configs")
    if watch.reveals:
        secret_reads.record_secret_read("/")
    asked.exchange_of_request().subscription = watch
    return ResponseData()


def _shown(change: KeyChange) -> dict[str, Any]:
    return {
        "section": change.section,
        "key": change.key,
        "new_value": change.value,
        "timestamp": wire.format_time(change.changed_at),
        "updated_by": change.actor,
    }


# --- what is asked


def _missing(name: str) -> _Failure:
    return _Failure(422, [{"loc": ["query", name], "msg": "Field required", "type": "missing"}])


def _object() -> dict[str, Any]:
    value = asked.body_value()
    wire.require_unambiguous(value)
    if not isinstance(value, dict):
        raise InvalidDocument.from_problems([Problem("", "It must be a JSON object.", "type")])
    return value


def _refuse(faults: list[Problem]) -> None:
    if faults:
        raise InvalidDocument.from_problems(faults)


def _faults_of(section: str, values: Any) -> list[Problem]:
    """What is wrong with the keys and values, or the value, that a section is given."""
    pointer = f"/{escape_pointer(section)}"
    faults = _faults_of_section(pointer, section)
    if isinstance(values, dict):
        return faults + _faults_of_keys(pointer, values)
    return faults + _faults_of_value(pointer, values)


def _faults_of_keys(pointer: str, values: dict[str, Any]) -> list[Problem]:
    faults = []
    for key, value in values.items():
        place = f"{pointer}/{escape_pointer(key)}"
        faults += [*_faults_of_name(place, key), *_faults_of_value(place, value)]
    return faults


def _faults_of_section(pointer: str, name: Any) -> list[Problem]:
    """A section's name follows the rules for services as well."""
    faults = _faults_of_name(pointer, name)
    if faults:
        return faults
    try:
        wire.check_name(name)
    except Invalid as error:
        return [replace(each, pointer=pointer, parameter="") for each in error.problems]
    return []


def _faults_of_name(pointer: str, name: Any) -> list[Problem]:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return []
    return [Problem(pointer, "A name is made of a-z, 0-9, _ and -.", "name")]


def _faults_of_value(pointer: str, value: Any) -> list[Problem]:
    return [Problem(pointer, "It must be there, and not be null.", "null")] if value is None else []


def _number(name: str, least: int, most: int, default: int) -> int:
    text = request.args.get(name, str(default))
    number = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else -1
    if not least <= number <= most:
        said = f"It must be a whole number from {least} to {most}."
        raise _Failure(422, [{"loc": ["query", name], "msg": said, "type": "value_error"}])
    return number
