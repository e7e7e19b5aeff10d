"""``distconf restore``."""

from dataclasses import replace
from pathlib import Path

import click

from distributed_config.commands.check import KEYS, database
from distributed_config.commands.progress import progress
from distributed_config.errors import CannotStart
from distributed_config.models import sqlite as engines
from distributed_config.models.backup import replace_database
from distributed_config.settings import load
from distributed_config.store.watermarks import Watermarks


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(file: Path) -> None:
    """Put the backup FILE in place of the database. The server must not be running.

    FILE is verified first. The old database stays beside it. The restored one has a new
    epoch: entity tags and cursors from before do not match it.
    """
    settings = load()
    path = settings.database_path
    backup = replace(settings, database_url=f"sqlite:///{file.absolute()}")
    # Any file of SQLite could be copied; only ours can be served.
    if engines.migration_of(file) is None:
        raise CannotStart(f"{file} is not a backup of Distributed Config.")
    findings = database(backup)
    # Without its keys it can be restored all the same: they may come later, and are told below.
    faults = [fault for finding in findings if finding.what != KEYS for fault in finding.faults]
    if faults:
        raise CannotStart(f"{file} is not sound, and nothing was changed: {'; '.join(faults)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not beside a server, which would go on with the file that is no longer there.
    with Watermarks.exclusively(path), progress("Copying") as show:
        replaced = replace_database(file.absolute(), path, show)
    click.echo(
        f"{path} is restored from {file}." + (f" The old one is {replaced}." if replaced else "")
    )
    for fault in (
        fault for finding in findings if finding.what == KEYS for fault in finding.faults
    ):
        click.echo(f"But {fault}.", err=True)
