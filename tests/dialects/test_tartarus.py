"""The API of Tartarus: every path in every spelling, every answer and every refusal, and that its
configurations are services like any other."""

import http.client
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from itertools import product
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx2
import pytest

from tests.support.server import JSON, Api, Server

pytestmark = pytest.mark.many

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


@pytest.fixture
def tartarus(api: Api) -> Tartarus:
    return Tartarus(api)


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def defined(tartarus: Tartarus, key: str) -> str:
    """A definition with a schema and indexes."""
    success(tartarus.define(key, json_schema=SCHEMA, indexes=["n", "tier", "db.host"]), 201)
    return key


@pytest.fixture
def free(tartarus: Tartarus, key: str) -> str:
    """A definition that asks for nothing; ``n`` is indexed."""
    success(tartarus.define(key, indexes=["n"]), 201)
    return key


@pytest.fixture(scope="module")
def still(server: Server) -> str:
    """A definition with the configuration ``one``, for tests that change nothing of it."""
    there, key = Tartarus(server.api), f"still_{uuid4().hex[:12]}"
    success(there.define(key, indexes=["n"]), 201)
    success(there.create(key, "one", {"n": 1}), 201)
    return key


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
    """The messages of a refusal of what was said; all have the one pattern."""
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


def asker(api: Api) -> Callable[[str, str, bytes], int]:
    """Sends requests whose targets go out as they are, not normalised, and returns the statuses."""
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=20)

    def ask(method: str, target: str, body: bytes) -> int:
        with closing(connection) as wire:
            wire.request(method, target, body, JSON)
            return wire.getresponse().status

    return ask


def services(api: Api, prefix: str) -> list[str]:
    answer = api.http.get("/api/v1/services", params={"prefix": prefix, "limit": 500})
    return [each["name"] for each in answer.json()["services"]]


def kinds(api: Api, service: str) -> list[str]:
    return [each["kind"] for each in api.changes() if each["service"] == service]


# --- paths


@pytest.mark.parametrize(("base", "slash"), SPELLINGS)
def test_a_whole_life_passes_through_one_spelling_of_the_paths(
    api: Api, key: str, base: str, slash: str
) -> None:
    there = Tartarus(api, base, slash)

    made = success(there.define(key, json_schema=SCHEMA, indexes=["n"]), 201)
    assert made == {"config_definition_key": key, "json_schema": SCHEMA, "indexes": ["n"]}
    assert success(there.definition(key))["indexes"] == ["n"]
    assert success(there.redefine(key, indexes=["tier"]))["indexes"] == ["tier"]
    assert len(results(there.definitions(search=key))) == 1
    assert success(there.create(key, "one", {"n": 1}), 201) == {"n": 1}
    assert success(there.read(key, "one"))["data"] == {"n": 1}
    assert success(there.update(key, "one", {"n": 2})) == {"n": 2}
    assert keys_of(there.configs(key)) == ["one"]
    assert success(there.delete(key, "one")) == {"config_definition_key": key, "config_key": "one"}
    assert success(there.undefine(key)) == {"config_definition_key": key}
    assert there.definition(key).status_code == 404


def test_what_is_written_under_one_spelling_is_read_under_all(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": 1})
    definition, config = tartarus.definition(free).json(), tartarus.read(free, "one").json()

    for base, slash in SPELLINGS:
        there = Tartarus(api, base, slash)
        assert there.definition(free).json() == definition
        assert there.read(free, "one").json() == config
        assert keys_of(there.configs(free)) == ["one"]


@pytest.mark.parametrize("path", ["/health", "/readiness-probe"])
def test_the_probes_answer_anybody(api: Api, path: str) -> None:
    assert api.http.get(path).status_code == 200
    assert api.http.get(path, headers={"Authorization": "nonsense"}).status_code == 200


def test_the_probes_answer_under_every_spelling(api: Api) -> None:
    paths = [
        f"{prefix}/{probe}{slash}"
        for prefix, probe, slash in product(
            ("", "/api/v1"), ("health", "readiness-probe"), ("", "/")
        )
    ]

    statuses = {path: api.http.get(path).status_code for path in paths}

    assert statuses == dict.fromkeys(paths, 200)


def test_heads_are_answered_without_a_body(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})
    parts: list[tuple[str, ...]] = [(), (free,), (free, "config"), (free, "config", "one")]
    for each in parts:
        answer = tartarus.http.head(tartarus.path(*each))
        assert (answer.status_code, answer.content) == (200, b"")


# --- headers


def test_the_id_of_a_request_is_echoed_with_every_answer(tartarus: Tartarus, free: str) -> None:
    def echoed(method: str, path: str, status: int, **more: Any) -> None:
        given = str(uuid4())
        answer = tartarus.http.request(method, path, headers={"X-Request-ID": given}, **more)
        assert answer.status_code == status
        assert answer.headers.get_list("X-Request-ID") == [given]

    configs = tartarus.path(free, "config")
    body = {"config_key": "one", "data": {"n": 1}}
    echoed("POST", configs, 201, json=body)
    echoed("POST", configs, 409, json=body)
    echoed("POST", configs, 422, json={})
    echoed("POST", configs, 422, json={"config_key": "two", "data": {}})
    for _ in range(3):
        echoed("GET", tartarus.path(free, "config", "one"), 200)
        echoed("GET", configs, 200)
    echoed("GET", tartarus.path(free, "config", "two"), 404)
    echoed("GET", "/health", 200)


@pytest.mark.parametrize(
    "token", ["", "secret", "Bearer secret", "Basic !!!", 'Digest a="', "a b c", "x" * 3000]
)
def test_any_authorization_is_accepted_in_the_open_mode(
    tartarus: Tartarus, key: str, token: str
) -> None:
    sent: Any = {"headers": {"Authorization": token}}
    path = tartarus.path()
    made = tartarus.http.post(path, json={"config_definition_key": key}, **sent)
    assert made.status_code == 201
    assert tartarus.http.get(tartarus.path(key), **sent).status_code == 200
    assert tartarus.http.delete(tartarus.path(key), **sent).status_code == 200


# --- definitions


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"indexes": []},
        {"json_schema": SCHEMA},
        {"json_schema": SCHEMA, "indexes": ["db.host", "n"]},
        {"indexes": ["anything", "at.all"]},
    ],
)
def test_a_created_definition_echoes_the_request(
    tartarus: Tartarus, key: str, more: dict[str, Any]
) -> None:
    data = success(tartarus.define(key, **more), 201)

    assert data == {"config_definition_key": key, "indexes": [], **more}


def test_a_definition_is_read_with_its_times(tartarus: Tartarus, key: str) -> None:
    before = datetime.now(UTC)
    tartarus.define(key, json_schema=SCHEMA, indexes=["db.host"])
    after = datetime.now(UTC)

    data = success(tartarus.definition(key))

    created = data.pop("created_at")
    assert before <= datetime.fromisoformat(created) <= after
    assert data.pop("modified_at") == created
    assert data == {
        "config_definition_key": key, "json_schema": SCHEMA, "indexes": ["db.host"],
    }  # fmt: skip


def test_an_update_replaces_the_indexes_and_moves_the_time(
    tartarus: Tartarus, defined: str
) -> None:
    before = success(tartarus.definition(defined))

    assert success(tartarus.redefine(defined, indexes=["db.host", "n"])) == {
        "indexes": ["db.host", "n"]
    }

    after = success(tartarus.definition(defined))
    assert after["indexes"] == ["db.host", "n"]
    assert after["json_schema"] == SCHEMA
    assert after["created_at"] == before["created_at"]
    assert datetime.fromisoformat(after["modified_at"]) > datetime.fromisoformat(
        before["modified_at"]
    )
    assert success(tartarus.redefine(defined, indexes=[])) == {"indexes": []}
    assert success(tartarus.definition(defined))["indexes"] == []


