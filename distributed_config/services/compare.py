"""Two documents side by side: as a JSON Patch, and as text for people."""

import difflib
import json
from dataclasses import dataclass
from typing import Any

import jsonpatch


@dataclass(frozen=True)
class Difference:
    """``patch`` (RFC 6902) turns the old document into the new; ``text`` is a unified diff."""

    patch: list[dict[str, Any]]
    text: str


def compare(old: dict[str, Any], new: dict[str, Any], old_name: str, new_name: str) -> Difference:
    """The difference from ``old`` to ``new``; the names head the text."""
    lines = difflib.unified_diff(
        _lines(old), _lines(new), fromfile=old_name, tofile=new_name, lineterm=""
    )
    return Difference(list(jsonpatch.make_patch(old, new)), "".join(f"{line}\n" for line in lines))


def _lines(document: dict[str, Any]) -> list[str]:
    return json.dumps(document, indent=2, ensure_ascii=False).splitlines()
