"""What a hostile or broken client may send: every request gets its documented answer, nothing of a
refused one is written, and the server goes on."""

import gzip
import http.client
import json
import re
import resource
import socket
import subprocess
import time
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from distributed_config.app import create_app
from distributed_config.asgi import wsgi_bridge
from distributed_config.http import database
from distributed_config.http.problems import STATUSES
from distributed_config.live.exchange import Exchange
from distributed_config.settings import Settings
from tests.support.server import Api, Server

pytestmark = pytest.mark.many

JSON = "application/json"
YAML = "application/yaml"
TOML = "application/toml"
MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"

MEBIBYTE = 1 << 20
PROBLEM_KEYS = {
    "type", "title", "status", "detail", "code", "problems", "request_id", "success", "error",
    "message",
}  # fmt: skip
SERVERS_OWN = {400, 414, 431}
"""What gunicorn refuses before the application sees it, with a body of its own."""

Fault = tuple[str, str]


# --- asking, and what holds for every answer


@dataclass(frozen=True)
class Heard:
    """One answer as it came over the wire."""

    status: int
    pairs: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.pairs)

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def faults(self) -> set[Fault]:
        return {(each["pointer"], each["rule"]) for each in self.problem["problems"]}

    @property
    def pointers(self) -> set[str]:
        return {each["pointer"] for each in self.problem["problems"]}


def written(
    method: str,
    target: str,
    kind: str | None = None,
    body: bytes = b"",
    headers: Iterable[str | bytes] = (),
    host: str = "127.0.0.1",
) -> bytes:
    """A request as it goes over the wire, with nothing checked, escaped or normalised."""
    lines: list[str | bytes] = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    encoded = [each.encode("latin-1") if isinstance(each, str) else each for each in lines]
    return b"\r\n".join(encoded) + b"\r\n\r\n" + body


