"""The journal as a feed, in its immediate form."""

from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.api import schemas
from distributed_config.edge import auth
from distributed_config.edge.database import reading
from distributed_config.edge.doors import door
from distributed_config.edge.paging import page_size
from distributed_config.edge.responses import Answer, json_answer
from distributed_config.errors import EpochChanged
from distributed_config.services import journal as log
from distributed_config.services.journal import Change

blueprint = Blueprint("changes", __name__)


@door(
    blueprint,
    "GET",
    "/changes",
    permission="config:read",
    query=schemas.ChangesQuery,
    answers={200: schemas.ChangesAnswer},
    refusals=(410, 422),
)
def list_changes(query: dict[str, Any]) -> Answer:
    """List what changed behind a revision, oldest first.

    Whole revisions only. Go on with `after=` the `revision` of the answer; when `more` is false,
    that is the journal's head, also when the filters left nothing. A revision that the journal
    has not reached is a 410: it is from before a restore.
    """
    connection = reading()
    head = log.head(connection)
    if query["after"] > head.revision or query["epoch"] not in {None, head.epoch}:
        raise EpochChanged()
    size = page_size(query["limit"])
    found = log.changes(
        connection,
        auth.actor().organisation,
        after=query["after"],
        limit=size,
        services=tuple(query["service"]),
        kinds=tuple(query["kind"]),
    )
    more = len(found) >= size
    body = {
        "changes": [_shown(change) for change in found],
        "revision": found[-1].revision if more else head.revision,
        "epoch": head.epoch,
        "more": more,
    }
    return json_answer(body, Cache_Control="private, no-cache", Config_Revision=str(head.revision))


def _shown(change: Change) -> dict[str, Any]:
    return {
        "revision": change.revision,
        "position": change.position,
        "time": wire.rfc3339(change.changed_at),
        "kind": change.kind,
        "service": change.service,
        "definition": change.definition,
        "environment": change.environment,
        "version": change.number,
        "current": change.current,
        "digest": change.digest,
        "actor": change.actor,
        "note": change.note,
    }
