"""``distconf create-user`` and the like: accounts, from the terminal of the server's machine."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from distributed_config import wire
from distributed_config.client.cli.tables import local_time, table_lines
from distributed_config.services.access import memberships, organisations, roles, tokens, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.passwords import hash_password
from distributed_config.services.access.token_format import new_token
from distributed_config.services.access.tokens import IssuedToken
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.services.policy.visibility import Scope
from distributed_config.services.reader import Reader
from distributed_config.settings import load
from distributed_config.store.database import connect, open_writer

T = TypeVar("T")

_DAY = 24 * 3600
_EVERY = 1_000_000
_ORGANISATION = click.option(
    "--organisation", default="default", show_default=True, help="Where; its name."
)
_SERVICES = click.option(
    "--service",
    "services",
    multiple=True,
    help="Limit it to this service, or to all that begin so if it ends in /. Repeatable.",
)
_ENVIRONMENTS = click.option(
    "--environment", "environments", multiple=True, help="Limit it to this one. Repeatable."
)
_OUTPUT = click.option("--output", type=click.Choice(["text", "json"]), default="text")
_SEARCH = click.option(
    "--search", default="", help="Only those with this in their name or address."
)
_UNLIMITED = click.option("--unlimited", is_flag=True, help="Take all of its limits away first.")
_PASSWORD = click.option(
    "--password",
    help="Others on this machine can see it; without it you are asked, or it is read from "
    "standard input.",
)


@click.command()
@click.argument("name")
def create_organisation(name: str) -> None:
    """Create the organisation NAME."""
    made = _write(lambda transaction: organisations.create_organisation(transaction, name))
    click.echo(f"Created organisation id={made.id}")


@click.command()
@_SEARCH
@_OUTPUT
def list_organisations(search: str, output: str) -> None:
    """List the organisations."""
    with connect(load()) as connection:
        found = organisations.organisations(connection, LOCAL_OPERATOR, search=search, limit=_EVERY)
    _list(output, [{"id": each.id, "name": each.name} for each in found])


@click.command()
@click.argument("email")
@click.argument("organisation")
@click.argument("role")
@_PASSWORD
@_SERVICES
@_ENVIRONMENTS
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
    hashed = hash_password(_password(password))
    made = _write(
        lambda transaction: users.create_user(transaction, email, rights, hashed), organisation
    )
    click.echo(f"Created user id={made.id}")


@click.command()
@_ORGANISATION
@_SEARCH
@_OUTPUT
def list_users(organisation: str, search: str, output: str) -> None:
    """List the users of an organisation."""
    with connect(load()) as connection:
        visibility = _in(connection, organisation).visibility
        found = users.users(Reader(connection, visibility), search=search, limit=_EVERY)
    _list(
        output,
        [
            {
                "id": each.id,
                "email": each.email,
                "active": each.active,
                **_shown(each.rights),
            }
            for each in found
        ],
    )


@click.command()
@click.argument("email")
@_PASSWORD
@click.option("--must-change", is_flag=True, help="They have to choose another at once.")
@_ORGANISATION
def set_password(email: str, password: str | None, must_change: bool, organisation: str) -> None:
    """Give the user EMAIL another password; all their sessions end."""
    hashed = hash_password(_password(password))

    def unit(transaction: Transaction) -> None:
        found = memberships.membership(transaction.reader, email)
        users.change_user(transaction, found.user_id, hashed=hashed, must_change=must_change)

    _write(unit, organisation)
    click.echo(f"The password of {email} is changed.")


@click.command()
@click.argument("email")
@click.argument("organisation")
@click.argument("role")
@_SERVICES
@_ENVIRONMENTS
def add_member(
    email: str,
    organisation: str,
    role: str,
    services: tuple[str, ...],
    environments: tuple[str, ...],
) -> None:
    """Make the user EMAIL of another organisation a member of ORGANISATION with ROLE."""
    rights = Grant(role, Scope(services, environments))
    _write(lambda transaction: memberships.add_member(transaction, email, rights), organisation)
    click.echo(f"{email} is a member of {organisation}.")


@click.command()
@click.argument("email")
@_OUTPUT
def list_memberships(email: str, output: str) -> None:
    """List the organisations that the user EMAIL belongs to, and what they are there."""
    with connect(load()) as connection:
        found = memberships.memberships(connection, LOCAL_OPERATOR, email=email, limit=_EVERY)
    _list(output, [{"organisation": each.organisation, **_shown(each.rights)} for each in found])


@click.command()
@click.argument("email")
@click.option("--role", help="What they may do; `distconf list-roles` shows them.")
@click.option("--active/--inactive", default=None, help="Whether they may log in at all.")
@_SERVICES
@_ENVIRONMENTS
@_UNLIMITED
@_ORGANISATION
def change_user(email: str, active: bool | None, organisation: str, **given: Any) -> None:
    """Change the user EMAIL, and what they are in an organisation; what is not given stays."""

    def unit(transaction: Transaction) -> None:
        found = memberships.membership(transaction.reader, email)
        rights = _rights_with(found.rights, **given)
        users.change_user(transaction, found.user_id, active=active, rights=rights)

    _write(unit, organisation)
    click.echo(f"{email} is changed.")


@click.command()
@click.argument("email")
@_ORGANISATION
def remove_user(email: str, organisation: str) -> None:
    """Remove the user EMAIL from an organisation, with the tokens that they made in it."""

    def unit(transaction: Transaction) -> None:
        found = memberships.membership(transaction.reader, email)
        users.remove_user(transaction, found.user_id)

    _write(unit, organisation)
    click.echo(f"{email} is removed from {organisation}.")


@click.command()
@click.argument("name")
@click.argument("permissions", nargs=-1, required=True)
@_ORGANISATION
def create_role(name: str, permissions: tuple[str, ...], organisation: str) -> None:
    """Make the role NAME with these PERMISSIONS, or give it others."""
    _write(lambda transaction: roles.set_role(transaction, name, permissions), organisation)
    click.echo(f"The role {name} has {len(permissions)} permissions.")


@click.command()
@_ORGANISATION
@_OUTPUT
def list_roles(organisation: str, output: str) -> None:
    """List the roles, and what each may do."""
    with connect(load()) as connection:
        found = roles.roles(Reader(connection, _in(connection, organisation).visibility))
    _list(
        output,
        [{"name": each.name, "permissions": " ".join(each.permissions)} for each in found],
    )


@click.command()
@click.argument("name")
@click.option("--role", required=True, help="What it may do; `distconf list-roles` shows them.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it lives; for ever.")
@_SERVICES
@_ENVIRONMENTS
@_ORGANISATION
def create_token(
    name: str,
    *,
    role: str,
    days: int | None,
    services: tuple[str, ...],
    environments: tuple[str, ...],
    organisation: str,
) -> None:
    """Create a token for the program NAME, and show it this once."""
    rights = Grant(role, Scope(services, environments))
    seconds = None if days is None else days * _DAY
    made = _write(
        lambda transaction: tokens.create_machine(transaction, name, rights, seconds), organisation
    )
    _show_once("Created", made)


@click.command()
@_ORGANISATION
@_SEARCH
@_OUTPUT
def list_tokens(organisation: str, search: str, output: str) -> None:
    """List the tokens of an organisation, with how each begins."""
    with connect(load()) as connection:
        visibility = _in(connection, organisation).visibility
        found = tokens.tokens(Reader(connection, visibility), search=search, limit=_EVERY)
    _list(
        output,
        [
            {
                "id": each.id,
                "name": each.name,
                "hint": f"{each.hint}…",
                "user": each.user or "",
                **_shown(each.rights),
                "state": "revoked" if each.revoked_at else _until(each.expires_at, output),
                "used": "never" if each.used_at is None else _shown_time(each.used_at, output),
            }
            for each in found
        ],
    )


@click.command()
@click.argument("token_id", type=int, metavar="ID")
@click.option("--name", help="What it is called from now on.")
@click.option("--role", help="What it may do; `distconf list-roles` shows them.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it lives, from now on.")
@click.option("--for-ever", is_flag=True, help="It does not end by itself any more.")
@_SERVICES
@_ENVIRONMENTS
@_UNLIMITED
@_ORGANISATION
def change_token(
    token_id: int,
    *,
    name: str | None,
    days: int | None,
    for_ever: bool,
    organisation: str,
    **given: Any,
) -> None:
    """Change the token ID of a program; what is not given stays."""

    def unit(transaction: Transaction) -> None:
        before = tokens.token(transaction.reader, token_id)
        ends = None if for_ever else before.expires_at
        tokens.change(
            transaction,
            token_id,
            None,
            name=name or before.name,
            rights=_rights_with(before.rights, **given),
            expires_at=tokens.expiry_after(transaction, days * _DAY) if days else ends,
        )

    _write(unit, organisation)
    click.echo(f"The token {token_id} is changed.")


@click.command()
@click.argument("token_id", type=int, metavar="ID")
@_ORGANISATION
def revoke_token(token_id: int, organisation: str) -> None:
    """Revoke the token ID; it is good for nothing from the next request on."""
    changed = _write(lambda transaction: tokens.revoke(transaction, token_id, None), organisation)
    click.echo(f"The token {token_id} {'is' if changed else 'was already'} revoked.")


@click.command()
@click.argument("token_id", type=int, metavar="ID")
@click.option("--overlap", type=int, default=3600, help="Seconds for which the old one stays good.")
@_ORGANISATION
def rotate_token(token_id: int, overlap: int, organisation: str) -> None:
    """Make a new token in place of the token ID."""
    made = _write(
        lambda transaction: tokens.rotate(transaction, token_id, overlap, None), organisation
    )
    _show_once("Created", made)


@click.command()
def generate_token() -> None:
    """Print a token that nobody has yet, as for DISTCONF_ADMIN_TOKEN_FILE. Nothing is stored."""
    click.echo(new_token())


# --- inside


def _write(unit: Callable[[Transaction], T], organisation: str = "") -> T:
    """What ``unit`` returns, done as the local operator in an organisation."""
    settings = load()
    actor = LOCAL_OPERATOR
    if organisation:
        with connect(settings) as connection:
            actor = _in(connection, organisation)
    with open_writer(settings) as writer:
        return writer.write(actor, unit)


def _in(connection: Any, organisation: str) -> Actor:
    return LOCAL_OPERATOR.in_organisation(organisations.organisation(connection, organisation).id)


def _rights_with(
    before: Grant,
    role: str | None,
    services: tuple[str, ...],
    environments: tuple[str, ...],
    unlimited: bool,
) -> Grant:
    """``before`` with what is given."""
    scope = Scope() if unlimited else before.scope
    return Grant(
        role or before.role,
        Scope(services or scope.services, environments or scope.environments),
    )


def _password(given: str | None) -> str:
    if given is not None:
        return given
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")


def _show_once(done: str, made: IssuedToken) -> None:
    """The token alone goes to standard output, so that it can be written to a file."""
    click.echo(f"{done} token id={made.token.id}; it is not shown again:", err=True)
    click.echo(made.secret)


def _shown(rights: Grant) -> dict[str, Any]:
    return {"role": rights.role, "services": " ".join(rights.scope.services)}


def _until(moment: int | None, output: str) -> str:
    return "good" if moment is None else f"good until {_shown_time(moment, output)}"


def _shown_time(moment: int, output: str) -> str:
    """RFC 3339 for programs, and the local time for people."""
    text = wire.format_time(moment)
    return text if output == "json" else local_time(text)


def _list(output: str, rows: Sequence[dict[str, Any]]) -> None:
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    for line in table_lines(rows):
        click.echo(line, nl=False)
