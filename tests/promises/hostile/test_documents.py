"""Hostile JSON: every problem of a document is reported, and nothing of it is stored."""

import json
import re

import pytest

from tests.promises.hostile.routes import (
    APPEND,
    CHANGESET,
    DOCUMENT_ROUTES,
    IMPORT,
    JSON_PATCH,
    MERGE_PATCH,
    PATCH_ROUTES,
    PUT,
    WriteRoute,
    many_keys,
    nested,
)
from tests.support.raw_http import JSON, MEBIBYTE, Problem, send
from tests.support.server import Api, Server

pytestmark = pytest.mark.many


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
        id="five-problems-at-once",
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
        id="two-problems-at-once",
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


@pytest.mark.parametrize("route", DOCUMENT_ROUTES)
@pytest.mark.parametrize(("fragment", "problems"), [*AMBIGUOUS, *UNSTORABLE])
def test_every_problem_of_a_document_is_reported_and_nothing_is_written(
    server: Server, target: str, route: WriteRoute, fragment: bytes, problems: set[Problem]
) -> None:
    response = route.send(server, target, fragment)

    assert response.status == 422
    assert response.problem["code"] == "invalid-document"
    assert response.pointers == route.pointers_in_body(target, (pointer for pointer, _ in problems))
    if not route.pointer:
        assert response.problems == problems


@pytest.mark.parametrize("route", PATCH_ROUTES)
@pytest.mark.parametrize(("fragment", "problems"), AMBIGUOUS)
def test_every_problem_of_a_patch_is_reported_and_nothing_is_written(
    server: Server, target: str, route: WriteRoute, fragment: bytes, problems: set[Problem]
) -> None:
    response = route.send(server, target, fragment)

    assert response.status == 422
    assert response.problem["code"] == "invalid-document"
    assert response.pointers == route.pointers_in_body(target, (pointer for pointer, _ in problems))


@pytest.mark.parametrize("route", [*DOCUMENT_ROUTES, *PATCH_ROUTES])
@pytest.mark.parametrize(("body", "rule"), UNREADABLE)
def test_a_body_that_is_not_json_in_utf_8_is_refused(
    server: Server, target: str, route: WriteRoute, body: bytes, rule: str
) -> None:
    response = send(server, route.method, route.path.replace("NAME", target), route.kind, body)

    assert response.status == 422
    assert response.problem["code"] == "invalid-document"
    assert response.problems == {("", rule)}


@pytest.mark.parametrize("route", [*DOCUMENT_ROUTES, *PATCH_ROUTES])
@pytest.mark.parametrize(
    "fragment",
    [
        pytest.param(b'{"\\ud800":{"a":NaN}}', id="a-fault-below-it"),
        pytest.param(b'{"\\ud800":1,"\\ud800":2}', id="given-twice"),
        pytest.param(b'{"\\udfff":%s}' % nested(300), id="deep-below-it"),
    ],
)
def test_a_key_that_cannot_be_encoded_is_refused_without_a_server_error(
    server: Server, target: str, route: WriteRoute, fragment: bytes
) -> None:
    response = route.send(server, target, fragment)

    assert response.status == 422
    assert response.problem["code"] == "invalid-document"
    assert response.problem["problems"]


def test_an_import_of_services_with_bad_names_points_at_each(server: Server, target: str) -> None:
    body = b'{"../x":{},"ok":{"a":NaN},"a b":{},"\\u0000":[],"a//b":{},"\\ud800":{}}'

    response = send(server, "POST", "/api/v1/import", JSON, body)

    assert response.status == 422
    assert response.pointers >= {"/..~1x", "/ok/a", "/a b", "/\x00", "/a~1~1b"}


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

    response = send(
        server, "POST", "/api/v1/changesets", JSON, json.dumps({"changes": changes}).encode()
    )

    assert response.status == 422
    assert {re.match(r"/changes/\d", pointer)[0] for pointer in response.pointers} == {  # type: ignore[index]
        f"/changes/{i}" for i in range(len(changes))
    }


def test_a_changeset_of_which_one_entry_fails_writes_none(server: Server, target: str) -> None:
    changes = [
        {"service": target, "document": {"a": 1}},
        {"service": f"{target}-absent", "document": {"a": 1}},
        {"service": f"{target}-nowhere", "rollback": 0},
        {"service": f"{target}-2", "document": {"a": 1}, "if_match": '"0.0.0"'},
    ]

    response = send(
        server, "POST", "/api/v1/changesets", JSON, json.dumps({"changes": changes}).encode()
    )

    assert response.status == 404
    assert response.pointers == {"/changes/2", "/changes/3"}


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
def test_at_most_a_hundred_problems_are_reported(
    server: Server, target: str, path: str, body: bytes
) -> None:
    method = "PUT" if "service" in path else "POST"

    response = send(server, method, path.replace("NAME", target), JSON, body)

    assert response.status == 422
    assert 0 < len(response.problem["problems"]) <= 100


def test_a_long_key_is_not_repeated_in_every_problem(server: Server, target: str) -> None:
    """Otherwise a body of one megabyte would cause a response of a hundred."""
    body = b'{"%s":[NaN%s]}' % (b"k" * 100_000, b",NaN" * 200)

    for route in (PUT, CHANGESET, IMPORT, MERGE_PATCH, JSON_PATCH):
        response = route.send(server, target, body)

        assert response.status == 422
        assert response.problem["problems"]


def test_whole_numbers_are_stored_exactly(api: Api, server: Server, name: str) -> None:
    text = (
        '{"a": 18446744073709551616, "b": -18446744073709551617, '
        f'"c": {"9" * 1000}, "d": 1e-320, "e": -0.0, "f": 0.1}}'
    )

    for route in (PUT, APPEND):
        assert route.send(server, name, text.encode()).status == 200
        assert api.get(name, version="current").text == text
