"""Files that the commands read, and those that they write: whole or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from distributed_config import formats
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.models.backup import named


def read_value(file: Path) -> Any:
    """Return what ``file`` holds, in the format that its extension names.

    Raises Invalid for an extension of no readable format, or content that is not in the format.
    """
    format_ = formats.by_extension(file.name)
    if format_ is None or format_.read is None:
        message = "Its ending names no format that can be read: .json, .yaml or .toml."
        raise Invalid.from_problems([Problem("", message, "format", str(file))])
    try:
        # Without a limit: whoever runs a command has the machine to fill anyway.
        return formats.read(format_, file.read_bytes(), most_text=1 << 30)
    except Invalid as error:
        raise name_file(file, error) from None


def name_file(file: Path, error: Invalid) -> InvalidDocument:
    """Return ``error`` with ``file`` as the parameter of each of its problems."""
    problems = error.problems or (Problem("", error.detail),)
    return InvalidDocument.from_problems(
        [replace(problem, parameter=str(file)) for problem in problems]
    )


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Open a text file to write; it is at ``path`` only once all of it is on the disk.

    If anything goes wrong, what was there stays as it was.
    """
    target = Path(os.path.realpath(path))
    if not _can_be_replaced(target):
        with named(path), target.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with named(path), draft.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            if target.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _can_be_replaced(target: Path) -> bool:
    """Return whether another file can take its place; a device or a pipe has to stay."""
    return (target.is_file() or not target.exists()) and os.access(target.parent, os.W_OK)
