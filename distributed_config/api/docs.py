"""The OpenAPI document and a page to browse it.

The page is plain HTML, rendered here, without scripts: it works under the strictest content
security policy, and nothing of it comes from elsewhere.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, current_app, render_template, request

from distributed_config.api import openapi
from distributed_config.http import auth, database
from distributed_config.http.request import FORM
from distributed_config.http.response import ResponseData
from distributed_config.http.routes import route

blueprint = Blueprint("docs", __name__, template_folder="templates")

_EXAMPLES = {"definition": "web", "email": "ada@example.org", "name": "deployer", "from": "0"}
"""Values of parameters that are needed, where the parameter's schema has no example."""

# The page needs one style sheet and nothing else, so nothing else is allowed to it.
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'"


@route(
    blueprint,
    "GET",
    "/api/v1/openapi.json",
    permission=auth.AUTHENTICATED,
    answers={200: "application/json"},
)
def openapi_document() -> ResponseData:
    """This description, as OpenAPI 3.1."""
    return ResponseData(json.dumps(_description(), ensure_ascii=False).encode())


@route(blueprint, "GET", "/api/docs", permission=auth.AUTHENTICATED, answers={200: "text/html"})
def browse() -> ResponseData:
    """This description, as a page."""
    api = _description()
    page = render_template("docs.html", api=api, sections=list(_sections(api)))
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return ResponseData(page.encode(), media_type="text/html; charset=utf-8", headers=headers)


@route(blueprint, "GET", "/api/docs.css", permission=auth.PUBLIC, answers={200: "text/css"})
def style() -> ResponseData:
    """The page's style sheet."""
    text = render_template("docs.css")
    return ResponseData(text.encode(), media_type="text/css; charset=utf-8")


def _description() -> dict[str, Any]:
    """Return the document of the current application.

    It is the same for everybody, and takes long to build: so it is built once.
    """
    cached: dict[str, Any] | None = current_app.extensions.get("openapi")
    if cached is None:
        is_open = database.of().settings.is_open
        cached = openapi.document(current_app, is_open)
        current_app.extensions["openapi"] = cached
    return cached


def _sections(api: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each tag with its operations, as the page shows them, in the order of the tags."""
    operations = [
        _render_operation(api, path, method, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    # The order is that of the tags, and not of the routes, which follow the code.
    for tag in api["tags"]:
        yield {**tag, "operations": [each for each in operations if each["tag"] == tag["name"]]}


def _render_operation(
    api: dict[str, Any], path: str, method: str, operation: dict[str, Any]
) -> dict[str, Any]:
    """Return one operation as the page shows it."""
    contents = operation.get("requestBody", {}).get("content", {})
    first: dict[str, Any] = next(iter(contents.values()), {})
    responses = operation["responses"].items()
    return {
        "id": operation["operationId"],
        "tag": operation["tags"][0],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "permission": operation["x-permission"],
        "parameters": [
            {**each, "type": _type_of(each["schema"]), "about": _about(each)}
            for each in operation["parameters"]
        ],
        "media_types": list(contents),
        "body": _properties(api, first.get("schema", {})),
        "answers": [
            {"status": status, "about": each["description"], "keys": _keys(api, each)}
            for status, each in responses
            if int(status) < 400
        ],
        # Every refusal has the same body; a row for each would drown what differs.
        "refusals": [status for status, _ in responses if int(status) >= 400],
        "curl": _curl(path, method, operation, contents),
    }


def _properties(api: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    resolved = _resolve(api, schema)
    return [
        {
            "name": name,
            "required": name in resolved.get("required", ()),
            "type": _type_of(each),
            "about": each.get("description", ""),
        }
        for name, each in resolved.get("properties", {}).items()
    ]


def _keys(api: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    """Return the keys of a response that is a JSON object."""
    content: dict[str, Any] = next(iter(answer.get("content", {}).values()), {})
    return list(_resolve(api, content.get("schema", {})).get("properties", {}))


def _about(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    text: str = parameter.get("description") or schema.get("description") or ""
    words = schema.get("enum")
    return f"{text} One of: {', '.join(map(str, words))}.".strip() if words else text


def _type_of(schema: dict[str, Any]) -> str:
    """Return the type of a schema in words: ``string or null``, ``array of string``."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    kinds = schema.get("type", "any")
    if kinds == "array":
        return f"array of {_type_of(schema.get('items', {}))}"
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _resolve(api: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that ``schema`` refers to, or itself."""
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = api["components"]["schemas"].get(name, schema)
    return resolved


def _curl(path: str, method: str, operation: dict[str, Any], contents: dict[str, Any]) -> str:
    """Return a command to try the operation, with an example for every required parameter."""
    required = {
        each["name"]: each["schema"].get("example", _EXAMPLES.get(each["name"], "1"))
        for each in operation["parameters"]
        if each["in"] == "query" and each.get("required")
    }
    query = f"?{urlencode(required, safe='/')}" if required else ""
    # A GET needs no -X, and the shorter line is what people type.
    words = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    if operation.get("security"):
        words += ["-H", '"Authorization: Bearer $DISTCONF_TOKEN"']
    for kind, content in list(contents.items())[:1]:
        if "example" in content:
            words += ["-H", f"'Content-Type: {kind}'", "-d", f"'{_encoded(kind, content)}'"]
    return " ".join([*words, f"'{request.host_url.rstrip('/')}{path}{query}'"])


def _encoded(kind: str, content: dict[str, Any]) -> str:
    """Return the example of a body as its media type writes it."""
    if kind == FORM:
        return urlencode(content["example"])
    return json.dumps(content["example"], ensure_ascii=False)
