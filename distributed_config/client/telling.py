"""Telling an application that its file has changed, and asking it whether a new one is good."""

import os
import shlex
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from distributed_config.client.plan import Target
from distributed_config.errors import Rejected

_COMMAND_SECONDS = 60
_NOTIFY_SECONDS = 10
_SAID = 500
"""How many bytes of what a command said are told; the last ones, as the reason is there."""


class NobodyThereError(Exception):
    """The process that was to be told does not run."""


def ways_of(target: Target) -> list[Callable[[Target], None]]:
    """How its application is told, in this order. Each raises what it likes when it cannot."""
    ways = {_reload: target.reload, _signal: target.signal, _notify: target.notify}
    return [way for way, given in ways.items() if given]


def run(command: str | Sequence[str], file: Path) -> None:
    """Runs a command on ``file``. Raises Rejected, with what it said, if it does not like it.

    It is over when its process is, though others that it has started may run on.
    """
    words = shlex.split(command) if isinstance(command, str) else list(command)
    # A file, because a pipe would be waited for until the last of those others has ended; and
    # here, because the file's folder can be written for certain.
    with tempfile.TemporaryFile(dir=file.parent) as output:
        try:
            done = subprocess.run(  # noqa: S603  # the operator's own command; no shell
                [word.replace("{file}", str(file)) for word in words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Rejected(f"{words[0]} did not end within {_COMMAND_SECONDS} s.") from None
        if done.returncode:
            output.seek(max(0, output.seek(0, os.SEEK_END) - _SAID))
            said = output.read().decode(errors="replace").strip()
            raise Rejected(f"{words[0]} ended with {done.returncode}: {said}")


def _reload(target: Target) -> None:
    run(target.reload, target.path)


def _signal(target: Target) -> None:
    """Raises NobodyThereError if there is no such process, or no file that names it."""
    try:
        text = Path(target.pidfile).read_text(encoding="ascii").strip()
        pid = int(text) if text.isdigit() else 0
        if not 1 < pid < 1 << 31:  # 0 would be all of us, and 1 everything
            raise Rejected(f"{target.pidfile} names no process.")
        os.kill(pid, getattr(signal, target.signal_name))
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NobodyThereError(f"{target.pidfile}: {error}") from None


def _notify(target: Target) -> None:
    request = urllib.request.Request(target.notify, data=b"", method="POST")  # noqa: S310  # the operator's own
    urllib.request.urlopen(request, timeout=_NOTIFY_SECONDS).close()  # noqa: S310  # the same
