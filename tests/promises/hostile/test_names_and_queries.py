"""Names of services and queries that cannot be understood."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from tests.support.raw_http import JSON, send
from tests.support.server import Api, Server

pytestmark = pytest.mark.many


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
    response = send(server, method, path.replace("NAME", bad), JSON if body else None, body)

    assert response.status == 422
    assert [problem.get("parameter") for problem in response.problem["problems"]] == ["service"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("length", [8_100, 10_000, 1_000_000])
def test_a_name_longer_than_a_request_line_is_refused_by_the_server(
    server: Server, target: str, method: str, length: int
) -> None:
    response = send(server, method, f"/config?service={'a' * length}", JSON, b"{}")

    assert response.status == 414 or (length < 8_190 and response.status == 422)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["", "?", "?service", "?service=", "?SERVICE=a", "?%00=a", "?&&"])
def test_a_request_without_a_name_is_refused(
    server: Server, target: str, method: str, query: str
) -> None:
    body = b"" if method in {"GET", "DELETE"} else b"{}"

    response = send(server, method, f"/config{query}", JSON if body else None, body)

    assert response.status == 422
    assert "service" in {problem.get("parameter") for problem in response.problem["problems"]}


def test_a_slash_in_a_name_may_be_escaped(api: Api, server: Server, name: str) -> None:
    api.put(f"{name}/b", {"a": 1})

    assert send(server, "GET", f"/config?service={name}%2Fb").body == b'{"a": 1}'
    assert send(server, "GET", f"/config?service={name}/b").body == b'{"a": 1}'


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
    response = send(server, "GET", f"/config?service={target}&{query}")

    assert response.status == 422
    assert response.problem["code"] == "invalid"
    assert all(problem["parameter"] for problem in response.problem["problems"])


def test_every_problem_of_a_query_is_reported(server: Server, target: str) -> None:
    query = "service=a%20b&service=c&version=-1&format=xml&min_revision=x&nonsense=1"

    response = send(server, "GET", f"/config?{query}")

    assert response.status == 422
    assert {problem["parameter"] for problem in response.problem["problems"]} == {
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
def test_before_the_first_version_there_is_none(server: Server, target: str, moment: str) -> None:
    response = send(server, "GET", f"/config?service={target}&as_of={moment}")

    assert response.status == 404
    assert response.problem["code"] == "version-not-found"


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999%2B23:59"]
)
def test_a_time_after_the_last_one_is_refused(server: Server, target: str, moment: str) -> None:
    assert send(server, "GET", f"/config?service={target}&as_of={moment}").status == 422


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

    response = send(server, method, f"/config?service={name}&{query}", JSON if body else None, body)

    assert response.status == 422
    assert response.problem["problems"]


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
        ("POST", "/api/v1/rollback?service=NAME&to=", ""),
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
def test_the_other_routes_refuse_what_they_cannot_parse(
    server: Server, target: str, method: str, path: str, body: str
) -> None:
    sent = body.replace("NAME", target).encode()

    response = send(server, method, path.replace("NAME", target), JSON if sent else None, sent)

    assert response.status == 422
    assert response.problem["problems"]


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

    response = send(server, "GET", path.replace("NAME", target) + cursor)

    assert response.status == 422
    assert [problem["parameter"] for problem in response.problem["problems"]] == ["cursor"]


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
def test_a_filter_that_is_repeated_very_often_causes_no_server_error(
    server: Server, target: str, query: str
) -> None:
    response = send(server, "GET", f"/api/v1/{query}")

    assert response.status in {200, 422}
