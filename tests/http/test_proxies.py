"""What the manual says to write into a proxy works: a real one, in front of a real server."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.identity_provider import ADMINISTRATOR, CLIENT, CLIENT_SECRET, Provider
from tests.support.needs import need
from tests.support.server import Server, free_port

MANUAL = (Path(__file__).parents[2] / "docs" / "proxies.md").read_text()
HOST = "config.example.org"
PUBLIC = f"https://{HOST}"
EMAIL, PASSWORD = "ada@example.org", "correct horse battery staple"


class Proxied:
    """A server as browsers see it, through ``port`` of a proxy."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port

    @contextmanager
    def browser(self, **headers: str) -> Iterator[httpx2.Client]:
        named = {"Host": HOST, **headers}
        with httpx2.Client(
            base_url=f"https://127.0.0.1:{self.port}", headers=named, **_TRUSTING
        ) as http:
            yield http

    @contextmanager
    def page(self) -> Iterator[httpx2.Client]:
        """What a page of the server's own sends, after its person has logged in."""
        shown = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        with self.browser(**shown) as http:
            said = http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}, **_SNI)
            assert said.status_code == 200, said.text
            cookie = said.headers["set-cookie"]
            assert "; Secure" in cookie
            http.headers["Cookie"] = cookie.partition(";")[0]
            yield http


_TRUSTING: dict[str, Any] = {"verify": False, "trust_env": False, "timeout": 30}
_SNI: dict[str, Any] = {"extensions": {"sni_hostname": HOST}}


def snippet(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", MANUAL, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the host, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{HOST}.pem", folder / f"{HOST}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def replaced(text: str, *changes: tuple[str, str]) -> str:
    for before, after in changes:
        assert before in text, f"the manual has no {before!r}"
        text = text.replace(before, after)
    return text


def nginx(folder: Path, port: int, server: Server) -> list[str]:
    """The command for an nginx with what the manual says, and as little else as it can be."""
    certificate(folder)
    text = replaced(
        snippet("nginx"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("127.0.0.1:5000", f"127.0.0.1:{server.port}"),
        ("/etc/nginx/tls", str(folder)),
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}{text}}}\n"
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, server: Server) -> list[str]:
    """The same of Caddy, with a certificate that is there already."""
    files = certificate(folder)
    text = replaced(
        snippet("caddyfile"),
        (f"{HOST} {{", f"{HOST} {{\n    tls {files[0]} {files[1]}"),
        ("127.0.0.1:5000", f"127.0.0.1:{server.port}"),
    )
    options = f"admin off\nauto_https disable_redirects\nhttps_port {port}\ndefault_bind 127.0.0.1"
    (folder / "Caddyfile").write_text(f"{{\n{options}\n}}\n{text}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module", params=PROXIES)
def proxied(request: pytest.FixtureRequest) -> Iterator[Proxied]:
    need(shutil.which(request.param) is not None, request.param)
    port = free_port()
    with ExitStack() as stack:
        # Paths of nginx are short enough here for whatever user runs it.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(Provider())
        server = stack.enter_context(
            Server(
                folder / "instance",
                auth="token",
                admin_token=ADMINISTRATOR,
                oidc_issuer=provider.url,
                oidc_client_id=CLIENT,
                oidc_client_secret=CLIENT_SECRET,
                public_url=PUBLIC,
                secure_cookies="true",
            )
        )
        headers = {"Authorization": f"Bearer {ADMINISTRATOR}"}
        body = {"email": EMAIL, "password": PASSWORD, "role": "publisher"}
        httpx2.post(f"{server.url}/api/v1/users", json=body, headers=headers, trust_env=False)
        command = PROXIES[request.param](folder, port, server)
        log = stack.enter_context((folder / "log").open("w"))
        running = subprocess.Popen(command, stdout=log, stderr=log, env=_environment(folder))
        stack.callback(running.wait, 10)
        stack.callback(running.kill)
        _wait_for(port, running, folder / "log")
        yield Proxied(server, port)


def _environment(folder: Path) -> dict[str, str]:
    path = ":".join(filter(None, {shutil.which(each) for each in PROXIES}))
    folders = {str(Path(each).parent) for each in path.split(":")}
    return {"PATH": ":".join(folders), "HOME": str(folder), "XDG_DATA_HOME": str(folder)}


