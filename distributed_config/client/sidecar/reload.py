"""Checking a new file with the application's own tools, and telling the application about it."""

import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from distributed_config.client.sidecar.command_line import split_command
from distributed_config.client.sidecar.plan import Target
from distributed_config.errors import Rejected

_COMMAND_SECONDS = 60
_NOTIFY_SECONDS = 10
# For the rest of the output, once a command has ended.
_OUTPUT_SECONDS = 0.5
# Bytes of a command's output in an error: the last ones, because the reason is at the end.
_MOST_OUTPUT = 500


class ProcessNotRunningError(Exception):
    """The process to be signalled does not run."""


def notifiers(target: Target) -> list[Callable[[Target], None]]:
    """Return the functions that notify the application, in order. Each may raise anything."""
    options = {_reload: target.reload, _signal: target.signal, _notify: target.notify}
    return [notifier for notifier, option in options.items() if option]


def run(command: str | Sequence[str], file: Path) -> None:
    """Run a command; ``{file}`` in it is ``file``. Raises Rejected, with its output, if it fails.

    The command is over when its process is, though processes that it started may run on.
    """
    words = split_command(command)
    process = subprocess.Popen(  # noqa: S603  # the operator's own command; no shell
        [word.replace("{file}", str(file)) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # Not communicate(): it waits for the end of the output, which a daemon that the command
    # started may hold open for ever.
    output = _Output(process)
    try:
        code = process.wait(_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Rejected(f"{words[0]} did not end within {_COMMAND_SECONDS} s.") from None
    if code:
        raise Rejected(f"{words[0]} ended with {code}: {output.tail()}")


class _Output:
    """The output of a process, read by a thread, so that no writer blocks on a full pipe."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._tail = b""
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def tail(self) -> str:
        """Return the end of the output of a process that has ended."""
        self._thread.join(_OUTPUT_SECONDS)
        return self._tail.decode(errors="replace").strip()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while data := os.read(pipe.fileno(), 1 << 16):
                self._tail = (self._tail + data)[-_MOST_OUTPUT:]


def _reload(target: Target) -> None:
    run(target.reload, target.path)


def _signal(target: Target) -> None:
    """Send the signal. Raises ProcessNotRunningError without a process, or a file that names it."""
    try:
        text = Path(target.pidfile).read_text(encoding="ascii").strip()
        pid = int(text) if text.isdigit() else 0
        # kill(0) would signal this process group, kill(1) the container's init, and a larger
        # number does not fit a pid_t.
        if not 1 < pid < 1 << 31:
            raise Rejected(f"{target.pidfile} names no process.")
        os.kill(pid, getattr(signal, target.signal_name))
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessNotRunningError(f"{target.pidfile}: {error}") from None


def _notify(target: Target) -> None:
    request = urllib.request.Request(target.notify, data=b"", method="POST")  # noqa: S310  # the operator's own
    urllib.request.urlopen(request, timeout=_NOTIFY_SECONDS).close()  # noqa: S310  # the operator's own
