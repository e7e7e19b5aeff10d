"""Signals as events that a loop can wait for, together with the end of threads."""

import os
import signal
import threading
from collections.abc import Callable, Iterable

WAKE_UP = 0
"""What ``SignalPipe.wake`` sends; no signal has this number."""


class SignalPipe:
    """Signals, and wake-ups from threads, in the order in which they come.

    They come through a pipe, because a handler of Python's runs only when the main thread executes
    bytecode: a signal that arrives just before a wait would be handled only after it.
    """

    def __init__(
        self, numbers: Iterable[int] = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    ) -> None:
        self._read, self._write = os.pipe()
        # A signal must not block in a full pipe; the reader has enough to do then.
        os.set_blocking(self._write, False)
        # A handler that does nothing: the wake-up descriptor gets only signals that have one.
        for number in numbers:
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def wake(self) -> None:
        """End the wait of the reader, from any thread."""
        os.write(self._write, bytes([WAKE_UP]))

    def wait(self) -> list[int]:
        """Wait for signals or wake-ups. Return the numbers of all that came, in order."""
        return list(os.read(self._read, 4096))


def start_daemon(work: Callable[[], None]) -> threading.Thread:
    """Run ``work`` in a thread that does not keep the process alive."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
