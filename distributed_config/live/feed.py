"""The journal as events: read from the database, and encoded once for all subscribers alike."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine

from distributed_config import wire
from distributed_config.schemas.changes import render_change, render_veiled
from distributed_config.services import event_documents
from distributed_config.services.access.identify import reidentify
from distributed_config.services.event_documents import DocumentViews
from distributed_config.services.journal.changes import (
    Change,
    as_seen_by,
    hidden_from,
    read_changes,
)
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import ACCOUNT_KINDS, MARKING_KINDS, ChangeKind
from distributed_config.services.layers.reach import Reach, find_reaches
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.services.secrets.digests import without_secrets
from distributed_config.wire import Position

_PAGE = 200
_PAGE_WITH_DOCUMENTS = 16
_ANY_SIZE = 1 << 30

DELETION_KINDS = frozenset({ChangeKind.VERSION_DELETED, ChangeKind.SERVICE_DELETED})
"""Changes that delete documents: events from before must not show them any more."""
SECRET_KINDS = MARKING_KINDS
"""Changes of what is secret: events from before may show it in the clear."""


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
        event.with_document(reveal, subscription.render(event))
        if subscription.documents
        else subscription.render(event)
        for event in events
    )
    return f'{{"revision": {revision}, "changes": [{", ".join(texts)}]}}'


CHANGES = Encoder(_encode_changes)
"""Changes as ``/api/v1/changes`` has them."""


@dataclass(frozen=True)
class Subscription:
    """Which changes one subscriber receives, after the revision ``after``.

    Empty ``services``, ``environments`` or ``kinds`` do not filter; ``prefixes`` match services
    that begin so. ``resolved`` is a service and an environment: all that changes what their
    resolved document is made of is received, and nothing else.
    ``reset`` tells that the subscriber's position could not be continued, and that it begins at
    ``after`` instead.
    """

    actor: Actor
    after: int
    epoch: str
    services: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    environments: frozenset[str] = frozenset()
    resolved: tuple[str, str] | None = None
    documents: bool = False
    reset: bool = False
    encoder: Encoder = CHANGES

    @property
    def reveals(self) -> bool:
        """Whether the subscriber receives secrets in the clear."""
        return self.actor.visibility.reads_secrets

    def position(self, revision: int) -> Position:
        """Return the position after ``revision``, from which a subscriber can continue."""
        return Position(revision, self.epoch)

    def receives(self, event: "ChangeEvent") -> bool:
        """Whether the subscriber receives ``event``: it asked for it, and may see it."""
        if self.resolved is None:
            return self.matches(event.change)
        # Also a change of a layer that it may not see: it sees what comes of it.
        is_here = event.change.organisation_id == self.actor.visibility.organisation
        return is_here and event.reach is not None and event.reach.includes(self.resolved)

    def render(self, event: "ChangeEvent") -> str:
        """Return a change that the subscriber receives as JSON."""
        if self.resolved is not None and not self.matches_scope(event.change):
            return json.dumps(render_veiled(event.change, *self.resolved), ensure_ascii=False)
        shown = as_seen_by(self.actor.visibility, event.change)
        if shown is event.change:
            return event.plain(self.reveals)
        return json.dumps(render_change(shown), ensure_ascii=False)

    def matches(self, change: Change) -> bool:
        """Whether the subscriber asked for ``change``, and may see it."""
        if not self.matches_scope(change):
            return False
        if self.kinds and change.kind not in self.kinds:
            return False
        place = change.environment
        if self.environments and place is not None and place not in self.environments:
            return False
        if not self.services and not self.prefixes:
            return True
        name = change.service
        return name is not None and (name in self.services or name.startswith(self.prefixes))

    def matches_scope(self, change: Change) -> bool:
        """Whether the subscriber may see ``change``."""
        visibility = self.actor.visibility
        if change.organisation_id != visibility.organisation or change.kind in self._hidden:
            return False
        if not visibility.scopes:
            return True
        if change.environment is not None and not visibility.allows_environment(change.environment):
            return False
        return change.service is None or visibility.allows(change.service)

    @cached_property
    def _hidden(self) -> frozenset[str]:
        return hidden_from(self.actor)


def concerns_rights(revisions: list["RevisionEvents"]) -> bool:
    """Whether any of ``revisions`` changed who may do what."""
    kinds = (event.change.kind for revision in revisions for event in revision.events)
    return not ACCOUNT_KINDS.isdisjoint(kinds)


class ChangeEvent:
    """One change, encoded on first use.

    ``masked`` is the change for subscribers who may not read secrets. ``document`` is what became
    current by it, ``previous`` what was current before; None where that was not read. ``reach``
    says which resolved documents it may have changed; None: none.
    """

    __slots__ = ("_encoded", "change", "document", "masked", "previous", "reach")

    def __init__(
        self,
        change: Change,
        masked: Change,
        document: DocumentViews | None,
        previous: DocumentViews | None,
        reach: Reach | None,
    ) -> None:
        self.reach = reach
        self.change = change
        self.masked = masked
        self.document = document
        self.previous = previous
        self._encoded: dict[Change, str] = {}

    def plain(self, reveal: bool) -> str:
        """Return the change as JSON."""
        change = self.change if reveal else self.masked
        # Most changes are the same in both views, and then share one encoded text.
        if change not in self._encoded:
            self._encoded[change] = json.dumps(render_change(change), ensure_ascii=False)
        return self._encoded[change]

    def with_document(self, reveal: bool, rendered: str) -> str:
        """Return a ``rendered`` change with the document that became current, or null."""
        document = _text_of(self.document, reveal)
        # Clients have bounds on the size of one event; a large document they fetch themselves.
        if document is None or len(document.encode()) > event_documents.LARGEST_DOCUMENT:
            document = "null"
        # Spliced in as it is stored: parsing it would lose nothing, but cost much.
        return f'{rendered[:-1]}, "document": {document}}}'

    def document_text(self, reveal: bool) -> str | None:
        """Return the document that became current; None: there is none, or it cannot be shown."""
        return _text_of(self.document, reveal)

    def previous_text(self, reveal: bool) -> str | None:
        """Return the document that was current before, if the event was read with it."""
        return _text_of(self.previous, reveal)


def _text_of(views: DocumentViews | None, reveal: bool) -> str | None:
    return None if views is None else views.shown(reveal)


class EncodedMessage:
    """What a subscriber receives of one revision: as JSON text, and as a server-sent event.

    ``prepared`` is for whoever sends it: bytes for the wire that are the same for all subscribers.
    """

    __slots__ = ("body", "prepared", "revision", "text")

    def __init__(
        self, revision: int, events: list[ChangeEvent], subscription: Subscription
    ) -> None:
        self.revision = revision
        self.prepared: dict[str, bytes] = {}
        self.text = subscription.encoder.encode(revision, events, subscription)
        position = subscription.position(revision)
        self.body = f"id: {position}\nevent: changes\ndata: {self.text}\n\n".encode()


class RevisionEvents:
    """The changes of one revision, which are delivered together or not at all."""

    __slots__ = ("_messages", "events", "revision")

    def __init__(self, revision: int, events: list[ChangeEvent]) -> None:
        self.revision = revision
        self.events = events
        self._messages: dict[tuple[bool, Encoder, bool, bool], EncodedMessage] = {}

    @property
    def size(self) -> int:
        """An estimate of the bytes of memory in use."""
        views = [event.document for event in self.events if event.document is not None]
        return 1_500 * len(self.events) + 3 * sum(len(document.masked) for document in views)

    def forget(self, deletion: Change) -> None:
        """Drop a document that ``deletion`` deleted, or all of a series or a service."""
        number = deletion.number
        for event in self.events:
            change = event.change
            if (change.organisation_id, change.service) != (
                deletion.organisation_id,
                deletion.service,
            ):
                continue
            if deletion.environment not in {None, change.environment}:
                continue
            if number is None or change.current == number:
                event.document = None
            if number is None or event.previous is not None:
                event.previous = None
            self._messages.clear()

    def message_for(self, subscription: Subscription) -> EncodedMessage | None:
        """Return the message for ``subscription``; None if none of the changes is for it.

        Subscribers who receive all of the changes share one message.
        """
        events = [event for event in self.events if subscription.receives(event)]
        if not events:
            return None
        # Parts are not cached: there may be as many of them as there are subscribers.
        if len(events) < len(self.events) or subscription.resolved is not None:
            return EncodedMessage(self.revision, events, subscription)
        sees_all = subscription.actor.visibility.has_every_environment
        form = (subscription.documents, subscription.encoder, subscription.reveals, sees_all)
        if form not in self._messages:
            self._messages[form] = EncodedMessage(self.revision, events, subscription)
        return self._messages[form]


@dataclass(frozen=True)
class Page:
    """Some revisions in order, and the revision ``up_to`` which there are no others."""

    revisions: list[RevisionEvents]
    up_to: int


class Feed:
    """Reads events from the database of ``engine``; each call in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reauthorise(self, actors: Collection[Actor]) -> dict[Actor, int | None]:
        """Return those of ``actors`` whose rights are still what they were when they subscribed.

        The values are when their tokens expire, in microseconds; None: never.
        """
        authorised: dict[Actor, int | None] = {
            actor: None for actor in actors if actor.key == LOCAL_OPERATOR.key
        }
        rest = [actor for actor in actors if actor not in authorised]
        if not rest:
            return authorised
        with self._engine.connect() as connection:
            for actor in rest:
                identity = reidentify(connection, actor, wire.now())
                if identity is not None:
                    authorised[actor] = identity.expires_at
        return authorised

    def head(self) -> int:
        """Return the newest revision in the database."""
        with self._engine.connect() as connection:
            return read_head(connection).revision

    def read_all(self, after: int, *, with_previous: bool) -> Page:
        """Return the events of every organisation after ``after``, a few hundred at most.

        ``with_previous`` also reads what was current before, which some encoders compare with.
        """
        return self._read(after, None, {}, _PAGE, with_previous=with_previous, with_documents=True)

    def read_for(self, subscription: Subscription, after: int) -> Page:
        """Return the events after ``after`` that ``subscription`` receives any of."""
        filters = {
            "services": [*subscription.services, *subscription.prefixes],
            "kinds": list(subscription.kinds),
            "environments": list(subscription.environments),
        }
        actor: Actor | None = subscription.actor
        if subscription.resolved is not None:
            # Which of them it receives shows in their reach alone.
            actor, filters = None, {}
        with_previous = subscription.encoder.with_previous
        with_documents = subscription.documents or with_previous
        # After an outage very many subscribers catch up at once, and each holds a page in memory.
        limit = _PAGE_WITH_DOCUMENTS if with_documents else _PAGE
        return self._read(
            after,
            actor,
            filters,
            limit,
            with_previous=with_previous,
            with_documents=with_documents,
        )

    def _read(
        self,
        after: int,
        actor: Actor | None,
        filters: dict[str, Any],
        limit: int,
        *,
        with_previous: bool,
        with_documents: bool,
    ) -> Page:
        with self._engine.connect() as connection:
            # One snapshot: the head is of the same moment as the changes.
            head = read_head(connection).revision
            changes = read_changes(connection, actor, after=after, limit=limit, **filters)
            masked = without_secrets(connection, changes)
            nothing: list[DocumentViews | None] = [None] * len(changes)
            documents = previous = nothing
            if with_documents:
                documents, previous = _documents(connection, changes, with_previous)
            reaches = find_reaches(connection, changes)
            parts = zip(changes, masked, documents, previous, reaches, strict=True)
            events = [ChangeEvent(*part) for part in parts]
        revisions = [
            RevisionEvents(revision, list(group))
            for revision, group in groupby(events, key=lambda event: event.change.revision)
        ]
        # A page that is not full has everything: subscribers can skip to the head.
        is_complete = len(changes) < limit
        return Page(revisions, max(head, after) if is_complete else revisions[-1].revision)


def _documents(
    connection: Connection, changes: list[Change], with_previous: bool
) -> tuple[list[DocumentViews | None], list[DocumentViews | None]]:
    """Return what each change made current and, ``with_previous``, what was current before."""
    current = [event_documents.version_key(change) for change in changes]
    previous: list[event_documents.Key | None] = [None] * len(changes)
    if with_previous:
        previous = [event_documents.previous_key(connection, change) for change in changes]
    keys = [key for key in (*previous, *current) if key is not None]
    largest = _ANY_SIZE if with_previous else event_documents.LARGEST_DOCUMENT
    documents = event_documents.documents(connection, keys, largest)

    def views(key: event_documents.Key | None, change: Change) -> DocumentViews | None:
        stored = None if key is None else documents.get(key)
        return None if stored is None else stored.at(change.revision)

    return (
        [views(key, change) for key, change in zip(current, changes, strict=True)],
        [views(key, change) for key, change in zip(previous, changes, strict=True)],
    )
