"""The journal as a feed: at once, held until something changes, or as a stream of events."""

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, request

from distributed_config.errors import (
    EpochChanged,
    Invalid,
    NotRepresentable,
    Problem,
    ServiceNotFound,
)
from distributed_config.http import auth, database, secret_reads
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.live.exchange import Validity
from distributed_config.live.feed import Subscription
from distributed_config.schemas import answers, queries
from distributed_config.schemas.changes import render_change, render_veiled
from distributed_config.services import event_documents
from distributed_config.services.journal.changes import Change, read_changes
from distributed_config.services.journal.head import Head, continues, read_head
from distributed_config.services.layers import environments
from distributed_config.services.layers.resolver import Resolver
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.secrets.digests import without_secrets
from distributed_config.store.watermarks import HEAD, word_of
from distributed_config.wire import Position, parse_position, parse_stored

blueprint = Blueprint("changes", __name__)

_EVENTS = "text/event-stream"
# Milliseconds until a client connects again. They are drawn at random, so that the subscribers of
# a server that was restarted do not all come back in the same moment.
_SOONEST, _LATEST = 500, 5_000
# One for all: an empty set takes 216 bytes, and most of ten thousand subscribers have two.
_NONE: frozenset[str] = frozenset()


@route(
    blueprint,
    "GET",
    "/changes",
    permission="config:read",
    query=queries.ChangesQuery,
    answers={200: answers.ChangesAnswer},
    refusals=(404, 406, 410, 422),
    headers=("Prefer", "Last-Event-ID"),
)
def list_changes(query: dict[str, Any]) -> ResponseData:
    """List what changed after a revision, oldest first; or wait for it, or watch it.

    Whole revisions only. Go on with `after=` the `next` of the response; when `more` is false,
    that is the journal's head, even if the filters left nothing. A position from before a restore
    is a 410. With `wait=` (or `Prefer: wait=`) the response is held until there is a change, or
    the time is up. With `Accept: text/event-stream` the response is a stream of events, and a
    WebSocket on the same path sends the same; both begin with the next change unless `after` says
    otherwise. The `id` of an event is a position as `next` is.

    Without `environment=` the changes of all environments are listed. With `resolved=true` those
    of all layers are; of a layer that you may not see, only that it changed (`layer.changed`).
    """
    for environment in query["environment"]:
        environments.require_visible(auth.reader(), environment)
    head = read_head(reader_connection())
    # EventSource sends exactly this; a browser's page load has it nowhere in its Accept.
    best = (request.accept_mimetypes.best or "").partition(";")[0].strip().lower()
    return _stream(query, head) if best == _EVENTS else _list(query, head)


