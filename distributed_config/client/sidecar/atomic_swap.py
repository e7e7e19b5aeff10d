"""Replacing a file in one step; through links, as Kubernetes does, where that is wanted."""

import secrets
import shutil
import stat
import threading
from contextlib import suppress
from pathlib import Path

from distributed_config.client.files import sync_folder, write_draft

# The name that kubelet uses. Programs that watch mounted ConfigMaps watch for this link.
_DATA_LINK = "..data"
# Several targets may share a folder, and its link.
_link_lock = threading.Lock()
_RANDOM = "[0-9a-f]" * 12


def write_temporary(path: Path, data: bytes, mode: str) -> Path:
    """Write ``data`` to a new file beside ``path``, and return its path.

    It gets the owner of ``path`` and, unless ``mode`` has octal digits, its mode. Without either
    only this user may read it. Drafts that a killed process has left are removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f".{path.name}.{_RANDOM}"):
        abandoned.unlink(missing_ok=True)
    old_mode: int | None = None
    owner: tuple[int, int] | None = None
    with suppress(OSError):
        status = path.stat()
        old_mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
    return write_draft(path, data, int(mode, 8) if mode else old_mode, owner)


def swap(path: Path, draft: Path) -> None:
    """Make ``draft`` the file at ``path``, durably."""
    draft.replace(path)
    sync_folder(path.parent)


def swap_link(path: Path, draft: Path) -> None:
    """Make ``draft`` the file at ``path`` as Kubernetes does: in a new folder, through links.

    ``path`` is a link into ``..data``, and ``..data`` is a link to the folder, which is swapped. So
    all files of a folder that are written this way change in one step, and programs that watch for
    that see it.
    """
    with _link_lock:
        folder = path.parent
        fresh = folder / f"..{secrets.token_hex(6)}"
        fresh.mkdir()
        try:
            _fill(fresh, path, draft)
            _link(folder / _DATA_LINK, fresh.name)
        except BaseException:  # whatever ends it, also KeyboardInterrupt, leaves no folder
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        sync_folder(folder)
        _remove_old_folders(folder, fresh)
        # Last, and only once: from then on a swap of ``..data`` is all that it takes.
        if not is_linked(path):
            _link(path, f"{_DATA_LINK}/{path.name}")
            sync_folder(folder)


def is_linked(path: Path) -> bool:
    """Whether ``path`` is a link like those of ``swap_link``."""
    return path.is_symlink() and path.readlink() == Path(_DATA_LINK, path.name)


def _fill(fresh: Path, path: Path, draft: Path) -> None:
    """Put the draft into the new folder, with the other files of the current one."""
    link = path.parent / _DATA_LINK
    if link.is_symlink() and link.is_dir():
        for other in link.iterdir():
            if other.name != path.name:
                # The file itself and no copy: its owner and mode stay, and no data is written.
                (fresh / other.name).hardlink_to(other)
    draft.replace(fresh / path.name)
    sync_folder(fresh)


def _remove_old_folders(folder: Path, current: Path) -> None:
    """Remove the folder that was current, and whatever a killed process has left."""
    for old in folder.glob(f"..{_RANDOM}"):
        if old != current:
            shutil.rmtree(old, ignore_errors=True)
    for abandoned in folder.glob(f".{_DATA_LINK}.{_RANDOM}"):
        abandoned.unlink(missing_ok=True)


def _link(path: Path, to: str) -> None:
    """Make ``path`` a link in one step, whatever was there before."""
    # symlink() refuses an existing path, and after unlink() there would be nothing for a moment.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    draft.symlink_to(to)
    try:
        draft.replace(path)
    except BaseException:  # whatever ends it, also KeyboardInterrupt, leaves no draft
        draft.unlink(missing_ok=True)
        raise
