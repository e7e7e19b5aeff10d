"""The other pages of Tartarus: its greeting, its probes and its documentation."""

from flask import Response, request

from distributed_config import errors
from distributed_config.dialects.tartarus import openapi
from distributed_config.dialects.tartarus.routes import blueprint
from distributed_config.http import auth
from distributed_config.http.problems import NOTHING_HERE, problem_response
from distributed_config.http.response import ResponseData, json_response, to_response

_WELCOME = {"message": "Welcome to Tartarus API"}
_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'"


@blueprint.get("/<any(health, 'readiness-probe'):_probe>", strict_slashes=False)
@blueprint.get("/<any(health, 'readiness-probe'):_probe>/", strict_slashes=False)
@blueprint.get("/api/v1/<any(health, 'readiness-probe'):_probe>", strict_slashes=False)
@blueprint.get("/api/v1/<any(health, 'readiness-probe'):_probe>/", strict_slashes=False)
@auth.requires(auth.PUBLIC)
def healthy(_probe: str) -> Response:
    """Say that the process answers."""
    return to_response(json_response(_WELCOME))


@blueprint.get("/")
@auth.requires(auth.PUBLIC)
def welcome() -> Response:
    """Greet a client, which looks here whether the server is there.

    A person with a browser asks for HTML, and is better served with where to look.
    """
    # The path belongs to a client of the dialect only as long as it does not look like a browser.
    if "text/html" in request.headers.get("Accept", ""):
        return to_response(problem_response(errors.NotFound(NOTHING_HERE)))
    return to_response(json_response(_WELCOME))


@blueprint.get("/openapi.json")
@auth.requires(auth.PUBLIC)
def describe() -> Response:
    """Describe this API as OpenAPI 3.1."""
    return to_response(json_response(openapi.document()))


@blueprint.get("/docs")
@auth.requires(auth.PUBLIC)
def browse() -> Response:
    """Describe this API as a page."""
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    body = openapi.page().encode()
    return to_response(ResponseData(body, media_type="text/html; charset=utf-8", headers=headers))
