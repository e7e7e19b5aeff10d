"""Sealing: secrets are encrypted at rest, each bound to its place, and digests are keyed.

A secret is encrypted under a data key. Data keys are stored too, wrapped by a master key of the key
file: so a master key can be replaced without touching any document.
"""

import hashlib
import hmac
import json
import secrets
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from distributed_config.errors import SecretUnreadable
from distributed_config.models import SecretKeyRow
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.secrets.keyring import decrypt, encrypt, from_connection
from distributed_config.services.secrets.values import (
    SEALED,
    DocumentKey,
    Path,
    pointer_of,
    to_json,
)
from distributed_config.wire import SECRET_KEY


def _associated_data(key_id: str, document_key: DocumentKey, path: Path) -> bytes:
    """Return what a seal is bound to: a sealed value that is copied elsewhere does not open."""
    place = [document_key.organisation, document_key.name, pointer_of(path)]
    # What was sealed before there were other environments has none in it.
    if document_key.environment != DEFAULT_ENVIRONMENT:
        place.append(document_key.environment)
    return json.dumps(["distconf secret 1", key_id, *place]).encode()


def seal(
    data_key: tuple[str, bytes], document_key: DocumentKey, path: Path, value: Any
) -> dict[str, str]:
    """Return ``value`` sealed for its place, as it stands in the stored document."""
    key_id, key = data_key
    # Any JSON value can be a secret, so it is encrypted as JSON and not as text.
    text = encrypt(key, to_json(value).encode(), _associated_data(key_id, document_key, path))
    return {SECRET_KEY: f"1.{key_id}.{text}"}


def open_sealed(
    connection: Connection, document_key: DocumentKey, path: Path, sealed: dict[str, str]
) -> Any:
    """Return the secret in a sealed value. Raises SecretUnreadable."""
    match = SEALED.fullmatch(sealed[SECRET_KEY])
    if match is None:
        raise SecretUnreadable()
    key = _key(connection, match[1])
    return json.loads(decrypt(key, match[2], _associated_data(match[1], document_key, path)))


def _key(connection: Connection, key_id: str) -> bytes:
    def wrapped() -> str | None:
        return connection.execute(_WRAPPED, {"which": key_id}).scalar_one_or_none()

    # A function, so that the database is only read for a data key that is not in memory yet.
    return from_connection(connection).data_key(key_id, wrapped)


def newest_key(connection: Connection, now: int) -> tuple[str, bytes]:
    """Return the id and the data key that seals now; the first one is created when it is needed."""
    key_id = connection.execute(_NEWEST).scalar_one_or_none()
    if key_id is None:
        # Under the write lock, so no other writer creates one at the same time.
        from_connection(connection).create_if_missing()
        key_id = create_data_key(connection, now)
    return key_id, _key(connection, key_id)


def prepare_key(connection: Connection, now: int) -> None:
    """Create the first data key when a place is marked, before there is anything to seal.

    Documents that are stored already are masked from now on, and their digests have to be keyed.
    """
    # If the key file cannot be written, the first write of a secret will say so.
    with suppress(SecretUnreadable):
        if oldest_key(connection) is None:
            from_connection(connection).create_if_missing()
            create_data_key(connection, now)


def create_data_key(connection: Connection, now: int) -> str:
    """Create the data key that seals from now on, and return its id. Raises SecretUnreadable."""
    key_id = secrets.token_hex(8)
    # Random and not derived from the master key: rotation then re-wraps data keys and leaves all
    # documents alone (decision 18).
    wrapped = from_connection(connection).wrap(key_id, secrets.token_bytes(32))
    connection.execute(insert(SecretKeyRow), {"id": key_id, "wrapped": wrapped, "created_at": now})
    return key_id


def keys(connection: Connection) -> list[str]:
    """Return the ids of all data keys, oldest first."""
    return list(connection.scalars(select(SecretKeyRow.id).order_by(SecretKeyRow.number)))


def unreadable_keys(connection: Connection) -> list[str]:
    """Return the ids of the data keys that the key file does not open, oldest first."""
    return [key_id for key_id in keys(connection) if not _opens(connection, key_id)]


def _opens(connection: Connection, key_id: str) -> bool:
    try:
        _key(connection, key_id)
    except SecretUnreadable:
        return False
    return True


def rewrap(connection: Connection, key_id: str) -> None:
    """Wrap a data key again, under the first master key. What it sealed stays as it is."""
    old = connection.execute(_WRAPPED, {"which": key_id}).scalar_one()
    keyring = from_connection(connection)
    new = keyring.wrap(key_id, keyring.unwrap(key_id, old))
    connection.execute(_REWRAP, {"which": key_id, "to": new})


def oldest_key(connection: Connection) -> str | None:
    """Return the id of the first data key; None if there never was a secret."""
    found: str | None = connection.execute(_OLDEST).scalar_one_or_none()
    return found


def digest_key(connection: Connection) -> bytes | None:
    """Return the key for keyed digests; None if there is no data key yet.

    It is derived from the oldest data key, so that entity tags outlive a rotation. Raises
    SecretUnreadable.
    """
    key_id = oldest_key(connection)
    if key_id is None:
        return None
    # A key for each purpose: no digest must ever equal one that was made for another use.
    return hmac.digest(_key(connection, key_id), b"distconf digests", "sha256")


def fingerprint(connection: Connection, digest: str) -> str:
    """Return the digest of a request as it may be stored.

    It is keyed once there are secrets: a short secret in the request could be guessed from a plain
    digest.
    """
    key_id = connection.execute(_NEWEST).scalar_one_or_none()
    return digest if key_id is None else _keyed(connection, key_id, digest)


def is_fingerprint(connection: Connection, digest: str, stored: str) -> bool:
    """Whether ``stored`` is the fingerprint of ``digest``, under whichever key it was made."""
    # The stored one names its key, so requests from before a rotation are recognised.
    key_id, separator, _ = stored.partition(".")
    expected = _keyed(connection, key_id, digest) if separator else digest
    # In constant time: a caller may choose what is compared.
    return hmac.compare_digest(expected, stored)


def _keyed(connection: Connection, key_id: str, digest: str) -> str:
    key = hmac.digest(_key(connection, key_id), b"distconf fingerprints", "sha256")
    return f"{key_id}.{hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()}"


_NEWEST = select(SecretKeyRow.id).order_by(SecretKeyRow.number.desc()).limit(1)
_OLDEST = select(SecretKeyRow.id).order_by(SecretKeyRow.number).limit(1)
_WRAPPED = select(SecretKeyRow.wrapped).where(SecretKeyRow.id == bindparam("which"))
_REWRAP = (
    update(SecretKeyRow)
    .where(SecretKeyRow.id == bindparam("which"))
    .values(wrapped=bindparam("to"))
)
