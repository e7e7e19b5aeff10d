"""What the container does, without an engine: the Dockerfile's own steps, as nobody, read-only."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ruamel.yaml import YAML

from distributed_config.services.access.token_format import new_token
from tests.support.needs import need
from tests.support.server import free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NOBODY = 10001


def environment(data: Path, port: int, **more: str) -> dict[str, str]:
    """The image's own ENV, with the folder and the port moved to where a test may have them."""
    block = DOCKERFILE.rsplit("ENV ", 1)[1].split("\nUSER")[0].replace("\\\n", " ")
    declared = dict(pair.split("=", 1) for pair in block.split())
    assert declared["DISTCONF_BIND"] == "0.0.0.0:5000"
    moved = {"DISTCONF_INSTANCE": str(data), "DISTCONF_BIND": f"0.0.0.0:{port}"}
    return {**declared, **moved, "PATH": os.environ["PATH"], "HOME": "/nonexistent", **more}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tree made by the build stage's commands, which nobody may write to."""
    need(os.geteuid() == 0, "root, to become another user")
    python = _python_for_everybody()
    need(python is not None, "a Python of 3.11 or newer that other users may run")
    tree = tmp_path_factory.mktemp("image")
    for folder in tree, *list(tree.parents)[:-2]:
        folder.chmod(0o755)
    source = tree / "src"
    source.mkdir()
    stage = DOCKERFILE.split("\nFROM ")[1]
    for name in " ".join(re.findall(r"^COPY (.+) \./", stage, re.MULTILINE)).split():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    home = tree / "distconf"
    pip = [sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "-q"]
    for step in (
        [python, "-m", "venv", "--without-pip", home],
        [*pip, "--require-hashes", "-r", source / "requirements.txt"],
        [*pip, "--no-deps", source],
    ):
        subprocess.run(step, check=True, capture_output=True)
    shutil.rmtree(source)
    _take_away_writing(tree)
    yield tree / "distconf" / "bin"
    subprocess.run(["chmod", "-R", "u+w", tree], check=False)


def _python_for_everybody() -> Path | None:
    for path in (Path(sys.executable).resolve(), Path("/usr/bin/python3").resolve()):
        reachable = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        version = tuple(int(part) for part in re.findall(r"\d+", told.stdout)[:2])
        if reachable and version >= (3, 11):
            return path
    return None


def _take_away_writing(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


@pytest.fixture
def data(image: Path, tmp_path: Path) -> Path:
    """The volume."""
    for folder in list(tmp_path.parents)[:-2]:
        folder.chmod(0o755)
    os.chown(tmp_path, NOBODY, NOBODY)
    return tmp_path


def command(image: Path) -> list[str]:
    words: list[str] = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    return [str(image / words[0]), *words[1:]]


def test_it_does_not_start_on_all_interfaces_for_everybody(image: Path, data: Path) -> None:
    run = subprocess.run(
        command(image),
        env=environment(data, free_port(), DISTCONF_AUTH="open"),
        user=NOBODY,
        group=NOBODY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "loopback" in run.stderr


def test_it_serves_as_nobody_from_a_tree_that_it_cannot_write(image: Path, data: Path) -> None:
    port, token = free_port(), new_token()
    running = subprocess.Popen(
        command(image),
        env=environment(data, port, DISTCONF_ADMIN_TOKEN=token),
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd=data,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert _healthy(image, port)
        url = f"http://localhost:{port}/config?service=web"
        assert httpx2.put(url, json={"n": 1}, trust_env=False).status_code == 401
        with httpx2.Client(headers={"X-API-Key": token}, trust_env=False) as http:
            assert http.put(url, json={"n": 1}).status_code == 200
            # Whatever the name is by which it is reached.
            assert http.get(url, headers={"Host": "config.internal"}).json() == {"n": 1}
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.wait()
    assert {path.name for path in data.iterdir()} == {"distconf.db", "distconf.db-marks"}


def _healthy(image: Path, port: int) -> bool:
    """Whether the image's own HEALTHCHECK says so within its start period and one interval."""
    [words] = re.findall(r"HEALTHCHECK .*?CMD (\[.*?\])\n", DOCKERFILE, re.DOTALL)
    name, *rest = [word.replace(":5000/", f":{port}/") for word in json.loads(words)]
    for _ in range(60):
        if subprocess.run([image / name, *rest], capture_output=True, check=False).returncode == 0:
            return True
        time.sleep(0.25)
    return False


def read_all(name: str) -> list[Any]:
    """The documents in a file below ``deploy``."""
    return list(YAML(typ="safe", pure=True).load_all(ROOT / "deploy" / name))


def test_a_volume_that_compose_makes_belongs_to_the_images_user() -> None:
    [compose] = read_all("compose/compose.yaml")
    ours = [
        each
        for each in compose["services"].values()
        if each["image"].startswith("distributed-config")
    ]
    mounted = {
        volume.split(":")[1]
        for service in ours
        for volume in service["volumes"]
        if volume.split(":")[0] in compose["volumes"]
    }
    *_, folders = re.findall(r"install -d -o distconf -g distconf (.+)$", DOCKERFILE, re.MULTILINE)

    assert mounted == {"/data", "/live"}
    assert mounted <= set(folders.split())
    assert {service.get("user", str(NOBODY)) for service in ours} == {str(NOBODY)}


def test_in_kubernetes_reads_go_on_with_a_full_disk_and_an_upgrade_may_take_its_time() -> None:
    documents = read_all("kubernetes/base/server.yaml")
    server, services = documents[0]["spec"], documents[1:]
    [container] = server["template"]["spec"]["containers"]
    start = container["startupProbe"]

    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert start["periodSeconds"] * start["failureThreshold"] >= 600
    headless = [each["metadata"]["name"] for each in services if "clusterIP" in each["spec"]]
    assert headless == [server["serviceName"]]


def test_the_steps_for_kubernetes_make_every_image_and_secret_that_is_used() -> None:
    steps = (ROOT / "deploy/kubernetes/base/kustomization.yaml").read_text()
    used = (ROOT / "deploy/kubernetes/base/server.yaml").read_text()
    used += (ROOT / "deploy/kubernetes/base/app.yaml").read_text()

    for image in set(re.findall(r"image: (distributed-config\S+)", used)):
        assert f"docker build --tag {image} " in steps
        assert f"docker build --tag {image} " in (ROOT / "docs/container.md").read_text()
    secrets = re.findall(r"secretName: ([\w-]+)", used)
    assert re.findall(r"create secret generic (\S+)", steps) == secrets