def _list(query: dict[str, Any], head: Head) -> ResponseData:
    position = _position(query["after"] or Position(0), query["epoch"])
    if not continues(reader_connection(), position, head):
        raise EpochChanged()
    size = page_size(query["limit"])
    basis = _basis(query)
    changes = read_changes(
        reader_connection(),
        auth.actor(),
        after=position.revision,
        limit=size,
        services=() if basis else tuple(query["service"]),
        kinds=tuple(query["kind"]),
        environments=() if basis else tuple(query["environment"]),
        layers=([one for one, _ in basis], [place for _, place in basis]) if basis else None,
    )
    if not changes:
        _wait_for_more(query, head, basis)
    more = len(changes) >= size
    # Without more the client goes on from the head: also past what its filters left out.
    upto = Position(changes[-1].revision if more else head.revision, head.epoch)
    render: Callable[[list[Change]], list[dict[str, Any]]]
    render = _render_with_documents if query["include"] == "document" else _render
    if basis:
        render = partial(_render_layers, _pair(query))
    body = {
        "changes": render(changes),
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


def _pair(query: dict[str, Any]) -> tuple[str, str]:
    """Return the service and the environment of the resolved document that a query is about."""
    [service] = query["service"]
    [environment] = query["environment"] or [DEFAULT_ENVIRONMENT]
    return service, environment


def _basis(query: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the series that the query's resolved document rests on; [] if it is about none."""
    if not query["resolved"]:
        return []
    service, environment = _pair(query)
    environments.require_visible(auth.reader(), environment)
    if not auth.actor().visibility.allows(service):
        raise ServiceNotFound(service, environment)
    resolver = Resolver(reader_connection(), auth.actor().organisation, reveal=False)
    return sorted(resolver.basis(service, environment))


def _wait_for_more(query: dict[str, Any], head: Head, basis: list[tuple[str, str]]) -> None:
    """Have the request held, if it would wait: no thread and no snapshot is held meanwhile."""
    seconds = query["wait"] or http_request.preferred_wait()
    organisation = auth.actor().organisation
    words = {word_of(organisation, *pair) for pair in basis} or _words(query)
    validity = Validity(tuple(words), head.revision)
    http_request.wait_for_change(validity, min(seconds, database.of().settings.wait_seconds))


def _render_layers(pair: tuple[str, str], changes: list[Change]) -> list[dict[str, Any]]:
    """Render changes of layers; of those that the actor may not see, only that they happened."""
    actor = auth.actor()
    asking = Subscription(actor, 0, "", resolved=pair)
    return [
        render_change(change) if asking.matches_scope(change) else render_veiled(change, *pair)
        for change in _visible(changes)
    ]


def _render(changes: list[Change]) -> list[dict[str, Any]]:
    return [render_change(change) for change in _visible(changes)]


def _render_with_documents(changes: list[Change]) -> list[dict[str, Any]]:
    """Render ``changes``, each with the document that became current, or None."""
    changes = _visible(changes)
    reveal = auth.actor().visibility.reads_secrets
    keys = [event_documents.version_key(change) for change in changes]
    existing = [key for key in keys if key is not None]
    documents = event_documents.documents(reader_connection(), existing, clear=reveal)
    rendered = []
    for change, key in zip(changes, keys, strict=True):
        stored = None if key is None else documents.get(key)
        views = None if stored is None else stored.at(change.revision)
        text = None if views is None else views.shown(reveal)
        document = None if text is None else parse_stored(text)
        rendered.append({**render_change(change), "document": document})
    return rendered


def _visible(changes: list[Change]) -> list[Change]:
    """Return ``changes`` without what would tell the actor about secrets that it may not read."""
    if auth.actor().visibility.reads_secrets:
        return changes
    return without_secrets(reader_connection(), changes)


def _words(query: dict[str, Any]) -> set[int]:
    """Return the watermarks one of which is raised when anything changes that the query names."""
    services, places = query["service"], query["environment"]
    if len(services) == 1 and not services[0].endswith("/"):
        organisation = auth.actor().organisation
        places = places or environments.names(reader_connection(), organisation)
        return {word_of(organisation, services[0], place) for place in places}
    return {HEAD}


def _position(position: Position, epoch: str | None) -> Position:
    """Return ``position`` with the epoch of the query, unless it has its own.

    A browser that connects again sends the newest id, and the query that it began with.
    """
    return position if position.epoch is not None else Position(position.revision, epoch)


def _link_to(position: Position) -> str:
    """Return the Link header of what comes after ``position``."""
    others = [
        (key, value)
        for key, value in request.args.items(multi=True)
        if key not in {"epoch", "after"}  # the position has both
    ]
    query = [*others, ("after", str(position))]
    return f'<{request.path}?{urlencode(query)}>; rel="next"'


def _stream(query: dict[str, Any], head: Head) -> ResponseData:
    """Return the beginning of a stream of events; the server side sends what follows."""
    if not http_request.exchange_of_request().can_stream:
        raise NotRepresentable(
            "This server answers one request at a time and cannot hold a stream open. "
            "Ask with wait= instead, or run `distconf serve`."
        )
    subscription = _subscribe(query, head)
    if subscription.documents and subscription.reveals:
        # Once for all of the stream: it reads secrets for as long as it is open.
        for name in query["service"] or ["/"]:
            secret_reads.record_secret_read(name)
    if request.method == "GET":  # a HEAD wants the headers, and no stream
        http_request.exchange_of_request().subscription = subscription
    retry = random.randint(_SOONEST, _LATEST)  # noqa: S311  # it only has to differ
    begin = subscription.position(subscription.after)
    data = json.dumps({"revision": begin.revision, "epoch": head.epoch})
    event = "reset" if subscription.reset else "hello"
    text = f"retry: {retry}\nid: {begin}\nevent: {event}\ndata: {data}\n\n"
    # nginx buffers a response unless this header stops it, and events would come in lumps.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return ResponseData(text.encode(), media_type=_EVENTS, headers=headers)


def _subscribe(query: dict[str, Any], head: Head) -> Subscription:
    """Return the subscription that ``query`` describes.

    It begins at the head, unless the client says where it was. Where that was in another life of
    the database, from before a restore, it is told to start over (``reset``).
    """
    seen = _last_seen(query["after"])
    is_reset = seen is not None and not continues(
        reader_connection(), _position(seen, query["epoch"]), head
    )
    services = query["service"]
    return Subscription(
        actor=auth.actor(),
        after=head.revision if seen is None or is_reset else seen.revision,
        epoch=head.epoch,
        services=frozenset(name for name in services if not name.endswith("/")) or _NONE,
        prefixes=tuple(name for name in services if name.endswith("/")),
        kinds=frozenset(query["kind"]) or _NONE,
        environments=frozenset(query["environment"]) or _NONE,
        resolved=_pair(query) if _basis(query) else None,
        documents=query["include"] == "document",
        reset=is_reset,
    )


def _last_seen(from_query: Position | None) -> Position | None:
    """Return the position of the client; None if it says none.

    ``Last-Event-ID`` comes before ``after=``: a browser that connects again sends both, and the
    query is the one that it began with.
    """
    header = request.headers.get("Last-Event-ID", "")
    if not header:
        return from_query
    try:
        return parse_position(header)
    except ValueError:
        message = "It is not the id of an event of this stream."
        raise Invalid.from_problems([Problem("", message, "cursor", "Last-Event-ID")]) from None
