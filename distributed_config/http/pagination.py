"""Pages: how many entries, from where, and the Link to the next page (RFC 8288)."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import request

from distributed_config import wire
from distributed_config.errors import Invalid, Problem
from distributed_config.http import database
from distributed_config.http.response import ResponseData, json_response

Key = TypeVar("Key", str, int)
Entry = TypeVar("Entry")


def page_size(limit: int | None) -> int:
    """Return the number of entries on this page: ``limit``, or what is set if it is None.

    Raises Invalid if ``limit`` is more than a page may have.
    """
    settings = database.of().settings
    if limit is not None and limit > settings.page_most:
        message = f"A page has at most {settings.page_most} entries (DISTCONF_PAGE_MOST)."
        raise Invalid.from_problems([Problem("", message, "limit", "limit")])
    # The schemas allow no limit of 0, which would otherwise be lost here.
    return limit or settings.page


def after_key(query: dict[str, Any], epoch: str, kind: type[Key]) -> Key | None:
    """Return the key, of this ``kind``, after which the page begins; None on the first page.

    Raises Invalid for a cursor that is not of this list in this order, and EpochChanged.
    """
    if not query["cursor"]:
        return None
    return wire.decode_cursor(query["cursor"], epoch, kind, _listing(query))


def cursor_after(query: dict[str, Any], epoch: str, key: str | int) -> str:
    """Return the cursor of the page that begins after ``key``."""
    return wire.encode_cursor(epoch, key, _listing(query))


def next_cursor(
    query: dict[str, Any],
    epoch: str,
    entries: Sequence[Entry],
    size: int,
    key_of: Callable[[Entry], str | int],
) -> str | None:
    """Return the cursor of the next page; None if this is the last one.

    ``entries`` were read with room for one more than ``size``: that one tells whether there is
    another page, which saves a count of them all. ``key_of`` gives the key that the list is
    sorted by.
    """
    if len(entries) <= size:
        return None
    return cursor_after(query, epoch, key_of(entries[size - 1]))


def _listing(query: dict[str, Any]) -> str:
    """The list and its order, which a cursor is bound to: in another one its key is elsewhere."""
    order = (f"{name}={query[name]}" for name in ("sort", "order") if query.get(name))
    return " ".join((request.path, *order))


def page_response(body: dict[str, Any], cursor: str | None) -> ResponseData:
    """Return ``body`` with ``next`` and the Link header; a None ``cursor`` marks the last page."""
    # Lists depend on who reads them, and change: a cache may keep them for one client, and ask
    # again.
    response = json_response({**body, "next": cursor}, Cache_Control="private, no-cache")
    if cursor is not None:
        # All other parameters go along: a cursor is only valid with the same order.
        query = [(key, value) for key, value in request.args.items(multi=True) if key != "cursor"]
        target = f"{request.path}?{urlencode([*query, ('cursor', cursor)])}"
        response.headers["Link"] = f'<{target}>; rel="next"'
    return response