def test_new_indexes_find_what_was_there_before_and_old_ones_find_no_more(
    tartarus: Tartarus, defined: str
) -> None:
    for number, config in enumerate(("one", "two")):
        tartarus.create(defined, config, {"n": number, "tier": f"t{number}"})
    assert success(tartarus.redefine(defined, indexes=["tier"]))["indexes"] == ["tier"]

    assert keys_of(tartarus.configs(defined, {"tier": "t1"})) == ["two"]
    [message] = invalid(tartarus.configs(defined, {"n": "1"}))
    assert message.endswith(UNKNOWN_PARAMETER)


def test_a_schema_that_is_given_later_is_shown_and_holds_from_then_on(
    tartarus: Tartarus, free: str
) -> None:
    success(tartarus.create(free, "one", {"n": 1}), 201)

    data = success(tartarus.redefine(free, indexes=["tier"], json_schema=SCHEMA))

    assert data["indexes"] == ["tier"]
    shown = success(tartarus.definition(free))
    assert (shown["json_schema"], shown["indexes"]) == (SCHEMA, ["tier"])
    invalid(tartarus.create(free, "two", {"n": "text"}))
    assert keys_of(tartarus.configs(free)) == ["one"]


def test_a_schema_that_what_is_there_would_break_is_refused_unless_it_is_forced_elsewhere(
    tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": "text"})
    before = tartarus.definition(free).json()

    messages = invalid(tartarus.redefine(free, indexes=["tier"], json_schema=SCHEMA))

    assert all(each.startswith("Invalid Json_schema! ") for each in messages)
    assert tartarus.definition(free).json() == before
    assert keys_of(tartarus.configs(free, {"n": "text"})) == ["one"]

    [door] = re.findall(r"PUT (\S+&force=true), and a note", messages[0])
    forced = tartarus.http.put(f"{door}&note=so+it+is", json={"schema": SCHEMA})
    assert forced.status_code == 200, forced.text
    assert success(tartarus.definition(free))["json_schema"] == SCHEMA


def test_a_schema_without_an_indexed_property_is_refused_in_the_dialects_words(
    tartarus: Tartarus, defined: str
) -> None:
    without = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    invalid(tartarus.redefine(defined, json_schema=without))

    assert success(tartarus.definition(defined))["json_schema"] == SCHEMA
    assert success(tartarus.redefine(defined, json_schema=without, indexes=["n"]))


def test_a_definition_that_is_there_is_not_created_again(tartarus: Tartarus, defined: str) -> None:
    before = tartarus.definition(defined).json()

    messages = failure(tartarus.define(defined, indexes=["x"]), 409, "conflict_error")

    assert messages == [f"Definition already exists with '{defined}'!"]
    assert tartarus.definition(defined).json() == before


_ON_A_DEFINITION: dict[str, Callable[[Tartarus, str], Answer]] = {
    "read": lambda tartarus, key: tartarus.definition(key),
    "update": lambda tartarus, key: tartarus.redefine(key, indexes=[]),
    "delete": lambda tartarus, key: tartarus.undefine(key),
    "create config": lambda tartarus, key: tartarus.create(key, "one", {"n": 1}),
    "read config": lambda tartarus, key: tartarus.read(key, "one"),
    "update config": lambda tartarus, key: tartarus.update(key, "one", {"n": 1}),
    "delete config": lambda tartarus, key: tartarus.delete(key, "one"),
    "list configs": lambda tartarus, key: tartarus.configs(key),
}


@pytest.mark.parametrize("ask", _ON_A_DEFINITION.values(), ids=_ON_A_DEFINITION.keys())
def test_a_definition_that_is_not_there_is_not_found(
    tartarus: Tartarus, key: str, ask: Callable[[Tartarus, str], Answer]
) -> None:
    messages = failure(ask(tartarus, key), 404, "not_found_error")

    assert messages == [f"Definition not found with '{key}'!"]


def test_a_deleted_definition_takes_its_configurations_with_it(
    api: Api, tartarus: Tartarus, defined: str
) -> None:
    neighbour = f"{defined}_2"
    tartarus.define(neighbour)
    tartarus.create(neighbour, "one", {"n": 1})
    for config in ("one", "two"):
        tartarus.create(defined, config, {"n": 1})
    tartarus.update(defined, "two", {"n": 2})
    api.put(defined, {"not": "one of them"})
    api.put(f"{defined}/apart", {"not": "one of them"})

    assert success(tartarus.undefine(defined)) == {"config_definition_key": defined}

    assert tartarus.definition(defined).status_code == 404
    assert tartarus.read(defined, "one").status_code == 404
    assert api.get(f"{defined}/one").status_code == 404
    assert services(api, defined) == [defined, f"{defined}/apart", f"{neighbour}/one"]
    assert kinds(api, f"{defined}/two")[-1] == "service.deleted"
    assert keys_of(tartarus.configs(neighbour)) == ["one"]
    success(tartarus.define(defined), 201)
    assert success(tartarus.configs(defined)) == {"results": [], "meta": meta(1, 10, 0)}


def test_a_deleted_definition_leaves_a_service_that_is_none_of_its_configurations(
    api: Api, tartarus: Tartarus, free: str, name: str
) -> None:
    api.put(name, {"n": 1}, definition=free)
    assert keys_of(tartarus.configs(free)) == []

    success(tartarus.undefine(free))

    assert api.get(name).json() == {"n": 1}


# --- keys


BAD_KEYS = [
    "", "a", "ab", "1abc", "_abc", "a-b", "a b", "a/b/c", "a.bc", "..", "abc ", " abc", "abc\n",
    "äbc", "abcé", "abc٣", "a\x00bc", "abc%", "'; DROP TABLE services; --",
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_a_key_that_is_none_is_refused(tartarus: Tartarus, still: str, bad: str) -> None:
    [message] = invalid(tartarus.define(bad))
    assert message.startswith("Invalid Config_definition_key! ")
    [message] = invalid(tartarus.create(still, bad, {"n": 1}))
    assert message.startswith("Invalid Config_key! ")
    assert unchanged(tartarus, still)


@pytest.mark.parametrize("bad", [each for each in BAD_KEYS if each not in {"", ".."}])
def test_nothing_is_found_under_a_key_that_is_none(
    tartarus: Tartarus, still: str, bad: str
) -> None:
    for ask in _ON_A_DEFINITION.values():
        assert ask(tartarus, bad).status_code in {404, 422}
    for answer in (
        tartarus.read(still, bad),
        tartarus.update(still, bad, {"n": 1}),
        tartarus.delete(still, bad),
    ):
        assert answer.status_code in {404, 422}


@pytest.mark.parametrize("good", ["abc", "ABC", "a__", "Z09", "config", "x" * 180])
def test_any_key_of_letters_digits_and_underscores_is_taken(
    tartarus: Tartarus, free: str, good: str
) -> None:
    success(tartarus.create(free, good, {"n": 1}), 201)

    assert success(tartarus.read(free, good))["config_key"] == good


def test_keys_of_other_case_are_other_keys(tartarus: Tartarus, free: str) -> None:
    success(tartarus.create(free, "abc", {"n": 1}), 201)
    success(tartarus.create(free, "ABC", {"n": 2}), 201)

    assert success(tartarus.read(free, "abc"))["data"] == {"n": 1}
    assert success(tartarus.read(free, "ABC"))["data"] == {"n": 2}


def test_a_key_makes_no_service_that_could_not_be_named_elsewhere(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    config = "x" * 300
    answer = tartarus.create(free, config, {"n": 1})
    if answer.status_code == 422:
        invalid(answer)
    else:
        success(answer, 201)
        assert api.get(f"{free}/{config}").status_code == 200


def test_a_key_makes_no_definition_that_could_not_be_named_elsewhere(
    api: Api, tartarus: Tartarus, key: str
) -> None:
    longer = key + "x" * 300
    answer = tartarus.define(longer)
    if answer.status_code == 422:
        invalid(answer)
    else:
        success(answer, 201)
        shown = api.http.get("/api/v1/definitions/one", params={"definition": longer})
        success(tartarus.undefine(longer))
        assert shown.status_code == 200


# --- bodies


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("config_definition_key", {}),
        ("config_definition_key", {"json_schema": {}, "indexes": []}),
        ("config_definition_key", {"config_definition_key": None}),
        ("config_definition_key", {"config_definition_key": 7}),
        ("config_definition_key", {"config_definition_key": ["abc"]}),
        ("json_schema", {"config_definition_key": "KEY", "json_schema": []}),
        ("json_schema", {"config_definition_key": "KEY", "json_schema": "{}"}),
        ("json_schema", {"config_definition_key": "KEY", "json_schema": True}),
        ("indexes", {"config_definition_key": "KEY", "indexes": "n"}),
        ("indexes", {"config_definition_key": "KEY", "indexes": {"n": 1}}),
        ("indexes", {"config_definition_key": "KEY", "indexes": [1]}),
        ("indexes", {"config_definition_key": "KEY", "indexes": ["n", None]}),
        ("indexes", {"config_definition_key": "KEY", "indexes": [["n"]]}),
    ],
)
def test_a_definition_with_a_missing_or_mistyped_field_is_refused(
    tartarus: Tartarus, key: str, field: str, body: dict[str, Any]
) -> None:
    sent = {name: key if value == "KEY" else value for name, value in body.items()}

    wrong_field(tartarus.http.post(tartarus.path(), json=sent), field)

    assert tartarus.definition(key).status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"other": 1}, {"indexes": "n"}, {"indexes": 1}, {"indexes": [1]}, {"indexes": {"n": 1}}],
)
def test_an_update_of_a_definition_with_a_missing_or_mistyped_field_is_refused(
    tartarus: Tartarus, defined: str, body: dict[str, Any]
) -> None:
    before = tartarus.definition(defined).json()

    wrong_field(tartarus.redefine(defined, **body), "indexes")

    assert tartarus.definition(defined).json() == before


