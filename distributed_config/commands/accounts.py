"""``distconf create-user`` and the like: accounts, from the terminal of the server's machine."""

import sys
from typing import Any

import click

from distributed_config.commands.operator import (
    ALL,
    ENVIRONMENTS,
    ORGANISATION,
    OUTPUT,
    SEARCH,
    SERVICES,
    UNLIMITED,
    change_rights,
    describe_rights,
    operator_in,
    print_rows,
    write,
)
from distributed_config.services.access import memberships, organisations, roles, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.passwords import hash_password
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.policy.visibility import Scope
from distributed_config.services.reader import Reader
from distributed_config.settings import load
from distributed_config.store.database import connect

_PASSWORD = click.option(
    "--password",
    help="Others on this machine can see it; without it you are asked, or it is read from "
    "standard input.",
)


@click.command()
@click.argument("name")
def create_organisation(name: str) -> None:
    """Create the organisation NAME."""
    organisation = write(lambda transaction: organisations.create_organisation(transaction, name))
    click.echo(f"Created organisation id={organisation.id}")


@click.command()
@SEARCH
@OUTPUT
def list_organisations(search: str, output: str) -> None:
    """List the organisations."""
    with connect(load()) as connection:
        rows = organisations.organisations(connection, LOCAL_OPERATOR, search=search, limit=ALL)
    print_rows(output, [{"id": row.id, "name": row.name} for row in rows])


@click.command()
@click.argument("email")
@click.argument("organisation")
@click.argument("role")
@_PASSWORD
@SERVICES
@ENVIRONMENTS
def create_user(
    email: str,
    organisation: str,
    role: str,
    *,
    password: str | None,
    services: tuple[str, ...],
    environments: tuple[str, ...],
) -> None:
    """Create the user EMAIL in ORGANISATION with ROLE; `distconf list-roles` shows the roles."""
    rights = Grant(role, Scope(services, environments))
    hashed = hash_password(_read_password(password))
    user = write(
        lambda transaction: users.create_user(transaction, email, rights, hashed), organisation
    )
    click.echo(f"Created user id={user.id}")


@click.command()
@ORGANISATION
@SEARCH
@OUTPUT
def list_users(organisation: str, search: str, output: str) -> None:
    """List the users of an organisation."""
    with connect(load()) as connection:
        visibility = operator_in(connection, organisation).visibility
        rows = users.users(Reader(connection, visibility), search=search, limit=ALL)
    print_rows(
        output,
        [
            {
                "id": user.id,
                "email": user.email,
                "active": user.active,
                **describe_rights(user.rights),
            }
            for user in rows
        ],
    )


@click.command()
@click.argument("email")
@_PASSWORD
@click.option("--must-change", is_flag=True, help="They have to choose another password at once.")
@ORGANISATION
def set_password(email: str, password: str | None, must_change: bool, organisation: str) -> None:
    """Give the user EMAIL another password; all their sessions end."""
    hashed = hash_password(_read_password(password))

    def unit(transaction: Transaction) -> None:
        member = memberships.membership(transaction.reader, email)
        users.change_user(transaction, member.user_id, hashed=hashed, must_change=must_change)

    write(unit, organisation)
    click.echo(f"The password of {email} is changed.")


@click.command()
@click.argument("email")
@click.argument("organisation")
@click.argument("role")
@SERVICES
@ENVIRONMENTS
def add_member(
    email: str,
    organisation: str,
    role: str,
    services: tuple[str, ...],
    environments: tuple[str, ...],
) -> None:
    """Add the user EMAIL of another organisation to ORGANISATION, with ROLE."""
    rights = Grant(role, Scope(services, environments))
    write(lambda transaction: memberships.add_member(transaction, email, rights), organisation)
    click.echo(f"{email} is a member of {organisation}.")


@click.command()
@click.argument("email")
@OUTPUT
def list_memberships(email: str, output: str) -> None:
    """List the organisations that the user EMAIL belongs to, and their rights there."""
    with connect(load()) as connection:
        rows = memberships.memberships(connection, LOCAL_OPERATOR, email=email, limit=ALL)
    print_rows(
        output,
        [{"organisation": row.organisation, **describe_rights(row.rights)} for row in rows],
    )


@click.command()
@click.argument("email")
@click.option("--role", help="What they may do; `distconf list-roles` shows them.")
@click.option("--active/--inactive", default=None, help="Whether they may log in at all.")
@SERVICES
@ENVIRONMENTS
@UNLIMITED
@ORGANISATION
def change_user(email: str, active: bool | None, organisation: str, **changes: Any) -> None:
    """Change the user EMAIL, and their rights in an organisation. Only what is given changes."""

    def unit(transaction: Transaction) -> None:
        member = memberships.membership(transaction.reader, email)
        rights = change_rights(member.rights, **changes)
        users.change_user(transaction, member.user_id, active=active, rights=rights)

    write(unit, organisation)
    click.echo(f"{email} is changed.")


@click.command()
@click.argument("email")
@ORGANISATION
def remove_user(email: str, organisation: str) -> None:
    """Remove the user EMAIL from an organisation, with the tokens that they created in it."""

    def unit(transaction: Transaction) -> None:
        member = memberships.membership(transaction.reader, email)
        users.remove_user(transaction, member.user_id)

    write(unit, organisation)
    click.echo(f"{email} is removed from {organisation}.")


@click.command()
@click.argument("name")
@click.argument("permissions", nargs=-1, required=True)
@ORGANISATION
def create_role(name: str, permissions: tuple[str, ...], organisation: str) -> None:
    """Create the role NAME with these PERMISSIONS, or give it these instead of others."""
    write(lambda transaction: roles.set_role(transaction, name, permissions), organisation)
    click.echo(f"The role {name} has {len(permissions)} permissions.")


@click.command()
@ORGANISATION
@OUTPUT
def list_roles(organisation: str, output: str) -> None:
    """List the roles, and what each may do."""
    with connect(load()) as connection:
        rows = roles.roles(Reader(connection, operator_in(connection, organisation).visibility))
    print_rows(
        output,
        [{"name": role.name, "permissions": " ".join(role.permissions)} for role in rows],
    )


def _read_password(option: str | None) -> str:
    """Return the password of the option; else ask on a terminal, or read a line elsewhere."""
    if option is not None:
        return option
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")
