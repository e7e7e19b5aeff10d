"""Responses as plain values, so that one can be stored and sent again."""

import json
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from flask import Response


@dataclass
class ResponseData:
    """A whole response. ``headers`` come on top of those that every response has."""

    body: bytes = b""
    status: int = 200
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def json_response(value: Any, **headers: str) -> ResponseData:
    """Return ``value`` as JSON. A header's name is written with ``_`` for ``-``."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    # A value can quote half a surrogate pair from a request, which UTF-8 cannot hold: it is
    # written as the escape that it was sent as.
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return ResponseData(text, headers=named)


def http_date(microseconds: int) -> str:
    """Return a stored time as HTTP writes it (RFC 9110, section 5.6.7)."""
    return formatdate(microseconds / 1_000_000, usegmt=True)


class PlainResponse(Response):
    """The response that Flask makes by itself, as to OPTIONS: never an HTML page."""

    default_mimetype = "application/json"


def to_response(data: ResponseData) -> Response:
    """Return ``data`` as Flask sends it."""
    response = Response(data.body, data.status)
    response.headers["Content-Type"] = data.media_type
    for name, text in data.headers.items():
        response.headers[name] = text
    if data.status == 304:
        # It has no body to describe; the client keeps the type of what it has.
        del response.headers["Content-Type"]
    return response