def test_an_update_to_null_instead_of_indexes_is_refused(tartarus: Tartarus, defined: str) -> None:
    wrong_field(tartarus.redefine(defined, indexes=None), "indexes")


@pytest.mark.parametrize("schema", [[], "x", 7, True])
def test_an_update_to_what_is_no_schema_is_refused(
    tartarus: Tartarus, still: str, schema: Any
) -> None:
    wrong_field(tartarus.redefine(still, indexes=[], json_schema=schema), "json_schema")


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("config_key", {}),
        ("config_key", {"data": {"n": 1}}),
        ("data", {"config_key": "one"}),
        ("config_key", {"config_key": 1, "data": {"n": 1}}),
        ("config_key", {"config_key": None, "data": {"n": 1}}),
        ("data", {"config_key": "one", "data": None}),
        ("data", {"config_key": "one", "data": []}),
        ("data", {"config_key": "one", "data": [{"n": 1}]}),
        ("data", {"config_key": "one", "data": "{}"}),
        ("data", {"config_key": "one", "data": 1}),
        ("data", {"config_key": "one", "data": False}),
    ],
)
def test_a_configuration_with_a_missing_or_mistyped_field_is_refused(
    tartarus: Tartarus, still: str, field: str, body: dict[str, Any]
) -> None:
    wrong_field(tartarus.http.post(tartarus.path(still, "config"), json=body), field)

    assert unchanged(tartarus, still)


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": []}, {"data": "x"}, {"data": 0}])
def test_an_update_of_a_configuration_with_a_missing_or_mistyped_field_is_refused(
    tartarus: Tartarus, still: str, body: dict[str, Any]
) -> None:
    wrong_field(tartarus.http.put(tartarus.path(still, "config", "one"), json=body), "data")

    assert unchanged(tartarus, still)


def doors(tartarus: Tartarus, key: str) -> list[tuple[str, str]]:
    """The methods and paths that take a body."""
    return [
        ("POST", tartarus.path()),
        ("PUT", tartarus.path(key)),
        ("POST", tartarus.path(key, "config")),
        ("PUT", tartarus.path(key, "config", "one")),
    ]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"1", b'"x"', b"true", b"\xff", b"{}{}"]
)
def test_a_body_that_is_no_object_is_refused(tartarus: Tartarus, still: str, body: bytes) -> None:
    for method, path in doors(tartarus, still):
        wrong_field(tartarus.http.request(method, path, content=body, headers=JSON))
    assert unchanged(tartarus, still)


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/json; charset=utf-16",
        "application/merge-patch+json",
        "nonsense",
        "",
    ],
)
def test_a_body_of_another_kind_is_refused_and_does_nothing(
    tartarus: Tartarus, still: str, kind: str
) -> None:
    body = b'{"config_definition_key": "forms", "config_key": "forms", "data": {"n": 2}}'
    for method, path in doors(tartarus, still):
        headers = {"Content-Type": kind} if kind else {}
        answer = tartarus.http.request(method, path, content=body, headers=headers)
        assert 400 <= answer.status_code < 500, answer.text
        assert set(answer.json()) in ({"status", "errors"}, {"detail"})
    assert unchanged(tartarus, still)


_STRANGE = {
    "a number too large": b'{"a": 1e999}',
    "no number": b'{"a": NaN}',
    "an endless number": b'{"a": %s}' % (b"9" * 2000),
    "a key twice": b'{"a": 1, "a": 2}',
    "half a pair": b'{"a": "\\ud800"}',
    "half a pair as a key": b'{"\\ud800": 1}',
    "half a pair as a key, twice": b'{"\\ud800": 1, "\\ud800": 2}',
    "far too deep": b'{"a": %s1%s}' % (b"[" * 5000, b"]" * 5000),
    "too deep": b'{"a": %s1%s}' % (b"[" * 100, b"]" * 100),
    "too many keys": json.dumps({f"k{i}": i for i in range(60_001)}).encode(),
    "too large": b'{"a": "%s"}' % (b"x" * (1 << 20)),
    "a zero byte": b'{"a": "\x00"}',
}


@pytest.mark.parametrize("value", _STRANGE.values(), ids=_STRANGE.keys())
def test_what_cannot_be_stored_is_refused_wherever_an_object_stands(
    tartarus: Tartarus, still: str, key: str, value: bytes
) -> None:
    before = tartarus.definition(still).json()
    bodies = [
        b'{"config_definition_key": "%s_2", "json_schema": %s}' % (key.encode(), value),
        b'{"indexes": [], "json_schema": {"properties": %s}}' % value,
        b'{"config_key": "two", "data": %s}' % value,
        b'{"data": %s}' % value,
    ]
    statuses = []
    for (method, path), body in zip(doors(tartarus, still), bodies, strict=True):
        answer = tartarus.http.request(method, path, content=body, headers=JSON)
        assert set(answer.json()) in ({"status", "errors"}, {"detail"})
        statuses.append(answer.status_code)

    assert statuses[2:] == [422, 422]
    assert set(statuses[:2]) == {422}
    assert tartarus.definition(still).json() == before
    assert unchanged(tartarus, still)


def test_a_body_beyond_the_limit_is_refused(tartarus: Tartarus, free: str) -> None:
    answer = tartarus.create(free, "one", {"a": "x" * (3 << 20)})

    assert 400 <= answer.status_code < 500
    assert answer.json()["status"] == "FAILURE"
    assert keys_of(tartarus.configs(free)) == []


def test_every_field_that_is_missing_or_mistyped_is_told(
    tartarus: Tartarus, key: str, defined: str
) -> None:
    def fields(response: Answer) -> list[tuple[str, str]]:
        wrong_field(response)
        return [(each["type"], each["loc"][-1]) for each in response.json()["detail"]]

    configs = tartarus.path(defined, "config")
    body: Any = {"config_definition_key": "a b", "indexes": "x", "json_schema": []}

    assert fields(tartarus.http.post(tartarus.path(), json=body)) == [
        ("value_error", "config_definition_key"),
        ("type_error", "json_schema"),
        ("type_error", "indexes"),
    ]
    assert fields(tartarus.http.post(configs, json={})) == [
        ("missing", "config_key"),
        ("missing", "data"),
    ]
    assert fields(tartarus.redefine(key=defined, indexes=1, json_schema=2)) == [
        ("type_error", "json_schema"),
        ("type_error", "indexes"),
    ]
    broken = b'{"config_key": "two", "data": {"a": 1e999, "b": {"c": 1, "c": 2}}}'
    answer = tartarus.http.post(configs, content=broken, headers=JSON)
    assert fields(answer) == [("type_error", "a"), ("type_error", "c")]


