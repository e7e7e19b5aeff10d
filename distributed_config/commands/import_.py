"""``distconf import``."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from distributed_config import wire
from distributed_config.commands.files import name_file, read_value
from distributed_config.commands.progress import progress
from distributed_config.errors import Invalid, Problem
from distributed_config.services import bulk, changesets
from distributed_config.services.changesets import Imported, import_all
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings, load
from distributed_config.store.database import open_writer
from distributed_config.wire import Document, DocumentLimits


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--prune", is_flag=True, help="Also delete the services that SOURCES do not name.")
@click.option("--prefix", default="", help="With --prune: only delete services that begin so.")
@click.option("--note", default="", help="Why; stored with the versions and in the journal.")
def command(sources: tuple[Path, ...], dry_run: bool, prune: bool, prefix: str, note: str) -> None:
    """Create or update services from SOURCES, all of them or none; JSON, YAML or TOML.

    A file is one object of {service: document}. A folder has a file for each service, whose path
    inside the folder, without its ending, is the service's name. With --prune the server holds
    exactly what SOURCES hold: services that are in none of them are deleted, in the same revision.
    """
    if prefix and not prune:
        raise click.UsageError("--prefix only limits what --prune deletes.")
    settings = load()
    documents = read_sources(sources, settings)
    wire.check_note(note, settings.note_length)

    def unit(transaction: Transaction) -> tuple[Imported, tuple[str, ...]]:
        imported = import_all(transaction, documents)
        named = {name for name, _ in documents}
        return imported, changesets.prune(transaction, named, prefix) if prune else ()

    with open_writer(settings) as writer:
        act = writer.rehearse if dry_run else writer.write
        done, deleted = act(LOCAL_OPERATOR, unit, note)
    would = "Would be created" if dry_run else "Created"
    pruned = f", deleted: {len(deleted)}" if prune else ""
    click.echo(
        f"{would}: {len(done.created)}, updated: {len(done.updated)}, "
        f"unchanged: {len(done.unchanged)}{pruned}."
    )
    for name in deleted:
        click.echo(f"  {'would delete' if dry_run else 'deleted'} {name}", err=True)


def read_sources(
    sources: tuple[Path, ...],
    settings: Settings,
    as_document: Callable[[Any], Any] = lambda value: value,
) -> list[tuple[str, Document | Invalid]]:
    """Return every document of every source, or its problems, as ``import_all`` takes them.

    ``as_document`` turns what a file of several services has under a name into a document.
    """
    limits = DocumentLimits(
        settings.document_bytes, settings.document_depth, settings.document_keys
    )
    documents: list[tuple[str, Document | Invalid]] = []
    origin: dict[str, Path] = {}
    files = [entry for source in sources for entry in _files(source)]
    with progress("Reading") as show:
        for done, (file, name) in enumerate(files, 1):
            show(done, len(files))
            for service, document in _documents_or_problem(file, name, limits, as_document):
                if isinstance(document, Invalid):
                    documents.append((service, name_file(file, document)))
                elif service in origin:
                    message = f"The service {service!r} is in {origin[service]} already."
                    repeated = Invalid.from_problems([Problem("", message, "repeated")])
                    documents.append(("", name_file(file, repeated)))
                else:
                    origin[service] = file
                    documents.append((service, document))
    return documents


def _documents_or_problem(
    file: Path,
    name: str | None,
    limits: DocumentLimits,
    as_document: Callable[[Any], Any],
) -> Sequence[tuple[str, Document | Invalid]]:
    try:
        return _documents(file, name, limits, as_document)
    except Invalid as error:
        return [("", error)]


def _files(source: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the files to read and the services that their paths name; None: it is inside."""
    if source.is_file():
        yield source, None
    else:
        yield from services_in(source)


def services_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files in ``folder`` that are not hidden, with the service that the path names."""
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if file.is_file() and not hidden:
            yield file, inside.with_suffix("").as_posix()


def _documents(
    file: Path,
    name: str | None,
    limits: DocumentLimits,
    as_document: Callable[[Any], Any],
) -> Sequence[tuple[str, Document | Invalid]]:
    value = read_value(file)
    if name is None:
        if isinstance(value, dict):
            for service in value:  # in place: it knows which names are there twice
                value[service] = as_document(value[service])
        return bulk.documents_of(value, limits)
    [(_, document)] = bulk.documents_of({name: value}, limits)
    # A problem is named by its place in the file; the service would say it twice.
    return [("" if isinstance(document, Invalid) else name, document)]
