"""The commands of the README and of the manual are executed, and answer what is said there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.needs import need
from tests.support.server import Server

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
WALKS = ["README.md", "docs/definitions.md"]


def walk(page: str) -> list[tuple[str, str]]:
    """The commands of a page's walk, each with the answer printed below it ("" if none is)."""
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
        here = command.replace("http://localhost:5000", own_server.url).replace("curl ", "curl -s ")
        run = subprocess.run(["bash", "-c", here], capture_output=True, text=True, check=True)
        pattern = re.escape(expected.strip()).replace("…", ".+?")
        assert re.fullmatch(pattern, run.stdout.strip()), f"{command}\n{run.stdout}\n{run.stderr}"


def test_every_page_that_the_readme_names_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