def test_a_key_a_schema_and_indexes_that_are_wrong_are_told_together(
    tartarus: Tartarus, key: str, defined: str
) -> None:
    def about(response: Answer) -> list[str]:
        return [each.partition("!")[0] for each in invalid(response)]

    wrong: Any = {"json_schema": {"type": "objekt"}, "indexes": ["n", "n"]}
    assert about(tartarus.define("a b", **wrong)) == [
        "Invalid Config_definition_key",
        "Invalid Json_schema",
        "Invalid Indexes",
    ]
    assert about(tartarus.redefine(defined, **wrong)) == ["Invalid Json_schema", "Invalid Indexes"]
    assert about(tartarus.define("a b", json_schema=SCHEMA, indexes=["x", "y"])) == [
        "Invalid Config_definition_key",
        *["Invalid Indexes"] * 2,
    ]


def test_what_breaks_the_definition_is_told_with_all_else_that_is_wrong(
    tartarus: Tartarus, defined: str
) -> None:
    def starts(response: Answer) -> list[str]:
        return [" ".join(each.split()[:3]) for each in invalid(response)]

    data = {"n": "x", "tier": 1, "service": "q"}
    unfit = ["Invalid Data! /n:", "Invalid Data! /tier:"]
    tartarus.create(defined, "one", {"n": 1})

    assert starts(tartarus.create(defined, "two", data)) == ["Invalid Data! /service:", *unfit]
    assert starts(tartarus.update(defined, "one", data)) == ["Invalid Data! /service:", *unfit]
    del data["service"]
    assert starts(tartarus.create(defined, "a b", data)) == ["Invalid Config_key! It", *unfit]
    assert starts(tartarus.create(defined, "two", data)) == unfit


# --- what a write says besides


def writes(tartarus: Tartarus, key: str) -> list[tuple[str, str, Any]]:
    """One write of each kind, about a definition that has the configuration ``one``."""
    one = tartarus.path(key, "config", "one")
    return [
        ("POST", tartarus.path(), {"config_definition_key": f"{key}_2"}),
        ("POST", tartarus.path(key, "config"), {"config_key": "two", "data": {"n": 2}}),
        ("PUT", one, {"data": {"n": 3}}),
        ("DELETE", one, None),
        ("PUT", tartarus.path(key), {"indexes": []}),
        ("DELETE", tartarus.path(key), None),
    ]


def head(api: Api) -> int:
    """The journal's revision."""
    return int(api.http.get("/api/v1/changes").headers["config-revision"])


def test_a_rehearsal_answers_and_writes_nothing(api: Api, tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})
    before = head(api)

    for method, path, body in writes(tartarus, free):
        answer = tartarus.http.request(method, f"{path}?dry_run=true", json=body)
        success(answer, 201 if method == "POST" else 200)
        assert answer.headers["config-dry-run"] == "true"
        wrong = tartarus.http.request(method, f"{path}?dry_run=yes&note=a&note=b", json=body)
        messages = failure(wrong, 422, "validation_error")
        assert [each.partition(":")[0] for each in messages] == ["note", "dry_run"]

    assert head(api) == before
    assert keys_of(tartarus.configs(free)) == ["one"]
    assert tartarus.definition(f"{free}_2").status_code == 404


def test_a_note_is_kept_with_every_write(api: Api, tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})
    start = head(api)

    for number, (method, path, body) in enumerate(writes(tartarus, free)):
        asked = path if number % 2 else f"{path}?note=n{number}"
        headers = {"Config-Note": f"n{number}"} if number % 2 else {}
        answer = tartarus.http.request(method, asked, json=body, headers=headers)
        assert answer.status_code < 300, answer.text

    notes = {each["revision"] - start: each["note"] for each in api.changes(start)}
    assert notes == {number + 1: f"n{number}" for number in range(6)}


def test_a_write_goes_on_only_from_the_version_that_it_names(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    def send(write: tuple[str, str, Any], tag: str) -> Answer:
        method, path, body = write
        return tartarus.http.request(method, path, json=body, headers={"If-Match": tag})

    def tag_of_service() -> str:
        return api.get(f"{free}/one", version="current").headers["etag"]

    def tag_of_definition() -> str:
        asked = {"definition": free}
        return api.http.get("/api/v1/definitions/one", params=asked).headers["etag"]

    tartarus.create(free, "one", {"n": 0})
    old = tag_of_service()
    tartarus.update(free, "one", {"n": 1})
    before = head(api)
    *creating, update, delete, redefine, undefine = writes(tartarus, free)

    for write in creating:
        [message] = failure(send(write, old), 422, "validation_error")
        assert message.startswith("If-Match: This creates")
    for write in (update, delete, redefine, undefine):
        for tag in (old, '"bogus"'):
            [message] = failure(send(write, tag), 412, "conflict_error")
            assert "does not match the conditions of the request" in message
    assert head(api) == before

    for write in (update, delete):
        success(send(write, tag_of_service()))
    for write in (redefine, undefine):
        success(send(write, tag_of_definition()))


# --- schemas and indexes


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 12},
        {"type": "objekt"},
        {"properties": []},
        {"required": "n"},
        {"properties": {"n": {"pattern": "("}}},
        {"$ref": "http://localhost:1/elsewhere"},
    ],
)
def test_a_schema_that_is_none_is_refused(
    tartarus: Tartarus, key: str, free: str, schema: dict[str, Any]
) -> None:
    for answer in (
        tartarus.define(f"{key}_2", json_schema=schema),
        tartarus.redefine(free, indexes=["n"], json_schema=schema),
    ):
        messages = invalid(answer)
        assert all(each.startswith("Invalid Json_schema! ") for each in messages)
    assert tartarus.definition(f"{key}_2").status_code == 404


@pytest.mark.parametrize(
    "indexes",
    [
        ["n", "n"],
        ["n", "tier", "n"],
        ["unknown"],
        ["db.port"],
        ["host"],
        ["n.deeper"],
        ["db..host"],
        ["db."],
        [".n"],
        [""],
        ["N"],
        ["properties.n"],
    ],
)
def test_indexes_that_are_repeated_or_not_in_the_schema_are_refused(
    tartarus: Tartarus, defined: str, indexes: list[str]
) -> None:
    before = tartarus.definition(defined).json()

    for answer in (
        tartarus.define(f"{defined}_2", json_schema=SCHEMA, indexes=indexes),
        tartarus.redefine(defined, indexes=indexes),
    ):
        messages = invalid(answer)
        assert all(each.startswith("Invalid Indexes! ") for each in messages)

    assert tartarus.definition(f"{defined}_2").status_code == 404
    assert tartarus.definition(defined).json() == before


def test_indexes_without_a_schema_may_be_any_but_not_repeated(tartarus: Tartarus, key: str) -> None:
    invalid(tartarus.define(key, indexes=["a.b", "a.b"]))

    assert success(tartarus.define(key, indexes=["a.b", "c"]), 201)["indexes"] == ["a.b", "c"]
    tartarus.create(key, "one", {"a": {"b": "x"}})
    assert keys_of(tartarus.configs(key, {"a.b": "x"})) == ["one"]


# --- configurations


