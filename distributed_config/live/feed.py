"""The journal as events: read from the database, encoded once for all who may see them."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine

from distributed_config import wire
from distributed_config.schemas.changes import render_change
from distributed_config.services import event_documents
from distributed_config.services.access.identify import reidentify
from distributed_config.services.event_documents import DocumentViews
from distributed_config.services.journal.changes import Change, hidden_from, read_changes
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import (
    ACCOUNT_KINDS,
    MARKING_KINDS,
    SERVICE_DELETED,
    VERSION_DELETED,
)
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.services.secrets.digests import without_secrets
from distributed_config.wire import Position

_PAGE = 200
_PAGE_WITH_DOCUMENTS = 16
_EVERY_SIZE = 1 << 30

DELETION_KINDS = frozenset({VERSION_DELETED, SERVICE_DELETED})
"""Changes after which documents are gone."""
SECRET_KINDS = MARKING_KINDS
"""Changes after which other places of documents are secret."""


@dataclass(frozen=True)
class Encoder:
    """How a subscriber's messages are written.

    ``encode`` returns the JSON text for the events of one revision; "" sends nothing. With
    ``with_previous`` an event has the document that was current before as well, which takes more
    reading. ``is_bare``: over a WebSocket the text is sent as it is, without the id of the event,
    and without greetings and heartbeats, which the subscriber would not understand.
    """

    encode: Callable[[int, list["ChangeEvent"], "Subscription"], str]
    with_previous: bool = False
    is_bare: bool = False


def _encode_changes(
    revision: int, events: list["ChangeEvent"], subscription: "Subscription"
) -> str:
    reveal = subscription.reveals
    texts = (
        event.with_document(reveal) if subscription.documents else event.plain(reveal)
        for event in events
    )
    return f'{{"revision": {revision}, "changes": [{", ".join(texts)}]}}'


CHANGES = Encoder(_encode_changes)
"""Changes as ``/api/v1/changes`` has them."""


@dataclass(frozen=True)
class Subscription:
    """What one watcher wants to hear of, behind the revision ``after``.

    No ``services``, or no ``kinds``, are all; a service that ends in ``/`` stands for all that
    begin so. ``reset`` says that the watcher's past cannot be continued: it begins at ``after``.
    """

    actor: Actor
    after: int
    epoch: str
    services: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    documents: bool = False
    reset: bool = False
    encoder: Encoder = CHANGES

    @property
    def reveals(self) -> bool:
        """Whether the watcher is told secrets in the clear."""
        return self.actor.visibility.secrets

    def position(self, revision: int) -> Position:
        """Where the watcher is once it has heard of ``revision``; it can go on from there."""
        return Position(revision, self.epoch)

    def wants(self, change: Change) -> bool:
        """Whether the watcher is to hear of ``change``."""
        if not self._may_hear(change):
            return False
        if self.kinds and change.kind not in self.kinds:
            return False
        if not self.services and not self.prefixes:
            return True
        name = change.service
        return name is not None and (name in self.services or name.startswith(self.prefixes))

    def _may_hear(self, change: Change) -> bool:
        visibility = self.actor.visibility
        if change.organisation_id != visibility.organisation or change.kind in self._hidden:
            return False
        return not visibility.scopes or change.service is None or visibility.sees(change.service)

    @cached_property
    def _hidden(self) -> frozenset[str]:
        return hidden_from(self.actor)


def concerns_rights(moments: list["RevisionEvents"]) -> bool:
    """Whether there is a change of who may do what among ``moments``."""
    kinds = (entry.change.kind for moment in moments for entry in moment.entries)
    return not ACCOUNT_KINDS.isdisjoint(kinds)


class ChangeEvent:
    """One change, encoded when the first one asks for it.

    ``masked`` is the change as those are told who may not read secrets.
    """

    __slots__ = ("_plain", "change", "document", "masked", "previous")

    def __init__(
        self,
        change: Change,
        masked: Change,
        document: DocumentViews | None,
        previous: DocumentViews | None,
    ) -> None:
        self.change = change
        self.masked = masked
        self.document = document
        self.previous = previous
        self._plain: dict[Change, str] = {}

    def plain(self, reveal: bool) -> str:
        """The change as JSON."""
        told = self.change if reveal else self.masked
        if told not in self._plain:
            self._plain[told] = json.dumps(render_change(told), ensure_ascii=False)
        return self._plain[told]

    def with_document(self, reveal: bool) -> str:
        """The same with what became current, or null; spliced in as it is stored."""
        document = _shown(self.document, reveal)
        if document is None or len(document.encode()) > event_documents.LARGEST_DOCUMENT:
            document = "null"
        return f'{self.plain(reveal)[:-1]}, "document": {document}}}'

    def document_text(self, reveal: bool) -> str | None:
        """The document that became current; None: there is none, or it cannot be shown."""
        return _shown(self.document, reveal)

    def previous_text(self, reveal: bool) -> str | None:
        """The document that was current before, if the event was read with it."""
        return _shown(self.previous, reveal)


def _shown(text: DocumentViews | None, reveal: bool) -> str | None:
    return None if text is None else text.shown(reveal)


class EncodedMessage:
    """What is told of one revision: JSON, and the same as an event of a stream."""

    __slots__ = ("message", "revision", "text")

    def __init__(self, revision: int, entries: list[ChangeEvent], watch: Subscription) -> None:
        self.revision = revision
        self.text = watch.encoder.encode(revision, entries, watch)
        event = f"id: {watch.position(revision)}\nevent: changes\ndata: {self.text}\n\n".encode()
        # One message for all watchers, as it is handed to the server.
        self.message = {"type": "http.response.body", "body": event, "more_body": True}


class RevisionEvents:
    """One revision: all its changes, told at once or not at all."""

    __slots__ = ("_told", "entries", "revision")

    def __init__(self, revision: int, entries: list[ChangeEvent]) -> None:
        self.revision = revision
        self.entries = entries
        self._told: dict[tuple[bool, Encoder, bool], EncodedMessage] = {}

    @property
    def size(self) -> int:
        """About the bytes that it holds."""
        texts = [each.document for each in self.entries if each.document is not None]
        return 1_500 * len(self.entries) + 3 * sum(len(text.masked) for text in texts)

    def forget(self, organisation: int, service: str, number: int | None) -> None:
        """Leaves out a document that was deleted; all of the service's if ``number`` is None."""
        for entry in self.entries:
            change = entry.change
            if (change.organisation_id, change.service) != (organisation, service):
                continue
            if number is None or change.current == number:
                entry.document = None
            if number is None or entry.previous is not None:
                entry.previous = None
            self._told.clear()

    def wanted_by(self, watch: Subscription) -> bool:
        """Whether there is anything in it for ``watch``."""
        return any(watch.wants(each.change) for each in self.entries)

    def told_to(self, watch: Subscription) -> EncodedMessage | None:
        """What ``watch`` is told; None: nothing. Those who want all of it share one."""
        entries = [each for each in self.entries if watch.wants(each.change)]
        if not entries:
            return None
        if len(entries) < len(self.entries):
            return EncodedMessage(self.revision, entries, watch)
        form = (watch.documents, watch.encoder, watch.reveals)
        if form not in self._told:
            self._told[form] = EncodedMessage(self.revision, entries, watch)
        return self._told[form]


