"""What commands print: YAML, tables, times, colours and pages."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from distributed_config.client.cli.tables import table_lines
from distributed_config.client.cli.times import relative
from distributed_config.client.cli.yaml_text import as_yaml
from tests.support.server import Api
from tests.support.shells import AWKWARD, read_yaml
from tests.support.terminals import Terminal

# --- YAML

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "yes",
        "NO",
        "~",
        "null",
        "1e3",
        "0x1f",
        "1_000",
        "12:30:00",
        "2026-01-01",
        ".inf",
        "-",
        "?",
        "a: b",
        "a #b",
        "- a",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a`",
        "{",
        "[",
        "'",
        '"',
        "\\",
        "<<",
        "=",
        " a",
        "a ",
        "a\n",
        "\u2028",
        "\x85",
        "\ufeff",
        "🐎",
        "",
        "on",
        "Off",
        "y",
        "N",
        "nan",
    ]
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Whether two values are one in JSON, where 1, 1.0 and true are three."""
    return json.dumps(one) == json.dumps(other)


@given(_VALUES)
@example([[[], {}], {"a": [{"b": 1, "c": []}, [1, [2]]]}, "x", AWKWARD])
@example({"a": {"b": {"c": [{"d": {"e": 1e16}}]}}})
def test_yaml_is_read_as_what_was_written(value: Any) -> None:
    assert same(read_yaml(as_yaml(value)), value)


@given(_VALUES)
@example(1e-07)
@example({"y": "n", "on": "off"})
def test_readers_of_yaml_1_1_read_the_same(value: Any) -> None:
    assert same(yaml.safe_load(as_yaml(value)), value)


def test_yaml_is_in_blocks_and_plain_where_it_can_be() -> None:
    value = {"a": {"b": "some words", "c": [1, {"d": True, "e": None}, [2]]}, "f": [], "g": "1"}

    assert as_yaml(value) == (
        "a:\n  b: some words\n  c:\n    - 1\n    - d: true\n      e: null\n    - - 2\n"
        'f: []\ng: "1"\n'
    )


# --- times


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(seconds=61), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(hours=1, minutes=10), "1 hour ago"),
        (timedelta(days=2, hours=23), "3 days ago"),
        (timedelta(days=-3, minutes=1), "in 3 days"),
        (timedelta(seconds=-20), "in a moment"),
    ],
)
def test_a_time_is_how_long_ago(ago: timedelta, shown: str) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    assert relative((now - ago).isoformat(), now) == shown


def test_what_is_long_ago_is_a_date_and_what_never_was_is_nothing() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    assert relative("2025-03-04T12:00:00Z", now) == "2025-03-04"
    assert relative(None, now) == ""


# --- tables


def test_columns_are_aligned_for_wide_characters_too() -> None:
    rows = [{"a": "日本", "b": 1}, {"a": "abcd", "b": 2}, {"a": "e\u0301", "b": ["x", "y"]}]

    assert list(table_lines(rows)) == [
        "A     B\n",
        "日本  1\n",
        "abcd  2\n",
        "e\u0301     x y\n",
    ]


def test_a_note_cannot_move_the_cursor_or_change_colours() -> None:
    [_, line] = table_lines([{"note": "\x1b[31mred\x07\n\u202eback"}])

    assert line == "\ufffd[31mred\ufffd \ufffdback\n"


# --- on a terminal


def test_what_is_current_is_in_colour_on_a_terminal_alone(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"n": 0})
    store.put(name, {"n": 1})
    store.enable(name, 0, False)

    _, shown = terminal.typed("history", name)
    _, plain = terminal.typed("history", name, NO_COLOR="1")

    assert "\x1b[1mVERSION" in shown
    assert "\x1b[32m* current\x1b[0m" in shown
    assert "\x1b[31mdisabled\x1b[0m" in shown
    assert "\x1b" not in plain
    assert "\x1b" not in terminal.output("history", name)


def test_what_is_longer_than_the_terminal_goes_through_the_pager(
    terminal: Terminal, store: Api, name: str
) -> None:
    for n in range(12):
        store.put(name, {"n": n})
    pager = terminal.home / "pager"
    pager.write_text("#!/bin/sh\necho PAGED; cat\n")
    pager.chmod(0o755)
    pages = {"PAGER": str(pager)}

    _, long = terminal.typed("history", name, LINES="10", **pages)
    _, short = terminal.typed("history", name, LINES="50", **pages)
    _, for_programs = terminal.typed("history", name, "--output", "json", LINES="10", **pages)
    _, none = terminal.typed("history", name, LINES="10", PAGER="cat")
    _, absent = terminal.typed("history", name, LINES="10", PAGER="/absent/pager")

    assert long.startswith("PAGED\n")
    assert long.count("enabled") == 11
    assert not {"PAGED"} & {short[:5], for_programs[:5], none[:5], absent[:5]}
    assert none == absent
    assert none.count("enabled") == 11


def test_in_a_pipe_there_is_no_pager(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, {})

    assert "VERSION" in terminal.output("history", name, PAGER="false", LINES="1")
