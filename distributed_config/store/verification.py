"""Whether the database is sound: verified once, before any of it is served.

A small one is verified before the server listens. A large one would keep a start waiting, so it
is verified in the background, by one thread of one of the processes, and requests are refused
until that is done. The verdict stands in the words beside the database, for all processes.
"""

import fcntl
import logging
import os
import threading
from pathlib import Path

from distributed_config.errors import CannotStart, DatabaseDamaged, DatabaseUnverified
from distributed_config.models.sqlite import refuse_damaged
from distributed_config.store.watermarks import Verdict, Watermarks

_BYTE = 2  # of the file of words; the process lock has the two before

_logger = logging.getLogger(__name__)


class Verification:
    """Verifies ``database``, and refuses requests until that is done."""

    def __init__(self, database: Path, watermarks: Watermarks) -> None:
        self._database = database
        self._watermarks = watermarks
        self._start = threading.Lock()
        self._begun = False

    def require(self) -> None:
        """Raise an error unless the database is known to be sound, and is still the same file.

        These are DatabaseUnverified, DatabaseDamaged and DatabaseMoved.
        """
        self._watermarks.require_in_place()
        verdict = self._watermarks.verdict
        if verdict is Verdict.SOUND:
            return
        if verdict is Verdict.DAMAGED:
            raise DatabaseDamaged()
        # The process that was verifying may have been killed; then this one takes over.
        self.begin()
        raise DatabaseUnverified()

    def run(self) -> None:
        """Verify the database now. Raises CannotStart with one sentence if it is damaged."""
        seconds = refuse_damaged(self._database)
        _logger.info(
            "the database of %d bytes was verified in %.3f s",
            self._database.stat().st_size,
            seconds,
        )
        self._watermarks.verdict = Verdict.SOUND

    def begin(self) -> None:
        """Verify the database in the background, unless that was done or has begun."""
        if self._watermarks.verdict is not Verdict.UNKNOWN:
            return
        with self._start:
            if not self._begun:
                self._begun = True
                threading.Thread(
                    target=self._wait_and_run, name="verification", daemon=True
                ).start()

    def _wait_and_run(self) -> None:
        """Wait for a process that verifies already; if that one is killed, this one goes on."""
        # Never closed: that would give up every lock that this process has on the file.
        descriptor = os.open(self._watermarks.path, os.O_RDWR)
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, _BYTE)
        try:
            if self._watermarks.verdict is Verdict.UNKNOWN:
                self._run_in_background()
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, _BYTE)

    def _run_in_background(self) -> None:
        _logger.info("the database is being verified; until that is done requests are refused")
        try:
            self.run()
        except CannotStart as refusal:
            self._watermarks.verdict = Verdict.DAMAGED
            _logger.error("nothing is served: %s", refusal.detail)
