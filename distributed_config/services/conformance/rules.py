"""Services that conform to a definition: the check at every write, and what follows from it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from distributed_config.errors import NotConforming, Problem
from distributed_config.json_schema import validator_for, with_masks_allowed
from distributed_config.models import (
    CheckRow,
    ConformanceRow,
    DefinitionRevisionRow,
    DefinitionRow,
    ServiceRow,
    VersionRow,
)
from distributed_config.services import secrets
from distributed_config.services.conformance import index_keys
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT, Visibility
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import DocumentKey, ValidationInput, Viewer
from distributed_config.wire import in_order


@dataclass(frozen=True)
class Rule:
    """What one service must satisfy: the newest revision of its definition."""

    service_id: int
    service: str
    definition_id: int
    definition: str
    number: int
    schema: str

    def require(self, document: ValidationInput, which: str = "") -> None:
        """Raises NotConforming with all that ``document`` breaks."""
        problems = problems_of(self.schema, document)
        if problems:
            which = which or f"This configuration of {self.service!r}"
            raise NotConforming(self.definition, self.number, problems, which)


def problems_of(schema: str, document: ValidationInput) -> list[Problem]:
    """Every rule of the schema in ``schema`` that ``document`` breaks.

    Of secrets that whoever asks may not see nothing is asked: what they keep was checked when it
    was given, and the answer would tell them of it.
    """
    found = validator_for(schema).problems(document.value, document.size)
    strict = in_order(found, document.value)
    if not strict or not document.unseen:
        return strict
    with suppress(ValueError):  # it refers to a part of what is marked, and cannot be relaxed
        loose = validator_for(with_masks_allowed(schema)).problems(document.value, document.size)
        if not [each for each in loose if not _is_inside(each.pointer, document.unseen)]:
            return []
    return [each for each in strict if not _is_inside(each.pointer, document.unseen)]


def _is_inside(pointer: str, places: frozenset[str]) -> bool:
    parts = pointer.split("/")
    return any("/".join(parts[:length]) in places for length in range(2, len(parts) + 1))


def rule_for_service(connection: Connection, service_id: int) -> Rule | None:
    """What a service must satisfy; None: it conforms to no definition."""
    row = connection.execute(_RULE, {"service": service_id}).one_or_none()
    if row is None:
        return None
    intact(row.schema, row.digest)
    return Rule(*row[:-1])


def count(connection: Connection, definition_id: int, visibility: Visibility | None = None) -> int:
    """How many services conform to a definition; of those in ``visibility``, if one is given."""
    query = (
        _COUNT if visibility is None else _COUNT.where(visibility.sql_filter(ConformanceRow.name))
    )
    return connection.execute(query, {"definition": definition_id}).scalar_one()


def services(connection: Connection, definition_id: int) -> list[tuple[int, str]]:
    """The ids and names of the services that conform to a definition, by name."""
    rows = connection.execute(_SERVICES, {"definition": definition_id})
    return [(row.service_id, row.name) for row in rows]


@dataclass(frozen=True)
class Configuration:
    """What a service of a definition has now. ``text`` is its current document, None: none is."""

    name: str
    created_at: int
    changed_at: int
    text: str | None


def configurations(reader: Reader, ids: Sequence[int]) -> list[Configuration]:
    """What the services with these ids have, in this order, as it is shown in ``visibility``."""
    rows = reader.connection.execute(_CURRENT, {"ids": list(ids)})
    found = {row.service_id: row for row in rows}
    viewer = Viewer(reader.connection, reader.visibility.reads_secrets)

    def text(row: Any) -> str | None:
        if row.digest is None:
            return None  # nothing is current
        home = DocumentKey(row.service_id, row.organisation_id, row.name, row.secret_marks)
        return viewer.render(home, intact(row.document, row.digest)).text

    return [
        Configuration(row.name, row.created_at, row.changed_at, text(row))
        for row in (found[each] for each in ids if each in found)
    ]


def at_times(
    connection: Connection, definition_id: int, created: int | None, changed: int | None
) -> frozenset[int]:
    """The services of a definition that were created, or got what is current, at these times."""
    query = (
        select(ConformanceRow.service_id)
        .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
        .where(ConformanceRow.definition_id == definition_id)
    )
    if created is not None:
        query = query.where(ServiceRow.created_at == created)
    if changed is not None:
        query = query.where(ConformanceRow.changed_at == changed)
    return frozenset(connection.scalars(query))


def attach_definition(
    transaction: Transaction, service_id: int, name: str, definition_id: int
) -> None:
    """Makes a service, that conforms to none, conform to a definition from here on.

    What is current must be admitted by the caller.
    """
    row = transaction.connection.execute(_SCHEMA, {"definition": definition_id}).one()
    schema = intact(row.schema, row.digest)
    secrets.enable_secret_marks(transaction.connection, service_id, schema, transaction.now)
    transaction.connection.execute(
        insert(ConformanceRow),
        {
            "service_id": service_id,
            "definition_id": definition_id,
            "name": name,
            "changed_at": transaction.now,
        },
    )


def detach_definition(connection: Connection, service_id: int) -> None:
    """Makes a service conform to nothing. What its versions were checked against stays known."""
    index_keys.delete_entries(connection, service_id)
    connection.execute(delete(ConformanceRow).where(ConformanceRow.service_id == service_id))


def delete_conformance(connection: Connection, service_id: int) -> None:
    """Removes all that is known of a service, which is about to go."""
    detach_definition(connection, service_id)
    connection.execute(delete(CheckRow).where(CheckRow.service_id == service_id))


def accept(
    transaction: Transaction, rule: Rule, number: int, document: ValidationInput, which: str = "It"
) -> None:
    """Lets version ``number`` become current. Raises NotConforming if it may not.

    Keeps which revision it was checked against, and what the indexes find the service by.
    """
    rule.require(document, which)
    row = {
        "service_id": rule.service_id,
        "environment": DEFAULT_ENVIRONMENT,
        "number": number,
        "definition": rule.definition,
        "definition_revision": rule.number,
    }
    transaction.connection.execute(_FORGET_CHECK, {"service": rule.service_id, "which": number})
    transaction.connection.execute(_CHECKED, row)
    _follow(transaction, rule, document.masked)


def clear(transaction: Transaction, rule: Rule) -> None:
    """Says that the service serves nothing any more."""
    _follow(transaction, rule, None)


def _follow(transaction: Transaction, rule: Rule, value: Any) -> None:
    connection = transaction.connection
    paths = index_keys.paths_of(connection, rule.definition_id)
    index_keys.write_entries(connection, rule.service_id, rule.service, paths, value)
    connection.execute(_TOUCH, {"service": rule.service_id, "at": transaction.now})


# --- statements, made once


_RULE = (
    select(
        ConformanceRow.service_id,
        ConformanceRow.name,
        DefinitionRow.id,
        DefinitionRow.name,
        DefinitionRevisionRow.number,
        DefinitionRevisionRow.schema,
        DefinitionRevisionRow.digest,
    )
    .select_from(ConformanceRow)
    .join(DefinitionRow, DefinitionRow.id == ConformanceRow.definition_id)
    .join(DefinitionRevisionRow, DefinitionRevisionRow.definition_id == DefinitionRow.id)
    .where(ConformanceRow.service_id == bindparam("service"))
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(1)
)
_SCHEMA = (
    select(DefinitionRevisionRow.schema, DefinitionRevisionRow.digest)
    .where(DefinitionRevisionRow.definition_id == bindparam("definition"))
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(1)
)
CURRENT_NUMBER = (
    select(func.max(VersionRow.number))
    .where(
        VersionRow.service_id == ConformanceRow.service_id,
        VersionRow.environment == DEFAULT_ENVIRONMENT,
        VersionRow.enabled,
    )
    .correlate(ConformanceRow)
    .scalar_subquery()
)
"""The number of the version that is current, of the service of a row of ConformanceRow."""
_CURRENT = (
    select(
        ConformanceRow.service_id,
        ConformanceRow.name,
        ConformanceRow.changed_at,
        ServiceRow.created_at,
        ServiceRow.organisation_id,
        ServiceRow.secret_marks,
        VersionRow.number,
        VersionRow.digest,
        VersionRow.document,
    )
    .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
    .outerjoin(
        VersionRow,
        and_(
            VersionRow.service_id == ConformanceRow.service_id,
            VersionRow.environment == DEFAULT_ENVIRONMENT,
            VersionRow.number == CURRENT_NUMBER,
        ),
    )
    .where(ConformanceRow.service_id.in_(bindparam("ids", expanding=True)))
)
_SERVICES = (
    select(ConformanceRow.service_id, ConformanceRow.name)
    .where(ConformanceRow.definition_id == bindparam("definition"))
    .order_by(ConformanceRow.name)
)
_COUNT = (
    select(func.count())
    .select_from(ConformanceRow)
    .where(ConformanceRow.definition_id == bindparam("definition"))
)
_FORGET_CHECK = delete(CheckRow).where(
    and_(
        CheckRow.service_id == bindparam("service"),
        CheckRow.environment == DEFAULT_ENVIRONMENT,
        CheckRow.number == bindparam("which"),
    )
)
_CHECKED = insert(CheckRow)
_TOUCH = (
    update(ConformanceRow)
    .where(ConformanceRow.service_id == bindparam("service"))
    .values(changed_at=bindparam("at"))
)
