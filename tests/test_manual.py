"""The commands and links in the manual work."""

import json
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


def merged_rows() -> list[list[str]]:
    """Return the rows of the manual's table of merges: two layers, and what comes of them."""
    table = (DOCS / "environments.md").read_text().partition("| program in `production` |\n")[2]
    rows = table.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_layers_are_merged_as_the_manual_says(own_server: Server) -> None:
    api, there = own_server.api, {"environment": "production"}
    api.http.post("/api/v1/environments", json={"name": "production"})
    targets = {"db": {"host": "in db"}, "db2": {"host": "in db2"}}
    for name, document in targets.items():
        api.put(name, document)
    rows = merged_rows()

    assert len(rows) == 7
    for number, (below, above, result) in enumerate(rows):
        name = f"row-{number}"
        api.put(name, json.loads(below.strip("`")))
        written = api.put(name, json.loads(above.strip("`")), **there) if above else None
        if result.startswith("refused"):
            assert written is not None
            assert written.status_code == 422, result
            continue
        served = api.get(name, version="current", resolved="true", **there).json()
        found = re.fullmatch(r"what is in `(\w+)`", result)
        assert served == ({"db": targets[found[1]]} if found else json.loads(result.strip("`")))


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
