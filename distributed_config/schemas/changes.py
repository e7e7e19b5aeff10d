"""Changes of the journal, rendered by hand.

Every event of every stream passes through here, and a broadcast to 10,000 subscribers waits for
it. A dump by marshmallow takes several times as long.
"""

from typing import Any

from distributed_config import wire
from distributed_config.services.journal.changes import Change

LAYER_CHANGED = "layer.changed"
"""Stands for the kind of a change that its reader may not see."""


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


def render_veiled(change: Change, service: str, environment: str) -> dict[str, Any]:
    """Return that a layer of a resolved document changed, to a reader who may not see which.

    ``service`` and ``environment`` are those of the resolved document.
    """
    return {
        "revision": change.revision,
        "position": change.position,
        "time": wire.format_time(change.changed_at),
        "kind": LAYER_CHANGED,
        "service": service,
        "definition": None,
        "subject": None,
        "environment": environment,
        "version": None,
        "current": None,
        "digest": None,
        "actor": "",
        "note": "",
    }
