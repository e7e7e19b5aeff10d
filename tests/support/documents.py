"""Random documents, and their comparison."""

import math
from typing import Any

from hypothesis import strategies as st

from distributed_config.wire import SECRET_KEY

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
keys = texts.filter(lambda key: key != SECRET_KEY)  # the server reserves that one
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
)
documents = st.dictionaries(keys, values, max_size=5)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in value and in type: 1, 1.0 and True are all different."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and bool(one == other)
