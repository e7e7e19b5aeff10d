"""Secret marks of deleted services, which hold again when a service of that name is created.

Otherwise an actor who may delete and create services, but not read secrets, could remove the marks
and then read what the next writer stores. Only an actor who may read secrets can remove marks.
"""

from sqlalchemy import bindparam, delete, insert, select

from distributed_config.errors import Forbidden
from distributed_config.json_schema import covers, may_mark
from distributed_config.models import DefinitionRevisionRow, KeptMarksRow
from distributed_config.services import secrets
from distributed_config.services.conformance import rules
from distributed_config.services.documents.stored import intact
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.permissions import READ_SECRET


def keep(transaction: Transaction, service_id: int, name: str) -> None:
    """Store what is secret in a service that is about to be deleted."""
    pointers = secrets.to_json(secrets.pointers(transaction.connection, service_id))
    rule = rules.rule_for_service(transaction.connection, service_id)
    schema = rule.schema if rule is not None and may_mark(rule.schema) else ""
    # A service that never had a mark leaves nothing to remember.
    if schema or pointers != secrets.DEFINITION_ONLY:
        transaction.connection.execute(
            insert(KeptMarksRow),
            {
                "organisation_id": transaction.organisation,
                "name": name,
                "pointers": pointers,
                "schema": schema,
            },
        )


def restore(transaction: Transaction, name: str, definition_id: int | None) -> str:
    """Return the ``secret_marks`` that a new service of that name begins with, and drop them here.

    ``definition_id`` is the definition that it will conform to, None for none. Raises Forbidden if
    the deleted service's definition marked more, unless the actor may read secrets.
    """
    service = {"organisation": transaction.organisation, "name": name}
    row = transaction.connection.execute(_KEPT, service).one_or_none()
    if row is None:
        return ""
    if row.schema and not transaction.actor.may(READ_SECRET):
        _require_same_marks(transaction, name, definition_id, row.schema)
    # The new service carries the marks from here on.
    transaction.connection.execute(_DROP, service)
    return "" if row.pointers == secrets.DEFINITION_ONLY else row.pointers


def _require_same_marks(
    transaction: Transaction, name: str, definition_id: int | None, schema: str
) -> None:
    # A service without a definition has the schema that marks nothing.
    new = "{}"
    if definition_id is not None:
        row = transaction.connection.execute(_SCHEMA, {"definition": definition_id}).one()
        new = intact(row.schema, row.digest)
    if not covers(new, schema):
        raise Forbidden(
            f"The definition of the deleted service {name!r} marked secrets, and this would remove "
            f"some of these marks: it needs the permission {READ_SECRET}. Create the service with "
            "a definition that has every x-secret, or ask the administrator of your organisation."
        )


_NAMED = (KeptMarksRow.organisation_id == bindparam("organisation")) & (
    KeptMarksRow.name == bindparam("name")
)
_KEPT = select(KeptMarksRow.pointers, KeptMarksRow.schema).where(_NAMED)
_DROP = delete(KeptMarksRow).where(_NAMED)
_SCHEMA = (
    select(DefinitionRevisionRow.schema, DefinitionRevisionRow.digest)
    .where(DefinitionRevisionRow.definition_id == bindparam("definition"))
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(1)
)
