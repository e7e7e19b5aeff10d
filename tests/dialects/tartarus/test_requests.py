"""Every path in every spelling, headers and bodies: accepted, or refused in the right form."""

import json
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from tests.dialects.tartarus.client import (
    BASE,
    SCHEMA,
    SPELLINGS,
    Answer,
    Tartarus,
    failure,
    invalid,
    keys_of,
    raw_requester,
    results,
    success,
    unchanged,
    wrong_field,
)
from tests.support.server import JSON, Api

pytestmark = pytest.mark.many


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
        target = path if number % 2 else f"{path}?note=n{number}"
        headers = {"Config-Note": f"n{number}"} if number % 2 else {}
        answer = tartarus.http.request(method, target, json=body, headers=headers)
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
        query = {"definition": free}
        return api.http.get("/api/v1/definitions/one", params=query).headers["etag"]

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
    request = raw_requester(api)
    for target in targets:
        for method in ("GET", "DELETE", "PUT"):
            assert request(method, target, body) in {400, 404, 405, 422}, (method, target)
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
