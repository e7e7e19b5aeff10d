"""Where the length of a document bounds what checking it costs, nothing is counted."""

import json
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from distributed_config.errors import InvalidDocument
from distributed_config.json_schema import SchemaLimits, load_schema, validator_for
from distributed_config.json_schema.ceiling import ceiling_of
from distributed_config.json_schema.cost import Meter, TooMuchWork
from distributed_config.json_schema.outline import Outline
from distributed_config.json_schema.weights import Weight
from distributed_config.wire.numbers import INTEGER_DIGITS

LIMITS = SchemaLimits()
CONFIGURATION = {
    "type": "object",
    "properties": {
        "host": {"type": "string", "format": "hostname", "maxLength": 250},
        "port": {"$ref": "#/$defs/port"},
        "level": {"enum": ["debug", "info", "error"]},
        "replicas": {"type": "array", "items": {"$ref": "#/$defs/replica"}, "maxItems": 9},
        "labels": {
            "propertyNames": {"pattern": "^[a-z]+$"},
            "additionalProperties": {"type": "string"},
        },
        "cache": {"anyOf": [{"type": "null"}, {"required": ["size"]}]},
    },
    "required": ["host"],
    "additionalProperties": False,
    "$defs": {
        "port": {"type": "integer", "minimum": 0, "maximum": 65_535},
        "replica": {"properties": {"host": {"type": "string"}, "port": {"$ref": "#/$defs/port"}}},
    },
}
CONFORMING = {
    "host": "db.example.com",
    "port": 5432,
    "level": "info",
    "replicas": [{"host": "a", "port": 1}, {"host": "b"}],
    "labels": {"team": "core"},
    "cache": None,
}


def require_below_ceiling(meter: Meter, value: Any) -> None:
    """Fail if more is counted for ``value`` than the ceiling says, if there is one."""
    ceiling = ceiling_of(meter.schemas)
    assume(ceiling is not None)
    assert ceiling is not None
    length = len(text_of(value))
    try:
        meter.require_affordable(value, ceiling.looks * length)
    except TooMuchWork:
        pytest.fail(f"more than {ceiling.looks} looks for each of {length} letters")


class Counted(AssertionError):
    """A document was walked through."""


@pytest.fixture
def no_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise Counted

    monkeypatch.setattr(Meter, "require_affordable", refuse)


def text_of(value: Any) -> str:
    """Return the shortest text of ``value``."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def meter_of(schema: dict[str, Any]) -> Meter:
    return Meter(Outline(schema))


@pytest.mark.usefixtures("no_counting")
def test_a_document_of_a_simple_schema_is_checked_without_counting() -> None:
    checker = validator_for(load_schema(CONFIGURATION, LIMITS).text)

    assert checker.problems(CONFORMING, len(text_of(CONFORMING))) == []


@pytest.mark.usefixtures("no_counting")
@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {"type": "array", "uniqueItems": True}}},
        {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False},
        {"prefixItems": [{}], "unevaluatedItems": False},
    ],
    ids=["refers to itself", "different elements", "members left over", "elements left over"],
)
def test_what_the_length_does_not_bound_is_counted(schema: dict[str, Any]) -> None:
    checker = validator_for(json.dumps(schema))

    with pytest.raises(Counted):
        checker.problems({}, 10)


@pytest.mark.usefixtures("no_counting")
def test_a_document_too_long_for_its_length_to_say_enough_is_counted() -> None:
    checker = validator_for(load_schema({"properties": {"a": {"minimum": 0}}}, LIMITS).text)

    assert checker.problems({"a": 1}, 30_000) == []
    with pytest.raises(Counted):
        checker.problems({"a": 1}, 40_000)


def test_levels_of_long_chains_are_counted_though_nothing_repeats() -> None:
    """Each schema on the way to a value takes a part of the validator's stack."""
    value: Any = 1
    parts: dict[str, Any] = {"level0": {"type": "integer"}}
    for level in range(1, 26):
        for step in range(100):
            parts[f"level{level}-{step}"] = {"$ref": f"#/$defs/level{level}-{step + 1}"}
        parts[f"level{level}-100"] = {"properties": {"a": {"$ref": f"#/$defs/level{level - 1}"}}}
        parts[f"level{level}"] = {"$ref": f"#/$defs/level{level}-0"}
        value = {"a": value}
    schema = {"$ref": "#/$defs/level25", "$defs": parts}
    checker = validator_for(load_schema(schema, LIMITS).text)

    [problem] = checker.problems(value, len(text_of(value)))
    assert problem.rule == "size"


def test_where_counting_takes_too_long_the_first_problem_is_reported() -> None:
    """That something is wrong is known without counting; to report everything, it is needed."""
    common = {"allOf": [{"type": "string"}] * 200}
    names = [f"p{i}" for i in range(100)]
    schema = {
        "properties": {name: {"$ref": "#/$defs/common"} for name in names},
        "$defs": {"common": common},
    }
    checker = validator_for(load_schema(schema, LIMITS).text)
    value: dict[str, Any] = dict.fromkeys(names, "x")
    assert checker.problems(value, len(text_of(value))) == []

    value |= {"p7": 1, "p9": 1}
    [problem] = checker.problems(value, len(text_of(value)))

    assert (problem.pointer, problem.rule) == ("/p7", "type")