def test_a_configuration_is_created_read_replaced_and_deleted(
    tartarus: Tartarus, defined: str
) -> None:
    before = datetime.now(UTC)
    first = {"n": 1, "db": {"host": "ä"}, "extra": [1, 2.5, None, {"x": "😀"}]}
    assert success(tartarus.create(defined, "one", first), 201) == first
    after = datetime.now(UTC)

    shown = success(tartarus.read(defined, "one"))
    assert set(shown) == {"config_key", "data", "created_at", "modified_at"}
    assert (shown["config_key"], shown["data"]) == ("one", first)
    assert before <= datetime.fromisoformat(shown["created_at"]) <= after
    assert shown["modified_at"] == shown["created_at"]

    assert success(tartarus.update(defined, "one", {"n": 2})) == {"n": 2}
    replaced = success(tartarus.read(defined, "one"))
    assert (replaced["data"], replaced["created_at"]) == ({"n": 2}, shown["created_at"])
    assert datetime.fromisoformat(replaced["modified_at"]) > datetime.fromisoformat(
        shown["modified_at"]
    )

    gone = {"config_definition_key": defined, "config_key": "one"}
    assert success(tartarus.delete(defined, "one")) == gone
    messages = failure(tartarus.read(defined, "one"), 404, "not_found_error")
    assert messages == ["Configuration not found with 'one'!"]
    assert keys_of(tartarus.configs(defined, {"n": "2"})) == []


def test_large_numbers_come_back_as_they_went(tartarus: Tartarus, free: str) -> None:
    data = {"n": 10**400 + 1, "m": -(10**30), "f": 0.1}

    assert success(tartarus.create(free, "one", data), 201) == data

    assert success(tartarus.read(free, "one"))["data"] == data
    assert keys_of(tartarus.configs(free, {"n": str(10**400 + 1)})) == ["one"]
    assert keys_of(tartarus.configs(free, {"n": str(10**400)})) == []


def test_a_configuration_that_is_there_is_not_created_again(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})

    messages = failure(tartarus.create(free, "one", {"n": 2}), 409, "conflict_error")

    assert messages == ["Config already exists with 'one'!"]
    assert success(tartarus.read(free, "one"))["data"] == {"n": 1}


def test_a_configuration_that_is_not_there_is_not_found(tartarus: Tartarus, free: str) -> None:
    for answer in (
        tartarus.read(free, "one"),
        tartarus.update(free, "one", {"n": 1}),
        tartarus.delete(free, "one"),
    ):
        messages = failure(answer, 404, "not_found_error")
        assert messages == ["Configuration not found with 'one'!"]
    assert keys_of(tartarus.configs(free)) == []


def test_a_configuration_of_another_definition_is_not_found(tartarus: Tartarus, free: str) -> None:
    other = f"{free}_2"
    tartarus.define(other)
    tartarus.create(other, "one", {"n": 1})

    assert tartarus.read(free, "one").status_code == 404
    assert tartarus.delete(free, "one").status_code == 404
    assert keys_of(tartarus.configs(free)) == []
    assert keys_of(tartarus.configs(other)) == ["one"]


def test_empty_data_is_refused(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})

    for answer in (tartarus.create(free, "two", {}), tartarus.update(free, "one", {})):
        [message] = invalid(answer)
        assert message.endswith("! Configuration data must be provided.")

    assert keys_of(tartarus.configs(free)) == ["one"]
    assert success(tartarus.read(free, "one"))["data"] == {"n": 1}


@pytest.mark.parametrize("data", [{"n": "1"}, {"tier": "gold"}, {"n": 1, "db": {"host": 1}}])
def test_data_that_does_not_conform_is_refused(
    tartarus: Tartarus, defined: str, data: dict[str, Any]
) -> None:
    tartarus.create(defined, "one", {"n": 1})

    invalid(tartarus.create(defined, "two", data))
    invalid(tartarus.update(defined, "one", data))

    assert success(tartarus.read(defined, "one"))["data"] == {"n": 1}
    assert keys_of(tartarus.configs(defined)) == ["one"]
    assert tartarus.read(defined, "two").status_code == 404


def test_a_deleted_configuration_leaves_its_key_free(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": 1})
    tartarus.update(free, "one", {"n": 2})
    success(tartarus.delete(free, "one"))

    success(tartarus.create(free, "one", {"n": 3}), 201)

    assert success(tartarus.read(free, "one"))["data"] == {"n": 3}
    assert [each["number"] for each in api.versions(f"{free}/one")] == [0]


# --- lists


def test_configurations_are_listed_page_by_page(tartarus: Tartarus, free: str) -> None:
    wanted = [f"config{number:02}" for number in range(23)]
    for number, config in enumerate(wanted):
        tartarus.create(free, config, {"n": number % 2})

    pages = [success(tartarus.configs(free, {"page": page})) for page in (1, 2, 3, 4)]

    assert [len(each["results"]) for each in pages] == [10, 10, 3, 0]
    assert [each["meta"] for each in pages] == [meta(page, 10, 23) for page in (1, 2, 3, 4)]
    found = [each["config_key"] for page in pages for each in page["results"]]
    assert found == wanted[::-1]
    whole = success(tartarus.configs(free, {"limit": 100, "sort_order": "asc"}))
    assert whole["meta"] == meta(1, 100, 23)
    assert [each["config_key"] for each in whole["results"]] == wanted
    third = success(
        tartarus.configs(
            free, {"n": "1", "page": 3, "limit": 4, "sort_by": "config_key", "sort_order": "asc"}
        )
    )
    assert third["meta"] == meta(3, 4, 11)
    assert [each["config_key"] for each in third["results"]] == wanted[17::2]
    assert third["results"][0]["data"] == {"n": 1}


def test_definitions_are_listed_page_by_page(tartarus: Tartarus, key: str) -> None:
    wanted = [f"{key}_{number:02}" for number in range(7)]
    for each in wanted:
        tartarus.define(each, json_schema=SCHEMA, indexes=["n"])

    pages = [success(tartarus.definitions(search=key, page=page, limit=3)) for page in (1, 2, 3, 4)]

    assert [len(each["results"]) for each in pages] == [3, 3, 1, 0]
    assert [each["meta"] for each in pages] == [meta(page, 3, 7) for page in (1, 2, 3, 4)]
    found = [each["config_definition_key"] for page in pages for each in page["results"]]
    assert found == wanted[::-1]
    first = pages[0]["results"][0]
    assert first == success(tartarus.definition(first["config_definition_key"]))
    assert success(tartarus.definitions(search=key))["meta"] == meta(1, 10, 7)


SORTED = {
    ("config_key", "asc"): ["aaa", "bbb", "ccc"],
    ("config_key", "desc"): ["ccc", "bbb", "aaa"],
    ("created_at", "asc"): ["bbb", "aaa", "ccc"],
    ("created_at", "desc"): ["ccc", "aaa", "bbb"],
    ("modified_at", "asc"): ["aaa", "ccc", "bbb"],
    ("modified_at", "desc"): ["bbb", "ccc", "aaa"],
}


def test_configurations_are_sorted_by_key_and_by_times(tartarus: Tartarus, free: str) -> None:
    for config in ("bbb", "aaa", "ccc"):
        tartarus.create(free, config, {"n": 1})
    tartarus.update(free, "bbb", {"n": 2})

    for (field, direction), wanted in SORTED.items():
        asked = {"sort_by": field, "sort_order": direction}
        assert keys_of(tartarus.configs(free, asked)) == wanted
    assert keys_of(tartarus.configs(free)) == SORTED["modified_at", "desc"]
    assert keys_of(tartarus.configs(free, {"sort_by": "config_key"})) == ["ccc", "bbb", "aaa"]


def test_definitions_are_sorted_by_key_and_by_times(tartarus: Tartarus, key: str) -> None:
    for each in ("bbb", "aaa", "ccc"):
        tartarus.define(f"{key}_{each}")
    tartarus.redefine(f"{key}_bbb", indexes=["n"])

    def listed(**query: str) -> list[str]:
        found = results(tartarus.definitions(search=key, **query))
        return [each["config_definition_key"].removeprefix(f"{key}_") for each in found]

    for (field, direction), wanted in SORTED.items():
        by = "config_definition_key" if field == "config_key" else field
        assert listed(sort_by=by, sort_order=direction) == wanted
    assert listed() == SORTED["modified_at", "desc"]


BAD_PARAMETERS = [
    ("page", "0"), ("page", "-1"), ("limit", "0"), ("limit", "-5"), ("limit", "101"),
    ("limit", "100000"), ("sort_by", "nothing"), ("sort_by", ""), ("sort_by", "data"),
    ("sort_order", "up"), ("sort_order", "DESC"), ("sort_order", "desc; --"),
    ("search", "ab"), ("search", "a"), ("search", "ab%"), ("search", "%%%"), ("search", "a b"),
    ("search", "a-b"), ("search", "abc*"), ("search", "abc\n"), ("search", "'''"),
]  # fmt: skip


@pytest.mark.parametrize(("parameter", "value"), BAD_PARAMETERS)
def test_a_list_parameter_beyond_its_bounds_is_refused(
    tartarus: Tartarus, still: str, parameter: str, value: str
) -> None:
    invalid(tartarus.configs(still, {parameter: value}))
    invalid(tartarus.definitions(**{parameter: value}))


def test_every_parameter_that_is_wrong_is_told(tartarus: Tartarus, still: str) -> None:
    wrong = {
        "page": "0",
        "sort_by": "x",
        "sort_order": "up",
        "search": "a",
        "tier": "1",
        "size": "2",
        "created_at": "x",
        "modified_at": "y",
    }

    messages = invalid(tartarus.configs(still, wrong))

    about = [each.split()[1].strip("!").lower() for each in messages]
    assert about == ["page/limit", *list(wrong)[1:]]
    answer = tartarus.definitions(**{**wrong, "page": "x", "limit": "y"})
    places = [each["loc"] for each in answer.json()["detail"]]
    assert places == [["query", each] for each in (*list(wrong)[:1], "limit", *list(wrong)[1:4])]


@pytest.mark.parametrize("value", ["x", "", "1.5", "1e1", "0x1", "٣", "None", "1 2", "9" * 40])
@pytest.mark.parametrize("parameter", ["page", "limit"])
def test_a_page_or_limit_that_is_no_number_is_refused(
    tartarus: Tartarus, still: str, parameter: str, value: str
) -> None:
    for answer in (
        tartarus.configs(still, {parameter: value}),
        tartarus.definitions(**{parameter: value}),
    ):
        assert answer.status_code == 422, answer.text
        assert set(answer.json()) in ({"detail"}, {"status", "errors"})


def test_a_page_far_behind_the_last_is_empty(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})

    for query in ({}, {"n": "1"}, {"search": "one"}):
        asked = {"page": 999_999_999, "limit": 100, **query}
        answer = success(tartarus.configs(free, asked))
        assert answer == {"results": [], "meta": meta(999_999_999, 100, 1)}
    answer = success(tartarus.definitions(search=free, page=999_999_999, limit=100))
    assert answer == {"results": [], "meta": meta(999_999_999, 100, 1)}


