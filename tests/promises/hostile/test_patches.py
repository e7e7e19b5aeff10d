"""JSON patches and merge patches that do not apply, or grow without bound."""

import json
from typing import Any

import pytest

from tests.promises.hostile.routes import many_keys, nested
from tests.support.raw_http import JSON, MERGE, PATCH, Problem, send
from tests.support.server import Api, Server

pytestmark = pytest.mark.many


def operations(*these: Any) -> bytes:
    return json.dumps(these).encode()


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def copy(origin: str, path: str) -> dict[str, Any]:
    return {"op": "copy", "from": origin, "path": path}


DOUBLING = [add("/a", ["x" * 20]), *(copy("/a", "/a/-") for _ in range(60))]
DEEPENING = [
    operation
    for _ in range(1500)
    for operation in (
        add("/b", {}),
        {"op": "move", "from": "/kept", "path": "/b/kept"},
        {"op": "move", "from": "/b", "path": "/kept"},
    )
]

BAD_PATCHES = [
    pytest.param(operations(*DOUBLING), None, id="copies-that-double"),
    pytest.param(
        operations(add("/a", "x" * 500_000), *(copy("/a", f"/{i}") for i in range(10))),
        "/3",
        id="copies-of-much",
    ),
    pytest.param(operations(*[add("/a", 1)] * 10_001), "", id="10001-operations"),
    pytest.param(operations(add("/a", 1), {"op": "remove", "path": "/no"}), "/1", id="no-member"),
    pytest.param(operations({"op": "replace", "path": "/no", "value": 1}), "/0", id="replace-none"),
    pytest.param(operations(add("/no/way", 1)), "/0", id="no-parent"),
    pytest.param(operations(add("/kept/x", 1)), "/0", id="into-a-scalar"),
    pytest.param(operations({"op": "test", "path": "/kept", "value": False}), "/0", id="test"),
    pytest.param(operations({"op": "test", "path": "/kept", "value": 1}), "/0", id="true-is-not-1"),
    pytest.param(operations({"op": "move", "from": "", "path": "/a/b"}), "/0", id="into-itself"),
    pytest.param(operations({"op": "move", "from": "/kept", "path": "/kept/a"}), "/0", id="self"),
    pytest.param(operations({"op": "remove", "path": ""}), "/0", id="remove-everything"),
    pytest.param(operations({"op": "replace", "path": "", "value": []}), "", id="becomes-an-array"),
    pytest.param(operations({"op": "replace", "path": "", "value": None}), "", id="becomes-null"),
    pytest.param(operations(add("/service", "another")), "/service", id="becomes-another's"),
    pytest.param(operations(add("/a", json.loads(nested(64)))), "/a" * 64, id="becomes-too-deep"),
    pytest.param(operations(*DEEPENING), None, id="becomes-far-too-deep"),
    pytest.param(operations(*DEEPENING, copy("/kept", "/c")), None, id="copies-far-too-deep"),
    pytest.param(
        operations(*DEEPENING, {"op": "test", "path": "/kept", "value": 1}), None, id="tests-depth"
    ),
    pytest.param(
        operations(*DEEPENING, {"op": "remove", "path": "/no/no"}), None, id="misses-in-depth"
    ),
    pytest.param(operations(5), "/0", id="a-number"),
    pytest.param(operations([]), "/0", id="an-array"),
    pytest.param(operations({}), "/0", id="nothing"),
    pytest.param(operations({"op": "evil", "path": "/a"}), "/0", id="unknown-operation"),
    pytest.param(operations({"op": ["add"], "path": "/a", "value": 1}), "/0", id="op-array"),
    pytest.param(operations({"op": "add", "path": ["/a"], "value": 1}), "/0", id="path-array"),
    pytest.param(operations({"op": "add", "path": "a", "value": 1}), "/0", id="no-pointer"),
    pytest.param(operations({"op": "add", "path": "/~2", "value": 1}), "/0", id="bad-escape"),
    pytest.param(operations({"op": "add", "path": "/a"}), "/0", id="no-value"),
    pytest.param(operations({"op": "copy", "path": "/a"}), "/0", id="no-from"),
    pytest.param(operations({"op": "copy", "from": {}, "path": "/a"}), "/0", id="from-object"),
    pytest.param(operations(add("/a", []), add("/a/" + "9" * 5000, 1)), "/1", id="huge-index"),
    pytest.param(operations(add("/a", []), add("/a/01", 1)), "/1", id="index-with-zero"),
    pytest.param(operations(add("/a", []), add("/a/-1", 1)), "/1", id="negative-index"),
    pytest.param(operations(add("/a", []), add("/a/\u0661", 1)), "/1", id="arabic-index"),
    pytest.param(operations(add("/a", [1]), copy("/a/-", "/b")), "/1", id="copy-of-the-end"),
    pytest.param(
        operations(add("/a", [1]), {"op": "test", "path": "/a/-", "value": 1}), "/1", id="test-end"
    ),
    pytest.param(
        operations(add("/a", [1]), {"op": "replace", "path": "/a/-", "value": 1}), "/1", id="end"
    ),
    pytest.param(b"{}", "", id="an-object-instead"),
    pytest.param(b"null", "", id="null-instead"),
]  # fmt: skip


