"""Pages: how many entries, from where, and the Link to the next (RFC 8288)."""

from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import request

from distributed_config import wire
from distributed_config.errors import Invalid, Problem
from distributed_config.http import database
from distributed_config.http.response import ResponseData, json_response

Key = TypeVar("Key", str, int)


def page_size(asked: int | None) -> int:
    """Entries on this page. Raises Invalid when more are asked for than a page may have."""
    settings = database.of().settings
    if asked is not None and asked > settings.page_most:
        message = f"A page has at most {settings.page_most} entries (DISTCONF_PAGE_MOST)."
        raise Invalid.from_problems([Problem("", message, "limit", "limit")])
    return asked or settings.page


def after_key(query: dict[str, Any], epoch: str, kind: type[Key]) -> Key | None:
    """The key, of this ``kind``, behind which the page begins; None: it is the first page.

    Raises Invalid for a cursor that is not of this list in this order, and EpochChanged.
    """
    if not query["cursor"]:
        return None
    return wire.decode_cursor(query["cursor"], epoch, kind, _listing(query))


def cursor_after(query: dict[str, Any], epoch: str, key: str | int) -> str:
    """The cursor of the page that begins behind ``key``."""
    return wire.encode_cursor(epoch, key, _listing(query))


def _listing(query: dict[str, Any]) -> str:
    """The list that is asked for and its order: in another one the same key is another place."""
    order = (f"{name}={query[name]}" for name in ("sort", "order") if query.get(name))
    return " ".join((request.path, *order))


def page_response(body: dict[str, Any], cursor: str | None) -> ResponseData:
    """``body`` with ``next`` and the Link header; a None cursor says that this is the last page."""
    answer = json_response({**body, "next": cursor}, Cache_Control="private, no-cache")
    if cursor is not None:
        query = [(key, value) for key, value in request.args.items(multi=True) if key != "cursor"]
        target = f"{request.path}?{urlencode([*query, ('cursor', cursor)])}"
        answer.headers["Link"] = f'<{target}>; rel="next"'
    return answer
