"""Lists of the dialect: pages by number, sorting, search, and filters by indexed properties.

Every function that reads parameters raises RequestInvalid with all of their mistakes.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from flask import request

from distributed_config import wire
from distributed_config.dialects.base import environment
from distributed_config.dialects.tartarus.errors import (
    MistakeCollector,
    invalid_parameter,
    wrong_field,
)
from distributed_config.errors import InvalidDocument
from distributed_config.http.database import reader_connection
from distributed_config.services.conformance import rules
from distributed_config.services.conformance.index_search import Filter
from distributed_config.services.definitions import Definition
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT

By = Literal["name", "created", "changed"]

_SEARCH = re.compile(r"\w{3,}")
_MOST_LISTED = 100
_LIST_PARAMETERS = frozenset(
    {"page", "limit", "sort_by", "sort_order", "search", "created_at", "modified_at"}
)
_ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Listing:
    """One page of a list, as a request describes it.

    It is sorted by the indexed property ``path`` or, where that is None, ``by``.
    """

    page: int
    limit: int
    by: By
    path: str | None
    descending: bool
    search: str

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit

    def render(self, results: list[Any], total: int) -> dict[str, Any]:
        """Return the data of the response; ``total`` counts what is on all pages."""
        meta = {"page": self.page, "limit": self.limit, "total": total}
        return {"results": results, "meta": meta}


def parse_listing(key_field: str, paths: tuple[str, ...] = ()) -> Listing:
    """Return the page that the parameters ask for.

    ``key_field`` is the name that the key is sorted under, ``paths`` are the indexed properties.
    """
    orders: dict[str, By] = {key_field: "name", "created_at": "created", "modified_at": "changed"}
    sort_by = request.args.get("sort_by", "modified_at")
    sort_order = request.args.get("sort_order", "desc")
    search = request.args.get("search", "")
    # The list's own orders come before an index of the same name.
    path = sort_by if sort_by in paths and sort_by not in orders else None
    collector = MistakeCollector()
    with collector:
        page, limit = _page_and_limit()
    with collector:
        if sort_by not in orders and path is None:
            raise invalid_parameter("sort_by", f"Sort field must be one of {[*orders, *paths]}.")
    with collector:
        if sort_order not in {"asc", "desc"}:
            raise invalid_parameter("sort_order", "Sort order must be one of ['asc', 'desc'].")
    with collector:
        if search and not _SEARCH.fullmatch(search):
            raise invalid_parameter(
                "search", "It must be at least three letters, digits or underscores."
            )
    collector.raise_all()
    by = orders.get(sort_by, "name")
    return Listing(page, limit, by, path, sort_order == "desc", search)


def _page_and_limit() -> tuple[int, int]:
    collector = MistakeCollector()
    with collector:
        page = _number("page", 1)
    with collector:
        limit = _number("limit", 10)
    collector.raise_all()
    if page < 1 or limit < 1:
        raise invalid_parameter("page/limit", "Page number and limit must be greater than 0.")
    if limit > _MOST_LISTED:
        raise invalid_parameter("page/limit", f"Limit must not be more than {_MOST_LISTED}.")
    return page, limit


def _number(name: str, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    # int() would also take " 1_0" and digits of other scripts.
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise wrong_field("query", name, "Input should be a valid integer")
    return int(text)


def listed_environment(definition: Definition) -> str:
    """Return the environment whose documents are listed.

    A definition with an index of that name keeps its filter, which was there first: of its
    configurations, those of the default environment are listed.
    """
    return DEFAULT_ENVIRONMENT if _ENVIRONMENT in definition.indexes else environment()


def parse_filters(definition: Definition) -> tuple[Filter, ...]:
    """Return a filter for each parameter that names an index of ``definition``."""
    filters, collector = [], MistakeCollector()
    for name, text in request.args.items():
        # The list's own parameters come first: an index of the same name cannot be filtered by.
        if name in _LIST_PARAMETERS:
            continue
        if name == _ENVIRONMENT and name not in definition.indexes:
            continue
        with collector:
            if name not in definition.indexes:
                known = "'created_at', 'modified_at' or indexes"
                raise invalid_parameter(name, f"Invalid query parameter. Must be one of: {known}")
            filters.append(Filter(name, "in", _values_written_as(text)))
    collector.raise_all()
    return tuple(filters)


def parse_times(definition: Definition) -> frozenset[int] | None:
    """Return the ids of services that were created or modified at the times in the parameters.

    None if there is no such parameter: then every service will do.
    """
    collector = MistakeCollector()
    with collector:
        created = _time("created_at")
    with collector:
        modified = _time("modified_at")
    collector.raise_all()
    if created is None and modified is None:
        return None
    return rules.at_times(reader_connection(), definition.id, created, modified)


def _time(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return wire.parse_time(text)
    except (ValueError, OverflowError):
        raise invalid_parameter(name, "It must be a time, as in 2026-11-21T09:30:00Z.") from None


def _values_written_as(text: str) -> tuple[Any, ...]:
    """Return every value that is written as ``text``.

    The dialect's parameters have no types, and the index has: it is searched for each of them.
    """
    try:
        value = wire.parse_json(text.encode())
    except (InvalidDocument, UnicodeEncodeError):
        return (text,)
    if isinstance(value, float) and value.is_integer():
        return (text,)  # the index knows 1.0 and 1 by one key; the text 1 finds both
    is_same = isinstance(value, bool | int | float) and json.dumps(value) == text
    return (text, value) if is_same else (text,)
