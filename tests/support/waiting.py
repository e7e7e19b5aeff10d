"""Waiting, with a limit, for other threads and processes."""

import time
from collections.abc import Callable
from typing import Any


def eventually(holds: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Wait until ``holds()`` is true. Return whether that happened in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def until(condition: Callable[[], object], seconds: float = 15.0, what: str = "it") -> None:
    """Wait until ``condition`` holds. Fails if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)
