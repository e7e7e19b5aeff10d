"""The words of this room: places in a document, sealed values, and whose document it is."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distributed_config.wire import MASK, SECRET_KEY, escape_pointer, parse_pointer

Path = tuple[str | int, ...]
"""The keys and indexes that lead to a place in a document."""

SEAL = f'{{"{SECRET_KEY}": "1.'
"""How a sealed value begins in the text of a stored document."""
# The version comes first, so that a later format can be told apart.
SEALED = re.compile(r"1\.([0-9a-f]{16})\.([A-Za-z0-9_=-]+)")


@dataclass(frozen=True)
class DocumentKey:
    """The series that a document belongs to. ``secret_marks`` is the column of ServiceRow."""

    service_id: int
    organisation: int
    name: str
    secret_marks: str
    environment: str


class KeptSecret(str):
    """The mask, standing for the secret at ``path`` of the document that a new one is based on.

    A patch may move it: it remembers where its secret was.
    """

    path: Path = ()


def tokens_of(pointer: str) -> tuple[str, ...]:
    """The reference tokens of a JSON pointer."""
    return parse_pointer(pointer)


def pointer_of(path: Path) -> str:
    """Return the JSON pointer of a path."""
    return "".join(f"/{escape_pointer(str(key))}" for key in path)


def is_sealed(value: Any) -> bool:
    """Whether a stored value is a sealed secret."""
    if not isinstance(value, dict) or value.keys() != {SECRET_KEY}:
        return False
    text = value[SECRET_KEY]
    return isinstance(text, str) and SEALED.fullmatch(text) is not None


def is_sealed_text(text: str) -> bool:
    """Whether the text of a stored document may have a sealed secret in it."""
    return SEAL in text


def with_replaced(value: Any, by: Mapping[Path, Any]) -> Any:
    """Return a copy of ``value`` with other values at some paths, none of them inside another.

    It copies only the containers on these paths, each once, and never changes ``value``.
    """
    copies: dict[Path, Any] = {(): _shallow(value)}
    for path, new in by.items():
        for length in range(1, len(path)):
            if path[:length] not in copies:
                parent = copies[path[: length - 1]]
                parent[path[length - 1]] = copies[path[:length]] = _shallow(
                    parent[path[length - 1]]
                )
        copies[path[:-1]][path[-1]] = new
    return copies[()]


def _shallow(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value)


def to_json(value: Any) -> str:
    """Return ``value`` as documents are stored: Python's separators, and non-ASCII as it is."""
    # The digest covers these bytes, so this never changes.
    return json.dumps(value, ensure_ascii=False)


def mask_of(path: Path) -> KeptSecret:
    """Return the mask for the secret at ``path``."""
    mask = KeptSecret(MASK)
    mask.path = path
    return mask
