"""The keys and entries of indexes.

A key is text that sorts as the value does, for every type of JSON. So one column, and one index of
the database, serves strings, numbers and everything else.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from distributed_config.models import EntryRow, IndexRow
from distributed_config.wire.paths import MISSING, first

# The first character of a key tells the kind of its value, and orders the kinds.
_NULL, _FALSE, _TRUE, _NUMBER, _TEXT = "0", "1", "2", "3", "4"


NO_KEY = "9"
"""The key of a document that has nothing under the path, or an object or an array."""

_TEXT_LENGTH = 200

# Numbers of documents have at most 1,000 digits and exponents above -330. With this bias the
# exponent is never negative, and all its texts have five digits and so sort as numbers.
_EXPONENT_BIAS = 5_000
_EXACT = Context(prec=2_000)

_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def key_of(value: Any) -> str:
    """Return the key of a value: equal keys for equal values, in the values' order.

    Long strings are in order as far as their first 200 characters tell.
    """
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int | float):
        return _NUMBER + _number_key(Decimal(repr(value)))
    if isinstance(value, str):
        if len(value) <= _TEXT_LENGTH:
            return _TEXT + value
        # The digest keeps keys short, and different strings different.
        digest = hashlib.sha256(value.encode()).hexdigest()
        return f"{_TEXT}{value[:_TEXT_LENGTH]}{digest}"
    return NO_KEY


def _number_key(number: Decimal) -> str:
    """Return the sign, the number of digits before the point, and the digits."""
    if not number:
        return "1"
    sign, digits, exponent = _EXACT.normalize(number).as_tuple()
    assert isinstance(exponent, int)  # JSON has no infinity
    key = f"{_EXPONENT_BIAS + exponent + len(digits):05}{''.join(map(str, digits))}"
    # Below zero the order is reversed. "~" makes a shorter text sort after longer ones that begin
    # with it, as -1 is after -1.5.
    return f"0{key.translate(_COMPLEMENT)}~" if sign else f"2{key}"


def value_at(value: Any, path: str) -> Any:
    """Return what ``value`` has at ``path``, or an empty list, which has no key, for nothing."""
    present = first(value, path)
    return [] if present is MISSING else present


def paths_of(connection: Connection, definition_id: int) -> dict[str, int]:
    """Return the ids of a definition's indexes by their paths, in the definition's order."""
    rows = connection.execute(_PATHS, {"definition": definition_id}).all()
    return {row.path: row.id for row in sorted(rows, key=lambda row: row.position)}


@dataclass(frozen=True)
class Place:
    """The series that entries are of: its service, by id and name, and its environment."""

    service_id: int
    name: str
    environment: str


def write_entries(
    connection: Connection, place: Place, paths: Mapping[str, int], value: Any
) -> None:
    """Replace the entries of a series by those of ``value``, its current document.

    None stands for no current document. ``paths`` are the indexes to write, by path; entries of
    others stay.
    """
    if not paths:
        return
    rows = [
        {
            "service_id": place.service_id,
            "environment": place.environment,
            "index_id": index,
            "key": key_of(value_at(value, path)),
            "name": place.name,
        }
        for path, index in paths.items()
    ]
    series = {"service": place.service_id, "place": place.environment}
    connection.execute(_DELETE, [{**series, "which": row["index_id"]} for row in rows])
    connection.execute(_INSERT, rows)


def keys_of(
    connection: Connection, services: Sequence[int]
) -> dict[tuple[int, str], dict[int, str]]:
    """Return the keys of each series of ``services``, by the ids of their indexes."""
    keys: dict[tuple[int, str], dict[int, str]] = {}
    query = select(EntryRow.service_id, EntryRow.environment, EntryRow.index_id, EntryRow.key)
    for service_id, environment, index_id, key in connection.execute(
        query.where(EntryRow.service_id.in_(services))
    ):
        keys.setdefault((service_id, environment), {})[index_id] = key
    return keys


def delete_entries(connection: Connection, service_id: int, environment: str | None = None) -> None:
    """Delete every entry of a service; of one series if ``environment`` names it."""
    of_service = delete(EntryRow).where(EntryRow.service_id == service_id)
    if environment is not None:
        of_service = of_service.where(EntryRow.environment == environment)
    connection.execute(of_service)


def set_paths(connection: Connection, definition_id: int, paths: Sequence[str]) -> list[str]:
    """Give a definition exactly these indexes.

    Returns the paths that are new. They have no entries yet: the caller has to write them.
    """
    before = paths_of(connection, definition_id)
    gone = [index for path, index in before.items() if path not in paths]
    # Entries first: they refer to the rows of their indexes.
    connection.execute(delete(EntryRow).where(EntryRow.index_id.in_(gone)))
    connection.execute(delete(IndexRow).where(IndexRow.id.in_(gone)))
    for position, path in enumerate(paths):
        if path in before:
            connection.execute(_MOVE, {"which": before[path], "to": position})
        else:
            row = {"definition_id": definition_id, "position": position, "path": path}
            connection.execute(insert(IndexRow), row)
    return [path for path in paths if path not in before]


_PATHS = select(IndexRow.path, IndexRow.id, IndexRow.position).where(
    IndexRow.definition_id == bindparam("definition")
)

_DELETE = delete(EntryRow).where(
    EntryRow.service_id == bindparam("service"),
    EntryRow.environment == bindparam("place"),
    EntryRow.index_id == bindparam("which"),
)

_INSERT = insert(EntryRow)

_MOVE = update(IndexRow).where(IndexRow.id == bindparam("which")).values(position=bindparam("to"))
