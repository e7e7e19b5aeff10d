"""The journal: what happened to what, by whom, when and why; one gapless revision for all of it.

One unit of work takes at most one revision, and may record several changes under it. A watcher
sees all of them or none.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from distributed_config.errors import CannotStart
from distributed_config.models import ChangeRow, HeadRow
from distributed_config.services.actors import DEFAULT_ENVIRONMENT, Actor, Realm, named
from distributed_config.services.allowance import Allowance
from distributed_config.services.chain import Link
from distributed_config.services.steady import Steady, Uptime
from distributed_config.wire import Field, Position, framed

SERVICE_CREATED = "service.created"
SERVICE_DELETED = "service.deleted"
SERVICE_TAGGED = "service.tagged"
SERVICE_DISABLED = "service.disabled"
SERVICE_MARKED = "service.marked"
VERSION_CREATED = "version.created"
VERSION_ENABLED = "version.enabled"
VERSION_DISABLED = "version.disabled"
VERSION_DELETED = "version.deleted"
SERVICE_ATTACHED = "service.attached"
SERVICE_DETACHED = "service.detached"
DEFINITION_CREATED = "definition.created"
DEFINITION_REVISED = "definition.revised"
DEFINITION_FORCED = "definition.forced"
DEFINITION_CHANGED = "definition.changed"
DEFINITION_DELETED = "definition.deleted"
ORGANISATION_CREATED = "organisation.created"
ORGANISATION_CHANGED = "organisation.changed"
USER_CREATED = "user.created"
USER_CHANGED = "user.changed"
MEMBERSHIP_SET = "membership.set"
MEMBERSHIP_REMOVED = "membership.removed"
ROLE_SET = "role.set"
ROLE_REMOVED = "role.removed"
TOKEN_CREATED = "token.created"  # noqa: S105  # the name of a change, and no secret
TOKEN_CHANGED = "token.changed"  # noqa: S105  # the same
TOKEN_ROTATED = "token.rotated"  # noqa: S105  # the same
TOKEN_REVOKED = "token.revoked"  # noqa: S105  # the same
KINDS = (
    SERVICE_CREATED,
    SERVICE_DELETED,
    SERVICE_TAGGED,
    SERVICE_DISABLED,
    SERVICE_MARKED,
    VERSION_CREATED,
    VERSION_ENABLED,
    VERSION_DISABLED,
    VERSION_DELETED,
    SERVICE_ATTACHED,
    SERVICE_DETACHED,
    DEFINITION_CREATED,
    DEFINITION_REVISED,
    DEFINITION_FORCED,
    DEFINITION_CHANGED,
    DEFINITION_DELETED,
    ORGANISATION_CREATED,
    ORGANISATION_CHANGED,
    USER_CREATED,
    USER_CHANGED,
    MEMBERSHIP_SET,
    MEMBERSHIP_REMOVED,
    ROLE_SET,
    ROLE_REMOVED,
    TOKEN_CREATED,
    TOKEN_CHANGED,
    TOKEN_ROTATED,
    TOKEN_REVOKED,
)


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


MARKING_KINDS = frozenset(
    {SERVICE_MARKED, SERVICE_ATTACHED, SERVICE_DETACHED, DEFINITION_REVISED, DEFINITION_FORCED}
)
"""Changes after which other places of documents may be secret, and not only of new ones."""
_DEFINITION_KINDS = frozenset(kind for kind in KINDS if kind.startswith("definition."))
ACCOUNT_KINDS = frozenset(
    kind
    for kind in KINDS
    if kind.startswith(("organisation.", "user.", "membership.", "role.", "token."))
)
"""Changes of who may do what: whoever is watching is looked at again after one."""


@dataclass(frozen=True)
class Head:
    """Where the journal stands. ``changed_at`` is the time of its newest change.

    ``link`` is where the audit log stands, and ``steady`` the time that really passed.
    """

    epoch: str
    revision: int
    changed_at: int
    link: Link
    steady: Steady

    def behind(self, clock: int) -> float:
        """Seconds by which ``clock`` stands behind the newest change; 0: it does not."""
        return max(0, self.changed_at - clock) / 1_000_000


@dataclass(frozen=True)
class Change:
    """One entry, as readers get it."""

    revision: int
    position: int
    changed_at: int
    organisation_id: int
    kind: str
    service: str | None
    environment: str | None
    number: int | None
    current: int | None
    digest: str | None
    actor: str
    note: str
    definition: str | None
    subject: str | None


class Journal:
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
    def realm(self) -> Realm:
        """What the unit sees."""
        return self.actor.realm

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

        ``note`` is the unit's own unless given; ``about`` stands before it, and cannot be left
        out. ``organisation`` is the actor's own unless given.
        """
        values: dict[str, Field] = {
            "revision": self.revision,
            "position": self._position,
            "changed_at": self.now,
            "organisation_id": organisation or self.organisation,
            "kind": kind,
            "service": service,
            "environment": DEFAULT_ENVIRONMENT if service and number is not None else None,
            "number": number,
            "current": current,
            "digest": digest,
            "actor": self.actor.name,
            "note": _told(about, self.note) if note is None else note,
            "definition": definition,
            "subject": subject,
        }
        self.connection.execute(_RECORD, values)
        self._digest.update(framed(values.values()))
        self._position += 1
        self.allowance.count(changes=1)
        if service is None:
            self.everything = True
        else:
            self.services.add(service)


