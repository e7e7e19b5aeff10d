"""Reads and writes over HTTP: our server and those it is compared with, in turns."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench import load, servers
from bench.documents import DOCUMENT, ETAG, document_for
from bench.load import Request, Sample
from bench.servers import JSON, Server
from distributed_config.models import sqlite as engines
from distributed_config.services.access.token_format import new_token

SERVICES = [f"write-{i}" for i in range(8)]

_TOKEN = new_token()
_AUTHORIZED = (("Authorization", f"Bearer {_TOKEN}"),)
_HOT = Request("GET", "/config?service=bench&version=current")
_HOT_AUTHORIZED = replace(_HOT, headers=_AUTHORIZED)
_UNCACHED = Request("GET", "/config?service=bench&version=current&min_revision=0")
_HEALTH = Request("GET", "/healthz")
_PUT = Request("POST", "/v3/kv/put", servers.etcd_put(), tuple(JSON.items()))
_RANGE = Request("POST", "/v3/kv/range", servers.etcd_key(), tuple(JSON.items()))


@dataclass(frozen=True)
class Subject:
    """One measurement, taken once in each round."""

    name: str
    measure: Callable[[int], Sample]


@dataclass
class Serving:
    """The results: for each subject a sample of every round."""

    samples: dict[str, list[Sample]]
    missing: list[str]
    memory: int = 0
    """Bytes (PSS) of our server with all its processes, after the load."""


def measure(folder: Path, rounds: int, seconds: int, say: Callable[[str], None]) -> Serving:
    """Start every server, measure all subjects in every round, and stop the servers."""
    results = Serving({}, [])
    with ExitStack() as stack:
        say("starting the servers")
        running = _start(stack, folder, results.missing)
        subjects = list(_subjects(running))
        for subject in subjects:  # a warm-up: the first requests fill caches and open connections
            subject.measure(1)
            results.samples[subject.name] = []
        for number in range(1, rounds + 1):
            for subject in subjects:
                sample = subject.measure(seconds)
                results.samples[subject.name].append(sample)
                say(f"round {number}/{rounds}  {_line(subject.name, sample)}")
        results.memory = servers.pss_bytes(running["ours"].processes())
    return results


def _line(name: str, sample: Sample) -> str:
    failures = f"  {sample.failures} FAILED" if sample.failures else ""
    return (
        f"{name:34}{sample.rate:9,.0f}/s{sample.cpu * 1e6:7.0f} µs"
        f"  slowest {sample.slowest * 1000:6.1f} ms{failures}"
    )


def _start(stack: ExitStack, folder: Path, missing: list[str]) -> dict[str, Server]:
    (folder / "guarded").mkdir()
    wanted = {
        "ours": servers.ours(folder),
        "guarded": servers.ours(folder / "guarded", token=_TOKEN),
        "bare": servers.bare_asgi(folder),
        "plain": servers.plain_service(folder),
        "nginx": servers.nginx(folder),
        "etcd": servers.etcd(folder),
        "minimal": servers.minimal_asgi(folder),
        "gthread": servers.minimal_gthread(folder),
    }
    if wanted["nginx"] is None:
        missing.append("nginx is not installed, so it was not measured.")
    if wanted["etcd"] is None:
        missing.append("etcd is not installed, so it was not measured.")
    if wanted["minimal"] is None:
        missing.append("a2wsgi is not installed, so Flask behind it was not measured.")
    running = {
        name: stack.enter_context(server) for name, server in wanted.items() if server is not None
    }
    for server in (running["ours"], running["plain"], running["guarded"]):
        for service in ("bench", *SERVICES):
            _set_up(
                server,
                "PUT",
                f"/config?service={service}",
                document_for(service),
                {**JSON, **dict(_AUTHORIZED)},
            )
    if "etcd" in running:
        _set_up(running["etcd"], "POST", "/v3/kv/put", servers.etcd_put())
    return running


def _set_up(
    server: Server, method: str, path: str, body: bytes, headers: dict[str, str] = JSON
) -> None:
    status, _, answer = server.request(method, path, body, headers)
    if status != 200:
        raise RuntimeError(f"{server.name} answered {status} to {method} {path}: {answer[:200]!r}")


def _subjects(running: dict[str, Server]) -> Iterator[Subject]:
    """Everything in the order of a round; what is compared stands close together."""
    ours, plain = running["ours"], running["plain"]
    known = Request("GET", _HOT.path, headers=(("If-None-Match", _etag(ours)),), status=304)
    bare_known = Request("GET", "/known", headers=(("If-None-Match", ETAG),), status=304)

    yield _reading("ours, hot GET", ours, _HOT, replayed=True)
    yield _reading("ours, hot GET with a token", running["guarded"], _HOT_AUTHORIZED, replayed=True)
    yield _reading("bare ASGI, 200", running["bare"], _HOT)
    if "nginx" in running:
        yield _reading("nginx, a file", running["nginx"], _HOT)
    if "etcd" in running:
        yield _reading("etcd, JSON gateway", running["etcd"], _RANGE)
    yield _reading("Flask-SQLAlchemy, GET", plain, _HOT)
    yield _reading("ours, 304", ours, known, replayed=True)
    yield _reading("bare ASGI, 304", running["bare"], bare_known)
    yield _reading("ours, GET through Flask", ours, _UNCACHED)
    yield _reading("ours, /healthz through Flask", ours, _HEALTH)
    if "minimal" in running:
        yield _reading("minimal Flask, ASGI", running["minimal"], _HOT)
    yield _reading("minimal Flask, gthread", running["gthread"], _HOT)
    yield _writing("ours, append", ours, ours.folder / "instance" / "distconf.db", _OUR_COUNT)
    yield _writing("Flask-SQLAlchemy, append", plain, plain.folder / "plain.db", _THEIR_COUNT)
    if "etcd" in running:
        yield _reading("etcd, put", running["etcd"], _PUT)


def _etag(server: Server) -> str:
    etag = server.request("GET", _HOT.path)[1]["ETag"]
    assert len(etag) == len(ETAG), f"the bare 304 should be as long as ours: {etag}"
    return etag


def _reading(name: str, server: Server, request: Request, replayed: bool = False) -> Subject:
    _check(server, request)

    def measure_once(seconds: int) -> Sample:
        return _logged(server, lambda: load.send(server, request, seconds), replayed)

    return Subject(name, measure_once)


def _check(server: Server, request: Request) -> None:
    """Raise unless the response is the one that the table says is compared."""
    status, _, body = server.request(
        request.method, request.path, request.body or None, dict(request.headers)
    )
    whole = body == DOCUMENT if request in {_HOT, _HOT_AUTHORIZED, _UNCACHED} else True
    if request is _RANGE:
        whole = servers.etcd_value(body) == DOCUMENT
    if status != request.status or not whole:
        raise RuntimeError(f"{server.name} answered {status} to {request.path}: {body[:200]!r}")


_OUR_COUNT = "SELECT count(*) FROM versions"
_THEIR_COUNT = "SELECT count(*) FROM version"


def _writing(name: str, server: Server, database: Path, count: str) -> Subject:
    first = SERVICES[0]
    request = Request("PATCH", f"/config?service={first}", document_for(first), tuple(JSON.items()))

    def measure_once(seconds: int) -> Sample:
        before = _number(database, count)
        sample = _logged(server, lambda: load.send(server, request, seconds, len(SERVICES)))
        stored = _number(database, count) - before
        if stored < sample.answers:
            raise RuntimeError(f"{name}: {sample.answers} acknowledged, {stored} stored")
        return sample

    return Subject(name, measure_once)


def _number(database: Path, query: str) -> int:
    with engines.raw_connection(database) as connection:
        return int(connection.execute(query).fetchone()[0])


def _logged(server: Server, measured: Callable[[], Sample], replayed: bool = False) -> Sample:
    """Check that our server logs a line for each response, and replays what it should.

    The other servers have no such log.
    """
    if server.name != "ours":
        return measured()
    os.truncate(server.log, 0)
    sample = measured()
    deadline = time.monotonic() + 3
    while True:
        time.sleep(0.3)  # lines of replayed reads are written ten times a second
        text = server.log.read_bytes()
        lines, replays = text.count(b"\n"), text.count(b'"replayed": true')
        if lines >= sample.answers or time.monotonic() > deadline:
            break
    if lines < sample.answers:
        raise RuntimeError(f"our server logged {lines} of {sample.answers} requests")
    if (replays < 0.99 * lines) if replayed else (replays > 0):
        raise RuntimeError(f"our server replayed {replays} of {lines} answers")
    return sample
