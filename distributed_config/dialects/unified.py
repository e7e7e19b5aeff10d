"""The API of a "Unified Config" service: sections of keys.

A section is a service, and a key of it a top-level key of the current document. What is written
here makes versions like everything else; a section that is deleted has all its versions disabled,
so that it can be enabled again.
"""

import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from distributed_config import errors, formats, wire
from distributed_config.edge import auth, database, revealing
from distributed_config.edge import requests as asked
from distributed_config.edge.database import reading
from distributed_config.edge.errors import meant_by, status_of
from distributed_config.edge.publishing import publish
from distributed_config.edge.responses import Answer, json_answer, to_response
from distributed_config.errors import DistconfError, InvalidDocument
from distributed_config.live.feed import Watch
from distributed_config.services import journal as log
from distributed_config.services import sections, transfer, versions
from distributed_config.services.journal import Journal
from distributed_config.services.sections import KeyChange, unwrapped, wrapped
from distributed_config.wire import DocumentLimits

blueprint = Blueprint("unified", __name__, url_prefix="/config")

_NAME = re.compile(r"[a-z0-9_-]+")
_FORMATS = {"json": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml"}
_MOST_LISTED = 100

View = Callable[[], Answer]


class _Failure(DistconfError):
    """A refusal in the dialect's own form: a ``detail`` and nothing else."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status = status
        self.body = {"detail": detail}


def _door(method: str, path: str, permission: str) -> Callable[[View], View]:
    def register(view: View) -> View:
        @auth.allows(permission)
        def enter() -> Response:
            return to_response(view())

        endpoint = f"{view.__name__}_{method.lower()}"
        blueprint.add_url_rule(path, endpoint, enter, methods=[method])
        return view

    return register


@blueprint.errorhandler(Exception)
def _refused(error: Exception) -> Response:
    meant = meant_by(error)
    if not isinstance(meant, _Failure):
        faults = [_fault(each.pointer, each.message) for each in meant.problems]
        meant = _Failure(status_of(meant), faults or meant.detail)
    answer = json_answer(meant.body, Cache_Control="no-store")
    answer.status = meant.status
    if meant.status == 503:
        answer.headers["Retry-After"] = "1"
    return to_response(answer)


def _fault(pointer: str, message: str) -> dict[str, Any]:
    """One mistake in a body, as the original tells it."""
    place = ["body", *(part for part in pointer.split("/") if part)]
    return {"loc": place, "msg": message, "type": "value_error"}


# --- writing


@_door("POST", "/set", "config:write")
@_door("PUT", "/set", "config:write")
def set_values() -> Answer:
    """Sets one key of a section, or replaces the section."""
    body = _object()
    section = _name(body.get("section"), "/section")
    if body.get("key") is not None:
        key = _name(body["key"], "/key")
        changes = {key: _value(body.get("value"), "/value")}
        return _save({section: changes}, replace=False)
    return _save({section: _value(body.get("values"), "/values")}, replace=True)


@_door("PUT", "/update_bulk", "config:write")
def update_bulk() -> Answer:
    """Sets keys of several sections: all of them or none."""
    body = _object()
    if not body:
        raise _Failure(400, "Empty configuration payload.")
    faults = []
    for section, values in body.items():
        if not _NAME.fullmatch(section):
            faults.append(_fault(f"/{section}", "A name is made of a-z, 0-9, _ and -."))
        elif not isinstance(values, dict):
            faults.append(_fault(f"/{section}", "It must be an object of keys and values."))
        else:
            faults += _faults_of_keys(section, values)
    if faults:
        raise _Failure(422, faults)
    return _save(body, replace=False)


def _faults_of_keys(section: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    wrong = [key for key in values if not _NAME.fullmatch(key)]
    return [
        *(_fault(f"/{section}/{key}", "A name is made of a-z, 0-9, _ and -.") for key in wrong),
        *(
            _fault(f"/{section}/{key}", "It must not be null.")
            for key, value in values.items()
            if value is None
        ),
    ]


@_door("DELETE", "/delete", "config:write")
def delete() -> Answer:
    """Deletes a key, or a section."""
    section, key = request.args.get("section", ""), request.args.get("key", "")
    limits = asked.limits()

    def unit(journal: Journal) -> Answer:
        document = _current(journal, section)
        if document is None or (key and (key not in document or key == sections.WRAPPER)):
            raise _Failure(404, "Config not found.")
        if key:
            rest = {name: value for name, value in document.items() if name != key}
            _put(journal, section, rest, limits)
        else:
            versions.disable_service(journal, section)
        return json_answer({"status": "deleted"})

    return publish(unit)


def _save(changes: dict[str, Any], *, replace: bool) -> Answer:
    """Writes sections, in one commit: as they are given, or their keys over what is there."""
    limits = asked.limits()

    def unit(journal: Journal) -> Answer:
        for section, values in changes.items():
            before = None if replace else _current(journal, section)
            if before is not None and before.keys() == {sections.WRAPPER}:
                raise _Failure(422, [_fault(f"/{section}", "It is a value, and has no keys.")])
            after = wrapped(values) if replace else {**(before or {}), **values}
            _put(journal, section, after, limits)
        return json_answer({"message": "Configuration saved"})

    return publish(unit)


def _put(journal: Journal, section: str, document: dict[str, Any], limits: DocumentLimits) -> None:
    wire.check_name(section)
    versions.put(journal, section, wire.document_of(document, limits, section))


def _current(journal: Journal, section: str) -> dict[str, Any] | None:
    """The current document of a section, None if there is none."""
    try:
        found = versions.current(journal.connection, journal.realm, section)
    except (errors.ServiceNotFound, errors.NoCurrentVersion):
        return None
    return wire.parse_stored(found.served)


# --- reading


@_door("GET", "/get", "config:read")
def get() -> Answer:
    """The bare value of a key, or a section."""
    section, key = request.args.get("section"), request.args.get("key", "")
    if not section:
        raise _Failure(
            422, [{"loc": ["query", "section"], "msg": "Field required", "type": "missing"}]
        )
    try:
        found = versions.current(reading(), auth.actor().realm, section)
    except (errors.ServiceNotFound, errors.NoCurrentVersion):
        raise _Failure(404, "Configuration not found") from None
    document = wire.parse_stored(found.served)
    if not key:
        return json_answer(unwrapped(document))
    if key not in document or key == sections.WRAPPER:
        raise _Failure(404, "Configuration not found")
    return json_answer(document[key])


@_door("GET", "/export", "config:read")
def export() -> Answer:
    """Every section."""
    wanted = request.args.get("format", "json").lower()
    if wanted not in _FORMATS:
        raise _Failure(400, "Unsupported format. Choose 'json', 'yaml', or 'toml'.")
    found = {}
    size = 0
    for name, document in transfer.export(reading(), auth.actor().realm):
        size += len(document.text)
        if size > database.of().settings.answer_bytes:
            raise _Failure(413, "There is too much for one answer; use GET /api/v1/export.")
        found[name] = unwrapped(document.value)
    format_ = formats.FORMATS[_FORMATS[wanted]]
    if format_.name == "json":
        return json_answer(found)
    return Answer(asked.written(format_, found, size).encode(), media_type=format_.media_type)


@_door("GET", "/history", "config:read")
def history() -> Answer:
    """What happened to keys, newest first."""
    limit, offset = _number("limit", 1, _MOST_LISTED, 10), _number("offset", 0, 10**9, 0)
    found = sections.history(
        reading(),
        auth.actor().realm,
        request.args.get("section", ""),
        request.args.get("key", ""),
    )
    shown = [_shown(each) for each in found[offset : offset + limit]]
    return json_answer({"total_count": len(found), "data": shown})


@_door("GET", "/updates", "config:read")
def updates() -> Answer:
    """A WebSocket: every set, delete and bulk update as it happens."""
    if not asked.told().streams or request.headers.get("Accept") != "text/event-stream":
        raise _Failure(426, "Connect with a WebSocket.")
    head = log.head(reading())
    watch = Watch(auth.actor(), head.revision, head.epoch, shape="configs")
    if watch.reveals:
        revealing.note_reading("/")
    asked.told().stream = watch
    return Answer()


def _shown(change: KeyChange) -> dict[str, Any]:
    return {
        "section": change.section,
        "key": change.key,
        "new_value": change.value,
        "timestamp": wire.rfc3339(change.changed_at),
        "updated_by": change.actor,
    }


# --- what is asked


def _object() -> dict[str, Any]:
    value = asked.body_value()
    wire.refuse_ambiguous(value)
    if not isinstance(value, dict):
        raise InvalidDocument.of([errors.Problem("", "It must be a JSON object.", "type")])
    return value


def _name(value: Any, pointer: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _Failure(422, [_fault(pointer, "A name is made of a-z, 0-9, _ and -.")])
    return value


def _value(value: Any, pointer: str) -> Any:
    if value is None:
        raise _Failure(422, [_fault(pointer, "It must be there, and not be null.")])
    if pointer == "/values" and isinstance(value, dict):
        faults = _faults_of_keys("values", value)
        if faults:
            raise _Failure(422, faults)
    return value


def _number(name: str, least: int, most: int, default: int) -> int:
    text = request.args.get(name, str(default))
    number = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else -1
    if not least <= number <= most:
        said = f"It must be a whole number from {least} to {most}."
        raise _Failure(422, [{"loc": ["query", name], "msg": said, "type": "value_error"}])
    return number