def _told(about: str, note: str) -> str:
    return f"{about}; {note}" if about and note else about or note


def hidden_from(actor: Actor) -> frozenset[str]:
    """The kinds of changes that ``actor`` may not hear of."""
    hidden: frozenset[str] = frozenset()
    if not actor.may("audit:read"):
        hidden |= ACCOUNT_KINDS
    if not actor.may("definition:read"):
        hidden |= _DEFINITION_KINDS
    return hidden


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


def head(connection: Connection) -> Head:
    """The journal's head as this connection's transaction sees it."""
    row = connection.execute(_HEAD).one_or_none()
    if row is None:
        raise CannotStart("The database has no journal; run `distconf db upgrade`.")
    link = Link(row.audit_id, row.audit_at, row.audit_hash)
    steady = Steady(row.steady_at, Uptime(row.boot, row.uptime))
    return Head(row.epoch, row.revision, row.changed_at, link, steady)


def first_epoch(connection: Connection) -> str:
    """The epoch that the database was made with."""
    return connection.execute(_FIRST_EPOCH).scalar_one()


def continues(connection: Connection, position: Position, newest: Head) -> bool:
    """Whether ``position`` is in the journal as it is now, and not in one from before a restore."""
    if position.revision > newest.revision:
        return False
    if position.epoch is not None:
        return position.epoch == newest.epoch
    # People, and earlier releases, name no epoch. Every history has the same beginning.
    return position.revision == 0 or newest.epoch == first_epoch(connection)


def advance(connection: Connection, new: Head) -> None:
    """Moves the stored head. For the writer alone: it has checked that the revision follows."""
    link = new.link
    connection.execute(
        _ADVANCE,
        {
            "to": new.revision,
            "at": new.changed_at,
            "link_id": link.id,
            "link_at": link.happened_at,
            "link_hash": link.hash,
            "steadily": new.steady.at,
            "in_boot": new.steady.seen.boot,
            "up_for": new.steady.seen.microseconds,
        },
    )


def touch(journal: Journal) -> int:
    """Writes what is there already, to see that writing works; the journal's revision."""
    journal.connection.execute(update(HeadRow).values(changed_at=HeadRow.changed_at))
    return journal.head.revision


def changes(
    connection: Connection,
    actor: Actor | None,
    *,
    after: int,
    limit: int,
    services: Sequence[str] = (),
    kinds: Sequence[str] = (),
) -> list[Change]:
    """The changes behind revision ``after``, oldest first, whole revisions only.

    Those that ``actor`` may hear of; None: all, of all organisations. At least ``limit`` changes
    where there are as many; the last revision is never cut. A service that ends in ``/`` stands
    for every service whose name begins so.
    """
    query = _heard_by(actor, select(*COLUMNS).where(ChangeRow.revision > after))
    query = query.order_by(ChangeRow.revision, ChangeRow.position)
    if services:
        query = query.where(named(ChangeRow.service, tuple(services)))
    if kinds:
        query = query.where(ChangeRow.kind.in_(kinds))
    found = [Change(**row._asdict()) for row in connection.execute(query.limit(limit))]
    if len(found) == limit:
        rest = query.where(
            ChangeRow.revision == found[-1].revision, ChangeRow.position > found[-1].position
        )
        found += [Change(**row._asdict()) for row in connection.execute(rest)]
    return found


def changes_of(
    connection: Connection, actor: Actor | None, revisions: Iterable[int], most: int
) -> dict[int, list[Change]]:
    """The first ``most`` changes of each of ``revisions`` that ``actor`` may hear of."""
    place = func.row_number().over(partition_by=ChangeRow.revision, order_by=ChangeRow.position)
    heard = _heard_by(actor, select(*COLUMNS, place.label("place")))
    inner = heard.where(ChangeRow.revision.in_(list(revisions))).subquery()
    columns = [inner.c[column.key] for column in COLUMNS]
    query = select(*columns).where(inner.c.place <= most).order_by(*columns[:2])
    found = (Change(**row._asdict()) for row in connection.execute(query))
    return {key: list(group) for key, group in groupby(found, key=lambda each: each.revision)}


def _heard_by(actor: Actor | None, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """``query`` with what ``actor`` may hear of only; None: everything."""
    if actor is None:
        return query
    query = query.where(
        ChangeRow.organisation_id == actor.organisation,
        ChangeRow.kind.not_in(hidden_from(actor)),
    )
    if not actor.realm.is_whole:
        query = query.where(ChangeRow.service.is_(None) | actor.realm.within(ChangeRow.service))
    return query
