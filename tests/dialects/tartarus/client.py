"""Requests as clients of the original send them, and checks of the responses."""

import http.client
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import product
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from tests.support.server import JSON, Api

BASE = "/api/v1/config_definition"
BASES = [
    f"{prefix}/{spelling}"
    for prefix in ("/api/v1", "")
    for spelling in ("config_definition", "config-definition")
]
SPELLINGS = list(product(BASES, ("", "/")))
SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "tier": {"type": "string"},
        "db": {"type": "object", "properties": {"host": {"type": "string"}}},
    },
    "required": ["n"],
}
INVALID = re.compile(r"Invalid [A-Z][^A-Z!]*! \S.*", re.DOTALL)
UNKNOWN_PARAMETER = (
    "Invalid query parameter. Must be one of: 'created_at', 'modified_at' or indexes"
)

Answer = httpx2.Response


class Tartarus:
    """Requests as a client of Tartarus sends them, under one spelling of the paths."""

    def __init__(self, api: Api, base: str = BASE, slash: str = "/") -> None:
        self.http = api.http
        self.base = base
        self.slash = slash

    def path(self, *parts: str) -> str:
        return "/".join([self.base, *(quote(part, safe="") for part in parts)]) + self.slash

    def define(self, key: Any, **more: Any) -> Answer:
        return self.http.post(self.path(), json={"config_definition_key": key, **more})

    def definition(self, key: str) -> Answer:
        return self.http.get(self.path(key))

    def redefine(self, key: str, **body: Any) -> Answer:
        return self.http.put(self.path(key), json=body)

    def undefine(self, key: str) -> Answer:
        return self.http.delete(self.path(key))

    def definitions(self, **query: Any) -> Answer:
        return self.http.get(self.path(), params=query)

    def create(self, key: str, config: Any, data: Any) -> Answer:
        body = {"config_key": config, "data": data}
        return self.http.post(self.path(key, "config"), json=body)

    def read(self, key: str, config: str) -> Answer:
        return self.http.get(self.path(key, "config", config))

    def update(self, key: str, config: str, data: Any) -> Answer:
        return self.http.put(self.path(key, "config", config), json={"data": data})

    def delete(self, key: str, config: str) -> Answer:
        return self.http.delete(self.path(key, "config", config))

    def configs(self, key: str, query: Any = None) -> Answer:
        return self.http.get(self.path(key, "config"), params=query or {})


def unchanged(there: Tartarus, still: str) -> bool:
    """Whether ``still`` is as it was made."""
    [config] = results(there.configs(still))
    return (config["config_key"], config["data"]) == ("one", {"n": 1})


def success(response: Answer, status: int = 200) -> Any:
    """The data of an answer that went well."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"status", "message", "data"}
    assert body["status"] == "SUCCESS"
    assert isinstance(body["message"], str)
    assert body["message"]
    return body["data"]


def failure(response: Answer, status: int, kind: str) -> list[str]:
    """The messages of a refusal."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"status", "errors"}
    assert body["status"] == "FAILURE"
    assert body["errors"]
    for each in body["errors"]:
        assert set(each) == {"type", "msg"}
        assert each["type"] == kind
    return [each["msg"] for each in body["errors"]]


def invalid(response: Answer) -> list[str]:
    """The messages of a refusal of the request; all have the one pattern."""
    messages = failure(response, 422, "validation_error")
    for each in messages:
        assert INVALID.fullmatch(each), each
    return messages


def wrong_field(response: Answer, field: str = "") -> None:
    """That a field of the body is refused for being missing or of another type."""
    assert response.status_code == 422, response.text
    body = response.json()
    assert set(body) == {"detail"}
    assert body["detail"]
    assert field in json.dumps(body["detail"])


def results(response: Answer) -> list[Any]:
    found: list[Any] = success(response)["results"]
    return found


def keys_of(response: Answer) -> list[str]:
    return [each["config_key"] for each in results(response)]


def meta(page: int, limit: int, total: int) -> dict[str, int]:
    return {"page": page, "limit": limit, "total": total}


def at_once(number: int, call: Callable[[int], Answer]) -> list[Answer]:
    """What ``call`` returns for 0, 1, …; all begin together."""
    ready = threading.Barrier(number)

    def one(i: int) -> Answer:
        ready.wait()
        return call(i)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def raw_requester(api: Api) -> Callable[[str, str, bytes], int]:
    """Sends requests whose targets go out as they are, not normalised, and returns the statuses."""
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=20)

    def request(method: str, target: str, body: bytes) -> int:
        with closing(connection) as wire:
            wire.request(method, target, body, JSON)
            return wire.getresponse().status

    return request


def services(api: Api, prefix: str) -> list[str]:
    answer = api.http.get("/api/v1/services", params={"prefix": prefix, "limit": 500})
    return [each["name"] for each in answer.json()["services"]]


def kinds(api: Api, service: str) -> list[str]:
    return [each["kind"] for each in api.changes() if each["service"] == service]


ON_A_DEFINITION: dict[str, Callable[[Tartarus, str], Answer]] = {
    "read": lambda tartarus, key: tartarus.definition(key),
    "update": lambda tartarus, key: tartarus.redefine(key, indexes=[]),
    "delete": lambda tartarus, key: tartarus.undefine(key),
    "create config": lambda tartarus, key: tartarus.create(key, "one", {"n": 1}),
    "read config": lambda tartarus, key: tartarus.read(key, "one"),
    "update config": lambda tartarus, key: tartarus.update(key, "one", {"n": 1}),
    "delete config": lambda tartarus, key: tartarus.delete(key, "one"),
    "list configs": lambda tartarus, key: tartarus.configs(key),
}
