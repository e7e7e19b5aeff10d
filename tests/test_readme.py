"""The walks of the README and of the manual are executed, and the answers compared."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import need
from tests.support.server import Server

ROOT = Path(__file__).parent.parent
# The pages' python3 is the one that runs the tests, and has this package.
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
}
WALKS = ["README.md", "docs/definitions.md", "docs/environments.md"]


def walk(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page's walk, each with the answer printed below it, or ""."""
    text = (ROOT / page).read_text().split("<!-- walk", 1)[1].split("<!-- /walk -->")[0]
    blocks = re.findall(r"```(sh)?\n(.*?)```", text, re.DOTALL)
    steps: list[tuple[str, str]] = []
    for kind, body in blocks:
        if kind == "sh":
            steps.append((body, ""))
        else:
            steps[-1] = (steps[-1][0], body)
    return steps


@pytest.mark.parametrize("page", WALKS)
def test_a_walk_answers_as_the_page_says(own_server: Server, page: str) -> None:
    need(shutil.which("curl") is not None, "curl")
    for command, expected in walk(page):
        # Without a terminal curl would print its progress.
        script = command.replace("http://localhost:5000", own_server.url)
        script = script.replace("curl ", "curl -s ")
        run = subprocess.run(
            ["bash", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        pattern = re.escape(expected.strip()).replace("…", ".+?")
        assert re.fullmatch(pattern, run.stdout.strip()), f"{command}\n{run.stdout}\n{run.stderr}"
