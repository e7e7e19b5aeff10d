"""Reads of the dialect: a value, a section, all of them, and what happened to keys."""

import re
from typing import Any

from flask import request

from distributed_config import errors, formats, wire
from distributed_config.dialects.base import environment
from distributed_config.dialects.unified.errors import failure, invalid_parameter, missing
from distributed_config.dialects.unified.routes import route
from distributed_config.http import auditing, auth, database
from distributed_config.http import request as http_request
from distributed_config.http.response import ResponseData, json_response
from distributed_config.services import bulk, sections, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.sections import KeyChange, unwrapped

_FORMATS = {"json": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml"}
_MOST_LISTED = 100


@route("GET", "/get", "config:read")
def get() -> ResponseData:
    """Return the bare value of a key, or a section."""
    section, key = request.args.get("section"), request.args.get("key", "")
    if not section:
        raise missing("section")
    try:
        version = versions.current(auth.reader(), Series(section, environment()))
    except (errors.ServiceNotFound, errors.NoCurrentVersion):
        raise failure(404, "Configuration not found") from None
    document = wire.parse_stored(version.served)
    if not key:
        return json_response(unwrapped(document))
    if key not in document or key == sections.WRAPPER:
        raise failure(404, "Configuration not found")
    return json_response(document[key])


@route("GET", "/export", "config:read")
def export() -> ResponseData:
    """Return every section. The audit log has an entry of it before the response is sent."""
    name = request.args.get("format", "json").lower()
    if name not in _FORMATS:
        raise failure(400, "Unsupported format. Choose 'json', 'yaml', or 'toml'.")
    place = environment()
    values = {}
    size = 0
    for section, document in bulk.export(auth.reader(), environment=place):
        size += len(document.text)
        if size > database.of().settings.answer_bytes:
            # All of it is in memory at once, and several such requests can be.
            raise failure(413, "There is too much for one answer; use GET /api/v1/export.")
        values[section] = unwrapped(document.value)
    format_ = formats.FORMATS[_FORMATS[name]]
    if format_.name == "json":
        response = json_response(values)
    else:
        text = http_request.encode(format_, values, size)
        response = ResponseData(text.encode(), media_type=format_.media_type)
    facts = {"prefix": "", "format": format_.name, "services": len(values)}
    if place != DEFAULT_ENVIRONMENT:
        facts["environment"] = place
    # The entry is on disk before the response is sent, as with our own export.
    auditing.record_now(AuditKind.EXPORT, facts)
    return response


@route("GET", "/history", "config:read")
def history() -> ResponseData:
    """Return what happened to keys, newest first."""
    limit, offset = _number("limit", 1, _MOST_LISTED, 10), _number("offset", 0, 10**9, 0)
    # All of it is read for the total, which the dialect has; our own API has cursors instead.
    changes = sections.history(
        auth.reader(),
        request.args.get("section", ""),
        request.args.get("key", ""),
        environment(),
    )
    data = [_render(change) for change in changes[offset : offset + limit]]
    return json_response({"total_count": len(changes), "data": data})


def _render(change: KeyChange) -> dict[str, Any]:
    return {
        "section": change.section,
        "key": change.key,
        "new_value": change.value,
        "timestamp": wire.format_time(change.changed_at),
        "updated_by": change.actor,
    }


def _number(name: str, least: int, most: int, default: int) -> int:
    text = request.args.get(name, str(default))
    number = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else -1
    if not least <= number <= most:
        raise invalid_parameter(name, f"It must be a whole number from {least} to {most}.")
    return number
