"""The OpenAPI 3.1 document, read off the routes."""

import re
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask

from distributed_config import __version__
from distributed_config.api import examples
from distributed_config.http import auth
from distributed_config.http import request as http_request
from distributed_config.http.routes import Route
from distributed_config.schemas import answers

_DOCUMENT = {
    "type": "object",
    "description": "A configuration: any JSON object.",
    "additionalProperties": True,
}
_FORM = {
    "type": "object",
    "properties": {"username": {"type": "string"}, "password": {"type": "string"}},
    "required": ["username", "password"],
}
_OPERATIONS = {"type": "array", "items": {"type": "object"}, "description": "RFC 6902."}
_MEDIA_TYPES = ("application/json", "application/yaml", "application/toml")

ELSEWHERE = "elsewhere"
"""Stands, among the answers of a route, for a redirect."""

# Any request can be refused for where it came from, for a body that is late or too large, for too
# many requests by the same client, and because too many are waiting.
_ANYWHERE = {403, 408, 413, 429, 503}

_TAGS = {
    "config": ("Configurations", "Read and write: the one endpoint that programs need."),
    "services": ("Services", "The list, tags, definitions and secrets of services."),
    "versions": ("Versions", "History, differences and the way back."),
    "environments": ("Environments", "Variants of every service, and the way between them."),
    "changes": ("Changes", "The journal: what happened, as a list and as it happens."),
    "changesets": ("Changesets", "Several services in one revision, all or none."),
    "transfer": ("Export and import", "The current documents of all services, out and in."),
    "definitions": ("Definitions", "JSON Schemas that services conform to."),
    "accounts": ("Accounts", "Organisations, users, memberships, roles and tokens."),
    "audit": ("Audit", "Every action and every refusal, in one chain of hashes."),
    "login": ("Log-in", "Sessions of people, and tokens by OAuth 2."),
    "oidc": ("Log-in", "Sessions of people, and tokens by OAuth 2."),
    "health": ("Operations", "Probes and metrics."),
    "docs": ("Documentation", "This description, as data and as a page."),
}
"""The tag of a blueprint's operations, and what the tag is about; in the order of the page."""

_HEADERS: dict[str, dict[str, Any]] = {
    "If-Match": {"description": "Go on only if this entity tag is still current."},
    "If-Unmodified-Since": {
        "description": "Go on only if nothing changed after this date. Ignored beside If-Match."
    },
    "If-None-Match": {"description": "The entity tag that is known already."},
    "If-Modified-Since": {
        "description": "The date of what is known already. Ignored beside If-None-Match."
    },
    "Prefer": {"description": "`wait=30`: with If-None-Match, wait so many seconds for a change."},
    "Last-Event-ID": {"description": "Of a stream: the event that was seen last."},
    "Idempotency-Key": {
        "description": "Repeating key and request within 24 h returns the first response again.",
        "maxLength": 255,
    },
    "Config-Note": {"description": "Why; instead of note=."},
}


