"""The database as a file: copied while it is written to, verified, and put in place.

A copy is made under another name, flushed to the disk and then renamed, so that nobody ever finds
half of one.
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
"""Told of the pages done and of all pages."""


def copy_database(source: Path, target: Path, progress: Progress) -> None:
    """Makes ``target`` a copy of ``source`` as it is at this moment; writers go on meanwhile.

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
    with raw_connection(source, 30) as origin, raw_connection(copy) as made:
        # A snapshot held open: the copy is of one moment, and is not begun again whenever
        # somebody writes.
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        origin.backup(
            made,
            pages=_PAGES_AT_ONCE,
            progress=lambda _status, left, total: progress(total - left, total),
        )
        origin.execute("ROLLBACK")
        # One file, without a log beside it.
        made.execute("PRAGMA journal_mode = DELETE")


def _not_copied(source: Path, target: Path, error: Exception) -> CannotStart:
    if isinstance(meaning_of(error), StorageFull):
        return CannotStart(
            f"There is no space left to write {target}. Nothing was changed; free some space, or "
            "choose another place."
        )
    return CannotStart(
        f"{source} could not be copied to {target} ({error}). Nothing was changed; "
        f"`distconf check` tells whether {source} is sound."
    )


def _remove(database: Path) -> None:
    """Removes a file, and what SQLite may have left beside it."""
    for suffix in ("", *_BESIDE):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors of the system in the block are about ``path``, unless they name another file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def put_new_database(made: Path, database: Path) -> bool:
    """Puts the new file ``made`` at ``database``, unless another process was faster; whether.

    It is on the disk before it has its name, so that nobody ever finds a part of one.
    """
    _flush(made)
    try:
        # Unlike a renaming, this takes no file away that somebody else put there meanwhile.
        os.link(made, database)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        made.rename(database)
    _flush(database.parent)
    return True


def staged_path(database: Path) -> Path:
    """Where a restore has its copy until the very end."""
    return database.with_name(f"{database.name}.restoring")


def replace_database(copy: Path, database: Path, progress: Progress) -> Path | None:
    """Puts a copy of ``copy`` in place of ``database``, with a new epoch.

    What was there is kept under another name, which is returned; None if nothing was there.
    Nobody may have the database open.
    """
    staged = staged_path(database)
    copy_database(copy, staged, progress)
    with raw_connection(staged) as connection:
        # Entity tags and cursors from before must not match what is there now.
        connection.execute("UPDATE head SET epoch = ?", (secrets.token_hex(4),))
    _flush(staged)
    kept = None
    if database.exists():
        kept = Path(f"{database}.before-restore-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        with suppress(sqlite.DatabaseError, DistconfError):
            # Into one file, so that nothing is missing whenever this is cut short; a damaged one
            # is kept as it is.
            empty_log(database)
        for suffix in _BESIDE:
            # They belong to the old file, and would be played into the new one.
            with suppress(FileNotFoundError):
                Path(f"{database}{suffix}").rename(f"{kept}{suffix}")
        database.rename(kept)
        _flush(database.parent)
    staged.rename(database)
    _flush(database.parent)
    return kept


def faults_of_file(path: Path) -> list[str]:
    """What SQLite finds wrong with the file at ``path``; empty if it is sound."""
    try:
        with raw_connection(path) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            found += [
                f"a row of {row[0]} refers to a row of {row[2]} that is not there"
                for row in connection.execute("PRAGMA foreign_key_check").fetchmany(20)
            ]
    except sqlite.DatabaseError as error:
        return [str(error)]
    return [fault for fault in found if fault != "ok"]


def _flush(path: Path) -> None:
    """Makes sure that ``path``, a file or a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
