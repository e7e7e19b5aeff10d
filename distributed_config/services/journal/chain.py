"""The hash chain of the audit log: how an entry is written, and what its hash covers.

The hash of an entry is the SHA-256 over all its other columns in their order, each with its length
before it. One of them is the hash of the previous entry: to change, remove or insert an entry,
somebody has to rewrite all that follow, and then a pinned head does not match any more.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from distributed_config.services.journal.pending import Pending
from distributed_config.wire import HashField, length_prefixed


@dataclass(frozen=True)
class ChainHead:
    """The newest entry of the chain. As text, which users pin, it is ``id:hash``."""

    id: int
    happened_at: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"


GENESIS = ChainHead(0, 0, "0" * 64)
"""The head of an empty chain, which the first entry follows."""


def append(
    pending: Pending,
    before: ChainHead,
    now: int,
    *,
    organisation: int | None,
    kind: str,
    actor: str,
    address: str,
    service: str | None,
    revision: int | None,
    detail: str,
) -> ChainHead:
    """Append an entry after ``before``, the newest one, and return the new head.

    Only under the write lock: two entries after the same one would break the chain.
    """
    # Contiguous ids show a missing entry, also where no hash does: at a pruned beginning.
    link_id, happened_at = before.id + 1, max(now, before.happened_at)
    fields = (
        link_id,
        # The chain's times never run backwards: readers find a moment by bisection.
        happened_at,
        organisation,
        kind,
        actor,
        address,
        service,
        revision,
        detail,
        before.hash,
    )
    digest = hash_of(fields)
    pending.add_entry((*fields, digest))
    return ChainHead(link_id, happened_at, digest)


def hash_of(fields: Iterable[HashField]) -> str:
    """Return the hash of an entry: ``fields`` are its columns in their order, without the hash."""
    # Lengths instead of JSON: JSON would have to be canonical, and cannot express damaged text.
    return hashlib.sha256(length_prefixed(fields)).hexdigest()