def _wait_for(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert running.poll() is None, log.read_text()
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(log.read_text())


@pytest.fixture
def name() -> str:
    return f"s{uuid4().hex[:10]}"


def put(http: httpx2.Client, name: str, document: Any) -> httpx2.Response:
    return http.put("/config", params={"service": name}, json=document, **_SNI)


def test_a_page_logs_in_with_a_password_and_writes(proxied: Proxied, name: str) -> None:
    with proxied.page() as http:
        assert put(http, name, {"a": 1}).status_code == 200
        query = {"service": name, "version": "current"}
        assert http.get("/config", params=query, **_SNI).json() == {"a": 1}

        foreign = {"Origin": "https://other.example.org", "Sec-Fetch-Site": "cross-site"}
        http.headers.update(foreign)
        assert put(http, name, {"a": 2}).status_code == 403


def test_a_browser_logs_in_with_the_identity_provider(proxied: Proxied) -> None:
    """As browsers go there and back: by links, which are sent without an origin."""
    going = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
    with proxied.browser(**going) as http:
        begun = http.get("/auth/oidc/login", **_SNI)
        assert begun.status_code == 302, begun.text
        there = httpx2.get(begun.headers["location"], trust_env=False).headers["location"]
        assert there.startswith(f"{PUBLIC}/auth/oidc/callback?")

        http.headers["Cookie"] = begun.headers["set-cookie"].partition(";")[0]
        http.headers["Sec-Fetch-Site"] = "cross-site"
        back = urlsplit(there)
        answer = http.get(f"{back.path}?{back.query}", **_SNI)
        assert answer.status_code == 200, answer.text
        assert f"url={PUBLIC}/auth/me" in answer.text

        http.headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
        http.headers["Sec-Fetch-Site"] = "same-origin"
        assert http.get("/auth/me", **_SNI).json()["name"] == EMAIL


def wait_for(lines: Iterator[str], number: int) -> None:
    """Reads events up to the one of this version."""
    told = (json.loads(line.partition(":")[2]) for line in lines if line.startswith("data:"))
    for _ in range(20):
        if number in [each.get("version") for each in next(told).get("changes", ())]:
            return
    pytest.fail(f"version {number} was not told")


def test_a_held_read_and_events_are_answered_as_it_happens(proxied: Proxied, name: str) -> None:
    with proxied.page() as http, proxied.page() as writer:
        tag = put(http, name, {"a": 1}).headers["etag"]
        query = {"service": name, "version": "current"}
        events = {"Accept": "text/event-stream"}
        with http.stream(
            "GET", "/api/v1/changes", params={"service": name, "after": 0}, headers=events, **_SNI
        ) as stream:
            lines = stream.iter_lines()
            wait_for(lines, 0)
            held: list[httpx2.Response] = []
            waiting = {"If-None-Match": tag, "Prefer": "wait=25"}
            thread = threading.Thread(
                target=lambda: held.append(
                    writer.get("/config", params=query, headers=waiting, **_SNI)
                )
            )
            thread.start()
            with proxied.page() as third:
                put(third, name, {"a": 2})
            # It is told while the stream goes on: nothing was held back until a buffer was full.
            wait_for(lines, 1)
            thread.join(20)
        assert [each.json() for each in held] == [{"a": 2}]


def test_a_websocket_is_passed_on(proxied: Proxied, name: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        proxied.page() as http,
        closing(socket.create_connection(("127.0.0.1", proxied.port))) as raw,
    ):
        lines = [
            "GET /config/updates HTTP/1.1",
            f"Host: {HOST}",
            f"Origin: {PUBLIC}",
            f"Cookie: {http.headers['Cookie']}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        with context.wrap_socket(raw, server_hostname=HOST) as sock:
            sock.settimeout(20)
            sock.sendall("\r\n".join([*lines, "", ""]).encode())
            came = b""
            while b"\r\n\r\n" not in came:
                came += sock.recv(1 << 12)
            assert came.startswith(b"HTTP/1.1 101"), came
            put(http, name, {"k": "told"})
            while b"told" not in came:
                came += sock.recv(1 << 12)


def test_a_large_body_is_the_servers_to_judge(proxied: Proxied, name: str) -> None:
    documents = {f"{name}-{number}": {"text": "x" * (512 << 10)} for number in range(3)}
    with proxied.page() as http:
        done = http.post("/api/v1/import", json=documents, **_SNI)

    assert done.status_code == 200, done.text
