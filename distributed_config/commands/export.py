"""``distconf export``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from distributed_config import formats, wire
from distributed_config.commands import import_
from distributed_config.commands.files import whole_file
from distributed_config.formats import Format
from distributed_config.models.backup import named
from distributed_config.services import bulk
from distributed_config.services.journal import audit
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.reader import Reader
from distributed_config.settings import load
from distributed_config.store.database import connect, open_writer


@click.command()
@click.argument("target", required=False)
@click.option("--format", "format_name", type=click.Choice(list(formats.FORMATS)))
@click.option("--prefix", default="", help="Only services whose name begins so.")
@click.option("--prune", is_flag=True, help="Remove files of services that are gone from a folder.")
@click.option("--reveal", is_flag=True, help="Secrets in the clear; they are masked otherwise.")
def command(
    target: str | None, format_name: str | None, prefix: str, *, prune: bool, reveal: bool
) -> None:
    """Write the current documents of all services to TARGET, or to standard output.

    A TARGET that ends in / or is a folder gets a file for each service; any other is one file of
    {service: document}. The format is that of TARGET's ending, unless --format says otherwise.

    With --prune a folder holds exactly these services afterwards: every other file in it that
    `distconf import` would read, below --prefix if that is given, is removed.
    """
    # A folder that does not exist yet is told by its slash.
    is_folder = target is not None and (target.endswith("/") or Path(target).is_dir())
    if prune and not is_folder:
        raise click.UsageError(
            "--prune needs a folder as TARGET; a file is replaced as a whole anyway."
        )
    settings = load()
    facts = {"prefix": prefix, "reveal": reveal}

    # Before anything is read: an export that is cut short is in the audit log as well.
    def unit(transaction: Transaction) -> None:
        audit.record(
            transaction, AuditKind.EXPORT, organisation=LOCAL_OPERATOR.organisation, detail=facts
        )

    with open_writer(settings) as writer:
        writer.write(LOCAL_OPERATOR, unit)
    # The operator may read every secret; a file of them should be asked for.
    visibility = replace(LOCAL_OPERATOR.visibility, reads_secrets=reveal)
    with connect(settings) as connection:
        documents = {
            name: wire.parse_stored(document.text)
            for name, document in bulk.export(Reader(connection, visibility), prefix)
        }
    format_ = formats.by_name(format_name) if format_name else formats.by_extension(target or "")
    format_ = format_ or formats.FORMATS["json"]
    if target is None:
        click.echo(format_.write(documents).rstrip("\n"))
        return
    if is_folder:
        written = _write_folder(Path(target), format_, documents)
        if prune:
            _remove_others(Path(target), written, prefix)
    else:
        with whole_file(Path(target)) as file:
            file.write(format_.write(documents))
    click.echo(f"Services written to {target}: {len(documents)}.", err=True)


def _write_folder(folder: Path, format_: Format, documents: dict[str, dict[str, Any]]) -> set[Path]:
    """Write a file for each service, under its name, and return the files.

    A / in the name makes a folder.
    """
    # All texts first: a document that the format cannot hold must not leave half a folder.
    texts = {name: format_.write(document) for name, document in documents.items()}
    files = {name: folder / f"{name}.{format_.extensions[0]}" for name in texts}
    for name, text in texts.items():
        files[name].parent.mkdir(parents=True, exist_ok=True)
        with named(files[name]):
            files[name].write_text(text, encoding="utf-8")
    return set(files.values())


def _remove_others(folder: Path, written: set[Path], prefix: str) -> None:
    """Remove the files that an import would read, except those that were just written."""
    for file, name in import_.services_in(folder):
        format_ = formats.by_extension(file.name)
        is_read = format_ is not None and format_.read is not None
        if is_read and file not in written and name.startswith(prefix):
            file.unlink()
            click.echo(f"Removed {file}.", err=True)
