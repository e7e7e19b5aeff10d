"""How often one write goes from file to file; `python -m bench.crossings`.

Two numbers, which docs/architecture.md publishes: how many functions of the package one
`PATCH /config` calls, and how often a call is in another file than the one before it. What is
called through WSGI is counted, in all threads, in the order in which it happens: the front hands a
request over as it does to any WSGI server, and the writer has a thread of its own.
"""

import importlib
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parent.parent
_PACKAGE = f"{ROOT / 'distributed_config'}{os.sep}"
_WARM_UP = 3
"""Writes before the ones that are counted: the first load modules and open connections."""
_COUNTED = 5


class Recording:
    """The calls of one request, in order: the file and the name of each function called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    @property
    def files(self) -> Counter[str]:
        """How many of the calls are in each file."""
        return Counter(file for file, _ in self.calls)

    @property
    def crossings(self) -> int:
        """How many calls are in another file than the call before."""
        return sum(a[0] != b[0] for a, b in zip(self.calls, self.calls[1:], strict=False))


class _Recorder:
    """A profiler that adds each call of a function of the package to ``recording``."""

    def __init__(self) -> None:
        self.recording = Recording()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(_PACKAGE):
            return
        # Comprehensions and generator expressions are parts of the function around them; which of
        # them are calls differs between releases of Python.
        if not code.co_name.startswith("<"):
            call = code.co_filename.removeprefix(_PACKAGE), code.co_qualname
            self.recording.calls.append(call)


@contextmanager
def _recording() -> Iterator[_Recorder]:
    recorder = _Recorder()
    # Before the application is loaded: the writer's thread takes the profiler on when it starts.
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    try:
        yield recorder
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def count() -> Recording:
    """Record a `PATCH /config` on a new database, which becomes this process's own.

    Of several the one with the fewest changes of file is returned: the writer tidies up when it
    has answered, and how that mixes with the rest of the request is chance.
    """
    recordings = []
    with tempfile.TemporaryDirectory(prefix="crossings-") as instance:
        os.environ |= {"DISTCONF_INSTANCE": instance, "DISTCONF_LOG_LEVEL": "warning"}
        sys.path.insert(0, str(ROOT))
        subprocess.run(
            [sys.executable, "-m", "distributed_config", "db", "upgrade"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        with _recording() as recorder:
            # The application reads the environment when it is loaded.
            app = importlib.import_module("distributed_config.wsgi").app
            client = app.test_client()
            url = "/config?service=web"
            assert client.post(url, json={"port": 8080}).status_code == 200
            for number in range(_WARM_UP + _COUNTED):
                recorder.recording = Recording()
                assert client.patch(url, json={"port": number}).status_code == 200
                recordings.append(recorder.recording)
        app.extensions["distributed_config"].close()
    return min(recordings[_WARM_UP:], key=lambda recording: recording.crossings)


def main() -> None:
    recording = count()
    if "--calls" in sys.argv:
        for file, name in recording.calls:
            print(f"{file:48} {name}")
    calls, files = len(recording.calls), len(recording.files)
    print(f"{calls} calls over {files} files, {recording.crossings} changes of file")


if __name__ == "__main__":
    main()
