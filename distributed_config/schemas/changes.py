"""Changes of the journal, rendered by hand.

Every event of every stream passes through here, and a broadcast to 10,000 subscribers waits for
it. A dump by marshmallow takes several times as long.
"""

from typing import Any

from distributed_config import wire
from distributed_config.services.journal.changes import Change


def render_change(change: Change) -> dict[str, Any]:
    """Return one change as every form of the feed shows it."""
    return {
        "revision": change.revision,
        "position": change.position,
        "time": wire.format_time(change.changed_at),
        "kind": change.kind,
        "service": change.service,
        "definition": change.definition,
        "subject": change.subject,
        "environment": change.environment,
        "version": change.number,
        "current": change.current,
        "digest": change.digest,
        "actor": change.actor,
        "note": change.note,
    }
