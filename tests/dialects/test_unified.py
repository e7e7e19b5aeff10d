"""The API of "Unified Config": every row of its table, what it refuses, what its watchers hear, and
that its sections are services like any other."""

import base64
import hashlib
import json
import socket
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from ruamel.yaml import YAML

from tests.support.server import JSON, Api, Server

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
        asked = {"section": section, **query} if section else query
        return self.http.get("/config/history", params=asked)

    def bulk(self, body: Any) -> Answer:
        return self.http.put("/config/update_bulk", json=body)


class Updates:
    """A WebSocket (RFC 6455) to /config/updates of the server that ``api`` speaks to."""

    def __init__(self, api: Api, origin: str = "") -> None:
        self.unified = Unified(api)
        host, port = api.url.removeprefix("http://").split(":")
        self.sock = socket.create_connection((host, int(port)), timeout=5)
        self.file = self.sock.makefile("rb")
        key = base64.b64encode(uuid4().bytes).decode()
        lines = [
            "GET /config/updates HTTP/1.1",
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
        said = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        if self.status == 101:
            assert headers["sec-websocket-accept"] == base64.b64encode(said).decode()

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

    def heard(self) -> list[dict[str, Any]]:
        """All that was told until now: it sets something, reads up to that, and deletes it."""
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


@pytest.fixture
def unified(api: Api) -> Unified:
    return Unified(api)


@pytest.fixture
def section() -> str:
    """A section that no other test uses."""
    return f"s{uuid4().hex[:12]}"


@pytest.fixture
def updates(api: Api) -> Iterator[Updates]:
    """One who watches from now on."""
    with closing(Updates(api)) as watching:
        assert watching.status == 101
        yield watching


class Apart:
    """A server on which there is ``EVERYTHING`` and nothing else, and one who watches it."""

    def __init__(self, api: Api, updates: Updates) -> None:
        self.api = api
        self.unified = Unified(api)
        self.updates = updates
        self.since = time.monotonic()


@pytest.fixture(scope="module", autouse=True)
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with Server(tmp_path_factory.mktemp("apart") / "instance") as running:
        there = Unified(running.api)
        for section, values in EVERYTHING.items():
            saved(there.replace(section, values))
        saved(there.replace("gone", {"a": 1}))
        removed(there.delete("gone"))
        with closing(Updates(running.api)) as updates:
            yield Apart(running.api, updates)


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


def told(response: Answer) -> list[tuple[Any, Any]]:
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


# --- set


@both_methods
def test_a_key_is_set_beside_the_others(unified: Unified, section: str, method: str) -> None:
    saved(unified.post(method, section=section, key="a", value=1))
    saved(unified.post(method, section=section, key="b", value={"c": [2]}))
    saved(unified.post(method, section=section, key="a", value="new"))

    assert value(unified.get(section)) == {"a": "new", "b": {"c": [2]}}


@both_methods
def test_values_replace_the_section(unified: Unified, section: str, method: str) -> None:
    saved(unified.post(method, section=section, values={"a": 1, "b": 2}))
    saved(unified.post(method, section=section, values={"b": 3, "c": 4}))

    assert value(unified.get(section)) == {"b": 3, "c": 4}


@both_methods
def test_a_key_wins_over_values(unified: Unified, section: str, method: str) -> None:
    unified.replace(section, {"a": 1})

    saved(unified.post(method, section=section, key="b", value=2, values={"c": 3}))

    assert value(unified.get(section)) == {"a": 1, "b": 2}


def test_names_of_small_letters_digits_and_dashes_are_taken(
    api: Api, unified: Unified, section: str
) -> None:
    for start in ("0", "_", "a_b-c", "0-9-", "z" * (200 - len(section))):
        name = start + section
        saved(unified.set(section, name, 1))
        saved(unified.set(name, "a", section))

        assert value(unified.get(section, key=name)) == 1
        assert api.get(name, version="current").json()["a"] == section
    saved(unified.set(section, "-", 1))
    saved(unified.set(section, "z" * 5_000, 1))


@pytest.mark.parametrize("name", NAMELESS, ids=repr)
def test_no_other_name_is_taken(api: Api, unified: Unified, section: str, name: Any) -> None:
    unified.set(section, "a", 1)
    before = head(api)

    refused(unified.set(name, "a", 2))
    refused(unified.replace(name, {"a": 2}))
    refused(unified.set(section, name, 2))
    if isinstance(name, str):
        refused(unified.replace(section, {"a": 2, name: 2}))
        refused(unified.bulk({section: {"a": 2, name: 2}}))
        refused(unified.bulk({section: {"a": 2}, name: {"a": 2}}))

    assert value(unified.get(section)) == {"a": 1}
    assert head(api) == before


@pytest.mark.parametrize("start", ["-", "z" * 200])
def test_a_section_is_taken_only_under_a_name_that_it_can_be_read_by_everywhere(
    api: Api, unified: Unified, section: str, start: str
) -> None:
    name = start + section

    for answer in (
        unified.set(name, "a", 1),
        unified.replace(name, {"a": 1}),
        unified.bulk({name: {"a": 1}}),
    ):
        readable = api.get(name, version="current").status_code == 200
        assert (answer.status_code == 200) == readable, answer.text
        if not readable:
            refused(answer)


@pytest.mark.parametrize(
    "body",
    [
        {"key": "a", "value": None},
        {"key": "a"},
        {"values": None},
        {"values": {"a": None}},
        {"values": {"b": 1, "a": None}},
        {},
    ],
    ids=json.dumps,
)
def test_what_is_null_or_missing_cannot_be_set(
    api: Api, unified: Unified, section: str, body: Any
) -> None:
    for method in ("POST", "PUT"):
        refused(unified.post(method, section=section, **body))
    missing(unified.get(section))
    unified.set(section, "a", 1)
    before = head(api)

    refused(unified.post(section=section, **body))
    refused(unified.post(**{"key": "a", "value": 1, **body}))

    assert value(unified.get(section)) == {"a": 1}
    assert head(api) == before


def test_a_section_that_is_a_list_takes_a_key_whole_or_not_at_all(
    unified: Unified, section: str
) -> None:
    unified.replace(section, [1, 2])

    answer = unified.set(section, "a", 1)

    if answer.status_code == 200:
        assert value(unified.get(section)) == {"a": 1}
    else:
        refused(answer)
        assert value(unified.get(section)) == [1, 2]
    saved(unified.replace(section, {"b": 2}))
    assert value(unified.get(section)) == {"b": 2}


# --- get


@pytest.mark.parametrize("given", VALUES, ids=json.dumps)
def test_every_value_comes_back_as_itself(
    unified: Unified, section: str, updates: Updates, given: Any
) -> None:
    saved(unified.set(section, "a", given))

    assert same(value(unified.get(section, key="a")), given)
    assert same(value(unified.get(section)), {"a": given})
    assert same(told(unified.history(section)), [("a", given)])
    assert same(updates.heard(), [{f"{section}:a": given}])


@pytest.mark.parametrize("given", [False, 0, "", [], -1.5, [None, [False, {}]]])
def test_a_section_that_is_a_list_or_a_plain_value_comes_back_as_itself(
    api: Api, unified: Unified, section: str, updates: Updates, given: Any
) -> None:
    saved(unified.replace(section, given))

    assert same(value(unified.get(section)), given)
    assert same([each["new_value"] for each in entries(unified.history(section))], [given])
    [configs] = updates.heard()
    assert same(list(configs.values()), [given])
    assert next(iter(configs)).partition(":")[0] == section
    [document] = documents(api, section)
    assert same(list(document.values()), [given])


def test_what_is_not_there_is_not_found(unified: Unified, section: str) -> None:
    missing(unified.get(section))
    missing(unified.get(section, key="a"))
    unified.replace(section, {"a": {"b": 1}})
    missing(unified.get(section, key="b"))
    missing(unified.get(section, key="A"))
    unified.replace(section, [1, 2])
    for key in ("$", "0", "a"):
        missing(unified.get(section, key=key))


def test_what_is_asked_for_must_be_named(unified: Unified) -> None:
    refused(unified.http.get("/config/get"))
    refused(unified.http.get("/config/get", params={"key": "a"}))
    answer = unified.http.delete("/config/delete", params={"key": "a"})
    assert answer.status_code in {404, 422}


def test_nobody_reads_what_was_before_an_acknowledged_set(
    server: Server, unified: Unified, section: str
) -> None:
    with ExitStack() as held:
        readers = [held.enter_context(closing(Api(server.url))) for _ in range(4)]
        for number in range(10):
            saved(unified.set(section, "n", number))
            for reader in readers:
                assert value(Unified(reader).get(section, key="n")) == number


# --- delete


def test_a_key_is_deleted_and_the_others_stay(unified: Unified, section: str) -> None:
    unified.replace(section, {"a": 1, "b": 0})

    removed(unified.delete(section, key="b"))

    missing(unified.get(section, key="b"))
    assert value(unified.get(section)) == {"a": 1}
    missing(unified.delete(section, key="b"), NOT_DELETED)


@pytest.mark.parametrize("given", [{"a": 1}, {}, [1]])
def test_a_section_is_deleted_whole(
    api: Api, unified: Unified, section: str, updates: Updates, given: Any
) -> None:
    unified.replace(section, given)
    unified.replace(section, {"c": 1})
    unified.replace(section, given)

    removed(unified.delete(section))

    missing(unified.get(section))
    missing(unified.get(section, key="a"))
    assert api.get(section, version="current").status_code == 404
    missing(unified.delete(section), NOT_DELETED)
    missing(unified.delete(section, key="a"), NOT_DELETED)


def test_what_is_not_there_cannot_be_deleted(api: Api, unified: Unified, section: str) -> None:
    missing(unified.delete(section), NOT_DELETED)
    missing(unified.delete(section, key="a"), NOT_DELETED)
    unified.set(section, "a", 1)
    before = head(api)

    for key in ("b", "A", "a ", "$"):
        missing(unified.delete(section, key=key), NOT_DELETED)

    assert value(unified.get(section)) == {"a": 1}
    assert head(api) == before


def test_a_section_without_keys_has_none_to_delete(unified: Unified, section: str) -> None:
    for given in ([1, 2], "text", 0):
        unified.replace(section, given)

        for key in ("0", "a", "$"):
            missing(unified.delete(section, key=key), NOT_DELETED)

        assert same(value(unified.get(section)), given)


def test_a_deleted_section_can_be_set_again_and_its_old_versions_are_still_there(
    api: Api, unified: Unified, section: str
) -> None:
    unified.replace(section, {"a": 1, "b": 1})
    removed(unified.delete(section))

    saved(unified.set(section, "c", 2))

    assert value(unified.get(section)) == {"c": 2}
    found = api.versions(section)
    assert [(each["document"], each["enabled"]) for each in found] == [
        ({"a": 1, "b": 1}, False),
        ({"c": 2}, True),
    ]
    removed(unified.delete(section))
    assert api.enable(section, 0, True).status_code == 200
    assert value(unified.get(section)) == {"a": 1, "b": 1}


# --- export


@pytest.mark.parametrize("query", [{}, {"format": "json"}])
def test_everything_is_exported_as_one_object(apart: Apart, query: Any) -> None:
    exported = value(apart.unified.export(**query))

    assert same(dict(sorted(exported.items())), EVERYTHING)


@pytest.mark.parametrize("name", ["yaml", "yml"])
def test_everything_is_exported_as_yaml(apart: Apart, name: str) -> None:
    answer = apart.unified.export(format=name)

    assert answer.status_code == 200
    exported = YAML(typ="safe", pure=True).load(answer.text)
    assert same(dict(sorted(exported.items())), EVERYTHING)


def test_everything_is_exported_as_toml(apart: Apart) -> None:
    answer = apart.unified.export(format="toml")

    assert answer.status_code == 200
    assert same(dict(sorted(tomllib.loads(answer.text).items())), EVERYTHING)


def test_nothing_is_exported_in_another_format(apart: Apart) -> None:
    for name in ("xml", "env", "properties", "", "json ", "\x00", "é"):
        answer = apart.unified.export(format=name)

        assert answer.status_code == 400
        assert answer.json() == {
            "detail": "Unsupported format. Choose 'json', 'yaml', or 'toml'.",
        }


def test_every_export_is_in_the_audit_log(apart: Apart) -> None:
    for name, format_ in (("json", "json"), ("yml", "yaml"), ("toml", "toml")):
        assert apart.unified.export(format=name).status_code == 200

        asked = {"kind": "export", "limit": 1}
        [entry] = apart.api.http.get("/api/v1/audit", params=asked).json()["entries"]

        facts = {"prefix": "", "format": format_, "services": len(EVERYTHING)}
        assert (entry["actor"], entry["detail"]) == ("local operator", facts)


def test_what_is_not_current_is_not_exported(apart: Apart) -> None:
    there = apart.unified
    there.set("back", "a", 1)
    there.set("back", "b", 2)
    there.set("again", "a", 1)
    there.set("again", "a", 2)

    apart.api.enable("back", 1, False)
    apart.api.http.post("/api/v1/rollback", params={"service": "again", "to": 0})
    exported = value(there.export())
    assert (exported["back"], exported["again"]) == ({"a": 1}, {"a": 1})

    apart.api.enable("back", 0, False)
    removed(there.delete("again"))
    assert set(value(there.export())) == set(EVERYTHING)


# --- history


def test_the_history_is_newest_first_and_says_when_and_who(
    api: Api, unified: Unified, section: str
) -> None:
    began = datetime.now(UTC)
    unified.set(section, "a", 1)
    unified.set(section, "b", [2])
    unified.set(section, "a", "three")

    found = entries(unified.history(section))

    shown = [(each["section"], each["key"], each["new_value"]) for each in found]
    assert shown == [(section, "a", "three"), (section, "b", [2]), (section, "a", 1)]
    times = [datetime.fromisoformat(each["timestamp"]) for each in found]
    assert began <= times[2] <= times[1] <= times[0] <= datetime.now(UTC)
    authors = [each["author"] for each in api.versions(section)]
    assert [each["updated_by"] for each in found] == authors
    assert all(authors)


def test_deletions_are_in_the_history_as_null(unified: Unified, section: str) -> None:
    unified.replace(section, {"a": 1})
    unified.set(section, "b", 2)
    unified.delete(section, key="a")
    unified.delete(section)

    found = told(unified.history(section))

    assert [each for _, each in found] == [None, None, 2, 1]
    assert [key for key, _ in found[1:]] == ["a", "b", "a"]


def test_a_replaced_section_is_in_the_history_key_by_key(unified: Unified, section: str) -> None:
    unified.replace(section, {"a": 1, "b": 2})
    unified.replace(section, {"b": 3, "c": 4})

    found = told(unified.history(section))

    assert sorted(found[:3], key=str) == [("a", None), ("b", 3), ("c", 4)]
    assert sorted(found[3:]) == [("a", 1), ("b", 2)]


def test_the_history_comes_in_pages(unified: Unified, section: str) -> None:
    for number in range(7):
        unified.set(section, "n", number)

    def page(**query: int) -> list[int]:
        body = value(unified.history(section, **query))
        assert body["total_count"] == 7
        return [each["new_value"] for each in body["data"]]

    assert page(limit=3) == [6, 5, 4]
    assert page(limit=3, offset=3) == [3, 2, 1]
    assert page(limit=3, offset=6) == [0]
    assert page(limit=1, offset=7) == []
    assert page(limit=100, offset=5) == [1, 0]
    assert page(offset=10_000) == []


def test_a_page_of_the_history_has_at_most_a_hundred_entries(
    unified: Unified, section: str
) -> None:
    unified.bulk({section: {f"k{i}": i for i in range(120)}})

    body = value(unified.history(section, limit=100))

    assert (body["total_count"], len(body["data"])) == (120, 100)
    rest = value(unified.history(section, limit=100, offset=100))["data"]
    assert {each["key"] for each in body["data"] + rest} == {f"k{i}" for i in range(120)}
    assert len(value(unified.history(section))["data"]) <= 100


def test_a_page_that_cannot_be_is_refused(unified: Unified) -> None:
    for limit in (0, 101, -1, "x", "", "1.0", "٣", "9" * 5_000):
        refused(unified.history(limit=limit))
    for offset in (-1, "x", "", "1.5", "9" * 5_000):
        refused(unified.history(offset=offset))


def test_the_history_of_everything_is_of_all_sections_newest_first(apart: Apart) -> None:
    body = value(apart.unified.history(limit=100))

    assert body["total_count"] == len(body["data"])
    sections = [each["section"] for each in body["data"]]
    assert set(sections) >= {"falsy", "list", "no", "number", "text", "web"}
    assert sections.index("gone") < sections.index("web")
    times = [datetime.fromisoformat(each["timestamp"]) for each in body["data"]]
    assert all(later >= earlier for later, earlier in pairwise(times))


def test_the_history_of_one_key_holds_nothing_else(unified: Unified, section: str) -> None:
    key = f"k{section}"
    unified.replace(section, {key: 1, "b": 1})
    unified.set(section, "b", 2)
    unified.replace(f"{section}-2", {key: 3, "b": 3})
    unified.delete(section, key=key)

    assert told(unified.history(section, key=key)) == [(key, None), (key, 1)]
    everywhere = entries(unified.history(key=key))
    shown = [(each["section"], each["new_value"]) for each in everywhere if each["key"]]
    assert shown == [(section, None), (f"{section}-2", 3), (section, 1)]
    assert entries(unified.history(section, key="c")) == []
    assert entries(unified.history(section[:-1])) == []


def test_a_key_that_never_was_has_no_history(unified: Unified, section: str) -> None:
    never = f"never-{section}"
    unified.replace(section, {"a": 1})
    unified.delete(section)

    unified.replace(f"{section}-2", [1])

    assert entries(unified.history(section, key=never)) == []
    assert entries(unified.history(f"{section}-2", key=never)) == []
    assert entries(unified.history(key=never)) == []


def test_what_the_core_writes_is_in_the_history(api: Api, unified: Unified, section: str) -> None:
    api.put(section, {"a": 1})
    api.patch(section, {"a": 2})
    api.http.post("/api/v1/rollback", params={"service": section, "to": 0})

    assert told(unified.history(section)) == [("a", 1), ("a", 2), ("a", 1)]


# --- update_bulk


def test_keys_of_many_sections_are_merged(unified: Unified, section: str) -> None:
    one, two, three = (f"{section}-{i}" for i in range(3))
    unified.replace(one, {"a": 1, "b": {"deep": 1}})
    unified.replace(two, {"a": 1})

    saved_all = unified.bulk({one: {"b": {"new": 2}, "c": 3}, two: {"a": False}, three: {"x": 0}})

    assert saved_all.status_code == 200
    assert value(unified.get(one)) == {"a": 1, "b": {"new": 2}, "c": 3}
    assert same(value(unified.get(two)), {"a": False})
    assert value(unified.get(three)) == {"x": 0}


def test_a_bulk_update_is_one_revision(api: Api, unified: Unified, section: str) -> None:
    before = head(api)
    names = [f"{section}-{i}" for i in range(30)]

    assert unified.bulk({each: {"a": 1} for each in names}).status_code == 200

    changes = api.changes(before)
    assert {each["revision"] for each in changes} == {before + 1}
    written = [each["service"] for each in changes if each["kind"] == "version.created"]
    assert sorted(written) == sorted(names)


def test_an_empty_bulk_update_is_refused(unified: Unified) -> None:
    answer = unified.bulk({})

    assert answer.status_code == 400
    assert answer.json() == {"detail": "Empty configuration payload."}


@pytest.mark.parametrize(
    "part",
    [
        {"bad": None},
        {"bad": {"a": None}},
        {"bad": {"a": 1, "A": 1}},
        {"bad": {"": 1}},
        {"Bad": {"a": 1}},
        {"": {"a": 1}},
        {"bad": {"a": "\ud800"}},
        {"bad": {"a": "x" * (1 << 20)}},
        {"bad": {f"k{i}": i for i in range(10_001)}},
    ],
    ids=lambda part: str(part)[:30],
)
def test_one_invalid_part_of_a_bulk_update_and_nothing_is_written(
    api: Api, unified: Unified, section: str, part: dict[str, Any]
) -> None:
    unified.set(section, "a", 1)
    before = head(api)
    good = {section: {"a": 2}, f"{section}-new": {"a": 2}}

    for body in ({**part, **good}, {**good, **part}):
        content = json.dumps(body)
        refused(unified.http.put("/config/update_bulk", content=content, headers=JSON))

    assert value(unified.get(section)) == {"a": 1}
    missing(unified.get(f"{section}-new"))
    assert head(api) == before


def faults(response: Answer) -> list[tuple[list[str], str]]:
    """Where the mistakes are that a refusal tells, and what they are."""
    refused(response)
    return [(each["loc"], each["msg"]) for each in response.json()["detail"]]


def test_a_bulk_update_that_does_not_conform_is_told_of_every_key_of_every_section(
    api: Api, unified: Unified, section: str
) -> None:
    one, two, plain = f"{section}-1", f"{section}-2", f"{section}-3"
    api.define(f"{section}-def", {"properties": {"t": {"enum": ["a"]}, "n": {"type": "integer"}}})
    for each in (one, two):
        assert api.put(each, {"t": "a"}, definition=f"{section}-def").status_code == 200
    unified.replace(plain, [1])
    before = head(api)

    found = faults(unified.bulk({one: {"t": "x", "n": "y"}, plain: {"k": 1}, two: {"t": "z"}}))

    assert sorted(place for place, _ in found) == [
        ["body", one, "n"],
        ["body", one, "t"],
        ["body", two, "t"],
        ["body", plain],
    ]
    assert head(api) == before


def test_a_body_is_told_of_every_name_and_value_that_cannot_be(
    unified: Unified, section: str
) -> None:
    found = faults(unified.bulk({"A/b": {"a~": 1, "b": None}, f"-{section}": {}, section: None}))
    assert [place for place, _ in found] == [
        ["body", "A/b"],
        ["body", "A/b", "a~"],
        ["body", "A/b", "b"],
        ["body", f"-{section}"],
        ["body", section],
    ]
    found = faults(unified.post(section="A", key="B"))
    assert [place[1] for place, _ in found] == ["section", "key", "value"]


def test_no_more_sections_are_written_at_once_than_a_changeset_may_have(
    api: Api, unified: Unified, section: str
) -> None:
    before = head(api)

    [(place, message)] = faults(unified.bulk({f"{section}-{i}": {"a": 1} for i in range(501)}))

    assert place == ["body"]
    assert "500" in message
    assert "DISTCONF_CHANGESET_SERVICES" in message
    assert head(api) == before
    written = unified.bulk({f"{section}-{i}": {"a": 1} for i in range(500)})
    assert (written.status_code, written.json()) == (200, ALL_SAVED)


# --- what a write says besides


def writes(section: str) -> list[tuple[str, str, Any]]:
    """One write of each kind to a section that has a key ``a``: method, path and body."""
    return [
        ("POST", "/config/set", {"section": section, "key": "a", "value": 2}),
        ("PUT", "/config/set", {"section": section, "values": {"a": 3}}),
        ("PUT", "/config/update_bulk", {section: {"a": 4}}),
        ("DELETE", f"/config/delete?section={section}&key=a", None),
        ("DELETE", f"/config/delete?section={section}", None),
    ]


def test_a_rehearsal_answers_and_writes_nothing(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    before = head(api)

    for method, path, body in writes(section):
        asked = path + ("&" if "?" in path else "?") + "dry_run=true"
        answer = unified.http.request(method, asked, json=body)
        assert answer.json() in (SAVED, ALL_SAVED, DELETED)
        assert answer.headers["config-dry-run"] == "true"
        asked = asked.replace("true", "yes") + "&note=a&note=b"
        found = faults(unified.http.request(method, asked, json=body))
        assert [place for place, _ in found] == [["query", "note"], ["query", "dry_run"]]

    assert head(api) == before
    assert value(unified.get(section)) == {"a": 1}


def test_a_note_is_kept_with_every_write(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    start = head(api)

    for number, (method, path, body) in enumerate(writes(section)):
        asked = path if number % 2 else path + ("&" if "?" in path else "?") + f"note=n{number}"
        headers = {"Config-Note": f"n{number}"} if number % 2 else {}
        assert unified.http.request(method, asked, json=body, headers=headers).status_code == 200

    found = [each["note"] for each in api.changes(start)]
    assert found == [f"n{number}" for number in range(5)]


def test_a_write_goes_on_only_from_the_version_that_it_names(
    api: Api, unified: Unified, section: str
) -> None:
    unified.set(section, "a", 0)
    old = api.get(section, version="current").headers["etag"]
    unified.set(section, "a", 1)

    for method, path, body in writes(section):
        before = head(api)
        for tag in ('"bogus"', old):
            answer = unified.http.request(method, path, json=body, headers={"If-Match": tag})
            if path == "/config/update_bulk":
                [(place, message)] = faults(answer)
                assert place == ["header", "If-Match"]
                assert "/api/v1/changesets" in message
            else:
                refused(answer, 412)
        assert head(api) == before
        now = api.get(section, version="current").headers["etag"]
        if path != "/config/update_bulk":
            answer = unified.http.request(method, path, json=body, headers={"If-Match": now})
            assert answer.status_code == 200, answer.text
            assert head(api) == before + 1
    new = {"section": section, "key": "a", "value": 1}
    refused(unified.http.put("/config/set", json=new, headers={"If-None-Match": "*"}), 412)


# --- updates


def test_every_set_delete_and_bulk_update_is_told_in_order(
    unified: Unified, section: str, updates: Updates
) -> None:
    other = f"{section}-other"
    unified.set(section, "a", 1)
    unified.set(section, "b", {"c": [None]})
    unified.replace(section, {"b": 2, "d": "é"})
    unified.delete(section, key="b")
    unified.bulk({section: {"a": 3}, other: {"x": 4, "y": 5}})
    unified.delete(section)

    assert updates.heard() == [
        {f"{section}:a": 1},
        {f"{section}:b": {"c": [None]}},
        {f"{section}:a": None, f"{section}:b": 2, f"{section}:d": "é"},
        {f"{section}:b": None},
        {f"{section}:a": 3, f"{other}:x": 4, f"{other}:y": 5},
        {f"{section}:a": None, f"{section}:d": None},
    ]


def test_every_watcher_hears_every_writer_whichever_worker_they_have(
    server: Server, section: str
) -> None:
    with ExitStack() as held:
        watchers = [held.enter_context(closing(Updates(server.api))) for _ in range(8)]
        writers = [held.enter_context(closing(Api(server.url))) for _ in range(6)]
        for number, writer in enumerate(writers):
            saved(Unified(writer).set(section, "n", number))

        for watcher in watchers:
            assert [watcher.next() for _ in writers] == [{f"{section}:n": i} for i in range(6)]


def test_nothing_is_told_of_what_was_before_or_did_not_happen(
    api: Api, unified: Unified, section: str
) -> None:
    unified.set(section, "a", 1)
    with closing(Updates(api)) as updates:
        refused(unified.set(section, "a", None))
        refused(unified.bulk({section: {"a": 2}, "A": {}}))
        missing(unified.delete(section, key="b"), NOT_DELETED)
        for _ in range(3):
            unified.http.post(
                "/config/set",
                json={"section": section, "key": "a", "value": 3},
                headers={"Idempotency-Key": section},
            )

        assert updates.heard() == [{f"{section}:a": 3}]


def test_nothing_else_is_told_in_between(
    api: Api, unified: Unified, section: str, updates: Updates
) -> None:
    unified.set(section, "a", 1)
    api.define(f"{section}-def", {"type": "object"})
    api.http.put("/api/v1/services/tags", params={"service": section}, json={"tags": ["x"]})
    api.put(section, {"a": 1}, definition=f"{section}-def")
    unified.set(section, "a", 2)

    assert updates.heard() == [{f"{section}:a": 1}, {f"{section}:a": 2}]


def test_large_sections_are_told_like_small_ones(
    unified: Unified, section: str, updates: Updates
) -> None:
    large = "x" * 100_000
    unified.set(section, "small", 1)
    unified.set(section, "large", large)
    unified.set(section, "small", 2)
    unified.delete(section, key="large")
    unified.set(section, "small", 3)

    assert updates.heard() == [
        {f"{section}:small": 1},
        {f"{section}:large": large},
        {f"{section}:small": 2},
        {f"{section}:large": None},
        {f"{section}:small": 3},
    ]


def test_a_large_section_that_is_deleted_is_told(
    unified: Unified, section: str, updates: Updates
) -> None:
    unified.set(section, "large", "x" * 100_000)
    unified.delete(section)

    assert updates.heard()[1:] == [{f"{section}:large": None}]


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, True), ([0], [False]), ({"on": 1}, {"on": True}), ([{"n": 1}], [{"n": 1.0}])],
    ids=str,
)
def test_true_in_place_of_one_is_news(
    unified: Unified, section: str, updates: Updates, before: Any, after: Any
) -> None:
    unified.set(section, "a", before)
    unified.set(section, "a", after)

    assert same(value(unified.get(section, key="a")), after)
    assert same(updates.heard(), [{f"{section}:a": before}, {f"{section}:a": after}])
    assert same(told(unified.history(section)), [("a", after), ("a", before)])


