"""``distconf export``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from distributed_config import formats, wire
from distributed_config.commands import opened
from distributed_config.commands.files import whole_file
from distributed_config.formats import Format
from distributed_config.models.files import named
from distributed_config.services import audit, transfer
from distributed_config.services.actors import LOCAL_OPERATOR
from distributed_config.services.journal import Journal
from distributed_config.settings import load


@click.command()
@click.argument("target", required=False)
@click.option("--format", "format_name", type=click.Choice(list(formats.FORMATS)))
@click.option("--prefix", default="", help="Only services whose name begins so.")
@click.option("--reveal", is_flag=True, help="Secrets in the clear; they are masked otherwise.")
def command(target: str | None, format_name: str | None, prefix: str, reveal: bool) -> None:
    """Write the current documents of all services to TARGET, or to standard output.

    A TARGET that ends in / or is a folder gets a file for each service; any other is one file of
    {service: document}. The format is that of TARGET's ending, unless --format says otherwise.
    """
    settings = load()
    facts = {"prefix": prefix, "reveal": reveal}

    def unit(journal: Journal) -> None:
        audit.note(journal, audit.EXPORT, organisation=LOCAL_OPERATOR.organisation, detail=facts)

    with opened.writing(settings) as writer:
        writer.write(LOCAL_OPERATOR, unit)
    realm = replace(LOCAL_OPERATOR.realm, secrets=reveal)
    with opened.reading(settings) as connection:
        found = {
            name: wire.parse_stored(document.text)
            for name, document in transfer.export(connection, realm, prefix)
        }
    format_ = formats.by_name(format_name) if format_name else formats.by_extension(target or "")
    format_ = format_ or formats.FORMATS["json"]
    if target is None:
        click.echo(format_.write(found).rstrip("\n"))
        return
    if target.endswith("/") or Path(target).is_dir():
        _write_folder(Path(target), format_, found)
    else:
        with whole_file(Path(target)) as file:
            file.write(format_.write(found))
    click.echo(f"Services written to {target}: {len(found)}.", err=True)


def _write_folder(folder: Path, format_: Format, found: dict[str, dict[str, Any]]) -> None:
    """A file for each service, under its name; a / in the name makes a folder."""
    texts = {name: format_.write(document) for name, document in found.items()}
    for name, text in texts.items():
        file = folder / f"{name}.{format_.extensions[0]}"
        file.parent.mkdir(parents=True, exist_ok=True)
        with named(file):
            file.write_text(text, encoding="utf-8")
