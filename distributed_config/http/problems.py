"""From what went wrong to what is answered. The one place that chooses HTTP status numbers.

Every error is one body, ``application/problem+json`` (RFC 9457), with the keys that the
``/config`` contract has always had: ``success``, ``error`` and ``message``.
"""

import json
import logging
from http import HTTPStatus
from typing import Any, cast

from flask import Flask, Response, g
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException

from distributed_config import errors
from distributed_config.errors import DistconfError, Problem, Unauthenticated, Unavailable
from distributed_config.http import database
from distributed_config.http.response import ResponseData, to_response
from distributed_config.live import metrics
from distributed_config.store.database import storage_error

STATUSES: dict[type[DistconfError], int] = {
    errors.Invalid: 422,
    errors.HostMissing: 400,
    errors.UnsupportedEncoding: 415,
    errors.PartialBody: 400,
    errors.TooLarge: 413,
    errors.TooSlow: 408,
    errors.NotFound: 404,
    errors.Gone: 410,
    errors.StillEnabled: 409,
    errors.DefinitionInUse: 409,
    errors.LastAdministrator: 409,
    errors.PreconditionFailed: 412,
    errors.NotRepresentable: 406,
    errors.Unauthenticated: 401,
    errors.Refused: 403,
    errors.MethodNotAllowed: 405,
    errors.StorageFull: 507,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
}

# The contract's words for these statuses; the others have HTTP's own.
_MESSAGES = {422: "unprocessable", 404: "resource not found"}

NOTHING_HERE = "There is nothing at this path. GET /api/docs shows what there is."

_logger = logging.getLogger(__name__)


def status_of(error: DistconfError) -> int:
    """The status of an error's class, or of the nearest class above it."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def problem_response(error: DistconfError) -> ResponseData:
    """``error`` as it is answered."""
    status = status_of(error)
    body: dict[str, Any] = {
        "type": f"urn:distributed-config:problem:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.detail,
        "code": error.code,
        "problems": [render_problem(each) for each in error.problems],
        "request_id": g.get("request_id", ""),
        "success": False,
        "error": status,
        "message": _MESSAGES.get(status, HTTPStatus(status).phrase.lower()),
    }
    if status == 409:
        body["reason"] = error.detail
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="distconf"'
    # Half a surrogate pair, told of in a problem, is written as the escape that it came as.
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return ResponseData(text, status, "application/problem+json", headers)


def init_errors(app: Flask) -> None:
    """Answers every error of ``app``, foreseen or not, in the one form."""

    @app.errorhandler(Exception)
    def _answer(error: Exception) -> Response:
        if isinstance(error, HTTPException) and (error.response or (error.code or 500) < 400):
            return cast(Response, Response.force_type(error.get_response()))
        response = to_response(problem_response(to_domain_error(error)))
        if isinstance(error, HTTPException):
            for name, text in error.get_headers():
                if name in {"Allow", "Location"}:
                    response.headers[name] = text
        return response


def to_domain_error(error: Exception) -> DistconfError:
    """What ``error`` is in the words of the domain; one that nobody foresaw is logged."""
    meant: DistconfError | None = None
    if isinstance(error, DistconfError):
        meant = error
    elif isinstance(error, exc.DBAPIError):
        meant = storage_error(error)
    elif isinstance(error, exc.TimeoutError):
        # More readers at once than connections; behind the front it cannot come to that.
        meant = errors.Overloaded()
    elif isinstance(error, HTTPException):
        meant = _from_http(error)
    if meant is None:
        # A mistake of ours: the log has all of it, the answer nothing but the request's id.
        _logger.error("unforeseen error", exc_info=error)
        meant = DistconfError("The server made a mistake. Its log has the details by request_id.")
    g.error_code = meant.code
    metrics.REFUSALS.labels(meant.code, meant.limit).inc()
    return meant


def _from_http(error: HTTPException) -> DistconfError:
    if error.code == 404:
        return errors.NotFound(NOTHING_HERE)
    if error.code == 405:
        return errors.MethodNotAllowed(
            "This path has no such method; the Allow header lists its own."
        )
    if error.code == 413:
        return errors.TooLarge("DISTCONF_BODY_BYTES", database.of().settings.body_bytes)
    if error.code and 400 <= error.code < 500:
        return errors.Invalid(error.description or "The request cannot be understood.")
    return DistconfError("The server made a mistake. Its log has the details by request_id.")


def render_problem(problem: Problem) -> dict[str, str]:
    """One fault as it is answered."""
    shown = {"pointer": problem.pointer, "message": problem.message, "rule": problem.rule}
    if problem.parameter:
        shown = {"parameter": problem.parameter, **shown}
    return shown
