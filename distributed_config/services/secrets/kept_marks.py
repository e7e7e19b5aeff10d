"""What was secret in services that were deleted: it is secret again when they are made again.

Else who may delete and create, but not read secrets, could unmark what the next writer stores.
Marks go when somebody who may read secrets takes them away, and not with the service.
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
    """Remembers what is secret in a service that is about to go."""
    pointers = secrets.to_json(secrets.pointers(transaction.connection, service_id))
    rule = rules.rule_for_service(transaction.connection, service_id)
    schema = rule.schema if rule is not None and may_mark(rule.schema) else ""
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
    """The marks with which a service begins that is about to conform to this definition, or none.

    Raises Forbidden where the definition of the one that was deleted marked more, and the actor
    may not read secrets.
    """
    asked = {"organisation": transaction.organisation, "name": name}
    row = transaction.connection.execute(_KEPT, asked).one_or_none()
    if row is None:
        return ""
    if row.schema and not transaction.actor.may(READ_SECRET):
        _refuse_to_unmark(transaction, name, definition_id, row.schema)
    transaction.connection.execute(_DROP, asked)
    return "" if row.pointers == secrets.DEFINITION_ONLY else row.pointers


def _refuse_to_unmark(
    transaction: Transaction, name: str, definition_id: int | None, schema: str
) -> None:
    new = "{}"
    if definition_id is not None:
        row = transaction.connection.execute(_SCHEMA, {"definition": definition_id}).one()
        new = intact(row.schema, row.digest)
    if not covers(new, schema):
        raise Forbidden(
            f"When {name!r} was deleted its definition marked secrets, and this would unmark some: "
            f"that takes {READ_SECRET}. Create it with a definition that keeps every x-secret, or "
            "ask who administers your organisation."
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
