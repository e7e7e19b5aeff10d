"""Pages: how many entries, from where, and the Link to the next (RFC 8288)."""

from typing import Any
from urllib.parse import urlencode

from flask import request

from distributed_config.edge import database
from distributed_config.edge.responses import Answer, json_answer
from distributed_config.errors import Invalid, Problem


def page_size(asked: int | None) -> int:
    """Entries on this page. Raises Invalid when more are asked for than a page may have."""
    settings = database.of().settings
    if asked is not None and asked > settings.page_most:
        message = f"A page has at most {settings.page_most} entries (DISTCONF_PAGE_MOST)."
        raise Invalid.of([Problem("", message, "limit", "limit")])
    return asked or settings.page


def page_answer(body: dict[str, Any], cursor: str | None) -> Answer:
    """``body`` with ``next`` and the Link header; a None cursor says that this is the last page."""
    answer = json_answer({**body, "next": cursor}, Cache_Control="private, no-cache")
    if cursor is not None:
        query = [(key, value) for key, value in request.args.items(multi=True) if key != "cursor"]
        target = f"{request.path}?{urlencode([*query, ('cursor', cursor)])}"
        answer.headers["Link"] = f'<{target}>; rel="next"'
    return answer
