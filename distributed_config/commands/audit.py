"""``distconf audit``."""

import hashlib
import hmac
import re
import sys
from pathlib import Path
from typing import TextIO

import click

from distributed_config import wire
from distributed_config.commands.files import whole_file
from distributed_config.commands.progress import progress
from distributed_config.errors import CannotStart
from distributed_config.schemas import audit_entries
from distributed_config.services.journal import audit
from distributed_config.services.journal.chain import ChainHead
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.journal.verify import ChainReport, verify_chain
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import load
from distributed_config.store.database import connect, open_writer

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_KEY = click.option("--key-file", type=_FILE, help="The key of HMAC-SHA256: at least 16 bytes.")
_SHORTEST_KEY = 16


def _parse_pin(text: str) -> ChainHead:
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-f]{64}", text):
        raise click.BadParameter("It is not what `distconf audit head` prints, as in 57:1f2e…")
    number, _, hash_ = text.partition(":")
    return ChainHead(int(number), 0, hash_)


def _parse_time(text: str) -> int:
    try:
        return wire.parse_time(text)
    except (ValueError, OverflowError):
        raise click.BadParameter("It is not a time as in 2026-11-21T09:30:00Z.") from None


@click.group()
def command() -> None:
    """Look after the audit log."""


@command.command()
@_KEY
def head(key_file: Path | None) -> None:
    """Print ID:HASH of the newest entry, to store in another place; and with a key its signature.

    The signature is on a second line.
    """
    with connect(load()) as connection:
        newest = audit.head(connection)
    click.echo(str(newest))
    if key_file is not None:
        click.echo(_sign(newest, key_file))


@command.command()
@click.option("--pinned", type=_parse_pin, metavar="ID:HASH", help="An earlier head, as printed.")
@click.option("--signature", help="What `distconf audit head --key-file` printed with it.")
@_KEY
def verify(pinned: ChainHead | None, signature: str | None, key_file: Path | None) -> None:
    """Verify the whole chain and the journal that it seals; name what is broken.

    Exit code 0 if all is well, 1 if anything is not.
    """
    if signature is not None:
        if pinned is None or key_file is None:
            raise click.UsageError("--signature needs --pinned and --key-file.")
        if not hmac.compare_digest(_sign(pinned, key_file), signature.strip().lower()):
            raise CannotStart("The signature does not belong to the pinned head and this key.")
    with connect(load()) as connection, progress("Entries") as show:
        result = verify_chain(connection, show, pinned)
    for line in result.faults or (describe(result),):
        click.echo(f"{'BAD' if result.faults else 'ok ':3}  audit: {line}")
    if result.faults:
        raise SystemExit(1)


@command.command()
@click.option(
    "--before", type=_parse_time, metavar="TIME", required=True, help="As in 2026-11-21T09:30:00Z."
)
def prune(before: int) -> None:
    """Remove the entries from before TIME; the chain goes on from the first that is left.

    The log is verified first: a broken chain must not come to look whole.
    """
    settings = load()
    with connect(settings) as connection, progress("Entries") as show:
        faults = verify_chain(connection, show).faults
    if faults:
        raise CannotStart(f"The audit log is broken, and nothing was pruned: {faults[0]}.")

    def unit(transaction: Transaction) -> int:
        return audit.prune(transaction, before)

    removed = 0
    with open_writer(settings) as writer:
        while done := writer.write(LOCAL_OPERATOR, unit):
            removed += done
    click.echo(f"Entries removed: {removed}.")


@command.command()
@click.argument("target", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format", "format_name", type=click.Choice(list(audit_entries.FORMATS)), default="jsonl"
)
def export(target: Path | None, format_name: str) -> None:
    """Write all entries, of all organisations, to TARGET or to standard output, oldest first."""

    def unit(transaction: Transaction) -> None:
        audit.record(
            transaction, AuditKind.AUDIT_EXPORT, organisation=None, detail={"format": format_name}
        )

    settings = load()
    with open_writer(settings) as writer:
        writer.write(LOCAL_OPERATOR, unit)
    if target is None:
        _export(sys.stdout, format_name)
    else:
        with whole_file(target) as file:
            _export(file, format_name)


def describe(result: ChainReport) -> str:
    """Return what is verified, for a result without faults."""
    if not result.first:
        return "no entry yet: the chain begins with the next write"
    sealed = (
        f"revisions {result.first_revision} to {result.last_revision} of the journal are sealed"
    )
    if not result.first_revision:
        sealed = "no revision of the journal is sealed"
    return f"entries {result.first} to {result.last} are one chain, and {sealed}"


def _export(file: TextIO, format_name: str) -> None:
    with connect(load()) as connection:
        entries = audit.iterate(connection, None, audit.ALL_ENTRIES)
        file.writelines(audit_entries.render_entries(entries, format_name))


def _sign(head_: ChainHead, key_file: Path) -> str:
    key = key_file.read_bytes().strip()
    if len(key) < _SHORTEST_KEY:
        raise CannotStart(
            f"The key in {key_file} has under {_SHORTEST_KEY} bytes; make one, as with "
            "`openssl rand -hex 32`."
        )
    return hmac.new(key, str(head_).encode(), hashlib.sha256).hexdigest()
