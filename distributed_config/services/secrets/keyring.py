"""The keys in the server's key file, which the keys of secrets are encrypted under.

The file has one key in a line, ``id:base64`` of 32 bytes. The first encrypts, all decrypt. It is
made, for the server's user alone, when it is first needed.
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

_BYTES = 32
_NONCE = 12
_LINE = re.compile(r"([A-Za-z0-9_-]{1,40}):([A-Za-z0-9+/=_-]+)")

_logger = logging.getLogger(__name__)


class Keyring:
    """The key file at ``path``, and the data keys that were unwrapped with it; for all threads.

    Without ``may_make`` the file must be there: whoever says where it is has made it.
    """

    def __init__(self, path: Path, *, may_make: bool = True) -> None:
        self.path = path
        self._may_make = may_make
        self._lock = threading.Lock()
        self._masters: dict[str, bytes] = {}
        self._data: dict[str, bytes] = {}

    def load(self) -> None:
        """Reads the file, if there is one. Raises CannotStart if it is not a file of keys."""
        if not self._may_make and not self.path.exists():
            raise CannotStart(
                f"There is no key file at {self.path}, where DISTCONF_SECRET_KEY_FILE says. Put it "
                "there, or make one: `distconf secrets new-key NAME`, and chmod 600."
            )
        self._masters = _read(self.path) if self.path.exists() else {}

    def data_key(self, key_id: str, wrapped: Callable[[], str | None]) -> bytes:
        """The data key ``key_id``; ``wrapped`` finds what is stored of it, where that is needed.

        Raises SecretUnreadable.
        """
        found = self._data.get(key_id)
        if found is None:
            text = wrapped()
            if text is None:
                raise SecretUnreadable()
            found = self._data[key_id] = self.unwrap(key_id, text)
        return found

    def wrap(self, key_id: str, key: bytes) -> str:
        """``key``, encrypted under the file's first key. Raises SecretUnreadable without one."""
        self._look_again()
        for master, secret in self._masters.items():
            return f"1.{master}.{encrypt(secret, key, _about(key_id))}"
        raise SecretUnreadable()

    def unwrap(self, key_id: str, wrapped: str) -> bytes:
        """What ``wrap`` was given. Raises SecretUnreadable."""
        version, _, rest = wrapped.partition(".")
        master, _, data = rest.partition(".")
        if version != "1":
            raise SecretUnreadable()
        if master not in self._masters:
            self._look_again()
        if master not in self._masters:
            _logger.error("the key file has no key %r, which secrets were written under", master)
            raise SecretUnreadable()
        return decrypt(self._masters[master], data, _about(key_id))

    def ensure(self) -> None:
        """Makes the file, with one key, unless it is there. Raises SecretUnreadable."""
        self._look_again()
        if not self._masters:
            try:
                self.add()
            except CannotStart as error:
                _logger.error("%s", error.detail)
                raise SecretUnreadable() from None

    def add(self) -> str:
        """Puts a new key before the others of the file; its id. Raises CannotStart if it cannot."""
        with self._lock:
            self.load()
            name = f"k{secrets.token_hex(4)}"
            before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            _write(self.path, f"{name}:{new_key()}\n{before}")
            self.load()
        return name

    def _look_again(self) -> None:
        """The file may have got another key since. A broken one is told of in the log."""
        try:
            self.load()
        except CannotStart as error:
            _logger.error("%s", error.detail)
            raise SecretUnreadable() from None


def from_settings(settings: Settings) -> Keyring:
    """The keyring that ``settings`` name, read. Raises CannotStart."""
    made = Keyring(settings.secret_keys, may_make=settings.secret_key_file == Path())
    made.load()
    return made


def from_connection(connection: Connection) -> Keyring:
    """The keyring that ``connection`` came with. Raises SecretUnreadable if it has none."""
    found: Keyring | None = connection.get_execution_options().get(OPTION)
    if found is None:
        raise SecretUnreadable()
    return found


def new_key() -> str:
    """32 random bytes in base64, as a line of the file has them."""
    return base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def encrypt(key: bytes, data: bytes, about: bytes) -> str:
    """``data`` under AES-256-GCM with a new nonce, as text; ``about`` is bound to it."""
    nonce = secrets.token_bytes(_NONCE)
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, data, about)).decode()


def decrypt(key: bytes, text: str, about: bytes) -> bytes:
    """What ``encrypt`` was given. Raises SecretUnreadable if anything of it is another."""
    try:
        data = base64.b64decode(text, altchars=b"-_", validate=True)
        return AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], about)
    except (InvalidTag, ValueError):
        raise SecretUnreadable() from None


def _about(key_id: str) -> bytes:
    return f"distconf data key {key_id}".encode()


def _read(path: Path) -> dict[str, bytes]:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise CannotStart(f"The key file {path} cannot be read; let the server's user.") from None
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise CannotStart(f"Others than its owner may use the key file {path}: chmod 600 {path}.")
    found: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        key = None if match is None else _decoded(match[2])
        if match is None or key is None or match[1] in found:
            raise CannotStart(
                f"Line {number} of the key file {path} is not `id:base64` of 32 bytes, each id "
                "once; `distconf secrets new-key` prints one that is."
            )
        found[match[1]] = key
    if not found:
        raise CannotStart(f"The key file {path} has no key; put back the one that was there.")
    return found


def _decoded(text: str) -> bytes | None:
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == _BYTES else None


def _write(path: Path, text: str) -> None:
    """Replaces the file in one step, on the disk before anything rests on it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        raise CannotStart(
            f"The key file {path} cannot be written ({error.strerror}). Put a line of "
            "`distconf secrets new-key` first in it yourself, and give --added."
        ) from None
