"""``distconf db``, and ``flask db``, which is the same."""

from typing import Any

import click
from flask import Flask

from distributed_config.commands import schema
from distributed_config.commands.refusals import report_errors
from distributed_config.settings import load

_VERBOSE = click.option("--verbose", "-v", is_flag=True, help="Say more about each migration.")


@click.group()
def command() -> None:
    """Look after the database's schema."""


@command.command()
def upgrade() -> None:
    """Bring the database up to date; make it where there is none."""
    settings = load()
    state = "is now" if schema.upgrade(settings) else "was already"
    click.echo(f"The database {settings.database_path} {state} up to date.")


@command.command()
@_VERBOSE
def current(verbose: bool) -> None:
    """Print the migration that the database is at."""
    schema.print_current(load(), verbose=verbose)


@command.command()
@_VERBOSE
def history(verbose: bool) -> None:
    """List the migrations, the newest first."""
    schema.print_history(load(), verbose=verbose)


@command.command()
def check() -> None:
    """Compare the database with the models. Exit code 0 if they agree, 1 if not."""
    differences = schema.find_differences(load())
    for line in differences:
        click.echo(line)
    if differences:
        raise SystemExit(1)
    click.echo("The database has what the models declare.")


@command.command()
@click.option("--message", "-m", default="", help="What the migration does; it names the file.")
def migrate(message: str) -> None:
    """Draft the next migration: what the models declare and the database lacks.

    Nothing is written where there is no difference.
    """
    file = schema.draft_migration(load(), message)
    if file is None:
        click.echo("The database has what the models declare; nothing is written.")
        return
    click.echo("Read it, and set MIGRATION in distributed_config/models/__init__.py to its number.")


class _FlaskGroup(click.Group):
    """The commands of ``db`` under ``flask``, which would show a traceback for a refusal."""

    def invoke(self, ctx: click.Context) -> Any:
        with report_errors("flask db"):
            return super().invoke(ctx)


def create_command_app() -> Flask:
    """Create the application that ``flask db`` is a command of. It serves nothing."""
    app = Flask("distributed_config")
    app.cli.add_command(_FlaskGroup("db", command.commands, help=command.help))
    return app
