"""Standard output as both command lines have it: closed, full, or read by nobody any more."""

import os
import sys

_STANDARD_ERROR = 2


def open_what_is_closed() -> None:
    """What is written to a closed stream, as with ``>&-``, goes nowhere; and into no other file."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(opened)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  # for good
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  # the same


def drop_output() -> None:
    """What is left of the output must not be written at the end either."""
    if sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def told_of(error: OSError) -> str:
    """A sentence on an error of the system. What has no name of a file is about the output."""
    where = error.filename
    if where is None:
        where = "the output"
        drop_output()
    return f"{error.strerror or error}: {where}"


def told_of_encoding(error: UnicodeEncodeError) -> str:
    """A sentence on what the terminal cannot show."""
    what = ascii(error.object[error.start : error.end])
    return f"{what} cannot be written in {error.encoding}. Set PYTHONIOENCODING=utf-8."