def test_a_search_is_for_a_part_of_the_key_in_any_case(tartarus: Tartarus, free: str) -> None:
    for config in ("Alpha_one", "alphaXone", "beta", "one_alpha"):
        tartarus.create(free, config, {"n": "gamma"})

    def found(search: str) -> list[str]:
        asked = {"search": search, "sort_by": "config_key", "sort_order": "asc"}
        answer = success(tartarus.configs(free, asked))
        assert answer["meta"]["total"] == len(answer["results"])
        return [each["config_key"] for each in answer["results"]]

    assert found("ALPHA") == ["Alpha_one", "alphaXone", "one_alpha"]
    assert found("alpha_") == ["Alpha_one"]
    assert found("A_O") == ["Alpha_one"]
    assert found("___") == []
    assert found("eta") == ["beta"]
    assert found("gamma") == []
    assert found(free) == []
    assert found("config") == []


def test_a_search_among_definitions_is_for_a_part_of_the_key_in_any_case(
    tartarus: Tartarus, key: str
) -> None:
    for each in ("_One", "XOne", "_two"):
        tartarus.define(f"{key}{each}", indexes=["gamma"])

    def found(search: str) -> list[str]:
        answer = success(tartarus.definitions(search=search, sort_by="config_definition_key"))
        assert answer["meta"]["total"] == len(answer["results"])
        return [each["config_definition_key"] for each in answer["results"]]

    assert found(f"{key}_o".upper()) == [f"{key}_One"]
    assert found(key[3:]) == [f"{key}_two", f"{key}_One", f"{key}XOne"]
    assert found(f"{key}_gamma") == []


def test_an_index_is_a_parameter_and_several_are_all_meant(
    tartarus: Tartarus, defined: str
) -> None:
    tartarus.create(defined, "one", {"n": 10, "tier": "gold", "db": {"host": "a"}})
    tartarus.create(defined, "two", {"n": 10, "tier": "tin", "db": {"host": "b"}})
    tartarus.create(defined, "three", {"n": 7, "tier": "gold"})

    def found(**query: str) -> set[str]:
        answer = success(tartarus.configs(defined, query))
        assert answer["meta"]["total"] == len(answer["results"])
        return {each["config_key"] for each in answer["results"]}

    assert found(n="10") == {"one", "two"}
    assert found(tier="gold") == {"one", "three"}
    assert found(n="10", tier="gold") == {"one"}
    assert found(**{"db.host": "b"}) == {"two"}
    assert found(n="7", tier="tin") == set()
    assert found(n="10", search="TWO") == {"two"}
    assert found(n="10", search=defined) == set()
    assert found(tier="GOLD") == set()
    assert found(tier="gol") == set()


def test_an_index_follows_what_is_current(api: Api, tartarus: Tartarus, defined: str) -> None:
    def found(n: str) -> list[str]:
        return keys_of(tartarus.configs(defined, {"n": n}))

    tartarus.create(defined, "one", {"n": 1})
    tartarus.update(defined, "one", {"n": 2})
    assert (found("1"), found("2")) == ([], ["one"])
    api.enable(f"{defined}/one", 1, False)
    assert (found("1"), found("2")) == (["one"], [])
    api.put(f"{defined}/one", {"n": 3})
    assert (found("1"), found("3")) == ([], ["one"])
    tartarus.delete(defined, "one")
    assert found("3") == []


VALUES = {
    "number": 10,
    "text": "10",
    "fraction": 10.5,
    "negative": -3,
    "yes": True,
    "yes_text": "true",
    "nothing": None,
    "nothing_text": "null",
    "empty": "",
    "umlaut": "Zürich & Söhne=?#%",
    "long": "x" * 1000,
    "huge": 12345678901234567890123,
    "list": [10],
    "object": {"n": 10},
}
MATCHES = {
    "10": {"number", "text"},
    "10.5": {"fraction"},
    "-3": {"negative"},
    "true": {"yes", "yes_text"},
    "True": set(),
    "1": set(),
    "010": set(),
    "null": {"nothing_text"},
    "": {"empty"},
    "Zürich & Söhne=?#%": {"umlaut"},
    "zürich & söhne=?#%": set(),
    "x" * 1000: {"long"},
    "x" * 999: set(),
    "12345678901234567890123": {"huge"},
    "12345678901234567890124": set(),
    "%": set(),
    "\x00": set(),
    "' OR 1=1 --": set(),
}


def test_an_index_is_compared_as_text(tartarus: Tartarus, free: str) -> None:
    for config, value in VALUES.items():
        success(tartarus.create(free, config, {"n": value}), 201)

    found = {text: set(keys_of(tartarus.configs(free, {"n": text}))) for text in MATCHES}

    assert found == MATCHES


@pytest.mark.parametrize("text", ["1e0", " 1", "1 ", "1.0", "\n1"])
def test_another_spelling_of_a_number_is_another_text(
    tartarus: Tartarus, still: str, text: str
) -> None:
    assert keys_of(tartarus.configs(still, {"n": text})) == []


