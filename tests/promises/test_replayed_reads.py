"""Reads that the gateway answers from its cache are those that Flask would give."""

import http.client
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from distributed_config.app import create_app
from distributed_config.asgi import wsgi_bridge
from distributed_config.http import database
from distributed_config.live.exchange import Exchange
from distributed_config.settings import Settings
from tests.support.fuzz import FUZZ
from tests.support.processes import resident_bytes
from tests.support.raw_http import JSON, MEBIBYTE, YAML
from tests.support.server import Server


@pytest.fixture(scope="module")
def replaying_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one worker, so that the second request reaches the cache of the first."""
    folder = tmp_path_factory.mktemp("replaying_server") / "instance"
    with Server(folder, workers=1, wait_seconds=1) as running:
        for document in ({"a": 1}, {"a": 2, "b": "text"}, {"a": 3}):
            running.api.put("many", document)
        running.api.enable("many", 1, False)
        running.api.put("one", {"x": "é", "n": 1.5})
        running.api.put("nested", {"x": {"y": [1, None]}})
        running.api.put("gone", {"x": 1})
        running.api.put("gone", {"x": 2})
        running.api.enable("gone", 0, False)
        running.api.delete("gone", version=0)
        running.api.put("off", {"x": 1})
        running.api.enable("off", 0, False)
        yield running


@pytest.fixture
def flask_app(replaying_server: Server) -> Iterator[Flask]:
    """A second application on the database of ``replaying_server``, without the gateway."""
    app = create_app(
        Settings(
            bind=f"127.0.0.1:{replaying_server.port}",
            instance=replaying_server.instance,
            wait_seconds=1,
            log_requests=False,
        )
    )
    yield app
    with app.app_context():
        database.db.engine.dispose()
    app.extensions["distributed_config"].writer.stop()


PASSING = {"date", "server", "connection", "x-request-id"}
OWN_ID = re.compile(rb'"request_id": "[^"]*"')
Request = tuple[str, str, list[tuple[str, str]]]
Comparable = tuple[int, list[tuple[str, str]], bytes]


def call_flask(app: Flask, server: Server, request: Request) -> Comparable:
    """Return Flask's response to ``request``, in an environ like those of the gateway."""
    method, target, headers = request
    path, _, query = target.partition("?")
    all_headers = [("Host", f"127.0.0.1:{server.port}"), *headers]
    scope = {
        "type": "http",
        "method": method,
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "server": ("127.0.0.1", server.port),
        "client": ("127.0.0.1", 1),
        "headers": [(name.lower().encode(), value.encode()) for name, value in all_headers],
    }
    answer = wsgi_bridge.call_wsgi(app.wsgi_app, wsgi_bridge.make_environ(scope, b"", Exchange()))
    raw = [(name.decode(), value.decode("latin-1")) for name, value in answer.headers]
    return comparable(answer.status, raw, answer.body)


def call_gateway(line: http.client.HTTPConnection, request: Request) -> Comparable:
    method, target, headers = request
    line.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers:
        line.putheader(name, value)
    line.endheaders()
    response = line.getresponse()
    body = response.read()
    raw = [(name.lower(), value) for name, value in response.getheaders()]
    return comparable(response.status, raw, body)


def comparable(status: int, headers: list[tuple[str, str]], body: bytes) -> Comparable:
    """Return a response without what differs from one time to the next."""
    stable = sorted(header for header in headers if header[0] not in PASSING)
    return status, stable, OWN_ID.sub(b"", body)


def count_replays(server: Server) -> float:
    """Return how many reads the server has answered from its cache so far."""
    time.sleep(0.2)  # they are counted a few times a second
    text = server.api.http.get("/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "distconf_replayed_reads"
        for sample in family.samples
        if sample.name.endswith("_total")
    )


