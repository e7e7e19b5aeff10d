"""The last good configuration on disk: what an application starts from when no server answers.

There is a file for each server and service: a checksum, one line of JSON that describes it, and
the document. It is written whole or not at all, only its owner may read it, and a link in its place
is never followed. A damaged file counts as missing.
"""

import hashlib
import json
import logging
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from distributed_config.client.files import write_atomically
from distributed_config.client.http.address import normalise_address
from distributed_config.client.http.queries import DEFAULT_ENVIRONMENT

# Four times the largest document that a server can be set to accept. Reading stops there: the file
# may have been replaced by an endless device.
_LARGEST = 64 << 20
_FORMAT = 2
# Seconds after which a draft has no writer any more: writing one takes a fraction of that.
_ABANDONED_AFTER = 60.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The last good configuration: its version, its entity tag, and the document as text."""

    version: int
    etag: str
    text: str


def default_folder() -> Path:
    """Return the folder that DISTCONF_SNAPSHOTS names, or one in the user's cache folder.

    Raises RuntimeError for a user without a home.
    """
    folder = os.environ.get("DISTCONF_SNAPSHOTS")
    if folder:
        return Path(folder)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "distconf"


class Snapshots:
    """The snapshots of one server in ``folder``."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url

    def path(self, service: str) -> Path:
        """Return the file of a service.

        The readable part of its name is for people; the hash tells apart services whose names
        differ only in characters that file names cannot have, and servers.
        """
        digest = hashlib.sha256(f"{self._url} {service}".encode()).hexdigest()[:16]
        return self._folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', service)[:80]}-{digest}.json"

    def save(self, service: str, snapshot: Snapshot) -> None:
        """Write ``snapshot``. A disk that is full or read-only is logged, and nothing more."""
        body = snapshot.text.encode()
        head = {
            "format": _FORMAT,
            "service": service,
            "url": self._url,
            "version": snapshot.version,
            "etag": snapshot.etag,
        }
        data = json.dumps(head).encode() + b"\n" + body
        data = hashlib.sha256(data).hexdigest().encode() + b"\n" + data
        try:
            self._folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
            write_atomically(self.path(service), data, 0o600)
        except (OSError, ValueError) as error:  # ValueError: no file can have such a name
            _logger.warning("the snapshot of %r cannot be saved: %s", service, error)

    def load(self, service: str) -> Snapshot | None:
        """Return the last snapshot; None if there is none that can be trusted."""
        path = self.path(service)
        try:
            _remove_abandoned_drafts(path)
            data = _read_own_file(path)
            return None if data is None else self._parse(data, service)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _logger.warning("the snapshot %s cannot be used: %s", path, error)
            return None

    def _parse(self, data: bytes, service: str) -> Snapshot:
        """Return the snapshot in ``data``. Raises ValueError and the like if it is not good."""
        checksum, _, rest = data.partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != checksum:
            raise ValueError("it is damaged")
        first, _, body = rest.partition(b"\n")
        head = json.loads(first)
        if (head["format"], head["service"], head["url"]) != (_FORMAT, service, self._url):
            raise ValueError("it belongs to another service or server")
        text = body.decode()
        if not isinstance(json.loads(text), dict):
            raise TypeError("it is not a configuration")
        version = head["version"]
        if not isinstance(version, int) or version < 0:
            raise ValueError("it has no version")
        return Snapshot(version, str(head["etag"]), text)


def name_snapshot(service: str, environment: str, resolved: bool, fill_defaults: bool) -> str:
    """Return the name of a document's snapshot: none is ever taken for another one's.

    The resolved document in the default environment has the name from before there were others.
    """
    parts = {
        f"environment={environment}": environment != DEFAULT_ENVIRONMENT,
        "stored": not resolved,
        "defaults": fill_defaults,
    }
    marks = "&".join(mark for mark, is_set in parts.items() if is_set)
    return f"{service}?{marks}" if marks else service


def open_snapshots(folder: str | Path | bool, url: str) -> Snapshots | None:
    """Return the snapshots of the server at ``url``; None if there are to be none.

    True stands for the default folder, and False for none. A user without a home has none either:
    that is logged, because a program should start there as well.
    """
    if folder is False:
        return None
    try:
        path = default_folder() if folder is True else Path(folder)
        return Snapshots(path, normalise_address(url))
    except RuntimeError as error:
        _logger.warning("there is no place for snapshots: %s", error)
        return None


def _remove_abandoned_drafts(path: Path) -> None:
    """Remove drafts of ``path`` whose writers were killed before they finished."""
    for draft in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 12}"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _ABANDONED_AFTER:
                draft.unlink()


def _read_own_file(path: Path) -> bytes | None:
    """Return the bytes of a file of this user's; None if it is missing. Raises for anything else.

    In a shared folder somebody else could put a configuration of theirs in its place.
    """
    # O_NONBLOCK: opening a pipe would wait for a writer.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        # Of the descriptor, and not of the path, which may be replaced in between.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise ValueError("it is not a file of this user's")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("others may write to it")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_LARGEST)
    finally:
        os.close(descriptor)