def test_configurations_are_found_by_their_times(tartarus: Tartarus, free: str) -> None:
    for config in ("one", "two", "three"):
        tartarus.create(free, config, {"n": 1})
    tartarus.update(free, "two", {"n": 1, "more": 1})
    two = success(tartarus.read(free, "two"))
    created, modified = two["created_at"], two["modified_at"]

    def found(**query: str) -> list[str]:
        answer = success(tartarus.configs(free, query))
        assert answer["meta"]["total"] == len(answer["results"])
        return [each["config_key"] for each in answer["results"]]

    assert found(created_at=created) == ["two"]
    assert found(modified_at=modified) == ["two"]
    assert found(created_at=created, modified_at=modified, n="1", search="two") == ["two"]
    assert found(created_at=created.replace("Z", "+00:00")) == ["two"]
    assert found(created_at=modified) == []
    assert found(modified_at=created) == []
    assert found(created_at=created, n="2") == []
    assert found(created_at="2001-01-01T00:00:00Z") == []


@pytest.mark.parametrize("parameter", ["created_at", "modified_at"])
@pytest.mark.parametrize(
    "text",
    ["", "x", "1", "\x00", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", "9" * 5000],
)
def test_a_time_that_is_none_is_refused(
    tartarus: Tartarus, still: str, parameter: str, text: str
) -> None:
    invalid(tartarus.configs(still, {parameter: text}))


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)
def test_the_first_and_last_of_times_are_never_the_servers_mistake(
    tartarus: Tartarus, still: str, text: str
) -> None:
    for parameter in ("created_at", "modified_at"):
        assert tartarus.configs(still, {parameter: text}).status_code in {200, 422}


@pytest.mark.parametrize(
    "parameter", ["tier", "config_key", "data", "N", "n ", "db", "host", "", "ünïcode", "n.m", "'"]
)
def test_a_parameter_that_is_neither_known_nor_indexed_is_refused(
    tartarus: Tartarus, still: str, parameter: str
) -> None:
    answer = tartarus.configs(still, {parameter: "x"})

    [message] = failure(answer, 422, "validation_error")
    assert message.endswith(UNKNOWN_PARAMETER)


@pytest.mark.parametrize(("parameter", "value"), [("limit", 500), ("page", 7), ("search", "x")])
def test_the_parameters_of_a_list_keep_their_meaning_where_an_index_is_called_the_same(
    tartarus: Tartarus, key: str, parameter: str, value: Any
) -> None:
    tartarus.define(key, indexes=[parameter])
    tartarus.create(key, "one", {parameter: value})

    asked = {"page": 1, "limit": 10, "search": "one"}
    answer = success(tartarus.configs(key, asked))

    assert [each["config_key"] for each in answer["results"]] == ["one"]
    assert answer["meta"] == meta(1, 10, 1)


@pytest.mark.parametrize(
    "query",
    [
        "page=1&page=2",
        "n=1&n=2",
        "n",
        "=",
        "&&&",
        "%",
        "%FF=%FF",
        "n=%ED%A0%80",
        "n=%00",
        "search=%FF%FF%FF",
        "search=" + "a" * 3000,
        "sort_by=%00",
        "n=" + "[" * 2000,
        "n=1e99999",
        "n=-0",
        "n=" + "9" * 3000,
        "n=NaN",
    ],
)
def test_a_strange_query_is_never_the_servers_mistake(
    tartarus: Tartarus, still: str, query: str
) -> None:
    for path in (tartarus.path(), tartarus.path(still, "config")):
        answer = tartarus.http.get(f"{path}?{query}")
        assert answer.status_code in {200, 422}, answer.text


# --- paths that nobody foresaw


@pytest.mark.parametrize(
    "part",
    [
        "..", ".", "%2e%2e", "%2F", "a%2Fb", "%2F..%2F..%2Fhealth", "%00", "%0A", "%0D%0A", "%20",
        "a%20b", "%25", "%252F", "%C3%A9", "%FF", "%ED%A0%80", "%E2%80%AE", ";a=b", "a+b", "a:b",
        "@", "*", "~", "|", "[]", "%22", "%3Cscript%3E", "x" * 3000,
    ],
)  # fmt: skip
def test_a_strange_key_in_a_path_is_never_the_servers_mistake(
    api: Api, tartarus: Tartarus, still: str, part: str
) -> None:
    body = b'{"config_key": "two", "data": {"n": 1}, "indexes": ["n"]}'
    targets = [
        f"{BASE}/{part}",
        f"{BASE}/{part}/config",
        f"{BASE}/{part}/config/one",
        f"{BASE}/{still}/config/{part}",
        f"{BASE}/{still}/{part}",
        f"{BASE}/{still}/config/one/{part}",
    ]
    ask = asker(api)
    for target in targets:
        for method in ("GET", "DELETE", "PUT"):
            assert ask(method, target, body) in {400, 404, 405, 422}, (method, target)
    assert unchanged(tartarus, still)


