"""``distconf create-user`` and the like: accounts, from the terminal of the server's machine."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from distributed_config import wire
from distributed_config.commands import opened
from distributed_config.errors import AccountNotFound
from distributed_config.services import accounts, tokens
from distributed_config.services.accounts import Rights, User
from distributed_config.services.actors import LOCAL_OPERATOR, Actor, Scope
from distributed_config.services.credentials import hash_of, new_token
from distributed_config.services.journal import Journal
from distributed_config.services.tokens import Made
from distributed_config.settings import load

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
_PASSWORD = click.option(
    "--password",
    help="Others on this machine can see it; without it you are asked, or it is read from "
    "standard input.",
)


@click.command()
@click.argument("name")
def create_organisation(name: str) -> None:
    """Create the organisation NAME."""
    made = _write(lambda journal: accounts.create_organisation(journal, name))
    click.echo(f"Created organisation id={made.id}")


@click.command()
@_OUTPUT
def list_organisations(output: str) -> None:
    """List the organisations."""
    with opened.reading(load()) as connection:
        found = accounts.organisations(connection, LOCAL_OPERATOR, limit=_EVERY)
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
    rights = Rights(role, Scope(services, environments))
    hashed = hash_of(_password(password))
    made = _write(
        lambda journal: accounts.create_user(journal, email, rights, hashed), organisation
    )
    click.echo(f"Created user id={made.id}")


@click.command()
@_ORGANISATION
@_OUTPUT
def list_users(organisation: str, output: str) -> None:
    """List the users of an organisation."""
    with opened.reading(load()) as connection:
        realm = _in(connection, organisation).realm
        found = accounts.users(connection, realm, limit=_EVERY)
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
    hashed = hash_of(_password(password))

    def unit(journal: Journal) -> None:
        found = _user(journal, email)
        accounts.change_user(journal, found.id, hashed=hashed, must_change=must_change)

    _write(unit, organisation)
    click.echo(f"The password of {email} is changed.")


@click.command()
@click.argument("email")
@_ORGANISATION
def remove_user(email: str, organisation: str) -> None:
    """Remove the user EMAIL from an organisation, with the tokens that they made in it."""
    _write(lambda journal: accounts.remove_user(journal, _user(journal, email).id), organisation)
    click.echo(f"{email} is removed from {organisation}.")


@click.command()
@click.argument("name")
@click.argument("permissions", nargs=-1, required=True)
@_ORGANISATION
def create_role(name: str, permissions: tuple[str, ...], organisation: str) -> None:
    """Make the role NAME with these PERMISSIONS, or give it others."""
    _write(lambda journal: accounts.set_role(journal, name, permissions), organisation)
    click.echo(f"The role {name} has {len(permissions)} permissions.")


@click.command()
@_ORGANISATION
@_OUTPUT
def list_roles(organisation: str, output: str) -> None:
    """List the roles, and what each may do."""
    with opened.reading(load()) as connection:
        found = accounts.roles(connection, _in(connection, organisation).realm)
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
    rights = Rights(role, Scope(services, environments))
    seconds = None if days is None else days * _DAY
    made = _write(
        lambda journal: tokens.create_machine(journal, name, rights, seconds), organisation
    )
    _show_once("Created", made)


@click.command()
@_ORGANISATION
@_OUTPUT
def list_tokens(organisation: str, output: str) -> None:
    """List the tokens of an organisation, with how each begins."""
    with opened.reading(load()) as connection:
        found = tokens.tokens(connection, _in(connection, organisation).realm, limit=_EVERY)
    _list(
        output,
        [
            {
                "id": each.id,
                "name": each.name,
                "hint": f"{each.hint}…",
                "user": each.user or "",
                **_shown(each.rights),
                "state": "revoked" if each.revoked_at else _until(each.expires_at),
                "used": "never" if each.used_at is None else wire.rfc3339(each.used_at),
            }
            for each in found
        ],
    )


@click.command()
@click.argument("token_id", type=int, metavar="ID")
@_ORGANISATION
def revoke_token(token_id: int, organisation: str) -> None:
    """Revoke the token ID; it is good for nothing from the next request on."""
    changed = _write(lambda journal: tokens.revoke(journal, token_id, None), organisation)
    click.echo(f"The token {token_id} {'is' if changed else 'was already'} revoked.")


@click.command()
@click.argument("token_id", type=int, metavar="ID")
@click.option("--overlap", type=int, default=3600, help="Seconds for which the old one stays good.")
@_ORGANISATION
def rotate_token(token_id: int, overlap: int, organisation: str) -> None:
    """Make a new token in place of the token ID."""
    made = _write(lambda journal: tokens.rotate(journal, token_id, overlap, None), organisation)
    _show_once("Created", made)


@click.command()
def generate_token() -> None:
    """Print a token that nobody has yet, as for DISTCONF_ADMIN_TOKEN_FILE. Nothing is stored."""
    click.echo(new_token())


# --- inside


def _write(unit: Callable[[Journal], T], organisation: str = "") -> T:
    """What ``unit`` returns, done as the local operator in an organisation."""
    settings = load()
    actor = LOCAL_OPERATOR
    if organisation:
        with opened.reading(settings) as connection:
            actor = _in(connection, organisation)
    with opened.writing(settings) as writer:
        return writer.write(actor, unit)


def _in(connection: Any, organisation: str) -> Actor:
    return LOCAL_OPERATOR.in_organisation(accounts.organisation(connection, organisation).id)


def _user(journal: Journal, email: str) -> User:
    wanted = email.lower()
    found = accounts.users(journal.connection, journal.realm, search=wanted, limit=_EVERY)
    for each in found:
        if each.email == wanted:
            return each
    raise AccountNotFound("user", email)


def _password(given: str | None) -> str:
    if given is not None:
        return given
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")


def _show_once(done: str, made: Made) -> None:
    """The token alone goes to standard output, so that it can be written to a file."""
    click.echo(f"{done} token id={made.token.id}; it is not shown again:", err=True)
    click.echo(made.secret)


def _shown(rights: Rights) -> dict[str, Any]:
    return {"role": rights.role, "services": " ".join(rights.scope.services)}


def _until(moment: int | None) -> str:
    return "good" if moment is None else f"good until {wire.rfc3339(moment)}"


def _list(output: str, rows: Sequence[dict[str, Any]]) -> None:
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo("  ".join(str(value) for value in row.values() if value != ""))