def test_what_is_set_again_after_its_section_was_deleted_is_news(
    unified: Unified, section: str, updates: Updates
) -> None:
    unified.replace(section, {"a": 1, "b": 2})
    unified.delete(section)
    unified.set(section, "a", 1)

    assert value(unified.get(section)) == {"a": 1}
    assert updates.heard() == [
        {f"{section}:a": 1, f"{section}:b": 2},
        {f"{section}:a": None, f"{section}:b": None},
        {f"{section}:a": 1},
    ]


def test_what_is_set_again_after_its_section_was_deleted_is_in_the_history(
    unified: Unified, section: str
) -> None:
    unified.replace(section, {"a": 1, "b": 2})
    unified.delete(section)
    unified.set(section, "a", 1)

    found = entries(unified.history(section))

    last = [each for each in found if each["timestamp"] == found[0]["timestamp"]]
    assert [(each["key"], each["new_value"]) for each in last] == [("a", 1)]
    assert found[1]["new_value"] is None


def test_what_is_set_again_after_a_roll_back_is_news(
    api: Api, unified: Unified, section: str, updates: Updates
) -> None:
    unified.set(section, "a", 1)
    unified.set(section, "a", 2)
    api.enable(section, 1, False)
    assert value(unified.get(section, key="a")) == 1
    updates.heard()

    saved(unified.set(section, "a", 2))

    assert value(unified.get(section, key="a")) == 2
    assert updates.heard() == [{f"{section}:a": 2}]
    assert told(unified.history(section)).count(("a", 2)) == 2


