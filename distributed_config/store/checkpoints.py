"""Moving what is committed from SQLite's write-ahead log into the database's file.

SQLite would do so by itself during a commit, and keep its errors to itself: a disk could fail for
hours while every write is acknowledged. So it is done here, after a commit, and what comes of it
is judged: an I/O error ends writing, as one during a commit does. What was acknowledged before is
safe: it stays in the log until it is known to be in the file.
"""

import logging
from typing import Any

from sqlalchemy import Engine, exc

from distributed_config.errors import StorageFailed
from distributed_config.models.sqlite import has_safe_wal, meaning_of, sqlite
from distributed_config.store.watermarks import Watermarks

_MANY = 1_000
"""Frames of the log, of one page each, after which they are moved; as SQLite has it by default."""

_TOO_MANY = 16_000
_PATIENCE_MS = 50

_logger = logging.getLogger(__name__)


class Checkpoints:
    """Keeps the log of the database behind ``engine`` short. One thread at a time uses it.

    Over ``too_many`` frames it waits a moment for readers, so that the log can begin again: if
    there is always one who reads from it, it would grow for as long as that goes on.
    """

    def __init__(
        self, engine: Engine, marks: Watermarks, many: int = _MANY, too_many: int = _TOO_MANY
    ) -> None:
        self._engine = engine
        self._marks = marks
        self._many = many
        self._too_many = too_many
        self._tried_at = 0

    def look(self) -> None:
        """Moves what is in the log, if that has become much; for after a commit."""
        if has_safe_wal() and not self._marks.failed:
            self._judged(self._move_if_many)

    def finish(self) -> None:
        """Moves all of the log, unless somebody still reads from it; for the end."""
        if has_safe_wal():
            self._judged(self._move_and_empty)

    def _judged(self, move: Any) -> None:
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
                self._marks.fail()

    def _move_if_many(self, cursor: Any) -> None:
        frames = _checkpoint(cursor, "NOOP")
        if frames < self._tried_at:
            self._tried_at = 0  # the log has begun again
        # Not after each commit: while somebody reads for long there is nothing that can be moved.
        if frames < self._tried_at + self._many:
            return
        self._tried_at = frames
        _checkpoint(cursor, "PASSIVE")
        if frames >= self._too_many:
            self._move_and_empty(cursor)

    def _move_and_empty(self, cursor: Any) -> None:
        [(before,)] = cursor.execute("PRAGMA busy_timeout").fetchall()
        cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        try:
            _checkpoint(cursor, "TRUNCATE")
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {before}")


def _checkpoint(cursor: Any, mode: str) -> int:
    """The frames in the log. That others are reading or moving as well is no error."""
    [(_busy, frames, _moved)] = cursor.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    return int(frames)
