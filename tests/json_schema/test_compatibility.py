"""Revisions that are called compatible are compatible: no document disproves it."""

import copy
from random import Random
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed_config.errors import InvalidDocument
from distributed_config.json_schema import (
    Compatibility,
    SchemaLimits,
    compare,
    load_schema,
    validator_for,
)
from distributed_config.json_schema.patterns import compiling
from tests.support.schemas import DRAFT_7, DRAFT_2020_12, DocumentMaker, SchemaMaker
from tests.support.server import Api

NAMED = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = {**NAMED, "additionalProperties": False}


def allows(schema: Any, value: Any) -> bool:
    return validator_for(load_schema(schema, SchemaLimits()).text).problems(value, 1) == []


# --- verdicts that a document disproves


def seven(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DRAFT_7, **schema}


DISPROVED = {
    "a property beside a pattern": (
        {"patternProperties": {"^a": {}}, "additionalProperties": False},
        {
            "patternProperties": {"^a": {}},
            "properties": {"ab": {"type": "string"}},
            "additionalProperties": False,
        },
        {"ab": 1},
    ),
    "a property gone from beside a pattern": (
        {
            "patternProperties": {"^a": {"type": "string"}},
            "properties": {"b": {}},
            "additionalProperties": False,
        },
        {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False},
        {"b": 1},
    ),
    "a pattern that shares names with another": (
        {"patternProperties": {"^a": {}}, "additionalProperties": {"type": "string"}},
        {
            "patternProperties": {"^a": {}, "b$": {"type": "string"}},
            "additionalProperties": {"type": "string"},
        },
        {"ab": 1},
    ),
    "a pattern that begins like another": (
        {"patternProperties": {"^a": {}}, "additionalProperties": False},
        {
            "patternProperties": {"^a": {}, "^ab": {"type": "string"}},
            "additionalProperties": False,
        },
        {"ab": 1},
    ),
    "a name that is not allowed": (
        {"propertyNames": {"pattern": "^a"}},
        {"propertyNames": {"enum": ["a", "b"]}},
        {"ab": 1},
    ),
    "another branch": (
        {"if": {"type": "string"}, "then": {"maxLength": 3}, "else": {"maximum": 3}},
        {"if": {"type": ["string", "null"]}, "then": {"const": "a"}, "else": {"maximum": 3}},
        None,
    ),
    "an unevaluated property": (
        {"properties": {"a": {}}, "unevaluatedProperties": False},
        {"properties": {}, "unevaluatedProperties": False},
        {"a": 1},
    ),
    "an unevaluated property of an alternative": (
        {"anyOf": [{"properties": {"a": {}}}, {}], "unevaluatedProperties": False},
        {"anyOf": [{}, {}], "unevaluatedProperties": False},
        {"a": 1},
    ),
    "an unevaluated property of a condition": (
        {"if": {"properties": {"a": {}}}, "unevaluatedProperties": False},
        {"if": {}, "unevaluatedProperties": False},
        {"a": 1},
    ),
    "unevaluated items": (
        {"prefixItems": [{}, {}], "unevaluatedItems": False},
        {"prefixItems": [{}], "unevaluatedItems": False},
        [1, 2],
    ),
    "dependencies on names": (
        seven({"dependencies": {"a": ["b"]}}),
        seven({"dependencies": {"a": ["c"]}}),
        {"a": 1, "b": 1},
    ),
    "fewer dependencies on names": (
        seven({"dependencies": {"a": []}}),
        seven({"dependencies": {"a": ["b"]}}),
        {"a": 1},
    ),
    "additionalItems without items": (
        seven({"additionalItems": False}),
        seven({"items": False}),
        [1],
    ),
    "additionalItems beside one schema": (
        seven({"additionalItems": False}),
        seven({"items": [{}], "additionalItems": False}),
        [1, 2],
    ),
    "minContains of none": (
        {"contains": {"const": 1}, "minContains": 0},
        {"contains": {"const": 1}},
        [2],
    ),
    "maxContains of none": (
        {"contains": {"const": 1}, "minContains": 0},
        {"contains": {"const": 1}, "minContains": 0, "maxContains": 0},
        [1],
    ),
    "an encoding": (
        seven({"contentEncoding": "base64"}),
        seven({"contentMediaType": "application/json"}),
        "YQ==",
    ),
    "a $ref that hides what stands beside it": (
        seven({"$ref": "#/definitions/x", "definitions": {"x": {}}, "not": {}}),
        seven({"type": "string"}),
        1,
    ),
    "a word beside its number": ({"enum": [1]}, {"enum": [True]}, 1),
    "a long text": ({"const": "a" * 300 + "b"}, {"const": "a" * 300 + "c"}, "a" * 300 + "b"),
    "an anchor that two have": (
        {
            "$ref": "#q",
            "$defs": {
                "a": {"$anchor": "q", "type": "string"},
                "b": {"$anchor": "q", "type": "integer"},
            },
        },
        {"type": "string"},
        1,
    ),
}


