"""Secret marks: the places that a definition, or a service's own pointers, declare as secret."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from distributed_config.json_schema import SecretMarks, State, marking_of, may_mark
from distributed_config.models import ConformanceRow, DefinitionRevisionRow, ServiceRow
from distributed_config.services.documents.stored import intact
from distributed_config.services.secrets.sealing import prepare_key
from distributed_config.services.secrets.values import DocumentKey, Path, is_sealed, tokens_of

ON_REVEAL = "on_reveal"
"""The execution option of a connection that holds a function, which is called with a service's name
whenever one of its secrets is revealed. It audits the read: nothing here knows of the request."""

# Not empty on purpose: "" means that the service's documents need no look at all.
DEFINITION_ONLY = "[]"
"""The ``secret_marks`` of a service whose only marks, if any, are those of its definition."""

Pointers = frozenset[tuple[str, ...]]
"""The rest of each pointer of a service, below the place where a walk through a document stands."""


@dataclass(frozen=True)
class SecretPaths:
    """The secret places in a service's documents: by a schema, "" for none, and by pointers."""

    schema: str = ""
    pointers: tuple[tuple[str, ...], ...] = ()


NOTHING = SecretPaths()


def marks_of(connection: Connection, document_key: DocumentKey) -> SecretPaths:
    """Return the marks that hold for a service's documents now, also for its old versions."""
    if not document_key.secret_marks:
        return NOTHING
    # The newest revision of the definition marks all versions of the service, old ones too.
    row = connection.execute(_SCHEMA, {"service": document_key.service_id}).one_or_none()
    return marks_by(
        "" if row is None else intact(row.schema, row.digest), document_key.secret_marks
    )


def marks_by(schema: str, marks: str) -> SecretPaths:
    """Return the marks of a definition's schema ("" for none) and of a service's column."""
    pointers = tuple(tokens_of(pointer) for pointer in json.loads(marks)) if marks else ()
    return SecretPaths(schema if may_mark(schema) else "", pointers)


def enable_secret_marks(connection: Connection, service_id: int, schema: str, now: int) -> None:
    """Record that a service may have secrets, if ``schema``, now its definition's, marks any.

    Documents of all other services are served without a search for secrets.
    """
    if may_mark(schema):
        prepare_key(connection, now)
        connection.execute(_ENABLE_ONE, {"which": service_id})


def enable_secret_marks_of_all(
    connection: Connection, definition_id: int, schema: str, now: int
) -> None:
    """Do what ``enable_secret_marks`` does for all services of a definition."""
    if may_mark(schema):
        prepare_key(connection, now)
        connection.execute(_ENABLE_ALL, {"definition": definition_id})


def pointers(connection: Connection, service_id: int) -> list[str]:
    """Return a service's own secret pointers."""
    marks = connection.execute(_MARKS, {"which": service_id}).scalar_one()
    found: list[str] = json.loads(marks) if marks else []
    return found


def set_pointers(
    connection: Connection, service_id: int, pointers: Sequence[str], now: int
) -> None:
    """Replace a service's own secret pointers."""
    prepare_key(connection, now)
    # The column never becomes "" again: stored versions may have sealed values.
    connection.execute(_SET_MARKS, {"which": service_id, "to": json.dumps(pointers)})


def services_with_pointers(connection: Connection, definition_id: int) -> list[int]:
    """Return the ids of a definition's services that have secret pointers of their own."""
    return list(connection.scalars(_WITH_POINTERS, {"definition": definition_id}))


def find_secrets(value: Any, marks: SecretPaths) -> Iterator[tuple[Path, Any]]:
    """Yield the path and the value of every secret in ``value``: all that is marked or sealed.

    It does not descend into secrets.
    """
    marking = marking_of(marks.schema) if marks.schema else None
    state: State = frozenset() if marking is None else marking.start
    if marking is not None and marking.is_secret(state) and isinstance(value, dict):
        # Old definitions could mark the root, which no mask can replace. Marking each of its
        # members comes to the same.
        return (((name,), member) for name, member in value.items())
    return _walk(value, (), marking, state, frozenset(marks.pointers))


@lru_cache(maxsize=1_024)
def _below(pointers: Pointers) -> tuple[dict[str, Pointers], Pointers]:
    """Return the rest of ``pointers`` below each key that they name, and below every other key.

    It is cached, because the elements of an array all share the same rest.
    """
    names = {rest[0] for rest in pointers if rest and rest[0] != "*"}
    named = {
        name: frozenset(rest[1:] for rest in pointers if rest and rest[0] in {name, "*"})
        for name in names
    }
    return named, frozenset(rest[1:] for rest in pointers if rest and rest[0] == "*")


def _walk(
    value: Any,
    path: Path,
    marking: SecretMarks | None,
    state: State,
    pointers: Pointers,
) -> Iterator[tuple[Path, Any]]:
    # Pointers are followed beside the schema: one walk finds both, and the places where they meet.
    named, others = _below(pointers)
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, child in items:
        inner = state
        if marking is not None and state:
            below = marking.member if isinstance(key, str) else marking.element
            inner = below(state, key)
        # Pointers name indexes of arrays as text, as RFC 6901 does.
        left = named.get(str(key), others) if named else others
        # An empty rest is a pointer that ends at this very place.
        marked = marking is not None and bool(inner) and marking.is_secret(inner)
        # A sealed value stays a secret after its mark is removed: only a new write decides
        # otherwise.
        if marked or () in left or is_sealed(child):
            yield (*path, key), child
        elif isinstance(child, dict | list):
            yield from _walk(child, (*path, key), marking, inner, left)


_SCHEMA = (
    select(DefinitionRevisionRow.schema, DefinitionRevisionRow.digest)
    .join(ConformanceRow, ConformanceRow.definition_id == DefinitionRevisionRow.definition_id)
    .where(ConformanceRow.service_id == bindparam("service"))
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(1)
)
_MARKS = select(ServiceRow.secret_marks).where(ServiceRow.id == bindparam("which"))
_SET_MARKS = (
    update(ServiceRow)
    .where(ServiceRow.id == bindparam("which"))
    .values(secret_marks=bindparam("to"))
)
_WITH_POINTERS = (
    select(ServiceRow.id)
    .join(ConformanceRow, ConformanceRow.service_id == ServiceRow.id)
    .where(
        ConformanceRow.definition_id == bindparam("definition"),
        ServiceRow.secret_marks.not_in(("", DEFINITION_ONLY)),
    )
)
# Pointers that are there already stay: only an empty column becomes DEFINITION_ONLY.
_ENABLE_ONE = (
    update(ServiceRow)
    .where(ServiceRow.id == bindparam("which"), ServiceRow.secret_marks == "")
    .values(secret_marks=DEFINITION_ONLY)
)
_ENABLE_ALL = (
    update(ServiceRow)
    .where(
        ServiceRow.secret_marks == "",
        ServiceRow.id.in_(
            select(ConformanceRow.service_id).where(
                ConformanceRow.definition_id == bindparam("definition")
            )
        ),
    )
    .values(secret_marks=DEFINITION_ONLY)
)
