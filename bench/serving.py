"""Reads and writes over HTTP: our server and those it is compared with, in turns."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench import load, servers
from bench.documents import DOCUMENT, ETAG, document_for
from bench.load import Question, Sample
from bench.servers import JSON, Server
from distributed_config.models import sqlite as engines
from distributed_config.services.access.token_format import new_token

SERVICES = [f"write-{i}" for i in range(8)]

_TOKEN = new_token()
_SHOWN = (("Authorization", f"Bearer {_TOKEN}"),)
_HOT = Question("GET", "/config?service=bench&version=current")
_HOT_SHOWN = replace(_HOT, headers=_SHOWN)
_PASSED_ON = Question("GET", "/config?service=bench&version=current&min_revision=0")
_HEALTH = Question("GET", "/healthz")
_RANGE = Question("POST", "/v3/kv/range", servers.etcd_key(), tuple(JSON.items()))


@dataclass(frozen=True)
class Subject:
    """Something that is measured once in each round."""

    name: str
    measure: Callable[[int], Sample]


@dataclass
class Serving:
    """All that was measured: for each subject a sample of every round."""

    samples: dict[str, list[Sample]]
    missing: list[str]
    memory: int = 0
    """Of our server with all its processes, after the load."""


def measure(folder: Path, rounds: int, seconds: int, say: Callable[[str], None]) -> Serving:
    """Starts every server, asks each the same in every round, and ends them."""
    found = Serving({}, [])
    with ExitStack() as stack:
        say("starting the servers")
        running = _start(stack, folder, found.missing)
        subjects = list(_subjects(running))
        for subject in subjects:  # what is made at the first request is made before it counts
            subject.measure(1)
            found.samples[subject.name] = []
        for number in range(1, rounds + 1):
            for subject in subjects:
                sample = subject.measure(seconds)
                found.samples[subject.name].append(sample)
                say(f"round {number}/{rounds}  {_line(subject.name, sample)}")
        found.memory = servers.pss_bytes(running["ours"].processes())
    return found


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
        "etcd": servers.etcd(folder),
        "minimal": servers.minimal_asgi(folder),
        "gthread": servers.minimal_gthread(folder),
    }
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
                {**JSON, **dict(_SHOWN)},
            )
    if "etcd" in running:
        _set_up(running["etcd"], "POST", "/v3/kv/put", servers.etcd_put())
    return running


def _set_up(
    server: Server, method: str, path: str, body: bytes, headers: dict[str, str] = JSON
) -> None:
    status, _, answer = server.ask(method, path, body, headers)
    if status != 200:
        raise RuntimeError(f"{server.name} answered {status} to {method} {path}: {answer[:200]!r}")


def _subjects(running: dict[str, Server]) -> Iterator[Subject]:
    """Everything in the order of a round; what is compared stands close together."""
    ours, plain = running["ours"], running["plain"]
    known = Question("GET", _HOT.path, headers=(("If-None-Match", _etag(ours)),), status=304)
    bare_known = Question("GET", "/known", headers=(("If-None-Match", ETAG),), status=304)

    yield _reading("ours, hot GET", ours, _HOT, replayed=True)
    yield _reading("ours, hot GET with a token", running["guarded"], _HOT_SHOWN, replayed=True)
    yield _reading("bare ASGI, 200", running["bare"], _HOT)
    if "etcd" in running:
        yield _reading("etcd, JSON gateway", running["etcd"], _RANGE)
    yield _reading("Flask-SQLAlchemy, GET", plain, _HOT)
    yield _reading("ours, 304", ours, known, replayed=True)
    yield _reading("bare ASGI, 304", running["bare"], bare_known)
    yield _reading("ours, GET through Flask", ours, _PASSED_ON)
    yield _reading("ours, /healthz through Flask", ours, _HEALTH)
    if "minimal" in running:
        yield _reading("minimal Flask, ASGI", running["minimal"], _HOT)
    yield _reading("minimal Flask, gthread", running["gthread"], _HOT)
    yield _writing("ours, append", ours, ours.folder / "instance" / "distconf.db", _OUR_COUNT)
    yield _writing("Flask-SQLAlchemy, append", plain, plain.folder / "plain.db", _THEIR_COUNT)


def _etag(server: Server) -> str:
    etag = server.ask("GET", _HOT.path)[1]["ETag"]
    assert len(etag) == len(ETAG), f"the bare 304 should be as long as ours: {etag}"
    return etag


def _reading(name: str, server: Server, question: Question, replayed: bool = False) -> Subject:
    _look(server, question)

    def measured(seconds: int) -> Sample:
        return _logged(server, lambda: load.reads(server, question, seconds), replayed)

    return Subject(name, measured)


def _look(server: Server, question: Question) -> None:
    """Raises unless the answer is what is said to be compared."""
    status, _, body = server.ask(
        question.method, question.path, question.body or None, dict(question.headers)
    )
    whole = body == DOCUMENT if question in {_HOT, _HOT_SHOWN, _PASSED_ON} else True
    if question is _RANGE:
        whole = servers.etcd_value(body) == DOCUMENT
    if status != question.status or not whole:
        raise RuntimeError(f"{server.name} answered {status} to {question.path}: {body[:200]!r}")


_OUR_COUNT = "SELECT count(*) FROM versions"
_THEIR_COUNT = "SELECT count(*) FROM version"


def _writing(name: str, server: Server, database: Path, count: str) -> Subject:
    questions = [
        Question("PATCH", f"/config?service={each}", document_for(each), tuple(JSON.items()))
        for each in SERVICES
    ]

    def measured(seconds: int) -> Sample:
        before = _number(database, count)
        sample = _logged(server, lambda: load.own(server, questions, seconds))
        stored = _number(database, count) - before
        if stored < sample.answers:
            raise RuntimeError(f"{name}: {sample.answers} acknowledged, {stored} stored")
        return sample

    return Subject(name, measured)


def _number(database: Path, query: str) -> int:
    with engines.raw_connection(database) as connection:
        return int(connection.execute(query).fetchone()[0])


def _logged(server: Server, measured: Callable[[], Sample], replayed: bool = False) -> Sample:
    """Holds our server to one line in its log for each answer, which also tells whether it was
    replayed; the others keep no such log."""
    if server.name != "ours":
        return measured()
    os.truncate(server.log, 0)
    sample = measured()
    deadline = time.monotonic() + 3
    while True:
        time.sleep(0.3)  # lines of replayed reads are gathered for a tenth of a second
        text = server.log.read_bytes()
        lines, again = text.count(b"\n"), text.count(b'"replayed": true')
        if lines >= sample.answers or time.monotonic() > deadline:
            break
    if lines < sample.answers:
        raise RuntimeError(f"our server logged {lines} of {sample.answers} requests")
    if (again < 0.99 * lines) if replayed else (again > 0):
        raise RuntimeError(f"our server replayed {again} of {lines} answers")
    return sample