def tell(server: Server, sent: bytes, method: str = "GET", seconds: float = 20) -> Heard:
    """The answer to exactly these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as wire:
        wire.sendall(sent)
        return hear(wire, method)


def hear(wire: socket.socket, method: str = "GET") -> Heard:
    with http.client.HTTPResponse(wire, method=method) as response:
        response.begin()
        body = response.read()
        pairs = tuple((name.lower(), value) for name, value in response.getheaders())
        heard = Heard(response.status, pairs, body)
    check_form(heard, method)
    return heard


def ask(server: Server, method: str, target: str, *args: Any, **more: Any) -> Heard:
    return tell(server, written(method, target, *args, **more), method)


def check_form(heard: Heard, method: str) -> None:
    """What every answer has, whatever was asked."""
    headers = heard.headers
    if "x-request-id" not in headers:
        assert heard.status in SERVERS_OWN, heard
        return
    assert re.fullmatch(r"[A-Za-z0-9._:/+=@-]{1,128}", headers["x-request-id"])
    assert headers["x-content-type-options"] == "nosniff", heard
    assert not headers.get("content-type", "").startswith("text/html"), heard
    assert heard.status < 500 or (heard.status in {503, 507} and "retry-after" in headers), heard
    if heard.status >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert headers["cache-control"] == "no-store"
        assert heard.status in STATUSES.values()
        if method != "HEAD":
            check_problem(heard)


def check_problem(heard: Heard) -> None:
    problem = heard.problem
    assert problem.keys() >= PROBLEM_KEYS
    assert problem["success"] is False
    assert problem["status"] == problem["error"] == heard.status
    assert problem["request_id"] == heard.headers["x-request-id"]
    assert problem["detail"]
    assert len(problem["problems"]) <= 100
    # An error is read by people: it does not carry the request, or what is stored, back.
    assert len(heard.body) < MEBIBYTE


# --- what must not change


class Watch:
    """Looks, over one connection, at all services whose names begin with ``name``, and at the
    journal. One of them exists."""

    def __init__(self, server: Server, name: str) -> None:
        self.name = name
        self._line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        assert server.api.put(name, {"kept": True}).status_code == 200

    def seen(self) -> tuple[bytes, str | None]:
        """Everything that a refused request could have changed."""
        self._line.request("GET", f"/api/v1/export?prefix={self.name}")
        response = self._line.getresponse()
        return response.read(), response.headers["Config-Revision"]

    def close(self) -> None:
        self._line.close()


@pytest.fixture(scope="module")
def watches(server: Server) -> Iterator[list[Watch]]:
    """The newest is in use; one that a test spoilt is followed by another."""
    made: list[Watch] = []
    yield made
    for watch in made:
        watch.close()


@pytest.fixture
def target(server: Server, watches: list[Watch], name: str) -> Iterator[str]:
    """A service that must afterwards be what it was, as must the journal. ``…-absent`` is none."""
    if not watches:
        watches.append(Watch(server, name))
    watch = watches[-1]
    before = watch.seen()
    yield watch.name
    try:
        assert watch.seen() == before
    except AssertionError:
        watches.append(Watch(server, name))
        raise


# --- bodies


@dataclass(frozen=True)
class Door:
    """A way in for a document. ``wrap`` puts it into the body that this way takes."""

    method: str
    path: str
    kind: str = JSON
    before: str = ""
    after: str = ""
    pointer: str = ""

    def send(self, server: Server, name: str, fragment: bytes, kind: str | None = None) -> Heard:
        before, after = (each.replace("NAME", name).encode() for each in (self.before, self.after))
        path = self.path.replace("NAME", name)
        return ask(server, self.method, path, kind or self.kind, before + fragment + after)

    def placed(self, name: str, pointers: Iterable[str]) -> set[str]:
        return {self.pointer.replace("NAME", name) + pointer for pointer in pointers}


POST = Door("POST", "/config?service=NAME-absent")
PUT_NEW = Door("PUT", "/config?service=NAME-absent")
PUT = Door("PUT", "/config?service=NAME")
APPEND = Door("PATCH", "/config?service=NAME")
CHANGESET = Door(
    "POST",
    "/api/v1/changesets",
    before='{"changes": [{"service": "NAME", "document": ',
    after="}]}",
    pointer="/changes/0/document",
)
IMPORT = Door("POST", "/api/v1/import", before='{"NAME": ', after="}", pointer="/NAME")
MERGE_PATCH = Door("PATCH", "/config?service=NAME", MERGE)
JSON_PATCH = Door(
    "PATCH",
    "/config?service=NAME",
    PATCH,
    before='[{"op": "add", "path": "/x", "value": ',
    after="}]",
    pointer="/0/value",
)
MERGE_STEP = Door(
    "POST",
    "/api/v1/changesets",
    before='{"changes": [{"service": "NAME", "merge": ',
    after="}]}",
    pointer="/changes/0/merge",
)

DOCUMENT_DOORS = [
    pytest.param(POST, id="POST"),
    pytest.param(PUT_NEW, id="PUT-new"),
    pytest.param(PUT, id="PUT"),
    pytest.param(APPEND, id="PATCH"),
    pytest.param(CHANGESET, id="changeset"),
    pytest.param(IMPORT, id="import"),
]
PATCH_DOORS = [
    pytest.param(MERGE_PATCH, id="merge-patch"),
    pytest.param(JSON_PATCH, id="json-patch"),
    pytest.param(MERGE_STEP, id="changeset-merge"),
]


def many_keys(count: int) -> bytes:
    return b"{%s}" % b",".join(b'"k%d":0' % i for i in range(count))


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


# What JSON leaves open, or two readers understand differently: refused wherever it comes in.
AMBIGUOUS = [
    pytest.param(b'{"a":1,"a":2}', {("/a", "duplicate")}, id="duplicate-key"),
    pytest.param(
        b'{"x":{"a":1,"a":2,"b":3,"b":4}}',
        {("/x/a", "duplicate"), ("/x/b", "duplicate")},
        id="two-duplicate-keys",
    ),
    pytest.param(b'{"a/b~c":1,"a/b~c":2}', {("/a~1b~0c", "duplicate")}, id="duplicate-odd-key"),
    pytest.param(b'{"a":NaN}', {("/a", "number")}, id="NaN"),
    pytest.param(b'{"a":Infinity}', {("/a", "number")}, id="Infinity"),
    pytest.param(b'{"a":[0,-Infinity]}', {("/a/1", "number")}, id="minus-Infinity"),
    pytest.param(b'{"a":1e999}', {("/a", "number")}, id="1e999"),
    pytest.param(b'{"a":-1e999}', {("/a", "number")}, id="minus-1e999"),
    pytest.param(b'{"a":%s}' % (b"9" * 5000), {("/a", "number")}, id="5000-digits"),
    pytest.param(b'{"a":-%s}' % (b"9" * 1001), {("/a", "number")}, id="minus-1001-digits"),
    pytest.param(b'{"a":"\\ud800"}', {("/a", "encoding")}, id="lone-surrogate"),
    pytest.param(b'{"a":"\\udc00\\ud800"}', {("/a", "encoding")}, id="surrogates-reversed"),
    pytest.param(b'{"\\ud800":1}', {("", "encoding")}, id="lone-surrogate-in-key"),
    pytest.param(
        b'{"a":NaN,"b":{"c":1,"c":2},"d":["\\ud800",1e999,{"\\udfff":0}]}',
        {
            ("/a", "number"),
            ("/b/c", "duplicate"),
            ("/d/0", "encoding"),
            ("/d/1", "number"),
            ("/d/2", "encoding"),
        },
        id="five-faults-at-once",
    ),
]

# Unambiguous JSON that is no document.
UNSTORABLE = [
    pytest.param(b"[]", {("", "type")}, id="array"),
    pytest.param(b'"text"', {("", "type")}, id="string"),
    pytest.param(b"1", {("", "type")}, id="number"),
    pytest.param(b"true", {("", "type")}, id="true"),
    pytest.param(nested(65), {("/a" * 64, "depth")}, id="depth-65"),
    pytest.param(
        b'{"a":%s%s}' % (b"[" * 65, b"]" * 65), {("/a" + "/0" * 63, "depth")}, id="array-depth-66"
    ),
    pytest.param(many_keys(10_001), {("", "keys")}, id="10001-keys"),
    pytest.param(many_keys(100_000), {("", "keys")}, id="100000-keys"),
    pytest.param(b'{"a":"%s"}' % (b"x" * MEBIBYTE), {("", "size")}, id="1-MiB-and-some"),
    pytest.param(b'{"service":"another"}', {("/service", "service")}, id="service-of-another"),
    pytest.param(b'{"service":null}', {("/service", "service")}, id="service-null"),
    pytest.param(
        b'{"service":["x"],"a":%s}' % nested(64),
        {("/service", "service"), ("/a" * 64, "depth")},
        id="two-faults-at-once",
    ),
]

# Not JSON in UTF-8 at all, from the first byte to the last.
UNREADABLE = [
    pytest.param(b"", "json", id="empty"),
    pytest.param(b" \r\n", "json", id="blank"),
    pytest.param(b"\xef\xbb\xbf{}", "encoding", id="BOM"),
    pytest.param('{"a":1}'.encode("utf-16"), "encoding", id="UTF-16"),
    pytest.param('{"a":1}'.encode("utf-16-le"), "json", id="UTF-16-without-BOM"),
    pytest.param('{"a":1}'.encode("utf-32"), "encoding", id="UTF-32"),
    pytest.param(b'{"a":"\xff"}', "encoding", id="byte-FF"),
    pytest.param(b'{"a":"\xc0\xaf"}', "encoding", id="overlong"),
    pytest.param(b'{"a":"\xed\xa0\x80"}', "encoding", id="surrogate-bytes"),
    pytest.param(b'{"a":"\xe9"}', "encoding", id="latin-1"),
    pytest.param(b'{"a":', "json", id="cut-off"),
    pytest.param(b'{"a":1}x', "json", id="trailing"),
    pytest.param(b"{}{}", "json", id="two-documents"),
    pytest.param(b'{"a":1,}', "json", id="trailing-comma"),
    pytest.param(b"{'a':1}", "json", id="single-quotes"),
    pytest.param(b'{"a":01}', "json", id="leading-zero"),
    pytest.param(b'{"a":+1}', "json", id="plus-sign"),
    pytest.param(b'{"a":1} // no', "json", id="comment"),
    pytest.param(b'{"a":"\n"}', "json", id="control-character"),
    pytest.param(b'{"a":"\x00"}', "json", id="NUL"),
    pytest.param(b'{"a":"\\x41"}', "json", id="bad-escape"),
    pytest.param(b"\x00" * 100_000, "json", id="zeros"),
    pytest.param(b"[" * 100_000, "depth", id="100000-brackets"),
    pytest.param(b'{"a":' * 100_000, "depth", id="100000-braces"),
    pytest.param(nested(100_000), "depth", id="depth-100000"),
]


@pytest.mark.parametrize("door", DOCUMENT_DOORS)
@pytest.mark.parametrize(("fragment", "faults"), [*AMBIGUOUS, *UNSTORABLE])
def test_every_fault_of_a_document_is_named_and_nothing_is_written(
    server: Server, target: str, door: Door, fragment: bytes, faults: set[Fault]
) -> None:
    heard = door.send(server, target, fragment)

    assert heard.status == 422
    assert heard.problem["code"] == "invalid-document"
    assert heard.pointers == door.placed(target, (pointer for pointer, _ in faults))
    if not door.pointer:
        assert heard.faults == faults


@pytest.mark.parametrize("door", PATCH_DOORS)
@pytest.mark.parametrize(("fragment", "faults"), AMBIGUOUS)
def test_every_fault_of_a_patch_is_named_and_nothing_is_written(
    server: Server, target: str, door: Door, fragment: bytes, faults: set[Fault]
) -> None:
    heard = door.send(server, target, fragment)

    assert heard.status == 422
    assert heard.problem["code"] == "invalid-document"
    assert heard.pointers == door.placed(target, (pointer for pointer, _ in faults))


@pytest.mark.parametrize("door", [*DOCUMENT_DOORS, *PATCH_DOORS])
@pytest.mark.parametrize(("body", "rule"), UNREADABLE)
def test_a_body_that_is_not_json_in_utf_8_is_refused(
    server: Server, target: str, door: Door, body: bytes, rule: str
) -> None:
    heard = ask(server, door.method, door.path.replace("NAME", target), door.kind, body)

    assert heard.status == 422
    assert heard.problem["code"] == "invalid-document"
    assert heard.faults == {("", rule)}


@pytest.mark.parametrize("door", [*DOCUMENT_DOORS, *PATCH_DOORS])
@pytest.mark.parametrize(
    "fragment",
    [
        pytest.param(b'{"\\ud800":{"a":NaN}}', id="a-fault-below-it"),
        pytest.param(b'{"\\ud800":1,"\\ud800":2}', id="given-twice"),
        pytest.param(b'{"\\udfff":%s}' % nested(300), id="deep-below-it"),
    ],
)
def test_a_key_that_cannot_be_written_out_is_no_mistake_of_the_server(
    server: Server, target: str, door: Door, fragment: bytes
) -> None:
    heard = door.send(server, target, fragment)

    assert heard.status == 422
    assert heard.problem["code"] == "invalid-document"
    assert heard.problem["problems"]


def test_an_import_of_services_with_bad_names_points_at_each(server: Server, target: str) -> None:
    body = b'{"../x":{},"ok":{"a":NaN},"a b":{},"\\u0000":[],"a//b":{},"\\ud800":{}}'

    heard = ask(server, "POST", "/api/v1/import", JSON, body)

    assert heard.status == 422
    assert heard.pointers >= {"/..~1x", "/ok/a", "/a b", "/\x00", "/a~1~1b"}


def test_a_changeset_points_at_every_entry_that_is_wrong(server: Server, target: str) -> None:
    changes = [
        {"service": "../x", "document": {}},
        {"service": target},
        {"service": f"{target}-2", "document": {}, "merge": {}},
        {"service": f"{target}-3", "rollback": -1},
        {"service": f"{target}-4", "enable": 2**64},
        {"service": f"{target}-5", "disable": True},
        {"service": f"{target}-6", "document": {}, "unknown": 1},
        "text",
    ]

    heard = ask(
        server, "POST", "/api/v1/changesets", JSON, json.dumps({"changes": changes}).encode()
    )

    assert heard.status == 422
    assert {re.match(r"/changes/\d", each)[0] for each in heard.pointers} == {  # type: ignore[index]
        f"/changes/{i}" for i in range(len(changes))
    }


def test_a_changeset_of_which_one_entry_fails_writes_none(server: Server, target: str) -> None:
    changes = [
        {"service": target, "document": {"a": 1}},
        {"service": f"{target}-absent", "document": {"a": 1}},
        {"service": f"{target}-nowhere", "rollback": 0},
        {"service": f"{target}-2", "document": {"a": 1}, "if_match": '"0.0.0"'},
    ]

    heard = ask(
        server, "POST", "/api/v1/changesets", JSON, json.dumps({"changes": changes}).encode()
    )

    assert heard.status == 404
    assert heard.pointers == {"/changes/2", "/changes/3"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/api/v1/changesets", b'{"changes":[0%s]}' % (b",0" * 5000), id="0"),
        pytest.param("/api/v1/changesets", b'{"changes":[{}%s]}' % (b",{}" * 5000), id="{}"),
        pytest.param("/api/v1/changesets", many_keys(5000), id="unknown-keys"),
        pytest.param(
            "/api/v1/services/tags?service=NAME",
            b'{"tags":[0%s]}' % (b",0" * 5000),
            id="tags",
        ),
        pytest.param(
            "/api/v1/import",
            b"{%s}" % b",".join(b'" %d":0' % i for i in range(5000)),
            id="import",
        ),
        pytest.param("/config?service=NAME", b'{"a":[NaN%s]}' % (b",NaN" * 5000), id="document"),
    ],
)
def test_of_very_many_faults_a_hundred_are_told(
    server: Server, target: str, path: str, body: bytes
) -> None:
    method = "PUT" if "service" in path else "POST"

    heard = ask(server, method, path.replace("NAME", target), JSON, body)

    assert heard.status == 422
    assert 0 < len(heard.problem["problems"]) <= 100


def test_a_long_key_is_not_told_a_hundred_times_over(server: Server, target: str) -> None:
    """A body of a megabyte would else be answered with a hundred."""
    body = b'{"%s":[NaN%s]}' % (b"k" * 100_000, b",NaN" * 200)

    for door in (PUT, CHANGESET, IMPORT, MERGE_PATCH, JSON_PATCH):
        heard = door.send(server, target, body)

        assert heard.status == 422
        assert heard.problem["problems"]


def test_whole_numbers_are_kept_exactly(api: Api, server: Server, name: str) -> None:
    text = (
        '{"a": 18446744073709551616, "b": -18446744073709551617, '
        f'"c": {"9" * 1000}, "d": 1e-320, "e": -0.0, "f": 0.1}}'
    )

    for door in (PUT, APPEND):
        assert door.send(server, name, text.encode()).status == 200
        assert api.get(name, version="current").text == text


# --- YAML and TOML


YAML_BODIES = [
    pytest.param(b"[" * 60_000, {("", "yaml")}, id="60000-brackets"),
    pytest.param(b"{a: " * 60_000, {("", "yaml")}, id="60000-braces"),
    pytest.param(b"- " * 60_000, {("", "yaml")}, id="60000-dashes"),
    pytest.param(b"? " * 60_000, {("", "key")}, id="60000-questions"),
    pytest.param(b"a: " + b"[" * 65 + b"]" * 65, {("", "yaml")}, id="depth-66"),
    pytest.param(b"base: {x: 1}\na:\n  <<: {y: 2}\n", {("", "yaml")}, id="merge-key"),
    pytest.param(b"a: &x 1\n", {("", "yaml")}, id="anchor"),
    pytest.param(b"a: *x\n", {("", "yaml")}, id="alias"),
    pytest.param(
        b"a0: &a0 [x]\n"
        + b"".join(
            b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 10)
        ),
        {("", "yaml")},
        id="alias-bomb",
    ),
    pytest.param(b"a: &a [*a]\n", {("", "yaml")}, id="circle"),
    pytest.param(b"a: !!python/object/apply:os.system [id]\n", {("", "yaml")}, id="python-object"),
    pytest.param(b"!!python/object:object {}\n", {("", "yaml")}, id="python-root"),
    pytest.param(b"a: !!binary aGk=\n", {("", "yaml")}, id="binary"),
    pytest.param(b"a: !!str 1\n", {("", "yaml")}, id="str-tag"),
    pytest.param(b"a: !own 1\n", {("", "yaml")}, id="own-tag"),
    pytest.param(b"! a: 1\n", {("", "yaml")}, id="non-specific-tag"),
    pytest.param(b"%YAML 1.1\n---\na: no\n", {("", "yaml")}, id="directive"),
    pytest.param(b"%TAG ! tag:x,2000:\n---\na: 1\n", {("", "yaml")}, id="tag-directive"),
    pytest.param(b"a: 1\n---\nb: 2\n", {("", "yaml")}, id="two-documents"),
    pytest.param(b"--- {}\n" * 1000, {("", "yaml")}, id="1000-documents"),
    pytest.param(b"a: 1\n...\nb: 2\n", {("", "yaml")}, id="document-end"),
    pytest.param(b"a: 1\na: 2\n", {("", "yaml")}, id="duplicate-key"),
    pytest.param(b"a: {x: 1, x: 2}\n", {("", "yaml")}, id="nested-duplicate-key"),
    pytest.param(b"1: a\n", {("", "key")}, id="number-key"),
    pytest.param(b"~: a\n", {("", "key")}, id="null-key"),
    pytest.param(b"true: a\nx: {2001-01-01: b}\n", {("", "key"), ("/x", "key")}, id="two-keys"),
    pytest.param(b"a: .inf\n", {("/a", "number")}, id="inf"),
    pytest.param(b"a: [-.inf, .nan]\n", {("/a/0", "number"), ("/a/1", "number")}, id="nan"),
    pytest.param(b"a: 1e999\n", {("/a", "number")}, id="1e999"),
    pytest.param(b"a: " + b"9" * 5000, {("/a", "number")}, id="5000-digits"),
    pytest.param(b"a: 0x" + b"f" * 5000, {("/a", "number")}, id="5000-hex-digits"),
    pytest.param(b"a: 2001-01-01\n", {("/a", "type")}, id="date"),
    pytest.param(b"a: 2001-01-01T00:00:00Z\n", {("/a", "type")}, id="time"),
    pytest.param(b"a: 2001-13-45\n", {("", "yaml")}, id="impossible-date"),
    pytest.param(b'a: "\\ud800"\n', {("", "yaml")}, id="lone-surrogate"),
    pytest.param(b"a: \x00\n", {("", "yaml")}, id="NUL"),
    pytest.param(b"\xef\xbb\xbfa: 1\n", {("", "encoding")}, id="BOM"),
    pytest.param("a: 1\n".encode("utf-16"), {("", "encoding")}, id="UTF-16"),
    pytest.param(b"a: \xff\n", {("", "encoding")}, id="byte-FF"),
    pytest.param(b"a: \t1\n\tb: 2\n", {("", "yaml")}, id="tabs"),
    pytest.param(b"a: [1\n", {("", "yaml")}, id="cut-off"),
    pytest.param(b"a: 'x\n", {("", "yaml")}, id="open-quote"),
    pytest.param(b"a: @x\n", {("", "yaml")}, id="reserved"),
    pytest.param(b"a", {("", "type")}, id="scalar"),
    pytest.param(b"- a\n", {("", "type")}, id="sequence"),
    pytest.param(b"", {("", "type")}, id="empty"),
    pytest.param(b"# nothing\n", {("", "type")}, id="comment"),
]

TOML_BODIES = [
    pytest.param(b"a = " + b"[" * 60_000, {("", "depth")}, id="60000-brackets"),
    pytest.param(b"a = " + b"{a = " * 50_000, {("", "depth")}, id="50000-braces"),
    pytest.param(b"a." * 65 + b"a = 1", {("", "depth")}, id="66-dotted-keys"),
    pytest.param(b"a = 2001-01-01\n", {("/a", "type")}, id="date"),
    pytest.param(b"a = 07:32:00\n", {("/a", "type")}, id="time-of-day"),
    pytest.param(
        b"a = 2001-01-01T00:00:00Z\nb = 0001-01-01T00:00:00+23:59\n",
        {("/a", "type"), ("/b", "type")},
        id="two-times",
    ),
    pytest.param(b"a = [-inf, nan]\n", {("/a/0", "number"), ("/a/1", "number")}, id="inf"),
    pytest.param(b"a = 1e999\n", {("/a", "number")}, id="1e999"),
    pytest.param(b"a = 1\na = 2\n", {("", "toml")}, id="duplicate-key"),
    pytest.param(b"[a]\n[a]\n", {("", "toml")}, id="duplicate-table"),
    pytest.param(b"a = " + b"9" * 5000, {("", "toml")}, id="5000-digits"),
    pytest.param(b"a = 0x" + b"f" * 5000, {("/a", "number")}, id="5000-hex-digits"),
    pytest.param(b'a = "\\ud800"\n', {("", "toml")}, id="lone-surrogate"),
    pytest.param(b"a = 2001-13-45\n", {("", "toml")}, id="impossible-date"),
    pytest.param(b"\xef\xbb\xbfa = 1\n", {("", "encoding")}, id="BOM"),
    pytest.param("a = 1\n".encode("utf-16"), {("", "encoding")}, id="UTF-16"),
    pytest.param(b"a = \x00\n", {("", "toml")}, id="NUL"),
    pytest.param(b"a = \n", {("", "toml")}, id="cut-off"),
    pytest.param(b'{"a":1}', {("", "toml")}, id="json"),
]  # fmt: skip

TEXT_DOORS = [
    pytest.param(POST, id="POST"),
    pytest.param(PUT, id="PUT"),
    pytest.param(APPEND, id="PATCH"),
]


@pytest.mark.parametrize("door", TEXT_DOORS)
@pytest.mark.parametrize(
    ("kind", "body", "faults"),
    [
        pytest.param(kind, *each.values, id=f"{kind[-4:]}-{each.id}")
        for kind, bodies in ((YAML, YAML_BODIES), (TOML, TOML_BODIES))
        for each in bodies
    ],
)
def test_every_fault_of_a_yaml_or_toml_text_is_named(
    server: Server, target: str, door: Door, kind: str, body: bytes, faults: set[Fault]
) -> None:
    heard = door.send(server, target, body, kind)

    assert heard.status == 422
    assert heard.problem["code"] == "invalid-document"
    assert heard.faults == faults


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param(kind, each.values[0], id=f"{kind[-4:]}-{each.id}")
        for kind, bodies in ((YAML, YAML_BODIES), (TOML, TOML_BODIES))
        for each in bodies
    ],
)
def test_a_hostile_yaml_or_toml_text_is_refused_also_where_it_holds_many_services(
    server: Server, target: str, kind: str, body: bytes
) -> None:
    heard = ask(server, "POST", "/api/v1/import", kind, body)

    assert heard.status == 422
    assert heard.problem["problems"]


@pytest.mark.parametrize("door", [*DOCUMENT_DOORS, *PATCH_DOORS])
@pytest.mark.parametrize("kind", [None, YAML, TOML])
def test_a_body_over_the_limit_of_its_kind_is_413(
    server: Server, target: str, door: Door, kind: str | None
) -> None:
    if kind is not None and door.kind != JSON:
        kind = None
    size = 2 * MEBIBYTE + 1 if kind is None else (256 << 10) + 1

    heard = ask(
        server, door.method, door.path.replace("NAME", target), kind or door.kind, b" " * size
    )

    assert heard.status == 413
    assert heard.problem["code"] == "too-large"
    assert "DISTCONF_" in heard.problem["detail"]


# --- what the body is said to be


@pytest.mark.parametrize("door", [*DOCUMENT_DOORS, *PATCH_DOORS])
@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; charset=utf-8",
        "text/html",
        "text/xml",
        "application/xml",
        "application/octet-stream",
        "application/javascript",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/merge-patch+json; charset=utf-16",
        "application/json-patch+json; charset=utf-16",
        "text/x-env",
        "text/x-java-properties",
        "json",
        "application/",
        "/",
        ";",
        "a" * 8000,
    ],
)
def test_a_kind_of_body_that_is_not_read_is_refused(
    server: Server, target: str, door: Door, kind: str
) -> None:
    heard = door.send(server, target, b'{"a": 1}', kind)

    assert heard.status == 422
    assert heard.problem["code"] == "unsupported-media-type"


@pytest.mark.parametrize("door", [*DOCUMENT_DOORS, *PATCH_DOORS])
def test_a_body_of_which_nothing_is_said_is_refused(
    server: Server, target: str, door: Door
) -> None:
    path = door.path.replace("NAME", target)

    heard = ask(server, door.method, path, None, b'{"a": 1}')

    assert heard.status == 422
    assert heard.problem["code"] == "unsupported-media-type"


@pytest.mark.parametrize("door", [POST, PUT, PUT_NEW, IMPORT], ids=["POST", "PUT", "new", "import"])
@pytest.mark.parametrize("kind", [MERGE, PATCH])
def test_a_patch_is_not_taken_for_a_document(
    server: Server, target: str, door: Door, kind: str
) -> None:
    heard = door.send(server, target, b'{"a": null}', kind)

    assert heard.status == 422
    assert heard.problem["code"] == "unsupported-media-type"


BOMB = gzip.compress(bytes(20 * MEBIBYTE))


@pytest.mark.parametrize("door", [*DOCUMENT_DOORS, *PATCH_DOORS])
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("gzip", gzip.compress(b'{"a": 1}'), id="gzip"),
        pytest.param("gzip", BOMB, id="gzip-bomb"),
        pytest.param("gzip, gzip", gzip.compress(BOMB), id="bomb-in-a-bomb"),
        pytest.param("deflate", zlib.compress(b'{"a": 1}'), id="deflate"),
        pytest.param("br", b"\x00", id="brotli"),
        pytest.param("gzip", b'{"a": 1}', id="plain-said-to-be-gzip"),
        pytest.param("\xff", b'{"a": 1}', id="garbage"),
    ],
)
def test_a_compressed_body_is_415_and_never_unpacked(
    server: Server, target: str, door: Door, encoding: str, body: bytes
) -> None:
    path = door.path.replace("NAME", target)

    heard = ask(
        server, door.method, path, door.kind, body, headers=[f"Content-Encoding: {encoding}"]
    )

    assert heard.status == 415
    assert heard.problem["code"] == "unsupported-content-encoding"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/config?service=NAME"),
        ("DELETE", "/config?service=NAME&version=0"),
        ("PATCH", "/config?service=NAME&version=0&enabled=false"),
        ("POST", "/api/v1/rollback?service=NAME&to=0"),
    ],
)
def test_a_body_where_none_belongs_is_refused(
    server: Server, target: str, method: str, path: str
) -> None:
    heard = ask(server, method, path.replace("NAME", target), JSON, b'{"a": 1}')

    assert heard.status == 422


# --- how the body comes


def flood(server: Server, head: bytes, parts: Iterable[bytes]) -> Heard:
    """Sends ``parts`` until the server answers or no longer listens; the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        wire.sendall(head)
        wire.setblocking(False)
        for part in parts:
            if not _sent(wire, part):
                break
        wire.settimeout(20)
        return hear(wire)


