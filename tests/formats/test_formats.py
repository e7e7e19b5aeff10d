"""Documents survive a round trip through each format, or are refused with the reason."""

import json
import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from distributed_config import formats, wire
from distributed_config.errors import InvalidDocument, NotRepresentable, TooLarge
from distributed_config.wire import DocumentLimits
from tests.support.documents import documents, same

LIMITS = DocumentLimits()


@given(documents)
def test_json_comes_back_the_same(document: dict[str, Any]) -> None:
    text = wire.make_document(document, LIMITS, document.get("service", "s")).text

    assert text == json.dumps(document, ensure_ascii=False)
    assert same(wire.parse_json(text.encode()), document)


@settings(deadline=None, max_examples=60)
@given(documents)
def test_yaml_comes_back_the_same_from_readers_old_and_new(document: dict[str, Any]) -> None:
    text = formats.FORMATS["yaml"].write(document)

    assert same(formats.read(formats.FORMATS["yaml"], text.encode()), document)
    assert same(yaml.safe_load(text), document)  # a reader of YAML 1.1


@settings(deadline=None, max_examples=100)
@given(documents)
def test_toml_comes_back_the_same_or_is_refused_with_pointers(document: dict[str, Any]) -> None:
    try:
        text = formats.FORMATS["toml"].write(document)
    except NotRepresentable as refused:
        for problem in refused.problems:
            value = at(document, problem.pointer)
            assert value is None or abs(value) >= 2**63
        return
    assert same(tomllib.loads(text), document)


def at(document: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


@pytest.mark.parametrize(
    ("format_name", "text", "message"),
    [
        ("yaml", "a: &x 1\nb: *x", "Anchors"),
        ("yaml", "a: {<<: {b: 1}}", "Merge keys"),
        ("yaml", "a: !!python/object:os.system x", "Tags"),
        ("yaml", "%YAML 1.1\n---\na: 1", "Directives"),
        ("yaml", "a: 1\na: 2", "duplicate"),
        ("yaml", "a: 1\n---\nb: 1", "document"),
        ("yaml", "[" * 60_000, "deeper"),
        ("yaml", "a: [", "line"),
        ("yaml", "\x00", "character"),
        ("toml", "a = 1\na = 2\nb = 3", "line 2"),
        ("toml", "[" * 5_000, "line"),
        ("toml", "a = " + "[" * 5_000, "deep"),
        ("json", '{"a": 1', "line 1"),
        ("json", "[" * 100_000, "deep"),
        ("json", "\ufeff{}", "byte order mark"),
    ],
)
def test_a_dangerous_or_broken_text_is_refused_with_its_place(
    format_name: str, text: str, message: str
) -> None:
    with pytest.raises(InvalidDocument, match=message):
        formats.read(formats.FORMATS[format_name], text.encode())


@pytest.mark.parametrize(
    ("format_name", "text", "place"),
    [
        ("json", '{"a": 1,\n  "b" 2}', (2, 7)),
        ("json", '{"a": 1', (1, 8)),
        ("yaml", "a: 1\nb: *x", (2, 4)),
        ("yaml", "a:\n  b: 1\n c: 2", (3, 2)),
        ("yaml", "a: 1\nb: 010", (2, 4)),
        ("yaml", '{"a": 1,\n "b" 2}', (2, 6)),
        ("toml", "a = 1\nb = = 2", (2, 5)),
        ("toml", 'a = 1\nb = """x', (2, 9)),
        ("toml", "a = 1\n[x", (2, 3)),
    ],
)
def test_the_place_of_a_mistake_in_a_text_is_told_as_numbers(
    format_name: str, text: str, place: tuple[int, int]
) -> None:
    with pytest.raises(InvalidDocument) as refused:
        formats.read(formats.FORMATS[format_name], text.encode())

    [problem] = refused.value.problems
    assert (problem.line, problem.column) == place


@pytest.mark.parametrize(
    ("format_name", "text", "pointers"),
    [
        ("json", '{"a": NaN, "b": [1e999, -Infinity]}', ["/a", "/b/0", "/b/1"]),
        ("json", '{"a": 1, "a": 2, "b": {"c": 1, "c": 1}}', ["/a", "/b/c"]),
        ("json", '{"a": "\\ud800", "\\udfff": 1}', ["", "/a"]),
        ("json", '{"a": ' + "1" * 5_000 + "}", ["/a"]),
        ("yaml", "a: .inf\nb: 2026-01-01\n1: x", ["", "/a", "/b"]),
        ("toml", "a = inf\nb = 2026-01-01T00:00:00Z\nc = 07:30:00", ["/a", "/b", "/c"]),
    ],
)
def test_every_value_that_json_cannot_hold_is_named(
    format_name: str, text: str, pointers: list[str]
) -> None:
    value = formats.read(formats.FORMATS[format_name], text.encode())

    with pytest.raises(InvalidDocument) as refused:
        wire.make_document(value, LIMITS, "s")

    assert sorted(problem.pointer for problem in refused.value.problems) == pointers


def test_an_exceeded_limit_is_named() -> None:
    deep: Any = 1
    for _ in range(65):
        deep = {"a": deep}
    for value, rule in (
        (deep, "depth"),
        ({str(i): i for i in range(10_001)}, "keys"),
        ({"a": "x" * (1 << 20)}, "size"),
    ):
        with pytest.raises(InvalidDocument) as refused:
            wire.make_document(value, LIMITS, "s")
        assert [problem.rule for problem in refused.value.problems] == [rule]
    with pytest.raises(TooLarge):
        formats.read(formats.FORMATS["yaml"], b"a: " + b"x" * (257 << 10))


def test_env_can_be_sourced_by_a_shell() -> None:
    text = formats.FORMATS["env"].write(
        {"A": "it's $HOME", "B": 1, "C": True, "D": "a\nb", "E": ""}
    )

    assert text == "A='it'\\''s $HOME'\nB=1\nC=true\nD='a\nb'\nE=\n"


def test_properties_flatten_and_escape() -> None:
    document = {"a": {"b c": "é=\n"}, "l": [1, {"x": " y"}]}

    assert formats.FORMATS["properties"].write(document) == (
        "a.b\\ c=\\u00e9=\\n\nl[0]=1\nl[1].x=\\ y\n"
    )
    with pytest.raises(NotRepresentable) as refused:
        formats.FORMATS["properties"].write({"a.b": 1, "a": {"b": 2}, "n": None, "e": {}})
    assert [problem.pointer for problem in refused.value.problems] == ["/a/b", "/n", "/e"]
