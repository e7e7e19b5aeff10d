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
    """A definition at one of its revisions. ``changed_at`` is of the whole definition."""

    id: int
    name: str
    policy: str
    indexes: tuple[str, ...]
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
        """The schema as it is stored."""
        return Document(self.schema, self.digest)

    @property
    def stamp(self) -> str:
        """What its entity tag has of it."""
        return stamp_of(self.id, self.digest)

    def proposal(self, schema: Document) -> Proposal:
        """``schema`` in place of this revision's."""
        return Proposal(self.id, self.number, self.document, schema)


def require(reader: Reader, name: str, number: int | None = None) -> Definition:
    """The definition at revision ``number``, or at its newest.

    Raises DefinitionNotFound or RevisionNotFound.
    """
    found = lookup(reader, name, number)
    if found is not None:
        return found
    if number is None or lookup(reader, name) is None:
        raise DefinitionNotFound(name)
    raise RevisionNotFound(name, number)


def lookup(reader: Reader, name: str, number: int | None = None) -> Definition | None:
    """The same, or None where there is none."""
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
    """The definitions behind the name ``after``, by name; ``search`` is a part of the name."""
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
    """One page of the definitions in another order than ``definitions`` has, and how many match.

    Those whose names have a ``/`` are left out.
    """
    columns = {
        "name": DefinitionRow.name,
        "created": DefinitionRow.created_at,
        "changed": DefinitionRow.changed_at,
    }
    order = [columns[by], DefinitionRow.name]
    query = _newest(reader.visibility).where(~DefinitionRow.name.contains("/"))
    if search:
        query = query.where(DefinitionRow.name.icontains(search, autoescape=True))
    total = reader.connection.execute(
        select(func.count()).select_from(query.subquery())
    ).scalar_one()
    directed = [each.desc() if descending else each for each in order]
    rows = reader.connection.execute(query.order_by(*directed).offset(offset).limit(limit))
    return [_definition(reader, row) for row in rows.all()], total


def revisions(reader: Reader, name: str, *, before: int | None, limit: int) -> list[Definition]:
    """The revisions below number ``before``, newest first."""
    found = require(reader, name)
    query = _every_revision().where(DefinitionRow.id == found.id)
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
    """Definitions at their newest revisions."""
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
    intact(row.schema, row.digest)
    paths = tuple(index_keys.paths_of(reader.connection, row.id))
    services = rules.count(reader.connection, row.id, reader.visibility)
    return Definition(indexes=paths, services=services, **row._mapping)