def requests(server: Server) -> st.SearchStrategy[Request]:
    names = ["many", "one", "nested", "gone", "off", "absent", "a b", ""]
    etags = [
        server.api.get(name, **query).headers.get("ETag", '"none"')
        for name in ("many", "one", "nested", "gone")
        for query in ({}, {"version": "current"}, {"format": "yaml"}, {"version": 0})
    ]
    head = int(server.api.get("one").headers["Config-Revision"])
    query = st.fixed_dictionaries(
        {"service": st.sampled_from(names)},
        optional={
            "version": st.sampled_from(["current", "0", "1", "2", "3", "-1"]),
            "as_of": st.integers(0, head).map(str) | st.just("2000-01-01T00:00:00Z"),
            "format": st.sampled_from(["json", "yaml", "toml", "env", "properties", "xml"]),
            "min_revision": st.integers(0, head).map(str),
            "unknown": st.just("1"),
        },
    ).map(lambda items: "&".join(f"{name}={quote(value)}" for name, value in items.items()))
    tags = st.lists(st.sampled_from([*etags, "*", 'W/"x"', "garbage"]), max_size=3).map(", ".join)
    kinds = ["*/*", JSON, YAML, "application/yaml;q=0.5, */*;q=0.1", "text/html", "garbage", ""]
    header = st.one_of(
        st.tuples(st.just("Accept"), st.sampled_from(kinds)),
        st.tuples(st.just("If-None-Match"), tags),
        st.tuples(st.just("Prefer"), st.sampled_from(["wait=0", "wait=abc", "respond-async", ""])),
        st.tuples(st.just("Cookie"), st.sampled_from(["a=b", "session=x"])),
        st.tuples(st.just("Authorization"), st.sampled_from(["Bearer x", "Basic eA=="])),
        st.tuples(st.just("Origin"), st.sampled_from(["http://evil.example", server.url, "null"])),
        st.tuples(st.just("Sec-Fetch-Site"), st.sampled_from(["none", "cross-site"])),
        st.tuples(st.just("Sec-Fetch-Mode"), st.sampled_from(["navigate", "cors"])),
        st.tuples(st.just("Range"), st.just("bytes=0-1")),
        st.tuples(st.just("If_None_Match"), tags),
        st.tuples(st.just("X-Request-ID"), st.sampled_from(["abc", "not plain"])),
    )
    return st.tuples(
        st.sampled_from(["GET", "GET", "GET", "HEAD"]),
        query.map("/config?{}".format),
        st.lists(header, max_size=4),
    )


def test_a_replayed_response_is_the_one_that_flask_gives(
    replaying_server: Server, flask_app: Flask, drill: bool
) -> None:
    line = http.client.HTTPConnection("127.0.0.1", replaying_server.port, timeout=20)
    etag = replaying_server.api.get("one").headers["ETag"]
    before = count_replays(replaying_server)

    @settings(FUZZ, max_examples=4000 if drill else 250)
    @given(requests(replaying_server))
    @example(("GET", "/config?service=one", [("If-None-Match", etag), ("Prefer", "wait=1")]))
    @example(("GET", "/config?service=one", [("If_None_Match", etag)]))
    @example(("GET", "/config?service=one", []))
    def compare(request: Request) -> None:
        first = call_gateway(line, request)
        again = call_gateway(line, request)
        method, target, headers = request
        # gunicorn drops header names with underscores, which could pass for others.
        passed_on = [header for header in headers if "_" not in header[0]]
        flask = call_flask(flask_app, replaying_server, (method, target, passed_on))

        assert first == flask
        assert again == flask

    compare()
    line.close()
    assert count_replays(replaying_server) - before > 5


def test_no_response_is_replayed_after_a_change_of_its_service(
    replaying_server: Server, flask_app: Flask
) -> None:
    line = http.client.HTTPConnection("127.0.0.1", replaying_server.port, timeout=20)
    api = replaying_server.api
    reads: list[Request] = [
        ("GET", "/config?service=changing", []),
        ("GET", "/config?service=changing&version=current", []),
        ("GET", "/config?service=changing&version=0", []),
        ("GET", "/config?service=changing&as_of=2000-01-01T00:00:00Z", []),
        ("HEAD", "/config?service=changing", []),
    ]
    changes: list[Callable[[], Any]] = [
        lambda: api.post("changing", {"a": 0}),
        lambda: api.patch("changing", {"a": 1}),
        lambda: api.enable("changing", 1, False),
        lambda: api.enable("changing", 0, False),
        lambda: api.delete("changing", version=1),
        lambda: api.enable("changing", 0, True),
        lambda: api.http.post("/api/v1/rollback?service=changing&to=0"),
        lambda: api.http.post("/api/v1/import", json={"changing": {"a": 5}}),
        lambda: api.http.post(
            "/api/v1/changesets", json={"changes": [{"service": "changing", "merge": {"b": 1}}]}
        ),
        *(lambda number=number: api.enable("changing", number, False) for number in (0, 2, 3, 4)),
        lambda: api.delete("changing"),
        lambda: api.put("changing", {"a": "again"}),
    ]
    for change in changes:
        assert change().status_code == 200
        for request in reads:
            flask = call_flask(flask_app, replaying_server, request)
            assert call_gateway(line, request) == flask
            assert call_gateway(line, request) == flask
    line.close()


def test_long_requests_do_not_exceed_the_memory_of_the_cache(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", workers=1, replay_bytes=MEBIBYTE) as server:
        server.api.put("web", {"a": 1})
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        before = resident_bytes(server)
        for number in range(60):
            cookies = [("Cookie", f"{number}-{i}=" + "x" * 7900) for i in range(90)]
            assert call_gateway(line, ("GET", "/config?service=web", cookies))[0] == 200
        assert resident_bytes(server) - before < 32 * MEBIBYTE
        line.close()
