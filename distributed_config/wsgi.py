"""What servers load: ``app`` for any WSGI server, ``front`` for an ASGI server.

Flask's command line loads it too, to look for ``flask db``. That has to work before there is a
database, so it gets an application that has this command and serves nothing.
"""

import importlib

import click
from flask import Flask
from flask.cli import FlaskGroup

from distributed_config.app import create_app
from distributed_config.asgi import Gateway
from distributed_config.errors import CannotStart
from distributed_config.http import rate_limits, request_log
from distributed_config.live.feed import Feed
from distributed_config.settings import load


def _flask_context() -> click.Context | None:
    """Return click's context where Flask's command line loads this module; None elsewhere."""
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, FlaskGroup):
        return None
    return context


def _create() -> tuple[Flask, Gateway]:
    """Create what serves. Raises CannotStart with one sentence when it should not."""
    settings = load()
    request_log.init_logging(settings)
    app = create_app(settings)
    database = app.extensions["distributed_config"]
    front = Gateway(
        app.wsgi_app,
        database.watermarks,
        Feed(database.readers),
        settings,
        log_requests=request_log.logs_requests(settings),
        text_log=request_log.writes_text(settings),
        quota_source=rate_limits.quota_source_of(app),
        on_begin=database.verification.begin,
        on_end=database.close,
    )
    return app, front


_context = _flask_context()
if _context is not None and _context.parent is None:
    # `flask` itself is looking for a command by its name. `flask run` and other commands of its
    # own load this from a context of theirs, inside it. Loaded by name: a server needs no Alembic.
    app = importlib.import_module("distributed_config.commands.db").create_command_app()
else:
    try:
        app, front = _create()
    except CannotStart as refusal:
        if _context is None:
            raise
        raise click.ClickException(refusal.detail) from None
