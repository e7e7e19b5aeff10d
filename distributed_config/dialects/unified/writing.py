"""Writes of the dialect: a key, a section, or several sections at once."""

import re
from dataclasses import replace
from typing import Any

from flask import request

from distributed_config import errors, wire
from distributed_config.dialects.base import environment, refuse_preconditions, write
from distributed_config.dialects.unified.errors import failure, missing
from distributed_config.dialects.unified.routes import route
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.http import auth, conditions, database
from distributed_config.http import request as http_request
from distributed_config.http.response import ResponseData, json_response
from distributed_config.services import changesets, sections, versions
from distributed_config.services.changesets import Step
from distributed_config.services.documents.preconditions import Precondition, no_precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.sections import wrapped
from distributed_config.services.versions import WriteResult
from distributed_config.wire import DocumentLimits, escape_pointer

_NAME = re.compile(r"[a-z0-9_-]+")


@route("POST", "/set", "config:write")
@route("PUT", "/set", "config:write")
def set_values() -> ResponseData:
    """Set one key of a section, or replace the section."""
    body = _body_object()
    key, value, values = body.get("key"), body.get("value"), body.get("values")
    problems = _section_problems("/section", body.get("section"))
    # A null key counts as none: the request then is about the whole section.
    if key is not None:
        problems += [*_name_problems("/key", key), *_value_problems("/value", value)]
    else:
        problems += _value_problems("/values", values)
        problems += _key_problems("/values", values if isinstance(values, dict) else {})
    _raise_if_any(problems)
    series = Series(body["section"], environment())
    limits, expect = http_request.document_limits(), conditions.precondition()
    if key is None:
        return write(_put, series, wrapped(values), limits, expect, render=_render_saved)
    return write(_set_keys, series, {key: value}, limits, expect, render=_render_saved)


def _render_saved(_written: WriteResult, _head: Head) -> ResponseData:
    return json_response({"message": "Configuration saved"})


@route("PUT", "/update_bulk", "config:write")
def update_bulk() -> ResponseData:
    """Set keys of several sections, or replace those that have none: all of them or none."""
    refuse_preconditions(
        "This writes several sections, and it would be about one. Leave it out, or use "
        "POST /api/v1/changesets with if_match for each.",
        "If-Match",
        "If-None-Match",
        "If-Unmodified-Since",
    )
    body = _body_object()
    if not body:
        raise failure(400, "Empty configuration payload.")
    most = database.of().settings.changeset_services
    if len(body) > most:
        message = (
            f"At most {most} sections are written at once (DISTCONF_CHANGESET_SERVICES). "
            "Send them in parts."
        )
        # Alone, and before the sections: with too many of them their problems would be too many as
        # well.
        _raise_if_any([Problem("", message, "limit")])
    _raise_if_any(
        [problem for section, values in body.items() for problem in _bulk_problems(section, values)]
    )
    place, limits = environment(), http_request.document_limits()
    # Once, and not as a problem of each section.
    require_visible(auth.reader(), place)
    steps = [_step(Series(section, place), values, limits) for section, values in body.items()]
    return write(changesets.publish, steps, render=_render_updated)


def _render_updated(_written: list[WriteResult], _head: Head) -> ResponseData:
    return json_response({"message": "Configurations updated successfully!"})


@route("DELETE", "/delete", "config:write")
def delete() -> ResponseData:
    """Delete a key, or a section."""
    section, key = request.args.get("section"), request.args.get("key", "")
    if section is None:
        raise missing("section")
    series = Series(section, environment())
    limits, expect = http_request.document_limits(), conditions.precondition()
    return write(_delete, series, key, limits, expect, render=_render_deleted)


def _delete(
    transaction: Transaction, series: Series, key: str, limits: DocumentLimits, expect: Precondition
) -> None:
    """Delete ``key``; "": the section."""
    document = _current(transaction, series)
    # The wrapper is how a value is stored; to a client it is no key.
    if document is None or (key and (key not in document or key == sections.WRAPPER)):
        raise failure(404, "Config not found.")
    if key:
        # Null would stay as a value; a key is deleted by leaving it out of the next version.
        rest = {name: value for name, value in document.items() if name != key}
        _put(transaction, series, rest, limits, expect)
    else:
        # The versions stay, disabled: whoever deleted a section by mistake can enable it again.
        versions.disable_service(transaction, series, expect)


