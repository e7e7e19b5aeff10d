"""YAML means what was written, or is refused with the way to write it; reading it is cheap."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from distributed_config import formats, wire
from distributed_config.errors import InvalidDocument, Problem
from distributed_config.wire import DocumentLimits
from tests.support.documents import documents, same
from tests.support.server import Api

YAML = formats.FORMATS["yaml"]


def read(text: str) -> Any:
    return formats.read(YAML, text.encode())


def refused(text: str) -> Problem:
    """Return the one problem that ``text`` is refused for, as YAML or as a document."""
    with pytest.raises(InvalidDocument) as caught:
        wire.make_document(read(text), DocumentLimits(), "s")
    [problem] = caught.value.problems
    return problem


@pytest.mark.parametrize(
    "text",
    [
        "2024_10", "0b11", "6_5.5", "1_000.0", "0x_1f", "-0x1f", "1:30", "22:22:22", "no", "on",
        "Yes", "y", "=", "1.2.3", "NaN", "+", "-x", ".", "..", "1e", "0o8", "x…", "~x", "nul", "0x",
    ],
)  # fmt: skip
def test_text_of_the_core_schema_stays_as_it_was_written(text: str) -> None:
    assert read(f"a: {text}\n") == {"a": text}
    assert read(f"[{text}]\n") == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("", None), ("TRUE", True), ("False", False),
        ("12", 12), ("+12", 12), ("-0", 0), ("0x1F", 31), ("1.5", 1.5), ("-1.50", -1.5),
        (".5", 0.5), ("5.", 5.0), ("01.5", 1.5), ("1.0e+3", 1000.0),
        ("18446744073709551617", 2**64 + 1),
    ],
)  # fmt: skip
def test_a_value_that_all_readers_agree_on_is_that_value(text: str, value: Any) -> None:
    assert same(read(f"a: {text}\n"), {"a": value})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("017", "17"), ("-0089", "-89"), ("00", "0"), ("0o17", "15"), ("1e3", "1.0e+3"),
        ("12E-4", "12.0E-4"), ("1.5e3", "1.5e+3"), ("-.5", "-0.5"), ("+.5e+3", "0.5e+3"),
    ],
)  # fmt: skip
def test_a_number_that_readers_take_for_different_values_is_refused_with_both_ways_to_write_it(
    text: str, number: str
) -> None:
    problem = refused(f"list:\n- ok\n- {text}\n")

    assert (problem.pointer, problem.rule) == ("/list/1", "number")
    assert f'write {number} for the number, or "{text}" for the text' in problem.message
    assert isinstance(read(f"a: {number}")["a"], int | float)
    assert read(f'a: "{text}"') == {"a": text}


def test_every_ambiguous_number_is_named() -> None:
    with pytest.raises(InvalidDocument) as caught:
        read("mode: 0644\ncommit: 12e4\nzip: {berlin: 01234}\n01: x\n02: y\n")

    pointers = [problem.pointer for problem in caught.value.problems]
    assert pointers == ["/mode", "/commit", "/zip/berlin", "", ""]


@settings(deadline=None)
@given(st.text("0123456789+-._:eExobafnilTZ~", min_size=1, max_size=9))
@example("0o7")
@example("0_1.e-1")
def test_a_bare_word_is_what_other_readers_take_it_for_or_what_was_written(text: str) -> None:
    written = f"a: [{text}]"
    try:
        value = read(written)
        wire.make_document(value, DocumentLimits(), "s")
    except InvalidDocument:
        return
    assume(isinstance(value["a"][0], str | int | float))
    as_written = value == {"a": [text]}
    assert as_written or same(value, yaml.safe_load(written))


@pytest.mark.parametrize("text", ["{ ?debug: on }", "[?a, b]", "a: {?b: c}", '{?"a": b}', "{?a}"])
def test_a_question_mark_in_braces_is_never_lost(text: str) -> None:
    problem = refused(text)

    assert "put the key in quotes" in problem.message
    assert "line 1" in problem.message


def test_a_question_mark_elsewhere_is_text() -> None:
    written = '?a: {"?b": c?, "d?": "?", e?: f}\nwhat?:\n- ?x\n- [y?, {z?}]\n? key\n: value\n'

    assert read(written) == {
        "?a": {"?b": "c?", "d?": "?", "e?": "f"},
        "what?": ["?x", ["y?", {"z?": None}]],
        "key": "value",
    }


@pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029"])
@pytest.mark.parametrize("text", ["a{}: 1\n", "'a{}': 1\n", "a: 'x {} y'\n", "a: 1 # x{}b: 2\n"])
def test_a_line_end_that_only_some_readers_know_is_refused(text: str, character: str) -> None:
    problem = refused("x: y\n" + text.format(character))

    code = f"{ord(character):04x}"
    assert f'"\\u{code}"' in problem.message
    assert "line 2" in problem.message
    assert read(f'"a\\u{code}": 1') == {f"a{character}": 1}
    assert read(json.dumps({f"a{character}": 1}, ensure_ascii=False)) == {f"a{character}": 1}


@pytest.mark.parametrize(
    "text", ["[[servers]]: eu\n", "x: {[a]: b}\n", "? [a]\n: b\n", "{a: 1}: b\n"]
)
def test_a_key_that_is_no_text_is_refused_with_its_place(text: str) -> None:
    problem = refused(text)

    assert (problem.pointer, problem.rule) == ("/x" if text[0] == "x" else "", "key")
    assert "put it in quotes (line 1, column" in problem.message


@settings(deadline=None)
@given(documents, st.booleans(), st.sampled_from([None, 2]))
def test_json_is_yaml(document: dict[str, Any], ensure_ascii: bool, indent: int | None) -> None:
    text = json.dumps(document, ensure_ascii=ensure_ascii, indent=indent)

    assert same(read(text), wire.parse_json(text.encode()))


def test_escaped_surrogate_pairs_are_read_in_json_and_otherwise_refused_with_the_way() -> None:
    assert read('{"motto": "\\ud83d\\ude80 go"}\n') == {"motto": "\U0001f680 go"}
    assert read('motto: "\\U0001f680 go"\n') == {"motto": "\U0001f680 go"}

    assert "write the character itself" in refused('motto: "\\ud83d\\ude80 go"\n').message


@pytest.mark.parametrize("end", ["...", "...\n", "... # the end\n", "\n...\n# x\n", "...\n...\n"])
def test_a_document_may_say_that_it_ends(end: str) -> None:
    assert read(f"---\na: 1\n{end}") == {"a": 1}


def test_what_follows_the_end_is_refused() -> None:
    for more in ("b: 2\n", "---\nb: 2\n", "---\n"):
        with pytest.raises(InvalidDocument):
            read(f"a: 1\n...\n{more}")


def test_long_and_strange_keys_come_back() -> None:
    document = {
        "k" * 2_000: {"x" * 200: [1, {"y" * 130: []}]},
        "1:30": ["1:30", "017", "0o17", "1e3", "2024_10", "~", "", "- a", "a: b", "\u2028", "\x85"],
        "nested": [[], {}, [[1, [2]], {"a": [3]}], [{"b": 1, "c": 2}]],
    }

    assert read(YAML.write(document)) == yaml.safe_load(YAML.write(document)) == document


def test_a_text_with_very_many_parts_is_refused_before_it_is_read() -> None:
    fits = "a: [" + "1," * 100_000 + "1]"
    assert len(read(fits)["a"]) == 100_001

    problem = refused("{" + "a," * 120_000 + "}")
    assert "120001 duplicate" not in problem.message
    many = refused("- a: [" + "[]," * 80_000 + "[]]")
    assert "send it as JSON" in many.message


def test_a_local_file_may_have_more() -> None:
    text = ("a: [" + "[]," * 80_000 + "[]]").encode()

    assert len(formats.read(YAML, text, most_text=1 << 30)["a"]) == 80_001


def test_a_strange_text_is_refused_over_http_with_its_place(api: Api, name: str) -> None:
    def put(text: str) -> tuple[int, list[str]]:
        answer = api.http.put(
            "/config",
            params={"service": name},
            content=text.encode(),
            headers={"Content-Type": "application/yaml"},
        )
        problems = answer.json().get("problems", [])
        return answer.status_code, [problem["pointer"] for problem in problems]

    assert put("[[servers]]: eu\n") == (422, [""])
    assert put("{ ?debug: on, level: 1 }\n") == (422, [""])
    assert put("a: {b: 017, c: 0o17}\n") == (422, ["/a/b", "/a/c"])
    assert put("release: 2024_10\n...\n") == (200, [])
    assert api.get(name).json() == {"release": "2024_10"}
