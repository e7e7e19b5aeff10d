"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(
    path: Path, data: bytes, mode: int, owner: tuple[int, int] | None = None
) -> None:
    """Puts ``data`` at ``path``, with ``mode`` and, where that is allowed, ``owner``.

    Who reads meanwhile finds the old file or the new one, also after a crash at any point. A link
    at ``path`` is replaced, and not followed.
    """
    draft = draft_of(path, data, mode, owner)
    try:
        draft.replace(path)
    except BaseException:  # nothing is left behind, whatever ends it
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def draft_of(
    path: Path, data: bytes, mode: int | None, owner: tuple[int, int] | None = None
) -> Path:
    """A new file beside ``path`` that holds ``data``, on the disk; nobody else knows its name.

    Without a ``mode`` it is 0600, or what the umask leaves of that.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(descriptor, mode)
            if owner is not None:
                # Only root can give files away; whoever else runs this keeps its own.
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, *owner)
            os.fsync(descriptor)
    except BaseException:  # nothing is left behind, whatever ends it
        draft.unlink(missing_ok=True)
        raise
    return draft


def sync_folder(folder: Path) -> None:
    """Makes sure that the folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
