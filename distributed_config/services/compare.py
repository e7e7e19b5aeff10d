"""Two documents side by side: as a JSON Patch, and as text for people.

Both are linear in the size of the documents. The usual algorithms look for the shortest difference
and need minutes for two long arrays; what is made here may be longer, and is as right.
"""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from distributed_config.wire import escape_pointer

# Lines of one side times lines of the other, up to which they are aligned line by line.
_MOST_ALIGNED = 4_000_000
_CONTEXT = 3


@dataclass(frozen=True)
class Difference:
    """``patch`` (RFC 6902) turns the old document into the new; ``text`` is a unified diff."""

    patch: list[dict[str, Any]]
    text: str


def compare(old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str) -> Difference:
    """The difference from ``old`` to ``new``; the names head the text."""
    return Difference(list(_operations("", old, new)), _text(old, new, old_name, new_name))


def _operations(pointer: str, old: Any, new: Any) -> Iterator[dict[str, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() - new.keys():
            yield {"op": "remove", "path": f"{pointer}/{escape_pointer(key)}"}
        for key, value in new.items():
            path = f"{pointer}/{escape_pointer(key)}"
            if key in old:
                yield from _operations(path, old[key], value)
            else:
                yield {"op": "add", "path": path, "value": value}
    elif isinstance(old, list) and isinstance(new, list):
        yield from _operations_on_array(pointer, old, new)
    elif type(old) is not type(new) or old != new:
        yield {"op": "replace", "path": pointer, "value": new}


def _operations_on_array(pointer: str, old: list[Any], new: list[Any]) -> Iterator[dict[str, Any]]:
    """Element by element between what both have at their beginning and at their end."""
    first, last = _common(old, new)
    changed = min(len(old), len(new)) - last
    for i in range(first, changed):
        yield from _operations(f"{pointer}/{i}", old[i], new[i])
    for i in range(len(old) - last - 1, changed - 1, -1):
        yield {"op": "remove", "path": f"{pointer}/{i}"}
    for i in range(changed, len(new) - last):
        yield {"op": "add", "path": f"{pointer}/{i}", "value": new[i]}


def _common(old: list[Any], new: list[Any]) -> tuple[int, int]:
    """How many elements are the same at the beginning, and how many behind those at the end."""
    most = min(len(old), len(new))
    first = 0
    while first < most and _same(old[first], new[first]):
        first += 1
    last = 0
    while last < most - first and _same(old[-1 - last], new[-1 - last]):
        last += 1
    return first, last


def _same(old: Any, new: Any) -> bool:
    """Whether both are written alike; 1, 1.0 and True are not."""
    return json.dumps(old) == json.dumps(new)


def _text(old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str) -> str:
    before, after = _lines(old), _lines(new)
    first, last = _common(before, after)
    removed, added = before[first : len(before) - last], after[first : len(after) - last]
    if len(removed) * len(added) <= _MOST_ALIGNED:
        lines = difflib.unified_diff(before, after, old_name, new_name, lineterm="")
        return "".join(f"{line}\n" for line in lines)
    start = max(0, first - _CONTEXT)
    context = [f" {line}" for line in before[start:first]]
    place = (
        f"@@ -{start + 1},{len(context) + len(removed)} +{start + 1},{len(context) + len(added)} @@"
    )
    block = [*context, *(f"-{line}" for line in removed), *(f"+{line}" for line in added)]
    return "\n".join([f"--- {old_name}", f"+++ {new_name}", place, *block]) + "\n"


def _lines(document: dict[str, Any]) -> list[str]:
    return json.dumps(document, indent=2, ensure_ascii=False).splitlines()
