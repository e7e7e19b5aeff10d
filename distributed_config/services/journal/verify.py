"""Verification of the audit log: the whole hash chain, and the journal that it seals.

Every column is read as bytes. In a damaged database some are no valid text any more, and that has
to be one more fault in the report, not an exception in the driver.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, LargeBinary, cast, func, select

from distributed_config.models import AuditRow, ChangeRow
from distributed_config.services.journal import transaction
from distributed_config.services.journal.chain import GENESIS, ChainHead, hash_of
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.secrets.digests import Digests
from distributed_config.wire import length_prefixed

# Enough to make statements cheap, and few enough to keep memory and progress steady.
_AT_ONCE = 500
# After a real break faults repeat; the first ones say where to look.
_MOST_FAULTS = 20


@dataclass(frozen=True)
class ChainReport:
    """The ids of the first and the last entry, and the revisions that they seal; 0 for none.

    ``faults`` has at most twenty sentences; the first is about the first broken entry.
    """

    first: int
    last: int
    first_revision: int
    last_revision: int
    faults: tuple[str, ...]


def verify_chain(
    connection: Connection,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    pinned: ChainHead | None = None,
) -> ChainReport:
    """Verify every entry, and every change that one seals.

    ``pinned`` is a head of the chain that was noted elsewhere earlier. ``progress`` is called with
    the number of entries verified so far, and of all.
    """
    walk = _Walk(connection, progress)
    faults: list[str] = []
    for fault in (
        *_first(walk.faults()),
        *walk.faults_of_head(),
        *_pin_problems(connection, pinned),
    ):
        # The head and the pin may complain about the same missing entry.
        if fault not in faults:
            faults.append(fault)
    return ChainReport(
        walk.first,
        walk.link.id if walk.first else 0,
        walk.first_revision,
        walk.sealed or 0,
        tuple(faults[:_MOST_FAULTS]),
    )


def _first(faults: Iterator[str]) -> list[str]:
    """Return the first faults, and still exhaust the rest: the report needs the last entry."""
    found: list[str] = []
    for fault in faults:
        if len(found) < _MOST_FAULTS:
            found.append(fault)
    return found


class _Walk:
    """One pass over the chain, from the first entry to the last.

    ``link`` is the entry before the next one. ``sealed`` is the last revision that an entry seals;
    None while that is unknown, at the beginning and after a gap.
    """

    def __init__(self, connection: Connection, progress: Callable[[int, int], None]) -> None:
        self._connection = connection
        self._progress = progress
        self._is_intact = True
        self.first = 0
        self.first_revision = 0
        self.sealed: int | None = None
        self.link = GENESIS

    def faults(self) -> Iterator[str]:
        """Yield the faults of the entries in their order, at most one for each."""
        connection = self._connection
        total = connection.execute(select(func.count()).select_from(AuditRow)).scalar_one()
        self._begin()
        done, after = 0, 0
        while rows := connection.execute(_page(after)).all():
            after = rows[-1].key
            digests = _digests(connection, [_number(row.revision) for row in rows])
            for row in rows:
                fault = self._fault(row, digests)
                if fault:
                    yield fault
            done += len(rows)
            self._progress(done, total)

    def faults_of_head(self) -> Iterator[str]:
        """Yield where the database's head contradicts the entries, after all of them were read."""
        head = read_head(self._connection)
        if head.audit_head.id > self.link.id:
            yield f"{_entries(self.link.id + 1, head.audit_head.id)} missing at the end"
        # After a broken last entry the head cannot match; that is one fault and not two.
        elif self._is_intact and head.audit_head != self.link:
            yield f"entry {self.link.id} is not the one that the database's head names"
        sealed = self.sealed
        if sealed is not None and head.revision > sealed:
            yield f"revision {sealed + 1} of the journal has no entry"
        if sealed is not None and head.revision < sealed:
            yield f"the journal's head is at {head.revision}, and revision {sealed} has an entry"

    def _begin(self) -> None:
        """Start where the chain continues after the last pruning, if there was one."""
        query = select(_raw(AuditRow.detail)).where(AuditRow.kind == AuditKind.PRUNED)
        text = self._connection.execute(query.order_by(AuditRow.id.desc()).limit(1)).scalar()
        facts = _facts(text)
        first, previous, sealed = (facts.get(key) for key in ("first", "previous", "revision"))
        # A damaged pruning entry must not stop the verification that will find it.
        if isinstance(first, int) and isinstance(previous, str):
            self.link = ChainHead(first - 1, 0, previous)
            self.sealed = sealed if isinstance(sealed, int) else None

    def _fault(self, row: Any, digests: dict[int, tuple[int, str]]) -> str | None:
        """Advance to an entry, and return what is wrong with it or missing before it."""
        before, was_intact = self.link, self._is_intact
        fields = tuple(row)[1:-1]
        stored = _text(row.hash)
        self.first = self.first or row.key
        self.link = ChainHead(row.key, _number(row.happened_at), stored)
        self._is_intact = hash_of(fields) == stored
        # After a gap it is unknown which revision comes next, so the count of seals begins again.
        if row.key != before.id + 1:
            self.sealed = None
            missing = f"{_entries(before.id + 1, row.key - 1)} missing"
            broken = "" if self._is_intact else f"; entry {row.key} is not what was written"
            return f"{missing}{broken}"
        if not self._is_intact:
            self.sealed = None
            return f"entry {row.key} is not what was written"
        # After a broken entry the next one cannot match: it is not another fault.
        if was_intact and _text(row.previous) != before.hash:
            return f"entry {row.key} does not follow entry {before.id}"
        return self._fault_of_seal(row, digests) if row.kind == AuditKind.CHANGED.encode() else None

    def _fault_of_seal(self, row: Any, digests: dict[int, tuple[int, str]]) -> str | None:
        revision, before = _number(row.revision), self.sealed
        self.sealed = revision
        self.first_revision = self.first_revision or revision
        # Every revision has an entry: a jump means that an entry was removed together with its
        # changes.
        if before is not None and revision != before + 1:
            return f"entry {row.key} seals revision {revision} of the journal, and not {before + 1}"
        facts = _facts(row.detail)
        if (facts.get("changes"), facts.get("digest")) != digests.get(revision):
            return f"entry {row.key}: the changes of revision {revision} are not what it sealed"
        return None


