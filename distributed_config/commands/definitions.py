"""``distconf definitions``."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from distributed_config import formats, wire
from distributed_config.client.cli.tables import local_time, table_lines
from distributed_config.commands.files import read_value
from distributed_config.errors import DefinitionNotFound, InvalidDocument
from distributed_config.json_schema import Compatibility, SchemaLimits, compare, load_schema
from distributed_config.services import definitions, secrets
from distributed_config.services.conformance import rules
from distributed_config.services.definitions import POLICIES, Definition
from distributed_config.services.definitions import review as evolution
from distributed_config.services.definitions.review import Review
from distributed_config.services.diff import compare as compare_documents
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.reader import Reader
from distributed_config.settings import load
from distributed_config.store.database import connect, open_writer
from distributed_config.wire import DocumentLimits

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NOTE = click.option("--note", default="", help="Why; stored in the journal.")
_OUTPUT = click.option("--output", type=click.Choice(["text", "json"]), default="text")
_ALL = 1_000_000
_MOST_PRINTED = 20

T = TypeVar("T")


@click.group()
def command() -> None:
    """Look after definitions: the JSON Schemas that services conform to."""


@command.command("list")
@click.option("--search", default="", help="A part of the name, in any case.")
@_OUTPUT
def list_definitions(search: str, output: str) -> None:
    """List the definitions."""
    with connect(load()) as connection:
        rows = definitions.definitions(
            Reader(connection, LOCAL_OPERATOR.visibility), search=search, limit=_ALL
        )
    if output == "json":
        click.echo(json.dumps([_to_json(row) for row in rows], indent=2))
        return
    table = [
        {
            "name": row.name,
            "revision": row.number,
            "policy": row.policy,
            "services": row.services,
        }
        for row in rows
    ]
    click.echo("".join(table_lines(table)), nl=False)


@command.command()
@click.argument("name")
@click.option("--number", type=int, help="A revision; the newest unless given.")
@click.option("--format", "format_name", type=click.Choice(["json", "yaml", "toml"]))
def show(name: str, number: int | None, format_name: str | None) -> None:
    """Write the schema of NAME."""
    with connect(load()) as connection:
        definition = definitions.require(
            Reader(connection, LOCAL_OPERATOR.visibility), name, number
        )
    format_ = formats.FORMATS[format_name or "json"]
    click.echo(format_.write(definition.document.value).rstrip("\n"))


@command.command()
@click.argument("name")
@_OUTPUT
def history(name: str, output: str) -> None:
    """List the revisions of NAME, newest first."""
    with connect(load()) as connection:
        rows = definitions.revisions(
            Reader(connection, LOCAL_OPERATOR.visibility), name, before=None, limit=_ALL
        )
    if output == "json":
        click.echo(json.dumps([_to_json(row) for row in rows], indent=2))
        return
    table = [
        {
            "revision": row.number,
            "time": local_time(wire.format_time(row.revised_at)),
            "author": row.author,
            "forced": "forced" if row.forced else "",
            "note": row.note,
        }
        for row in rows
    ]
    click.echo("".join(table_lines(table)), nl=False)


@command.command()
@click.argument("name")
@click.argument("file", type=_FILE, required=False)
@click.option("--policy", type=click.Choice(POLICIES), help="What revisions must keep.")
@click.option("--index", "paths", multiple=True, help="A property to find services by; repeatable.")
@click.option("--no-indexes", is_flag=True, help="Remove all of its indexes.")
@click.option("--force", is_flag=True, help="Even if it breaks something; needs a note.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@_NOTE
def put(
    name: str,
    file: Path | None,
    *,
    policy: str | None,
    paths: tuple[str, ...],
    no_indexes: bool,
    force: bool,
    dry_run: bool,
    note: str,
) -> None:
    """Create NAME, or revise it, with the schema in FILE (JSON, YAML or TOML).

    What is not given stays as it is.
    """
    settings = load()
    wire.check_note(note, settings.note_length)
    limits = SchemaLimits(settings.schema_bytes)
    schema = None if file is None else load_schema(read_value(file), limits)
    wire.check_name(name, "definition")
    indexes = () if no_indexes else paths or None

    def unit(transaction: Transaction) -> tuple[Definition, bool, Review | None]:
        if definitions.lookup(transaction.reader, name) is None:
            if schema is None:
                raise DefinitionNotFound(name)
            created = definitions.create(transaction, name, schema, policy or "none", indexes or ())
            return created, True, None
        result = definitions.revise(
            transaction,
            name,
            schema=schema,
            policy=policy,
            paths=indexes,
            review=reviewed,
            forced=force,
        )
        return result.definition, result.changed, result.review

    # Outside the transaction: reading every document would hold up the other writers.
    reviewed = None
    with connect(settings) as connection:
        before = definitions.lookup(Reader(connection, LOCAL_OPERATOR.visibility), name)
        if before is not None and schema is not None:
            reviewed = evolution.review(
                connection, before.proposal(schema), LOCAL_OPERATOR.visibility
            )
    with open_writer(settings) as writer:
        act = writer.rehearse if dry_run else writer.write
        definition, changed, final_review = act(LOCAL_OPERATOR, unit, note)
    _print_review(final_review)
    would = "would be" if dry_run else "is"
    state = f"{would} at revision {definition.number}" if changed else "is so already"
    click.echo(f"The definition {name!r} {state}.")


@command.command()
@click.argument("name")
@click.argument("file", type=_FILE)
def review(name: str, file: Path) -> None:
    """Say what the schema in FILE would do in place of that of NAME.

    Exit code 0 if nothing speaks against it, 1 otherwise.
    """
    settings = load()
    schema = load_schema(read_value(file), SchemaLimits(settings.schema_bytes))
    with connect(settings) as connection:
        definition = definitions.require(Reader(connection, LOCAL_OPERATOR.visibility), name)
        result = evolution.review(
            connection, definition.proposal(schema), LOCAL_OPERATOR.visibility
        )
    _print_review(result)
    if evolution.violations(result, definition.policy):
        raise SystemExit(1)


@command.command()
@click.argument("name")
@click.argument("file", type=_FILE)
@click.option("--number", type=int, help="A revision; the newest unless given.")
def check(name: str, file: Path, number: int | None) -> None:
    """Check the configuration in FILE against NAME. Exit code 0 if it conforms, 1 if not."""
    settings = load()
    limits = DocumentLimits(
        settings.document_bytes, settings.document_depth, settings.document_keys
    )
    document = wire.make_object(read_value(file), limits)
    with connect(settings) as connection:
        definition = definitions.require(
            Reader(connection, LOCAL_OPERATOR.visibility), name, number
        )
    checked = secrets.validation_input_alone(document.text, definition.schema)
    problems = rules.problems_of(definition.schema, checked)
    if problems:
        raise InvalidDocument.from_problems(problems)
    click.echo(f"{file} conforms to {name!r}, revision {definition.number}.")


@command.command()
@click.argument("name")
@click.argument("old", type=int)
@click.argument("new", type=int)
def diff(name: str, old: int, new: int) -> None:
    """Show how revision NEW of NAME differs from revision OLD."""
    with connect(load()) as connection:
        before, after = (
            definitions.require(
                Reader(connection, LOCAL_OPERATOR.visibility), name, number
            ).document.value
            for number in (old, new)
        )
    names = (f"{name} revision {old}", f"{name} revision {new}")
    difference = compare_documents(before, after, *names)
    click.echo(difference.text, nl=False)
    if difference.truncated:
        click.echo("The difference is too long; only its beginning is printed.", err=True)
    for line in _compatibility(compare(before, after)):
        click.echo(line, err=True)


@command.command()
@click.argument("name")
def services(name: str) -> None:
    """List the services that conform to NAME."""
    with connect(load()) as connection:
        definition = definitions.require(Reader(connection, LOCAL_OPERATOR.visibility), name)
        conforming = rules.services(connection, definition.id)
    for _, service in conforming:
        click.echo(service)


@command.command()
@click.argument("name")
@click.argument("service")
@_NOTE
def attach(name: str, service: str, note: str) -> None:
    """Make SERVICE conform to NAME; what is current must already."""
    _write(lambda transaction: definitions.attach(transaction, Series(service), name), note)
    click.echo(f"The service {service!r} conforms to {name!r}.")


@command.command()
@click.argument("service")
@_NOTE
def detach(service: str, note: str) -> None:
    """Make SERVICE conform to no definition."""
    _write(lambda transaction: definitions.detach(transaction, Series(service)), note)
    click.echo(f"The service {service!r} conforms to no definition.")


@command.command()
@click.argument("name")
@click.option(
    "--cascade",
    type=click.Choice(["detach", "delete"]),
    help="What to do with the services that conform to it.",
)
@_NOTE
def delete(name: str, cascade: str | None, note: str) -> None:
    """Delete NAME."""
    gone = _write(
        lambda transaction: definitions.delete_definition(transaction, name, cascade or ""), note
    )
    done = "deleted" if cascade == "delete" else "detached"
    click.echo(f"The definition {name!r} is deleted; services {done}: {len(gone)}.")


def _write(unit: Callable[[Transaction], T], note: str) -> T:
    settings = load()
    wire.check_note(note, settings.note_length)
    with open_writer(settings) as writer:
        return writer.write(LOCAL_OPERATOR, unit, note)


def _print_review(review: Review | None) -> None:
    if review is None:
        return
    fit = review.checked - len(review.unfit)
    click.echo(f"Current documents that conform: {fit} of {review.checked}.")
    for name, version in list(review.unfit.items())[:_MOST_PRINTED]:
        for problem in version.problems:
            click.echo(f"  {name} version {version.number}: {problem.pointer}: {problem.message}")
    if len(review.unfit) > _MOST_PRINTED:
        click.echo(f"  … and {len(review.unfit) - _MOST_PRINTED} more services")
    for line in _compatibility(review.compatibility):
        click.echo(line)


def _compatibility(result: Compatibility) -> Iterator[str]:
    words = {True: "yes", False: "no", None: "could not be decided"}
    yield f"Backward compatible (old documents stay valid): {words[result.backward]}."
    yield f"Forward compatible (new documents are valid by the old): {words[result.forward]}."
    for reason in result.reasons[:_MOST_PRINTED]:
        yield f"  {reason.pointer}: {reason.message}"


def _to_json(definition: Definition) -> dict[str, Any]:
    fields = asdict(definition)
    for key in ("created_at", "changed_at", "revised_at"):
        fields[key] = wire.format_time(fields[key])
    return {**fields, "schema": definition.document.value}
