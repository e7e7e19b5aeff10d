"""From errors to responses: the one place that chooses HTTP status numbers.

Every error has one form of body, ``application/problem+json`` (RFC 9457), with the keys that the
``/config`` contract has always had: ``success``, ``error`` and ``message``.
"""

import json
import logging
from typing import Any, cast

from flask import Flask, Response, g
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

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
    errors.EnvironmentInUse: 409,
    errors.ServiceInUse: 409,
    errors.NotResolvable: 409,
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

# The contract's messages for these statuses; the others have HTTP's own phrases. These are
# werkzeug's: those of the standard library changed with Python 3.13.
_MESSAGES = {422: "unprocessable", 404: "resource not found"}

NOTHING_HERE = "There is nothing at this path. GET /api/docs shows what there is."

_OUR_MISTAKE = "The server made a mistake. Its log has the details by request_id."

_logger = logging.getLogger(__name__)


def status_of(error: DistconfError) -> int:
    """Return the status of an error's class, or of the nearest class above it."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def problem_response(error: DistconfError) -> ResponseData:
    """Return the response to ``error``; it must not be cached."""
    status = status_of(error)
    body: dict[str, Any] = {
        "type": f"urn:distributed-config:problem:{error.code}",
        "title": HTTP_STATUS_CODES[status],
        "status": status,
        "detail": error.detail,
        "code": error.code,
        "problems": [render_problem(problem) for problem in error.problems],
        "request_id": g.get("request_id", ""),
        "success": False,
        "error": status,
        "message": _MESSAGES.get(status, HTTP_STATUS_CODES[status].lower()),
    }
    if status == 409:
        body["reason"] = error.detail
    body |= error.members
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="distconf"'
    # A problem may quote half a surrogate pair, which UTF-8 cannot hold: it is escaped again.
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return ResponseData(text, status, "application/problem+json", headers)


def init_problems(app: Flask) -> None:
    """Answer every error of ``app``, foreseen or not, in the one form."""

    @app.errorhandler(Exception)
    def _answer(error: Exception) -> Response:
        # Werkzeug raises redirects and ready responses as exceptions: those are no errors.
        if isinstance(error, HTTPException) and (error.response or (error.code or 500) < 400):
            return cast(Response, Response.force_type(error.get_response()))
        response = to_response(problem_response(to_domain_error(error)))
        if isinstance(error, HTTPException):
            for name, text in error.get_headers():
                if name in {"Allow", "Location"}:
                    response.headers[name] = text
        return response


def to_domain_error(error: Exception) -> DistconfError:
    """Return ``error`` as one of the tree in ``errors``; log it if nobody foresaw it."""
    domain_error: DistconfError | None = None
    if isinstance(error, DistconfError):
        domain_error = error
    elif isinstance(error, exc.DBAPIError):
        domain_error = storage_error(error)
    elif isinstance(error, exc.TimeoutError):
        # More readers than connections; below the gateway there are as many as threads.
        domain_error = errors.Overloaded()
    elif isinstance(error, HTTPException):
        domain_error = _from_http(error)
    if domain_error is None:
        # A bug: the log has all of it, the response nothing but the request's id, because a
        # message of a library may hold a path, a query or a secret.
        _logger.error("unforeseen error", exc_info=error)
        domain_error = DistconfError(
            "The server made a mistake. Its log has the details by request_id."
        )
    g.error_code = domain_error.code
    metrics.REFUSALS.labels(domain_error.code, domain_error.limit).inc()
    return domain_error


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
    return DistconfError(_OUR_MISTAKE)


def render_problem(problem: Problem) -> dict[str, Any]:
    """Return one problem as it stands in a response."""
    rendered: dict[str, Any] = {
        "pointer": problem.pointer,
        "message": problem.message,
        "rule": problem.rule,
    }
    if problem.parameter:
        rendered = {"parameter": problem.parameter, **rendered}
    if problem.line:
        rendered |= {"line": problem.line, "column": problem.column}
    return rendered
