"""References by a schema's own ``$id``, and defaults that a schema refuses."""

import json
from typing import Any

import pytest

from distributed_config.errors import InvalidDocument
from distributed_config.json_schema import (
    SchemaLimits,
    fill_defaults,
    load_schema,
    marks_path,
    properties_at,
    validator_for,
)
from tests.support.server import Api

LIMITS = SchemaLimits()
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
PARTS = {"number": {"type": "integer"}, "key": {"type": "string", "x-secret": True}}


def referring(identity: str, reference: str, **more: Any) -> dict[str, Any]:
    return {
        "$id": identity,
        "properties": {"a": {"$ref": f"{reference}#/$defs/number"}, "b": {"$ref": reference}},
        "$defs": PARTS,
        **more,
    }


@pytest.mark.parametrize(
    ("identity", "reference"),
    [
        ("https://example.com/schemas/a.json", "https://example.com/schemas/a.json"),
        ("https://example.com/schemas/a.json", "a.json"),
        ("https://example.com/schemas/a.json", "/schemas/a.json"),
        ("urn:example:a", "urn:example:a"),
        ("a.json", "a.json"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"$schema": DRAFT_7}], ids=["2020-12", "7"])
def test_a_reference_to_the_own_id_is_inside(
    identity: str, reference: str, more: dict[str, Any]
) -> None:
    text = load_schema(referring(identity, reference, **more), LIMITS).text

    problems = validator_for(text).problems({"a": "x", "b": {"b": {"a": "x"}}}, 50)

    assert [problem.pointer for problem in problems] == ["/a", "/b/b/a"]
    assert properties_at(json.loads(text), "b.b.a") == [("b", "b", "a")]


def test_a_mark_counts_where_the_own_id_leads_to_it() -> None:
    schema = referring("https://example.com/a", "https://example.com/a")
    schema["properties"]["c"] = {"$ref": "https://example.com/a#/$defs/key"}

    assert marks_path(load_schema(schema, LIMITS).text, ("b", "c"))


@pytest.mark.parametrize(
    "reference", ["https://example.com/b", "https://example.org/a", "b", "a/b", "?a", "//a"]
)
def test_any_other_reference_lies_outside(reference: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        load_schema(referring("https://example.com/a", reference), LIMITS)

    assert {problem.rule for problem in refused.value.problems} == {"$ref"}


def test_a_part_may_have_an_id_that_changes_no_meaning() -> None:
    schema = {"properties": {"a": {"$id": "/properties/a", "type": "integer"}}}
    text = load_schema(schema, LIMITS).text

    assert [problem.pointer for problem in validator_for(text).problems({"a": "x"}, 10)] == ["/a"]
    for inner in ({"$ref": "#"}, {"$anchor": "b"}, {"$dynamicAnchor": "b"}, {"$dynamicRef": "#"}):
        for part in (
            {"$id": "part", "properties": {"b": inner}},
            {"$id": "part", **inner},
        ):
            with pytest.raises(InvalidDocument) as refused:
                load_schema({"$defs": {"a": part}, "properties": {"a": {}}}, LIMITS)
            assert "$id" in {problem.rule for problem in refused.value.problems}


def test_the_id_of_a_part_cannot_be_referred_to() -> None:
    part = {"$id": "https://example.com/b", "type": "integer"}
    schema = {"properties": {"a": {"$ref": "https://example.com/b"}}, "$defs": {"b": part}}
    with pytest.raises(InvalidDocument):
        load_schema(schema, LIMITS)


# --- defaults


@pytest.mark.parametrize(
    ("properties", "filled"),
    [
        ({"a": {"type": "integer", "default": "8080"}}, {}),
        ({"a": {"type": "integer", "default": 8080}}, {"a": 8080}),
        ({"a": {"type": "string", "default": None}}, {}),
        ({"a": {"type": ["string", "null"], "default": None}}, {"a": None}),
        ({"a": {"$ref": "#/$defs/number", "default": "x"}}, {}),
        ({"a": {"$ref": "#/$defs/few", "maxItems": 0}}, {}),
        ({"a": {"$ref": "#/$defs/few"}}, {"a": [1]}),
        ({"a": {"allOf": [{"default": "x"}, {"type": "integer"}]}}, {}),
        ({"a": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": "x"}}, {}),
        ({"a": {"required": ["b"], "default": {}}}, {}),
        ({"a": {"default": [1, 2], "items": {"enum": [1]}}, "b": {"default": 2}}, {"b": 2}),
        ({"a/b~c %": {"type": "integer", "default": "x"}}, {}),
        ({"a/b~c %": {"type": "integer", "default": 1}}, {"a/b~c %": 1}),
    ],
)
@pytest.mark.parametrize("identity", [{}, {"$id": "https://example.com/a"}], ids=["", "named"])
def test_a_default_that_its_schema_refuses_is_not_filled_in(
    properties: dict[str, Any], filled: dict[str, Any], identity: dict[str, Any]
) -> None:
    few = {"type": "array", "default": [1]}
    schema = {**identity, "properties": properties, "$defs": {**PARTS, "few": few}}
    text = load_schema(schema, LIMITS).text

    assert fill_defaults(text, {}) == filled
    assert validator_for(text).problems(fill_defaults(text, {}), 100) == []


def test_a_default_must_suit_every_schema_of_its_property() -> None:
    schema = {
        "allOf": [{"properties": {"a": {"default": 1}}}],
        "properties": {"a": {"type": "string"}},
    }
    assert fill_defaults(load_schema(schema, LIMITS).text, {}) == {}


def test_a_default_that_would_take_long_to_check_is_not_filled_in() -> None:
    default: Any = 1
    for _ in range(40):
        default = {"a": default}
    twice = {"allOf": [{"$ref": "#/$defs/t"}, {"$ref": "#/$defs/t"}]}
    schema = {
        "properties": {"b": {"$ref": "#/$defs/t", "default": default}},
        "$defs": {"t": {"properties": {"a": twice}}},
    }
    assert fill_defaults(load_schema(schema, LIMITS).text, {}) == {}


def test_what_is_served_with_defaults_conforms(api: Api, name: str) -> None:
    schema = {
        "properties": {
            "port": {"type": "integer", "default": "8080"},
            "host": {"type": "string", "default": "localhost"},
        }
    }
    api.define(name, schema)
    api.put(name, {}, definition=name)

    served = api.get(name, version="current", defaults="true")

    assert served.json() == {"host": "localhost"}
