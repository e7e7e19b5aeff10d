"""Definitions and their revisions, as an actor may read them."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, func, select

from distributed_config.errors import DefinitionNotFound, RevisionNotFound
from distributed_config.models import DefinitionRevisionRow, DefinitionRow
from distributed_config.services.conformance import index_keys, rules
from distributed_config.services.definitions.review import Proposal
from distributed_config.services.documents.stored import intact
from distributed_config.services.policy.visibility import Visibility
from distributed_config.services.reader import Reader
from distributed_config.wire import Document, stamp_of


@dataclass(frozen=True)
class Definition:
    """A definition at one of its revisions.

    ``number`` to ``forced``, ``revised_at`` and ``schema`` are of the revision; the rest is of the
    definition as it is now. ``applies_to`` says which documents have to conform: the ``resolved``
    ones, or all ``layers``. ``services`` counts those that the reader may see. Times are
    microseconds since 1970.
    """

    id: int
    name: str
    policy: str
    indexes: tuple[str, ...]
    applies_to: str
    services: int
    number: int
    digest: str
    author: str
    note: str
    forced: bool
    created_at: int
    changed_at: int
    revised_at: int
    schema: str

    @property
    def document(self) -> Document:
        """The schema with its digest."""
        return Document(self.schema, self.digest)

    @property
    def stamp(self) -> str:
        """The revision's part of its entity tag."""
        return stamp_of(self.id, self.digest)

    def proposal(self, schema: Document, applies_to: str | None = None) -> Proposal:
        """Return the proposal of ``schema`` in place of this revision's.

        ``applies_to`` None leaves that as it is.
        """
        to = applies_to or self.applies_to
        return Proposal(self.id, self.number, self.document, schema, to)


def require(reader: Reader, name: str, number: int | None = None) -> Definition:
    """Return the definition at revision ``number``, or at its newest if that is None.

    Raises DefinitionNotFound or RevisionNotFound.
    """
    definition = lookup(reader, name, number)
    if definition is not None:
        return definition
    # Another query, but only to say which of the two does not exist.
    if number is None or lookup(reader, name) is None:
        raise DefinitionNotFound(name)
    raise RevisionNotFound(name, number)


def lookup(reader: Reader, name: str, number: int | None = None) -> Definition | None:
    """Return the definition as ``require`` does, or None if it or the revision does not exist."""
    if number is None:
        query = _newest(reader.visibility)
    else:
        query = _every_revision().where(
            DefinitionRow.organisation_id == reader.visibility.organisation,
            DefinitionRevisionRow.number == number,
        )
    row = reader.connection.execute(query.where(DefinitionRow.name == name)).one_or_none()
    return None if row is None else _definition(reader, row)


def definitions(
    reader: Reader,
    *,
    after: str = "",
    limit: int,
    search: str = "",
) -> list[Definition]:
    """Return up to ``limit`` definitions after the name ``after``, by name.

    ``search`` is a part of the name, in any case.
    """
    query = _newest(reader.visibility).where(DefinitionRow.name > after)
    if search:
        query = query.where(DefinitionRow.name.icontains(search, autoescape=True))
    rows = reader.connection.execute(query.order_by(DefinitionRow.name).limit(limit))
    return [_definition(reader, row) for row in rows.all()]


def page(
    reader: Reader,
    *,
    by: Literal["name", "created", "changed"],
    descending: bool,
    search: str,
    offset: int,
    limit: int,
) -> tuple[list[Definition], int]:
    """Return a page of definitions in the order ``by``, and how many match in all.

    Those with a ``/`` in their names are left out. ``search`` is a part of the name.
    """
    columns = {
        "name": DefinitionRow.name,
        "created": DefinitionRow.created_at,
        "changed": DefinitionRow.changed_at,
    }
    order = [columns[by], DefinitionRow.name]
    # For an API that has names in paths of its URLs, where a "/" would be another path.
    query = _newest(reader.visibility).where(~DefinitionRow.name.contains("/"))
    if search:
        query = query.where(DefinitionRow.name.icontains(search, autoescape=True))
    total = reader.connection.execute(
        select(func.count()).select_from(query.subquery())
    ).scalar_one()
    columns_in_order = [column.desc() if descending else column for column in order]
    rows = reader.connection.execute(query.order_by(*columns_in_order).offset(offset).limit(limit))
    return [_definition(reader, row) for row in rows.all()], total


def revisions(reader: Reader, name: str, *, before: int | None, limit: int) -> list[Definition]:
    """Return up to ``limit`` revisions below number ``before``, newest first; None: of all.

    Raises DefinitionNotFound.
    """
    definition = require(reader, name)
    query = _every_revision().where(DefinitionRow.id == definition.id)
    if before is not None:
        query = query.where(DefinitionRevisionRow.number < before)
    rows = reader.connection.execute(
        query.order_by(DefinitionRevisionRow.number.desc()).limit(limit)
    )
    return [_definition(reader, row) for row in rows.all()]


def _every_revision() -> Select[*tuple[Any, ...]]:
    return select(
        DefinitionRow.id,
        DefinitionRow.name,
        DefinitionRow.policy,
        DefinitionRow.applies_to,
        DefinitionRow.created_at,
        DefinitionRow.changed_at,
        DefinitionRevisionRow.number,
        DefinitionRevisionRow.digest,
        DefinitionRevisionRow.author,
        DefinitionRevisionRow.note,
        DefinitionRevisionRow.forced,
        DefinitionRevisionRow.created_at.label("revised_at"),
        DefinitionRevisionRow.schema,
    ).join(DefinitionRevisionRow, DefinitionRevisionRow.definition_id == DefinitionRow.id)


def _newest(visibility: Visibility) -> Select[*tuple[Any, ...]]:
    """Select the definitions of the organisation at their newest revisions."""
    newest = (
        select(func.max(DefinitionRevisionRow.number))
        .where(DefinitionRevisionRow.definition_id == DefinitionRow.id)
        .correlate(DefinitionRow)
        .scalar_subquery()
    )
    return _every_revision().where(
        DefinitionRow.organisation_id == visibility.organisation,
        DefinitionRevisionRow.number == newest,
    )


def _definition(reader: Reader, row: Any) -> Definition:
    # Also where the schema is not shown: what a damaged one says must not be built on.
    intact(row.schema, row.digest)
    paths = tuple(index_keys.paths_of(reader.connection, row.id))
    services = rules.count(reader.connection, row.id, reader.visibility)
    return Definition(indexes=paths, services=services, **row._mapping)
