"""Answers: plain values until the very end, so that one can be kept and given again."""

import json
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from flask import Response


@dataclass
class ResponseData:
    """A whole answer. ``headers`` come on top of those that every answer has."""

    body: bytes = b""
    status: int = 200
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def json_response(value: Any, **headers: str) -> ResponseData:
    """``value`` as JSON. Header names are given with ``_`` for ``-``."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    # Half a surrogate pair, told of in a refusal, is written as the escape that it came as.
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return ResponseData(text, headers=named)


def http_date(microseconds: int) -> str:
    """A stored time as HTTP writes it (RFC 9110)."""
    return formatdate(microseconds / 1_000_000, usegmt=True)


class PlainResponse(Response):
    """What Flask answers by itself, as to OPTIONS; never a page."""

    default_mimetype = "application/json"


def to_response(answer: ResponseData) -> Response:
    """``answer`` as Flask sends it."""
    response = Response(answer.body, answer.status)
    response.headers["Content-Type"] = answer.media_type
    for name, text in answer.headers.items():
        response.headers[name] = text
    if answer.status == 304:
        del response.headers["Content-Type"]
    return response
