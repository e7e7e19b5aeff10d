"""Probes: whether the server is alive, and ready; and its metrics."""

import platform

from flask import Blueprint

from distributed_config import __version__, wire
from distributed_config.http import auth, database
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.live import metrics
from distributed_config.models import sqlite
from distributed_config.services.journal.head import read_head

blueprint = Blueprint("health", __name__)


@route(blueprint, "GET", "/healthz", permission=auth.PUBLIC, answers={200: "application/json"})
def alive() -> ResponseData:
    """Check that the process answers."""
    return json_response({"status": "alive"}, Cache_Control="no-store")


@route(
    blueprint,
    "GET",
    "/readyz",
    permission=auth.PUBLIC,
    answers={200: "application/json"},
    refusals=(507,),
)
def ready() -> ResponseData:
    """Check that this server can do all its work: a small write goes all the way to the disk.

    There is also room for a large one: SQLite may fit a small one into space that it has. The
    response comes within a second, whatever waits for the database.
    """
    # SQLite can still write small things on a full disk, in pages that it has freed.
    database.of().refuse_without_space()
    revision = database.of().writer.probe()
    metrics.REVISION.set(revision)
    return json_response({"status": "ready", "revision": revision}, Cache_Control="no-store")


@route(blueprint, "GET", "/metrics", permission="server:read", answers={200: "text/plain"})
def measured() -> ResponseData:
    """Show the metrics, for Prometheus."""
    head = read_head(database.reader_connection())
    # Set on demand: a gauge that every write updated would cost each of them.
    metrics.REVISION.set(head.revision)
    metrics.CLOCK_BEHIND.set(head.clock_lag(wire.now()))
    versions = (__version__, platform.python_version(), sqlite.sqlite.sqlite_version)
    metrics.BUILD.labels(*versions).set(1)
    return ResponseData(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
