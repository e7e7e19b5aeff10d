"""Whether the database still has what was acknowledged.

After a crash a part of what was committed is in SQLite's log alone. If that file is missing, as in
a copy that was made without it, SQLite opens the rest without a word: acknowledged writes are
gone, and their revisions would be given out again. The highest acknowledged revision stands beside
the database. It is never flushed, for that would cost as much as the commit itself; after a power
cut it may be some seconds old, and then less is noticed.
"""

from pathlib import Path

from distributed_config.errors import CannotStart
from distributed_config.models.sqlite import raw_connection
from distributed_config.store.watermarks import path_of, read_acknowledged


def lost_writes(database: Path) -> str:
    """Return a sentence on what is missing from the database; "" if nothing is known to be."""
    # First, so that what a server acknowledges meanwhile does not seem to be missing.
    acknowledged = read_acknowledged(database)
    epoch, revision = _read_head(database)
    # A restore begins another epoch: what was acknowledged before it counts no more.
    known = acknowledged.in_epoch(epoch)
    if known <= revision:
        return ""
    return (
        f"The database {database} ends at revision {revision}, but revision {known} was "
        f"acknowledged: an older copy was put in its place, or its log, {database}-wal, is "
        f"missing. Put that back, or restore a backup with `distconf restore FILE`. To go on "
        f"without what is lost, remove {path_of(database)}."
    )


def refuse_lost_writes(database: Path) -> None:
    """Raise CannotStart if the database lacks what was acknowledged."""
    missing = lost_writes(database)
    if missing:
        raise CannotStart(missing)


def _read_head(database: Path) -> tuple[str, int]:
    with raw_connection(database) as connection:
        epoch, revision = connection.execute("SELECT epoch, revision FROM head").fetchone()
    return epoch, revision
