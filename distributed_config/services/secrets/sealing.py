"""Secrets encrypted at rest, each bound to its place; and digests that tell nothing."""

import hashlib
import hmac
import json
import secrets
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from distributed_config.errors import SecretUnreadable
from distributed_config.models import SecretKeyRow
from distributed_config.services.secrets.keyring import decrypt, encrypt, from_connection
from distributed_config.services.secrets.values import (
    SEALED,
    DocumentKey,
    Path,
    pointer_of,
    to_json,
)
from distributed_config.wire import SECRET_KEY


def _about(key_id: str, home: DocumentKey, path: Path) -> bytes:
    """What a seal is bound to."""
    place = ["distconf secret 1", key_id, home.organisation, home.name, pointer_of(path)]
    return json.dumps(place).encode()


def seal(under: tuple[str, bytes], home: DocumentKey, path: Path, value: Any) -> dict[str, str]:
    key_id, key = under
    text = encrypt(key, to_json(value).encode(), _about(key_id, home, path))
    return {SECRET_KEY: f"1.{key_id}.{text}"}


def open_sealed(
    connection: Connection, home: DocumentKey, path: Path, sealed: dict[str, str]
) -> Any:
    match = SEALED.fullmatch(sealed[SECRET_KEY])
    if match is None:
        raise SecretUnreadable()
    key = _key(connection, match[1])
    return json.loads(decrypt(key, match[2], _about(match[1], home, path)))


def _key(connection: Connection, key_id: str) -> bytes:
    def wrapped() -> str | None:
        asked = {"which": key_id}
        return connection.execute(_WRAPPED, asked).scalar_one_or_none()

    return from_connection(connection).data_key(key_id, wrapped)


def newest_key(connection: Connection, now: int) -> tuple[str, bytes]:
    """The data key that seals; the first one is made when it is needed."""
    key_id = connection.execute(_NEWEST).scalar_one_or_none()
    if key_id is None:
        # Writers take turns: no other makes one at the same time.
        from_connection(connection).ensure()
        key_id = create_data_key(connection, now)
    return key_id, _key(connection, key_id)


def _prepare_key(connection: Connection, now: int) -> None:
    """Makes the first data key before there is anything to seal.

    What was stored before it was marked is masked from now on, and its digest has to be keyed.
    """
    # Without a key file that can be written, the first secret that is given says so.
    with suppress(SecretUnreadable):
        if oldest_key(connection) is None:
            from_connection(connection).ensure()
            create_data_key(connection, now)


def create_data_key(connection: Connection, now: int) -> str:
    """Makes the data key that seals from here on; its id."""
    key_id = secrets.token_hex(8)
    wrapped = from_connection(connection).wrap(key_id, secrets.token_bytes(32))
    connection.execute(insert(SecretKeyRow), {"id": key_id, "wrapped": wrapped, "created_at": now})
    return key_id


def keys(connection: Connection) -> list[str]:
    """The ids of all data keys, oldest first."""
    return list(connection.scalars(select(SecretKeyRow.id).order_by(SecretKeyRow.number)))


def unreadable_keys(connection: Connection) -> list[str]:
    """The ids of the data keys that the key file does not open, oldest first."""
    return [key_id for key_id in keys(connection) if not _opens(connection, key_id)]


def _opens(connection: Connection, key_id: str) -> bool:
    try:
        _key(connection, key_id)
    except SecretUnreadable:
        return False
    return True


def rewrap(connection: Connection, key_id: str) -> None:
    """Encrypts a data key anew, under the first key of the file. What it sealed stays as it is."""
    old = connection.execute(_WRAPPED, {"which": key_id}).scalar_one()
    keyring = from_connection(connection)
    new = keyring.wrap(key_id, keyring.unwrap(key_id, old))
    connection.execute(_REWRAP, {"which": key_id, "to": new})


def oldest_key(connection: Connection) -> str | None:
    """The id of the first data key; None: there never was a secret."""
    found: str | None = connection.execute(_OLDEST).scalar_one_or_none()
    return found


def digest_key(connection: Connection) -> bytes | None:
    """The key for digests that tell nothing; None: there is no data key yet.

    It is made of the oldest data key, which never changes: entity tags have to outlive a rotation.
    Raises SecretUnreadable.
    """
    key_id = oldest_key(connection)
    if key_id is None:
        return None
    return hmac.digest(_key(connection, key_id), b"distconf digests", "sha256")


def fingerprint(connection: Connection, digest: str) -> str:
    """The digest of a request as it may be stored.

    What has a secret in it could be guessed from its plain digest. So where there are secrets it
    is keyed.
    """
    key_id = connection.execute(_NEWEST).scalar_one_or_none()
    return digest if key_id is None else _keyed(connection, key_id, digest)


def is_fingerprint(connection: Connection, digest: str, kept: str) -> bool:
    """Whether ``kept`` is the fingerprint of ``digest``."""
    key_id, separator, _ = kept.partition(".")
    wanted = _keyed(connection, key_id, digest) if separator else digest
    return hmac.compare_digest(wanted, kept)


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
