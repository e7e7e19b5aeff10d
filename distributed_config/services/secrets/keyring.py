"""The keyring: the master keys in the server's key file, which wrap the data keys of secrets.

The file has one key in each line, ``id:base64`` of 32 bytes. The first one encrypts, all of them
decrypt. It is created, readable by the server's user alone, when it is first needed.
"""

import base64
import binascii
import logging
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from distributed_config.errors import CannotStart, SecretUnreadable
from distributed_config.settings import Settings

OPTION = "keyring"
"""The execution option of an engine, and its connections, that holds their keyring."""

# AES-256, and the nonce that GCM is defined for (NIST SP 800-38D).
_BYTES = 32
_NONCE = 12
_LINE = re.compile(r"([A-Za-z0-9_-]{1,40}):([A-Za-z0-9+/=_-]+)")

_logger = logging.getLogger(__name__)


class Keyring:
    """The key file at ``path``, and the data keys unwrapped with it so far. It is thread-safe.

    ``may_create`` False means that the file must exist: an operator who names one has written it,
    and a new one in its place would hide that it is missing.
    """

    def __init__(self, path: Path, *, may_create: bool = True) -> None:
        self.path = path
        self._may_create = may_create
        self._lock = threading.Lock()
        self._masters: dict[str, bytes] = {}
        self._data: dict[str, bytes] = {}

    def load(self) -> None:
        """Read the file, if there is one. Raises CannotStart if it is not a file of keys."""
        if not self._may_create and not self.path.exists():
            raise CannotStart(
                f"There is no key file at {self.path}, which DISTCONF_SECRET_KEY_FILE names. Put "
                "it there, or create one: `distconf secrets new-key NAME`, and chmod 600."
            )
        # A server without secrets needs no key file, and starts without one.
        self._masters = _read(self.path) if self.path.exists() else {}

    def data_key(self, key_id: str, wrapped: Callable[[], str | None]) -> bytes:
        """Return the data key ``key_id``. Raises SecretUnreadable.

        ``wrapped`` reads the stored form of it, and is called only the first time.
        """
        found = self._data.get(key_id)
        if found is None:
            text = wrapped()
            if text is None:
                raise SecretUnreadable()
            # Two threads may unwrap the same key at once; both get the same, so this needs no lock.
            found = self._data[key_id] = self.unwrap(key_id, text)
        return found

    def wrap(self, key_id: str, key: bytes) -> str:
        """Return ``key`` encrypted under the first master key. Raises SecretUnreadable."""
        self._reload()
        # The first key of the file, because dictionaries keep the order of its lines.
        for master, secret in self._masters.items():
            return f"1.{master}.{encrypt(secret, key, _associated_data(key_id))}"
        raise SecretUnreadable()

    def unwrap(self, key_id: str, wrapped: str) -> bytes:
        """Return the key that ``wrap`` encrypted. Raises SecretUnreadable."""
        version, _, rest = wrapped.partition(".")
        master, _, data = rest.partition(".")
        if version != "1":
            raise SecretUnreadable()
        if master not in self._masters:
            # An operator may have added it while the server ran.
            self._reload()
        if master not in self._masters:
            # The id is no secret, and tells the operator which file to look for.
            _logger.error("the key file has no key %r, which secrets were written under", master)
            raise SecretUnreadable()
        return decrypt(self._masters[master], data, _associated_data(key_id))

    def create_if_missing(self) -> None:
        """Create the file with one key, unless it exists. Raises SecretUnreadable."""
        self._reload()
        if not self._masters:
            try:
                self.add()
            except CannotStart as error:
                _logger.error("%s", error.detail)
                raise SecretUnreadable() from None

    def add(self) -> str:
        """Put a new key before the others in the file; return its id. Raises CannotStart."""
        # Two first secrets at once must not each create a file, of which one would be lost.
        with self._lock:
            self.load()
            name = f"k{secrets.token_hex(4)}"
            before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            # Old keys stay: data keys that were wrapped under them must still open.
            _write(self.path, f"{name}:{new_key()}\n{before}")
            self.load()
        return name

    def _reload(self) -> None:
        """Read the file again. The log says what is wrong with a broken one: the client may not."""
        try:
            self.load()
        except CannotStart as error:
            _logger.error("%s", error.detail)
            raise SecretUnreadable() from None


def from_settings(settings: Settings) -> Keyring:
    """Return the keyring that ``settings`` name, with its file read. Raises CannotStart."""
    keyring = Keyring(settings.secret_keys, may_create=settings.secret_key_file == Path())
    keyring.load()
    return keyring


def from_connection(connection: Connection) -> Keyring:
    """Return the keyring of ``connection``'s engine. Raises SecretUnreadable if it has none."""
    found: Keyring | None = connection.get_execution_options().get(OPTION)
    if found is None:
        raise SecretUnreadable()
    return found


def new_key() -> str:
    """Return 32 random bytes in base64, as in a line of the file."""
    return base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def encrypt(key: bytes, data: bytes, associated_data: bytes) -> str:
    """Return ``data`` encrypted with AES-256-GCM and a new nonce, in URL-safe base64.

    ``associated_data`` is authenticated, not stored: decryption needs the same again.
    """
    # Random nonces are safe for 2 ** 32 messages under one key; each data key seals far fewer.
    nonce = secrets.token_bytes(_NONCE)
    return base64.urlsafe_b64encode(
        nonce + AESGCM(key).encrypt(nonce, data, associated_data)
    ).decode()


def decrypt(key: bytes, text: str, associated_data: bytes) -> bytes:
    """Return the data that ``encrypt`` encrypted. Raises SecretUnreadable if anything differs."""
    try:
        data = base64.b64decode(text, altchars=b"-_", validate=True)
        return AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], associated_data)
    except (InvalidTag, ValueError):
        raise SecretUnreadable() from None


def _associated_data(key_id: str) -> bytes:
    return f"distconf data key {key_id}".encode()


def _read(path: Path) -> dict[str, bytes]:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise CannotStart(
            f"The key file {path} cannot be read; allow it to the server's user."
        ) from None
    # A key that others can read protects nothing, so the server refuses to start with it.
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise CannotStart(
            f"The key file {path} is open to others than its owner: chmod 600 {path}."
        )
    found: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        key = None if match is None else _decode(match[2])
        if match is None or key is None or match[1] in found:
            raise CannotStart(
                f"Line {number} of the key file {path} is not `id:base64` of 32 bytes, with an id "
                "that no other line has; `distconf secrets new-key` prints one that is."
            )
        found[match[1]] = key
    # An empty file is more likely a failed copy than a wish for a new key.
    if not found:
        raise CannotStart(f"The key file {path} has no key; put back the one that was there.")
    return found


def _decode(text: str) -> bytes | None:
    try:
        # Operators generate keys with whatever is at hand: both alphabets of RFC 4648 are fine.
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == _BYTES else None


def _write(path: Path, text: str) -> None:
    """Replace the file atomically, and on the disk before anything is encrypted under its keys."""
    # In the same folder, because a rename is atomic only inside one file system.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        # The rename itself is on disk only after the folder is.
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        raise CannotStart(
            f"The key file {path} cannot be written ({error.strerror}). Put a line of "
            "`distconf secrets new-key` first in it yourself, and give --added."
        ) from None
