"""The last good configuration on disk: what an application starts from when no server answers.

A file for each server and service: a checksum, one line of JSON that says what it is, and the
document. It is written whole or not at all, only its owner may read it, and a link in its
place is never followed. What is damaged counts as not there.
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

_LARGEST = 64 << 20
_FORMAT = 2
_UNFINISHED = 60.0
"""Seconds after which a draft is nobody's any more."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A configuration as it was last good."""

    version: int
    etag: str
    text: str


def default_folder() -> Path:
    """Where snapshots are kept: DISTCONF_SNAPSHOTS, or the user's cache folder."""
    named = os.environ.get("DISTCONF_SNAPSHOTS")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "distconf"


class Snapshots:
    """The snapshots of one server in ``folder``."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url

    def path(self, service: str) -> Path:
        """The file of a service."""
        told = hashlib.sha256(f"{self._url} {service}".encode()).hexdigest()[:16]
        return self._folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', service)[:80]}-{told}.json"

    def save(self, service: str, snapshot: Snapshot) -> None:
        """Keeps ``snapshot``. A disk that is full, or read-only, is logged and nothing more."""
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
        except (OSError, ValueError) as error:  # ValueError: no path can be written so
            _logger.warning("the snapshot of %r cannot be kept: %s", service, error)

    def load(self, service: str) -> Snapshot | None:
        """The last snapshot; None if there is none that can be trusted."""
        path = self.path(service)
        try:
            _tidy(path)
            data = _read_own(path)
            if data is None:
                return None
            return self._checked(data, service)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _logger.warning("the snapshot %s cannot be used: %s", path, error)
            return None

    def _checked(self, data: bytes, service: str) -> Snapshot:
        """The snapshot in ``data``. Raises ValueError and the like if it cannot be trusted."""
        told, _, rest = data.partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != told:
            raise ValueError("it is damaged")
        first, _, body = rest.partition(b"\n")
        head = json.loads(first)
        if (head["format"], head["service"], head["url"]) != (_FORMAT, service, self._url):
            raise ValueError("it is another's")
        text = body.decode()
        if not isinstance(json.loads(text), dict):
            raise TypeError("it is no configuration")
        version = head["version"]
        if not isinstance(version, int) or version < 0:
            raise ValueError("it has no version")
        return Snapshot(version, str(head["etag"]), text)


def _tidy(path: Path) -> None:
    """Removes drafts of ``path`` that were never finished: whoever wrote them was killed."""
    for draft in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 12}"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _UNFINISHED:
                draft.unlink()


def _read_own(path: Path) -> bytes | None:
    """The bytes of a file of our own; None if it is not there. Raises if it is anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise ValueError("it is not a file of our own")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("others may write to it")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_LARGEST)
    finally:
        os.close(descriptor)