@pytest.mark.parametrize("way", ["PATCH", "changeset"])
@pytest.mark.parametrize(("body", "pointer"), BAD_PATCHES)
def test_a_json_patch_that_does_not_apply_changes_nothing(
    server: Server, target: str, way: str, body: bytes, pointer: str | None
) -> None:
    if way == "PATCH":
        response = send(server, "PATCH", f"/config?service={target}", PATCH, body)
        place = ""
    else:
        step = b'{"changes":[{"service":"%s","patch":%s}]}' % (target.encode(), body)
        response = send(server, "POST", "/api/v1/changesets", JSON, step)
        place = "/changes/0"

    assert response.status == 422
    assert response.problem["problems"]
    if pointer is not None and way == "PATCH":
        assert response.pointers == {pointer}
    assert all(pointer.startswith(place) for pointer in response.pointers)


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "remove", "path": "/no/no"}, id="remove"),
        pytest.param({"op": "test", "path": "/password", "value": 1}, id="test"),
        pytest.param({"op": "copy", "from": "/no/no", "path": "/a"}, id="copy"),
        pytest.param({"op": "add", "path": "/list/x", "value": 1}, id="add"),
        pytest.param({"op": "test", "path": "/list/-", "value": 1}, id="end"),
    ],
)
def test_a_patch_that_fails_does_not_reveal_what_is_stored(
    server: Server, api: Api, name: str, operation: dict[str, Any]
) -> None:
    """The right to write does not include the right to read, and errors end up in logs."""
    secret = "correct-horse-battery"
    api.put(name, {"password": secret, "list": [secret]})

    response = send(server, "PATCH", f"/config?service={name}", PATCH, operations(operation))

    assert response.status == 422
    assert secret.encode() not in response.body


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        pytest.param(nested(10_000), {("", "depth")}, id="10000-deep"),
        pytest.param(nested(900), None, id="900-deep"),
        pytest.param(nested(65), {("/a" * 64, "depth")}, id="65-deep"),
        pytest.param(b"[]", {("", "type")}, id="array"),
        pytest.param(b"null", {("", "type")}, id="null"),
        pytest.param(many_keys(10_001), {("", "keys")}, id="10001-keys"),
        pytest.param(b'{"service":"another"}', {("/service", "service")}, id="another's"),
    ],
)
def test_a_merge_patch_that_leads_to_no_document_changes_nothing(
    server: Server, target: str, body: bytes, problems: set[Problem] | None
) -> None:
    response = send(server, "PATCH", f"/config?service={target}", MERGE, body)

    assert response.status == 422
    assert problems is None or response.problems == problems


@pytest.mark.parametrize("kind", [JSON, MERGE, PATCH])
def test_a_patch_of_an_absent_service_is_404(server: Server, target: str, kind: str) -> None:
    body = b"[]" if kind == PATCH else b"{}"

    response = send(server, "PATCH", f"/config?service={target}-absent", kind, body)

    assert response.status == 404
    assert response.problem["code"] == "service-not-found"
