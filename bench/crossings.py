"""How often one write goes from file to file; `python -m bench.crossings`.

Two numbers, which docs/architecture.md publishes: how many functions of the package one
`PATCH /config` calls, and how often a call is in another file than the one before it. Calls are
counted in all threads, in the order in which they happen, because the writer has a thread of its
own. They are counted twice: in the route alone, and in the whole request with the hooks around it.
"""

import importlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType

from flask import Flask

ROOT = Path(__file__).parent.parent
_PACKAGE = f"{ROOT / 'distributed_config'}{os.sep}"
_WARM_UP = 3
"""Writes before the ones that are counted: the first load modules and open connections."""
_COUNTED = 5
_TIDYING = 0.2


class Recording:
    """The calls of one request, in order: the file and the name of each function called.

    ``route`` is the part of them that the route makes, from its checks to its response.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.route = slice(0, 0)


def crossings(calls: Sequence[tuple[str, str]]) -> int:
    """How many of ``calls`` are in another file than the call before."""
    return sum(file != before for (file, _), (before, _) in pairwise(calls))


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
            _mark_route(app, recorder)
            client = app.test_client()
            url = "/config?service=web"
            assert client.post(url, json={"port": 8080}).status_code == 200
            for number in range(_WARM_UP + _COUNTED):
                recorder.recording = Recording()
                assert client.patch(url, json={"port": number}).status_code == 200
                time.sleep(_TIDYING)  # what the writer does after its answer belongs to this one
                recordings.append(recorder.recording)
        app.extensions["distributed_config"].close()
    return min(recordings[_WARM_UP:], key=lambda recording: crossings(recording.calls))


def _mark_route(app: Flask, recorder: _Recorder) -> None:
    """Make the route of `PATCH /config` note in the recording where it begins and ends."""
    [endpoint] = (
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.rule == "/config" and "PATCH" in (rule.methods or ())
    )
    view = app.view_functions[endpoint]

    def marked(**values: object) -> object:
        begin = len(recorder.recording.calls)
        response = view(**values)
        recorder.recording.route = slice(begin, len(recorder.recording.calls))
        return response

    app.view_functions[endpoint] = marked  # type: ignore[assignment]  # it hands on what it gets


def main() -> None:
    recording = count()
    if "--calls" in sys.argv:
        for file, name in recording.calls:
            print(f"{file:48} {name}")
    for name, calls in (
        ("in the route", recording.calls[recording.route]),
        ("in the whole request", recording.calls),
    ):
        files = {file for file, _ in calls}
        print(
            f"{name}: {len(calls)} calls over {len(files)} files, "
            f"{crossings(calls)} changes of file"
        )


if __name__ == "__main__":
    main()
