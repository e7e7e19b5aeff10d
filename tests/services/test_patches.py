"""Patches do what their standards say, to nothing but what they name, within limits."""

import copy
from typing import Any

import pytest

from distributed_config.errors import InvalidDocument, TooMuchWork
from distributed_config.services.layers.merging import merge
from distributed_config.services.patches import patched
from distributed_config.wire import DocumentLimits
from tests.support.database import LIMITS


# The examples of RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_standard_shows(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))

    assert merge(target, patch) == result
    assert (target, patch) == before


def apply(value: Any, *operations: Any, limits: DocumentLimits = LIMITS) -> Any:
    return patched(copy.deepcopy(value), list(operations), limits)


def faults(value: Any, *operations: Any, limits: DocumentLimits = LIMITS) -> dict[str, str]:
    with pytest.raises(InvalidDocument) as error:
        apply(value, *operations, limits=limits)
    assert {problem.rule for problem in error.value.problems} == {"json-patch"}
    return {problem.pointer: problem.message for problem in error.value.problems}


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/c", "value": None}, {"a": [1, 2], "b": {"x": 1}, "c": None}),
        ({"op": "add", "path": "/a/1", "value": 9}, {"a": [1, 9, 2], "b": {"x": 1}}),
        ({"op": "add", "path": "/a/-", "value": 9}, {"a": [1, 2, 9], "b": {"x": 1}}),
        ({"op": "remove", "path": "/b"}, {"a": [1, 2]}),
        ({"op": "replace", "path": "/b/x", "value": {}}, {"a": [1, 2], "b": {"x": {}}}),
        ({"op": "move", "from": "/b/x", "path": "/x"}, {"a": [1, 2], "b": {}, "x": 1}),
        ({"op": "copy", "from": "/a", "path": "/b/x"}, {"a": [1, 2], "b": {"x": [1, 2]}}),
        ({"op": "test", "path": "/a/0", "value": 1}, {"a": [1, 2], "b": {"x": 1}}),
    ],
)
def test_every_operation_of_a_json_patch_does_what_its_standard_says(
    operation: dict[str, Any], result: Any
) -> None:
    assert apply({"a": [1, 2], "b": {"x": 1}}, operation) == result


def test_operations_build_on_each_other() -> None:
    add = {"op": "add", "path": "/a", "value": {}}
    inside = {"op": "add", "path": "/a/b", "value": 1}

    assert apply({}, add, inside) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    "operation",
    [
        5,
        {},
        {"op": "add"},
        {"op": "add", "path": "/a"},
        {"op": "move", "path": "/a"},
        {"op": "sort", "path": "/a"},
        {"op": ["add"], "path": "/a", "value": 1},
        {"op": "add", "path": 5, "value": 1},
    ],
)
def test_what_is_no_operation_is_named_before_anything_is_done(operation: Any) -> None:
    good = {"op": "test", "path": "/a", "value": 1}

    found = faults({"a": 1}, good, operation, operation)

    assert list(found) == ["/1", "/2"]
    assert all("RFC 6902" in message for message in found.values())


def test_a_path_that_is_no_pointer_is_named() -> None:
    [message] = faults({}, {"op": "remove", "path": "a"}).values()

    assert "JSON pointer" in message


def test_only_the_first_operation_that_does_not_apply_is_named() -> None:
    remove = {"op": "remove", "path": "/none"}

    assert list(faults({}, remove, remove)) == ["/0"]


def test_an_error_quotes_nothing_of_the_document() -> None:
    [message] = faults({"pin": "1234"}, {"op": "test", "path": "/pin", "value": "0"}).values()

    assert message == "The test does not hold."


def test_copies_are_limited_together() -> None:
    copies = [{"op": "copy", "from": "/a", "path": f"/{i}"} for i in range(40)]

    [pointer] = faults({"a": "x" * 100}, *copies, limits=DocumentLimits(size=1_000))

    assert pointer == "/9"


def test_a_patch_has_a_limited_number_of_operations() -> None:
    test = {"op": "test", "path": "", "value": {}}

    found = faults({}, test, test, test, limits=DocumentLimits(keys=2))

    assert found == {"": "A patch has at most 2 operations."}


def test_a_check_may_end_all_operations() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise TooMuchWork(50)

    test = {"op": "test", "path": "", "value": {}}
    with pytest.raises(TooMuchWork):
        patched({}, [test] * 9, LIMITS, check)
    assert len(calls) == 3
