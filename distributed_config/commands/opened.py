"""The database as the commands have it: without a server, beside one, or in place of one."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from click.termui import progressbar
from sqlalchemy import Connection, create_engine

from distributed_config.models import sqlite as engines
from distributed_config.services.secrets import keyring as keyrings
from distributed_config.settings import Settings
from distributed_config.store.acknowledged import refuse_lost_writes
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import Writer


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """A connection that reads one snapshot of the database."""
    engines.refuse_unmigrated(settings.database_path)
    options = engines.reading_engine_options(settings.lock_seconds, 1)
    engine = create_engine(engines.url_of(settings.database_path), **options)
    engines.prepare(engine, "BEGIN")
    engine.update_execution_options(**{keyrings.OPTION: keyrings.from_settings(settings)})
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def writing(settings: Settings) -> Iterator[Writer]:
    """A writer that takes its turn with those of a running server."""
    path = settings.database_path
    engines.refuse_unmigrated(path)
    refuse_lost_writes(path)
    engine = engines.writing_engine(path, settings.lock_seconds)
    engine.update_execution_options(**{keyrings.OPTION: keyrings.from_settings(settings)})
    writer = Writer(engine, Watermarks(path), settings.lock_seconds)
    try:
        yield writer
    finally:
        writer.stop()


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far long work is, on standard error and only to people."""
    hidden = not sys.stderr.isatty()
    with progressbar(length=1, label=label, file=sys.stderr, hidden=hidden) as bar:

        def show(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show
