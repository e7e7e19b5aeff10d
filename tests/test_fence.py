"""The fence: everything that users hold on to, as it was. It changes only on purpose.

After a change that is meant, write it anew with ``python -m tests.test_fence`` and read the
difference before it is committed.
"""

import difflib
import itertools
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from distributed_config import errors
from distributed_config.api import openapi
from distributed_config.app import create_app
from distributed_config.client.cli.commands import SHARED
from distributed_config.errors import DistconfError
from distributed_config.http.problems import status_of
from distributed_config.live import metrics
from distributed_config.settings import Settings, table
from tests.support.server import Server
from tests.support.wheel import build_wheel

FENCE = Path(__file__).parent / "fence"


def openapi_document() -> str:
    with tempfile.TemporaryDirectory() as folder:
        Server(Path(folder, "instance")).prepare()
        app = create_app(Settings(instance=Path(folder, "instance")))
        document = openapi.document(app, is_open=False)
    return json.dumps(document, indent=1, ensure_ascii=False)


def help_texts() -> str:
    """``--help`` of every command and of the commands inside a command.

    Those that work on the database file and over HTTP have two texts.
    """
    remote = (_helps([name], "--url", "http://localhost:5000") for name in SHARED)
    return "\n".join([*_helps([]), *itertools.chain.from_iterable(remote)])


def _helps(words: list[str], *flags: str) -> Iterator[str]:
    text = _help([*words, *flags])
    yield f"$ distconf {' '.join([*words, *flags, '--help'])}\n{text}"
    title = "Commands" if words else ".*"
    sections = re.findall(rf"^{title}:\n((?:  .*\n|\n)+)", text, re.MULTILINE)
    for name in re.findall(r"^  ([a-z][\w-]*)(?:  |$)", "".join(sections), re.MULTILINE):
        yield from _helps([*words, name], *flags)


def _help(words: list[str]) -> str:
    anywhere = Server(Path("nowhere"))
    anywhere.environment |= {"COLUMNS": "100", "NO_COLOR": "1"}
    done = anywhere.tell(*words, "--help")
    assert done.returncode == 0, done
    # Pythons differ in how argparse wraps its usage, and in how it lists an option's names.
    text = re.sub(r"^usage: .*?\n\n", "", done.stdout, flags=re.DOTALL)
    return re.sub(
        r"^  (-\w)(?: [A-Z]+)?, (--\S+ [A-Z]+)\s+", r"  \1, \2  ", text, flags=re.MULTILINE
    )


def metric_names() -> str:
    collectors = [each for each in vars(metrics).values() if hasattr(each, "_labelnames")]
    lines = [f"{each._type} {each._name} {' '.join(each._labelnames)}" for each in collectors]
    return "\n".join(sorted(line.rstrip() for line in lines))


def setting_names() -> str:
    with mock.patch.dict(os.environ, clear=True):
        rows = table(Settings(), {})
    return "\n".join(f"{row.name} {row.type} {row.default}".rstrip() for row in rows)


def error_codes() -> str:
    def kinds(parent: type[DistconfError]) -> Iterator[type[DistconfError]]:
        yield parent
        for kind in parent.__subclasses__():
            yield from kinds(kind)

    own = [kind for kind in kinds(DistconfError) if kind.__module__.startswith(errors.__name__)]
    statuses = {(kind.code, status_of(kind.__new__(kind))) for kind in own}
    return "\n".join(f"{code} {status}" for code, status in sorted(statuses))


def wheel_files() -> str:
    with tempfile.TemporaryDirectory() as folder:
        names = zipfile.ZipFile(build_wheel(Path(folder))).namelist()
    return "\n".join(sorted(name for name in names if ".dist-info/" not in name))


def log_line() -> str:
    """The keys of a request's line in the log, from the application and from memory."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder, "instance")) as server:
        server.api.put("web", {"n": 1})
        for _ in range(10):
            server.api.get("web")
        server.stop()
        server.start()
        lines = [each for each in server.log.read_text().splitlines() if '"/config"' in each]
    shapes: dict[str, Any] = {}
    for line in map(json.loads, lines):
        source = "from memory" if "replayed" in line else "from the application"
        shapes[source] = {key: type(value).__name__ for key, value in line.items()}
    return json.dumps(shapes, indent=1, sort_keys=True)


PARTS: dict[str, Callable[[], str]] = {
    "openapi.json": openapi_document,
    "help.txt": help_texts,
    "metrics.txt": metric_names,
    "settings.txt": setting_names,
    "errors.txt": error_codes,
    "wheel.txt": wheel_files,
    "log.json": log_line,
}


@pytest.mark.parametrize("part", PARTS)
def test_what_users_hold_on_to_is_as_it_was(part: str) -> None:
    was = (FENCE / part).read_text().splitlines()
    now = PARTS[part]().rstrip("\n").splitlines()

    difference = difflib.unified_diff(was, now, "as it was", "as it is", lineterm="", n=1)
    assert was == now, "\n".join(difference)[:4000]


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        (FENCE / name).write_text(PARTS[name]().rstrip("\n") + "\n", encoding="utf-8")
