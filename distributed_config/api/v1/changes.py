"""The journal as a feed: at once, held until there is news, or as a stream of events."""

import json
import random
from typing import Any

from flask import Blueprint, request

from distributed_config.api import schemas
from distributed_config.edge import auth, database, revealing
from distributed_config.edge import requests as asked
from distributed_config.edge.database import reading
from distributed_config.edge.doors import door
from distributed_config.edge.paging import page_size
from distributed_config.edge.responses import Answer, json_answer
from distributed_config.errors import EpochChanged, Invalid, NotRepresentable, Problem
from distributed_config.live.exchange import Basis
from distributed_config.live.feed import Watch, shown_change
from distributed_config.live.watermarks import HEAD, word_of
from distributed_config.services import feed
from distributed_config.services import journal as log
from distributed_config.services.digests import without_secrets
from distributed_config.services.journal import Change, Head
from distributed_config.wire import parse_stored

blueprint = Blueprint("changes", __name__)

_EVENTS = "text/event-stream"
# A server that comes back is not met by all its watchers at once.
_SOONEST, _LATEST = 500, 5_000


@door(
    blueprint,
    "GET",
    "/changes",
    permission="config:read",
    query=schemas.ChangesQuery,
    answers={200: schemas.ChangesAnswer},
    refusals=(406, 410, 422),
    headers=("Prefer", "Last-Event-ID"),
)
def list_changes(query: dict[str, Any]) -> Answer:
    """List what changed behind a revision, oldest first; or wait for it, or watch it.

    Whole revisions only. Go on with `after=` the `revision` of the answer; when `more` is false,
    that is the journal's head, also when the filters left nothing. A revision that the journal
    has not reached is a 410: it is from before a restore. With `wait=` (or `Prefer: wait=`) the
    answer is held until there is something, or the time is up. With
    `Accept: text/event-stream` the answer is a stream of events, and a WebSocket on the same
    path tells the same; both begin with what comes next unless `after` says otherwise.
    """
    head = log.head(reading())
    best = (request.accept_mimetypes.best or "").partition(";")[0].strip().lower()
    if best == _EVENTS:
        return _stream(query, head)
    waiting = query["wait"] or asked.wait_seconds()
    after = query["after"] or 0
    if _is_from_elsewhere(after, query["epoch"], head):
        raise EpochChanged()
    size = page_size(query["limit"])
    found = log.changes(
        reading(),
        auth.actor(),
        after=after,
        limit=size,
        services=tuple(query["service"]),
        kinds=tuple(query["kind"]),
    )
    if not found and waiting:
        most = database.of().settings.wait_seconds
        asked.hold(Basis(_word(query["service"]), head.revision), min(waiting, most))
    more = len(found) >= size
    body = {
        "changes": _shown(found, query["include"] == "document"),
        "revision": found[-1].revision if more else head.revision,
        "epoch": head.epoch,
        "more": more,
    }
    return json_answer(body, Cache_Control="private, no-cache", Config_Revision=str(head.revision))


def _shown(changes: list[Change], with_documents: bool) -> list[dict[str, Any]]:
    reveal = auth.actor().realm.secrets
    if not reveal:
        changes = without_secrets(reading(), changes)
    if not with_documents:
        return [shown_change(change) for change in changes]
    keys = [feed.key_of(change) for change in changes]
    wanted = [key for key in keys if key is not None]
    documents = feed.documents(reading(), wanted, clear=reveal)
    shown = []
    for change, key in zip(changes, keys, strict=True):
        stored = None if key is None else documents.get(key)
        found = None if stored is None else stored.at(change.revision)
        text = None if found is None else found.shown(reveal)
        document = None if text is None else parse_stored(text)
        shown.append({**shown_change(change), "document": document})
    return shown


def _word(services: list[str]) -> int:
    """What has to move before there can be news of ``services``."""
    if len(services) == 1 and not services[0].endswith("/"):
        return word_of(auth.actor().organisation, services[0])
    return HEAD


def _is_from_elsewhere(after: int, epoch: str | None, head: Head) -> bool:
    """Whether a revision is one of the journal before it was restored."""
    return after > head.revision or epoch not in {None, head.epoch}


def _stream(query: dict[str, Any], head: Head) -> Answer:
    """The beginning of a stream; what follows is the server side's."""
    if not asked.told().streams:
        raise NotRepresentable(
            "This server answers one request at a time and cannot hold a stream open. "
            "Ask with wait= instead, or run `distconf serve`."
        )
    after = _last_seen(query["after"])
    reset = after is not None and _is_from_elsewhere(after, query["epoch"], head)
    if after is None or reset:
        after = head.revision
    services = query["service"]
    watch = Watch(
        actor=auth.actor(),
        after=after,
        epoch=head.epoch,
        services=frozenset(name for name in services if not name.endswith("/")),
        prefixes=tuple(name for name in services if name.endswith("/")),
        kinds=frozenset(query["kind"]),
        documents=query["include"] == "document",
        reset=reset,
    )
    if watch.documents and watch.reveals:
        for name in services or ["/"]:
            revealing.note_reading(name)
    if request.method == "GET":  # and not HEAD, which wants to know and not to hear
        asked.told().stream = watch
    retry = random.randint(_SOONEST, _LATEST)  # noqa: S311  # it only has to differ
    began = json.dumps({"revision": after, "epoch": head.epoch})
    event = "reset" if reset else "hello"
    text = f"retry: {retry}\nid: {after}\nevent: {event}\ndata: {began}\n\n"
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Answer(text.encode(), media_type=_EVENTS, headers=headers)


def _last_seen(from_query: int | None) -> int | None:
    """Where the watcher was: what it saw last counts more than where it began."""
    header = request.headers.get("Last-Event-ID", "")
    if not header:
        return from_query
    if not (header.isascii() and header.isdigit() and len(header) < 19):
        message = "It is not the id of an event of this stream."
        raise Invalid.of([Problem("", message, "cursor", "Last-Event-ID")])
    return int(header)
