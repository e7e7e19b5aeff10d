"""Folders that live as long as the server that made them.

A server that is killed leaves its folder behind, in memory as a rule. The next one that starts
removes it. A folder is somebody's for as long as they hold the lock on a file in it; the workers
hold it too, so it is not taken away from those who outlive their master.
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
    """A new folder in ``parent`` (None: where temporary files are), locked by this process."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    # It gets its name when it is locked: nobody can find it before that and take it for left.
    draft = folder / f"{_OWNER}.new"
    descriptor = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # held until this process and its workers have ended
    draft.rename(folder / _OWNER)
    return folder


def sweep(parent: Path) -> None:
    """Removes the folders in ``parent`` whose servers are gone."""
    for folder in parent.glob(f"{_PREFIX}*"):
        # Somebody else removes theirs at this moment, or it is another user's after all.
        with suppress(OSError):
            if _is_ours(folder) and _is_left(folder / _OWNER):
                shutil.rmtree(folder)


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder, not a link to one, that nobody but this user can have filled."""
    found = folder.lstat()
    return folder.is_dir() and not folder.is_symlink() and found.st_uid == os.geteuid()


def _is_left(owner: Path) -> bool:
    """Whether nobody holds the lock any more. Raises OSError if there is no such file."""
    descriptor = os.open(owner, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
