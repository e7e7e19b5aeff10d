"""Schemas stay within bounds: nothing is fetched, and nothing explodes."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from distributed_config.errors import InvalidDocument
from distributed_config.json_schema import (
    SchemaLimits,
    compare,
    fill_defaults,
    load_schema,
    validator_for,
)
from tests.support.server import Api

LIMITS = SchemaLimits()
# Of the processor. A fifth of a second is usual; what is not bounded takes minutes, or years.
READING, CHECKING = 3, 2


@pytest.fixture
def listener() -> Iterator[tuple[str, list[Any]]]:
    """An address on loopback, and the connections that it has received."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        callers: list[Any] = []
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    callers.append(server.accept())
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        host, port = server.getsockname()[:2]
        yield f"http://{host}:{port}/schema.json", callers
        stop.set()
        thread.join()


def bomb(depth: int) -> dict[str, Any]:
    """Return a schema each part of which refers twice to the next one."""
    parts = {
        f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}, {"$ref": f"#/$defs/a{i + 1}"}]}
        for i in range(depth)
    }
    return {"$ref": "#/$defs/a0", "$defs": {**parts, f"a{depth}": {"type": "object"}}}


def chain(length: int) -> dict[str, Any]:
    """Return a schema each part of which refers to the next one."""
    parts: dict[str, Any] = {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(length)}
    return {"$ref": "#/$defs/a0", "$defs": {**parts, f"a{length}": {"type": "object"}}}


def asking_twice(depth: int) -> dict[str, Any]:
    """Return a schema each part of which validates all of its parts again, for what is left."""
    schema: dict[str, Any] = {"properties": {"a": {}}}
    for _ in range(depth):
        schema = {"anyOf": [schema], "unevaluatedProperties": False}
    return schema


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


