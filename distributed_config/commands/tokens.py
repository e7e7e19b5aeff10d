"""``distconf create-token`` and the like: the tokens of programs, and a list of all tokens."""

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
    describe_time,
    operator_in,
    print_rows,
    write,
)
from distributed_config.services.access import tokens
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.token_format import new_token
from distributed_config.services.access.tokens import IssuedToken
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import Scope
from distributed_config.services.reader import Reader
from distributed_config.settings import load
from distributed_config.store.database import connect

_DAY = 24 * 3600


@click.command()
@click.argument("name")
@click.option("--role", required=True, help="What it may do; `distconf list-roles` shows them.")
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Days after which it expires; never unless given."
)
@SERVICES
@ENVIRONMENTS
@ORGANISATION
def create_token(
    name: str,
    *,
    role: str,
    days: int | None,
    services: tuple[str, ...],
    environments: tuple[str, ...],
    organisation: str,
) -> None:
    """Create a token for the program NAME, and print it this once."""
    rights = Grant(role, Scope(services, environments))
    seconds = None if days is None else days * _DAY
    issued = write(
        lambda transaction: tokens.create_machine(transaction, name, rights, seconds), organisation
    )
    _print_secret(issued)


@click.command()
@ORGANISATION
@SEARCH
@OUTPUT
def list_tokens(organisation: str, search: str, output: str) -> None:
    """List the tokens of an organisation, with the beginning of each."""
    with connect(load()) as connection:
        visibility = operator_in(connection, organisation).visibility
        rows = tokens.tokens(Reader(connection, visibility), search=search, limit=ALL)
    print_rows(
        output,
        [
            {
                "id": token.id,
                "name": token.name,
                "hint": f"{token.hint}…",
                "user": token.user or "",
                **describe_rights(token.rights),
                "state": "revoked" if token.revoked_at else _describe_end(token.expires_at, output),
                "used": "never" if token.used_at is None else describe_time(token.used_at, output),
            }
            for token in rows
        ],
    )


@click.command()
@click.argument("token_id", type=int, metavar="ID")
@click.option("--name", help="Its new name.")
@click.option("--role", help="What it may do; `distconf list-roles` shows them.")
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Days after which it expires, from now on."
)
@click.option("--for-ever", is_flag=True, help="It never expires.")
@SERVICES
@ENVIRONMENTS
@UNLIMITED
@ORGANISATION
def change_token(
    token_id: int,
    *,
    name: str | None,
    days: int | None,
    for_ever: bool,
    organisation: str,
    **changes: Any,
) -> None:
    """Change the token ID of a program. Only what is given changes."""

    def unit(transaction: Transaction) -> None:
        before = tokens.token(transaction.reader, token_id)
        ends = None if for_ever else before.expires_at
        tokens.change(
            transaction,
            token_id,
            None,
            name=name or before.name,
            rights=change_rights(before.rights, **changes),
            expires_at=tokens.expiry_after(transaction, days * _DAY) if days else ends,
        )

    write(unit, organisation)
    click.echo(f"The token {token_id} is changed.")


@click.command()
@click.argument("token_id", type=int, metavar="ID")
@ORGANISATION
def revoke_token(token_id: int, organisation: str) -> None:
    """Revoke the token ID; it is refused from the next request on."""
    changed = write(lambda transaction: tokens.revoke(transaction, token_id, None), organisation)
    click.echo(f"The token {token_id} {'is' if changed else 'was already'} revoked.")


@click.command()
@click.argument("token_id", type=int, metavar="ID")
@click.option(
    "--overlap", type=int, default=3600, help="Seconds for which the old one stays valid."
)
@ORGANISATION
def rotate_token(token_id: int, overlap: int, organisation: str) -> None:
    """Replace the token ID by a new token."""
    issued = write(
        lambda transaction: tokens.rotate(transaction, token_id, overlap, None), organisation
    )
    _print_secret(issued)


@click.command()
def generate_token() -> None:
    """Print a new token, as for DISTCONF_ADMIN_TOKEN_FILE. Nothing is stored."""
    click.echo(new_token())


def _print_secret(issued: IssuedToken) -> None:
    # Alone on standard output, so that `distconf create-token … > file` writes the token.
    click.echo(f"Created token id={issued.token.id}; it is not shown again:", err=True)
    click.echo(issued.secret)


def _describe_end(moment: int | None, output: str) -> str:
    return "good" if moment is None else f"good until {describe_time(moment, output)}"
