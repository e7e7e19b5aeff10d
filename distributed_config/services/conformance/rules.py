"""The rule that a service's documents must satisfy, and what is recorded when one is accepted."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

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
from distributed_config.services.documents import load
from distributed_config.services.documents.current import (
    ENVIRONMENT,
    SERVICE,
    in_environment,
    in_series,
    is_current,
)
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import Visibility
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import ValidationInput, Viewer
from distributed_config.wire import in_order

_BATCH = 500

RESOLVED, LAYERS = "resolved", "layers"
"""Which documents a definition applies to: what programs get, or every stored one by itself."""


@dataclass(frozen=True)
class Rule:
    """The rule of one service: the newest revision of its definition.

    ``applies_to`` says which documents have to conform: RESOLVED ones, or all LAYERS.
    """

    service_id: int
    service: str
    definition_id: int
    definition: str
    number: int
    schema: str
    applies_to: str = RESOLVED

    def require(self, document: ValidationInput, which: str = "") -> None:
        """Raise NotConforming with every problem of ``document``.

        ``which`` is the subject of the error text; "" stands for the service's configuration.
        """
        problems = problems_of(self.schema, document)
        if problems:
            which = which or f"This configuration of {self.service!r}"
            raise NotConforming(self.definition, self.number, problems, which)


def problems_of(schema: str, document: ValidationInput) -> list[Problem]:
    """Return every violation of the schema in ``document``, in the document's order.

    Problems inside secrets that the actor may not read are left out. A secret that was kept was
    checked when it was given, and a problem of it would reveal something about it.
    """
    problems = validator_for(schema).problems(document.value, document.size)
    strict = in_order(problems, document.value)
    if not strict or not document.unseen:
        return strict
    # A rule around a secret, as anyOf, may fail only because the mask is in the secret's place. So
    # the document is also checked with masks allowed, and conforms if nothing else is left. The
    # schema cannot be rewritten so (ValueError) where it refers to a part of what is marked.
    with suppress(ValueError):
        loose = validator_for(with_masks_allowed(schema)).problems(document.value, document.size)
        if not [problem for problem in loose if not _is_inside(problem.pointer, document.unseen)]:
            return []
    return [problem for problem in strict if not _is_inside(problem.pointer, document.unseen)]


def _is_inside(pointer: str, places: frozenset[str]) -> bool:
    """Return whether a JSON pointer leads to one of ``places``, or into one."""
    parts = pointer.split("/")
    return any("/".join(parts[:length]) in places for length in range(2, len(parts) + 1))


def rule_for_service(connection: Connection, service_id: int) -> Rule | None:
    """Return the service's rule, or None if it conforms to no definition.

    Raises DocumentDamaged if the schema is not what was stored.
    """
    row = connection.execute(_RULE, {"service": service_id}).one_or_none()
    if row is None:
        return None
    return _rule(row)


def rules_for(connection: Connection, names: Sequence[str], organisation: int) -> dict[str, Rule]:
    """Return the rules of those services in ``names`` that conform to a definition, by name.

    Raises DocumentDamaged.
    """
    found: dict[str, Rule] = {}
    # In batches: a statement has a limited number of parameters.
    for start in range(0, len(names), _BATCH):
        batch = {"names": names[start : start + _BATCH], "organisation": organisation}
        found |= {row.service: _rule(row) for row in connection.execute(_RULES, batch)}
    return found


def _rule(row: Any) -> Rule:
    intact(row.schema, row.digest)
    return Rule(*row[:-1])


def count(connection: Connection, definition_id: int, visibility: Visibility | None = None) -> int:
    """Return how many services conform to a definition.

    ``visibility`` limits them to those that can be seen; None: all are counted.
    """
    query = (
        _COUNT if visibility is None else _COUNT.where(visibility.sql_filter(ConformanceRow.name))
    )
    return connection.execute(query, {"definition": definition_id}).scalar_one()


def services(connection: Connection, definition_id: int) -> list[tuple[int, str]]:
    """Return the ids and names of the services that conform to a definition, by name."""
    rows = connection.execute(_SERVICES, {"definition": definition_id})
    return [(row.service_id, row.name) for row in rows]


@dataclass(frozen=True)
class Configuration:
    """A service of a definition with its current document.

    ``text`` is None where no version is enabled. Times are microseconds since 1970.
    """

    name: str
    created_at: int
    changed_at: int
    text: str | None


def configurations(reader: Reader, ids: Sequence[int]) -> list[Configuration]:
    """Return the services with these ids, in this order, each with its document as seen.

    Ids of services that conform to no definition are left out. Raises DocumentDamaged.
    """
    rows = reader.connection.execute(_CURRENT, {"ids": list(ids), **in_environment()})
    by_id = {row.service_id: row for row in rows}
    viewer = Viewer(reader.connection, reader.visibility.reads_secrets)

    def text(row: Any) -> str | None:
        return None if row.digest is None else load.verify_row(row).render(viewer).text

    return [
        Configuration(row.name, row.created_at, row.changed_at, text(row))
        for row in (by_id[service_id] for service_id in ids if service_id in by_id)
    ]


def at_times(
    connection: Connection, definition_id: int, created: int | None, changed: int | None
) -> frozenset[int]:
    """Return the services of a definition with these exact times; None: any.

    ``changed`` is when a service got what is current. Microseconds since 1970.
    """
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
    """Make a service conform to a definition; until now it conformed to none.

    The caller has to check the current version, see ``versions.check_current``. Raises
    DocumentDamaged if the schema is not what was stored.
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
    """Detach a service from its definition.

    The history of its versions still says which revision each was checked against.
    """
    index_keys.delete_entries(connection, service_id)
    connection.execute(delete(ConformanceRow).where(ConformanceRow.service_id == service_id))


