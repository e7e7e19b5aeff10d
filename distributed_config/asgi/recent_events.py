"""The newest revisions in memory, so that few subscribers have to read from the database."""

from collections import deque

from distributed_config.live.feed import (
    DELETION_KINDS,
    SECRET_KINDS,
    Page,
    RevisionEvents,
)

_MOST_BYTES = 8 << 20


class RecentEvents:
    """Everything after the revision ``first``, up to and including ``last``."""

    def __init__(self) -> None:
        self.first = self.last = 0
        self._revisions: deque[RevisionEvents] = deque()
        self._bytes = 0

    def begin_after(self, revision: int) -> None:
        """Forget all there is; what comes next is after ``revision``."""
        self._revisions.clear()
        self._bytes = 0
        self.first = self.last = revision

    def remember(self, page: Page) -> None:
        """Add what comes after ``last``, and forget the oldest if that is too much."""
        for revision in page.revisions:
            self._forget_deleted(revision)
            self._forget_secrets(revision)
            self._revisions.append(revision)
            self._bytes += revision.size
        self.last = page.up_to
        while self._bytes > _MOST_BYTES and self._revisions:
            dropped = self._revisions.popleft()
            self._bytes -= dropped.size
            self.first = dropped.revision

    def after(self, cursor: int) -> list[RevisionEvents]:
        """Return the revisions after ``cursor``, which is ``first`` or later; most often one."""
        after: list[RevisionEvents] = []
        for revision in reversed(self._revisions):
            if revision.revision <= cursor:
                break
            after.append(revision)
        return after[::-1]

    def _forget_deleted(self, new: RevisionEvents) -> None:
        """Drop documents that were deleted now from the recent events that hold them."""
        for change in (event.change for event in new.events):
            if change.kind in DELETION_KINDS and change.service is not None:
                for revision in self._revisions:
                    revision.forget(change)

    def _forget_secrets(self, new: RevisionEvents) -> None:
        """Drop all recent events if what is secret changed: they were masked by the old rule."""
        if any(event.change.kind in SECRET_KINDS for event in new.events):
            self.begin_after(new.revision - 1)
