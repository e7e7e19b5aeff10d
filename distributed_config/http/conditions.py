"""Conditional requests, evaluated in the order of RFC 9110, section 13.2.2.

``If-Match``, or without it ``If-Unmodified-Since``: the resource must be as the client knows it.
``If-None-Match``, or without it ``If-Modified-Since``: it must be something else.
"""

from collections.abc import Callable

from flask import request
from werkzeug.http import parse_date

from distributed_config import wire
from distributed_config.errors import PreconditionFailed
from distributed_config.services.documents.preconditions import (
    Precondition,
    Standing,
    is_unmodified,
    no_precondition,
)

Times = Callable[[], tuple[int, ...]]
"""Reads when a representation changed; called only where a date has to be compared."""


def precondition() -> Precondition:
    """Return what the headers of a write demand of the current state."""
    headers = request.headers
    match, none_match = headers.get("If-Match"), headers.get("If-None-Match")
    # RFC 9110: a date is ignored where there is an entity tag.
    since = _date("If-Unmodified-Since") if match is None else None
    if match is None and none_match is None and since is None:
        return no_precondition

    def holds(standing: Standing | None) -> bool:
        etag = None if standing is None else standing.etag
        if match is not None and not _matches(match, etag):
            return False
        if since is not None and not _is_unmodified(standing, since):
            return False
        return none_match is None or not _matches(none_match, etag)

    return holds


def _matches(header: str, etag: str | None) -> bool:
    """Whether a tag in ``header`` names the version of ``etag``; None: there is no version."""
    return any(wire.etag_matches(tag, etag) for tag in wire.parse_etags(header))


def _is_unmodified(standing: Standing | None, since: int) -> bool:
    """Whether nothing changed after ``since``; what does not exist has no date, and passes."""
    return standing is None or is_unmodified(standing.times(), since)


def require_match(name: str, etag: str, times: Times, what: str = "service") -> None:
    """Raise PreconditionFailed if a read demands a representation that is not the current one."""
    match = request.headers.get("If-Match")
    if match is not None:
        # A read names one representation, so that its tag must be the very same: the one of
        # another format, which a write may use, does not match here.
        holds = any(tag in {"*", etag} for tag in wire.parse_etags(match))
    else:
        since = _date("If-Unmodified-Since")
        holds = since is None or is_unmodified(times(), since)
    if not holds:
        raise PreconditionFailed(name, etag, what)


def is_not_modified(etag: str, times: Times) -> bool:
    """Whether the client has the representation ``etag`` already, and 304 is the response."""
    none_match = request.headers.get("If-None-Match")
    if none_match is not None:
        # The weak comparison of RFC 9110: caches may have weakened our tag.
        tags = (tag.removeprefix("W/") for tag in wire.parse_etags(none_match))
        return any(tag in {"*", etag} for tag in tags)
    since = _date("If-Modified-Since")
    if since is None:
        return False
    changed = times()
    return bool(changed) and is_unmodified(changed, since)


def _date(header: str) -> int | None:
    """Return a date in seconds since 1970; None if it is none, which RFC 9110 says to ignore."""
    date = parse_date(request.headers.get(header))
    return None if date is None else int(date.timestamp())