def _render_deleted(_nothing: None, _head: Head) -> ResponseData:
    return json_response({"status": "deleted"})


# --- verbs


def _step(series: Series, values: Any, limits: DocumentLimits) -> Step:
    """Return the step that writes one section of several; its problems are at ``/section/key``."""

    def act(transaction: Transaction) -> WriteResult:
        if isinstance(values, dict):
            return _set_keys(transaction, series, values, limits)
        return _replace(transaction, series, values, limits)

    pointer = f"/{series.service}"
    return Step(pointer, pointer, series, act, literal=True)


def _replace(
    transaction: Transaction, series: Series, value: Any, limits: DocumentLimits
) -> WriteResult:
    """Make a list or a plain value the whole of a section.

    Problems are at their place in ``value``: the client knows nothing of the key it is stored
    under.
    """
    try:
        document = wire.make_document(wrapped(value), limits, series.service)
    except InvalidDocument as error:
        inside = f"/{sections.WRAPPER}"
        raise InvalidDocument.from_problems(
            [
                replace(problem, pointer=problem.pointer.removeprefix(inside))
                for problem in error.problems
            ]
        ) from None
    return versions.put(transaction, series, document)


def _set_keys(
    transaction: Transaction,
    series: Series,
    values: dict[str, Any],
    limits: DocumentLimits,
    expect: Precondition = no_precondition,
) -> WriteResult:
    """Write keys over those that the section has."""
    # Read inside the transaction, so that keys that others write at the same time survive.
    before = _current(transaction, series) or {}
    if before.keys() == {sections.WRAPPER}:
        raise InvalidDocument.from_problems(
            [Problem("", "It is a value, and has no keys.", "type")]
        )
    return _put(transaction, series, {**before, **values}, limits, expect)


def _put(
    transaction: Transaction,
    series: Series,
    document: dict[str, Any],
    limits: DocumentLimits,
    expect: Precondition,
) -> WriteResult:
    return versions.put(
        transaction, series, wire.make_document(document, limits, series.service), expect
    )


def _current(transaction: Transaction, series: Series) -> dict[str, Any] | None:
    """Return the current document of a section; None if there is none."""
    try:
        version = versions.current(transaction.reader, series)
    except (errors.ServiceNotFound, errors.NoCurrentVersion):
        return None
    return wire.parse_stored(version.served)


# --- bodies


def _body_object() -> dict[str, Any]:
    value = http_request.body_value()
    wire.require_unambiguous(value)
    if not isinstance(value, dict):
        raise InvalidDocument.from_problems([Problem("", "It must be a JSON object.", "type")])
    return value


def _raise_if_any(problems: list[Problem]) -> None:
    if problems:
        raise InvalidDocument.from_problems(problems)


def _bulk_problems(section: str, values: Any) -> list[Problem]:
    """Return what is wrong with a section's name, and with its keys and values or its value."""
    pointer = f"/{escape_pointer(section)}"
    problems = _section_problems(pointer, section)
    if isinstance(values, dict):
        return problems + _key_problems(pointer, values)
    return problems + _value_problems(pointer, values)


def _key_problems(pointer: str, values: dict[str, Any]) -> list[Problem]:
    problems = []
    for key, value in values.items():
        place = f"{pointer}/{escape_pointer(key)}"
        problems += [*_name_problems(place, key), *_value_problems(place, value)]
    return problems


def _section_problems(pointer: str, name: Any) -> list[Problem]:
    """Return what is wrong with a section's name, which has to be a service's name as well."""
    problems = _name_problems(pointer, name)
    if problems:
        return problems
    try:
        wire.check_name(name)
    except Invalid as error:
        return [replace(problem, pointer=pointer, parameter="") for problem in error.problems]
    return []


def _name_problems(pointer: str, name: Any) -> list[Problem]:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return []
    return [Problem(pointer, "A name is made of a-z, 0-9, _ and -.", "name")]


def _value_problems(pointer: str, value: Any) -> list[Problem]:
    # To those who watch, null says that a key was deleted; so no key can have that value.
    return [Problem(pointer, "It must be there, and not be null.", "null")] if value is None else []
