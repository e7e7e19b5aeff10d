"""Resolved documents over HTTP: read from memory, put together, and watched."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import load, servers
from bench.documents import DOCUMENT
from bench.load import Request, Sample
from bench.servers import JSON, ROOT, Server, distconf

WATCHERS = 1_000
_EVENTS = 5
_BETWEEN = 0.5  # seconds
_COMMANDS = 10

_CHAIN = ("dev", "staging", "prod")
_GENERAL = ("general/0", "general/1", "general/2", "general/3")
_USED = tuple(f"used/{number}" for number in range(10))

_PLAIN = "/config?service=plain&version=current"
_LAYERED = "/config?service=layered&environment=prod&version=current&resolved=true"
_UNCACHED = "&min_revision=0"


@dataclass
class Layers:
    """Samples of reads, in pairs of a stored and a resolved document; and times in seconds."""

    hot: list[tuple[Sample, Sample]] = field(default_factory=list)
    cold: list[tuple[Sample, Sample]] = field(default_factory=list)
    write: list[float] = field(default_factory=list)
    """A write of what a thousand others rest on, with the check of all of them."""
    delivery: list[float] = field(default_factory=list)
    missed: int = 0
    command: list[float] = field(default_factory=list)


def measure(
    folder: Path, rounds: int, seconds: int, watchers: int, say: Callable[[str], None]
) -> Layers:
    """Measure everything on one server."""
    results = Layers()
    with servers.ours(folder) as server:
        _fill(server)
        for number in range(1, rounds + 1):
            for pairs, suffix in ((results.hot, ""), (results.cold, _UNCACHED)):
                plain = load.send(server, Request("GET", _PLAIN + suffix), seconds)
                resolved = load.send(server, Request("GET", _LAYERED + suffix), seconds)
                pairs.append((plain, resolved))
            say(f"layers: round {number}/{rounds}")
        for _ in range(_COMMANDS):
            results.command.append(_run_command(server))
        _watch(server, watchers, results)
        say(f"layers: {watchers:,} are told of a layer")
    return results


def _fill(server: Server) -> None:
    """Make a document of eight layers and ten references, and one of the same size without."""
    parent = "default"
    for name in _CHAIN:
        _send(server, "POST", "/api/v1/environments", {"name": name, "inherits": parent})
        parent = name
    document = json.loads(DOCUMENT)
    # It is one of several services here.
    del document["service"]
    for service in (*_GENERAL, "plain"):
        _send(server, "PUT", f"/config?service={service}", document)
    for service in _USED:
        _send(server, "PUT", f"/config?service={service}", {"host": f"{service}.example"})
    uses = {service: {"$use": f"{service}#/host"} for service in _USED}
    _send(server, "PUT", "/config?service=layered", {**document, "uses": uses})
    for name in _CHAIN:
        _send(server, "PUT", f"/config?service=layered&environment={name}", {"environment": name})
    _send(server, "PATCH", "/api/v1/services?service=layered", {"extends": list(_GENERAL)})


def _watch(server: Server, watchers: int, results: Layers) -> None:
    """Have as many watchers as services, each of its own, and change what all of them rest on."""
    _send(server, "PUT", "/config?service=base", {"n": 0})
    for start in range(0, watchers, 500):
        changes = [
            {"service": f"rests/{number}", "document": {"n": {"$use": "base#/n"}}}
            for number in range(start, min(start + 500, watchers))
        ]
        _send(server, "POST", "/api/v1/changesets", {"changes": changes})
    command = [sys.executable, "-m", "bench.watchers", "layers", str(server.port)]
    with subprocess.Popen(
        [*command, str(watchers), str(_EVENTS)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        acknowledged = []
        for number in range(1, _EVENTS + 1):
            time.sleep(_BETWEEN)
            began = time.monotonic()
            _send(server, "PUT", "/config?service=base", {"n": number})
            acknowledged.append(time.monotonic())
            results.write.append(acknowledged[-1] - began)
        report = json.loads(process.stdout.readline())
    results.missed = report["missed"] + report["lost"]
    results.delivery = [
        max(0.0, last - done) for last, done in zip(report["delivered"], acknowledged, strict=False)
    ]


def _run_command(server: Server) -> float:
    """Return how long `distconf get` takes, from its start to its end."""
    url = f"http://127.0.0.1:{server.port}"
    command = [str(distconf()), "get", "layered", "--environment", "prod", "--url", url]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=30)
    return time.perf_counter() - began


def _send(server: Server, method: str, path: str, body: Any) -> None:
    status, _, answer = server.request(method, path, json.dumps(body).encode(), dict(JSON))
    if status != 200:
        raise RuntimeError(f"{method} {path} was answered {status}: {answer[:300]!r}")
