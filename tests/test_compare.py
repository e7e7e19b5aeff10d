"""The patch between two documents leads from one to the other, whatever they hold."""

import json
from typing import Any

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from distributed_config.services.compare import compare

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


def test_long_arrays_that_share_nothing_are_shown_as_one_block() -> None:
    old, new = {"a": list(range(5_000))}, {"a": list(range(5_000, 0, -1))}

    difference = compare(old, new, "old", "new")

    assert "\n-    0,\n" in difference.text
    assert len(difference.patch) < 5_001
