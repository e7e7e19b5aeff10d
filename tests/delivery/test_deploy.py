"""The examples for compose, Kubernetes and nginx: what they promise, read off their files."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from distributed_config import __version__
from tests.support.needs import need
from tests.support.server import Api, Server, free_port

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy/kubernetes/base"


def documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(path))


def pods() -> list[dict[str, Any]]:
    """The pod of every workload, as it is templated."""
    objects = [*documents(BASE / "server.yaml"), *documents(BASE / "app.yaml")]
    return [each["spec"]["template"] for each in objects if "template" in each["spec"]]


def containers() -> list[dict[str, Any]]:
    specs = [pod["spec"] for pod in pods()]
    return [each for spec in specs for each in spec.get("initContainers", []) + spec["containers"]]


def test_no_pod_can_do_more_than_it_needs() -> None:
    assert len(pods()) == 2
    for pod in pods():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
    for container in containers():
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }, container["name"]


def test_every_container_says_what_it_takes() -> None:
    for container in containers():
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}, container["name"]
        assert "memory" in container["resources"]["limits"], container["name"]


def test_the_network_policy_lets_in_the_pods_that_use_the_server_and_no_others() -> None:
    server = documents(BASE / "server.yaml")
    [policy] = [each for each in server if each["kind"] == "NetworkPolicy"]
    [rule] = policy["spec"]["ingress"]
    [source] = rule["from"]
    wanted = source["podSelector"]["matchLabels"]
    application = pods()[1]["metadata"]["labels"]

    assert (
        policy["spec"]["podSelector"]["matchLabels"].items()
        <= pods()[0]["metadata"]["labels"].items()
    )
    assert wanted.items() <= application.items()
    assert not wanted.items() <= pods()[0]["metadata"]["labels"].items()
    for each in server:
        assert "app.kubernetes.io/name" in each["metadata"]["labels"], each["metadata"]["name"]


def test_selectors_find_their_pods() -> None:
    objects = [*documents(BASE / "server.yaml"), *documents(BASE / "app.yaml")]
    labels = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in pods()}
    for each in objects:
        selector = each["spec"].get("selector")
        if selector:
            assert selector.get("matchLabels", selector)["app.kubernetes.io/name"] in labels


def test_compose_builds_once_and_waits_for_a_server_that_is_well() -> None:
    [compose] = documents(ROOT / "deploy/compose/compose.yaml")
    services = compose["services"]
    built = [name for name, each in services.items() if "build" in each]
    ours = {
        name for name, each in services.items() if each["image"].startswith("distributed-config")
    }

    assert built == ["config"]
    assert ours == {"config", "sidecar"}
    assert len({services[name]["image"] for name in ours}) == 1
    assert services["sidecar"]["depends_on"]["config"] == {"condition": "service_healthy"}
    assert all(each["restart"] == "unless-stopped" for each in services.values())


def test_the_image_says_what_it_is() -> None:
    labels = dict(
        re.findall(
            r'org\.opencontainers\.image\.(\w+)="([^"]+)"', (ROOT / "Dockerfile").read_text()
        )
    )

    assert labels["version"] == __version__
    assert {"title", "description", "licenses"} <= labels.keys()
    assert (
        f"image: distributed-config:{__version__}"
        in (ROOT / "deploy/compose/compose.yaml").read_text()
    )


def in_manual(pattern: str) -> str:
    """The one block of the sidecar's manual that ``pattern`` finds."""
    text = (ROOT / "docs/sidecar.md").read_text()
    [found] = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def nginx(tmp_path: Path) -> Path:
    """The folder of an nginx, with the manual's template in it."""
    need(shutil.which("nginx") is not None, "nginx")
    folder = tmp_path / "nginx"
    folder.mkdir()
    template = in_manual(r"^```nginx\n(.*?)^```")
    own = f"pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = template.replace("http {", f"http {{\naccess_log off;\n{paths}", 1)
    (folder / "nginx.conf.tmpl").write_text(own + text)
    return folder


def test_the_manuals_nginx_is_checked_and_reloaded(
    nginx: Path, server: Server, api: Api, name: str
) -> None:
    [plan] = re.findall(
        r"^```json\n(\{\"url\".*?)^```",
        (ROOT / "docs/sidecar.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    target = json.loads(plan)["targets"][0]
    file = nginx / "nginx.conf"
    target.update(service=name, file=str(file), template=str(nginx / "nginx.conf.tmpl"))
    target["reload"] = [*target["reload"], "-c", str(file)]
    (nginx / "plan.json").write_text(json.dumps({"url": server.url, "targets": [target]}))

    def sync() -> int:
        words = [sys.executable, "-m", "distributed_config.client", "sidecar", "--once"]
        done = subprocess.run(
            [*words, "-c", str(nginx / "plan.json")], capture_output=True, check=False, timeout=60
        )
        return done.returncode

    api.put(name, {"port": free_port(), "upstream": {"host": "127.0.0.1", "port": server.port}})
    assert sync() == 0
    good = file.read_text()
    api.put(name, {"port": "no port", "upstream": {"host": "127.0.0.1"}})

    assert sync() == 1
    assert "proxy_set_header Host $host;" in good
    assert file.read_text() == good
