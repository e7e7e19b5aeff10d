"""The description of the dialect: OpenAPI 3.1 for programs, and a plain page for people.

It is written out by hand, because it names operations and schemas as the original does.
"""

from html import escape
from typing import Any

_DEFINITIONS = "/api/v1/config_definition"
_DEFINITION = f"{_DEFINITIONS}/{{config_definition_key}}"
_CONFIGS = f"{_DEFINITION}/config"

_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}
_PATHS = {"type": "array", "items": _TEXT}
_SORTED = {
    "page": {"type": "integer", "default": 1},
    "limit": {"type": "integer", "default": 10},
    "sort_by": {"type": "string", "default": "modified_at"},
    "sort_order": {"type": "string", "default": "desc"},
    "search": _TEXT,
}


def document() -> dict[str, Any]:
    """Return the OpenAPI document; a new value at each call."""
    paths: dict[str, Any] = {}
    for method, path, name, more in _operations():
        paths.setdefault(path, {})[method] = _operation(name, path, **more)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tartarus API",
            "description": "The API of Tartarus, as Distributed Config serves it.",
            "version": "1.0.0",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "Bearer": {"type": "apiKey", "in": "header", "name": "Authorization"}
            },
        },
    }


def page() -> str:
    """Return the page: every operation, and its parameters."""
    # Read off the same document, so that the page cannot say anything else.
    api = document()
    rows = "".join(
        f"<tr><td><b>{method.upper()}</b><td><code>{escape(path)}</code>"
        f"<td>{escape(operation['summary'])}<td>{escape(', '.join(_parameters_of(operation)))}\n"
        for path, operations in api["paths"].items()
        for method, operation in operations.items()
    )
    title = escape(api["info"]["title"])
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<title>{title}</title><link rel="stylesheet" href="/api/docs.css"></head>\n<body>\n'
        f"<header><h1>{title}</h1><p>{escape(api['info']['description'])} "
        'The same as <a href="/openapi.json">OpenAPI 3.1</a>.</p></header>\n<main><table>\n'
        f"<tr><th>method<th>path<th>what it does<th>what it takes\n{rows}</table></main>\n"
        "</body>\n</html>\n"
    )


def _parameters_of(operation: dict[str, Any]) -> list[str]:
    names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    body = operation.get("requestBody")
    if body is not None:
        reference = body["content"]["application/json"]["schema"]["$ref"]
        names += _schemas()[reference.rpartition("/")[2]]["properties"]
    return names


def _operations() -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return the method, path, name and further properties of each operation."""
    definition, config = f"{_DEFINITION}", f"{_CONFIGS}/{{config_key}}"
    return [
        ("post", f"{_DEFINITIONS}/", "Create Config Definition", _creates("ConfigDefinition")),
        ("get", f"{_DEFINITIONS}/", "List Config Definition", {"query": _SORTED}),
        ("get", definition, "Get Config Definition", {}),
        ("put", definition, "Update Config Definition", {"body": "ConfigDefinitionEditable"}),
        ("delete", definition, "Delete Config Definition", {}),
        ("post", f"{_CONFIGS}/", "Create Config", _creates("Config")),
        ("get", f"{_CONFIGS}/", "List Configs", {"query": _SORTED}),
        ("get", config, "Get Config", {}),
        ("put", config, "Update Config", {"body": "ConfigEditable"}),
        ("delete", config, "Delete Config", {}),
    ]


def _creates(body: str) -> dict[str, Any]:
    return {"body": body, "status": "201"}


def _operation(
    name: str,
    path: str,
    body: str = "",
    query: dict[str, Any] | None = None,
    status: str = "200",
) -> dict[str, Any]:
    keys = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [
        *({"name": key, "in": "path", "required": True, "schema": _TEXT} for key in keys),
        *({"name": key, "in": "query", "schema": each} for key, each in (query or {}).items()),
    ]
    operation: dict[str, Any] = {
        "tags": ["Config Definition" if "Definition" in name else "Config"],
        "summary": name,
        "operationId": name.lower().replace(" ", "_"),
        "security": [{"Bearer": []}],
        "parameters": parameters,
        "responses": {
            status: {"description": "Successful Response", "content": _json("Success")},
            **{
                code: {"description": meaning, "content": _json("Failure")}
                for code, meaning in _REFUSALS.items()
            },
        },
    }
    if body:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


_REFUSALS = {
    "401": "Unauthorized",
    "404": "Not Found",
    "409": "Conflict",
    "422": "Validation Error",
}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _schemas() -> dict[str, Any]:
    definition = {"json_schema": _OBJECT, "indexes": _PATHS}
    fault = {"type": "object", "properties": {"type": _TEXT, "msg": _TEXT}}
    return {
        "ConfigDefinition": _object({"config_definition_key": _TEXT, **definition}, 1),
        "ConfigDefinitionEditable": _object(definition),
        "Config": _object({"config_key": _TEXT, "data": _OBJECT}, 2),
        "ConfigEditable": _object({"data": _OBJECT}, 1),
        "Success": _object({"status": {"const": "SUCCESS"}, "message": _TEXT, "data": {}}, 3),
        "Failure": _object(
            {
                "status": {"const": "FAILURE"},
                "errors": {"type": "array", "items": fault},
                # Where a field is missing, or of another type.
                "detail": {"type": "array", "items": _OBJECT},
            }
        ),
    }


def _object(properties: dict[str, Any], required: int = 0) -> dict[str, Any]:
    """Return the schema of an object whose first ``required`` properties are required."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return schema | ({"required": list(properties)[:required]} if required else {})
