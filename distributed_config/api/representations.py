"""Representations of a configuration: a version or all of them, in a format, with an entity tag."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from distributed_config import wire
from distributed_config.errors import Invalid, NoCurrentVersion, Problem
from distributed_config.formats import Format
from distributed_config.http import auth, database
from distributed_config.http import request as http_request
from distributed_config.http.conditions import Times
from distributed_config.http.response import ResponseData
from distributed_config.http.series import series_of
from distributed_config.json_schema import fill_defaults
from distributed_config.services import definitions, versions
from distributed_config.services.definitions import Definition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.versions import Version


@dataclass(frozen=True)
class Representation:
    """A representation (RFC 9110, section 3.2): the response, and when it changed last.

    ``modified_at`` is in microseconds; ``times`` returns the last times at which it changed,
    newest first, and reads the database only when a condition names a date. ``basis`` are the
    series that it is made of, or would be if they had a document.
    """

    response: ResponseData
    modified_at: int
    times: Times
    basis: tuple[Series, ...]


@dataclass(frozen=True)
class _Form:
    """How documents are written: the format, and the definition whose defaults are filled in."""

    format: Format
    definition: Definition | None

    @property
    def variant(self) -> str:
        """The part of an entity tag that tells forms apart: a strong tag is about the bytes."""
        if self.definition is None:
            return self.format.name
        return f"{self.format.name}.defaults-{self.definition.digest[:16]}"

    def text(self, stored: str) -> str:
        """Return a stored document as JSON: byte for byte, unless defaults are filled in."""
        if self.definition is None:
            return stored
        return json.dumps(self.value(stored), ensure_ascii=False)

    def value(self, stored: str) -> dict[str, Any]:
        """Return a stored document's value."""
        value = wire.parse_stored(stored)
        return value if self.definition is None else fill_defaults(self.definition.schema, value)


def select(query: dict[str, Any], head: Head) -> Representation:
    """Return what ``query`` selects, as the journal stands at ``head``.

    Raises ServiceNotFound, VersionNotFound, VersionDeleted, NoCurrentVersion, Invalid for an
    ``as_of`` that cannot be answered, and NotRepresentable.
    """
    form = _requested_form(query)
    reader, series, which = auth.reader(), series_of(query), query["version"]
    if query["resolved"]:
        return _resolved(series, query["as_of"], head, form)
    if query["as_of"] is not None:
        return _one(series, _as_of(series, query["as_of"], head), head, form, is_fixed=True)
    if which == "current":
        return _one(series, versions.current(reader, series), head, form)
    if which is not None:
        version = versions.numbered(reader, series, int(which))
        return _one(series, version, head, form, is_fixed=True)
    # Without version= the response depends on how many versions there are. That is the frozen
    # contract, and why programs should name the one that they want.
    existing = versions.all_existing(reader, series, database.of().settings.answer_bytes)
    if len(existing) > 1:
        return _all(series, existing, head, form)
    if not existing or not existing[0].enabled:
        raise NoCurrentVersion(series.service)
    return _one(series, existing[0], head, form)


def _resolved(series: Series, moment: str | None, head: Head, form: _Form) -> Representation:
    """Represent the resolved document of now, or of ``moment``, with the layers it is made of."""
    at = None if moment is None else _revision_of(series, moment, head)
    found = versions.resolved(auth.reader(), series, at)
    version = found.version
    headers = {"Config-Layers": ", ".join(map(str, found.layers))}
    if found.uses:
        headers["Config-Uses"] = ", ".join(found.uses)
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    response = _response(version, head, form)
    response.headers |= headers
    basis = tuple(Series(*pair) for pair in sorted(found.basis))
    # Which of two changes within one second a client has seen, its date cannot tell.
    times: Times = lambda: (version.moved_at, version.moved_at)  # noqa: E731  # as below
    return Representation(response, version.moved_at, times, basis)


def _requested_form(query: dict[str, Any]) -> _Form:
    definition = None
    if query["defaults"]:
        definition = definitions.of_service(auth.reader(), series_of(query))
    return _Form(http_request.negotiate_format(query["format"]), definition)


def _as_of(series: Series, moment: str, head: Head) -> Version:
    """Return the version that was current at ``moment``, a revision or an RFC 3339 time."""
    point = _point_in_time(series, moment, head)
    if isinstance(point, Revision):
        return versions.as_of_revision(auth.reader(), series, point.number)
    return versions.as_of_time(auth.reader(), series, point)


