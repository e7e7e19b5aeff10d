"""Programs in an interpreter of their own."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def threads_of(service: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == f"config {service}"]


def script(text: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run ``text`` in an interpreter of its own, from the folder of the project."""
    python = options.pop("python", sys.executable)
    return subprocess.run(
        [python, "-c", text, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


def printed(done: "subprocess.CompletedProcess[str]") -> Any:
    """Return the JSON that a script printed as its last line."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run ``work`` in a thread. The list gets its result, or its exception."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # the test looks at it
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results
