"""The head of the journal: its revision, its epoch, and the time of its last change."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from distributed_config.errors import CannotStart
from distributed_config.models import HeadRow
from distributed_config.services.journal.chain import ChainHead
from distributed_config.services.journal.steady import Steady, Uptime
from distributed_config.wire import Position


@dataclass(frozen=True)
class Head:
    """Where the journal stands: the state that every write reads first and advances last.

    ``epoch`` is replaced when a backup is restored. ``changed_at`` is the time of the newest
    change, ``audit_head`` the newest entry of the audit log, ``steady`` the time that really
    passed.
    """

    epoch: str
    revision: int
    changed_at: int
    audit_head: ChainHead
    steady: Steady

    def clock_lag(self, clock: int) -> float:
        """Return by how many seconds ``clock`` lags behind the newest change; 0 if it does not."""
        return max(0, self.changed_at - clock) / 1_000_000


# One row for all of it, because every write reads and writes it: an audit entry and steady time
# cost no statement of their own.
_HEAD = select(
    HeadRow.epoch,
    HeadRow.revision,
    HeadRow.changed_at,
    HeadRow.audit_id,
    HeadRow.audit_at,
    HeadRow.audit_hash,
    HeadRow.steady_at,
    HeadRow.boot,
    HeadRow.uptime,
).where(HeadRow.id == 1)
_FIRST_EPOCH = select(HeadRow.first_epoch).where(HeadRow.id == 1)
_ADVANCE = (
    update(HeadRow)
    .where(HeadRow.id == 1)
    .values(
        revision=bindparam("to"),
        changed_at=bindparam("at"),
        audit_id=bindparam("link_id"),
        audit_at=bindparam("link_at"),
        audit_hash=bindparam("link_hash"),
        steady_at=bindparam("steadily"),
        boot=bindparam("in_boot"),
        uptime=bindparam("up_for"),
    )
)


def read_head(connection: Connection) -> Head:
    """Return the journal's head as this connection's snapshot has it. Raises CannotStart."""
    row = connection.execute(_HEAD).one_or_none()
    if row is None:
        raise CannotStart("The database has no journal; run `distconf db upgrade`.")
    link = ChainHead(row.audit_id, row.audit_at, row.audit_hash)
    steady = Steady(row.steady_at, Uptime(row.boot, row.uptime))
    return Head(row.epoch, row.revision, row.changed_at, link, steady)


def first_epoch(connection: Connection) -> str:
    """Return the epoch that the database was created with."""
    return connection.execute(_FIRST_EPOCH).scalar_one()


def continues(connection: Connection, position: Position, newest: Head) -> bool:
    """Whether ``position`` lies in the present journal, and not in one from before a restore."""
    # A position from after a restore to an older state: its revisions will be written again,
    # differently.
    if position.revision > newest.revision:
        return False
    if position.epoch is not None:
        return position.epoch == newest.epoch
    # People, and earlier releases, name no epoch. Revision 0 is the start of every history; any
    # other is only safe if the database was never restored.
    return position.revision == 0 or newest.epoch == first_epoch(connection)


def advance_head(connection: Connection, new: Head) -> None:
    """Store the new head. Only the writer calls it: it has checked that the revision follows."""
    link = new.audit_head
    connection.execute(
        _ADVANCE,
        {
            "to": new.revision,
            "at": new.changed_at,
            "link_id": link.id,
            "link_at": link.happened_at,
            "link_hash": link.hash,
            "steadily": new.steady.at,
            "in_boot": new.steady.uptime.boot,
            "up_for": new.steady.uptime.microseconds,
        },
    )
