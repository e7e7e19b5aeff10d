"""Requests that browsers send for other sites."""

import pytest

from tests.support.raw_http import JSON, send
from tests.support.server import Server

pytestmark = pytest.mark.many


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


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=lambda value: str(value)[:20])
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
    response = send(
        server,
        method,
        path.replace("NAME", target),
        JSON if body else None,
        body.replace(b"NAME", target.encode()),
        host=host.replace("PORT", str(server.port)),
    )

    assert response.status in {400, 403}
    if response.status == 403:
        assert response.problem["code"] == "foreign-host"


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=lambda value: str(value)[:20])
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
    response = send(
        server,
        method,
        path.replace("NAME", target),
        JSON if body else None,
        body.replace(b"NAME", target.encode()),
        headers=[header],
    )

    assert response.status == 403
    assert response.problem["code"] == "cross-site"


def test_a_link_from_another_site_may_be_followed_to_read_and_not_to_write(
    server: Server, target: str
) -> None:
    headers = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]
    path = f"/config?service={target}"

    assert send(server, "GET", path, headers=headers).status == 200
    assert send(server, "POST", path, JSON, b"{}", headers=headers).status == 403
    # A cached response to a link must not be replayed to a script.
    assert send(server, "GET", path, headers=headers[:1]).status == 403
    assert send(server, "GET", path).status == 200


def test_a_page_of_this_server_may_send_requests(server: Server, target: str) -> None:
    host = f"localhost:{server.port}"
    headers = [f"Origin: http://{host}", "Sec-Fetch-Site: same-origin"]

    response = send(server, "GET", f"/config?service={target}", headers=headers, host=host)

    assert response.status == 200
