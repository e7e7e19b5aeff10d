"""A unit of writing: what it changes, and what it records."""

import hashlib
from dataclasses import replace

from sqlalchemy import Connection, insert, update

from distributed_config.models import ChangeRow, HeadRow
from distributed_config.services.journal.allowance import Allowance
from distributed_config.services.journal.head import Head
from distributed_config.services.policy.actor import Actor
from distributed_config.services.policy.visibility import Visibility
from distributed_config.services.reader import Reader
from distributed_config.wire import HashField, length_prefixed

# Statements are made once. Making one takes several times as long as running it.
_RECORD = insert(ChangeRow)


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


"""All of a change, in the order in which it is digested."""


class Transaction:
    """The pen of one unit of work, and the connection it writes on.

    ``revision`` is the one that the unit will have if it records anything. ``services`` collects
    what was touched, so that stale answers about it can be dropped; ``everything`` says that a
    change belongs to no service, and that any answer may rest on it. ``link`` is the newest entry
    of the audit log. ``now`` is the time that changes get; ``wall`` is what the clock says, for
    what ends at a time; ``steady`` is for what lasts a while. ``allowance`` is how long the unit
    may hold up the others.
    """

    def __init__(
        self,
        connection: Connection,
        actor: Actor,
        head: Head,
        now: int,
        note: str = "",
        *,
        allowance: Allowance | None = None,
    ) -> None:
        self.connection = connection
        self.actor = actor
        self.epoch = head.epoch
        self.revision = head.revision + 1
        # The journal's times never run backwards, whatever the clock does: as_of= relies on it.
        self.now = max(now, head.changed_at)
        self.wall = now
        self.steady = head.steady.at
        self._before = head
        self.note = note
        self.services: set[str] = set()
        self.everything = False
        self.link = head.link
        self.allowance = allowance or Allowance()
        self._position = 0
        self._digest = hashlib.sha256()

    @property
    def reader(self) -> Reader:
        """What this unit sees: all that it has written, as far as its actor may see it."""
        return Reader(self.connection, self.visibility)

    @property
    def visibility(self) -> Visibility:
        """What the unit sees."""
        return self.actor.visibility

    @property
    def organisation(self) -> int:
        return self.actor.organisation

    @property
    def wrote(self) -> bool:
        """Whether anything was recorded."""
        return self._position > 0

    @property
    def recorded(self) -> int:
        """How many changes were."""
        return self._position

    @property
    def digest(self) -> str:
        """The SHA-256 over all columns of all changes that were recorded, in their order."""
        return self._digest.hexdigest()

    @property
    def head(self) -> Head:
        """The journal's head after this unit."""
        if self.wrote:
            return replace(
                self._before, revision=self.revision, changed_at=self.now, link=self.link
            )
        return replace(self._before, link=self.link)

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
        """Adds one change to this unit.

        ``environment`` is that of the series whose version this is about; None: it is about no
        version.

        ``note`` is the unit's own unless given; ``about`` stands before it, and cannot be left
        out. ``organisation`` is the actor's own unless given.
        """
        values: dict[str, HashField] = {
            "revision": self.revision,
            "position": self._position,
            "changed_at": self.now,
            "organisation_id": organisation or self.organisation,
            "kind": kind,
            "service": service,
            "environment": environment,
            "number": number,
            "current": current,
            "digest": digest,
            "actor": self.actor.name,
            "note": _told(about, self.note) if note is None else note,
            "definition": definition,
            "subject": subject,
        }
        self.connection.execute(_RECORD, values)
        self._digest.update(length_prefixed(values.values()))
        self._position += 1
        self.allowance.count(changes=1)
        if service is None:
            self.everything = True
        else:
            self.services.add(service)


def _told(about: str, note: str) -> str:
    return f"{about}; {note}" if about and note else about or note


def touch_head(transaction: Transaction) -> int:
    """Writes what is there already, to see that writing works; the journal's revision."""
    transaction.connection.execute(update(HeadRow).values(changed_at=HeadRow.changed_at))
    return transaction.head.revision
