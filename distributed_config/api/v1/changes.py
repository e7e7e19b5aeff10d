"""The journal as a feed: at once, held until there is news, or as a stream of events."""

import json
import random
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, request

from distributed_config.errors import EpochChanged, Invalid, NotRepresentable, Problem
from distributed_config.http import auth, database, secret_reads
from distributed_config.http import request as asked
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.live.exchange import Validity
from distributed_config.live.feed import Subscription
from distributed_config.schemas import answers, queries
from distributed_config.schemas.changes import render_change
from distributed_config.services import event_documents
from distributed_config.services.journal.changes import Change, read_changes
from distributed_config.services.journal.head import Head, continues, read_head
from distributed_config.services.secrets.digests import without_secrets
from distributed_config.store.watermarks import HEAD, word_of
from distributed_config.wire import Position, parse_position, parse_stored

blueprint = Blueprint("changes", __name__)

_EVENTS = "text/event-stream"
# A server that comes back is not met by all its watchers at once.
_SOONEST, _LATEST = 500, 5_000


@route(
    blueprint,
    "GET",
    "/changes",
    permission="config:read",
    query=queries.ChangesQuery,
    answers={200: answers.ChangesAnswer},
    refusals=(406, 410, 422),
    headers=("Prefer", "Last-Event-ID"),
)
def list_changes(query: dict[str, Any]) -> ResponseData:
    """List what changed behind a revision, oldest first; or wait for it, or watch it.

    Whole revisions only. Go on with `after=` the `next` of the answer; when `more` is false, that
    is the journal's head, also when the filters left nothing. A position from before a restore is a
    410. With `wait=` (or `Prefer: wait=`) the answer is held until there is something, or the
    time is up. With `Accept: text/event-stream` the answer is a stream of events, and a WebSocket
    on the same path tells the same; both begin with what comes next unless `after` says
    otherwise. The `id` of an event is a position as `next` is.
    """
    head = read_head(reader_connection())
    best = (request.accept_mimetypes.best or "").partition(";")[0].strip().lower()
    if best == _EVENTS:
        return _stream(query, head)
    waiting = query["wait"] or asked.preferred_wait()
    position = _position(query["after"] or Position(0), query["epoch"])
    if not continues(reader_connection(), position, head):
        raise EpochChanged()
    size = page_size(query["limit"])
    found = read_changes(
        reader_connection(),
        auth.actor(),
        after=position.revision,
        limit=size,
        services=tuple(query["service"]),
        kinds=tuple(query["kind"]),
    )
    if not found and waiting:
        most = database.of().settings.wait_seconds
        asked.wait_for_change(Validity(_word(query["service"]), head.revision), min(waiting, most))
    more = len(found) >= size
    upto = Position(found[-1].revision if more else head.revision, head.epoch)
    body = {
        "changes": _shown(found, query["include"] == "document"),
        "revision": upto.revision,
        "epoch": head.epoch,
        "next": str(upto),
        "more": more,
    }
    return json_response(
        body,
        Cache_Control="private, no-cache",
        Config_Revision=str(head.revision),
        Link=_link_to(upto),
    )


def _shown(changes: list[Change], with_documents: bool) -> list[dict[str, Any]]:
    reveal = auth.actor().visibility.reads_secrets
    if not reveal:
        changes = without_secrets(reader_connection(), changes)
    if not with_documents:
        return [render_change(change) for change in changes]
    keys = [event_documents.version_key(change) for change in changes]
    wanted = [key for key in keys if key is not None]
    documents = event_documents.documents(reader_connection(), wanted, clear=reveal)
    shown = []
    for change, key in zip(changes, keys, strict=True):
        stored = None if key is None else documents.get(key)
        found = None if stored is None else stored.at(change.revision)
        text = None if found is None else found.shown(reveal)
        document = None if text is None else parse_stored(text)
        shown.append({**render_change(change), "document": document})
    return shown


def _word(services: list[str]) -> int:
    """What has to move before there can be news of ``services``."""
    if len(services) == 1 and not services[0].endswith("/"):
        return word_of(auth.actor().organisation, services[0])
    return HEAD


def _position(given: Position, epoch: str | None) -> Position:
    """``given`` with the epoch of the query, unless it has its own.

    A browser comes back with the newest id and the address that it began with.
    """
    return given if given.epoch is not None else Position(given.revision, epoch)


def _link_to(position: Position) -> str:
    """The Link header of what comes after ``position``."""
    query = [(key, value) for key, value in request.args.items(multi=True) if key != "epoch"]
    query = [*(each for each in query if each[0] != "after"), ("after", str(position))]
    return f'<{request.path}?{urlencode(query)}>; rel="next"'


def _stream(query: dict[str, Any], head: Head) -> ResponseData:
    """The beginning of a stream; what follows is the server side's."""
    if not asked.exchange_of_request().can_stream:
        raise NotRepresentable(
            "This server answers one request at a time and cannot hold a stream open. "
            "Ask with wait= instead, or run `distconf serve`."
        )
    seen = _last_seen(query["after"])
    reset = False
    begin = Position(head.revision, head.epoch)
    if seen is not None:
        reset = not continues(reader_connection(), _position(seen, query["epoch"]), head)
        begin = begin if reset else Position(seen.revision, head.epoch)
    services = query["service"]
    watch = Subscription(
        actor=auth.actor(),
        after=begin.revision,
        epoch=head.epoch,
        services=frozenset(name for name in services if not name.endswith("/")),
        prefixes=tuple(name for name in services if name.endswith("/")),
        kinds=frozenset(query["kind"]),
        documents=query["include"] == "document",
        reset=reset,
    )
    if watch.documents and watch.reveals:
        for name in services or ["/"]:
            secret_reads.record_secret_read(name)
    if request.method == "GET":  # and not HEAD, which wants to know and not to hear
        asked.exchange_of_request().subscription = watch
    retry = random.randint(_SOONEST, _LATEST)  # noqa: S311  # it only has to differ
    began = json.dumps({"revision": begin.revision, "epoch": head.epoch})
    event = "reset" if reset else "hello"
    text = f"retry: {retry}\nid: {begin}\nevent: {event}\ndata: {began}\n\n"
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return ResponseData(text.encode(), media_type=_EVENTS, headers=headers)


def _last_seen(from_query: Position | None) -> Position | None:
    """Where the watcher was: what it saw last counts more than where it began."""
    header = request.headers.get("Last-Event-ID", "")
    if not header:
        return from_query
    try:
        return parse_position(header)
    except ValueError:
        message = "It is not the id of an event of this stream."
        raise Invalid.from_problems([Problem("", message, "cursor", "Last-Event-ID")]) from None
