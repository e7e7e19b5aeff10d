"""Real schemas are accepted, and validating a document takes bounded time."""

import json
import time
from random import Random
from typing import Any

import jsonschema_rs
import pytest

from distributed_config.errors import InvalidDocument
from distributed_config.json_schema import SchemaLimits, load_schema, validator_for
from distributed_config.json_schema.cost import Meter, TooMuchWork
from distributed_config.json_schema.outline import Outline
from distributed_config.json_schema.patterns import compiling
from tests.support.server import Api

LIMITS = SchemaLimits()
# Of the processor, several times what is allowed: 250 ms are meant, and machines differ.
CHECKING = 1.5
DRAFT_7 = "http://json-schema.org/draft-07/schema#"

# Schemas of records: a type is a name, a list of types, or an object that says what it consists of.
RECORDS = {
    "$schema": DRAFT_7,
    "definitions": {
        "types": {"oneOf": [{"$ref": "#/definitions/type"}, {"$ref": "#/definitions/union"}]},
        "type": {
            "anyOf": [
                {"enum": ["null", "int", "string", "bytes"]},
                {"$ref": "#/definitions/record"},
                {"$ref": "#/definitions/array"},
                {"$ref": "#/definitions/map"},
                {"$ref": "#/definitions/name"},
            ]
        },
        "union": {"type": "array", "items": {"$ref": "#/definitions/type"}, "minItems": 1},
        "record": {
            "type": "object",
            "properties": {
                "type": {"const": "record"},
                "name": {"$ref": "#/definitions/name"},
                "fields": {"type": "array", "items": {"$ref": "#/definitions/field"}},
            },
            "required": ["type", "name", "fields"],
        },
        "field": {
            "type": "object",
            "properties": {
                "name": {"$ref": "#/definitions/name"},
                "type": {"$ref": "#/definitions/types"},
            },
            "required": ["name", "type"],
        },
        "array": {
            "type": "object",
            "properties": {
                "type": {"const": "array"},
                "items": {"$ref": "#/definitions/types"},
            },
            "required": ["type", "items"],
        },
        "map": {
            "type": "object",
            "properties": {"type": {"const": "map"}, "values": {"$ref": "#/definitions/types"}},
            "required": ["type", "values"],
        },
        "name": {"type": "string", "pattern": "^([A-Za-z_][A-Za-z0-9_]*)(\\.[A-Za-z_]\\w*)*$"},
    },
    "oneOf": [{"$ref": "#/definitions/types"}],
}
# Expressions that consist of expressions, each of a dozen kinds.
EXPRESSIONS = {
    "$defs": {
        "expression": {
            "anyOf": [
                {"type": ["string", "number", "boolean", "null"]},
                {"type": "array", "items": {"$ref": "#/$defs/expression"}},
                *(
                    {
                        "properties": {
                            kind: {"$ref": "#/$defs/expression"},
                            "else": {"$ref": "#/$defs/expression"},
                        },
                        "required": [kind],
                        "additionalProperties": False,
                    }
                    for kind in ("if", "and", "or", "not", "case", "replace", "ref", "env", "join")
                ),
            ]
        }
    },
    "additionalProperties": {"$ref": "#/$defs/expression"},
}


def schema_is_taken(schema: dict[str, Any]) -> bool:
    try:
        load_schema(schema, LIMITS)
    except InvalidDocument:
        return False
    return True


def record(depth: int) -> dict[str, Any]:
    inner: Any = "int" if depth == 0 else record(depth - 1)
    return {"type": "record", "name": "r", "fields": [{"name": "f", "type": ["null", inner]}]}


def expression(depth: int) -> Any:
    return 1 if depth == 0 else {"and": [expression(depth - 1), "x"], "else": None}


@pytest.mark.parametrize(
    ("schema", "conforming", "broken"),
    [
        (RECORDS, record(7), {**record(3), "name": 1}),
        (EXPRESSIONS, {"a": expression(12)}, {"a": {"and": 1, "or": 2}}),
    ],
    ids=["records", "expressions"],
)
def test_a_schema_that_refers_to_itself_in_its_alternatives_is_accepted(
    schema: dict[str, Any], conforming: Any, broken: Any
) -> None:
    checker = validator_for(load_schema(schema, LIMITS).text)

    assert checker.problems(conforming, 1_000) == []
    assert [problem.rule for problem in checker.problems(broken, 1_000)] in (["oneOf"], ["anyOf"])


