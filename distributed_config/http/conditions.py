"""Conditions of a request, judged in the order of RFC 9110, section 13.2.2.

``If-Match``, or without it ``If-Unmodified-Since``: what is there must be what the asker knows.
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


def expectation() -> Precondition:
    """What the conditions of a write demand of what is there."""
    given = request.headers
    wanted, unwanted = given.get("If-Match"), given.get("If-None-Match")
    since = _date("If-Unmodified-Since") if wanted is None else None
    if wanted is None and unwanted is None and since is None:
        return no_precondition

    def holds(standing: Standing | None) -> bool:
        etag = None if standing is None else standing.etag
        if wanted is not None and not _names(wanted, etag):
            return False
        if since is not None and not _stands_since(standing, since):
            return False
        return unwanted is None or not _names(unwanted, etag)

    return holds


def _names(header: str, etag: str | None) -> bool:
    """Whether the entity tags in ``header`` name the version ``etag``; None is none."""
    return any(wire.etag_matches(tag, etag) for tag in wire.parse_etags(header))


def _stands_since(standing: Standing | None, since: int) -> bool:
    """Whether it did not change after ``since``; what is not there has no date, and passes."""
    return standing is None or is_unmodified(standing.times(), since)


def require_wanted(name: str, etag: str, times: Times, what: str = "service") -> None:
    """Raises PreconditionFailed if a reading wants what it knows, and that is not there.

    A reading names one representation, so that its tag must be the very same.
    """
    wanted = request.headers.get("If-Match")
    if wanted is not None:
        holds = any(tag in {"*", etag} for tag in wire.parse_etags(wanted))
    else:
        since = _date("If-Unmodified-Since")
        holds = since is None or is_unmodified(times(), since)
    if not holds:
        raise PreconditionFailed(name, etag, what)


def is_known(etag: str, times: Times) -> bool:
    """Whether the asker has the representation ``etag`` already."""
    known = request.headers.get("If-None-Match")
    if known is not None:
        tags = (tag.removeprefix("W/") for tag in wire.parse_etags(known))
        return any(tag in {"*", etag} for tag in tags)
    since = _date("If-Modified-Since")
    if since is None:
        return False
    found = times()
    return bool(found) and is_unmodified(found, since)


def _date(header: str) -> int | None:
    """A date, in seconds since 1970; one that is no date of HTTP's is ignored, as RFC 9110 says."""
    found = parse_date(request.headers.get(header))
    return None if found is None else int(found.timestamp())