@pytest.mark.parametrize("how", DISPROVED)
def test_what_a_document_disproves_is_not_called_compatible(how: str) -> None:
    old, new, value = DISPROVED[how]

    assert allows(old, value)
    assert not allows(new, value)
    assert compare(old, new).backward is not True
    assert compare(new, old).forward is not True


def a_pair(seed: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return a schema, and that schema after a few edits; None if one of them is refused."""
    random = Random(seed)
    maker = SchemaMaker(random, random.choice([DRAFT_7, DRAFT_2020_12, DRAFT_2020_12]))
    old = new = maker.whole()
    for _ in range(random.choice([1, 1, 2, 3])):
        new = maker.edited(new)
    if random.random() < 0.03:
        new = {**new, "$schema": random.choice([DRAFT_7, DRAFT_2020_12])}
    try:
        for schema in (old, new):
            load_schema(schema, SchemaLimits())
    except InvalidDocument:
        return None
    return old, new


def disproof(old: Any, new: Any, result: Compatibility, random: Random, tries: int) -> Any:
    """Return a document that disproves ``result``, in a tuple; None if many tries find none."""
    by_old, by_new = (jsonschema_rs.validator_for(schema, **compiling()) for schema in (old, new))
    nears = [DocumentMaker(random, old), DocumentMaker(random, new)]
    for number in range(tries):
        value = nears[number % 2].document()
        was, is_now = by_old.is_valid(value), by_new.is_valid(value)
        if result.backward is True and was and not is_now:
            return (value,)
        if result.forward is True and is_now and not was:
            return (value,)
    return None


def test_no_document_disproves_what_is_called_compatible(drill: bool) -> None:
    verdicts = {True: 0, False: 0, None: 0}

    @settings(max_examples=30_000 if drill else 400, deadline=None, database=None)
    @given(st.integers(0, 2**64))
    def check(seed: int) -> None:
        pair = a_pair(seed)
        if pair is None:
            return
        old, new = pair
        result = compare(old, new)
        verdicts[result.backward] += 1
        wrong = disproof(old, new, result, Random(seed), 120 if drill else 60)
        assert wrong is None, (old, new, wrong, result)

    check()
    # It would be easy never to be wrong.
    assert verdicts[True] > sum(verdicts.values()) / 3


@pytest.mark.parametrize("draft", [DRAFT_7, DRAFT_2020_12])
def test_changed_words_make_no_difference(draft: str, drill: bool) -> None:
    for seed in range(3_000 if drill else 150):
        schema = SchemaMaker(Random(seed), draft).whole()
        try:
            load_schema(schema, SchemaLimits())
        except InvalidDocument:
            continue
        result = compare(schema, {**copy.deepcopy(schema), "description": "words"})

        assert (result.backward, result.forward, result.reasons) == (True, True, ()), schema


# --- what people do every day


def with_member(schema: dict[str, Any], name: str, member: Any) -> dict[str, Any]:
    return {**schema, "properties": {**schema["properties"], name: member}}


BASE = {"$defs": {"base": {"properties": {"id": {"type": "string"}}}}}
SHAPES = [
    {"type": "object", "required": ["kind"], "properties": {"kind": {"const": kind}}}
    for kind in ("http", "tcp", "udp")
]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CLOSED, with_member(CLOSED, "b", {"type": "integer"})),
        ({"properties": {"s": CLOSED}}, {"properties": {"s": with_member(CLOSED, "b", {})}}),
        ({"items": CLOSED}, {"items": with_member(CLOSED, "b", {})}),
        (CLOSED, NAMED),
        (CLOSED, {**CLOSED, "patternProperties": {"^x-": {"type": "string"}}}),
        (
            {"patternProperties": {"^web-": CLOSED}, "additionalProperties": False},
            {
                "patternProperties": {"^web-": CLOSED, "^db-": {}},
                "additionalProperties": False,
            },
        ),
        ({"enum": ["a"]}, {"enum": ["b", "a"]}),
        ({"enum": ["a", "b"]}, {"type": "string"}),
        ({"const": 3}, {"minimum": 1, "maximum": 5}),
        ({"type": "boolean"}, {"enum": [True, False, None]}),
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "string"}, {"oneOf": [{"type": "array"}, {"type": "string"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["null", "string"]}),
        ({"type": "integer"}, {"type": "number"}),
        ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 9, "minimum": 3}),
        ({"minimum": 1, "exclusiveMaximum": 5}, {"exclusiveMinimum": 0, "maximum": 5}),
        ({"multipleOf": 6}, {"multipleOf": 3}),
        ({"type": "array", "maxItems": 1}, {"type": "array", "uniqueItems": True}),
        ({"required": ["a", "b"]}, {"required": ["b"]}),
        ({"dependentRequired": {"a": ["b", "c"]}}, {"dependentRequired": {"a": ["c"]}}),
        (
            seven({"dependencies": {"a": ["b"]}}),
            seven({"dependencies": {"a": []}}),
        ),
        ({"oneOf": SHAPES[:2]}, {"oneOf": SHAPES}),
        ({"oneOf": SHAPES[:2]}, {"oneOf": SHAPES[1::-1]}),
        ({"anyOf": SHAPES[:2]}, {"anyOf": SHAPES[::-1]}),
        ({"oneOf": SHAPES}, {"anyOf": SHAPES}),
        (
            {"allOf": [{"$ref": "#/$defs/base"}], "unevaluatedProperties": False, **BASE},
            {
                "allOf": [{"$ref": "#/$defs/base"}],
                "properties": {"more": {}},
                "unevaluatedProperties": False,
                **BASE,
            },
        ),
        (NAMED, {"allOf": [{"$ref": "#/$defs/n"}], "$defs": {"n": NAMED}}),
        ({"allOf": [NAMED, {"minProperties": 1}]}, NAMED),
        (
            {"if": NAMED, "then": {"required": ["a", "b"]}},
            {"if": NAMED, "then": {"required": ["a"]}},
        ),
        (
            {"if": NAMED, "then": {"required": ["a"]}, "unevaluatedProperties": False},
            {
                "if": NAMED,
                "then": {"required": ["a"]},
                "properties": {"b": {}},
                "unevaluatedProperties": False,
            },
        ),
        ({"contains": {"const": 1}}, {"contains": {"enum": [1, 2]}}),
        ({"contains": {"const": 1}, "minContains": 2}, {"contains": {"const": 1}}),
        ({"prefixItems": [CLOSED], "items": False}, {"prefixItems": [CLOSED, {}]}),
        ({"not": {"required": ["a"]}}, {"not": {"required": ["a", "b"]}}),
        (seven({"items": [{}], "additionalItems": False}), {"prefixItems": [{}], "items": False}),
        (
            {"properties": {"next": {"$ref": "#"}, "n": {"maximum": 1}}},
            {"properties": {"next": {"$ref": "#"}, "n": {"maximum": 2}}},
        ),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}},
            {"items": {"items": {"$ref": "#"}}},
        ),
    ],
)
def test_everyday_changes_are_seen_to_be_compatible(old: Any, new: Any) -> None:
    for schema in (old, new):
        load_schema(schema, SchemaLimits())

    assert compare(old, new).backward is True
    assert compare(new, old).forward is True


def test_reasons_speak_against_what_is_not_compatible_and_nothing_else(drill: bool) -> None:
    for seed in range(5_000 if drill else 300):
        pair = a_pair(seed)
        if pair is None:
            continue
        result = compare(*pair)

        assert any(reason.narrower for reason in result.reasons) is (result.backward is not True)
        assert any(reason.wider for reason in result.reasons) is (result.forward is not True)


# --- what is hostile


def test_schemas_that_refer_to_themselves_are_compared_in_bounded_memory() -> None:
    """Each of its members leads to two more, down to any depth."""
    twice = {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}, "n": {"type": "integer"}}}
    result = compare({"properties": {"z": {}}}, {"properties": {"z": twice, **twice["properties"]}})

    assert result.backward is False
    assert len(result.reasons) <= 200


def test_no_schema_ends_the_process() -> None:
    """jsonschema-rs computes with schemas as sets; on this one that overflowed the stack."""
    schema = {"oneOf": [{"unevaluatedProperties": {"$ref": "#", "unevaluatedProperties": {}}}]}

    assert compare(schema, {**schema, "title": ""}).backward is True
    assert compare(schema, {**schema, "maxProperties": 1}).backward is False


def test_alternatives_that_multiply_are_given_up() -> None:
    options = [{"required": [f"r{i}"], "properties": {"k": {"minLength": i}}} for i in range(150)]
    result = compare({"anyOf": options}, {"anyOf": options[::-1]})

    assert (result.backward, result.forward) == (None, None)


def test_a_chain_of_many_references_is_compared() -> None:
    parts: Any = {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}]} for i in range(300)}
    last = {"type": "object"}
    chain = {"$ref": "#/$defs/a0", "$defs": {**parts, "a300": last}}
    longer = {**chain, "$defs": {**parts, "a300": {**last, "minProperties": 1}}}

    assert compare(longer, chain).backward is True
    assert compare(chain, longer).backward is not True


@pytest.mark.parametrize("policy", ["backward", "forward", "full"])
def test_a_policy_does_not_let_pass_what_cannot_be_decided(
    api: Api, name: str, policy: str
) -> None:
    old, new = ({"properties": {"a": {"pattern": pattern}}} for pattern in ("^a[0-9]", "^a[1-9]"))
    assert api.define(name, old, policy=policy).status_code == 201
    refused = api.define(name, new)

    assert refused.status_code == 422, refused.text
    assert "cannot be shown to be" in refused.json()["detail"]


def test_a_schema_of_draft_7_with_alternatives_beside_a_reference_is_compared(
    api: Api, name: str
) -> None:
    """In draft 7 they have no effect there; a comparison that followed them was a 500."""
    schema = seven({"$ref": "#/definitions/x", "anyOf": [{}], "definitions": {"x": {}}})
    assert api.define(name, schema).status_code == 201

    assert api.define(name, {**schema, "title": "words"}).status_code == 200
