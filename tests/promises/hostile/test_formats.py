"""Hostile YAML and TOML, and bodies that are not what their headers say."""

import gzip
import zlib

import pytest

from tests.promises.hostile.routes import (
    APPEND,
    DOCUMENT_ROUTES,
    IMPORT,
    PATCH_ROUTES,
    POST,
    PUT,
    PUT_NEW,
    WriteRoute,
)
from tests.support.raw_http import JSON, MEBIBYTE, MERGE, PATCH, TOML, YAML, Problem, send
from tests.support.server import Server

pytestmark = pytest.mark.many


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

TEXT_ROUTES = [
    pytest.param(POST, id="POST"),
    pytest.param(PUT, id="PUT"),
    pytest.param(APPEND, id="PATCH"),
]


@pytest.mark.parametrize("route", TEXT_ROUTES)
@pytest.mark.parametrize(
    ("kind", "body", "problems"),
    [
        pytest.param(kind, *case.values, id=f"{kind[-4:]}-{case.id}")
        for kind, bodies in ((YAML, YAML_BODIES), (TOML, TOML_BODIES))
        for case in bodies
    ],
)
def test_every_problem_of_a_yaml_or_toml_text_is_reported(
    server: Server, target: str, route: WriteRoute, kind: str, body: bytes, problems: set[Problem]
) -> None:
    response = route.send(server, target, body, kind)

    assert response.status == 422
    assert response.problem["code"] == "invalid-document"
    assert response.problems == problems


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param(kind, case.values[0], id=f"{kind[-4:]}-{case.id}")
        for kind, bodies in ((YAML, YAML_BODIES), (TOML, TOML_BODIES))
        for case in bodies
    ],
)
def test_a_hostile_yaml_or_toml_text_is_refused_also_where_it_holds_many_services(
    server: Server, target: str, kind: str, body: bytes
) -> None:
    response = send(server, "POST", "/api/v1/import", kind, body)

    assert response.status == 422
    assert response.problem["problems"]


@pytest.mark.parametrize("route", [*DOCUMENT_ROUTES, *PATCH_ROUTES])
@pytest.mark.parametrize("kind", [None, YAML, TOML])
def test_a_body_over_the_limit_of_its_kind_is_413(
    server: Server, target: str, route: WriteRoute, kind: str | None
) -> None:
    if kind is not None and route.kind != JSON:
        kind = None
    size = 2 * MEBIBYTE + 1 if kind is None else (256 << 10) + 1

    response = send(
        server, route.method, route.path.replace("NAME", target), kind or route.kind, b" " * size
    )

    assert response.status == 413
    assert response.problem["code"] == "too-large"
    assert "DISTCONF_" in response.problem["detail"]


@pytest.mark.parametrize("route", [*DOCUMENT_ROUTES, *PATCH_ROUTES])
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
def test_an_unsupported_media_type_is_refused(
    server: Server, target: str, route: WriteRoute, kind: str
) -> None:
    response = route.send(server, target, b'{"a": 1}', kind)

    assert response.status == 422
    assert response.problem["code"] == "unsupported-media-type"


@pytest.mark.parametrize("route", [*DOCUMENT_ROUTES, *PATCH_ROUTES])
def test_a_body_without_a_content_type_is_refused(
    server: Server, target: str, route: WriteRoute
) -> None:
    path = route.path.replace("NAME", target)

    response = send(server, route.method, path, None, b'{"a": 1}')

    assert response.status == 422
    assert response.problem["code"] == "unsupported-media-type"


@pytest.mark.parametrize(
    "route", [POST, PUT, PUT_NEW, IMPORT], ids=["POST", "PUT", "new", "import"]
)
@pytest.mark.parametrize("kind", [MERGE, PATCH])
def test_a_patch_is_not_taken_for_a_document(
    server: Server, target: str, route: WriteRoute, kind: str
) -> None:
    response = route.send(server, target, b'{"a": null}', kind)

    assert response.status == 422
    assert response.problem["code"] == "unsupported-media-type"


BOMB = gzip.compress(bytes(20 * MEBIBYTE))


@pytest.mark.parametrize("route", [*DOCUMENT_ROUTES, *PATCH_ROUTES])
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
    server: Server, target: str, route: WriteRoute, encoding: str, body: bytes
) -> None:
    path = route.path.replace("NAME", target)

    response = send(
        server, route.method, path, route.kind, body, headers=[f"Content-Encoding: {encoding}"]
    )

    assert response.status == 415
    assert response.problem["code"] == "unsupported-content-encoding"


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
    response = send(server, method, path.replace("NAME", target), JSON, b'{"a": 1}')

    assert response.status == 422
