"""The production server's settings, for gunicorn.

``distconf serve`` uses them; so does ``gunicorn -c python:distributed_config.gunicorn_conf
distributed_config.wsgi:front``.
"""

import atexit
import importlib
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from distributed_config.errors import CannotStart, DistconfError
from distributed_config.live import scratch
from distributed_config.services.secrets import keyring
from distributed_config.settings import load
from distributed_config.store.database import Database, refuse_unusable

_settings = load()
# The workers may have taken 7 s of the 10 in which everything ends.
_PATIENCE_AT_THE_END = 0.5
_memory = Path("/dev/shm")  # noqa: S108  # a folder of its own is created in it
_in_memory = str(_memory) if os.access(_memory, os.W_OK) else None


def _refuse_unusable() -> None:
    """End with one sentence on what is wrong, before there are workers to fail one by one."""
    try:
        refuse_unusable(_settings)
        keyring.from_settings(_settings)
        _refuse_taken_port()
    except CannotStart as refusal:
        sys.stderr.write(f"distconf: {refusal.detail}\n")
        sys.exit(1)


def _load_database() -> Database:
    """Load the application here, where a refusal is still one sentence, and return its database."""
    try:
        app = importlib.import_module("distributed_config.wsgi").app
    except CannotStart as refusal:
        sys.stderr.write(f"distconf: {refusal.detail}\n")
        sys.exit(1)
    database: Database = app.extensions["distributed_config"]
    return database


def _refuse_taken_port() -> None:
    """Raise CannotStart if another program listens on the port.

    All workers share it (SO_REUSEPORT), so two servers could as well, and requests would go to
    either.
    """
    host, port = _settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"Cannot listen on {_settings.bind} ({error.strerror}); "
                "stop the program that does, or set DISTCONF_BIND to another address."
            ) from None


def _make_metrics_folder() -> None:
    """Create the folder in which the workers count, for metrics.

    In memory where that can be: the files are mapped, and a full disk would kill a process that
    counts.
    """
    scratch.sweep(Path(tempfile.gettempdir() if _in_memory is None else _in_memory))
    folder = scratch.make(_in_memory)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    master = os.getpid()

    @atexit.register
    def _remove() -> None:
        if os.getpid() == master:
            shutil.rmtree(folder, ignore_errors=True)


_refuse_unusable()
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    _make_metrics_folder()
# The client library looks at that variable when it is loaded, so not before this line.
multiprocess = importlib.import_module("prometheus_client.multiprocess")
_database = _load_database()

bind = _settings.bind
workers = _settings.workers
worker_class = "distributed_config.asgi.worker.Worker"
# Loaded once, shared by all workers: a quicker start and less memory. It is safe because nothing in
# the application opens a connection or starts a thread before its first use, after the fork.
preload_app = True
# Without it one worker can take every connection.
reuse_port = True
worker_tmp_dir = _in_memory
# Whatever is installed: another loop accepts connections in its own way, which `asgi/worker.py`
# cannot bound (docs/decisions/0027-known-requests.md).
asgi_loop = "asyncio"
# A client that is gone gets nothing any more: its stream ends at once.
asgi_disconnect_grace_period = 0
# A subscriber sends pings at most, and each message is held in memory until it is whole.
websocket_max_message_size = 64 * 1024
keepalive = 75
timeout = 60
# An end within 10 s: requests that have begun are finished, those that wait are let go.
graceful_timeout = 8
limit_request_line = 8190
# One line for each request is written by the application itself.
accesslog = None
loglevel = "warning"
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Announce the server, once."""
    # Another kind of worker, which serves `app`, has no loop.
    if worker.age == 1 and hasattr(worker, "loop"):
        worker.loop.call_later(0.05, _announce)


def child_exit(_server: Any, worker: Any) -> None:
    """Drop the gauges of a worker that is gone; they would be counted for ever."""
    multiprocess.mark_process_dead(worker.pid)


def on_exit(_server: Any) -> None:
    """Leave one file: two workers that close it at the same moment leave its log to each other."""
    try:
        _database.empty_log(_PATIENCE_AT_THE_END)
    except DistconfError as error:
        # Nothing is lost: it stays in the log beside the database, and is moved at the next start.
        sys.stderr.write(f"distconf: the log could not be moved into the database: {error}\n")


def _announce() -> None:
    url = f"http://{_settings.bind}"
    token = "" if _settings.is_open else '-H "Authorization: Bearer $DISTCONF_TOKEN" '
    sys.stderr.write(
        f"Distributed Config listens on {url} (documentation at {url}/api/docs). Try:\n"
        f"""  curl {token}-X PUT -H 'Content-Type: application/json' -d '{{"hello": "world"}}' """
        f"""'{url}/config?service=demo' && curl {token}'{url}/config?service=demo'\n"""
    )