def test_only_what_a_set_changed_is_told_after_a_roll_back(
    api: Api, unified: Unified, section: str, updates: Updates
) -> None:
    unified.set(section, "a", 1)
    unified.set(section, "b", 2)
    api.enable(section, 1, False)
    updates.heard()

    saved(unified.set(section, "c", 3))

    assert value(unified.get(section)) == {"a": 1, "c": 3}
    [heard] = updates.heard()
    assert heard[f"{section}:c"] == 3
    assert f"{section}:a" not in heard


def test_a_page_of_another_site_hears_nothing(api: Api, unified: Unified, section: str) -> None:
    with closing(Updates(api, origin="https://example.org")) as updates:
        saved(unified.set(section, "a", 1))
        if updates.status == 101:
            assert updates.frame()[0] == 0x8
        else:
            assert 400 <= updates.status < 500


# --- the core holds


def test_every_write_is_a_version(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    unified.replace(section, {"b": 2})
    unified.bulk({section: {"c": 3}})
    unified.delete(section, key="b")

    assert documents(api, section) == [{"a": 1}, {"b": 2}, {"b": 2, "c": 3}, {"c": 3}]
    assert [each["number"] for each in api.versions(section)] == [0, 1, 2, 3]
    assert api.get(section, version="current").text == '{"c": 3}'


def test_a_roll_back_shows(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    unified.set(section, "a", 2)

    back = api.http.post("/api/v1/rollback", params={"service": section, "to": 0})

    assert back.status_code == 200
    assert value(unified.get(section, key="a")) == 1


def test_a_disabled_version_does_not_show(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    unified.set(section, "b", 2)

    api.enable(section, 1, False)

    assert value(unified.get(section)) == {"a": 1}
    missing(unified.delete(section, key="b"), NOT_DELETED)
    saved(unified.set(section, "c", 3))
    assert value(unified.get(section)) == {"a": 1, "c": 3}


def test_a_section_of_which_nothing_is_enabled_is_not_there(
    api: Api, unified: Unified, section: str
) -> None:
    unified.set(section, "a", 1)
    api.enable(section, 0, False)

    missing(unified.get(section))
    missing(unified.delete(section), NOT_DELETED)
    saved(unified.set(section, "b", 2))
    assert value(unified.get(section)) == {"b": 2}


def test_definitions_are_enforced(api: Api, unified: Unified, section: str) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    api.define(f"{section}-def", schema)
    assert api.put(section, {"n": 1}, definition=f"{section}-def").status_code == 200
    before = head(api)

    refused(unified.set(section, "n", "text"))
    refused(unified.replace(section, {"m": 1}))
    refused(unified.replace(section, [1]))
    refused(unified.delete(section, key="n"))
    refused(unified.bulk({f"{section}-other": {"a": 1}, section: {"n": None}}))
    refused(unified.bulk({f"{section}-other": {"a": 1}, section: {"n": 1.5}}))

    assert value(unified.get(section)) == {"n": 1}
    missing(unified.get(f"{section}-other"))
    assert head(api) == before
    saved(unified.set(section, "n", 2))
    removed(unified.delete(section))
    refused(unified.set(section, "n", "text"))
    saved(unified.set(section, "n", 3))


def test_the_one_endpoint_means_what_it_always_meant(api: Api) -> None:
    service = f"get/{uuid4().hex[:12]}"

    assert api.get(service).status_code == 404
    created = api.post(service, {"a": 1})
    assert (created.json()["enabled"], created.json()["service"]) == (True, service)
    assert api.post(service, {"a": 1}).status_code == 422
    assert api.get(service).text == '{"a": 1}'
    assert api.put(service, {"a": 1}).json()["changed"] is False
    assert api.put(service, {"a": 2}).json()["version"] == 1
    assert api.patch(service, {"a": 3}).json()["version"] == 2
    assert api.get(service).json() == {"0": '{"a": 1}', "1": '{"a": 2}', "2": '{"a": 3}'}
    assert api.delete(service).status_code == 409
    for number in (2, 1, 0):
        assert api.enable(service, number, False).status_code == 200
    assert api.delete(service, version=0).status_code == 200
    assert api.delete(service).json() == {"success": True}
    assert api.get(service).status_code == 404


def test_the_one_endpoint_reads_and_writes_the_same_sections(
    api: Api, unified: Unified, section: str
) -> None:
    assert api.post(section, {"a": 1, "A.b": {"c": None}, "n": None}).status_code == 200

    assert value(unified.get(section)) == {"a": 1, "A.b": {"c": None}, "n": None}
    assert value(unified.get(section, key="A.b")) == {"c": None}
    saved(unified.set(section, "a", 2))
    assert api.get(section, version="current").json() == {"a": 2, "A.b": {"c": None}, "n": None}
    removed(unified.delete(section, key="A.b"))
    removed(unified.delete(section))
    assert api.get(section, version="current").status_code == 404
    assert api.delete(section).status_code == 200
    assert api.http.get("/api/v1/versions", params={"service": section}).status_code == 404


def test_a_write_under_an_idempotency_key_happens_once(
    api: Api, unified: Unified, section: str
) -> None:
    def again(method: str, path: str, body: Any = None, **query: Any) -> list[Answer]:
        headers = {"Idempotency-Key": uuid4().hex}
        sent = {"json": body} if body is not None else {}
        return [
            unified.http.request(method, path, params=query, headers=headers, **sent)
            for _ in range(2)
        ]

    one = {"section": section, "key": "a", "value": 1}
    for first, second in (
        again("POST", "/config/set", one),
        again("PUT", "/config/update_bulk", {section: {"a": 2}}),
        again("DELETE", "/config/delete", section=section, key="a"),
        again("DELETE", "/config/delete", section=section),
    ):
        assert (first.status_code, first.json()) == (second.status_code, second.json())
        assert first.status_code == 200
        assert second.headers["idempotency-replayed"] == "true"
    assert documents(api, section) == [{"a": 1}, {"a": 2}, {}]


def test_an_idempotency_key_is_for_one_request(unified: Unified, section: str) -> None:
    headers = {"Idempotency-Key": section}
    body = {"section": section, "key": "a", "value": 1}
    unified.http.post("/config/set", json=body, headers=headers)

    refused(unified.http.post("/config/set", json={**body, "value": 2}, headers=headers))

    assert value(unified.get(section)) == {"a": 1}


def test_sixteen_sets_at_once_of_one_section_lose_none(
    api: Api, unified: Unified, section: str
) -> None:
    for answer in at_once(16, lambda i: unified.set(section, f"k{i}", i)):
        saved(answer)

    assert value(unified.get(section)) == {f"k{i}": i for i in range(16)}
    assert [len(each) for each in documents(api, section)] == list(range(1, 17))
    assert value(unified.history(section))["total_count"] == 16


def test_sets_bulk_updates_and_deletions_at_once_lose_nothing(
    unified: Unified, section: str
) -> None:
    unified.replace(section, {f"old{i}": i for i in range(5)})

    def one(i: int) -> Answer:
        if i % 3 == 0:
            return unified.set(section, f"set{i}", i)
        if i % 3 == 1:
            return unified.bulk({section: {f"bulk{i}": i}, f"{section}-2": {f"bulk{i}": i}})
        return unified.delete(section, key=f"old{i // 3}")

    for answer in at_once(15, one):
        assert answer.status_code == 200, answer.text
    bulk = {f"bulk{i}": i for i in range(1, 15, 3)}
    assert value(unified.get(section)) == {f"set{i}": i for i in range(0, 15, 3)} | bulk
    assert value(unified.get(f"{section}-2")) == bulk


# --- strange input


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b'[{"section": "a", "key": "a", "value": 1}]',
        b"\xef\xbb\xbf{}",
        b'{"a": {"a": "\\ud800"}, "section": "a", "key": "a", "value": "\\ud800"}',
        b'{"a": {"a": 1e999}, "section": "a", "key": "a", "value": 1e999}',
        b'{"a": {"a": NaN}, "section": "a", "key": "a", "value": NaN}',
        b'{"a": {"a": 1, "a": 2}, "section": "a", "section": "b", "key": "a", "value": 1}',
        b'{"section": "a", "key": "a", "value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b'{"a": ' * 65 + b"1" + b"}" * 66,
        b'{"section": "a", "values": ' + b'{"a": ' * 65 + b"1" + b"}" * 66,
        b'{"section": "a", "key": "a", "value": ' + b"9" * 5_000 + b"}",
        b'{"section": "' + b"\\u0000" * 100 + b'", "values": {}, "a": null}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_makes_no_sense_is_refused(api: Api, body: bytes) -> None:
    before = head(api)

    for method, path in (
        ("POST", "/config/set"),
        ("PUT", "/config/set"),
        ("PUT", "/config/update_bulk"),
    ):
        refused(api.http.request(method, path, content=body, headers=JSON))

    assert head(api) == before


def test_a_body_that_does_not_say_that_it_is_json_is_refused(api: Api, section: str) -> None:
    form = f"section={section}&key=a&value=1"
    whole = json.dumps({"section": section, "key": "a", "value": 1})

    for media_type in ("application/x-www-form-urlencoded", "multipart/form-data", "é", ""):
        headers = [(b"Content-Type", media_type.encode())] if media_type else []
        for body in (form, whole):
            for method, path in (("POST", "/config/set"), ("PUT", "/config/update_bulk")):
                answer = api.http.request(method, path, content=body, headers=headers)
                assert 400 <= answer.status_code < 500, answer.text
                assert list(answer.json()) == ["detail"]

    missing(Unified(api).get(section))


def test_what_is_too_large_is_refused_and_what_is_just_not_is_kept(
    unified: Unified, section: str
) -> None:
    most = (1 << 20) - len('{"a": ""}')
    saved(unified.set(section, "a", "x" * most))
    assert value(unified.get(section, key="a")) == "x" * most

    refused(unified.set(section, "a", "x" * (most + 1)))
    refused(unified.set(section, "b", 1))
    refused(unified.replace(section, ["x" * (1 << 20)]))
    refused(unified.set(section, "a", "x" * (3 << 20)), 413)

    assert value(unified.get(section, key="a")) == "x" * most


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/config/get?section={0}&key={0}"),
        ("GET", "/config/get?section=a&section={0}"),
        ("DELETE", "/config/delete?section={0}&key={0}"),
        ("GET", "/config/export?format={0}"),
        ("GET", "/config/history?section={0}&key={0}"),
        ("GET", "/config/history?limit={0}&offset={0}"),
        ("GET", "/config/updates?after={0}"),
    ],
)
def test_a_strange_query_is_never_a_mistake_of_the_server(api: Api, method: str, path: str) -> None:
    for strange in STRANGE:
        answer = api.http.request(method, path.format(strange))

        assert answer.status_code < 500, answer.text
        answer.json()


def test_no_method_of_any_path_is_a_mistake_of_the_server(api: Api) -> None:
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    for path in ("set", "get", "delete", "export", "history", "update_bulk", "updates"):
        for method in methods:
            assert api.http.request(method, f"/config/{path}").status_code < 500


# --- last, because it takes what is left of its time


def test_a_quiet_time_is_quiet(apart: Apart) -> None:
    """Longer than the ten seconds after which other streams say that they are alive."""
    apart.updates.heard()
    time.sleep(max(0.0, apart.since + 11 - time.monotonic()))

    assert apart.updates.heard() == []