def test_a_definition_with_such_a_schema_is_stored(api: Api, name: str) -> None:
    created = api.define(name, RECORDS)
    broken = api.put(f"{name}-broken", {**record(2), "fields": 1}, definition=name)

    assert created.status_code == 201
    assert api.put(name, record(5), definition=name).is_success
    assert broken.status_code == 422
    assert broken.json()["code"] == "not-conforming"


DOUBLING = {
    "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, "b": {"type": "integer"}}
}


def deep(levels: int, inner: Any) -> Any:
    return inner if levels == 0 else {"a": deep(levels - 1, inner)}


def test_doubling_is_counted_for_the_levels_that_a_document_has() -> None:
    checker = validator_for(load_schema(DOUBLING, LIMITS).text)

    assert checker.problems(deep(10, {"b": 1}), 100) == []
    assert {problem.rule for problem in checker.problems(deep(10, {"b": "x"}), 100)} == {"type"}
    began = time.thread_time()
    [problem] = checker.problems(deep(60, {"b": "x"}), 500)
    assert time.thread_time() - began < CHECKING
    assert (problem.pointer, problem.rule) == ("", "size")


def test_a_chain_of_schemas_for_each_level_does_not_exhaust_the_stack() -> None:
    """The validator recurses for each of them, and once that crashed the process."""
    chain = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}]} for i in range(400)}
    schema = {
        "$ref": "#/$defs/a0",
        "$defs": {**chain, "a400": {"properties": {"a": {"$ref": "#"}}}},
    }
    checker = validator_for(load_schema(schema, LIMITS).text)

    assert checker.problems(deep(1, {}), 10) == []
    assert [problem.rule for problem in checker.problems(deep(60, {}), 500)] == ["size"]


EXPENSIVE: dict[str, Any] = {
    "alternatives": {"anyOf": [{"required": [f"z{i}"]} for i in range(3000)]},
    "alternatives of elements": {
        "properties": {
            "a": {"items": {"oneOf": [{"const": f"{i}"} for i in range(90)]}},
        }
    },
    "alternatives of alternatives": {
        "properties": {
            "a": {
                "anyOf": [
                    {"anyOf": [{"items": {"type": "null"}}, {"items": {"const": i}}]}
                    for i in range(20)
                ]
            }
        }
    },
    "what is required": {"required": [f"z{i}" for i in range(3000)]},
    "unknown names": {
        "properties": {f"name{i}": {} for i in range(3000)},
        "additionalProperties": False,
    },
    "numbers one by one": {"properties": {"a": {"items": {"not": {"enum": list(range(3000))}}}}},
    "large numbers": {"properties": {"a": {"items": {"minimum": -(10**999)}}}},
    "small fractions": {"properties": {"a": {"items": {"multipleOf": 1e-300}}}},
    "different elements": {"properties": {"a": {"uniqueItems": True}}},
    "names that others need": {
        "properties": {"a": {"items": {"dependentRequired": {f"p{i}": ["q"] for i in range(3000)}}}}
    },
    "many patterns for names": {"patternProperties": {f"^n.*{i}$": {} for i in range(90)}},
}
LARGE: dict[str, Any] = {
    "names": {f"nome{i}": i for i in range(9_900)},
    "long names": {f"{i}{'nome' * 20}": i for i in range(5_000)},
    "texts": {"a": [f"x{i}" for i in range(80_000)]},
    "fewer texts": {"a": [f"x{i}" for i in range(1_000)]},
    "fractions": {"a": [i + 0.25 for i in range(80_000)]},
    "large integers": {"a": [10**30 + i for i in range(9_000)]},
    "objects": {"a": [{"nome": i} for i in range(9_000)]},
    "small arrays": {"a": [[1]] * 150_000},
    "empty objects": {"a": [{}] * 150_000},
}


@pytest.mark.parametrize("what", EXPENSIVE)
def test_validation_and_its_report_take_bounded_time(what: str) -> None:
    checker = validator_for(load_schema(EXPENSIVE[what], LIMITS).text)
    for value in LARGE.values():
        size = len(json.dumps(value))
        began = time.thread_time()
        checker.problems(value, size)
        assert time.thread_time() - began < CHECKING


