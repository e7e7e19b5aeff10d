"""The OpenAPI 3.1 document, read off the doors."""

import re
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask

from distributed_config import __version__
from distributed_config.api import examples
from distributed_config.http import auth
from distributed_config.http import request as asked
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
"""The kind of an answer that sends a browser on."""

# Any request can be refused for where it came from, for a body that is late or too large, when
# whoever asks has asked too often, and when too many wait.
_ANYWHERE = {403, 408, 413, 429, 503}

_TAGS = {
    "config": ("Configurations", "Read and write: the one endpoint that programs need."),
    "services": ("Services", "The list, tags, definitions and secrets of services."),
    "versions": ("Versions", "History, differences and the way back."),
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
        "description": "Go on only if nothing changed after this date. Not heeded beside If-Match."
    },
    "If-None-Match": {"description": "The entity tag that is known already."},
    "If-Modified-Since": {
        "description": "The date of what is known already. Not heeded beside If-None-Match."
    },
    "Prefer": {"description": "`wait=30`: with If-None-Match, wait so long for news."},
    "Last-Event-ID": {"description": "Of a stream: the event that was seen last."},
    "Idempotency-Key": {
        "description": "The same key and request within 24 h is answered again, not done again.",
        "maxLength": 255,
    },
    "Config-Note": {"description": "Why, where note= is not given."},
}


def document(app: Flask, is_open: bool) -> dict[str, Any]:
    """The description of every door of ``app``; ``is_open``: nobody has to show a token."""
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
    for rule in app.url_map.iter_rules():
        found: Route | None = getattr(app.view_functions[rule.endpoint], "route", None)
        if found is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            operation = _operation(rule.endpoint, found)
            if not is_open and found.permission != auth.PUBLIC:
                operation["security"] = [{"token": []}]
            spec.path(path, operations={found.method.lower(): operation})
    made: dict[str, Any] = spec.to_dict()
    for operations in made["paths"].values():
        for operation in operations.values():
            _remove_null(operation["parameters"])
    return made


def _remove_null(parameters: list[dict[str, Any]]) -> None:
    """A parameter that may be left out is no ``null``: no URL can hold that."""
    for schema in (each["schema"] for each in parameters):
        if isinstance(schema.get("type"), list):
            kinds = [kind for kind in schema["type"] if kind != "null"]
            schema["type"] = kinds[0] if len(kinds) == 1 else kinds
        if "default" in schema and schema["default"] is None:
            del schema["default"]
        if None in schema.get("enum", ()):
            schema["enum"] = [each for each in schema["enum"] if each is not None]


def _operation(endpoint: str, described: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "tags": [_TAGS[endpoint.split(".")[-2]][0]],
        "summary": described.summary,
        "x-permission": described.permission,
        "parameters": _parameters(described),
        "responses": {str(status): _answer(kind) for status, kind in described.answers.items()},
    }
    if described.description:
        operation["description"] = described.description
    unknown = set() if described.permission == auth.PUBLIC else {401}
    writing = set() if described.method == "GET" else {400, 415}
    for status in sorted(_ANYWHERE | unknown | writing | {*described.refusals}):
        operation["responses"][str(status)] = {
            "description": "See `code` and `detail`.",
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
    body = _body(described)
    if body:
        operation["requestBody"] = {"required": described.method != "PATCH", "content": body}
    return operation


def _parameters(described: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if described.query is not None:
        parameters.append({"in": "query", "schema": described.query})
    for name in described.headers:
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


def _body(described: Route) -> dict[str, Any]:
    if described.body is not None:
        example = examples.BODIES[described.body.__name__]
        return {"application/json": {"schema": described.body, "example": example}}
    contents = {kind: _content(kind) for kind in described.body_types}
    if described.example is not None:
        contents["application/json"]["example"] = described.example
    return contents


def _content(kind: str) -> dict[str, Any]:
    """The schema, and where it is JSON an example, of a body of the media type ``kind``."""
    if kind == asked.JSON_PATCH:
        return {"schema": _OPERATIONS, "example": examples.JSON_PATCH}
    if kind == asked.FORM:
        return {"schema": _FORM, "example": examples.FORM}
    if kind == asked.MERGE_PATCH:
        return {"schema": _DOCUMENT, "example": examples.MERGE_PATCH}
    if kind == "application/json":
        return {"schema": _DOCUMENT, "example": examples.DOCUMENT}
    return {"schema": _DOCUMENT}


def _answer(kind: Any) -> dict[str, Any]:
    if kind == "":
        return {"description": "Nothing new."}
    if kind == ELSEWHERE:
        return {"description": "The Location header tells where to go on."}
    if kind == "document":
        content: dict[str, Any] = {media_type: {"schema": _DOCUMENT} for media_type in _MEDIA_TYPES}
        for other in ("text/x-env", "text/x-java-properties"):
            content[other] = {"schema": {"type": "string"}}
        return {"description": "The configuration.", "content": content}
    if isinstance(kind, str | tuple):
        types = (kind,) if isinstance(kind, str) else kind
        content = {
            each: {"schema": {"type": "object" if each == "application/json" else "string"}}
            for each in types
        }
        return {"description": "The answer.", "content": content}
    return {"description": "The answer.", "content": {"application/json": {"schema": kind}}}


def _name_of(schema: Any) -> str:
    cls = schema if isinstance(schema, type) else type(schema)
    return str(cls.__name__)
