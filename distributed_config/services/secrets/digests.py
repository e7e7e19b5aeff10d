"""Digests for readers who may not see everything that was digested.

The SHA-256 of a short secret confirms a guess at it. So a reader of masked documents gets a digest
under a key of the database, bound to the one service: it tells the service's versions apart, and
nothing else. If the key file is missing, the digest is derived from the place alone.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, bindparam, select

from distributed_config.errors import SecretUnreadable
from distributed_config.models import ServiceRow
from distributed_config.services import secrets
from distributed_config.services.journal.changes import Change
from distributed_config.wire import HashField, length_prefixed

# Of an entry nothing may be derived without the key, not even from its id: that would be a hash
# that anybody can compute, and pin.
_UNKNOWN = "0" * 64


class Digests:
    """Computes digests that confirm no guess, for the snapshot of one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_version(self, service_id: int, number: int, digest: str) -> str:
        """Return the digest of a version of an existing service."""
        # Bound to the service: otherwise somebody could delete a service, create it again, and try
        # guesses as its versions (decision 18).
        place = ("version", service_id)
        # The number is no part of a keyed digest: equal versions of a service stay equal.
        return self._keyed((*place, digest)) or _plain((*place, number))

    def of_past(self, revision: int, position: int, digest: str) -> str:
        """Return the digest in a change of a deleted service.

        Whether anything in it was secret is not known any more. So it is keyed, unless the whole
        database never had a secret.
        """
        if not self.are_needed:
            return digest
        # No two of these are equal, so they cannot be compared with guesses either.
        place = ("past", revision, position)
        return self._keyed((*place, digest)) or _plain(place)

    def of_entry(self, entry_id: int, digest: str) -> str:
        """Return a hash or a digest of the audit log, both of which cover digests of documents."""
        if not self.are_needed:
            return digest
        return self._keyed(("audit", entry_id, digest)) or _UNKNOWN

    def is_of_entry(self, entry_id: int, digest: str, rendered: str) -> bool:
        """Whether ``rendered`` is ``digest`` as some reader gets it, keyed or not."""
        return rendered != _UNKNOWN and rendered in {digest, self.of_entry(entry_id, digest)}

    @cached_property
    # Cached: one page of the audit log asks for it hundreds of times.
    def are_needed(self) -> bool:
        """Whether anything in the database is or was secret."""
        return secrets.oldest_key(self._connection) is not None

    @cached_property
    def _key(self) -> bytes | None:
        try:
            return secrets.digest_key(self._connection)
        # The list of changes has to work without the key file too; the log says that it is missing.
        except SecretUnreadable:
            return None

    def _keyed(self, fields: tuple[HashField, ...]) -> str | None:
        if self._key is None:
            return None
        return hmac.new(self._key, length_prefixed(fields), hashlib.sha256).hexdigest()


def _plain(fields: tuple[HashField, ...]) -> str:
    return hashlib.sha256(length_prefixed(fields)).hexdigest()


def without_secrets(connection: Connection, changes: Sequence[Change]) -> list[Change]:
    """Return ``changes`` as actors who may not read secrets get them."""
    digests = Digests(connection)
    services: dict[tuple[int, str], Any] = {}
    masked = []
    for change in changes:
        if change.service is None or change.digest is None:
            masked.append(change)
            continue
        name = (change.organisation_id, change.service)
        if name not in services:
            # One statement each: most pages are about one service, and events must not wait.
            parameters = {"organisation": name[0], "name": name[1]}
            services[name] = connection.execute(_SERVICE, parameters).one_or_none()
        digest = _change_digest(digests, services[name], change, change.digest)
        masked.append(replace(change, digest=digest))
    return masked


def _change_digest(digests: Digests, service: Any, change: Change, digest: str) -> str:
    """Return the digest in a change of ``service``, or of an earlier one of the same name."""
    # A name can be used again; the marks of today's service say nothing about an earlier one.
    if service is None or change.revision < service.created_revision:
        return digests.of_past(change.revision, change.position, digest)
    if service.secret_marks and change.number is not None:
        return digests.of_version(service.id, change.number, digest)
    return digest


_SERVICE = select(ServiceRow.id, ServiceRow.secret_marks, ServiceRow.created_revision).where(
    ServiceRow.organisation_id == bindparam("organisation"), ServiceRow.name == bindparam("name")
)
