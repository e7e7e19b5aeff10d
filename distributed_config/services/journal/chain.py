"""One link after another: how an entry of the audit log is written, and what its hash covers.

The hash of an entry is the SHA-256 over all its columns in their order, each with its length
before it, and so over the hash of the entry before. Who changes, removes or inserts an entry has
to write all that follow anew.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection, Dialect, insert

from distributed_config.models import AuditRow
from distributed_config.wire import HashField, length_prefixed


@dataclass(frozen=True)
class ChainHead:
    """Where the chain stands: its newest entry."""

    id: int
    happened_at: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"


GENESIS = ChainHead(0, 0, "0" * 64)
"""What the first entry follows."""


def append(
    connection: Connection,
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
    """Adds an entry behind ``before``, which must be the newest. Only under the write lock."""
    link_id, happened_at = before.id + 1, max(now, before.happened_at)
    fields = (
        link_id,
        # The chain's times never run backwards: one finds a moment in it by halving.
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
    made = hash_of(fields)
    # Every write pays for this. As the driver has it, the statement costs a third.
    connection.exec_driver_sql(_append_for(connection.dialect), (*fields, made))
    return ChainHead(link_id, happened_at, made)


def hash_of(fields: Iterable[HashField]) -> str:
    """The hash of an entry with these columns: all but the hash itself, in their order."""
    return hashlib.sha256(length_prefixed(fields)).hexdigest()


@lru_cache(maxsize=8)
def _append_for(dialect: Dialect) -> str:
    """The statement that adds a row; its parameters are the columns, in their order."""
    return str(insert(AuditRow).compile(dialect=dialect))
