"""The options that the commands about accounts share, and what the local operator does with them.

Whoever can run a command on the server's machine can read the database's file. So these commands
ask for no credentials: the audit log has them as the local operator's.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from sqlalchemy import Connection

from distributed_config import wire
from distributed_config.client.cli.tables import local_time, table_lines
from distributed_config.services.access import organisations
from distributed_config.services.access.grants import Grant
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.services.policy.visibility import Scope
from distributed_config.settings import load
from distributed_config.store.database import connect, open_writer

T = TypeVar("T")

ALL = 1_000_000
"""The limit of a list that has no pages."""

ORGANISATION = click.option(
    "--organisation", default="default", show_default=True, help="The organisation, by its name."
)
SERVICES = click.option(
    "--service",
    "services",
    multiple=True,
    help="Limit it to this service; one that ends in / is a prefix. Repeatable.",
)
ENVIRONMENTS = click.option(
    "--environment", "environments", multiple=True, help="Limit it to this environment. Repeatable."
)
OUTPUT = click.option("--output", type=click.Choice(["text", "json"]), default="text")
SEARCH = click.option("--search", default="", help="Only those with this in their name or address.")
UNLIMITED = click.option("--unlimited", is_flag=True, help="Remove all of its limits first.")


def write(unit: Callable[[Transaction], T], organisation: str = "") -> T:
    """Return what ``unit`` returns, written as the local operator in an organisation."""
    settings = load()
    actor = LOCAL_OPERATOR
    # Without one the operator acts in the first, as every request without a name does.
    if organisation:
        with connect(settings) as connection:
            actor = operator_in(connection, organisation)
    with open_writer(settings) as writer:
        return writer.write(actor, unit)


def operator_in(connection: Connection, organisation: str) -> Actor:
    """Return the local operator as a member of an organisation, which is given by its name."""
    return LOCAL_OPERATOR.in_organisation(organisations.organisation(connection, organisation).id)


def change_rights(
    before: Grant,
    role: str | None,
    services: tuple[str, ...],
    environments: tuple[str, ...],
    unlimited: bool,
) -> Grant:
    """Return ``before`` with what the options say; what they leave out stays."""
    scope = Scope() if unlimited else before.scope
    return Grant(
        role or before.role,
        Scope(services or scope.services, environments or scope.environments),
    )


def describe_rights(rights: Grant) -> dict[str, Any]:
    """Return the columns of a list that say what somebody may do."""
    return {"role": rights.role, "services": " ".join(rights.scope.services)}


def describe_time(moment: int, output: str) -> str:
    """Return RFC 3339 for programs, and the local time for people."""
    text = wire.format_time(moment)
    return text if output == "json" else local_time(text)


def print_rows(output: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as a table, or as JSON where that is the ``output``."""
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    for line in table_lines(rows):
        click.echo(line, nl=False)
