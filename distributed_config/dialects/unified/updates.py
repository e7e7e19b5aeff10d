"""The WebSocket of the dialect: every set, delete and bulk update as it happens."""

import json
from typing import Any

from flask import request

from distributed_config.dialects.base import environment
from distributed_config.dialects.unified.errors import failure
from distributed_config.dialects.unified.routes import route
from distributed_config.http import auth, secret_reads
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData
from distributed_config.live.feed import ChangeEvent, Encoder, Subscription
from distributed_config.services.event_documents import CURRENT_CHANGING
from distributed_config.services.journal.head import read_head
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.sections import WRAPPER, changed
from distributed_config.wire import parse_stored


@route("GET", "/updates", "config:read")
def updates() -> ResponseData:
    """Open the WebSocket, which the server side asks for as a stream of events."""
    if (
        not http_request.exchange_of_request().can_stream
        or request.headers.get("Accept") != "text/event-stream"
    ):
        raise failure(426, "Connect with a WebSocket.")
    place = environment()
    require_visible(auth.reader(), place)
    # It begins with the next change: the dialect has no cursor, and its clients read first.
    head = read_head(reader_connection())
    subscription = Subscription(
        auth.actor(),
        head.revision,
        head.epoch,
        environments=frozenset({place}),
        encoder=ENCODER,
    )
    if subscription.reveals:
        secret_reads.record_secret_read("/")
    http_request.exchange_of_request().subscription = subscription
    return ResponseData()


def _encode(_revision: int, events: list[ChangeEvent], subscription: Subscription) -> str:
    """Return ``{"configs": {"section:key": value}}``, or "" if no key of a section changed."""
    keys: dict[str, Any] = {}
    for event in events:
        keys |= _changed_keys(event, subscription.reveals)
    return json.dumps({"configs": keys}, ensure_ascii=False) if keys else ""


def _changed_keys(event: ChangeEvent, reveal: bool) -> dict[str, Any]:
    """Return the keys of the section that changed, as ``section:key``; None: it was deleted."""
    if event.change.kind not in CURRENT_CHANGING:
        return {}
    previous, document = event.previous_text(reveal), event.document_text(reveal)
    if event.document is not None and document is None:
        # It holds a secret that does not open. An empty document in its place would tell
        # subscribers that all of its keys were deleted.
        return {}
    before = parse_stored(previous) if previous else {}
    after = parse_stored(document) if document else {}
    section = event.change.service
    return {
        f"{section}:{key}" if key != WRAPPER else f"{section}": value
        for key, value in changed(before, after).items()
    }


ENCODER = Encoder(_encode, with_previous=True, is_bare=True)
"""The original's messages have no envelope: they are what changed, and nothing else."""
