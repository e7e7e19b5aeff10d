"""``distconf backup``."""

from pathlib import Path

import click

from distributed_config.commands.progress import progress
from distributed_config.errors import CannotStart
from distributed_config.models.backup import copy_database
from distributed_config.settings import load


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def command(file: Path, force: bool) -> None:
    """Write a consistent copy of the database to FILE, while the server may go on writing."""
    # The last good backup must not go for one that may be cut short.
    if file.exists() and not force:
        raise CannotStart(f"{file} is there already; give --force to replace it.")
    settings = load()
    with progress("Copying") as show:
        copy_database(settings.database_path, file.absolute(), show)
    click.echo(f"{file} holds {file.stat().st_size} bytes. Verify it: distconf check {file}")
