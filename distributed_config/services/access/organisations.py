"""Organisations: the tenants of a server."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from distributed_config.errors import AccountExists, AccountNotFound
from distributed_config.models import OrganisationRow
from distributed_config.services.access.naming import check_account_name, require_distinct
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers.environment_changes import (
    add_environment,
    first_environment,
)
from distributed_config.services.policy.actor import Actor


@dataclass(frozen=True)
class Organisation:
    """A tenant. Nothing of it is visible to members of another."""

    id: int
    name: str
    created_at: int


def create_organisation(transaction: Transaction, name: str) -> Organisation:
    """Create an organisation. Raises Invalid, Forbidden, AccountExists."""
    # Somebody limited to a few services must not create a place where nothing limits them.
    transaction.actor.require_unrestricted()
    name = check_account_name(name, "/name")
    if _organisation(transaction.connection, name) is not None:
        raise AccountExists("organisation", name)
    require_distinct(transaction, name)
    organisation_id: int = transaction.connection.execute(
        insert(OrganisationRow).returning(OrganisationRow.id),
        {"name": name, "created_at": transaction.now},
    ).scalar_one()
    add_environment(transaction, organisation_id, first_environment(transaction.now))
    transaction.record(
        ChangeKind.ORGANISATION_CREATED,
        subject=f"organisation:{organisation_id}",
        about=name,
        organisation=organisation_id,
    )
    return Organisation(organisation_id, name, transaction.now)


def rename_organisation(transaction: Transaction, name: str, to: str) -> Organisation:
    """Rename an organisation. Raises AccountNotFound, Invalid, Forbidden, AccountExists.

    Only a server administrator can: it breaks every request that names the organisation.
    """
    transaction.actor.require_administrator()
    found = organisation(transaction.connection, name)
    to = check_account_name(to, "/name")
    # Renaming to the present name changes nothing and is no conflict.
    if to != name and _organisation(transaction.connection, to) is not None:
        raise AccountExists("organisation", to)
    require_distinct(transaction, to, itself=name)
    transaction.connection.execute(
        update(OrganisationRow).where(OrganisationRow.id == found.id).values(name=to)
    )
    transaction.record(
        ChangeKind.ORGANISATION_CHANGED,
        subject=f"organisation:{found.id}",
        about=to,
        organisation=found.id,
    )
    return Organisation(found.id, to, found.created_at)


def organisation(connection: Connection, name: str) -> Organisation:
    """Return the organisation ``name``. Raises AccountNotFound."""
    found = _organisation(connection, name)
    if found is None:
        raise AccountNotFound("organisation", name)
    return found


def organisation_name(connection: Connection, organisation_id: int) -> str:
    """Return the name of an organisation by its id."""
    query = select(OrganisationRow.name).where(OrganisationRow.id == organisation_id)
    return connection.execute(query).scalar_one()


def organisations(
    connection: Connection, actor: Actor, *, after: str = "", search: str = "", limit: int
) -> list[Organisation]:
    """Return the organisations after the name ``after``, by name, that contain ``search``.

    A server administrator sees all of them, everybody else only their own.
    """
    query = select(OrganisationRow.id, OrganisationRow.name, OrganisationRow.created_at)
    # The others may know their own alone: names of tenants are customer lists.
    if not actor.is_administrator:
        query = query.where(OrganisationRow.id == actor.organisation)
    if search:
        query = query.where(OrganisationRow.name.icontains(search, autoescape=True))
    query = query.where(OrganisationRow.name > after).order_by(OrganisationRow.name).limit(limit)
    return [Organisation(*row) for row in connection.execute(query)]


def _organisation(connection: Connection, name: str) -> Organisation | None:
    row = connection.execute(
        select(OrganisationRow.id, OrganisationRow.name, OrganisationRow.created_at).where(
            OrganisationRow.name == name
        )
    ).one_or_none()
    return None if row is None else Organisation(*row)