def _revision_of(series: Series, moment: str, head: Head) -> int:
    """Return the revision at ``moment``, a revision or an RFC 3339 time."""
    point = _point_in_time(series, moment, head)
    if isinstance(point, Revision):
        return point.number
    return versions.revision_at(database.reader_connection(), point)


@dataclass(frozen=True)
class Revision:
    """A position in the journal, as opposed to a time."""

    number: int


def _point_in_time(series: Series, moment: str, head: Head) -> Revision | int:
    """Return the revision or the time, in microseconds, that ``moment`` names.

    Raises Invalid for neither, and for what is to come.
    """
    # Up to 18 digits, which always fit into the 64 bits of a revision; more of them are no time
    # either, and end below.
    if moment.isascii() and moment.isdigit() and len(moment) < 19:
        if int(moment) > head.revision:
            raise _in_future(series, f"The newest revision is {head.revision}.")
        return Revision(int(moment))
    try:
        time = wire.parse_time(moment)
    except (ValueError, OverflowError):
        message = "It is neither a revision nor a time as in 2026-11-21T09:30:00Z."
        raise Invalid.from_problems([Problem("", message, "time", "as_of")]) from None
    # The journal's times can be ahead of a clock that was set back.
    latest = max(wire.now(), head.changed_at)
    if time > latest:
        raise _in_future(series, f"Here it is {wire.format_time(latest)}.")
    return time


def _in_future(series: Series, now: str) -> Invalid:
    """Return the error for a moment to come: what is current then may still change."""
    versions.require(auth.reader(), series)  # an unknown service is the more important error
    message = f"It lies in the future. {now} Leave as_of out for what is current."
    return Invalid.from_problems([Problem("", message, "time", "as_of")])


def _response(version: Version, head: Head, form: _Form) -> ResponseData:
    """Return the response with one document."""
    if form.format.name == "json":
        text = form.text(version.served)
    else:
        text = http_request.encode(form.format, form.value(version.served), version.size)
    # A masked document and the same in the clear have different tags: no cache may take one for
    # the other.
    variant = f"{form.variant}.{version.view}" if version.view else form.variant
    headers = {
        "ETag": wire.version_etag(head.epoch, version.number, version.stamp, variant),
        "Config-Version": str(version.number),
    }
    return ResponseData(text.encode(), 200, form.format.media_type, headers)


def _one(
    series: Series, version: Version, head: Head, form: _Form, is_fixed: bool = False
) -> Representation:
    """Represent one version; ``is_fixed``: the query selects it whatever becomes current."""
    response = _response(version, head, form)
    times: Times = partial(versions.version_times, auth.reader(), series)
    known = version.moved_at
    # Marks of secrets, and defaults, can change how a version looks that stays what it is.
    if version.may_have_secrets or form.definition is not None:
        times, known = partial(versions.change_times, auth.reader(), series), 0
    elif is_fixed:
        times, known = lambda: (version.created_at,), version.created_at
    # Most versions were read together with this time; only the others take another query.
    return Representation(response, known or times()[0], times, (series,))


def _all(series: Series, existing: list[Version], head: Head, form: _Form) -> Representation:
    """Represent every version that still exists.

    Which of them are disabled is not in the body, but it decides what is current: so it is in the
    tag and in a header.
    """
    size = sum(version.size for version in existing)
    texts = {str(version.number): form.text(version.served) for version in existing}
    body = http_request.encode(form.format, texts, size).encode()
    enabled = [version for version in existing if version.enabled]
    disabled = ",".join(str(version.number) for version in existing if not version.enabled)
    headers = {}
    digest = wire.digest_of(body.decode() + disabled)
    variant = f"all-{form.variant}.{digest[:16]}"
    if enabled:
        newest = enabled[-1]
        headers["ETag"] = wire.version_etag(head.epoch, newest.number, newest.stamp, variant)
        headers["Config-Version"] = str(newest.number)
    else:
        headers["ETag"] = wire.absent_etag(head.epoch, existing[-1].life, f".{variant}")
    if disabled:
        headers["Config-Disabled"] = disabled
    response = ResponseData(body, 200, form.format.media_type, headers)
    can_look_different = existing[-1].may_have_secrets or form.definition is not None
    times_of = versions.change_times if can_look_different else versions.version_times
    times = partial(times_of, auth.reader(), series)
    return Representation(response, times()[0], times, (series,))
