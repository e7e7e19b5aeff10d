"""What is secret in the documents of a service: by its definition, and by pointers of its own."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from distributed_config.json_schema import SecretMarks, State, marking_of, may_mark
from distributed_config.models import ConformanceRow, DefinitionRevisionRow, ServiceRow
from distributed_config.services.documents.stored import intact
from distributed_config.services.secrets.sealing import _prepare_key
from distributed_config.services.secrets.values import DocumentKey, Path, is_sealed, tokens_of

ON_REVEAL = "on_reveal"


"""The execution option of a connection that is called with the name of each service of which a
secret was read on it in the clear."""


DEFINITION_ONLY = "[]"


"""The marks of a service that has no pointers of its own."""


Pointers = frozenset[tuple[str, ...]]


"""What is left of the pointers of a service at some place in its document."""


@dataclass(frozen=True)
class SecretPaths:
    """What is secret in the documents of one service: by a schema ("": none) and by pointers."""

    schema: str = ""
    pointers: tuple[tuple[str, ...], ...] = ()


NOTHING = SecretPaths()


def marks_of(connection: Connection, home: DocumentKey) -> SecretPaths:
    """What is secret in the service's documents now."""
    if not home.secret_marks:
        return NOTHING
    row = connection.execute(_SCHEMA, {"service": home.service_id}).one_or_none()
    return marks_by("" if row is None else intact(row.schema, row.digest), home.secret_marks)


def marks_by(schema: str, marks: str) -> SecretPaths:
    """The same from the definition's schema ("": none) and the service's column."""
    pointers = tuple(tokens_of(each) for each in json.loads(marks)) if marks else ()
    return SecretPaths(schema if may_mark(schema) else "", pointers)


def enable_secret_marks(connection: Connection, service_id: int, schema: str, now: int) -> None:
    """Remembers that something may be secret in a service, if ``schema``, now its own, marks."""
    if may_mark(schema):
        _prepare_key(connection, now)
        connection.execute(_NOTE_ONE, {"which": service_id})


def enable_secret_marks_of_all(
    connection: Connection, definition_id: int, schema: str, now: int
) -> None:
    """The same for all services of a definition."""
    if may_mark(schema):
        _prepare_key(connection, now)
        connection.execute(_NOTE_ALL, {"definition": definition_id})


def pointers(connection: Connection, service_id: int) -> list[str]:
    """A service's own pointers."""
    marks = connection.execute(_MARKS, {"which": service_id}).scalar_one()
    found: list[str] = json.loads(marks) if marks else []
    return found


def set_pointers(connection: Connection, service_id: int, wanted: Sequence[str], now: int) -> None:
    """Gives a service exactly these pointers."""
    _prepare_key(connection, now)
    # It is never empty again: there may be what was sealed.
    connection.execute(_SET_MARKS, {"which": service_id, "to": json.dumps(wanted)})


def with_pointers(connection: Connection, definition_id: int) -> list[int]:
    """The services of a definition that have pointers of their own."""
    return list(connection.scalars(_WITH_POINTERS, {"definition": definition_id}))


def find_secrets(value: Any, marks: SecretPaths) -> Iterator[tuple[Path, Any]]:
    """What is secret in ``value``, with its place: what is marked, and what is sealed.

    Of what is inside a secret nothing is told.
    """
    marking = marking_of(marks.schema) if marks.schema else None
    state: State = frozenset() if marking is None else marking.start
    if marking is not None and marking.is_secret(state) and isinstance(value, dict):
        # No definition that is made now marks the whole; all that is in it is as good.
        return (((name,), each) for name, each in value.items())
    return _found(value, (), marking, state, frozenset(marks.pointers))


@lru_cache(maxsize=1_024)
def _below(pointers: Pointers) -> tuple[dict[str, Pointers], Pointers]:
    """What is left of ``pointers`` below each key that they name, and below every other.

    Computed once for all that lies in one place: an array may have very many elements.
    """
    names = {each[0] for each in pointers if each and each[0] != "*"}
    named = {
        name: frozenset(each[1:] for each in pointers if each and each[0] in {name, "*"})
        for name in names
    }
    return named, frozenset(each[1:] for each in pointers if each and each[0] == "*")


def _found(
    value: Any,
    path: Path,
    marking: SecretMarks | None,
    state: State,
    pointers: Pointers,
) -> Iterator[tuple[Path, Any]]:
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
        left = named.get(str(key), others) if named else others
        marked = marking is not None and bool(inner) and marking.is_secret(inner)
        if marked or () in left or is_sealed(child):
            yield (*path, key), child
        elif isinstance(child, dict | list):
            yield from _found(child, (*path, key), marking, inner, left)


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


_NOTE_ONE = (
    update(ServiceRow)
    .where(ServiceRow.id == bindparam("which"), ServiceRow.secret_marks == "")
    .values(secret_marks=DEFINITION_ONLY)
)


_NOTE_ALL = (
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
