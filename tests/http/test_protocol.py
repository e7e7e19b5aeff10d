"""What HTTP asks of every server, at the front and at a plain WSGI server."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx2
import pytest

from distributed_config.app import create_app
from distributed_config.settings import Settings
from distributed_config.wire.targets import split_target
from tests.support.server import JSON, Server
from tests.support.sockets import connect


@dataclass(frozen=True)
class Place:
    """A server that was asked nothing yet; ``port`` is where it listens."""

    port: int


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # its name there
        """Says nothing."""


@pytest.fixture(scope="module")
def plain(server: Server) -> Iterator[Place]:
    """The application on the standard library's WSGI server, beside the front."""
    app = create_app(Settings(instance=server.instance))
    with make_server("127.0.0.1", 0, app, handler_class=_Silent) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield Place(serving.server_port)
        serving.shutdown()
        thread.join()
        app.extensions["distributed_config"].close()


@pytest.fixture(params=["front", "plain"])
def place(request: pytest.FixtureRequest, server: Server) -> Place:
    return Place(server.port) if request.param == "front" else request.getfixturevalue("plain")


def told(place: Any, sent: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to exactly these lines."""
    with closing(connect(place)) as sock:
        sock.sendall(sent.replace("\n", "\r\n").encode("latin-1"))
        response = http.client.HTTPResponse(sock, method=method)
        response.begin()
        return response, response.read()


# --- the host


@pytest.mark.parametrize("path", ["/healthz", "/config?service=x", "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
def test_a_request_in_http_1_1_without_a_host_is_bad(place: Place, method: str, path: str) -> None:
    response, body = told(place, f"{method} {path} HTTP/1.1\nConnection: close\n\n", method)

    assert response.status == 400
    assert json.loads(body)["code"] == "host-missing"


def test_an_old_client_needs_no_host(place: Place) -> None:
    response, _ = told(place, "GET /healthz HTTP/1.0\n\n")

    assert response.status == 200


def test_what_an_old_client_was_answered_is_not_given_to_a_new_one_without_a_host(
    server: Server, name: str
) -> None:
    server.api.put(name, {"a": 1})
    line = f"GET /config?service={name} HTTP/1."
    for _ in range(3):
        assert told(server, f"{line}0\n\n")[0].status == 200

    assert told(server, f"{line}1\nConnection: close\n\n")[0].status == 400


# --- targets


@pytest.mark.parametrize("scheme", ["http", "HTTP", "https"])
def test_a_whole_address_in_the_request_line_is_its_path(
    server: Server, place: Place, name: str, scheme: str
) -> None:
    server.api.put(name, {"a": 1})

    for _ in range(2):
        response, body = told(
            place,
            f"GET {scheme}://127.0.0.1:{place.port}/config?service={name} HTTP/1.1\n"
            f"Host: 127.0.0.1:{place.port}\nConnection: close\n\n",
        )
        assert (response.status, body) == (200, b'{"a": 1}')


def test_the_host_of_a_whole_address_is_the_one_that_counts(place: Place) -> None:
    ours, foreign = f"127.0.0.1:{place.port}", "evil.example"

    line = "GET http://{}/healthz HTTP/1.1\nHost: {}\nConnection: close\n\n"

    assert told(place, line.format(ours, foreign))[0].status == 200
    response, body = told(place, line.format(foreign, ours))
    assert response.status == 403
    assert json.loads(body)["code"] == "foreign-host"


def test_a_whole_address_without_a_path_is_the_root(place: Place) -> None:
    host = f"127.0.0.1:{place.port}"
    lines = f"HTTP/1.1\nHost: {host}\nConnection: close\n\n"

    whole, path = told(place, f"GET http://{host} {lines}"), told(place, f"GET / {lines}")

    assert whole[0].status == path[0].status


def test_a_whole_address_does_not_do_without_the_header(place: Place) -> None:
    line = f"GET http://127.0.0.1:{place.port}/healthz HTTP/1.1\nConnection: close\n\n"

    assert told(place, line)[0].status == 400


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/config", ("", "/config")),
        ("//host/config", ("", "//host/config")),
        ("*", ("", "*")),
        ("http://h:1/a//b", ("h:1", "/a//b")),
        ("http://[::1]:5000/", ("[::1]:5000", "/")),
        ("http://user@h/x", ("", "http://user@h/x")),
        ("ftp://h/x", ("", "ftp://h/x")),
        ("http:///x", ("", "http:///x")),
    ],
)
def test_only_a_whole_address_of_http_is_taken_apart(target: str, parts: tuple[str, str]) -> None:
    assert split_target(target) == parts


def test_a_question_about_the_whole_server_is_answered_with_all_methods(place: Place) -> None:
    response, body = told(
        place, "OPTIONS * HTTP/1.1\nHost: localhost\nConnection: close\n\n", "OPTIONS"
    )

    assert response.status == 200
    assert body == b""
    methods = set((response.getheader("Allow") or "").split(", "))
    assert methods == {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}


@pytest.mark.parametrize("line", ["GET *", "OPTIONS /*", "DELETE *"])
def test_nothing_else_is_about_the_whole_server(place: Place, line: str) -> None:
    response, _ = told(place, f"{line} HTTP/1.1\nHost: localhost\nConnection: close\n\n")

    assert response.status in {400, 404}


# --- words that may be written in any case of letters


@pytest.mark.parametrize("written", ["identity", "Identity", "IDENTITY"])
def test_a_body_as_it_is_may_say_so_in_any_case(place: Place, name: str, written: str) -> None:
    headers = {**JSON, "Content-Encoding": written}
    url = f"http://127.0.0.1:{place.port}/config"

    answer = httpx2.put(
        url, params={"service": name}, content=b"{}", headers=headers, trust_env=False
    )

    assert answer.status_code == 200


# --- pages of other origins


@pytest.mark.parametrize("path", ["/config?service=x", "/api/v1/services", "/healthz"])
@pytest.mark.parametrize("scheme", ["https", "ftp", "HTTPS", "app", ""])
def test_the_same_host_by_another_scheme_is_another_site(
    place: Place, scheme: str, path: str
) -> None:
    host = f"127.0.0.1:{place.port}"
    response, body = told(
        place,
        f"GET {path} HTTP/1.1\nHost: {host}\nOrigin: {scheme}://{host}\nConnection: close\n\n",
    )

    assert response.status == 403
    assert json.loads(body)["code"] == "cross-site"


def test_a_websocket_of_the_same_host_by_another_scheme_is_refused(server: Server) -> None:
    host = f"127.0.0.1:{server.port}"
    lines = (
        f"GET /api/v1/changes HTTP/1.1\nHost: {host}\nOrigin: {{}}://{host}\n"
        "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
    )

    def said(scheme: str) -> bytes:
        with closing(connect(server)) as sock:
            sock.sendall(lines.format(scheme).replace("\n", "\r\n").encode())
            came = b""
            while b"hello" not in came and b"another site" not in came:
                came += sock.recv(1 << 16)
            return came

    assert b"hello" in said("http")
    assert b"another site" in said("https")


PUBLIC = "https://config.example.org"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that browsers reach through a proxy that ends TLS."""
    folder = tmp_path_factory.mktemp("proxied") / "instance"
    with Server(folder, workers=1, public_url=f"{PUBLIC}:443/") as running:
        yield running


def status_of(server: Server, origin: str, host: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.api.http.get(
        "/api/v1/services", headers={"Origin": origin, "Host": host, **named}
    ).status_code


def test_after_a_proxy_pages_come_from_where_the_browser_says(proxied: Server) -> None:
    own = f"127.0.0.1:{proxied.port}"

    # The proxy may pass on the host that the browser asked for, or name its own.
    assert status_of(proxied, PUBLIC, "config.example.org") == 200
    assert status_of(proxied, PUBLIC, own) == 200
    assert status_of(proxied, PUBLIC.replace("https", "http"), own) == 403
    assert status_of(proxied, "https://other.example.org", "config.example.org") == 403
    assert status_of(proxied, f"{PUBLIC}:8443", "config.example.org") == 403
    # The server's own address is still good on the machine itself.
    assert status_of(proxied, proxied.url, own) == 200


def test_a_proxy_on_the_machine_may_say_that_it_was_https(server: Server) -> None:
    host = f"localhost:{server.port}"

    assert status_of(server, f"https://{host}", host, X_Forwarded_Proto="https") == 200
    assert status_of(server, f"http://{host}", host, X_Forwarded_Proto="https") == 403


def test_where_cookies_are_for_https_only_pages_are_as_well(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", workers=1, secure_cookies="true") as server:
        host = f"localhost:{server.port}"

        assert status_of(server, f"https://{host}", host) == 200
        assert status_of(server, f"http://{host}", host) == 403