REFUSED = {
    "a loop in place": {"$ref": "#"},
    "a loop of two": {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#"}]}}},
    "twenty that double": bomb(20),
    "a thousand that double": bomb(1000),
    "a very long chain": chain(4000),
    "too deep": nested(40),
    "too many schemas": {"properties": {f"p{i}": {"type": "string"} for i in range(6000)}},
    "too many patterns": {"allOf": [{"pattern": f"a{i}"} for i in range(300)]},
    "alternatives that ask twice": asking_twice(20),
    "a pattern that is too large": {"pattern": r"\p{L}{1000}"},
    "repetitions of repetitions": {"pattern": "((a{100}){100}){100}"},
    "two hundred large patterns": {"allOf": [{"pattern": r"\p{L}{100}"} for _ in range(200)]},
    "patterns too large together": {"allOf": [{"pattern": r"\p{L}{3}"} for _ in range(90)]},
    "look-around": {"pattern": "(?=a)b"},
    "look-around in an alternative": {"pattern": "^(?=a)b|c"},
    "look-behind": {"pattern": "^(?!a)b(?<!c)"},
    "looking ahead for a back-reference": {"pattern": r"^(?!(a)\1)b"},
    "looking ahead for what is too large": {"pattern": r"^(?!\p{L}{1000})b"},
    "a back-reference": {"pattern": r"(a)\1"},
    "objects to compare with": {"items": {"enum": [{"a": i} for i in range(900)]}},
    "fractions to compare with": {"items": {"enum": [i + 0.5 for i in range(900)]}},
    "a reference to nothing": {"$ref": "#/$defs/none"},
    "too large": {"description": "x" * 600_000},
    "another draft": {"$schema": "http://json-schema.org/draft-04/schema#"},
    "no schema": {"type": "objec", "minimum": "1", "properties": 3},
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_schema_that_could_explode_is_refused_quickly(what: str) -> None:
    began = time.thread_time()
    with pytest.raises(InvalidDocument) as refused:
        load_schema(REFUSED[what], LIMITS)
    assert time.thread_time() - began < READING
    assert refused.value.problems


# These double with each level of a document; documents have few levels.
DOUBLING = {
    "doubling at each level": {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}},
    "doubling by names": {
        "properties": {"a": {"$ref": "#"}},
        "patternProperties": {"a": {"$ref": "#"}},
    },
    "doubling by elements": {"items": {"$ref": "#"}, "contains": {"$ref": "#"}},
    "doubling by conditions": {"properties": {"a": {"if": {"$ref": "#"}, "then": {"$ref": "#"}}}},
    "doubling by names of keys": {
        "additionalProperties": {"anyOf": [{"$ref": "#"}, {"not": {"$ref": "#"}}]}
    },
    "doubling by what is left over": {
        "allOf": [{"properties": {"a": {"$ref": "#"}}}],
        "unevaluatedProperties": False,
    },
}
ACCEPTED = {
    **DOUBLING,
    "recursive": {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}},
    "recursive by elements": {"type": ["array", "integer"], "items": {"$ref": "#"}},
    "a chain": chain(500),
    "a harmful pattern": {"properties": {"a": {"pattern": "^(a+)+$"}}},
    "a pattern at its worst": {"properties": {"a": {"pattern": "^([ab]*a[ab]{1500})$"}}},
    "many patterns": {"allOf": [{"pattern": f"(x|y)*z{i}"} for i in range(90)]},
    "large": {"properties": {f"p{i}": {"type": "string", "maxLength": 9} for i in range(3000)}},
    "many alternatives": {"items": {"anyOf": [{"const": f"{i}"} for i in range(90)]}},
    "by name": {"$anchor": "me", "properties": {"a": {"$ref": "#me"}}},
    "draft 7": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"a": {"type": "string"}},
        "properties": {"a": {"$ref": "#/definitions/a"}},
    },
}
VALUES: dict[str, Any] = {
    "deep": json.loads('{"left": ' * 60 + "{}" + "}" * 60),
    "deep by one name": json.loads('{"a": ' * 60 + "1" + "}" * 60),
    "deep lists": json.loads('{"a": ' + "[" * 60 + "]" * 60 + "}"),
    "long text": {"a": "a" * 1_000_000 + "!"},
    "a text that is hard to match": {"a": "".join(Random(1).choices("ab", k=1_000_000)) + "c"},
    "many numbers": {"a": list(range(150_000))},
    "many keys": {f"p{i}": "x" * 90 for i in range(9_000)},
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_an_accepted_schema_is_loaded_and_checked_in_bounded_time(what: str) -> None:
    began = time.thread_time()
    text = load_schema(ACCEPTED[what], LIMITS).text
    assert time.thread_time() - began < READING
    for value in VALUES.values():
        size = len(json.dumps(value))
        began = time.thread_time()
        validator_for(text).problems(value, size)
        assert time.thread_time() - began < CHECKING


def test_patterns_that_people_write_are_supported_and_match() -> None:
    for pattern, good, bad in (
        (r"^\p{L}[\p{L}\d_.-]*(/[\p{L}\d_][\p{L}\d_.-]*)*$", "größe/a-1", "1/a"),
        ("^.{1,500}$", "é" * 500, "é" * 501),
        ("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", "a-1", "-a"),
        ("^(?!-)(?!.*--)[a-z-]{1,32}$", "a-b", "a--b"),
        (r"^(?=[^=]+$)(?!\s+$)(.|\n)+$", "a b", "a=b"),
        (r"^(?![)|(\]])a\(", "a(b", ")a("),
    ):
        checker = validator_for(
            load_schema({"properties": {"a": {"pattern": pattern}}}, LIMITS).text
        )
        assert checker.problems({"a": good}, 5_000) == []
        assert [problem.rule for problem in checker.problems({"a": bad}, 5_000)] == ["pattern"]


def test_a_pattern_that_takes_long_is_refused() -> None:
    schema = {"properties": {"a": ACCEPTED["a pattern at its worst"]["properties"]["a"]}}
    checker = validator_for(load_schema(schema, LIMITS).text)

    [problem] = checker.problems(VALUES["a text that is hard to match"], 1_000_000)

    assert (problem.rule, problem.pointer) == ("size", "")
    assert [problem.rule for problem in checker.problems({"a": "c"}, 20_000)] == ["pattern"]


@pytest.mark.parametrize("key", ["$ref", "$dynamicRef", "$schema", "$id"])
def test_nothing_is_ever_fetched(listener: tuple[str, list[Any]], tmp_path: Path, key: str) -> None:
    url, callers = listener
    file = tmp_path / "schema.json"
    file.write_text('{"type": "string"}')
    for target in (url, url.replace("http:", ""), file.as_uri(), str(file), "other.json"):
        for schema in (
            {key: target},
            {"properties": {"a": {key: target}}},
            {"$id": url, "properties": {"a": {"$ref": "sub.json"}}},
        ):
            try:
                text = load_schema(schema, LIMITS).text
            except InvalidDocument:
                continue
            # An $id alone is a name, and nothing more.
            assert validator_for(text).problems({"a": 1}, 10) == []
            compare(json.loads(text), {})
    assert callers == []


def test_the_server_fetches_nothing_either(
    api: Api, name: str, listener: tuple[str, list[Any]]
) -> None:
    url, callers = listener
    answer = api.define(name, {"properties": {"a": {"$ref": url}}})

    assert answer.status_code == 422
    assert "nothing is fetched" in answer.json()["detail"]
    assert callers == []


# --- messages


def test_no_value_of_a_document_is_in_a_message() -> None:
    canary = "canary-7d1f"
    schema = {
        "properties": {
            "type": {"type": "integer"},
            "enum": {"enum": [1]},
            "const": {"const": 1},
            "pattern": {"pattern": "^x"},
            "format": {"format": "email"},
            "length": {"maxLength": 1},
            "not": {"not": {"type": "string"}},
            "any": {"anyOf": [{"type": "integer"}, {"maxLength": 2}]},
            "one": {"oneOf": [{"type": "string"}, {"minLength": 1}]},
            "never": False,
            "items": {"items": {"type": "integer"}, "uniqueItems": True},
            "contains": {"contains": {"type": "integer"}},
        }
    }
    value: dict[str, Any] = dict.fromkeys(schema["properties"], canary)
    value |= {"items": [canary, canary], "contains": [canary]}
    problems = validator_for(load_schema(schema, LIMITS).text).problems(value, 500)

    assert {problem.pointer.split("/")[1] for problem in problems} == set(value)
    assert canary not in str(problems)


# --- what is proven is true


numbers = st.integers(-3, 3)
simple = st.one_of(
    st.just({}),
    st.builds(
        lambda kind: {"type": kind},
        st.sampled_from(["integer", "number", "string", "null", "object"]),
    ),
    st.builds(
        lambda kinds: {"type": kinds},
        st.lists(st.sampled_from(["integer", "string", "null"]), min_size=1, unique=True),
    ),
    st.builds(
        lambda values: {"enum": values},
        st.lists(st.one_of(numbers, st.sampled_from(["a", "b", None])), min_size=1, max_size=4),
    ),
    st.builds(lambda value: {"const": value}, st.one_of(numbers, st.just("a"))),
    st.fixed_dictionaries(
        {},
        optional={
            "minimum": numbers,
            "maximum": numbers,
            "exclusiveMinimum": numbers,
            "multipleOf": st.sampled_from([1, 2, 3, 4]),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(0, 2),
            "pattern": st.sampled_from(["a", "b"]),
        },
    ),
    st.booleans(),
)
names = st.sampled_from(["p", "q"])


def combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    few = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.just("object"),
                "properties": st.dictionaries(names, inner, max_size=2),
                "required": st.lists(names, unique=True, max_size=2),
                "additionalProperties": inner,
                "maxProperties": st.integers(0, 2),
            },
        ),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.fixed_dictionaries(
            {}, optional={"prefixItems": few, "items": inner, "maxItems": st.integers(0, 2)}
        ),
        st.builds(lambda of: {"allOf": of}, few),
        st.builds(lambda of: {"anyOf": of}, few),
        st.builds(lambda of: {"oneOf": of}, few),
        st.builds(lambda of: {"not": of}, inner),
        st.builds(lambda a, b: {"if": a, "then": b}, inner, inner),
        st.builds(lambda of: {"$ref": "#/$defs/x", "$defs": {"x": of}}, simple),
    )