def document(app: Flask, is_open: bool) -> dict[str, Any]:
    """Return the description of every route of ``app``; ``is_open``: no route needs a token."""
    spec = APISpec(
        title="Distributed Config",
        version=__version__,
        openapi_version="3.1.0",
        info={
            "description": "Numbered JSON versions of services' configurations.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        plugins=[MarshmallowPlugin(schema_name_resolver=_name_of)],
        tags=[{"name": name, "description": text} for name, text in dict(_TAGS.values()).items()],
    )
    spec.components.schema("Problem", schema=answers.Problem)
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    # In the order in which they were registered, so that the document is the same everywhere.
    for rule in app.url_map.iter_rules():
        route: Route | None = getattr(app.view_functions[rule.endpoint], "route", None)
        if route is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            operation = _operation(rule.endpoint, route)
            if not is_open and route.permission != auth.PUBLIC:
                operation["security"] = [{"token": []}]
            spec.path(path, operations={route.method.lower(): operation})
    description: dict[str, Any] = spec.to_dict()
    for operations in description["paths"].values():
        for operation in operations.values():
            _remove_null(operation["parameters"])
    return description


def _remove_null(parameters: list[dict[str, Any]]) -> None:
    """Remove ``null`` from the types of parameters, where apispec puts it for optional ones.

    A URL cannot hold null: such a parameter is left out.
    """
    for schema in (parameter["schema"] for parameter in parameters):
        if isinstance(schema.get("type"), list):
            kinds = [kind for kind in schema["type"] if kind != "null"]
            schema["type"] = kinds[0] if len(kinds) == 1 else kinds
        if "default" in schema and schema["default"] is None:
            del schema["default"]
        if None in schema.get("enum", ()):
            schema["enum"] = [value for value in schema["enum"] if value is not None]


def _operation(endpoint: str, route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "tags": [_TAGS[endpoint.split(".")[-2]][0]],
        "summary": route.summary,
        "x-permission": route.permission,
        "parameters": _parameters(route),
        "responses": {str(status): _answer(kind) for status, kind in route.answers.items()},
    }
    if route.description:
        operation["description"] = route.description
    # These follow from what the route states, so that no route has to list them.
    unknown = set() if route.permission == auth.PUBLIC else {401}
    writing = set() if route.method == "GET" else {400, 415}
    for status in sorted(_ANYWHERE | unknown | writing | {*route.refusals}):
        operation["responses"][str(status)] = {
            "description": "See `code` and `detail`.",
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
    body = _body(route)
    if body:
        # A PATCH that only turns a version on or off has no body.
        operation["requestBody"] = {"required": route.method != "PATCH", "content": body}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if route.query is not None:
        parameters.append({"in": "query", "schema": route.query})
    for name in route.headers:
        about = dict(_HEADERS[name])
        parameters.append(
            {
                "in": "header",
                "name": name,
                "required": False,
                "description": about.pop("description"),
                "schema": {"type": "string", **about},
            }
        )
    return parameters


def _body(route: Route) -> dict[str, Any]:
    if route.body is not None:
        example = examples.BODIES[route.body.__name__]
        return {"application/json": {"schema": route.body, "example": example}}
    contents = {kind: _content(kind) for kind in route.body_types}
    if route.example is not None:
        contents["application/json"]["example"] = route.example
    return contents


def _content(kind: str) -> dict[str, Any]:
    """Return the schema of a body of the media type ``kind``, and an example where it is JSON."""
    if kind == http_request.JSON_PATCH:
        return {"schema": _OPERATIONS, "example": examples.JSON_PATCH}
    if kind == http_request.FORM:
        return {"schema": _FORM, "example": examples.FORM}
    if kind == http_request.MERGE_PATCH:
        return {"schema": _DOCUMENT, "example": examples.MERGE_PATCH}
    if kind == "application/json":
        return {"schema": _DOCUMENT, "example": examples.DOCUMENT}
    return {"schema": _DOCUMENT}


def _answer(kind: Any) -> dict[str, Any]:
    if kind == "":
        return {"description": "Nothing new."}
    if kind == ELSEWHERE:
        return {"description": "The Location header says where to go on."}
    if kind == "document":
        content: dict[str, Any] = {media_type: {"schema": _DOCUMENT} for media_type in _MEDIA_TYPES}
        for other in ("text/x-env", "text/x-java-properties"):
            content[other] = {"schema": {"type": "string"}}
        return {"description": "The configuration.", "content": content}
    if isinstance(kind, str | tuple):
        types = (kind,) if isinstance(kind, str) else kind
        content = {
            name: {"schema": {"type": "object" if name == "application/json" else "string"}}
            for name in types
        }
        return {"description": "The response.", "content": content}
    return {"description": "The response.", "content": {"application/json": {"schema": kind}}}


def _name_of(schema: Any) -> str:
    cls = schema if isinstance(schema, type) else type(schema)
    return str(cls.__name__)
