"""``distconf check``."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from distributed_config import wire
from distributed_config.commands.audit import describe
from distributed_config.commands.progress import progress
from distributed_config.errors import CannotStart, DistconfError
from distributed_config.models import sqlite as engines
from distributed_config.models.backup import faults_of_file
from distributed_config.services import integrity, secrets
from distributed_config.services.access import tokens
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.verify import verify_chain
from distributed_config.settings import Settings, load
from distributed_config.store.acknowledged import lost_writes
from distributed_config.store.database import connect

_TOLERANCE = 1.0

KEYS = "secrets"
"""The subject of a finding on the key file, which is not part of the database."""


@dataclass(frozen=True)
class Finding:
    """The result of one check: its subject, and what is wrong with it.

    Without faults, ``fine`` says what is right with it.
    """

    what: str
    fine: str
    faults: tuple[str, ...] = ()


@click.command()
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text")
def command(file: Path | None, output: str) -> None:
    """Check the database, or the backup FILE: its pages, digests, journal and audit log; the
    key file that opens its secrets; and the settings.

    Exit code 0 if all is well, 1 if anything is not.
    """
    settings = load()
    if file is not None:
        settings = replace(settings, database_url=f"sqlite:///{file.absolute()}")
    findings = [
        Finding("settings", "all valid"),
        _sqlite(),
        *database(settings),
    ]
    # A database that is not sound says nothing of the time.
    if not any(finding.faults for finding in findings):
        findings.append(_clock(settings))
    if output == "json":
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            for line in finding.faults or (finding.fine,):
                click.echo(f"{'BAD' if finding.faults else 'ok ':3}  {finding.what}: {line}")
    if any(finding.faults for finding in findings):
        raise SystemExit(1)


def database(settings: Settings) -> list[Finding]:
    """Check the database file of ``settings``, from its pages to its keys.

    Returns after the first part that is not sound: what rests on it would say nothing.
    """
    path = settings.database_path
    if not path.exists():
        return [Finding("database", "", (f"there is none at {path}; run `distconf db upgrade`",))]
    # First of all, and of the file alone: a damaged page can stop everything that comes after it.
    with progress("Reading every page") as show:
        faults = faults_of_file(path)
        show(1, 1)
    findings = [Finding("pages", "every page is sound", tuple(faults))]
    if faults:
        return findings
    try:
        with connect(settings) as connection:
            with progress("Versions") as show:
                stored = [*_lost(path), *integrity.find_problems(connection, show)]
            with progress("Indexes") as show:
                stored += integrity.find_index_problems(connection, show)
            with progress("Audit log") as show:
                chain = verify_chain(connection, show)
            closed = secrets.unreadable_keys(connection)
    except CannotStart as error:
        return [*findings, Finding("schema", "", (error.detail,))]
    except DistconfError as error:
        return [*findings, Finding("content", "", (error.detail,))]
    fine = "digests are true, numbers and revisions have no gap"
    return [
        *findings,
        Finding("content", fine, tuple(stored)),
        Finding("audit", describe(chain), chain.faults),
        Finding(KEYS, "the key file opens every key", _key_faults(settings, closed)),
    ]


def _lost(path: Path) -> list[str]:
    missing = lost_writes(path)
    return [missing] if missing else []


def _key_faults(settings: Settings, closed: list[str]) -> tuple[str, ...]:
    return tuple(
        f"the key file {settings.secret_keys} does not open the data key {key_id}; "
        "put the one that belongs to this database in its place"
        for key_id in closed
    )


def _clock(settings: Settings) -> Finding:
    """Check that the clock is not behind the journal, and name the tokens that this spoilt."""
    moment = wire.now()
    with connect(settings) as connection:
        head = read_head(connection)
        early = tokens.created_after(connection, moment)
    # Both are told: one is mended by waiting or by the clock, the other by hand alone.
    faults = []
    if (behind := head.clock_lag(moment)) >= _TOLERANCE:
        faults.append(
            f"the newest change is from {wire.format_time(head.changed_at)}, and this machine's "
            f"clock stands {behind:.0f} s behind it: until it has passed that, every change gets "
            "that time. Set the clock if it is wrong; nothing else is to be done"
        )
    if early:
        faults.append(
            f"the tokens {', '.join(map(str, early))} were made while the clock was ahead, and "
            "end as much too late: revoke them, or give them another end"
        )
    return Finding("clock", "it is not behind the journal", tuple(faults))


def _sqlite() -> Finding:
    version = engines.sqlite.sqlite_version
    mode = "/".join(engines.journal_mode())
    if engines.has_safe_wal():
        return Finding("sqlite", f"version {version}, {mode}")
    return Finding(
        "sqlite",
        f"version {version} has the WAL-reset fault, so {mode} is used, which is slower; "
        "install the package pysqlite3 where there is one",
    )
