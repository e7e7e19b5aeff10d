"""``distconf serve``."""

import importlib
import sys
from pathlib import Path

import click
from gunicorn.app.wsgiapp import WSGIApplication

from distributed_config.models import MIGRATION
from distributed_config.models.sqlite import migration_of
from distributed_config.settings import load


@click.command()
@click.option("--upgrade", is_flag=True, help="Bring the database up to date first.")
def command(upgrade: bool) -> None:
    """Start the server. It ends cleanly on Ctrl-C and SIGTERM.

    The settings come from the environment; `distconf settings` shows them.
    """
    settings = load()
    if upgrade and migration_of(settings.database_path) != MIGRATION:
        # Loaded only when there is something to do: it would be a third of the time to start.
        importlib.import_module("distributed_config.commands.schema").upgrade(settings)
    # Before there is an account: what a new database begins with may name its organisations.
    if settings.bootstrap != Path():
        importlib.import_module("distributed_config.commands.bootstrap").bootstrap(settings)
    if not settings.is_open and migration_of(settings.database_path) == MIGRATION:
        importlib.import_module(
            "distributed_config.commands.first_account"
        ).create_first_administrator(settings)
    # gunicorn reads its arguments from there, and its own settings from the environment as well.
    sys.argv = [
        "gunicorn",
        "--config",
        "python:distributed_config.gunicorn_conf",
        "distributed_config.wsgi:front",
    ]
    WSGIApplication("distconf serve").run()
