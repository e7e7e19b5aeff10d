"""The OpenAPI document and a page to browse it: plain HTML, made here, without scripts."""

import json
from typing import Any

from flask import Blueprint, current_app, render_template

from distributed_config.api import openapi
from distributed_config.edge import auth, database
from distributed_config.edge.doors import door
from distributed_config.edge.responses import Answer

blueprint = Blueprint("docs", __name__, template_folder="templates")

_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'"


@door(
    blueprint,
    "GET",
    "/api/v1/openapi.json",
    permission=auth.SOMEBODY,
    answers={200: "application/json"},
)
def openapi_document() -> Answer:
    """This description, as OpenAPI 3.1."""
    return Answer(json.dumps(_described(), ensure_ascii=False).encode())


@door(blueprint, "GET", "/api/docs", permission=auth.SOMEBODY, answers={200: "text/html"})
def browse() -> Answer:
    """This description, as a page."""
    page = render_template("docs.html", api=_described(), resolve=_resolve)
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return Answer(page.encode(), media_type="text/html; charset=utf-8", headers=headers)


@door(blueprint, "GET", "/api/docs.css", permission=auth.ANYBODY, answers={200: "text/css"})
def style() -> Answer:
    """The page's style sheet."""
    text = render_template("docs.css")
    return Answer(text.encode(), media_type="text/css; charset=utf-8")


def _described() -> dict[str, Any]:
    """The document of the current application, made once."""
    kept: dict[str, Any] | None = current_app.extensions.get("openapi")
    if kept is None:
        is_open = database.of().settings.is_open
        kept = openapi.document(current_app, is_open)
        current_app.extensions["openapi"] = kept
    return kept


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that ``schema`` refers to, or itself."""
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = _described()["components"]["schemas"].get(name, schema)
    return resolved