# --- the ceiling is never below what is counted

_NAMES = st.sampled_from(["a", "b", "", "näme", "a" * 60])
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10 ** (INTEGER_DIGITS - 1), max_value=10**INTEGER_DIGITS - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, 9e307, 5e-324, 10**19, -(10**18)]),
    st.text(max_size=50),
    _NAMES,
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=20,
)
_KEYWORDS = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["integer", "string", "object", "array"])}),
    st.fixed_dictionaries({"pattern": st.sampled_from(["^a*$", "^[ab]{9}c", "x"])}),
    st.fixed_dictionaries({"format": st.sampled_from(["email", "idn-hostname", "date"])}),
    st.fixed_dictionaries({"enum": st.lists(st.integers() | st.floats(0, 1), max_size=3)}),
    st.fixed_dictionaries({"minimum": st.integers(), "multipleOf": st.just(0.5)}),
    st.fixed_dictionaries({"dependentRequired": st.just({"a": ["b"], "b": ["a"]})}),
    st.just({"$ref": "#/$defs/p"}),
    st.just({"$ref": "#/$defs/q"}),
    st.just({}),
)
_ONES = ("not", "items", "contains", "propertyNames", "additionalProperties", "if", "then")


def _holding(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(_NAMES, inner, min_size=1, max_size=3)
    patterns = st.dictionaries(st.sampled_from(["^a", "b$", "^[a-z]{40}"]), inner, min_size=1)
    keywords = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(_ONES, inner),
            **dict.fromkeys(
                ("allOf", "anyOf", "oneOf", "prefixItems"), st.lists(inner, min_size=1, max_size=3)
            ),
            **dict.fromkeys(("properties", "dependentSchemas"), members),
            "patternProperties": patterns,
        },
    )
    return st.builds(lambda own, held: own | held, _KEYWORDS, keywords)


SCHEMAS = st.recursive(_KEYWORDS, _holding, max_leaves=12)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEMAS, _KEYWORDS, SCHEMAS, VALUES)
@example({"minimum": 0}, {}, {}, 9e307)
@example({"minimum": 0, "maximum": 9}, {}, {}, [5e-324, 10**INTEGER_DIGITS - 1])
@example({"pattern": "^[ab]{9}c"}, {}, {}, "a" * 1_000)
@example({"propertyNames": {"pattern": "^[ab]{9}c"}}, {}, {}, {"a" * 1_000: 1})
@example({"patternProperties": {"^[ab]{9}c": {}, "^a": {}}}, {}, {}, {"a" * 1_000: 1, "": {}})
@example({"patternProperties": {"a": {"enum": [0.5]}, "b": {"enum": [0.5]}}}, {}, {}, {"a": 1})
@example({"items": {"allOf": [{"enum": [0.5]}] * 9}}, {}, {}, [1] * 90)
@example({"items": {"$ref": "#/$defs/p"}, "contains": {"$ref": "#/$defs/p"}}, {}, {}, [1] * 90)
@example(
    {"items": {"pattern": "^[ab]{9}c"}, "contains": {"pattern": "^[ab]{9}c"}}, {}, {}, ["a" * 1_000]
)
@example({"prefixItems": [{}, {"enum": [0.5] * 50}]}, {}, {}, [1, 2, 3])
def test_the_ceiling_is_never_below_what_is_counted(
    schema: dict[str, Any], p: dict[str, Any], q: dict[str, Any], value: Any
) -> None:
    whole = {**schema, "$defs": {"p": p, "q": q}}
    try:
        load_schema(whole, LIMITS)
    except InvalidDocument:
        assume(False)
    require_below_ceiling(meter_of(whole), value)


_FIGURES = st.sampled_from([1, 7, 1_000])
WEIGHTS = st.builds(
    Weight, value=_FIGURES, letter=_FIGURES, number=_FIGURES, member=_FIGURES, name_letter=_FIGURES
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEMAS, st.lists(WEIGHTS, min_size=1, max_size=5), VALUES)
@example({}, [Weight(letter=1_000)], "a" * 90)
@example({}, [Weight(member=1_000)], {f"{i}": i for i in range(10)})
@example({}, [Weight(name_letter=1_000)], {"a" * 90: 1})
def test_that_holds_whatever_the_keywords_weigh(
    schema: dict[str, Any], weights: list[Weight], value: Any
) -> None:
    whole = {**schema, "$defs": {"p": {}, "q": {}}}
    try:
        load_schema(whole, LIMITS)
    except InvalidDocument:
        assume(False)
    meter = meter_of(whole)
    meter.schemas = [
        replace(schema, weight=weight)
        for schema, weight in zip(meter.schemas, cycle(weights), strict=False)
    ]
    require_below_ceiling(meter, value)


@pytest.mark.parametrize("text", ["9e307", "1e300", "5e-324", "-9e99", "0.1", "9" * INTEGER_DIGITS])
def test_a_number_costs_no_more_however_it_is_written(text: str) -> None:
    meter = meter_of({"minimum": 0, "exclusiveMinimum": 0})
    ceiling = ceiling_of(meter.schemas)
    assert ceiling is not None

    meter.require_affordable(json.loads(text), ceiling.looks * len(text))
