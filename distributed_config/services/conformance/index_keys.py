"""What indexes hold: one key for every type, and the entries of each service."""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from distributed_config.models import EntryRow, IndexRow
from distributed_config.wire.paths import MISSING, first

# Each kind of value has keys that begin alike; the order of the beginnings is that of the kinds.
_NULL, _FALSE, _TRUE, _NUMBER, _TEXT = "0", "1", "2", "3", "4"


NO_KEY = "9"


"""The key of a document that has nothing under the path, or an object or an array."""


_TEXT_LENGTH = 200


_EXPONENT_BIAS = 5_000


_COMPLEMENT = str.maketrans("0123456789", "9876543210")


_EXACT = Context(prec=2_000)


def key_of(value: Any) -> str:
    """The key of a scalar. Long text is told from other text by its digest, out of order."""
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int | float):
        return _NUMBER + _number_key(Decimal(repr(value)))
    if isinstance(value, str):
        if len(value) <= _TEXT_LENGTH:
            return _TEXT + value
        digest = hashlib.sha256(value.encode()).hexdigest()
        return f"{_TEXT}{value[:_TEXT_LENGTH]}{digest}"
    return NO_KEY


def _number_key(number: Decimal) -> str:
    """Sign, then how many digits stand before the point, then the digits; mirrored below zero."""
    if not number:
        return "1"
    sign, digits, exponent = _EXACT.normalize(number).as_tuple()
    assert isinstance(exponent, int)  # JSON has no infinity
    key = f"{_EXPONENT_BIAS + exponent + len(digits):05}{''.join(map(str, digits))}"
    # The last character makes a shorter mirrored text come behind the longer that begins like it.
    return f"0{key.translate(_COMPLEMENT)}~" if sign else f"2{key}"


def value_at(value: Any, path: str) -> Any:
    """What ``value`` has at ``path``; an empty list where there is nothing."""
    found = first(value, path)
    return [] if found is MISSING else found


def paths_of(connection: Connection, definition_id: int) -> dict[str, int]:
    """The ids of a definition's indexes by their paths, in the order given."""
    rows = connection.execute(_PATHS, {"definition": definition_id}).all()
    return {row.path: row.id for row in sorted(rows, key=lambda row: row.position)}


def write_entries(
    connection: Connection, service_id: int, name: str, paths: Mapping[str, int], value: Any
) -> None:
    """Makes the entries of a service those of ``value``, its current document; None: it has none.

    ``paths`` are the indexes that are written; entries of others stay.
    """
    if not paths:
        return
    rows = [
        {
            "service_id": service_id,
            "index_id": index,
            "key": key_of(value_at(value, path)),
            "name": name,
        }
        for path, index in paths.items()
    ]
    connection.execute(
        _FORGET, [{"service": service_id, "which": each["index_id"]} for each in rows]
    )
    connection.execute(_ENTER, rows)


def keys_of(connection: Connection, services: Sequence[int]) -> dict[int, dict[int, str]]:
    """The keys that each of ``services`` is found by, by the ids of the indexes."""
    found: dict[int, dict[int, str]] = {}
    query = select(EntryRow.service_id, EntryRow.index_id, EntryRow.key)
    for service_id, index_id, key in connection.execute(
        query.where(EntryRow.service_id.in_(services))
    ):
        found.setdefault(service_id, {})[index_id] = key
    return found


def delete_entries(connection: Connection, service_id: int) -> None:
    """Removes every entry of a service."""
    connection.execute(delete(EntryRow).where(EntryRow.service_id == service_id))


def set_paths(connection: Connection, definition_id: int, paths: Sequence[str]) -> list[str]:
    """Gives a definition exactly these indexes; those that are new, and have no entries yet."""
    before = paths_of(connection, definition_id)
    gone = [index for path, index in before.items() if path not in paths]
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


_FORGET = delete(EntryRow).where(
    EntryRow.service_id == bindparam("service"), EntryRow.index_id == bindparam("which")
)


_ENTER = insert(EntryRow)


_MOVE = update(IndexRow).where(IndexRow.id == bindparam("which")).values(position=bindparam("to"))
