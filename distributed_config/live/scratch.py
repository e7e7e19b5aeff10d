"""Scratch folders that live as long as the server that created them.

A server that is killed leaves its folder behind, usually in memory (``/dev/shm``). The next one
that starts removes it. A folder is in use for as long as somebody holds the lock on a file in it;
the workers inherit the lock, so a folder is not taken away from those who outlive their master.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = "distconf-"
_OWNER = "owner"


def make(parent: str | None) -> Path:
    """Create a folder in ``parent`` (None: the system's temporary folder), locked until we end."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    # The lock file gets its name once it is locked: before that no other server can find it, and
    # take the folder for an abandoned one.
    draft = folder / f"{_OWNER}.new"
    descriptor = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    # The descriptor stays open on purpose: the lock ends with this process and its workers.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    draft.rename(folder / _OWNER)
    return folder


def sweep(parent: Path) -> None:
    """Remove the folders in ``parent`` whose servers are gone."""
    for folder in parent.glob(f"{_PREFIX}*"):
        # Another server may be removing it at this moment, or it belongs to another user.
        with suppress(OSError):
            if _is_ours(folder) and _is_abandoned(folder / _OWNER):
                shutil.rmtree(folder)


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder, not a link to one, that nobody but this user can have filled."""
    # In a shared /dev/shm another user could plant a link, and have us delete what it leads to.
    status = folder.lstat()
    return folder.is_dir() and not folder.is_symlink() and status.st_uid == os.geteuid()


def _is_abandoned(owner: Path) -> bool:
    """Whether nobody holds the lock any more. Raises OSError if there is no such file."""
    descriptor = os.open(owner, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
