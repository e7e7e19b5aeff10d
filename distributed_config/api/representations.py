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
    newest first, and reads the database only when a condition names a date.
    """

    response: ResponseData
    modified_at: int
    times: Times


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
    reader, series, which = auth.reader(), Series(query["service"]), query["version"]
    if query["as_of"] is not None:
        return _one(_as_of(series, query["as_of"], head), head, form, is_fixed=True)
    if which == "current":
        return _one(versions.current(reader, series), head, form)
    if which is not None:
        return _one(versions.numbered(reader, series, int(which)), head, form, is_fixed=True)
    # Without version= the response depends on how many versions there are. That is the frozen
    # contract, and why programs should name the one that they want.
    existing = versions.all_existing(reader, series, database.of().settings.answer_bytes)
    if len(existing) > 1:
        return _all(existing, head, form)
    if not existing or not existing[0].enabled:
        raise NoCurrentVersion(series.service)
    return _one(existing[0], head, form)


def _requested_form(query: dict[str, Any]) -> _Form:
    definition = None
    if query["defaults"]:
        definition = definitions.of_service(auth.reader(), Series(query["service"]))
    return _Form(http_request.negotiate_format(query["format"]), definition)


def _as_of(series: Series, moment: str, head: Head) -> Version:
    """Return the version that was current at ``moment``, a revision or an RFC 3339 time."""
    # Up to 18 digits, which always fit into the 64 bits of a revision; more of them are no time
    # either, and end below.
    if moment.isascii() and moment.isdigit() and len(moment) < 19:
        if int(moment) > head.revision:
            raise _in_future(series, f"The newest revision is {head.revision}.")
        return versions.as_of_revision(auth.reader(), series, int(moment))
    try:
        time = wire.parse_time(moment)
    except (ValueError, OverflowError):
        message = "It is neither a revision nor a time as in 2026-11-21T09:30:00Z."
        raise Invalid.from_problems([Problem("", message, "time", "as_of")]) from None
    # The journal's times can be ahead of a clock that was set back.
    latest = max(wire.now(), head.changed_at)
    if time > latest:
        raise _in_future(series, f"Here it is {wire.format_time(latest)}.")
    return versions.as_of_time(auth.reader(), series, time)


def _in_future(series: Series, now: str) -> Invalid:
    """Return the error for a moment to come: what is current then may still change."""
    versions.require(auth.reader(), series)  # an unknown service is the more important error
    message = f"It lies in the future. {now} Leave as_of out for what is current."
    return Invalid.from_problems([Problem("", message, "time", "as_of")])


def _one(version: Version, head: Head, form: _Form, is_fixed: bool = False) -> Representation:
    """Represent one version; ``is_fixed``: the query selects it whatever becomes current."""
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
    response = ResponseData(text.encode(), 200, form.format.media_type, headers)
    times: Times = partial(_times_of_versions, version.service)
    known = version.moved_at
    # Marks of secrets, and defaults, can change how a version looks that stays what it is.
    if version.may_have_secrets or form.definition is not None:
        times, known = partial(_times_of_changes, version.service), 0
    elif is_fixed:
        times, known = lambda: (version.created_at,), version.created_at
    # Most versions were read together with this time; only the others take another query.
    return Representation(response, known or times()[0], times)


def _all(existing: list[Version], head: Head, form: _Form) -> Representation:
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
    times_of = _times_of_changes if can_look_different else _times_of_versions
    times = partial(times_of, existing[-1].service)
    return Representation(response, times()[0], times)


def _times_of_versions(name: str) -> tuple[int, ...]:
    return versions.version_times(auth.reader(), Series(name))


def _times_of_changes(name: str) -> tuple[int, ...]:
    return versions.change_times(auth.reader(), Series(name))