@pytest.mark.parametrize("method", ["PATCH", "POST", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_is_not_served_is_never_the_servers_mistake(
    tartarus: Tartarus, still: str, method: str
) -> None:
    for path in (tartarus.path(still), tartarus.path(still, "config", "one")):
        answer = tartarus.http.request(method, path, content=b"{}", headers=JSON)
        assert answer.status_code < 500
        assert answer.status_code != 201
    assert unchanged(tartarus, still)


# --- configurations are services


def test_a_configuration_is_a_service_with_versions(
    api: Api, tartarus: Tartarus, defined: str
) -> None:
    service = f"{defined}/one"
    tartarus.create(defined, "one", {"n": 1, "tier": "ü"})
    assert api.get(service).text == '{"n": 1, "tier": "ü"}'

    tartarus.update(defined, "one", {"n": 2})

    assert api.get(service, version="current").json() == {"n": 2}
    assert json.loads(api.get(service).json()["0"]) == {"n": 1, "tier": "ü"}
    found = [(each["number"], each["document"]) for each in api.versions(service)]
    assert found == [(0, {"n": 1, "tier": "ü"}), (1, {"n": 2})]


def test_the_journal_tells_what_was_done_here(api: Api, tartarus: Tartarus, key: str) -> None:
    start = api.changes()[-1:]
    after = start[0]["revision"] if start else 0
    tartarus.define(key, indexes=["n"])
    tartarus.create(key, "one", {"n": 1})
    tartarus.update(key, "one", {"n": 2})
    tartarus.redefine(key, indexes=[])
    tartarus.delete(key, "one")
    tartarus.create(key, "two", {"n": 1})
    tartarus.undefine(key)

    changes = api.changes(after)

    assert [each["kind"] for each in changes] == [
        "definition.created",
        "service.created",
        "version.created",
        "service.attached",
        "version.created",
        "definition.changed",
        "service.deleted",
        "service.created",
        "version.created",
        "service.attached",
        "service.deleted",
        "definition.deleted",
    ]
    assert {each["service"] for each in changes} == {None, f"{key}/one", f"{key}/two"}
    revisions = [each["revision"] - after for each in changes]
    assert revisions == [1, 2, 2, 2, 3, 4, 5, 6, 6, 6, 7, 7]


def test_a_refusal_leaves_no_trace_in_the_journal(
    api: Api, tartarus: Tartarus, defined: str
) -> None:
    tartarus.create(defined, "one", {"n": 1})
    revision = api.changes()[-1]["revision"]

    tartarus.create(defined, "one", {"n": 1})
    tartarus.create(defined, "two", {"n": "x"})
    tartarus.update(defined, "one", {"n": "x"})
    tartarus.update(defined, "two", {"n": 1})
    tartarus.delete(defined, "two")
    tartarus.define(defined)
    tartarus.redefine(defined, indexes=["unknown"])

    assert api.changes(revision) == []
    assert services(api, f"{defined}/") == [f"{defined}/one"]


def test_a_roll_back_shows_here(api: Api, tartarus: Tartarus, defined: str) -> None:
    tartarus.create(defined, "one", {"n": 1})
    tartarus.update(defined, "one", {"n": 2})
    before = success(tartarus.read(defined, "one"))

    back = api.http.post("/api/v1/rollback", params={"service": f"{defined}/one", "to": 0})

    assert back.status_code == 200
    shown = success(tartarus.read(defined, "one"))
    assert (shown["data"], shown["created_at"]) == ({"n": 1}, before["created_at"])
    assert datetime.fromisoformat(shown["modified_at"]) > datetime.fromisoformat(
        before["modified_at"]
    )
    [listed] = results(tartarus.configs(defined, {"n": "1"}))
    assert listed == shown
    assert keys_of(tartarus.configs(defined, {"n": "2"})) == []
    assert keys_of(tartarus.configs(defined, {"modified_at": shown["modified_at"]})) == ["one"]


def test_what_is_written_at_config_shows_here(api: Api, tartarus: Tartarus, defined: str) -> None:
    service = f"{defined}/one"
    tartarus.create(defined, "one", {"n": 1})

    merge = {"Content-Type": "application/merge-patch+json"}
    assert api.patch(service, {"tier": "gold"}, headers=merge).status_code == 200
    assert success(tartarus.read(defined, "one"))["data"] == {"n": 1, "tier": "gold"}
    api.enable(service, 1, False)
    assert success(tartarus.read(defined, "one"))["data"] == {"n": 1}
    assert keys_of(tartarus.configs(defined, {"tier": "gold"})) == []


def test_the_schema_holds_at_config_as_well(api: Api, tartarus: Tartarus, defined: str) -> None:
    service = f"{defined}/one"
    tartarus.create(defined, "one", {"n": 1})
    merge = {"Content-Type": "application/merge-patch+json"}

    for refused in (
        api.put(service, {"n": "text"}),
        api.patch(service, {"tier": "gold"}),
        api.patch(service, {"n": None}, headers=merge),
        api.http.post(
            "/api/v1/changesets",
            json={"changes": [{"service": service, "document": {"n": 1.5}}]},
        ),
    ):
        assert refused.status_code == 422, refused.text

    assert api.get(service).json() == {"n": 1}
    assert success(tartarus.read(defined, "one"))["data"] == {"n": 1}


def test_nobody_rolls_back_to_what_conforms_no_more(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": "text"})
    tartarus.update(free, "one", {"n": 1})
    success(tartarus.redefine(free, indexes=["n"], json_schema=SCHEMA))
    service = f"{free}/one"

    back = api.http.post("/api/v1/rollback", params={"service": service, "to": 0})

    assert back.status_code == 422
    assert api.enable(service, 1, False).status_code == 422
    assert success(tartarus.read(free, "one"))["data"] == {"n": 1}


def test_a_configuration_of_which_nothing_is_enabled_counts_as_little_as_it_shows(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    for config in ("one", "two", "three"):
        tartarus.create(free, config, {"n": 1})
    assert api.enable(f"{free}/two", 0, False).json()["current"] is None

    for query in ({}, {"search": "two"}, {"limit": 1}, {"limit": 1, "page": 2}):
        answer = success(tartarus.configs(free, query))
        everything = success(tartarus.configs(free, {**query, "limit": 100, "page": 1}))
        assert answer["meta"]["total"] == len(everything["results"])
        assert answer["results"] or not everything["results"]


def test_a_configuration_of_which_nothing_is_enabled_is_not_both_missing_and_in_the_way(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": 1})
    api.enable(f"{free}/one", 0, False)

    missing = tartarus.delete(free, "one").status_code == 404
    taken = tartarus.create(free, "one", {"n": 2}).status_code == 409

    assert not (missing and taken)


def test_a_list_shows_only_what_can_be_read_under_its_key(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": 1})
    for tail in ("deep/er", "x.y", "ab"):
        assert api.put(f"{free}/{tail}", {"n": 1}, definition=free).status_code == 200

    listed = success(tartarus.configs(free))

    assert len(listed["results"]) == listed["meta"]["total"]
    for each in listed["results"]:
        assert success(tartarus.read(free, each["config_key"])) == each


@pytest.mark.parametrize(
    "data", [{"service": "another"}, {"service": 1}, {"n": 1, "deep": {"service": "another"}}]
)
def test_data_is_taken_here_exactly_if_it_can_also_be_exported_and_imported(
    api: Api, tartarus: Tartarus, free: str, data: dict[str, Any]
) -> None:
    created = tartarus.create(free, "one", data)
    exported = {f"{free}/one": data}
    if created.status_code == 201:
        answer = api.http.get("/api/v1/export", params={"prefix": f"{free}/"})
        assert answer.json() == exported

    imported = api.http.post("/api/v1/import", json=exported)

    assert (created.status_code == 201) == (imported.status_code == 200), imported.text


# --- many at once


def test_of_sixteen_creations_of_one_definition_exactly_one_wins(
    tartarus: Tartarus, key: str
) -> None:
    answers = at_once(16, lambda i: tartarus.define(key, indexes=[f"by{i}"]))

    [won] = [i for i, answer in enumerate(answers) if answer.status_code == 201]
    for i, answer in enumerate(answers):
        if i != won:
            messages = failure(answer, 409, "conflict_error")
            assert messages == [f"Definition already exists with '{key}'!"]
    assert success(tartarus.definition(key))["indexes"] == [f"by{won}"]
    assert success(tartarus.definitions(search=key))["meta"]["total"] == 1


def test_of_sixteen_creations_of_one_configuration_exactly_one_wins(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    answers = at_once(16, lambda i: tartarus.create(free, "one", {"n": i}))

    [won] = [i for i, answer in enumerate(answers) if answer.status_code == 201]
    for i, answer in enumerate(answers):
        if i != won:
            messages = failure(answer, 409, "conflict_error")
            assert messages == ["Config already exists with 'one'!"]
    assert success(tartarus.read(free, "one"))["data"] == {"n": won}
    assert [each["document"] for each in api.versions(f"{free}/one")] == [{"n": won}]
    assert success(tartarus.configs(free))["meta"]["total"] == 1


def test_sixteen_updates_at_once_are_sixteen_versions(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": -1})

    answers = at_once(16, lambda i: tartarus.update(free, "one", {"n": i}))

    for i, answer in enumerate(answers):
        assert success(answer) == {"n": i}
    stored = [each["document"]["n"] for each in api.versions(f"{free}/one")]
    assert sorted(stored) == list(range(-1, 16))
    assert success(tartarus.read(free, "one"))["data"] == {"n": stored[-1]}
    assert keys_of(tartarus.configs(free, {"n": str(stored[-1])})) == ["one"]


def test_of_eight_deletions_exactly_one_wins(tartarus: Tartarus, free: str) -> None:
    tartarus.create(free, "one", {"n": 1})
    configs = at_once(8, lambda _: tartarus.delete(free, "one"))
    definitions = at_once(8, lambda _: tartarus.undefine(free))

    for answers in (configs, definitions):
        assert sorted(answer.status_code for answer in answers) == [200] + [404] * 7


def test_a_definition_that_goes_while_configurations_come_leaves_none_behind(
    api: Api, tartarus: Tartarus, key: str
) -> None:
    for round_ in range(5):
        name = f"{key}_{round_}"
        tartarus.define(name, indexes=["n"])

        def one(i: int, name: str = name) -> Answer:
            if i == 5:
                return tartarus.undefine(name)
            return tartarus.create(name, f"config{i}", {"n": i})

        answers = at_once(10, one)

        assert answers[5].status_code == 200
        assert {answer.status_code for answer in answers} <= {200, 201, 404}
        assert services(api, f"{name}/") == []


def test_nobody_reads_what_was_before_an_acknowledged_update(
    api: Api, tartarus: Tartarus, free: str
) -> None:
    tartarus.create(free, "one", {"n": -1})
    readers = [Api(api.url) for _ in range(6)]
    try:
        for number in range(15):
            success(tartarus.update(free, "one", {"n": number}))
            for reader in readers:
                other = Tartarus(reader)
                assert success(other.read(free, "one"))["data"] == {"n": number}
                assert keys_of(other.configs(free, {"n": str(number)})) == ["one"]
    finally:
        for reader in readers:
            reader.close()