schemas = st.recursive(simple, combined, max_leaves=5).filter(
    lambda schema: isinstance(schema, dict)
)
documents = st.recursive(
    st.one_of(numbers, st.sampled_from(["", "a", "ab", 0.5, None])),
    lambda inner: st.one_of(st.dictionaries(names, inner, max_size=2), st.lists(inner, max_size=3)),
    max_leaves=4,
)


def edits(schema: Any) -> st.SearchStrategy[Any]:
    """Draw the schema itself, one with a keyword changed or removed, or any other schema."""
    keys = list(schema)
    if not keys:
        return schemas
    return st.one_of(
        schemas,
        st.builds(lambda key: {k: v for k, v in schema.items() if k != key}, st.sampled_from(keys)),
        st.builds(lambda other: {**schema, **other}, schemas),
    )


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_called_compatible_is_compatible(data: st.DataObject) -> None:
    old = data.draw(schemas)
    new = data.draw(edits(old))
    try:
        for schema in (old, new):
            load_schema(schema, LIMITS)
    except InvalidDocument:
        assume(False)
    result = compare(old, new)
    old_checker, new_checker = map(jsonschema_rs.validator_for, (old, new))
    for value in data.draw(st.lists(documents, min_size=20, max_size=40)):
        by_old, by_new = old_checker.is_valid(value), new_checker.is_valid(value)
        assert not (result.backward is True and by_old and not by_new), (old, new, value, result)
        assert not (result.forward is True and by_new and not by_old), (old, new, value, result)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas)
