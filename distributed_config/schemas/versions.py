"""Versions in the history of a service, rendered by hand.

A dump by marshmallow takes four times as long, which a page of history would show (a hundred
versions: 2.5 ms), and clients page through all of it. A test holds the keys equal to
``VersionAnswer``, which describes them.
"""

from typing import Any

from distributed_config import wire
from distributed_config.services.versions import Version


def render_version(version: Version) -> dict[str, Any]:
    """Return ``version`` as the history has it, without its document."""
    definition, revision = version.checked or (None, None)
    rendered = {
        "number": version.number,
        "enabled": version.enabled,
        "deleted": version.deleted,
        "digest": version.digest,
        "size": version.size,
        "author": version.author,
        "note": version.note,
        "created_at": wire.format_time(version.created_at),
        "revision": version.revision,
        "definition": definition,
        "definition_revision": revision,
    }
    if version.rolled_back_to is not None:
        rendered["rolled_back_to"] = version.rolled_back_to
    return rendered


def render_version_with_document(version: Version) -> dict[str, Any]:
    """Return ``version`` with its document, which is None where it was deleted."""
    document = None if version.text is None else wire.parse_stored(version.text)
    return {**render_version(version), "document": document}
