"""How a request asks for services by indexed properties: ``where=`` and the cursor of the list."""

import json
import re
from typing import Any

from distributed_config import wire
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.http.pagination import after_key
from distributed_config.services.conformance import index_search
from distributed_config.services.conformance.index_search import Filter

# Every run of operator characters is matched, also one that is no operator: the error can then name
# those that are.
_COMPARISON = re.compile(
    r"(?P<path>[^\s<>=]+?)\s*(?P<operator>!?[<>=]+)\s*(?P<value>.*)", re.DOTALL
)
_MEMBERSHIP = re.compile(r"(?P<path>[^\s<>=]+)\s+in\s+(?P<values>.*)", re.DOTALL)


def parse_filters(where: list[str]) -> tuple[Filter, ...]:
    """Return a filter for each ``where=``. Raises Invalid with all that cannot be understood."""
    filters = []
    problems = []
    for text in where:
        try:
            filters.append(_filter(text.strip()))
        except ValueError as error:
            problems.append(Problem("", f"{text[:80]!r}: {error}", "where", "where"))
    if problems:
        raise Invalid.from_problems(problems)
    return tuple(filters)


def _filter(text: str) -> Filter:
    """Return the filter that ``text`` is. Raises ValueError with the reason why it is none."""
    among = _MEMBERSHIP.fullmatch(text)
    if among is not None:
        return Filter(among["path"], "in", _values(among["values"].strip()))
    comparison = _COMPARISON.fullmatch(text)
    if comparison is None:
        raise ValueError("it is not like db.port>=5000, tier=gold or tier in gold,silver.")
    if comparison["operator"] not in index_search.OPERATORS:
        known = ", ".join(index_search.OPERATORS)
        raise ValueError(
            f"{comparison['operator'][:20]!r} is no operator here. These are: {known}. "
            'Text that begins like one stands in quotes, as in tier="=gold".'
        )
    value = _value(comparison["value"].strip())
    # True and false are numbers to Python; an index has no order for them.
    ordered = isinstance(value, str | int | float) and not isinstance(value, bool)
    if comparison["operator"] != "=" and not ordered:
        raise ValueError("only numbers and text are more or less than others.")
    return Filter(comparison["path"], comparison["operator"], (value,))


def _values(text: str) -> tuple[Any, ...]:
    """Return the values of a list, written as ``gold,silver`` or ``["gold", "silver"]``."""
    if not text.startswith("["):
        return tuple(_value(part.strip()) for part in text.split(","))
    value = _json(text)
    if not isinstance(value, list) or any(isinstance(item, dict | list) for item in value):
        raise ValueError("in takes values separated by commas, or a JSON array of them.")
    return tuple(value)


def _value(text: str) -> Any:
    """Return a JSON scalar where ``text`` is one (``10``, ``true``, ``"10"``), else the text.

    A shell makes quotes a nuisance, so text stands without them; it needs them only where it looks
    like a number or an operator.
    """
    value = _json(text)
    return text if isinstance(value, dict | list) else value


def _json(text: str) -> Any:
    """Return the JSON value that ``text`` is, else the text itself."""
    try:
        value = wire.parse_json(text.encode())
        wire.require_unambiguous(value)
    except (InvalidDocument, UnicodeEncodeError):
        return text
    return value


def parse_position(query: dict[str, Any], epoch: str) -> tuple[str, ...] | None:
    """Return the position after which the page begins; None for the first page.

    It is the name of the last service and, in a list sorted by a property, the key of its value
    before that. Raises Invalid for a cursor of another list, and EpochChanged.
    """
    key = after_key(query, epoch, str)
    if key is None:
        return None
    try:
        position = json.loads(key)
    except ValueError:
        position = None
    # A cursor is not signed, so anything can stand in it: its form is checked before it is used.
    length = 2 if query["sort"] else 1
    if not isinstance(position, list) or [type(part) for part in position] != [str] * length:
        message = "It is not one that this server gave for this question; follow Link."
        raise Invalid.from_problems([Problem("", message, "cursor", "cursor")])
    return tuple(position)
