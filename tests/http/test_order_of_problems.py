"""What is wrong is told in the order of the request, whichever process tells it."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.wire import DocumentLimits, in_order, make_document
from tests.support.server import Api, Server

UNKNOWN = [f"x{number}" for number in (7, 3, 9, 1, 8, 2)]
SEEDS = ("1", "2", "3")

TELLS = """
import json, sys
from distributed_config.app import create_app
from distributed_config.settings import Settings
from pathlib import Path
client = create_app(Settings(instance=Path(sys.argv[1]))).test_client()
for method, path, body in json.loads(sys.argv[2]):
    print("told", json.dumps(client.open(path, method=method, json=body).json["problems"]))
"""


def told(server: Server, seed: str, *requests: tuple[str, str, Any]) -> list[Any]:
    """The problems that a process with this hash seed tells of each request."""
    done = subprocess.run(
        [sys.executable, "-c", TELLS, str(server.instance), json.dumps(requests)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return [json.loads(line[5:]) for line in lines if line.startswith("told ")]


def test_no_order_depends_on_the_hash_seed(server: Server, name: str) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "c": {"type": "integer"}},
        "required": ["r1", "r2"],
        "additionalProperties": False,
    }
    server.api.define(name, schema)
    document = {"c": "no", **dict.fromkeys(UNKNOWN, 1), "a": "no"}
    unknown = dict.fromkeys(UNKNOWN, 1)
    check = f"/api/v1/definitions/check?definition={name}"
    requests = [
        ("GET", "/config?" + "&".join(f"{each}=1" for each in UNKNOWN), None),
        ("PUT", f"/api/v1/services/tags?service={name}", unknown),
        ("PUT", f"/api/v1/definitions?definition={name}-b", {**unknown, "policy": "no"}),
        ("POST", "/api/v1/changesets", {"changes": [{"service": "s", **unknown}, unknown]}),
        ("POST", check, document),
        ("PUT", f"/config?service={name}&definition={name}", document),
        ("POST", "/api/v1/import", {"b a d": {}, "s": {"service": "t"}, "t/": {}}),
        ("POST", "/api/v1/users", unknown),
    ]

    first, *others = (told(server, seed, *requests) for seed in SEEDS)

    assert all(first)
    assert others == [first, first]


def pointers(response: Any) -> list[str]:
    return [each["pointer"] for each in response.json()["problems"]]


def test_unknown_keys_are_told_in_the_order_of_the_body(api: Api, name: str) -> None:
    query = {"service": name}
    body = {"x2": 1, "tags": 5, **dict.fromkeys(UNKNOWN[:-1], 1)}

    refused = api.http.put("/api/v1/services/tags", params=query, json=body)

    assert pointers(refused) == ["/x2", "/tags", *(f"/{each}" for each in UNKNOWN[:-1])]
    lacking = api.http.put("/api/v1/services/tags", params=query, json={"x2": 1, "x1": 1})
    assert pointers(lacking) == ["/x2", "/x1", "/tags"]


def test_unknown_parameters_are_told_in_the_order_of_the_query(api: Api, name: str) -> None:
    query = "&".join(f"{each}=1" for each in UNKNOWN)

    refused = api.http.get(f"/config?{query}&format=xml&service={name}&service={name}")

    assert [each["parameter"] for each in refused.json()["problems"]] == [
        *UNKNOWN,
        "format",
        "service",
    ]


def test_steps_of_a_changeset_are_told_in_the_order_of_their_keys(api: Api, name: str) -> None:
    changes = [
        {"document": {"service": "other"}, "x2": 1, "service": name, "x1": 1},
        {"x9": 1, "service": name, "x3": 1},
    ]

    refused = api.http.post("/api/v1/changesets", json={"x5": 1, "changes": changes, "x4": 1})

    found = [each for each in pointers(refused) if each != "/changes/1"]
    assert found == [
        "/x5",
        "/changes/0/document/service",
        "/changes/0/x2",
        "/changes/0/x1",
        "/changes/1/x9",
        "/changes/1/x3",
        "/x4",
    ]


@pytest.mark.parametrize("keys", [("z", "b", "a"), ("a", "z", "b"), ("b", "a", "z")])
def test_what_breaks_a_definition_is_told_in_the_order_of_the_document(
    api: Api, name: str, keys: tuple[str, ...]
) -> None:
    schema = {
        "properties": {each: {"type": "integer"} for each in "ab"},
        "additionalProperties": False,
    }
    api.define(name, schema)

    refused = api.put(name, dict.fromkeys(keys, "text"), definition=name)

    assert pointers(refused) == [f"/{each}" for each in keys]


def test_the_key_service_is_told_at_its_place() -> None:
    value = {"a": float("nan"), "service": "other", "b": [float("nan")]}

    with pytest.raises(InvalidDocument) as refused:
        make_document(value, DocumentLimits(), "web")

    assert [each.pointer for each in refused.value.problems] == ["/a", "/service", "/b/0"]


def test_keys_of_the_servers_own_are_told_from_the_front() -> None:
    value = {"b": {"$secret": 1}, "a": [{"$secret": 1}, {"$secret": 2}]}

    with pytest.raises(InvalidDocument) as refused:
        make_document(value, DocumentLimits(), "web")

    found = [each.pointer for each in refused.value.problems]
    assert found == ["/b/$secret", "/a/0/$secret", "/a/1/$secret"]


def test_a_place_that_is_not_there_comes_last_in_what_it_would_be_in() -> None:
    value = {"b/c": [1, {"x": 1}], "a": {"~": 1, "y": 2}}
    order = ["", "/b~1c/1", "/b~1c/1/x", "/b~1c/1/no", "/b~1c/9", "/a/~0", "/a/y", "/a/y/no", "/no"]

    mixed = [Problem(each, "") for each in sorted(order, key=lambda each: each[::-1])]

    assert [each.pointer for each in in_order(mixed, value)] == order
