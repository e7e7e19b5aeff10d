"""Standard output as both command lines find it: closed, full, or with nobody reading it."""

import os
import sys

_STANDARD_ERROR = 2


def open_closed_streams() -> None:
    """Open whatever standard stream is closed, as with ``>&-``, to nowhere.

    Otherwise the next file that is opened would get its number, and the output with it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  # stays open
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  # stays open


def drop_output() -> None:
    """Send what is left of standard output nowhere.

    The interpreter flushes at its end, and would print a traceback when that fails again.
    """
    # A test's own stream is not the descriptor 1.
    if sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def describe_os_error(error: OSError) -> str:
    """Return a sentence about ``error``. One without a file name is taken to be about the output.

    The rest of the output is dropped then.
    """
    where = error.filename
    if where is None:
        where = "the output"
        drop_output()
    return f"{error.strerror or error}: {where}"


def describe_encoding_error(error: UnicodeEncodeError) -> str:
    """Return a sentence about text that the terminal cannot show."""
    text = ascii(error.object[error.start : error.end])
    return f"{text} cannot be written in {error.encoding}. Set PYTHONIOENCODING=utf-8."