@dataclass(frozen=True)
class Page:
    """Some moments, and the revision up to which there are no others."""

    moments: list[RevisionEvents]
    upto: int


class Feed:
    """Reads moments from the database behind ``engine``; each call in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def may_still(self, actors: Collection[Actor]) -> dict[Actor, int | None]:
        """Those of ``actors`` who are still what they were when they began to watch.

        Each with when their token ends, in microseconds; None: never.
        """
        found: dict[Actor, int | None] = {
            actor: None for actor in actors if actor.key == LOCAL_OPERATOR.key
        }
        rest = [actor for actor in actors if actor not in found]
        if not rest:
            return found
        with self._engine.connect() as connection:
            for actor in rest:
                identity = reidentify(connection, actor, wire.now())
                if identity is not None:
                    found[actor] = identity.expires_at
        return found

    def head(self) -> int:
        """The revision that is newest in the database."""
        with self._engine.connect() as connection:
            return read_head(connection).revision

    def all(self, after: int, *, with_previous: bool) -> Page:
        """The moments of every organisation behind ``after``, some hundreds at most.

        ``with_previous``: some encoder needs the documents that were current before, which takes
        more reading.
        """
        return self._read(after, None, {}, _PAGE, with_previous=with_previous, with_documents=True)

    def of(self, watch: Subscription, after: int) -> Page:
        """The moments behind ``after`` in which there is something that ``watch`` wants."""
        filters = {"services": [*watch.services, *watch.prefixes], "kinds": list(watch.kinds)}
        with_previous = watch.encoder.with_previous
        with_documents = watch.documents or with_previous
        # Very many may come from far behind at once, and each holds a page.
        most = _PAGE_WITH_DOCUMENTS if with_documents else _PAGE
        return self._read(
            after,
            watch.actor,
            filters,
            most,
            with_previous=with_previous,
            with_documents=with_documents,
        )

    def _read(
        self,
        after: int,
        actor: Actor | None,
        filters: dict[str, Any],
        most: int,
        *,
        with_previous: bool,
        with_documents: bool,
    ) -> Page:
        with self._engine.connect() as connection:
            head = read_head(connection).revision
            changes = read_changes(connection, actor, after=after, limit=most, **filters)
            masked = without_secrets(connection, changes)
            if with_documents:
                entries = _entries(connection, changes, masked, with_previous)
            else:
                entries = [
                    ChangeEvent(change, told, None, None)
                    for change, told in zip(changes, masked, strict=True)
                ]
        moments = [
            RevisionEvents(revision, list(group))
            for revision, group in groupby(entries, key=lambda entry: entry.change.revision)
        ]
        complete = len(changes) < most
        return Page(moments, max(head, after) if complete else moments[-1].revision)


def _entries(
    connection: Connection, changes: list[Change], masked: list[Change], with_previous: bool
) -> list[ChangeEvent]:
    """``changes`` with their documents, and with what they put an end to if that is wanted."""
    now = [event_documents.version_key(change) for change in changes]
    before: list[event_documents.Key | None] = [None] * len(changes)
    if with_previous:
        before = [event_documents.previous_key(connection, change) for change in changes]
    wanted = [key for key in (*before, *now) if key is not None]
    most = _EVERY_SIZE if with_previous else event_documents.LARGEST_DOCUMENT
    found = event_documents.documents(connection, wanted, most)

    def text(key: event_documents.Key | None, change: Change) -> DocumentViews | None:
        stored = None if key is None else found.get(key)
        return None if stored is None else stored.at(change.revision)

    return [
        ChangeEvent(change, told, text(after, change), text(earlier, change))
        for change, told, after, earlier in zip(changes, masked, now, before, strict=True)
    ]
