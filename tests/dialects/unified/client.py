"""Requests as clients of the original send them, and checks of the responses."""

import base64
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.support.server import Api

SAVED = {"message": "Configuration saved"}
ALL_SAVED = {"message": "Configurations updated successfully!"}
DELETED = {"status": "deleted"}
NOT_FOUND = {"detail": "Configuration not found"}
NOT_DELETED = {"detail": "Config not found."}
EVERYTHING: dict[str, Any] = {
    "empty": {},
    "falsy": {"a": False, "b": 0, "c": "", "d": []},
    "list": [1, "two", {"three": [3]}],
    "no": False,
    "number": 1.5,
    "text": "ä: # \u2028 'x'",
    "web": {"port": 8080, "hosts": ["a", "b"], "tls": {"on": True}},
}
VALUES = [
    False,
    0,
    "",
    [],
    True,
    -1.5,
    2**70,
    "ä😀\u2028\x00\n",
    [None, [False, 0]],
    {"A b": None, "$": {"x/~y": 1}, "ü": ""},
]
NAMELESS = ["A", "a b", "a.b", "a/b", "é٣", "", "a\n", "$", None, 1]
STRANGE = [
    "",
    "%00",
    "%ff%fe",
    "%C3%A9",
    "%F0%9F%98%80",
    "a%0A",
    "..%2F..",
    "%24",
    "%27--",
    "x" * 2_000,
]

both_methods = pytest.mark.parametrize("method", ["POST", "PUT"])

Answer = httpx2.Response


class Unified:
    """Requests as a client of Unified Config sends them."""

    def __init__(self, api: Api) -> None:
        self.http = api.http

    def post(self, method: str = "POST", **body: Any) -> Answer:
        return self.http.request(method, "/config/set", json=body)

    def set(self, section: str, key: str, value: Any) -> Answer:
        return self.post(section=section, key=key, value=value)

    def replace(self, section: str, values: Any) -> Answer:
        return self.post(section=section, values=values)

    def get(self, section: str, **query: Any) -> Answer:
        return self.http.get("/config/get", params={"section": section, **query})

    def delete(self, section: str, **query: Any) -> Answer:
        return self.http.delete("/config/delete", params={"section": section, **query})

    def export(self, **query: Any) -> Answer:
        return self.http.get("/config/export", params=query)

    def history(self, section: str = "", **query: Any) -> Answer:
        parameters = {"section": section, **query} if section else query
        return self.http.get("/config/history", params=parameters)

    def bulk(self, body: Any) -> Answer:
        return self.http.put("/config/update_bulk", json=body)


class Updates:
    """A WebSocket (RFC 6455) to /config/updates of the server that ``api`` speaks to."""

    def __init__(self, api: Api, origin: str = "", query: str = "") -> None:
        self.unified = Unified(api)
        host, port = api.url.removeprefix("http://").split(":")
        self.sock = socket.create_connection((host, int(port)), timeout=5)
        self.file = self.sock.makefile("rb")
        key = base64.b64encode(uuid4().bytes).decode()
        lines = [
            f"GET /config/updates{query} HTTP/1.1",
            f"Host: {host}:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            *([f"Origin: {origin}"] if origin else []),
        ]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        self.status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        if self.status == 101:
            assert headers["sec-websocket-accept"] == base64.b64encode(digest).decode()

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def frame(self) -> tuple[int, bytes]:
        """The next frame's code and payload; it waits for it."""
        first, size = self._read(2)
        assert first & 0xF0 == 0x80, "a whole frame without reserved bits"
        if size > 125:
            size = int.from_bytes(self._read(2 if size == 126 else 8))
        return first & 0x0F, self._read(size)

    def next(self) -> dict[str, Any]:
        """What the next message tells: ``{"section:key": value}``."""
        code, payload = self.frame()
        assert code == 0x1, f"an unexpected frame {code:#x}: {payload!r}"
        message = json.loads(payload)
        assert list(message) == ["configs"], message
        assert message["configs"], "a message that tells nothing"
        configs: dict[str, Any] = message["configs"]
        return configs

    def received(self) -> list[dict[str, Any]]:
        """All messages until now: it sets something, reads up to that, and deletes it."""
        mark = f"mark-{uuid4().hex}"
        saved(self.unified.set(mark, "k", 1))
        removed(self.unified.delete(mark))
        found = [self.next()]
        while f"{mark}:k" not in found[-1]:
            found.append(self.next())
        assert found.pop() == {f"{mark}:k": 1}
        assert self.next() == {f"{mark}:k": None}
        return found

    def _read(self, size: int) -> bytes:
        data = self.file.read(size)
        assert len(data) == size, "the connection ended"
        return data


class Apart:
    """A server on which there is ``EVERYTHING`` and nothing else, and one who watches it."""

    def __init__(self, api: Api, updates: Updates) -> None:
        self.api = api
        self.unified = Unified(api)
        self.updates = updates
        self.since = time.monotonic()


def saved(response: Answer) -> None:
    """That something was set."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json() == SAVED


def removed(response: Answer) -> None:
    """That something was deleted."""
    assert response.status_code == 200, response.text
    assert response.json() == DELETED


def missing(response: Answer, body: dict[str, str] = NOT_FOUND) -> None:
    assert response.status_code == 404, response.text
    assert response.json() == body


def value(response: Answer) -> Any:
    """The bare value of an answer."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: false is not 0."""
    return json.dumps(one) == json.dumps(other)


def refused(response: Answer, status: int = 422) -> None:
    """That it was refused in the dialect's form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["detail"]
    assert body["detail"]


def entries(response: Answer) -> list[dict[str, Any]]:
    """The entries of a history, all of them on one page."""
    body = value(response)
    assert set(body) == {"total_count", "data"}
    assert body["total_count"] == len(body["data"])
    for each in body["data"]:
        assert set(each) == {"section", "key", "new_value", "timestamp", "updated_by"}
    found: list[dict[str, Any]] = body["data"]
    return found


def keys_and_values(response: Answer) -> list[tuple[Any, Any]]:
    """A history's keys and values, newest first."""
    return [(each["key"], each["new_value"]) for each in entries(response)]


def documents(api: Api, section: str) -> list[Any]:
    """Every version's document, oldest first."""
    return [each["document"] for each in api.versions(section)]


def head(api: Api) -> int:
    """The journal's revision."""
    return int(api.http.get("/api/v1/changes").headers["config-revision"])


def at_once(number: int, call: Callable[[int], Answer]) -> list[Answer]:
    """What ``call`` returns for 0, 1, …; all begin together."""
    ready = threading.Barrier(number)

    def one(i: int) -> Answer:
        ready.wait()
        return call(i)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def faults(response: Answer) -> list[tuple[list[str], str]]:
    """Where the mistakes are that a refusal tells, and what they are."""
    refused(response)
    return [(each["loc"], each["msg"]) for each in response.json()["detail"]]