def test_where_there_is_too_much_to_report_the_first_problem_is() -> None:
    schema = {
        "properties": {
            "a": {"items": {"anyOf": [{"type": "integer"}, {"properties": {"b": {"const": 1}}}]}}
        }
    }
    checker = validator_for(load_schema(schema, LIMITS).text)
    value = {"a": [*range(30_000), {"b": 2}]}

    [problem] = checker.problems(value, len(json.dumps(value)))

    assert problem.pointer == "/a/30000"
    assert "none of the alternatives" in problem.message


# --- what is counted is never less than what is done


class Visits:
    """A keyword that counts how often the schemas that have it are evaluated."""

    counted = 0

    def __init__(self, *_: Any) -> None:
        pass

    def validate(self, _: Any) -> None:
        Visits.counted += 1


_ONES = ("not", "items", "contains", "propertyNames", "additionalProperties")
_LEFT_OVER = ("unevaluatedProperties", "unevaluatedItems")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "dependentSchemas", "patternProperties")
_PARTS = ("p", "q")


def any_schema(random: Random, depth: int) -> dict[str, Any]:
    if depth == 0 or random.random() < 0.15:
        return random.choice([{"type": "integer"}, {"type": "object"}, {}])
    schema: dict[str, Any] = {}
    for key in random.choices((*_ONES, *_LEFT_OVER, *_LISTS, *_MAPS, "if", "$ref"), k=2):
        inner = [any_schema(random, depth - 1) for _ in range(random.randint(1, 3))]
        if key in _LISTS:
            schema[key] = inner
        elif key in _MAPS:
            schema[key] = dict(zip("abc", inner, strict=False))
        elif key == "$ref":
            schema[key] = f"#/$defs/{random.choice(_PARTS)}"
        elif key == "if":
            schema |= {"if": inner[0], "then": inner[-1]}
        else:
            schema[key] = inner[0]
    return schema


def any_value(random: Random, depth: int) -> Any:
    if depth == 0 or random.random() < 0.2:
        return random.choice([1, "a", None])
    if random.random() < 0.6:
        return {name: any_value(random, depth - 1) for name in random.sample("abc", 2)}
    return [any_value(random, depth - 1) for _ in range(random.randint(0, 3))]


def takes_at_most(looks: int, meter: Meter, value: Any) -> bool:
    """Whether ``value`` can be validated with so many looks, according to the meter."""
    try:
        meter.require_affordable(value, looks)
    except TooMuchWork:
        return False
    return True


def visits(schema: dict[str, Any], value: Any) -> int:
    """Return how often the schemas in ``schema`` are evaluated to validate ``value``."""
    counting = json.loads(json.dumps(schema))
    for node in Outline(counting).nodes.values():
        node.schema["x-visits"] = True
    keywords = {"x-visits": Visits}
    checker = jsonschema_rs.validator_for(counting, keywords=keywords, **compiling())
    Visits.counted = 0
    checker.is_valid(value)
    return Visits.counted


def test_no_schema_is_evaluated_more_often_than_counted() -> None:
    random, tried = Random(7), 0
    while tried < 250:
        parts = {name: any_schema(random, 3) for name in _PARTS}
        schema = {**any_schema(random, 4), "$defs": parts}
        value = any_value(random, 5)
        if not schema_is_taken(schema):
            continue
        meter = Meter(Outline(schema))
        if not takes_at_most(50_000, meter, value):
            continue
        tried += 1
        counted = visits(schema, value)
        assert counted == 0 or not takes_at_most(counted - 1, meter, value), schema


@pytest.mark.parametrize("key", ["allOf", "anyOf", "oneOf"])
@pytest.mark.parametrize(
    ("left_over", "value", "innermost"),
    [
        ("unevaluatedProperties", {"a": 1}, {"properties": {"a": {}}}),
        ("unevaluatedItems", [1, 2], {"contains": {"type": "integer"}}),
    ],
)
def test_schemas_that_run_again_for_what_is_left_are_counted_again(
    key: str, left_over: str, value: Any, innermost: dict[str, Any]
) -> None:
    schema = innermost
    for _ in range(6):
        schema = {key: [schema], left_over: False}
    counted = visits(schema, value)

    assert counted > 100
    assert not takes_at_most(counted - 1, Meter(Outline(schema)), value)
