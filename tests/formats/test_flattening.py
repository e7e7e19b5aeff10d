"""Documents as variables and properties: server and client write one form and lose nothing."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed_config.errors import NotRepresentable
from distributed_config.formats.env import as_lines, variables
from distributed_config.formats.properties import write_properties
from tests.support.documents import documents
from tests.support.server import Api, Server
from tests.support.shells import (
    REFUSED,
    Shell,
    as_the_shell_reads,
    error_sentences,
    properties_in,
)
from tests.support.source import PACKAGE, imports_of


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server.url)


def problems(document: dict[str, Any], write: Any) -> list[tuple[str, str]]:
    """Return the problems of a document that ``write`` refuses: pointers, each with its rule."""
    with pytest.raises(NotRepresentable) as refused:
        write(document)
    return [(problem.pointer, problem.rule) for problem in refused.value.problems]


def leaves(value: Any, containers: Any) -> list[Any]:
    """Return every value that is not taken apart, in the order of the document."""
    if not isinstance(value, containers) or not value:
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value
    return [leaf for child in inner for leaf in leaves(child, containers)]


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"db": {"host": "h", "ports": [1, 2]}}, {"DB_HOST": "h", "DB_PORTS": "[1, 2]"}),
        ({"hosts": [], "l": ["ö", None, {}]}, {"HOSTS": "[]", "L": '["ö", null, {}]'}),
        ({"log.root": "x", "a-b": {"c d": 1}}, {"LOG_ROOT": "x", "A_B_C_D": "1"}),
        ({"team/web": {"k:v": True}}, {"TEAM_WEB_K_V": "true"}),
        ({"n": 1.5, "off": False, "e": ""}, {"N": "1.5", "OFF": "false", "E": ""}),
        ({}, {}),
    ],
)
def test_variables_are_flat_and_their_lists_are_json(
    document: dict[str, Any], expected: dict[str, str]
) -> None:
    assert variables(document) == expected
    assert variables(document, "app_") == {f"app_{name}": text for name, text in expected.items()}


@pytest.mark.parametrize(
    ("document", "refused"),
    [
        (
            {"a": {"b": None}, "c": {}, "d": "\0"},
            [("/a/b", "null"), ("/c", "empty"), ("/d", "nul")],
        ),
        ({"café": 1, "$x": 1, "1st": 1, "": 1, "a+b": 1}, ["/café", "/$x", "/1st", "/", "/a+b"]),
        ({"ſ": 1, "ı": {"x": 1}, "ß": 1}, ["/ſ", "/ı/x", "/ß"]),  # upper() makes ASCII of these
        ({"a": {"b": 1}, "a_b": 2, "A.B": 3}, [("/a_b", "clash"), ("/A.B", "clash")]),
        ({"x": 1, "X": 2}, [("/X", "clash")]),
    ],
)
def test_what_no_variable_can_hold_is_refused_all_at_once(
    document: dict[str, Any], refused: list[Any]
) -> None:
    expected = [item if isinstance(item, tuple) else (item, "key") for item in refused]

    assert problems(document, variables) == expected


@pytest.mark.parametrize(
    ("document", "refused"),
    [
        (
            {"a": {"b": None}, "c": {}, "d": [[]]},
            [("/a/b", "null"), ("/c", "empty"), ("/d/0", "empty")],
        ),
        ({"a": {"b": 1}, "a.b": 2}, [("/a.b", "clash")]),
        ({"l": [1], "l[0]": 2}, [("/l[0]", "clash")]),
        ({"": {"x": 1}, ".x": 2}, [("/.x", "clash")]),
    ],
)
def test_what_no_property_can_hold_is_refused_all_at_once(
    document: dict[str, Any], refused: list[tuple[str, str]]
) -> None:
    assert problems(document, write_properties) == refused


def test_a_refusal_names_both_values_and_a_format_that_can_hold_them() -> None:
    for write in (variables, write_properties):
        with pytest.raises(NotRepresentable) as refused:
            write({"pool.size": 5, "pool": {"size": 50}})

        for word in ("/pool/size", "/pool.size", "format=json"):
            assert word in refused.value.detail


def test_an_empty_key_is_part_of_a_name_like_any_other() -> None:
    assert write_properties({"": {"x": 1}, "x": 2}) == ".x=1\nx=2\n"


@settings(deadline=None, max_examples=200)
@given(documents)
def test_properties_hold_every_value_or_are_refused(document: dict[str, Any]) -> None:
    try:
        written = properties_in(write_properties(document))
    except NotRepresentable:
        return
    expected = leaves(document, (dict, list)) if document else []
    assert list(written.values()) == [text_of(value) for value in expected]


names = st.text("aB_-. é1", max_size=3)
named = st.dictionaries(
    names,
    st.recursive(
        st.text(st.characters(codec="utf-8"), max_size=8) | st.integers() | st.none(),
        lambda inner: st.dictionaries(names, inner, max_size=3) | st.lists(inner, max_size=2),
    ),
    max_size=3,
)


@settings(deadline=None, max_examples=60)
@given(named)
def test_a_shell_reads_every_variable_or_it_is_refused(document: dict[str, Any]) -> None:
    try:
        text = as_lines(variables(document, "T_"))
    except NotRepresentable:
        return
    read = as_the_shell_reads('eval "$1"', text)
    expected = leaves(document, dict) if document else []
    ours = [value for name, value in read.items() if name.startswith("T_")]
    assert sorted(ours) == sorted(text_of(value) for value in expected)


names_of_env = st.text("ab.-_", min_size=1, max_size=3)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(names_of_env, st.integers() | st.dictionaries(names_of_env, st.integers())))
def test_no_two_values_become_one(document: dict[str, Any]) -> None:
    for write in (variables, lambda value: properties_in(write_properties(value))):
        try:
            texts = write(document)
        except NotRepresentable:
            continue
        assert len(texts) == len(leaves(document, dict) if document else [])


def test_a_long_key_over_many_values_is_refused_before_it_is_repeated() -> None:
    document = {"k" * 100_000: {f"n{i}": 1 for i in range(2_000)}}

    for write in (variables, write_properties):
        with pytest.raises(NotRepresentable, match="far too long"):
            write(document)


SAME = {
    "cmd": "start \\\n  --fast",
    "hosts": ["a", {"ü": "b"}],
    "db": {"host": "h", "pool.size": 5},
    "on": True,
    "lead": "  x\ttab\u2028\x85",
    "empty": "",
}


def test_server_command_line_and_sidecar_write_the_same(shell: Shell, api: Api, name: str) -> None:
    api.put(name, SAME)
    env, properties = shell.home / "app.env", shell.home / "app.properties"

    ran = shell.once(*({"service": name, "file": str(file)} for file in (env, properties)))

    assert ran.returncode == 0, ran.stderr
    assert env.read_bytes() == api.get(name, format="env").content
    assert env.read_text() == shell.output("env", name)
    assert properties.read_bytes() == api.get(name, format="properties").content
    assert properties_in(properties.read_text())["cmd"] == SAME["cmd"]
    assert properties_in(properties.read_text())["hosts[1].ü"] == "b"


@pytest.mark.parametrize("format_name", ["env", "properties"])
@pytest.mark.parametrize(
    "document", [{"pool.size": 5, "pool": {"size": 50}}, {"n": None}, {"o": {}}], ids=json.dumps
)
def test_server_and_sidecar_refuse_the_same_in_the_same_words(
    shell: Shell, api: Api, name: str, format_name: str, document: dict[str, Any]
) -> None:
    api.put(name, document)
    file = shell.home / f"app.{format_name}"

    refused = api.get(name, format=format_name)
    ran = shell.once({"service": name, "file": str(file)})

    assert (refused.status_code, refused.json()["code"]) == (406, "not-representable")
    assert ran.returncode == REFUSED
    assert refused.json()["detail"] in ran.stderr
    assert not file.exists()
    if format_name == "env":
        assert refused.json()["detail"] in error_sentences(shell.run("env", name))


def test_the_formats_of_the_client_need_only_the_standard_library() -> None:
    for module in ("env", "properties", "flattening"):
        for imported in imports_of(ast.parse((PACKAGE / "formats" / f"{module}.py").read_text())):
            parts = imported.split(".")
            if parts[0] == "distributed_config":
                assert parts[1] in {"errors", "wire"} or parts[2] == "flattening", imported
            else:
                assert parts[0] in sys.stdlib_module_names, imported


def test_a_command_of_the_client_loads_no_library() -> None:
    text = (
        "import sys; before = set(sys.modules); import distributed_config.client.cli.main;"
        "import distributed_config.client.integrations.environ;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", text], env=os.environ, capture_output=True, text=True, check=True
    )

    assert set(ran.stdout.split()) - sys.stdlib_module_names == {"distributed_config"}
