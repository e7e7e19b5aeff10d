"""Moving what is committed from SQLite's write-ahead log into the database's file.

SQLite would do so by itself during a commit, and keep its errors to itself: a disk could fail for
hours while every write is acknowledged. So it is done here, after a commit, and an I/O error ends
writing, as one during a commit does. What was acknowledged before is safe: it stays in the log
until it is known to be in the file.
"""

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, exc

from distributed_config.errors import StorageFailed
from distributed_config.models.sqlite import has_safe_wal, meaning_of, sqlite
from distributed_config.store.watermarks import Watermarks

_LARGE = 1_000
"""Frames of the log, of one page each, after which they are moved; as SQLite has it by default."""

_TOO_LARGE = 16_000
_PATIENCE_MS = 50

_logger = logging.getLogger(__name__)


class Checkpoints:
    """Keeps the log of the database of ``engine`` short. One thread at a time uses it.

    Over ``too_large`` frames it waits a moment for readers, so that the log can begin again: as
    long as some reader always has it open, it would grow without end.
    """

    def __init__(
        self,
        engine: Engine,
        watermarks: Watermarks,
        large: int = _LARGE,
        too_large: int = _TOO_LARGE,
    ) -> None:
        self._engine = engine
        self._watermarks = watermarks
        self._large = large
        self._too_large = too_large
        self._tried_at = 0

    def move_if_large(self) -> None:
        """Move what is in the log, if that has become much; for after a commit."""
        if has_safe_wal() and not self._watermarks.failed:
            self._run(self._move_if_large)

    def finish(self) -> None:
        """Move all of the log, unless another process still reads from it; for the end."""
        if has_safe_wal():
            self._run(self._move_and_empty)

    def _run(self, move: Callable[[Any], None]) -> None:
        """Run ``move`` with a cursor; an error of the disk ends writing in all processes."""
        try:
            connection = self._engine.raw_connection()
            try:
                move(connection.cursor())
            finally:
                connection.close()
        except (sqlite.Error, exc.DBAPIError) as error:
            cause = error.orig if isinstance(error, exc.DBAPIError) else error
            _logger.error("the log could not be moved into the database: %s", cause)
            if isinstance(meaning_of(cause), StorageFailed):
                # The disk is the same that commits go to, and it tells of a failure once.
                self._watermarks.fail()

    def _move_if_large(self, cursor: Any) -> None:
        frames = _checkpoint(cursor, "NOOP")
        if frames < self._tried_at:
            self._tried_at = 0  # the log has begun again
        # Not after each commit: during a long read there is nothing that can be moved, and each
        # try would read the log's index for nothing.
        if frames < self._tried_at + self._large:
            return
        self._tried_at = frames
        _checkpoint(cursor, "PASSIVE")
        if frames >= self._too_large:
            self._move_and_empty(cursor)

    def _move_and_empty(self, cursor: Any) -> None:
        # Writers wait meanwhile, so for a moment only: whoever reads for longer is met again.
        [(before,)] = cursor.execute("PRAGMA busy_timeout").fetchall()
        cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        try:
            _checkpoint(cursor, "TRUNCATE")
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {before}")


def _checkpoint(cursor: Any, mode: str) -> int:
    """Return the frames in the log. That others read or move it at the same time is no error."""
    [(_busy, frames, _moved)] = cursor.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    return int(frames)
