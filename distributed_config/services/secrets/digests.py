"""Digests as they are shown to those who may not see all of what was digested.

The SHA-256 of a short secret confirms a guess at it. So whoever is shown a document without its
secrets is shown a digest under a key of the database, bound to the one service: it tells versions
of the service apart, and nothing else. What cannot be keyed, because the key file is gone, is
told by its place alone.
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

_UNKNOWN = "0" * 64


class Digests:
    """Makes digests that tell nothing, for as long as one connection is read from."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_version(self, service_id: int, number: int, digest: str) -> str:
        """The digest of a version of a service that is there."""
        place = ("version", service_id)
        # The number is no part of a keyed digest: equal versions of a service stay equal.
        return self._keyed((*place, digest)) or _plain((*place, number))

    def of_past(self, revision: int, position: int, digest: str) -> str:
        """The digest in a change of a service that is gone.

        Nobody knows any more whether anything in it was secret; where nothing ever was, in the
        whole database, it stays as it is.
        """
        if not self.are_needed:
            return digest
        place = ("past", revision, position)
        return self._keyed((*place, digest)) or _plain(place)

    def of_entry(self, entry_id: int, digest: str) -> str:
        """A hash or a digest in the audit log, which rest on digests of documents."""
        if not self.are_needed:
            return digest
        return self._keyed(("audit", entry_id, digest)) or _UNKNOWN

    def is_of_entry(self, entry_id: int, digest: str, shown: str) -> bool:
        """Whether ``shown`` is how somebody, whatever they may read, is shown ``digest``."""
        return shown != _UNKNOWN and shown in {digest, self.of_entry(entry_id, digest)}

    @cached_property
    def are_needed(self) -> bool:
        """Whether anything in the database is, or was, secret."""
        return secrets.oldest_key(self._connection) is not None

    @cached_property
    def _key(self) -> bytes | None:
        try:
            return secrets.digest_key(self._connection)
        except SecretUnreadable:
            return None

    def _keyed(self, fields: tuple[HashField, ...]) -> str | None:
        if self._key is None:
            return None
        return hmac.new(self._key, length_prefixed(fields), hashlib.sha256).hexdigest()


def _plain(fields: tuple[HashField, ...]) -> str:
    return hashlib.sha256(length_prefixed(fields)).hexdigest()


def without_secrets(connection: Connection, changes: Sequence[Change]) -> list[Change]:
    """``changes`` as they are told to those who may not read secrets."""
    digests = Digests(connection)
    lives: dict[tuple[int, str], Any] = {}
    told = []
    for change in changes:
        if change.service is None or change.digest is None:
            told.append(change)
            continue
        place = (change.organisation_id, change.service)
        if place not in lives:
            # One at a time: most pages are of one service, and news must not wait.
            asked = {"organisation": place[0], "name": place[1]}
            lives[place] = connection.execute(_LIFE, asked).one_or_none()
        told.append(replace(change, digest=_told(digests, lives[place], change, change.digest)))
    return told


def _told(digests: Digests, life: Any, change: Change, digest: str) -> str:
    """The digest in a change of the service ``life``, or of an earlier one of the same name."""
    if life is None or change.revision < life.created_revision:
        return digests.of_past(change.revision, change.position, digest)
    if life.secret_marks and change.number is not None:
        return digests.of_version(life.id, change.number, digest)
    return digest


_LIFE = select(ServiceRow.id, ServiceRow.secret_marks, ServiceRow.created_revision).where(
    ServiceRow.organisation_id == bindparam("organisation"), ServiceRow.name == bindparam("name")
)