def _sent(wire: socket.socket, part: bytes) -> bool:
    """Whether all of ``part`` went out before anything came in."""
    while part:
        try:
            if wire.recv(1, socket.MSG_PEEK):
                return False
        except BlockingIOError:
            pass
        try:
            part = part[wire.send(part) :]
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            return False
    return True


def framed(method: str, path: str, *framing: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {JSON}", *framing]
    return "\r\n".join([*lines, "", ""]).encode()


WRITES = [
    pytest.param("POST", "/config?service=NAME-absent", id="POST"),
    pytest.param("PUT", "/config?service=NAME", id="PUT"),
    pytest.param("PATCH", "/config?service=NAME", id="PATCH"),
    pytest.param("POST", "/api/v1/changesets", id="changesets"),
    pytest.param("POST", "/api/v1/import", id="import"),
]


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["", "expect"])
def test_a_hundred_mebibytes_are_refused_by_their_length(
    server: Server, target: str, method: str, path: str, expect: tuple[str, ...]
) -> None:
    length = f"Content-Length: {100 * MEBIBYTE}"
    head = framed(method, path.replace("NAME", target), length, *expect)

    heard = flood(server, head, (b" " * MEBIBYTE for _ in range(100)))

    assert heard.status == 413
    assert heard.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "size"),
    [
        *(pytest.param(*each.values, 64 << 10, id=str(each.id)) for each in WRITES),
        pytest.param("GET", "/config?service=NAME", 64 << 10, id="GET"),
        pytest.param("PUT", "/config?service=NAME", 50, id="PUT-small-chunks"),
    ],
)
def test_a_body_without_an_end_is_refused_when_it_is_too_large(
    server: Server, target: str, method: str, path: str, size: int
) -> None:
    head = framed(method, path.replace("NAME", target), "Transfer-Encoding: chunked")
    piece = (b"%x\r\n%s\r\n" % (size, b" " * size)) * max(1, (64 << 10) // size)

    # As much as a hundred mebibytes, unless the server answers before.
    heard = flood(server, head, (piece for _ in range(100 * MEBIBYTE // len(piece))))

    assert heard.status == 413
    assert heard.headers["connection"] == "close"


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
@pytest.mark.parametrize("half", [True, False], ids=["half-closed", "closed"])
def test_a_body_that_is_cut_off_is_not_written(
    server: Server, target: str, method: str, path: str, framing: str, half: bool
) -> None:
    """The part that came is a whole document, and must still not be taken for one."""
    piece = b'{"a": 1}'
    if "chunked" in framing:
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        wire.sendall(framed(method, path.replace("NAME", target), framing) + piece)
        if half:
            wire.shutdown(socket.SHUT_WR)
            # Nobody may be there to read an answer; where one comes it says why.
            came = wire.recv(65536)
            assert came == b"" or came.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("framing", "came"),
    [
        pytest.param("Content-Length: 9", b'{"a": 1}', id="length"),
        pytest.param("Content-Length: 2000000", b"", id="nothing"),
        pytest.param("Transfer-Encoding: chunked", b'8\r\n{"a": 1}\r\n', id="chunked"),
        pytest.param("Transfer-Encoding: chunked", b"f" * 40 + b"\r\n{}", id="huge-chunk"),
    ],
)
def test_a_body_that_does_not_come_in_time_is_408(
    slow_server: Server, name: str, framing: str, came: bytes
) -> None:
    watch = Watch(slow_server, name)
    before = watch.seen()
    head = framed("PUT", f"/config?service={name}", framing)

    heard = tell(slow_server, head + came)

    assert heard.status == 408
    assert heard.problem["code"] == "body-incomplete"
    assert heard.headers["connection"] == "close"
    assert watch.seen() == before
    watch.close()


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of little patience."""
    folder = tmp_path_factory.mktemp("slow") / "instance"
    with Server(folder, body_seconds=1, wait_seconds=1) as running:
        yield running


def test_many_slow_senders_do_not_stop_the_others(slow_server: Server, name: str) -> None:
    """More of them than there are threads: a body that is awaited takes none."""
    slow_server.api.put(name, {"a": 1})
    head = framed("PUT", f"/config?service={name}", "Content-Length: 9")
    lines = []
    try:
        for _ in range(150):
            line = socket.create_connection(("127.0.0.1", slow_server.port), timeout=20)
            line.sendall(head + b'{"a": 1')
            lines.append(line)
        assert ask(slow_server, "GET", f"/config?service={name}").body == b'{"a": 1}'
        assert ask(slow_server, "PATCH", f"/config?service={name}", JSON, b"{}").status == 200
        assert {hear(line).status for line in lines} == {408}
    finally:
        for line in lines:
            line.close()


SMUGGLED = b"PUT /config?service=NAME-absent HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"  # noqa: E501


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(("Content-Length: 5", "Transfer-Encoding: chunked"), id="length-and-chunked"),
        pytest.param(("Transfer-Encoding: chunked", "Content-Length: 5"), id="chunked-and-length"),
        pytest.param(("Content-Length: 5", "Content-Length: 6"), id="two-lengths"),
        pytest.param(("Content-Length: 5, 6",), id="list-of-lengths"),
        pytest.param(("Content-Length: +5",), id="plus"),
        pytest.param(("Content-Length: -5",), id="minus"),
        pytest.param(("Content-Length: 0x5",), id="hex"),
        pytest.param(("Content-Length: 5 5",), id="space"),
        pytest.param(("Content-Length: \xb2",), id="superscript"),
        pytest.param(("Content-Length: " + "9" * 5000,), id="5000-digits"),
        pytest.param(("Content-Length:",), id="empty"),
        pytest.param(("Transfer-Encoding: gzip",), id="gzip"),
        pytest.param(("Transfer-Encoding: chunked, gzip",), id="chunked-gzip"),
        pytest.param(("Transfer-Encoding: xchunked",), id="xchunked"),
        pytest.param(("Transfer-Encoding : chunked",), id="space-before-colon"),
        pytest.param(("Transfer_Encoding: chunked", "Content-Length: -1"), id="underscore"),
    ],
)
def test_a_body_of_doubtful_length_is_refused_and_no_request_hides_in_it(
    server: Server, target: str, framing: tuple[str, ...]
) -> None:
    head = framed("PUT", f"/config?service={target}", *framing)
    inside = b"0\r\n\r\n" + SMUGGLED.replace(b"NAME", target.encode())

    heard = tell(server, head + inside)

    assert heard.status == 400


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(b"zz\r\n{}\r\n0\r\n\r\n", id="not-hex"),
        pytest.param(b"-2\r\n{}\r\n0\r\n\r\n", id="negative"),
        pytest.param(b"0x2\r\n{}\r\n0\r\n\r\n", id="0x"),
        pytest.param(b"1\r\n{}\r\n0\r\n\r\n", id="shorter-than-sent"),
    ],
)
def test_bad_chunks_are_refused(server: Server, target: str, chunks: bytes) -> None:
    head = framed("PUT", f"/config?service={target}", "Transfer-Encoding: chunked")

    heard = tell(server, head + chunks)

    assert heard.status == 400


# --- names


BAD_NAMES = [
    pytest.param("", id="empty"),
    pytest.param("..", id="dots"),
    pytest.param("../etc/passwd", id="climbing"),
    pytest.param("a/../b", id="climbing-inside"),
    pytest.param("a/./b", id="dot-segment"),
    pytest.param("%2e%2e%2fx", id="climbing-escaped"),
    pytest.param("%252e%252e", id="escaped-twice"),
    pytest.param("a%252Fb", id="slash-escaped-twice"),
    pytest.param("a%00b", id="NUL"),
    pytest.param("%00", id="only-NUL"),
    pytest.param("a%0Ab", id="newline"),
    pytest.param("a%0D%0AX-Evil:%201", id="CRLF"),
    pytest.param("a%0A", id="newline-at-the-end"),
    pytest.param("a%1B%5B31m", id="escape-sequence"),
    pytest.param("a%C2%85b", id="NEL"),
    pytest.param("a%E2%80%A8b", id="line-separator"),
    pytest.param("a%20b", id="space"),
    pytest.param("a+b", id="plus"),
    pytest.param("%20a", id="leading-space"),
    pytest.param("a%20", id="trailing-space"),
    pytest.param("a%09b", id="tab"),
    pytest.param(".hidden", id="leading-dot"),
    pytest.param("a/.hidden", id="leading-dot-in-segment"),
    pytest.param("-a", id="leading-dash"),
    pytest.param("a//b", id="empty-segment"),
    pytest.param("/a", id="leading-slash"),
    pytest.param("a/", id="trailing-slash"),
    pytest.param("%2F", id="only-a-slash"),
    pytest.param("a" * 201, id="201-characters"),
    pytest.param("a" * 5000, id="5000-characters"),
    pytest.param("%C3%A9" * 201, id="201-letters"),
    pytest.param("e%CC%81", id="not-NFC"),
    pytest.param("%EF%AC%83%CC%A7", id="combining"),
    pytest.param("%FF", id="not-UTF-8"),
    pytest.param("%ED%A0%80", id="surrogate"),
    pytest.param("a%E2%80%AEb", id="right-to-left-override"),
    pytest.param("a%E2%80%8Bb", id="zero-width-space"),
    pytest.param("%F0%9F%98%80", id="emoji"),
    pytest.param("a%EF%BC%8Fb", id="wide-slash"),
    pytest.param("a:b", id="colon"),
    pytest.param("a*", id="star"),
    pytest.param("a%5Cb", id="backslash"),
    pytest.param("a%27%20OR%201=1--", id="sql"),
    pytest.param("%3Cscript%3E", id="markup"),
    pytest.param("%", id="lone-percent"),
    pytest.param("%zz", id="bad-escape"),
    pytest.param("%7B%7B7*7%7D%7D", id="template"),
]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", "/config?service=NAME", b"", id="GET"),
        pytest.param("POST", "/config?service=NAME", b"{}", id="POST"),
        pytest.param("PUT", "/config?service=NAME", b"{}", id="PUT"),
        pytest.param("PATCH", "/config?service=NAME", b"{}", id="PATCH"),
        pytest.param("DELETE", "/config?service=NAME", b"", id="DELETE"),
        pytest.param("GET", "/api/v1/versions?service=NAME", b"", id="versions"),
        pytest.param("POST", "/api/v1/rollback?service=NAME&to=0", b"", id="rollback"),
    ],
)
@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_bad_name_is_refused_with_its_rule(
    server: Server, target: str, method: str, path: str, body: bytes, bad: str
) -> None:
    heard = ask(server, method, path.replace("NAME", bad), JSON if body else None, body)

    assert heard.status == 422
    assert [each.get("parameter") for each in heard.problem["problems"]] == ["service"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("length", [8_100, 10_000, 1_000_000])
def test_a_name_longer_than_a_request_line_is_refused_by_the_server(
    server: Server, target: str, method: str, length: int
) -> None:
    heard = ask(server, method, f"/config?service={'a' * length}", JSON, b"{}")

    assert heard.status == 414 or (length < 8_190 and heard.status == 422)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["", "?", "?service", "?service=", "?SERVICE=a", "?%00=a", "?&&"])
def test_a_request_without_a_name_is_refused(
    server: Server, target: str, method: str, query: str
) -> None:
    body = b"" if method in {"GET", "DELETE"} else b"{}"

    heard = ask(server, method, f"/config{query}", JSON if body else None, body)

    assert heard.status == 422
    assert "service" in {each.get("parameter") for each in heard.problem["problems"]}


def test_a_slash_in_a_name_may_be_escaped(api: Api, server: Server, name: str) -> None:
    api.put(f"{name}/b", {"a": 1})

    assert ask(server, "GET", f"/config?service={name}%2Fb").body == b'{"a": 1}'
    assert ask(server, "GET", f"/config?service={name}/b").body == b'{"a": 1}'


# --- queries


BAD_READS = [
    "service=again",
    "unknown=1",
    "Version=0",
    "version=0&version=0",
    "version=-1",
    "version=1.5",
    "version=1e3",
    "version=0x1",
    "version=%200",
    "version=0%0A",
    "version=latest",
    "version=",
    "version=%D9%A0",
    "version=%EF%BC%90",
    "version=99999999999999999999",
    "version=" + "9" * 7000,
    "version=0&as_of=1",
    "as_of=",
    "as_of=yesterday",
    "as_of=-1",
    "as_of=1e5",
    "as_of=NaN",
    "as_of=%00",
    "as_of=%D9%A1",
    "as_of=99999999999999999999",
    "as_of=" + "9" * 7000,
    "as_of=2026-11-21",
    "as_of=2026-11-21T09:30:00",
    "as_of=2026-13-45T00:00:00Z",
    "as_of=2026-11-21T25:00:00Z",
    "as_of=T",
    "format=xml",
    "format=",
    "format=JSON%00",
    "min_revision=-1",
    "min_revision=abc",
    "min_revision=1_0",
    "min_revision=%D9%A1",
    "min_revision=99999999999999999999",
    "note=x",
    "dry_run=true",
    "service%5B%5D=x",
    "%E2%80%AE=1",
    "&".join(f"p{i}=1" for i in range(900)),
]


@pytest.mark.parametrize("query", BAD_READS, ids=lambda text: text[:40])
def test_a_read_that_cannot_be_understood_is_refused(
    server: Server, target: str, query: str
) -> None:
    heard = ask(server, "GET", f"/config?service={target}&{query}")

    assert heard.status == 422
    assert heard.problem["code"] == "invalid"
    assert all(each["parameter"] for each in heard.problem["problems"])


def test_every_fault_of_a_query_is_named(server: Server, target: str) -> None:
    query = "service=a%20b&service=c&version=-1&format=xml&min_revision=x&nonsense=1"

    heard = ask(server, "GET", f"/config?{query}")

    assert heard.status == 422
    assert {each["parameter"] for each in heard.problem["problems"]} == {
        "service",
        "version",
        "format",
        "min_revision",
        "nonsense",
    }


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00%2B23:59", "0001-01-01T00:00:00-23:59", "0", "1970-01-01T00:00:00Z"],
)
def test_before_the_beginning_there_was_nothing(server: Server, target: str, moment: str) -> None:
    heard = ask(server, "GET", f"/config?service={target}&as_of={moment}")

    assert heard.status == 404
    assert heard.problem["code"] == "version-not-found"


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999%2B23:59"]
)
def test_of_the_end_of_time_nothing_is_known(server: Server, target: str, moment: str) -> None:
    assert ask(server, "GET", f"/config?service={target}&as_of={moment}").status == 422


BAD_WRITES = [
    ("PATCH", "version=0"),
    ("PATCH", "enabled=false"),
    ("PATCH", "version=0&enabled=maybe"),
    ("PATCH", "version=0&enabled="),
    ("PATCH", "version=-1&enabled=false"),
    ("PATCH", "version=%D9%A0&enabled=false"),
    ("PATCH", "version=99999999999999999999&enabled=false"),
    ("PATCH", "version=0&version=1&enabled=false"),
    ("DELETE", "version=current"),
    ("DELETE", "version=99999999999999999999"),
    ("DELETE", "unknown=1"),
    ("PUT", "dry_run=maybe"),
    ("PUT", "dryrun=true"),
    ("PUT", "version=0"),
    ("PUT", "note=a&note=b"),
    ("PUT", "note=" + "x" * 1001),
    ("PUT", "note=" + "%C3%A9" * 1001),
    ("PUT", "note=a%00b"),
    ("PUT", "note=a%0Db"),
    ("PUT", "note=a%1B%5B31mb"),
    ("PUT", "note=a%7Fb"),
    ("PUT", "note=a%C2%9Bb"),
    ("PUT", "note=a%C2%85b"),
    ("POST", "note=a%00b"),
    ("POST", "enabled=true"),
]


@pytest.mark.parametrize(("method", "query"), BAD_WRITES, ids=lambda text: text[:40])
def test_a_write_that_cannot_be_understood_is_refused(
    server: Server, target: str, method: str, query: str
) -> None:
    body = b"" if method == "DELETE" or "version" in query else b'{"a": 1}'
    name = f"{target}-absent" if method == "POST" else target

    heard = ask(server, method, f"/config?service={name}&{query}", JSON if body else None, body)

    assert heard.status == 422
    assert heard.problem["problems"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/services?limit=0", ""),
        ("GET", "/api/v1/services?limit=501", ""),
        ("GET", "/api/v1/services?limit=99999999999999999999", ""),
        ("GET", "/api/v1/services?limit=%D9%A1", ""),
        ("GET", "/api/v1/services?cursor=garbage", ""),
        ("GET", "/api/v1/services?cursor=%00", ""),
        ("GET", "/api/v1/services?cursor=%C3%A9", ""),
        ("GET", "/api/v1/services?cursor=" + "A" * 7000, ""),
        ("GET", "/api/v1/services?service=x", ""),
        ("GET", "/api/v1/versions?service=NAME&documents=maybe", ""),
        ("GET", "/api/v1/versions?service=NAME&cursor=W10", ""),
        ("GET", "/api/v1/diff?service=NAME", ""),
        ("GET", "/api/v1/diff?service=NAME&from=0&to=-1", ""),
        ("GET", "/api/v1/diff?service=NAME&from=0&to=99999999999999999999", ""),
        ("GET", "/api/v1/changes?after=-1", ""),
        ("GET", "/api/v1/changes?after=99999999999999999999", ""),
        ("GET", "/api/v1/changes?limit=100001", ""),
        ("GET", "/api/v1/changes?kind=nothing", ""),
        ("GET", "/api/v1/export?format=xml", ""),
        ("POST", "/api/v1/rollback?service=NAME", ""),
        ("POST", "/api/v1/rollback?service=NAME&to=-1", ""),
        ("PUT", "/api/v1/services/tags?service=NAME", "[]"),
        ("PUT", "/api/v1/services/tags?service=NAME", '{"tags": "a"}'),
        ("PUT", "/api/v1/services/tags?service=NAME", '{"tags": [""]}'),
        ("PUT", "/api/v1/services/tags?service=NAME", '{"tags": ["a\\nb"]}'),
        ("PUT", "/api/v1/services/tags?service=NAME", '{"tags": ["a\\n"]}'),
        ("PUT", "/api/v1/services/tags?service=NAME", '{"tags": ["\\ud800"]}'),
        ("PUT", "/api/v1/services/tags?service=NAME", '{"tags": [{"a": 1}]}'),
        ("POST", "/api/v1/changesets", "{}"),
        ("POST", "/api/v1/changesets", "[]"),
        ("POST", "/api/v1/changesets", "null"),
        ("POST", "/api/v1/changesets", '{"changes": []}'),
        ("POST", "/api/v1/changesets", '{"changes": {}}'),
        ("POST", "/api/v1/changesets", '{"changes": [{"service": "NAME", "patch": {}}]}'),
        ("POST", "/api/v1/changesets", '{"changes": [{"service": "NAME", "patch": [0]}]}'),
        ("POST", "/api/v1/changesets", '{"changes": [{"service": "NAME", "merge": []}]}'),
        ("POST", "/api/v1/changesets", '{"changes": [{"service": "NAME", "enable": 1e3}]}'),
        ("POST", "/api/v1/changesets", '{"changes": [{"service": ["NAME"], "enable": 0}]}'),
        (
            "POST",
            "/api/v1/changesets",
            '{"changes": [{"service": "NAME", "enable": 0}, {"service": "NAME", "enable": 0}]}',
        ),
        ("POST", "/api/v1/import", "[]"),
        ("POST", "/api/v1/import", '{"NAME": null}'),
        ("POST", "/api/v1/import", '{"NAME": {}, "NAME": {"a": 1}}'),
    ],
    ids=lambda text: text[:70],
)
def test_the_other_routes_refuse_what_they_cannot_understand(
    server: Server, target: str, method: str, path: str, body: str
) -> None:
    sent = body.replace("NAME", target).encode()

    heard = ask(server, method, path.replace("NAME", target), JSON if sent else None, sent)

    assert heard.status == 422
    assert heard.problem["problems"]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        pytest.param("/api/v1/versions?service=NAME&cursor=", 2**63, id="too-large"),
        pytest.param("/api/v1/versions?service=NAME&cursor=", 10**30, id="far-too-large"),
        pytest.param("/api/v1/versions?service=NAME&cursor=", -(10**30), id="far-too-small"),
        pytest.param("/api/v1/services?cursor=", "\ud800", id="surrogate"),
        pytest.param("/api/v1/services?cursor=", {"a": 1}, id="object"),
        pytest.param("/api/v1/services?cursor=", True, id="true"),
    ],
)
def test_a_forged_cursor_is_refused(
    server: Server, api: Api, target: str, path: str, key: Any
) -> None:
    epoch = api.http.get("/api/v1/changes").json()["epoch"]
    forged = [epoch, key, path.partition("?")[0]]
    cursor = urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")

    heard = ask(server, "GET", path.replace("NAME", target) + cursor)

    assert heard.status == 422
    assert [each["parameter"] for each in heard.problem["problems"]] == ["cursor"]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("services?" + "&".join(["tag=a"] * 1300), id="tags"),
        pytest.param("changes?" + "&".join(["service=/"] * 800), id="prefixes"),
        pytest.param("changes?" + "&".join(["service=a"] * 800), id="services"),
        pytest.param("changes?" + "&".join(["kind=service.created"] * 350), id="kinds"),
        pytest.param("services?search=" + "%25" * 2500, id="percents"),
        pytest.param("services?search=" + "_" * 7000, id="underscores"),
        pytest.param("services?prefix=" + "%00" * 2500, id="NULs"),
    ],
)
def test_a_filter_that_is_given_very_often_is_no_mistake_of_the_server(
    server: Server, target: str, query: str
) -> None:
    heard = ask(server, "GET", f"/api/v1/{query}")

    assert heard.status in {200, 422}


# --- patches


def operations(*these: Any) -> bytes:
    return json.dumps(these).encode()


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def copy(origin: str, path: str) -> dict[str, Any]:
    return {"op": "copy", "from": origin, "path": path}


DOUBLING = [add("/a", ["x" * 20]), *(copy("/a", "/a/-") for _ in range(60))]
DEEPENING = [
    each
    for _ in range(1500)
    for each in (
        add("/b", {}),
        {"op": "move", "from": "/kept", "path": "/b/kept"},
        {"op": "move", "from": "/b", "path": "/kept"},
    )
]

BAD_PATCHES = [
    pytest.param(operations(*DOUBLING), None, id="copies-that-double"),
    pytest.param(
        operations(add("/a", "x" * 500_000), *(copy("/a", f"/{i}") for i in range(10))),
        "/3",
        id="copies-of-much",
    ),
    pytest.param(operations(*[add("/a", 1)] * 10_001), "", id="10001-operations"),
    pytest.param(operations(add("/a", 1), {"op": "remove", "path": "/no"}), "/1", id="no-member"),
    pytest.param(operations({"op": "replace", "path": "/no", "value": 1}), "/0", id="replace-none"),
    pytest.param(operations(add("/no/way", 1)), "/0", id="no-parent"),
    pytest.param(operations(add("/kept/x", 1)), "/0", id="into-a-scalar"),
    pytest.param(operations({"op": "test", "path": "/kept", "value": False}), "/0", id="test"),
    pytest.param(operations({"op": "test", "path": "/kept", "value": 1}), "/0", id="true-is-not-1"),
    pytest.param(operations({"op": "move", "from": "", "path": "/a/b"}), "/0", id="into-itself"),
    pytest.param(operations({"op": "move", "from": "/kept", "path": "/kept/a"}), "/0", id="self"),
    pytest.param(operations({"op": "remove", "path": ""}), "/0", id="remove-everything"),
    pytest.param(operations({"op": "replace", "path": "", "value": []}), "", id="becomes-an-array"),
    pytest.param(operations({"op": "replace", "path": "", "value": None}), "", id="becomes-null"),
    pytest.param(operations(add("/service", "another")), "/service", id="becomes-another's"),
    pytest.param(operations(add("/a", json.loads(nested(64)))), "/a" * 64, id="becomes-too-deep"),
    pytest.param(operations(*DEEPENING), None, id="becomes-far-too-deep"),
    pytest.param(operations(*DEEPENING, copy("/kept", "/c")), None, id="copies-far-too-deep"),
    pytest.param(
        operations(*DEEPENING, {"op": "test", "path": "/kept", "value": 1}), None, id="tests-depth"
    ),
    pytest.param(
        operations(*DEEPENING, {"op": "remove", "path": "/no/no"}), None, id="misses-in-depth"
    ),
    pytest.param(operations(5), "/0", id="a-number"),
    pytest.param(operations([]), "/0", id="an-array"),
    pytest.param(operations({}), "/0", id="nothing"),
    pytest.param(operations({"op": "evil", "path": "/a"}), "/0", id="unknown-operation"),
    pytest.param(operations({"op": ["add"], "path": "/a", "value": 1}), "/0", id="op-array"),
    pytest.param(operations({"op": "add", "path": ["/a"], "value": 1}), "/0", id="path-array"),
    pytest.param(operations({"op": "add", "path": "a", "value": 1}), "/0", id="no-pointer"),
    pytest.param(operations({"op": "add", "path": "/~2", "value": 1}), "/0", id="bad-escape"),
    pytest.param(operations({"op": "add", "path": "/a"}), "/0", id="no-value"),
    pytest.param(operations({"op": "copy", "path": "/a"}), "/0", id="no-from"),
    pytest.param(operations({"op": "copy", "from": {}, "path": "/a"}), "/0", id="from-object"),
    pytest.param(operations(add("/a", []), add("/a/" + "9" * 5000, 1)), "/1", id="huge-index"),
    pytest.param(operations(add("/a", []), add("/a/01", 1)), "/1", id="index-with-zero"),
    pytest.param(operations(add("/a", []), add("/a/-1", 1)), "/1", id="negative-index"),
    pytest.param(operations(add("/a", []), add("/a/\u0661", 1)), "/1", id="arabic-index"),
    pytest.param(operations(add("/a", [1]), copy("/a/-", "/b")), "/1", id="copy-of-the-end"),
    pytest.param(
        operations(add("/a", [1]), {"op": "test", "path": "/a/-", "value": 1}), "/1", id="test-end"
    ),
    pytest.param(
        operations(add("/a", [1]), {"op": "replace", "path": "/a/-", "value": 1}), "/1", id="end"
    ),
    pytest.param(b"{}", "", id="an-object-instead"),
    pytest.param(b"null", "", id="null-instead"),
]  # fmt: skip


@pytest.mark.parametrize("way", ["PATCH", "changeset"])
@pytest.mark.parametrize(("body", "pointer"), BAD_PATCHES)
def test_a_json_patch_that_does_not_apply_changes_nothing(
    server: Server, target: str, way: str, body: bytes, pointer: str | None
) -> None:
    if way == "PATCH":
        heard = ask(server, "PATCH", f"/config?service={target}", PATCH, body)
        place = ""
    else:
        step = b'{"changes":[{"service":"%s","patch":%s}]}' % (target.encode(), body)
        heard = ask(server, "POST", "/api/v1/changesets", JSON, step)
        place = "/changes/0"

    assert heard.status == 422
    assert heard.problem["problems"]
    if pointer is not None and way == "PATCH":
        assert heard.pointers == {pointer}
    assert all(each.startswith(place) for each in heard.pointers)


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "remove", "path": "/no/no"}, id="remove"),
        pytest.param({"op": "test", "path": "/password", "value": 1}, id="test"),
        pytest.param({"op": "copy", "from": "/no/no", "path": "/a"}, id="copy"),
        pytest.param({"op": "add", "path": "/list/x", "value": 1}, id="add"),
        pytest.param({"op": "test", "path": "/list/-", "value": 1}, id="end"),
    ],
)
def test_a_patch_that_fails_does_not_tell_what_is_stored(
    server: Server, api: Api, name: str, operation: dict[str, Any]
) -> None:
    """Who may write need not be allowed to read; and errors end up in logs and tickets."""
    secret = "correct-horse-battery"
    api.put(name, {"password": secret, "list": [secret]})

    heard = ask(server, "PATCH", f"/config?service={name}", PATCH, operations(operation))

    assert heard.status == 422
    assert secret.encode() not in heard.body


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        pytest.param(nested(10_000), {("", "depth")}, id="10000-deep"),
        pytest.param(nested(900), None, id="900-deep"),
        pytest.param(nested(65), {("/a" * 64, "depth")}, id="65-deep"),
        pytest.param(b"[]", {("", "type")}, id="array"),
        pytest.param(b"null", {("", "type")}, id="null"),
        pytest.param(many_keys(10_001), {("", "keys")}, id="10001-keys"),
        pytest.param(b'{"service":"another"}', {("/service", "service")}, id="another's"),
    ],
)
def test_a_merge_patch_that_leads_to_no_document_changes_nothing(
    server: Server, target: str, body: bytes, faults: set[Fault] | None
) -> None:
    heard = ask(server, "PATCH", f"/config?service={target}", MERGE, body)

    assert heard.status == 422
    assert faults is None or heard.faults == faults


@pytest.mark.parametrize("kind", [JSON, MERGE, PATCH])
def test_a_patch_of_nothing_is_404(server: Server, target: str, kind: str) -> None:
    body = b"[]" if kind == PATCH else b"{}"

    heard = ask(server, "PATCH", f"/config?service={target}-absent", kind, body)

    assert heard.status == 404
    assert heard.problem["code"] == "service-not-found"


# --- headers


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "value",
    [
        '"another"',
        'W/"ETAG"',
        "ETAG",
        "garbage",
        "",
        '""',
        '"',
        '"unfinished',
        '"a", "b", W/"c"',
        ",,,",
        "**",
        '"*"',
        "\xff\xfe",
        '"' + "a" * 8000 + '"',
        '"a",' * 2000,
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_an_if_match_that_names_nothing_stops_a_write(
    server: Server, api: Api, target: str, method: str, value: str
) -> None:
    etag = api.get(target).headers["ETag"].strip('"')
    body = b"" if method == "DELETE" else b'{"a": 1}'

    heard = ask(
        server,
        method,
        f"/config?service={target}",
        JSON if body else None,
        body,
        headers=["If-Match: " + value.replace("ETAG", etag)],
    )

    assert heard.status == 412
    assert heard.problem["code"] == "precondition-failed"


@pytest.mark.parametrize(
    ("header", "suffix"),
    [("If-Match: *", "-absent"), ("If-None-Match: *", ""), ('If-Match: "x"', "-absent")],
)
def test_a_put_under_a_condition_that_does_not_hold_writes_nothing(
    server: Server, target: str, header: str, suffix: str
) -> None:
    heard = ask(
        server, "PUT", f"/config?service={target}{suffix}", JSON, b'{"a": 1}', headers=[header]
    )

    assert heard.status == 412


@pytest.mark.parametrize(
    ("header", "statuses"),
    [
        pytest.param(b"Idempotency-Key: " + b"k" * 256, {422}, id="key-256"),
        pytest.param(b"Idempotency-Key: " + b"k" * 8000, {422}, id="key-8000"),
        pytest.param(b"Idempotency-Key: " + b"k" * 10_000, {431}, id="key-10000"),
        pytest.param(b"Idempotency-Key: a\x00b", {400}, id="key-NUL"),
        pytest.param(b"Idempotency-Key: a\x01b", {400, 422}, id="key-control"),
        pytest.param(b"Idempotency-Key: a\tb", {422}, id="key-tab"),
        pytest.param(b"Idempotency-Key: a\x7fb", {400, 422}, id="key-DEL"),
        pytest.param(b"Idempotency-Key: a\x85b", {422}, id="key-NEL"),
        pytest.param(b"Idempotency-Key: a\xadb", {422}, id="key-soft-hyphen"),
        pytest.param(b"Config-Note: " + b"n" * 1001, {422}, id="note-1001"),
        pytest.param(b"Config-Note: " + b"n" * 10_000, {431}, id="note-10000"),
        pytest.param(b"Config-Note: a\x00b", {400}, id="note-NUL"),
        pytest.param(b"Config-Note: a\x01b", {400, 422}, id="note-control"),
        pytest.param(b"Config-Note: a\x7fb", {400, 422}, id="note-DEL"),
        pytest.param(b"Config-Note: a\xc2\x9bb", {422}, id="note-CSI"),
        pytest.param(b"X-Huge: " + b"x" * 100_000, {431}, id="huge"),
        pytest.param(b"X" * 100_000 + b": x", {400, 431}, id="huge-name"),
        pytest.param(b"\r\n".join(b"X-%d: x" % i for i in range(2000)), {400, 431}, id="2000"),
        pytest.param(b"no colon", {400}, id="no-colon"),
        pytest.param(b": no name", {400}, id="no-name"),
        pytest.param(b"X\x00Y: x", {400}, id="NUL-in-name"),
        pytest.param(b"Host: evil.example", {400}, id="second-host"),
        pytest.param(b"X-Request-ID: a\rInjected: 1", {400}, id="bare-CR"),
    ],
)
def test_a_header_that_cannot_be_understood_is_refused(
    server: Server, target: str, header: bytes, statuses: set[int]
) -> None:
    heard = ask(server, "PUT", f"/config?service={target}", JSON, b'{"a": 1}', headers=[header])

    assert heard.status in statuses


@pytest.mark.parametrize(
    "header", ["Idempotency-Key: " + "k" * 256, "Config-Note: " + "n" * 1001], ids=["key", "note"]
)
def test_a_rehearsal_refuses_what_the_write_would_refuse(
    server: Server, target: str, header: str
) -> None:
    path = f"/config?service={target}&dry_run=true"

    heard = ask(server, "PUT", path, JSON, b'{"a": 1}', headers=[header])

    assert heard.status == 422


@pytest.mark.parametrize(
    "header",
    [
        "Accept: ;;;,,,q=x",
        "Accept: */*;q=0",
        "Accept: application/json;q=nan",
        "Accept: application/json;q=1e999",
        "Accept: application/json;q=-1",
        "Accept: text/html",
        "Accept: text/html,application/xhtml+xml;q=0.9",
        "Accept: " + "a/b," * 2000,
        "Accept: " + ",".join(f"application/json;q=0.{i}" for i in range(200)),
        "Accept: application/yaml;q=0.1, \xff\xfe",
        "Accept: application/+json",
        "Accept:",
        "Accept-Charset: utf-16",
        "Accept-Encoding: identity;q=0, *;q=0",
        "Accept-Language: " + "x" * 8000,
        "Cookie: " + "a=b; " * 1500,
        "Authorization: Basic \xff",
        "Authorization: " + "x" * 8000,
        "If-Modified-Since: garbage",
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        "If-Range: garbage",
        "Prefer: wait=abc",
        "Prefer: wait=-1",
        "Prefer: wait=1e9",
        "Prefer: wait=\xb2",
        "Prefer: wait=",
        "Prefer: " + "wait=999999999," * 500,
        'If-None-Match: "',
        "If-None-Match: garbage",
        "If-None-Match: " + '"x",' * 2000,
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-For: " + "1.2.3.4, " * 800,
        "X-HTTP-Method-Override: DELETE",
        "SCRIPT_NAME: /evil",
        "PATH_INFO: /evil",
        "If_None_Match: *",
        "Upgrade: h2c",
        "Range: bytes=0-0",
        "Range: bytes=0-1,1-2,2-3",
        "Range: bytes=-1",
        "Range: " + "bytes=0-," * 900,
    ],
    ids=lambda text: ascii(text[:45]),
)
def test_a_read_with_odd_headers_is_answered_whole_or_refused(
    server: Server, target: str, header: str
) -> None:
    """Twice each: an answer must not spoil the one to the plain question behind it."""
    for _ in range(2):
        heard = ask(server, "GET", f"/config?service={target}", headers=[header])

        assert heard.status in {200, 406}
        if heard.status == 200:
            assert heard.body in {b'{"kept": true}', b"kept: true\n"}
        plain = ask(server, "GET", f"/config?service={target}")
        assert (plain.status, plain.body) == (200, b'{"kept": true}')


def test_html_is_not_written_here(server: Server, target: str) -> None:
    heard = ask(server, "GET", f"/config?service={target}", headers=["Accept: text/html"])

    assert heard.status == 406
    assert heard.problem["code"] == "not-representable"


@pytest.mark.parametrize("wait", ["999999999", "9" * 5000, "1"])
def test_a_wait_is_not_longer_than_the_server_allows(slow_server: Server, wait: str) -> None:
    slow_server.api.put("waited-for", {"a": 1})
    etag = slow_server.api.get("waited-for").headers["ETag"]

    heard = ask(
        slow_server,
        "GET",
        "/config?service=waited-for",
        headers=[f"If-None-Match: {etag}", f"Prefer: wait={wait}"],
    )

    assert heard.status == 304


@pytest.mark.parametrize(
    "given_id",
    [
        "a b",
        "a\tb",
        "<script>alert(1)</script>",
        'a", "level": "error',
        "a%0d%0aX-Evil: 1",
        "a\r\n folded",
        "a\nX-Evil: 1",
        "\xe9",
        "x" * 129,
        "x" * 8000,
        "x" * 10_000,
        "",
    ],
    ids=lambda text: f"{text[:20]!a}-{len(text)}",
)
@pytest.mark.parametrize("path", ["/config?service=NAME", "/nowhere"])
def test_a_request_id_of_ones_own_is_taken_only_if_it_is_plain(
    server: Server, target: str, given_id: str, path: str
) -> None:
    for _ in range(2):
        heard = ask(
            server,
            "GET",
            path.replace("NAME", target),
            headers=[b"X-Request-ID: " + given_id.encode("latin-1")],
        )

        assert heard.status in {200, 404, *SERVERS_OWN}
        assert heard.headers.get("x-request-id") != given_id
        assert "x-evil" not in heard.headers
        assert not given_id or len(given_id) < 3 or given_id.encode("latin-1") not in heard.body


def test_a_plain_request_id_comes_back(server: Server, target: str) -> None:
    for _ in range(2):
        heard = ask(
            server, "GET", f"/config?service={target}", headers=["X-Request-ID: Trace_1.a-b"]
        )

        assert heard.headers["x-request-id"] == "Trace_1.a-b"


# --- from where


ROUTES = [
    ("GET", "/config?service=NAME", b""),
    ("POST", "/config?service=NAME-absent", b"{}"),
    ("PUT", "/config?service=NAME", b"{}"),
    ("PATCH", "/config?service=NAME", b"{}"),
    ("DELETE", "/config?service=NAME", b""),
    ("POST", "/api/v1/changesets", b'{"changes":[{"service":"NAME","document":{}}]}'),
    ("GET", "/metrics", b""),
    ("GET", "/nowhere", b""),
    ("OPTIONS", "/config", b""),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=lambda each: str(each)[:20])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:PORT",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example#127.0.0.1",
        "evil.example@127.0.0.1",
        "127.0.0.1@evil.example",
        "127.0.0.1,evil.example",
        "[::1].evil.example",
        "0.0.0.0",
        "127.0.0.2",
        "192.168.0.1",
        "[fe80::1]",
        "\xe9.example",
        "[::",
        "a" * 8000,
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_a_request_to_another_host_name_is_refused_before_anything_else(
    server: Server, target: str, method: str, path: str, body: bytes, host: str
) -> None:
    heard = ask(
        server,
        method,
        path.replace("NAME", target),
        JSON if body else None,
        body.replace(b"NAME", target.encode()),
        host=host.replace("PORT", str(server.port)),
    )

    assert heard.status in {400, 403}
    if heard.status == 403:
        assert heard.problem["code"] == "foreign-host"


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=lambda each: str(each)[:20])
@pytest.mark.parametrize(
    "header",
    [
        "Origin: http://evil.example",
        "Origin: https://evil.example:5000",
        "Origin: null",
        "Origin:",
        "Origin: garbage",
        "Origin: http://[",
        "Origin: http://[::1",
        "Origin: http://]",
        "Origin: http://127.0.0.1.evil.example",
        "Origin: http://127.0.0.1@evil.example",
        "Origin: http://127.0.0.1:1",
        "Origin: http://127.0.0.1, http://evil.example",
        "Origin: \xff",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: garbage",
        "Sec-Fetch-Site:",
        "Sec-Fetch-Site: none, cross-site",
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_a_request_that_another_site_sends_is_refused_before_anything_else(
    server: Server, target: str, method: str, path: str, body: bytes, header: str
) -> None:
    heard = ask(
        server,
        method,
        path.replace("NAME", target),
        JSON if body else None,
        body.replace(b"NAME", target.encode()),
        headers=[header],
    )

    assert heard.status == 403
    assert heard.problem["code"] == "cross-site"


def test_a_link_from_another_site_may_be_followed_to_read_and_not_to_write(
    server: Server, target: str
) -> None:
    headers = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]
    path = f"/config?service={target}"

    assert ask(server, "GET", path, headers=headers).status == 200
    assert ask(server, "POST", path, JSON, b"{}", headers=headers).status == 403
    # What was allowed to a link is not allowed to a script that asks for the same.
    assert ask(server, "GET", path, headers=headers[:1]).status == 403
    assert ask(server, "GET", path).status == 200


def test_a_page_of_this_server_may_ask(server: Server, target: str) -> None:
    host = f"localhost:{server.port}"
    headers = [f"Origin: http://{host}", "Sec-Fetch-Site: same-origin"]

    heard = ask(server, "GET", f"/config?service={target}", headers=headers, host=host)

    assert heard.status == 200


# --- methods and paths


@pytest.mark.parametrize(
    "path", ["/config?service=NAME", "/api/v1/services", "/healthz", "/api/v1/openapi.json"]
)
def test_head_is_get_without_the_body(server: Server, target: str, path: str) -> None:
    path = path.replace("NAME", target)
    whole, head = ask(server, "GET", path), ask(server, "HEAD", path)
    passing = {"date", "x-request-id"}

    assert head.body == b""
    assert head.status == whole.status == 200
    assert {k: v for k, v in head.headers.items() if k not in passing} == {
        k: v for k, v in whole.headers.items() if k not in passing
    }


@pytest.mark.parametrize("path", ["/config", "/config?service=NAME", "/api/v1/changesets"])
def test_options_tells_the_methods_and_is_no_page(server: Server, target: str, path: str) -> None:
    heard = ask(server, "OPTIONS", path.replace("NAME", target))

    assert heard.status in {200, 204}
    assert heard.headers["allow"]
    assert heard.body == b""


@pytest.mark.parametrize(
    "method",
    ["TRACE", "CONNECT", "BREW", "PROPFIND", "MKCOL", "X" * 20, "G-ET", "GET_", "POST1"],
)
@pytest.mark.parametrize("path", ["/config?service=NAME", "/api/v1/import", "/metrics"])
def test_an_unknown_method_is_405_and_nothing_comes_back(
    server: Server, target: str, method: str, path: str
) -> None:
    heard = ask(
        server, method, path.replace("NAME", target), headers=["X-Secret: correct-horse-battery"]
    )

    assert heard.status in {405, *SERVERS_OWN}
    if heard.status == 405:
        assert heard.problem["code"] == "method-not-allowed"
        assert heard.headers["allow"]
    assert b"correct-horse" not in heard.body


@pytest.mark.parametrize("method", ["get", "Get", "put", "GET GET", "", "\x00GET", "G\xc9T"])
def test_a_method_that_is_none_is_refused(server: Server, target: str, method: str) -> None:
    heard = ask(server, method, f"/config?service={target}-absent", JSON, b"{}")

    assert heard.status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/services"),
        ("DELETE", "/api/v1/versions"),
        ("PUT", "/api/v1/import"),
        ("GET", "/api/v1/rollback?service=NAME&to=0"),
        ("GET", "/api/v1/changesets"),
        ("DELETE", "/healthz"),
        ("POST", "/api/docs"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_405(
    server: Server, target: str, method: str, path: str
) -> None:
    heard = ask(server, method, path.replace("NAME", target), JSON, b"{}")

    assert heard.status == 405
    assert method not in heard.headers["allow"].split(", ")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/config//",
        "/config;x",
        "/config;x=1",
        "/config%3Fservice=NAME",
        "/config%00",
        "/config%0A",
        "/config%20",
        "/config.json",
        "/config\\",
        "/CONFIG",
        "/./config",
        "/x/../config",
        "/api/../config",
        "/%2e%2e/config",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/../wsgi.py",
        "/%FF%FE",
        "/%",
        "/%zz",
        "/%u0041",
        "/caf%C3%A9",
        "/" + "a" * 5000,
        "/" + "%2e%2e%2f" * 500,
        "/" + "/" * 5000,
        "//evil.example/config",
        "///evil.example",
        "/\\evil.example",
        "*",
        "config",
    ],
    ids=lambda text: text[:40],
)
def test_a_path_that_is_none_of_ours_is_404(
    server: Server, target: str, method: str, path: str
) -> None:
    body = b"" if method in {"GET", "HEAD", "DELETE"} else b"{}"
    name = target if method in {"GET", "HEAD"} else f"{target}-absent"
    path = path.replace("NAME", name)
    question = path if "service" in path else f"{path}?service={name}"

    heard = ask(server, method, question, JSON if body else None, body)

    # Slashes alone are "/", which some clients read and nobody writes.
    allowed = {404, 405} if set(path) == {"/"} else {404}
    assert heard.status in {*allowed, *SERVERS_OWN}
    assert "location" not in heard.headers


@pytest.mark.parametrize(
    "path", ["//config", "/%2Fconfig", "/%63onfig", "/c%6Fnfig", "/config/", "/config%2F"]
)
def test_another_spelling_of_the_path_is_the_same_or_nothing(
    server: Server, target: str, path: str
) -> None:
    for _ in range(2):
        plain = ask(server, "GET", f"/config?service={target}")
        heard = ask(server, "GET", f"{path}?service={target}")

        assert heard.status == 404 or (heard.status, heard.body) == (200, plain.body)
        assert "location" not in heard.headers


@pytest.mark.parametrize(
    "path",
    [
        "/api//v1/services",
        "/api/v1//services",
        "/api//v1/services?%0d%0aX-Evil:%201",
        "/api//v1//versions?service=NAME",
        "/api//docs",
    ],
)
def test_a_doubled_slash_leads_nowhere_by_way_of_a_page(
    server: Server, target: str, path: str
) -> None:
    heard = ask(server, "GET", path.replace("NAME", target))

    assert heard.status in {200, 404}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\r\n\r\n\r\n\r\n", id="empty-lines"),
        pytest.param(b"GET /config\r\n\r\n", id="HTTP-0.9"),
        pytest.param(b"GET /config HTTP/9.9\r\n\r\n", id="HTTP-9.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP-2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
        pytest.param(b"GET  /config  HTTP/1.1\r\n\r\n", id="two-spaces"),
        pytest.param(b"GET /con fig HTTP/1.1\r\n\r\n", id="space-in-path"),
        pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="bytes-in-path"),
        pytest.param(b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="NUL-in-path"),
        pytest.param(b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="bracket"),
        pytest.param(b"GET ? HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="no-path"),
        pytest.param(b"GET # HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="fragment"),
        pytest.param(b"GET /config#x?service=a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="anchor"),
        pytest.param(b"x" * 100_000, id="noise"),
        pytest.param(bytes(range(256)) * 100 + b"\r\n\r\n", id="all-bytes"),
    ],
)
def test_what_is_no_request_at_all_gets_a_short_answer_or_none(
    server: Server, target: str, sent: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        came = b""
        while part := wire.recv(65536):
            came += part
    assert came == b"" or re.match(rb"HTTP/1\.1 4\d\d ", came)


# --- what comes back, and what is written down


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/services?limit=1&prefix=NAME%0d%0aX-Evil:%201",
        "/api/v1/services?limit=1&search=%0d%0aX-Evil:%201&prefix=NAME",
        "/api/v1/services?limit=1&prefix=NAME&tag=",
        "/api/v1/services?limit=1&prefix=NAME",
        "/config?service=NAME%0d%0aX-Evil:%201",
        "/config?service=NAME&format=json%0d%0aX-Evil:%201",
        "/nowhere%0d%0aX-Evil:%201",
        "/api%0d%0aX-Evil:%201//v1/services",
    ],
)
def test_no_line_of_an_answer_can_be_forged(server: Server, api: Api, name: str, path: str) -> None:
    for number in range(2):
        api.put(f"{name}-{number}", {})
    heard = ask(server, "GET", path.replace("NAME", name))

    assert "x-evil" not in heard.headers
    assert all("\r" not in value and "\n" not in value for _, value in heard.pairs)


FORGED = "forged-by-nobody"


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_of_the_log_can_be_forged(tmp_path: Path, form: str) -> None:
    """Whatever can be read as the end of a line, by a program or a terminal, is escaped."""
    with Server(tmp_path / "instance", log_format=form, workers=1) as server:
        server.api.put("web", {"a": 1})
        for end in ("%0A", "%0D%0A", "%0D", "%C2%85", "%E2%80%A8", "%0B", "%0C", "%1E", "%00"):
            line = f"{end}{FORGED}%1B%5B31m%C2%9B31m"
            ask(server, "GET", f"/nowhere{line}")
            ask(server, "GET", f"/config?service=web{line}")
            ask(server, "GET", f"/config?service=web&as_of={line}")
            ask(server, "PUT", f"/config?service=web&note={line}", JSON, b"{}")
            ask(server, "PUT", "/config?service=web", JSON, b'{"%s"' % line.encode())
        for header in ("X-Request-ID", "User-Agent", "Referer", "Cookie", "X-Forwarded-For"):
            for _ in range(2):
                ask(
                    server,
                    "GET",
                    "/config?service=web",
                    headers=[f"{header}: a\n{FORGED}".encode()],
                )
        tell(server, f"GET /\n{FORGED} HTTP/1.1\r\n\r\n".encode())
    log = server.log.read_text(errors="surrogateescape")

    assert FORGED in log
    assert not [line for line in log.splitlines() if line.startswith(FORGED)]
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", log)
    if form == "json":
        lines = [line for line in log.splitlines() if FORGED in line]
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_every_answer_forbids_to_guess_its_kind(server: Server, api: Api, name: str) -> None:
    """``check_form`` holds it for every answer of this module; these are all the sorts of one."""
    api.put(name, {"page": "<script>alert(1)</script>"})
    path = f"/config?service={name}"
    etag = api.get(name).headers["ETag"]
    statuses = [
        ask(server, "GET", path).status,
        ask(server, "GET", path).status,  # replayed
        *(ask(server, "GET", f"{path}&format={each}").status for each in ("yaml", "toml", "env")),
        ask(server, "GET", f"{path}&format=properties").status,
        ask(server, "GET", path, headers=[f"If-None-Match: {etag}"]).status,
        ask(server, "HEAD", path).status,
        ask(server, "GET", "/metrics").status,
        ask(server, "GET", "/healthz").status,
        ask(server, "GET", "/api/docs.css").status,
        ask(server, "GET", "/api/v1/export").status,
        ask(server, "GET", "/<script>").status,
        ask(server, "TRACE", path).status,
        ask(server, "GET", path, host="evil.example").status,
    ]

    assert statuses == [200, 200, 200, 200, 200, 200, 304, 200, 200, 200, 200, 200, 404, 405, 403]


# --- small requests that ask for much work


def pids(server: Server) -> list[int]:
    assert server.process is not None
    found = subprocess.run(
        ["ps", "-o", "pid=", "-g", str(server.process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(each) for each in found.stdout.split()]


NUMBERS = [(i * 7919) % 293 for i in range(100_000)]

COSTLY = [
    pytest.param(
        [],
        ("PUT", JSON, b'{"%s":[%s]}' % (b"k" * 100_000, b",".join([b"0"] * 40_000))),
        "/config?service=costly",
        {200},
        id="a-long-key-over-many-values",
    ),
    pytest.param(
        [],
        ("PUT", TOML, b"a." * 60_000 + b"a = 1"),
        "/config?service=costly",
        {413, 422},
        id="many-dotted-toml-keys",
    ),
    pytest.param(
        [],
        (
            "PUT",
            TOML,
            b"[%sa]\n" % (b"a." * 50_000) + b"\n".join(b"b%d=1" % i for i in range(5000)),
        ),
        "/config?service=costly",
        {413, 422},
        id="many-keys-under-a-deep-toml-table",
    ),
    pytest.param(
        [{"a": NUMBERS}],
        ("GET", None, b""),
        "/config?service=costly&format=toml",
        {200, 406},
        id="a-long-array-as-toml",
    ),
    pytest.param(
        [{"a": NUMBERS}, {"a": NUMBERS[::-1]}],
        ("GET", None, b""),
        "/api/v1/diff?service=costly&from=0&to=1",
        {200, 413, 422},
        id="a-diff-of-long-arrays",
    ),
]


@pytest.mark.parametrize(("stored", "request_", "path", "statuses"), COSTLY)
def test_a_small_request_does_not_cost_without_bound(
    tmp_path: Path,
    stored: list[dict[str, Any]],
    request_: tuple[str, str | None, bytes],
    path: str,
    statuses: set[int],
) -> None:
    """Each took minutes, or gigabytes, for some hundred kilobytes. The bounds here are generous."""
    method, kind, body = request_
    with Server(tmp_path / "instance", workers=1) as server:
        for document in stored:
            assert server.api.put("costly", document).status_code == 200
        for pid in pids(server):
            resource.prlimit(pid, resource.RLIMIT_AS, (3 << 30, 3 << 30))
        try:
            heard = tell(server, written(method, path, kind, body), seconds=30)
        except BaseException:
            # It computes still, and would hold up the end of the test.
            server.kill()
            raise
    assert heard.status in statuses


# --- random bytes


FUZZ = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# What a request line may hold at all: the rest is gunicorn's to refuse.
TARGET = st.binary(max_size=60).map(quote)
PLAIN = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60
)


def test_random_questions_get_documented_answers(server: Server, target: str, drill: bool) -> None:
    paths = ["/config", "/api/v1/services", "/api/v1/versions", "/api/v1/changes", "/api/v1/diff"]
    names = ["service", "version", "as_of", "format", "limit", "cursor", "after", "tag", "prefix"]
    pairs = st.tuples(st.sampled_from(names) | TARGET, TARGET | st.just(target))
    queries = st.lists(pairs, max_size=5).map(lambda each: "&".join("=".join(x) for x in each))
    headers = st.lists(
        st.tuples(
            st.sampled_from(["Accept", "If-None-Match", "Prefer", "Cookie", "X-Request-ID"]), PLAIN
        ).map(": ".join),
        max_size=4,
    )

    @settings(FUZZ, max_examples=3000 if drill else 150)
    @given(st.sampled_from(paths) | TARGET.map("/{}".format), queries, headers)
    def ask_at_random(path: str, query: str, headers: list[str]) -> None:
        ask(server, "GET", f"{path}?{query}", headers=headers)

    ask_at_random()


WORDS = [
    *'{}[],:"\'-?|>#&*!%@=.\n \t', "a", "b: ", "a = ", "1", "0x", "e9", "\\u", "\\ud800", "null",
    "true", "inf", ".nan", "2001-01-01", "T00:00:00", "Z", "<<", "---\n", "\n  ", '"""', "\x00",
    "\x85", "\u2028", "\ufeff", "é", "\U0001f600", "[[", "]]", "//", "{}", '"a":', '"op":"add"',
]  # fmt: skip


def test_random_bodies_get_documented_answers(server: Server, target: str, drill: bool) -> None:
    texts = st.lists(st.sampled_from(WORDS), max_size=20).map(lambda each: "".join(each).encode())
    kinds = st.sampled_from([JSON, YAML, TOML, MERGE, PATCH])
    paths = st.sampled_from(
        [
            ("PUT", f"/config?service={target}&dry_run=true"),
            ("PATCH", f"/config?service={target}&dry_run=true"),
            ("POST", "/api/v1/changesets?dry_run=true"),
            ("POST", "/api/v1/import?dry_run=true"),
        ]
    )

    @settings(FUZZ, max_examples=3000 if drill else 200)
    @given(paths, kinds, texts | st.binary(max_size=60))
    def send_at_random(way: tuple[str, str], kind: str, body: bytes) -> None:
        heard = ask(server, *way, kind, body)
        assert heard.status in {200, 404, 422}

    send_at_random()


# --- answers given again


@pytest.fixture(scope="module")
def replaying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one worker, so that the second time the same process is asked."""
    folder = tmp_path_factory.mktemp("replaying") / "instance"
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
def straight(replaying: Server) -> Iterator[Flask]:
    """The same application on the same database, without the front."""
    app = create_app(
        Settings(
            bind=f"127.0.0.1:{replaying.port}",
            instance=replaying.instance,
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
Question = tuple[str, str, list[tuple[str, str]]]
Shown = tuple[int, list[tuple[str, str]], bytes]


def asked_straight(app: Flask, server: Server, question: Question) -> Shown:
    """What Flask says to ``question``, in an environment like the one that the front makes."""
    method, target, headers = question
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
    found = [(name.decode(), value.decode("latin-1")) for name, value in answer.headers]
    return shown(answer.status, found, answer.body)


def asked_in_front(line: http.client.HTTPConnection, question: Question) -> Shown:
    method, target, headers = question
    line.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers:
        line.putheader(name, value)
    line.endheaders()
    response = line.getresponse()
    body = response.read()
    found = [(name.lower(), value) for name, value in response.getheaders()]
    return shown(response.status, found, body)


def shown(status: int, headers: list[tuple[str, str]], body: bytes) -> Shown:
    """An answer without what is another each time."""
    kept = sorted(each for each in headers if each[0] not in PASSING)
    return status, kept, OWN_ID.sub(b"", body)


def replayed(server: Server) -> float:
    """How many answers were given again so far."""
    time.sleep(0.2)  # they are counted a few times a second
    text = server.api.http.get("/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "distconf_replayed_reads"
        for sample in family.samples
        if sample.name.endswith("_total")
    )


def questions(server: Server) -> st.SearchStrategy[Question]:
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
    ).map(lambda each: "&".join(f"{name}={quote(value)}" for name, value in each.items()))
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


def test_an_answer_given_again_is_the_one_that_flask_gives(
    replaying: Server, straight: Flask, drill: bool
) -> None:
    line = http.client.HTTPConnection("127.0.0.1", replaying.port, timeout=20)
    etag = replaying.api.get("one").headers["ETag"]
    before = replayed(replaying)

    @settings(FUZZ, max_examples=4000 if drill else 250)
    @given(questions(replaying))
    @example(("GET", "/config?service=one", [("If-None-Match", etag), ("Prefer", "wait=1")]))
    @example(("GET", "/config?service=one", [("If_None_Match", etag)]))
    @example(("GET", "/config?service=one", []))
    def compare(question: Question) -> None:
        first = asked_in_front(line, question)
        again = asked_in_front(line, question)
        method, target, headers = question
        # gunicorn drops header names with underscores, which could pass for others.
        passed_on = [each for each in headers if "_" not in each[0]]
        flask = asked_straight(straight, replaying, (method, target, passed_on))

        assert first == flask
        assert again == flask

    compare()
    line.close()
    assert replayed(replaying) - before > 5


def test_an_answer_is_not_given_again_after_any_change_of_its_service(
    replaying: Server, straight: Flask
) -> None:
    line = http.client.HTTPConnection("127.0.0.1", replaying.port, timeout=20)
    api = replaying.api
    reads: list[Question] = [
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
        lambda: api.put("changing", {"a": "anew"}),
    ]
    for change in changes:
        assert change().status_code == 200
        for question in reads:
            flask = asked_straight(straight, replaying, question)
            assert asked_in_front(line, question) == flask
            assert asked_in_front(line, question) == flask
    line.close()


def resident(server: Server) -> int:
    """The bytes of memory that the largest process of ``server`` has."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids(server)]
    return max(pages) * resource.getpagesize()


def test_long_questions_do_not_fill_the_memory_that_answers_may_have(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", workers=1, replay_bytes=MEBIBYTE) as server:
        server.api.put("web", {"a": 1})
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        before = resident(server)
        for number in range(60):
            cookies = [("Cookie", f"{number}-{each}=" + "x" * 7900) for each in range(90)]
            assert asked_in_front(line, ("GET", "/config?service=web", cookies))[0] == 200
        assert resident(server) - before < 32 * MEBIBYTE
        line.close()


def test_the_server_is_sound_after_all_of_this(server: Server, api: Api) -> None:
    """Last in this module: what came before left no gap, no half and no damage."""
    revisions = sorted({change["revision"] for change in api.changes()})

    assert revisions == list(range(1, len(revisions) + 1))
    assert httpx2.get(f"{server.url}/readyz", trust_env=False).status_code == 200
    assert server.database.stat().st_size < 200 * MEBIBYTE