def _page(after: int) -> Any:
    columns = [_raw(column) for column in AuditRow.__table__.columns]
    query = select(AuditRow.id.label("key"), *columns).where(AuditRow.id > after)
    return query.order_by(AuditRow.id).limit(_AT_ONCE)


def _digests(connection: Connection, revisions: list[int]) -> dict[int, tuple[int, str]]:
    """Return the number of changes and their digest by revision, as Transaction computed them."""
    found: dict[int, tuple[int, str]] = {}
    query = (
        select(ChangeRow.revision.label("key"), *[_raw(column) for column in transaction.COLUMNS])
        .where(ChangeRow.revision.in_([revision for revision in revisions if revision]))
        .order_by(ChangeRow.revision, ChangeRow.position)
    )
    # Streamed: one revision can have tens of thousands of changes.
    rows = connection.execute(query).yield_per(_AT_ONCE)
    for revision, changes in groupby(rows, key=lambda row: row.key):
        count, digest = 0, hashlib.sha256()
        for change in changes:
            count += 1
            digest.update(length_prefixed(tuple(change)[1:]))
        found[revision] = count, digest.hexdigest()
    return found


def _pin_problems(connection: Connection, pinned: ChainHead | None) -> list[str]:
    """Return where the chain contradicts a head that was noted earlier."""
    if pinned is None or pinned.id == 0:
        return []
    first, last = connection.execute(select(func.min(AuditRow.id), func.max(AuditRow.id))).one()
    if last is None or pinned.id > last:
        return [f"entry {pinned.id}, which was pinned, is gone: the chain ends at {last or 0}"]
    # Its hash is in no entry that is left, so nothing can be said about it.
    if pinned.id < first - 1:
        return [f"entry {pinned.id}, which was pinned, was pruned: pin a newer one"]
    query = select(_raw(AuditRow.hash)).where(AuditRow.id == pinned.id)
    if pinned.id == first - 1:
        # The pinned entry was pruned; the oldest one left still has its hash.
        query = select(_raw(AuditRow.previous)).where(AuditRow.id == first)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        return [f"entry {pinned.id}, which was pinned, is missing"]
    # An actor who may not read secrets gets, and pins, a hash under a key of the database.
    if not Digests(connection).is_of_entry(pinned.id, _text(found), pinned.hash):
        return [f"entry {pinned.id} is not the one that was pinned: the chain was rewritten"]
    return []


def _raw(column: Any) -> Any:
    # The same bytes that were hashed, whatever type the column has now.
    return cast(column, LargeBinary).label(column.key)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _number(value: bytes | None) -> int:
    """Return the stored number; 0 if it is none. Longer ones are no id that SQLite can have."""
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else 0


def _facts(text: bytes | None) -> dict[str, Any]:
    try:
        facts = json.loads(text or b"{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"
