"""The transaction: what every verb that writes takes first, and records its changes in."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, update

from distributed_config.errors import Problem
from distributed_config.models import ChangeRow, HeadRow
from distributed_config.services.journal.allowance import Allowance
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.pending import Pending
from distributed_config.services.policy.actor import Actor
from distributed_config.services.reader import Reader
from distributed_config.wire import HashField, length_prefixed

COLUMNS = (
    ChangeRow.revision,
    ChangeRow.position,
    ChangeRow.changed_at,
    ChangeRow.organisation_id,
    ChangeRow.kind,
    ChangeRow.service,
    ChangeRow.environment,
    ChangeRow.number,
    ChangeRow.current,
    ChangeRow.digest,
    ChangeRow.actor,
    ChangeRow.note,
    ChangeRow.definition,
    ChangeRow.subject,
)
"""All columns of a change, in the order in which it is digested. The audit log seals this order."""


@dataclass(frozen=True)
class Impact:
    """A resolved document that a write changes, and the pointers to the places in it."""

    service: str
    environment: str
    pointers: tuple[str, ...]
    problems: tuple[Problem, ...]


Postponed = tuple[str, Callable[[], None]]
"""A check that waits for the end of several writes, and the service that was written."""


class Transaction:
    """One unit of work that writes: its connection, its actor, and the changes it records.

    ``revision`` is the one that the transaction takes if it records anything; if not, the head
    stays where it is.

    ``organisation`` is the id of the one that the actor acts in, and ``visibility`` the limits of
    what the actor may see.

    ``touched_series`` and ``affects_all`` say which cached responses the changes outdate: those
    about these series, each a service and its environment, or None for all of its environments;
    or all responses, because one change belongs to no service.

    ``is_rehearsal`` says that all of it will be undone; ``impact`` is then what it would change.
    ``postponed`` collects checks of what layers make together, for a verb that writes several of
    them; None: each write is checked by itself. ``prechecks`` are by series, see
    ``services/layers/prechecks.py``; None: everything is checked under the lock.

    There are three clocks, in microseconds. ``now`` is the time that changes get, and never runs
    backwards. ``wall`` is what the system clock says, for expiry times. ``steady`` only counts
    time that really passed, for windows such as the lifetime of an idempotency key.

    ``audit_head`` is the newest entry of the audit log. ``pending`` takes the rows of both, and is
    shared with the transactions before this one on the same connection. ``allowance`` bounds how
    long this transaction may hold the write lock.
    """

    def __init__(
        self,
        connection: Connection,
        actor: Actor,
        head: Head,
        now: int,
        note: str = "",
        *,
        pending: Pending | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.connection = connection
        self.actor = actor
        self.organisation = actor.organisation
        self.visibility = actor.visibility
        self.epoch = head.epoch
        self.revision = head.revision + 1
        # The journal's times never run backwards, whatever the clock does: as_of= relies on it.
        self.now = max(now, head.changed_at)
        self.wall = now
        self.steady = head.steady.at
        self._initial_head = head
        self.note = note
        self.touched_series: set[tuple[str, str | None]] = set()
        self.affects_all = False
        self.is_rehearsal = False
        self.impact: list[Impact] = []
        self.postponed: list[Postponed] | None = None
        self.prechecks: Mapping[Any, Any] | None = None
        self.audit_head = head.audit_head
        self.pending = pending or Pending(connection)
        self.allowance = allowance or Allowance()
        self._position = 0
        self._digest = hashlib.sha256()

    @property
    def reader(self) -> Reader:
        """A reader of this transaction, which sees all that it has written so far."""
        return Reader(self.connection, self.visibility)

    @property
    def wrote(self) -> bool:
        """Whether any change was recorded."""
        return self._position > 0

    @property
    def recorded(self) -> int:
        """The number of changes recorded so far."""
        return self._position

    @property
    def digest(self) -> str:
        """The SHA-256, in hexadecimal, over all columns of the recorded changes, in their order."""
        return self._digest.hexdigest()

    @property
    def head(self) -> Head:
        """The journal's head after this transaction, for the writer to store."""
        if self.wrote:
            return replace(
                self._initial_head,
                revision=self.revision,
                changed_at=self.now,
                audit_head=self.audit_head,
            )
        # An audit entry of its own, such as a log-in, moves the chain and takes no revision.
        return replace(self._initial_head, audit_head=self.audit_head)

    def record(
        self,
        kind: str,
        service: str | None = None,
        *,
        environment: str | None = None,
        number: int | None = None,
        current: int | None = None,
        digest: str | None = None,
        note: str | None = None,
        definition: str | None = None,
        subject: str | None = None,
        about: str = "",
        organisation: int | None = None,
    ) -> None:
        """Record one change.

        ``environment`` is that of the series whose version changed; it is None where no version
        did, because a service exists in all environments.

        The change's note is ``note`` if that is not None, otherwise ``about`` followed by the
        transaction's own note. ``organisation`` is the actor's unless another is named, as for an
        organisation that was just created.
        """
        # In the order of COLUMNS.
        row: tuple[HashField, ...] = (
            self.revision,
            self._position,
            self.now,
            organisation or self.organisation,
            kind,
            service,
            environment,
            number,
            current,
            digest,
            self.actor.name,
            _join(about, self.note) if note is None else note,
            definition,
            subject,
        )
        self.pending.add_change(row)
        # Digested while it is recorded: sealing reads nothing back (decision 16).
        self._digest.update(length_prefixed(row))
        self._position += 1
        self.allowance.count(changes=1)
        # A change without a service (a role, a definition, a token) may matter to any response.
        if service is None:
            self.affects_all = True
        else:
            self.touched_series.add((service, environment))


@contextmanager
def postponing(transaction: Transaction) -> Iterator[list[Postponed]]:
    """Collect the checks of the block, for the caller to run after its last write."""
    postponed: list[Postponed] = []
    transaction.postponed, before = postponed, transaction.postponed
    try:
        yield postponed
    finally:
        transaction.postponed = before


def _join(about: str, note: str) -> str:
    """``about`` and ``note`` as one text; "" if both are empty."""
    return f"{about}; {note}" if about and note else about or note


def touch_head(transaction: Transaction) -> int:
    """Rewrite the head as it is, and return its revision: a probe that the storage takes writes."""
    transaction.connection.execute(update(HeadRow).values(changed_at=HeadRow.changed_at))
    return transaction.head.revision
