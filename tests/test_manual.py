"""What the manual tells to type does what the manual says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import Server

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page, in order."""
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
    )
    return found


def test_a_repository_is_carried_to_the_server_as_the_manual_says(
    own_server: Server, tmp_path: Path
) -> None:
    own_server.api.put("gone", {"n": 0})
    configs = tmp_path / "configs"
    (configs / "team").mkdir(parents=True)
    (configs / "web.json").write_text('{"port": 8080}')
    (configs / "team/api.json").write_text('{"port": 8081}')
    script = next(each for each in blocks("gitops.md", "sh") if "/api/v1/import" in each)
    folder = Path(sys.executable).parent
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "DISTCONF_URL": own_server.url,
        "DISTCONF_TOKEN": "none",
        "GIT_DIR": str(tmp_path / "no-repository"),
    }

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done
    assert own_server.api.get("web").json() == {"port": 8080}
    assert own_server.api.get("team/api").json() == {"port": 8081}
    assert own_server.api.get("gone").status_code == 404


def test_the_python_of_the_page_on_fastapi_is_python(tmp_path: Path) -> None:
    [code] = blocks("fastapi.md", "python")

    compile(code, "fastapi.md", "exec")
    assert 'Config("web", defaults=' in code


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_link_of_the_manual_leads_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (DOCS / page).read_text()):
        if "://" not in link:
            assert (DOCS / link).exists(), link


def test_the_readme_lists_every_page_of_the_manual() -> None:
    listed = set(re.findall(r"docs/([\w-]+\.md)", (DOCS.parent / "README.md").read_text()))

    assert {path.name for path in DOCS.glob("*.md")} <= listed