def delete_series(connection: Connection, service_id: int, environment: str) -> None:
    """Delete what is recorded here about one series, which is about to be deleted."""
    index_keys.delete_entries(connection, service_id, environment)
    connection.execute(
        delete(CheckRow).where(
            CheckRow.service_id == service_id, CheckRow.environment == environment
        )
    )


def delete_conformance(connection: Connection, service_id: int) -> None:
    """Delete everything that is recorded here about a service, which is about to be deleted."""
    detach_definition(connection, service_id)
    connection.execute(delete(CheckRow).where(CheckRow.service_id == service_id))


def accept(
    transaction: Transaction,
    rule: Rule,
    environment: str,
    number: int,
    document: ValidationInput,
    *,
    which: str = "It",
) -> None:
    """Let version ``number`` become current. Raises NotConforming if it must not.

    ``which`` is the subject of the error text.
    """
    rule.require(document, which)
    record_check(transaction, rule, environment, number, document.masked)


def record_check(
    transaction: Transaction, rule: Rule, environment: str, number: int, masked: Any
) -> None:
    """Record the revision that a version is checked against, and update the indexes.

    ``masked`` is the version's document without its secrets.
    """
    # A version can become current more than once; the last check is the one that counts.
    parameters = {**in_series(rule.service_id, environment), "which": number}
    transaction.connection.execute(_DELETE_CHECK, parameters)
    transaction.connection.execute(
        _INSERT_CHECK,
        {
            "service_id": rule.service_id,
            "environment": environment,
            "number": number,
            "definition": rule.definition,
            "definition_revision": rule.number,
        },
    )
    # Indexes hold the masked document: a search must not confirm a guess at a secret.
    _update_indexes(transaction, rule, environment, masked)


def clear(transaction: Transaction, rule: Rule, environment: str) -> None:
    """Record that nothing of a series is served any more."""
    _update_indexes(transaction, rule, environment, None)


def _update_indexes(transaction: Transaction, rule: Rule, environment: str, value: Any) -> None:
    connection = transaction.connection
    paths = index_keys.paths_of(connection, rule.definition_id)
    place = index_keys.Place(rule.service_id, rule.service, environment)
    index_keys.write_entries(connection, place, paths, value)
    connection.execute(_TOUCH, {"service": rule.service_id, "at": transaction.now})


# --- statements, each built once

_ATTACHED = (
    select(
        ConformanceRow.service_id,
        ConformanceRow.name.label("service"),
        DefinitionRow.id,
        DefinitionRow.name,
        DefinitionRevisionRow.number,
        DefinitionRevisionRow.schema,
        DefinitionRow.applies_to,
        DefinitionRevisionRow.digest,
    )
    .select_from(ConformanceRow)
    .join(DefinitionRow, DefinitionRow.id == ConformanceRow.definition_id)
    .join(DefinitionRevisionRow, DefinitionRevisionRow.definition_id == DefinitionRow.id)
)
"""Services with every revision of the definition that they are attached to."""

_RULE = (
    _ATTACHED.where(ConformanceRow.service_id == bindparam("service"))
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(1)
)

_NEWEST_REVISION = (
    select(DefinitionRevisionRow.number)
    .where(DefinitionRevisionRow.definition_id == DefinitionRow.id)
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(1)
    .correlate(DefinitionRow)
    .scalar_subquery()
)

_RULES = _ATTACHED.where(
    DefinitionRevisionRow.number == _NEWEST_REVISION,
    DefinitionRow.organisation_id == bindparam("organisation"),
    ConformanceRow.name.in_(bindparam("names", expanding=True)),
)

_SCHEMA = (
    select(DefinitionRevisionRow.schema, DefinitionRevisionRow.digest)
    .where(DefinitionRevisionRow.definition_id == bindparam("definition"))
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(1)
)

# The version is outer-joined: services without a current one are listed as well.
_CURRENT = (
    select(*load.COLUMNS, ConformanceRow.changed_at, ServiceRow.created_at)
    .select_from(ConformanceRow)
    .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
    .outerjoin(VersionRow, is_current(ConformanceRow.service_id))
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

_DELETE_CHECK = delete(CheckRow).where(
    CheckRow.service_id == SERVICE,
    CheckRow.environment == ENVIRONMENT,
    CheckRow.number == bindparam("which"),
)

_INSERT_CHECK = insert(CheckRow)

_TOUCH = (
    update(ConformanceRow)
    .where(ConformanceRow.service_id == bindparam("service"))
    .values(changed_at=bindparam("at"))
)
