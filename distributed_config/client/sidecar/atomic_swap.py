"""Putting a file in place in one step; as Kubernetes does, behind links, where that is wanted."""

import secrets
import shutil
import stat
import threading
from contextlib import suppress
from pathlib import Path

from distributed_config.client.files import draft_of, sync_folder

_LINKED = "..data"
_LINKS = threading.Lock()  # several targets may share a folder, and its link
_RANDOM = "[0-9a-f]" * 12


def write_temporary(path: Path, data: bytes, mode: str) -> Path:
    """A new file beside ``path`` that holds ``data``, with the mode and the owner of ``path``.

    ``mode``: octal digits that go before. Without either it is for its user alone. Drafts that one
    that was killed has left are removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.{_RANDOM}"):
        left.unlink(missing_ok=True)
    kept: int | None = None
    owner: tuple[int, int] | None = None
    with suppress(OSError):
        found = path.stat()
        kept, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    return draft_of(path, data, int(mode, 8) if mode else kept, owner)


def swap(path: Path, draft: Path) -> None:
    """Makes ``draft`` the file at ``path``."""
    draft.replace(path)
    sync_folder(path.parent)


def swap_link(path: Path, draft: Path) -> None:
    """Puts the file in place as Kubernetes does: in a new folder, behind a link that is swapped.

    ``path`` is a link into ``..data``, and ``..data`` one to the folder; so all files of a folder
    that are kept this way change in one step, and programs that watch for that see it.
    """
    with _LINKS:
        folder = path.parent
        fresh = folder / f"..{secrets.token_hex(6)}"
        fresh.mkdir()
        try:
            _fill(fresh, path, draft)
            _link(folder / _LINKED, fresh.name)
        except BaseException:  # nothing is left behind, whatever ends it
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        sync_folder(folder)
        _tidy(folder, fresh)
        if not is_linked(path):
            _link(path, f"{_LINKED}/{path.name}")
            sync_folder(folder)


def is_linked(path: Path) -> bool:
    """Whether ``path`` is a link as ``swap_link`` makes it."""
    return path.is_symlink() and path.readlink() == Path(_LINKED, path.name)


def _fill(fresh: Path, path: Path, draft: Path) -> None:
    """Gives the new folder the draft, and the other files of the folder that is current."""
    link = path.parent / _LINKED
    if link.is_symlink() and link.is_dir():
        for other in link.iterdir():
            if other.name != path.name:
                (fresh / other.name).hardlink_to(other)  # the same file, with all its rights
    draft.replace(fresh / path.name)
    sync_folder(fresh)


def _tidy(folder: Path, current: Path) -> None:
    """Removes what was before, and what one that was killed left behind."""
    for left in folder.glob(f"..{_RANDOM}"):
        if left != current:
            shutil.rmtree(left, ignore_errors=True)
    for left in folder.glob(f".{_LINKED}.{_RANDOM}"):
        left.unlink(missing_ok=True)


def _link(path: Path, to: str) -> None:
    """Makes ``path`` a link in one step, whatever was there before."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    draft.symlink_to(to)
    try:
        draft.replace(path)
    except BaseException:  # nothing is left behind, whatever ends it
        draft.unlink(missing_ok=True)
        raise
