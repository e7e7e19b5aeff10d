"""Requests written byte by byte, and the checks that every response must pass."""

import http.client
import json
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from distributed_config.http.problems import STATUSES
from tests.support.server import Server

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
"""Statuses with which gunicorn refuses before the application, with a body of its own."""

Problem = tuple[str, str]
"""The pointer and the rule of one problem in a response."""


@dataclass(frozen=True)
class RawResponse:
    """A response as it came over the wire."""

    status: int
    pairs: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.pairs)

    @property
    def problem(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.body)
        return body

    @property
    def problems(self) -> set[Problem]:
        return {(problem["pointer"], problem["rule"]) for problem in self.problem["problems"]}

    @property
    def pointers(self) -> set[str]:
        return {problem["pointer"] for problem in self.problem["problems"]}


def render_request(
    method: str,
    target: str,
    kind: str | None = None,
    body: bytes = b"",
    headers: Iterable[str | bytes] = (),
    host: str = "127.0.0.1",
) -> bytes:
    """Return a request as bytes, with nothing checked, escaped or normalised."""
    lines: list[str | bytes] = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    encoded = [line.encode("latin-1") if isinstance(line, str) else line for line in lines]
    return b"\r\n".join(encoded) + b"\r\n\r\n" + body


def send_bytes(
    server: Server, sent: bytes, method: str = "GET", seconds: float = 20
) -> RawResponse:
    """Send exactly these bytes on a new connection; return the response."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as wire:
        wire.sendall(sent)
        return read_response(wire, method)


def read_response(wire: socket.socket, method: str = "GET") -> RawResponse:
    with http.client.HTTPResponse(wire, method=method) as incoming:
        incoming.begin()
        body = incoming.read()
        pairs = tuple((name.lower(), value) for name, value in incoming.getheaders())
        response = RawResponse(incoming.status, pairs, body)
    check_form(response, method)
    return response


def send(server: Server, method: str, target: str, *args: Any, **more: Any) -> RawResponse:
    return send_bytes(server, render_request(method, target, *args, **more), method)


def check_form(response: RawResponse, method: str) -> None:
    """Check what holds for every response, whatever the request was."""
    headers = response.headers
    if "x-request-id" not in headers:
        assert response.status in SERVERS_OWN, response
        return
    assert re.fullmatch(r"[A-Za-z0-9._:/+=@-]{1,128}", headers["x-request-id"])
    assert headers["x-content-type-options"] == "nosniff", response
    assert not headers.get("content-type", "").startswith("text/html"), response
    assert response.status < 500 or (response.status in {503, 507} and "retry-after" in headers), (
        response
    )
    if response.status >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert headers["cache-control"] == "no-store"
        assert response.status in STATUSES.values()
        if method != "HEAD":
            check_problem(response)


def check_problem(response: RawResponse) -> None:
    problem = response.problem
    assert problem.keys() >= PROBLEM_KEYS
    assert problem["success"] is False
    assert problem["status"] == problem["error"] == response.status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["detail"]
    assert len(problem["problems"]) <= 100
    # People read errors: they must not carry the whole request, or what is stored, back.
    assert len(response.body) < MEBIBYTE
