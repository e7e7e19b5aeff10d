"""Versions as a viewer sees them: documents masked or in the clear, digests that give nothing away.

A digest of a short secret confirms a guess at it. So where anything can be secret, viewers who may
not read secrets get keyed digests, and entity tags are keyed for everybody.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from distributed_config.services.documents.stored import intact
from distributed_config.services.secrets import DocumentKey, Viewer
from distributed_config.services.secrets.digests import Digests
from distributed_config.services.versions.statements import METADATA
from distributed_config.services.versions.values import ServiceKey, Version
from distributed_config.wire import stamp_of


class VersionRenderer:
    """Renders stored versions for those who may read secrets (``reveal``), or for others."""

    def __init__(self, connection: Connection, reveal: bool) -> None:
        self._viewer = Viewer(connection, reveal)
        self._digests = Digests(connection)
        self._reveal = reveal

    def render(self, key: DocumentKey, version: Version, moved_at: int = 0) -> Version:
        """Return ``version`` with its document and digest as they may be seen, and its stamp."""
        digest = stamped = version.digest
        if key.secret_marks:
            stamped = self._digests.of_version(key.service_id, version.number, digest)
            digest = digest if self._reveal else stamped
        text, view = version.text, ""
        if text is not None:
            rendered = self._viewer.render(key, text)
            text, view = rendered.text, rendered.etag_variant
        return replace(
            version,
            digest=digest,
            text=text,
            view=view,
            life=key.service_id,
            stamp=stamp_of(key.service_id, stamped),
            may_have_secrets=bool(key.secret_marks),
            moved_at=moved_at,
        )


def version_of_row(name: str, row: Any) -> Version:
    """Return the version in ``row``, as it is stored.

    Raises DocumentDamaged if the row has a document that is not what its digest says.
    """
    has_document = len(row) > len(METADATA) and row.deleted_revision is None
    text = intact(row.document, row.digest) if has_document else None
    return Version(
        service=name,
        number=row.number,
        enabled=row.enabled,
        digest=row.digest,
        size=row.size,
        author=row.author,
        note=row.note,
        created_at=row.created_at,
        revision=row.revision,
        deleted=row.deleted_revision is not None,
        text=text,
    )


def version_stamp(connection: Connection, service: ServiceKey, number: int, digest: str) -> str:
    """Return a version's part of its entity tag; ``digest`` is the stored one."""
    if service.secret_marks:
        # For viewers of secrets too: a tag that one of them passes on is valid for others, and
        # must not confirm a guess.
        digest = Digests(connection).of_version(service.id, number, digest)
    return stamp_of(service.id, digest)