def test_a_schema_is_compatible_with_itself(schema: dict[str, Any]) -> None:
    try:
        load_schema(schema, LIMITS)
    except InvalidDocument:
        assume(False)
    result = compare(schema, json.loads(json.dumps(schema)))

    assert (result.backward, result.forward, result.reasons) == (True, True, ())


OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}
CLOSED = {**OPEN, "additionalProperties": False}
TEXT = {"b": {"type": "string"}}


@pytest.mark.parametrize(
    ("old", "new", "backward", "forward"),
    [
        (CLOSED, {**CLOSED, "properties": {**CLOSED["properties"], **TEXT}}, True, False),
        (OPEN, {**OPEN, "properties": {**OPEN["properties"], **TEXT}}, False, True),
        (OPEN, {**OPEN, "required": ["a"]}, False, True),
        ({**OPEN, "required": ["a"]}, OPEN, True, False),
        (OPEN, CLOSED, False, True),
        (OPEN, {**OPEN, "properties": {"a": {"type": "number"}}}, True, False),
        (OPEN, {**OPEN, "title": "words"}, True, True),
        ({"enum": [1, 2]}, {"enum": [1]}, False, True),
        ({"maximum": 3}, {"maximum": 4}, True, False),
        ({"anyOf": [{"const": 1}]}, {"anyOf": [{"const": 1}, {"const": 2}]}, True, False),
        ({"not": {"maximum": 3}}, {"not": {"maximum": 4}}, False, True),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"maximum": 3}}}, {"maximum": 3}, True, True),
        ({"pattern": "a"}, {"pattern": "b"}, None, None),
    ],
)
def test_usual_edits_are_judged_as_people_would(
    old: Any, new: Any, backward: bool | None, forward: bool | None
) -> None:
    result = compare(old, new)

    if backward is None:
        assert result.backward is not True
        assert result.forward is not True
    else:
        assert (result.backward, result.forward) == (backward, forward)


# --- defaults


@pytest.mark.parametrize(
    ("schema", "value", "filled"),
    [
        ({"properties": {"a": {"default": 1}}}, {}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": None}),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {}, {}),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {"a": {}}, {"a": {"b": 1}}),
        (
            {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"default": [1]}}},
            {},
            {"a": [1]},
        ),
        ({"allOf": [{"properties": {"a": {"default": 1}}}]}, {}, {"a": 1}),
        ({"anyOf": [{"properties": {"a": {"default": 1}}}]}, {}, {}),
        (
            {"properties": {"l": {"items": {"properties": {"z": {"default": 0}}}}}},
            {"l": [{}, 1]},
            {"l": [{"z": 0}, 1]},
        ),
        ({"properties": {"a": {"$ref": "#", "default": {}}}}, {}, {"a": {}}),
        (
            {"additionalProperties": {"properties": {"y": {"default": 2}}}},
            {"o": {}},
            {"o": {"y": 2}},
        ),
    ],
)
def test_defaults_are_filled_in(schema: Any, value: Any, filled: Any) -> None:
    before = json.dumps(value)

    assert fill_defaults(json.dumps(schema), value) == filled
    assert json.dumps(value) == before
