"""Telling an application that its file has changed, and asking it whether a new one is good."""

import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from distributed_config.client.sidecar.plan import Target, words_of
from distributed_config.errors import Rejected

_COMMAND_SECONDS = 60
_NOTIFY_SECONDS = 10
_LAST_WORDS = 0.5
_SAID = 500
"""How many bytes of what a command said are told; the last ones, as the reason is there."""


class ProcessNotRunningError(Exception):
    """The process that was to be told does not run."""


def notifiers(target: Target) -> list[Callable[[Target], None]]:
    """How its application is told, in this order. Each raises what it likes when it cannot."""
    ways = {_reload: target.reload, _signal: target.signal, _notify: target.notify}
    return [way for way, given in ways.items() if given]


def run(command: str | Sequence[str], file: Path) -> None:
    """Runs a command on ``file``. Raises Rejected, with what it said, if it does not like it.

    It is over when its process is, though others that it has started may run on.
    """
    words = words_of(command)
    process = subprocess.Popen(  # noqa: S603  # the operator's own command; no shell
        [word.replace("{file}", str(file)) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = _Output(process)
    try:
        code = process.wait(_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Rejected(f"{words[0]} did not end within {_COMMAND_SECONDS} s.") from None
    if code:
        raise Rejected(f"{words[0]} ended with {code}: {output.said()}")


class _Output:
    """What a process says, read by a thread: as long as anybody writes, nobody is held up."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._last = b""
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def said(self) -> str:
        """The last of it, once the process has ended; others may have the pipe still."""
        self._thread.join(_LAST_WORDS)
        return self._last.decode(errors="replace").strip()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while data := os.read(pipe.fileno(), 1 << 16):
                self._last = (self._last + data)[-_SAID:]


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
        raise ProcessNotRunningError(f"{target.pidfile}: {error}") from None


def _notify(target: Target) -> None:
    request = urllib.request.Request(target.notify, data=b"", method="POST")  # noqa: S310  # the operator's own
    urllib.request.urlopen(request, timeout=_NOTIFY_SECONDS).close()  # noqa: S310  # the same
