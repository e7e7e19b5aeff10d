"""``distconf serve``."""

import sys

import click
from gunicorn.app.wsgiapp import WSGIApplication

from distributed_config.commands import schema
from distributed_config.settings import load


@click.command()
@click.option("--upgrade", is_flag=True, help="Bring the database up to date first.")
def command(upgrade: bool) -> None:
    """Start the server. It ends cleanly on Ctrl-C and SIGTERM.

    The settings come from the environment; `distconf settings` shows them.
    """
    settings = load()
    if upgrade:
        schema.upgrade(settings)
    sys.argv = [
        "gunicorn",
        "--config",
        "python:distributed_config.gunicorn_conf",
        "distributed_config.wsgi:front",
    ]
    WSGIApplication("distconf serve").run()
