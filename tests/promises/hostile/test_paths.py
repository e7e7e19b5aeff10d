"""Methods and paths that no route has, and lines that cannot be forged."""

import json
import re
import socket
from pathlib import Path

import pytest

from tests.support.raw_http import JSON, SERVERS_OWN, send, send_bytes
from tests.support.server import Api, Server

pytestmark = pytest.mark.many


@pytest.mark.parametrize(
    "path", ["/config?service=NAME", "/api/v1/services", "/healthz", "/api/v1/openapi.json"]
)
def test_head_is_get_without_the_body(server: Server, target: str, path: str) -> None:
    path = path.replace("NAME", target)
    whole, head = send(server, "GET", path), send(server, "HEAD", path)
    passing = {"date", "x-request-id"}

    assert head.body == b""
    assert head.status == whole.status == 200
    assert {k: v for k, v in head.headers.items() if k not in passing} == {
        k: v for k, v in whole.headers.items() if k not in passing
    }


@pytest.mark.parametrize("path", ["/config", "/config?service=NAME", "/api/v1/changesets"])
def test_options_lists_the_methods_and_has_no_body(server: Server, target: str, path: str) -> None:
    response = send(server, "OPTIONS", path.replace("NAME", target))

    assert response.status in {200, 204}
    assert response.headers["allow"]
    assert response.body == b""


@pytest.mark.parametrize(
    "method",
    ["TRACE", "CONNECT", "BREW", "PROPFIND", "MKCOL", "X" * 20, "G-ET", "GET_", "POST1"],
)
@pytest.mark.parametrize("path", ["/config?service=NAME", "/api/v1/import", "/metrics"])
def test_an_unknown_method_is_405_and_nothing_comes_back(
    server: Server, target: str, method: str, path: str
) -> None:
    response = send(
        server, method, path.replace("NAME", target), headers=["X-Secret: correct-horse-battery"]
    )

    assert response.status in {405, *SERVERS_OWN}
    if response.status == 405:
        assert response.problem["code"] == "method-not-allowed"
        assert response.headers["allow"]
    assert b"correct-horse" not in response.body


@pytest.mark.parametrize("method", ["get", "Get", "put", "GET GET", "", "\x00GET", "G\xc9T"])
def test_a_malformed_method_is_refused(server: Server, target: str, method: str) -> None:
    response = send(server, method, f"/config?service={target}-absent", JSON, b"{}")

    assert response.status == 400


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
    response = send(server, method, path.replace("NAME", target), JSON, b"{}")

    assert response.status == 405
    assert method not in response.headers["allow"].split(", ")


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
def test_an_unknown_path_is_404(server: Server, target: str, method: str, path: str) -> None:
    body = b"" if method in {"GET", "HEAD", "DELETE"} else b"{}"
    name = target if method in {"GET", "HEAD"} else f"{target}-absent"
    path = path.replace("NAME", name)
    url = path if "service" in path else f"{path}?service={name}"

    response = send(server, method, url, JSON if body else None, body)

    # Slashes alone are "/", which greets those who read it, and nobody writes.
    allowed = {200, 405} if set(path) == {"/"} else {404}
    assert response.status in {*allowed, *SERVERS_OWN}
    assert "location" not in response.headers


@pytest.mark.parametrize(
    "path", ["//config", "/%2Fconfig", "/%63onfig", "/c%6Fnfig", "/config/", "/config%2F"]
)
def test_another_spelling_of_the_path_is_the_same_or_nothing(
    server: Server, target: str, path: str
) -> None:
    for _ in range(2):
        plain = send(server, "GET", f"/config?service={target}")
        response = send(server, "GET", f"{path}?service={target}")

        assert response.status == 404 or (response.status, response.body) == (200, plain.body)
        assert "location" not in response.headers


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
def test_a_doubled_slash_does_not_redirect(server: Server, target: str, path: str) -> None:
    response = send(server, "GET", path.replace("NAME", target))

    assert response.status in {200, 404}


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
def test_bytes_that_are_no_request_get_a_short_response_or_none(
    server: Server, target: str, sent: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        answer = b""
        while part := wire.recv(65536):
            answer += part
    assert answer == b"" or re.match(rb"HTTP/1\.1 4\d\d ", answer)


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
def test_no_header_of_a_response_can_be_forged(
    server: Server, api: Api, name: str, path: str
) -> None:
    for number in range(2):
        api.put(f"{name}-{number}", {})
    response = send(server, "GET", path.replace("NAME", name))

    assert "x-evil" not in response.headers
    assert all("\r" not in value and "\n" not in value for _, value in response.pairs)


FORGED = "forged-by-nobody"


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_of_the_log_can_be_forged(tmp_path: Path, form: str) -> None:
    """Everything that a program or a terminal takes for the end of a line is escaped."""
    with Server(tmp_path / "instance", log_format=form, workers=1) as server:
        server.api.put("web", {"a": 1})
        for end in ("%0A", "%0D%0A", "%0D", "%C2%85", "%E2%80%A8", "%0B", "%0C", "%1E", "%00"):
            line = f"{end}{FORGED}%1B%5B31m%C2%9B31m"
            send(server, "GET", f"/nowhere{line}")
            send(server, "GET", f"/config?service=web{line}")
            send(server, "GET", f"/config?service=web&as_of={line}")
            send(server, "PUT", f"/config?service=web&note={line}", JSON, b"{}")
            send(server, "PUT", "/config?service=web", JSON, b'{"%s"' % line.encode())
        for header in ("X-Request-ID", "User-Agent", "Referer", "Cookie", "X-Forwarded-For"):
            for _ in range(2):
                send(
                    server,
                    "GET",
                    "/config?service=web",
                    headers=[f"{header}: a\n{FORGED}".encode()],
                )
        send_bytes(server, f"GET /\n{FORGED} HTTP/1.1\r\n\r\n".encode())
    log = server.log.read_text(errors="surrogateescape")

    assert FORGED in log
    assert not [line for line in log.splitlines() if line.startswith(FORGED)]
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", log)
    if form == "json":
        lines = [line for line in log.splitlines() if FORGED in line]
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_every_response_forbids_sniffing(server: Server, api: Api, name: str) -> None:
    """``check_form`` checks ``nosniff`` on every response; here are all kinds of responses."""
    api.put(name, {"page": "<script>alert(1)</script>"})
    path = f"/config?service={name}"
    etag = api.get(name).headers["ETag"]
    statuses = [
        send(server, "GET", path).status,
        send(server, "GET", path).status,  # replayed
        *(send(server, "GET", f"{path}&format={name}").status for name in ("yaml", "toml", "env")),
        send(server, "GET", f"{path}&format=properties").status,
        send(server, "GET", path, headers=[f"If-None-Match: {etag}"]).status,
        send(server, "HEAD", path).status,
        send(server, "GET", "/metrics").status,
        send(server, "GET", "/healthz").status,
        send(server, "GET", "/api/docs.css").status,
        send(server, "GET", "/api/v1/export").status,
        send(server, "GET", "/<script>").status,
        send(server, "TRACE", path).status,
        send(server, "GET", path, host="evil.example").status,
    ]

    assert statuses == [200, 200, 200, 200, 200, 200, 304, 200, 200, 200, 200, 200, 404, 405, 403]
