"""Two documents side by side, and the values that differ."""

import time
from typing import Any

import pytest

from distributed_config.web.difference import compare
from distributed_config.web.texts import highlighted, marked_words


def changed(old: Any, new: Any) -> list[tuple[str, str | None, str | None]]:
    return [(each.pointer, each.before, each.after) for each in compare(old, new).changes]


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1.0}, [("/a", "1", "1.0")]),
        ({"a": 1}, {"a": True}, [("/a", "1", "true")]),
        ({"a": {"b/c": 1}}, {"a": {"b/c": 2}}, [("/a/b~1c", "1", "2")]),
        ({"a": 1}, {}, [("/a", "1", None)]),
        ({}, {"a": None}, [("/a", None, "null")]),
        ({"a": [1, 3]}, {"a": [1, 2, 3]}, [("/a/1", None, "2")]),
        ({"a": [1, 2, 3]}, {"a": [1, 3]}, [("/a/1", "2", None)]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [("/a/0/b", "1", "2")]),
        ({"a": {}}, {"a": []}, [("/a", "{}", "[]")]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    ],
)
def test_the_values_that_differ_are_named_by_pointers(old: Any, new: Any, changes: Any) -> None:
    assert changed(old, new) == changes


def test_a_comma_that_comes_or_goes_is_no_change() -> None:
    rows = compare({"a": 1}, {"a": 1, "b": 2}).rows

    assert [(row.old, row.new) for row in rows if not row.same] == [(None, '  "b": 2')]
    assert [row.new_number for row in rows] == [1, 2, 3, 4]


def test_long_equal_stretches_become_one_row() -> None:
    old = {f"key-{number}": number for number in range(100)}
    rows = compare(old, {**old, "key-50": "x"}).rows

    assert len(rows) < 12
    assert [row.gap for row in rows if row.gap] == [48, 47]


def test_a_difference_of_large_documents_is_quick_and_bounded() -> None:
    old = {f"key-{number}": [number, {"a": number}] for number in range(20_000)}
    new = {name: [value[0] + 1, value[1]] for name, value in old.items()}
    started = time.process_time()
    found = compare(old, new)

    assert time.process_time() - started < 10
    assert found.count == 20_000
    assert len(found.changes) < 1_000
    assert len(found.rows) < 3_000


def test_only_the_words_that_differ_are_marked_and_everything_is_escaped() -> None:
    old, new = marked_words('"a": "<b> true"', '"a": "<b> false"')

    assert old == "&#34;a&#34;: &#34;&lt;b&gt; <mark>true</mark>&#34;"
    assert new == "&#34;a&#34;: &#34;&lt;b&gt; <mark>false</mark>&#34;"
    assert "<img" not in highlighted('"<img src=x>": "<img>", 1')
