"""``flask db`` as the users of Flask-Migrate know it, in a fresh clone; and ``distconf db``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLASK = [sys.executable, "-m", "flask", "--app", "wsgi:app"]
DISTCONF = [sys.executable, "-m", "distributed_config"]
EITHER = pytest.mark.parametrize("program", [FLASK, DISTCONF], ids=["flask", "distconf"])


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a clone of this tree would hold: no data, nothing that was built."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    clone = tmp_path / "clone"
    for name in filter(None, done.stdout.split("\0")):
        source, target = ROOT / name, clone / name
        if source.is_file() and name.split("/")[0] not in {"tests", "docs", "bench"}:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return clone


def run(clone: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DISTCONF", "FLASK", "PYTHONPATH"))
    }
    return subprocess.run(
        words, cwd=clone, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def steps(clone: Path) -> list[str]:
    return sorted(path.name for path in (clone / "migrations/versions").glob("*.py"))


def test_the_folder_of_the_data_is_there_and_empty(clone: Path) -> None:
    assert [path.name for path in (clone / "instance").iterdir()] == [".gitkeep"]


@EITHER
def test_what_needs_a_database_says_that_there_is_none_yet(clone: Path, program: list[str]) -> None:
    for words in (["current"], ["check"], ["migrate", "-m", "nothing"]):
        done = run(clone, *program, "db", *words)

        assert done.returncode == 1, words
        assert "There is no database" in done.stderr
        assert "db upgrade" in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
    assert [path.name for path in (clone / "instance").iterdir()] == [".gitkeep"]


@EITHER
def test_a_new_database_is_at_the_newest_migration(clone: Path, program: list[str]) -> None:
    before = steps(clone)
    first = run(clone, *program, "db", "upgrade")
    second = run(clone, *program, "db", "upgrade")
    current = run(clone, *program, "db", "current")
    check = run(clone, *program, "db", "check")
    migrate = run(clone, *program, "db", "migrate", "-m", "nothing")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "is now up to date" in first.stdout
    assert "was already up to date" in second.stdout
    assert current.stdout == f"{before[-1][:4]} (head)\n"
    assert (check.returncode, migrate.returncode) == (0, 0), check.stderr + migrate.stderr
    assert "nothing is written" in migrate.stdout
    assert steps(clone) == before
    assert (clone / "instance/distconf.db").stat().st_mode & 0o077 == 0


@EITHER
def test_the_history_needs_no_database(clone: Path, program: list[str]) -> None:
    history = run(clone, *program, "db", "history")

    assert history.returncode == 0, history.stderr
    assert "(head)" in history.stdout.splitlines()[0]
    assert len(history.stdout.splitlines()) == len(steps(clone))


def test_flask_finds_the_application_by_itself(clone: Path) -> None:
    done = run(clone, sys.executable, "-m", "flask", "db", "upgrade")

    assert done.returncode == 0, done.stderr


def test_a_change_of_the_models_becomes_the_next_migration(clone: Path) -> None:
    before = steps(clone)
    number = f"{len(before) + 1:04}"
    run(clone, *FLASK, "db", "upgrade")
    tables = clone / "distributed_config/models/tables.py"
    table = '    __tablename__ = "service_tags"\n'
    column = "    colour: Mapped[str | None] = mapped_column(Text)\n"
    tables.write_text(tables.read_text().replace(table, table + column))

    check = run(clone, *FLASK, "db", "check")
    draft = run(clone, *FLASK, "db", "migrate", "-m", "colours of tags")
    early = run(clone, *FLASK, "db", "migrate", "-m", "once more")
    upgrade = run(clone, *FLASK, "db", "upgrade")
    current = run(clone, *FLASK, "db", "current")
    after = run(clone, *FLASK, "db", "check")

    assert check.returncode == 1
    assert "colour" in check.stdout
    assert draft.returncode == 0, draft.stderr
    assert steps(clone) == [*before, f"{number}_colours_of_tags.py"]
    assert early.returncode == 1
    assert "run `distconf db upgrade`" in early.stderr
    assert upgrade.returncode == 0, upgrade.stderr
    assert current.stdout == f"{number} (head)\n"
    assert after.returncode == 0, after.stdout + after.stderr


def test_nothing_is_served_without_a_database(clone: Path) -> None:
    flask = run(clone, *FLASK, "run", "--port", "0")
    loaded = run(clone, sys.executable, "-c", "import wsgi")

    assert flask.returncode == 1
    assert "There is no database" in flask.stderr
    assert "Traceback" not in flask.stderr
    assert loaded.returncode == 1
    assert "CannotStart" in loaded.stderr


@EITHER
def test_a_setting_that_is_wrong_is_named_in_a_sentence(clone: Path, program: list[str]) -> None:
    done = run(clone, "env", "DISTCONF_WORKERS=many", *program, "db", "upgrade")

    assert done.returncode == 1
    assert "DISTCONF_WORKERS" in done.stderr
    assert "Traceback" not in done.stderr
