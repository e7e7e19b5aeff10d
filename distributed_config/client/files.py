"""Files that are written whole or not at all."""

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(
    path: Path, data: bytes, mode: int, owner: tuple[int, int] | None = None
) -> None:
    """Write ``data`` to ``path``, with ``mode`` and, where that is allowed, ``owner``.

    A reader finds the old file or the new one, also after a crash at any point. A link at ``path``
    is replaced, and not followed.
    """
    draft = write_draft(path, data, mode, owner)
    try:
        draft.replace(path)
    except BaseException:  # whatever ends it, also KeyboardInterrupt, leaves no draft
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_draft(
    path: Path, data: bytes, mode: int | None, owner: tuple[int, int] | None = None
) -> Path:
    """Write ``data`` to a new file beside ``path``, down to the disk, and return its path.

    Nobody can guess its name. Its mode is ``mode``; None means 0600, less what the umask takes.
    """
    # Beside the target, because a rename is atomic only inside one file system.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    # O_EXCL and O_NOFOLLOW: in a folder such as /tmp others may have put a link in our way.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(descriptor, mode)
            if owner is not None:
                # Only root may give files away; for everybody else the file stays their own.
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, *owner)
            # Before the rename: otherwise a power cut may leave an empty file in the new place.
            os.fsync(descriptor)
    except BaseException:  # whatever ends it, also KeyboardInterrupt, leaves no draft
        draft.unlink(missing_ok=True)
        raise
    return draft


def sync_folder(folder: Path) -> None:
    """Make renames and new entries of ``folder`` durable; fsync of a file does not do that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
