"""The patch between two documents leads from one to the other, whatever they hold."""

import json
import re
import time
from difflib import SequenceMatcher
from itertools import pairwise
from random import Random
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_config.services.alignment import Block, common_blocks
from distributed_config.services.diff import compare
from tests.support.server import Api

scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from([0.0, 1.0, "", "a/b~"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["", "a", "b", "c/d", "~"]), inner, max_size=4)
    ),
)
documents = st.dictionaries(st.sampled_from(["a", "b", "c", "/~"]), values, max_size=4)


@given(documents, documents)
def test_the_patch_turns_the_old_document_into_the_new(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    difference = compare(old, new, "old", "new")

    # jsonpatch takes 1, 1.0 and True for one; what is written tells them apart.
    made = jsonpatch.apply_patch(old, difference.patch)
    assert json.dumps(made, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert (difference.text == "") == (json.dumps(old) == json.dumps(new))


def test_the_same_document_has_no_difference() -> None:
    assert compare({"a": [1]}, {"a": [1]}, "old", "new").patch == []


def test_long_arrays_that_share_nothing_are_shown_one_after_the_other() -> None:
    old, new = {"a": list(range(5_000))}, {"a": list(range(9_999, 4_999, -1))}

    difference = compare(old, new, "old", "new")

    assert "\n-    0,\n" in difference.text
    assert len(difference.patch) < 5_001


@given(documents, documents)
def test_the_text_leads_from_one_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = (json.dumps(each, indent=2).split("\n") for each in (old, new))

    assert applied(compare(old, new, "old", "new").text, before) == after


def applied(text: str, before: list[str]) -> list[str]:
    """The lines that a unified diff makes of those ``before``, as `patch` does it."""
    made: list[str] = []
    position = 0
    for line in text.split("\n")[2:-1]:
        if line.startswith("@@"):
            found = re.fullmatch(r"@@ -(\d+)(,\d+)? \+\d+(,\d+)? @@", line)
            assert found, line
            start = int(found[1]) - (found[2] != ",0")
            made += before[position:start]
            position = start
        elif line.startswith("+"):
            made.append(line[1:])
        else:
            assert before[position] == line[1:]
            made += [line[1:]] if line.startswith(" ") else []
            position += 1
    return [*made, *before[position:]]


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_the_blocks_in_common_are_as_long_as_difflib_finds_them(
    old: list[str], new: list[str]
) -> None:
    found = common_blocks(old, new)

    for one, other in pairwise([Block(0, 0, 0), *found]):
        assert one.old + one.length <= other.old
        assert one.new + one.length <= other.new
    for each in found:
        same = old[each.old : each.old + each.length]
        assert same == new[each.new : each.new + each.length] != []
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    assert sum(each.length for each in found) >= sum(each.size for each in blocks)


def test_few_changes_in_a_long_array_of_few_values_are_found() -> None:
    random = Random(1)
    old = [random.randrange(3) for _ in range(100_000)]
    new = [9 if i % 2_000 == 1_000 else value for i, value in enumerate(old)]

    began = time.thread_time()
    difference = compare({"a": old}, {"a": new}, "old", "new")

    assert time.thread_time() - began < TIME
    assert (len(difference.patch), difference.text.count("@@ -"), difference.truncated) == (
        50,
        50,
        False,
    )


LONG = {
    "other values": ([i % 3 for i in range(150_000)], [i % 3 + 5 for i in range(150_000)]),
    "another order": (list(range(150_000)), list(range(150_000, 0, -1))),
    "two values": ([0] * 200_000, [1, 0] * 100_000),
    "arrays of arrays": ([[i % 7] for i in range(90_000)], [[i % 5] for i in range(90_000)]),
    "gone": ([0] * 200_000, []),
    "new": ([], [0] * 200_000),
    "objects": ([{"a": i} for i in range(30_000)], [{"a": -i} for i in range(30_000)]),
    "a long text": ("a" * 1_000_000, "b" * 1_000_000),
    "letters": (["ä"] * 100_000, ["ö\u2028"] * 100_000),
}
# Of the processor: a second is meant, and machines differ.
TIME = 4


@pytest.mark.parametrize("what", LONG)
def test_the_difference_of_long_documents_takes_bounded_time_and_space(what: str) -> None:
    old, new = LONG[what]

    began = time.thread_time()
    difference = compare({"a": old}, {"a": new}, "old", "new")

    assert time.thread_time() - began < TIME
    shown = json.dumps({"patch": difference.patch, "text": difference.text}, ensure_ascii=False)
    assert len(shown.encode()) < 2 << 20
    assert difference.truncated


def test_arrays_deep_in_each_other_are_compared_in_bounded_time() -> None:
    def deep(value: Any) -> Any:
        inner = [*([1] * 300_000), value]
        for _ in range(58):
            inner = [inner]
        return {"a": inner}

    began = time.thread_time()
    difference = compare(deep(1), deep(2), "old", "new")

    assert time.thread_time() - began < TIME
    assert difference.truncated


def test_the_answer_says_that_it_is_truncated(api: Api, name: str) -> None:
    api.put(name, {"a": [0] * 200_000})
    api.put(name, {"a": [1] * 200_000})
    api.put(name, {"a": []})

    long = api.http.get("/api/v1/diff", params={"service": name, "from": 0, "to": 1})
    short = api.http.get("/api/v1/diff", params={"service": name, "from": 2, "to": 2})

    assert long.json()["truncated"] is True
    assert len(long.content) < 2 << 20
    assert short.json() == {"patch": [], "text": "", "truncated": False}


def test_the_operations_come_in_the_order_of_the_documents() -> None:
    old = dict.fromkeys("qwertyuiop", 1)

    assert [each["path"] for each in compare(old, {}, "", "").patch] == [f"/{name}" for name in old]
