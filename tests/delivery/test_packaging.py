"""What is installed: the client by itself, and what it says about the rest."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.server import Server
from tests.support.wheel import build_wheel

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment that holds this package, and no other."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False)
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    pip = [sys.executable, "-m", "pip", "-q", "--python", str(home / "bin/python")]
    install = [*pip, "install", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return home / "bin"


def run(bare: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(bare / words[0]), *words[1:]],
        env={"PATH": str(bare), "HOME": str(bare.parent), **variables},
        cwd=bare.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_package_asks_for_no_other(bare: Path) -> None:
    code = "import importlib.metadata as m; print([d.name for d in m.distributions()])"

    assert run(bare, "python", "-c", code).stdout == "['distributed-config']\n"


def test_the_client_and_its_commands_work_by_themselves(bare: Path, server: Server) -> None:
    name = "packaging-alone"
    file = bare.parent / "web.json"
    file.write_text('{"db": {"host": "a"}}')

    put = run(bare, "distconf", "put", name, str(file), DISTCONF_URL=server.url)
    get = run(bare, "distconf", "get", name, "db.host", DISTCONF_URL=server.url)
    plan = ("--service", name, "--file", str(bare.parent / "out.env"), "--once")
    sidecar = run(bare, "distconf", "sidecar", *plan, DISTCONF_URL=server.url)
    code = f"from distributed_config.client import Client; print(Client().get('{name}').value)"
    library = run(bare, "python", "-c", code, DISTCONF_URL=server.url)

    assert put.returncode == 0, put.stderr
    assert get.stdout == "a\n"
    assert sidecar.returncode == 0, sidecar.stderr
    assert (bare.parent / "out.env").read_text() == "DB_HOST=a\n"
    assert library.stdout.strip() == "{'db': {'host': 'a'}}"


def test_a_command_of_the_server_says_what_to_type(bare: Path) -> None:
    done = run(bare, "distconf", "serve")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install --upgrade 'distributed-config[server]'" in done.stderr


def test_help_is_there_without_the_server(bare: Path) -> None:
    asked = run(bare, "distconf", "--help")
    nothing = run(bare, "distconf")

    assert (asked.returncode, nothing.returncode) == (0, 2)
    assert "sidecar" in asked.stdout
    assert "distributed-config[server]" in asked.stdout


def test_old_packages_of_others_do_not_disturb_the_client(
    bare: Path, server: Server, tmp_path: Path
) -> None:
    """Beside a click, Flask or SQLAlchemy of another time, which lack what the server needs."""
    for name, version in (("click", "7.1.2"), ("flask", "1.1"), ("sqlalchemy", "1.4.54")):
        (tmp_path / f"{name}.py").write_text('raise AssertionError("This is from another time.")')
        facts = tmp_path / f"{name}-{version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    old = {"PYTHONPATH": str(tmp_path), "DISTCONF_URL": server.url}
    server.api.put("packaging-old", {"n": 1})

    get = run(bare, "distconf", "get", "packaging-old", "n", **old)
    serve = run(bare, "distconf", "serve", **old)

    assert get.stdout == "1\n", get.stderr
    assert serve.returncode == 1
    assert serve.stderr.count("\n") == 1
    assert "click>=8.2 (7.1.2 is here)" in serve.stderr


def test_the_locked_requirements_keep_the_marker_of_what_is_not_for_every_machine() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        [line] = [
            line for line in (ROOT / name).read_text().splitlines() if line.startswith("pysqlite3")
        ]
        assert "platform_machine" in line, name
