"""``distconf db``."""

import click

from distributed_config.commands import schema
from distributed_config.settings import load


@click.group()
def command() -> None:
    """Look after the database's schema."""


@command.command()
def upgrade() -> None:
    """Bring the database up to date; make it where there is none."""
    settings = load()
    did = schema.upgrade(settings)
    state = "is now" if did else "was already"
    click.echo(f"The database {settings.database_path} {state} up to date.")
