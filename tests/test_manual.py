"""The commands and links in the manual work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.manual import DOCS, blocks
from tests.support.server import Server


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def test_a_repository_is_imported_as_the_manual_says(own_server: Server, tmp_path: Path) -> None:
    own_server.api.put("gone", {"n": 0})
    configs = tmp_path / "configs"
    (configs / "team").mkdir(parents=True)
    (configs / "web.json").write_text('{"port": 8080}')
    (configs / "team/api.json").write_text('{"port": 8081}')
    script = next(block for block in blocks("gitops.md", "sh") if "/api/v1/import" in block)
    folder = Path(sys.executable).parent
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "DISTCONF_URL": own_server.url,
        "DISTCONF_TOKEN": "none",
        "GIT_DIR": str(tmp_path / "no-repository"),
    }

    run = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run
    assert own_server.api.get("web").json() == {"port": 8080}
    assert own_server.api.get("team/api").json() == {"port": 8081}
    assert own_server.api.get("gone").status_code == 404


PAGES = [
    DOCS.parent / "README.md",
    DOCS.parent / "CONTRIBUTING.md",
    DOCS.parent / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_page_and_to_a_heading_of_it(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if "://" in link:
            continue
        target = page.parent / link if link else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), f"{link}#{anchor}"


def test_the_readme_lists_every_page_of_the_manual() -> None:
    listed = set(re.findall(r"docs/([\w-]+\.md)", (DOCS.parent / "README.md").read_text()))

    assert {path.name for path in DOCS.glob("*.md")} <= listed
