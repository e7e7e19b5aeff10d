"""Whether the audit log is what was written: the whole chain, and the journal that it seals.

Everything is read as bytes, so that what is no text any more is a fault to be named like another.
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

_AT_ONCE = 500
_MOST_FAULTS = 20


@dataclass(frozen=True)
class Verification:
    """What was found: the ids of the first and last entry, and what they seal; 0 where nothing.

    The first of the ``faults``, of which there are at most twenty, is about the first broken entry.
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
) -> Verification:
    """Looks at every entry, and at every change that one seals.

    ``pinned`` is the head of the chain as somebody kept it elsewhere. ``progress`` is told of the
    entries done and of all entries.
    """
    walk = _Walk(connection, progress)
    faults: list[str] = []
    for fault in (
        *_first(walk.faults()),
        *walk.faults_of_head(),
        *_pin_problems(connection, pinned),
    ):
        if fault not in faults:
            faults.append(fault)
    return Verification(
        walk.first,
        walk.link.id if walk.first else 0,
        walk.first_revision,
        walk.sealed or 0,
        tuple(faults[:_MOST_FAULTS]),
    )


def _first(faults: Iterator[str]) -> list[str]:
    """The first of them; the walk goes on to the end."""
    found: list[str] = []
    for fault in faults:
        if len(found) < _MOST_FAULTS:
            found.append(fault)
    return found


class _Walk:
    """From the first entry to the last. ``link`` is the one before, None: it cannot be trusted.

    ``sealed`` is the last revision that has an entry; None while that is not known.
    """

    def __init__(self, connection: Connection, progress: Callable[[int, int], None]) -> None:
        self._connection = connection
        self._progress = progress
        self._whole = True
        self.first = 0
        self.first_revision = 0
        self.sealed: int | None = None
        self.link = GENESIS

    def faults(self) -> Iterator[str]:
        """What is wrong with the entries, in their order; at most one fault for each."""
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
        """What the database's head says and the entries do not."""
        head = read_head(self._connection)
        if head.link.id > self.link.id:
            yield f"{_entries(self.link.id + 1, head.link.id)} missing at the end"
        elif self._whole and head.link != self.link:
            yield f"entry {self.link.id} is not the one that the database's head names"
        sealed = self.sealed
        if sealed is not None and head.revision > sealed:
            yield f"revision {sealed + 1} of the journal has no entry"
        if sealed is not None and head.revision < sealed:
            yield f"the journal's head is at {head.revision}, and revision {sealed} has an entry"

    def _begin(self) -> None:
        """Where the chain goes on after the last pruning, if there was one."""
        query = select(_raw(AuditRow.detail)).where(AuditRow.kind == AuditKind.PRUNED)
        text = self._connection.execute(query.order_by(AuditRow.id.desc()).limit(1)).scalar()
        facts = _facts(text)
        first, previous, sealed = (facts.get(key) for key in ("first", "previous", "revision"))
        if isinstance(first, int) and isinstance(previous, str):
            self.link = ChainHead(first - 1, 0, previous)
            self.sealed = sealed if isinstance(sealed, int) else None

    def _fault(self, row: Any, digests: dict[int, tuple[int, str]]) -> str | None:
        """What is wrong with an entry, or missing before it."""
        before, whole = self.link, self._whole
        fields = tuple(row)[1:-1]
        said = _text(row.hash)
        self.first = self.first or row.key
        self.link = ChainHead(row.key, _number(row.happened_at), said)
        self._whole = hash_of(fields) == said
        if row.key != before.id + 1:
            self.sealed = None
            missing = f"{_entries(before.id + 1, row.key - 1)} missing"
            broken = "" if self._whole else f"; entry {row.key} is not what was written"
            return f"{missing}{broken}"
        if not self._whole:
            self.sealed = None
            return f"entry {row.key} is not what was written"
        if whole and _text(row.previous) != before.hash:
            return f"entry {row.key} does not follow entry {before.id}"
        return self._fault_of_seal(row, digests) if row.kind == AuditKind.CHANGED.encode() else None

    def _fault_of_seal(self, row: Any, digests: dict[int, tuple[int, str]]) -> str | None:
        revision, before = _number(row.revision), self.sealed
        self.sealed = revision
        self.first_revision = self.first_revision or revision
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
    """How many changes these revisions have, and the digest over them, as ``Journal`` made it."""
    found: dict[int, tuple[int, str]] = {}
    query = (
        select(ChangeRow.revision.label("key"), *[_raw(column) for column in transaction.COLUMNS])
        .where(ChangeRow.revision.in_([each for each in revisions if each]))
        .order_by(ChangeRow.revision, ChangeRow.position)
    )
    rows = connection.execute(query).yield_per(_AT_ONCE)
    for revision, changes in groupby(rows, key=lambda row: row.key):
        count, digest = 0, hashlib.sha256()
        for change in changes:
            count += 1
            digest.update(length_prefixed(tuple(change)[1:]))
        found[revision] = count, digest.hexdigest()
    return found


def _pin_problems(connection: Connection, pinned: ChainHead | None) -> list[str]:
    """What the chain has otherwise than somebody kept it."""
    if pinned is None or pinned.id == 0:
        return []
    first, last = connection.execute(select(func.min(AuditRow.id), func.max(AuditRow.id))).one()
    if last is None or pinned.id > last:
        return [f"entry {pinned.id}, which was pinned, is gone: the chain ends at {last or 0}"]
    if pinned.id < first - 1:
        return [f"entry {pinned.id}, which was pinned, was pruned: pin a newer one"]
    query = select(_raw(AuditRow.hash)).where(AuditRow.id == pinned.id)
    if pinned.id == first - 1:
        # What the oldest entry that is left follows.
        query = select(_raw(AuditRow.previous)).where(AuditRow.id == first)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        return [f"entry {pinned.id}, which was pinned, is missing"]
    # Who may not read secrets pins the hash under a key of the database.
    if not Digests(connection).is_of_entry(pinned.id, _text(found), pinned.hash):
        return [f"entry {pinned.id} is not the one that was pinned: the chain was written anew"]
    return []


def _raw(column: Any) -> Any:
    return cast(column, LargeBinary).label(column.key)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _number(value: bytes | None) -> int:
    """The number that is stored; 0 where there is none, or something else."""
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else 0


def _facts(text: bytes | None) -> dict[str, Any]:
    try:
        facts = json.loads(text or b"{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"
