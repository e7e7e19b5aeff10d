"""The database as a file: copied while it is written to, verified, and put in place.

A copy is written under another name, flushed to the disk and then renamed, so that half of one
never stands under the name that people use.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distributed_config.errors import CannotStart, DistconfError, StorageFull
from distributed_config.models.sqlite import empty_log, is_there, meaning_of, raw_connection, sqlite

_PAGES_AT_ONCE = 2_000
_BESIDE = ("-wal", "-shm", "-journal")

Progress = Callable[[int, int], None]
"""Called with the pages done, and with all pages."""


def copy_database(source: Path, target: Path, progress: Progress) -> None:
    """Write a copy of ``source``, as it is at this moment, to ``target``; writers go on meanwhile.

    Raises CannotStart if there is no database at ``source``.
    """
    if not is_there(source):
        raise CannotStart(f"There is no database at {source}.")
    if target.exists() and target.samefile(source):
        raise CannotStart(f"{target} is the database itself; choose another file.")
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    try:
        with named(partial):
            _copy_pages(source, partial, progress)
            _flush(partial)
            partial.replace(target)
            _flush(target.parent)
    except sqlite.Error as error:
        raise _not_copied(source, target, error) from None
    finally:
        _remove(partial)


def _copy_pages(source: Path, copy: Path, progress: Progress) -> None:
    copy.touch()
    with raw_connection(source, 30) as origin, raw_connection(copy) as destination:
        # A snapshot held open: the copy is of one moment, and does not begin again at each write.
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        origin.backup(
            destination,
            pages=_PAGES_AT_ONCE,
            progress=lambda _status, left, total: progress(total - left, total),
        )
        origin.execute("ROLLBACK")
        # One file, without a log beside it.
        destination.execute("PRAGMA journal_mode = DELETE")


def _not_copied(source: Path, target: Path, error: Exception) -> CannotStart:
    if isinstance(meaning_of(error), StorageFull):
        return CannotStart(
            f"There is no space left to write {target}. Nothing was changed; free some space, or "
            "choose another place."
        )
    return CannotStart(
        f"{source} could not be copied to {target} ({error}). Nothing was changed; "
        f"`distconf check` says whether {source} is sound."
    )


def _remove(database: Path) -> None:
    """Remove a file, and what SQLite may have left beside it."""
    for suffix in ("", *_BESIDE):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name ``path`` in errors of the system in the block, unless they name a file already."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def put_new_database(new: Path, database: Path) -> bool:
    """Give the file ``new`` the name ``database``; return False if another process was faster.

    It is on the disk before it has its name, so that no process ever opens a part of one.
    """
    _flush(new)
    try:
        # Unlike a renaming, this replaces no file that another process put there meanwhile.
        os.link(new, database)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        new.rename(database)
    _flush(database.parent)
    return True


def staged_path(database: Path) -> Path:
    """Return where a restore has its copy until the very end."""
    return database.with_name(f"{database.name}.restoring")


def replace_database(copy: Path, database: Path, progress: Progress) -> Path | None:
    """Put a copy of ``copy`` in place of ``database``, with a new epoch.

    Returns the new name of the database that was there; None if there was none. No process may
    have it open.
    """
    staged = staged_path(database)
    copy_database(copy, staged, progress)
    with raw_connection(staged) as connection:
        # Entity tags and cursors from before must not match what is there now.
        connection.execute("UPDATE head SET epoch = ?", (secrets.token_hex(4),))
    _flush(staged)
    replaced = None
    if database.exists():
        replaced = Path(f"{database}.before-restore-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        with suppress(sqlite.DatabaseError, DistconfError):
            # Into one file, so that nothing is missing wherever this is cut short. A damaged one
            # stays as it is.
            empty_log(database)
        for suffix in _BESIDE:
            # They belong to the old file, and would be played into the new one.
            with suppress(FileNotFoundError):
                Path(f"{database}{suffix}").rename(f"{replaced}{suffix}")
        database.rename(replaced)
        _flush(database.parent)
    staged.rename(database)
    _flush(database.parent)
    return replaced


def faults_of_file(path: Path) -> list[str]:
    """Return what SQLite says is wrong with the file at ``path``; empty if it is sound."""
    try:
        with raw_connection(path) as connection:
            findings = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            findings += [
                f"a row of {row[0]} refers to a row of {row[2]} that is not there"
                for row in connection.execute("PRAGMA foreign_key_check").fetchmany(20)
            ]
    except sqlite.DatabaseError as error:
        return [str(error)]
    return [finding for finding in findings if finding != "ok"]


def _flush(path: Path) -> None:
    """Make sure that ``path``, a file or a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
