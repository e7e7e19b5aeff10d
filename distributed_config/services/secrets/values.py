"""What the other modules here speak of: places in a document, and whose document it is."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distributed_config.wire import MASK, SECRET_KEY, escape_pointer, parse_pointer

Path = tuple[str | int, ...]


SEAL = f'{{"{SECRET_KEY}": "1.'


SEALED = re.compile(r"1\.([0-9a-f]{16})\.([A-Za-z0-9_=-]+)")


@dataclass(frozen=True)
class DocumentKey:
    """Whose document it is. ``marks`` is the service's column of that name."""

    service_id: int
    organisation: int
    name: str
    marks: str


class KeptSecret(str):
    """The mask, in place of the secret that the base has at ``path``."""

    path: Path = ()


def tokens_of(pointer: str) -> tuple[str, ...]:
    """The reference tokens of a JSON pointer."""
    return parse_pointer(pointer)


def pointer_of(path: Path) -> str:
    """The JSON pointer of a path."""
    return "".join(f"/{escape_pointer(str(key))}" for key in path)


def is_sealed(value: Any) -> bool:
    """Whether a stored value is a sealed one."""
    if not isinstance(value, dict) or value.keys() != {SECRET_KEY}:
        return False
    text = value[SECRET_KEY]
    return isinstance(text, str) and SEALED.fullmatch(text) is not None


def with_replaced(value: Any, by: Mapping[Path, Any]) -> Any:
    """``value`` with others at some places, none of them inside another; it is not changed."""
    made: dict[Path, Any] = {(): _shallow(value)}
    for path, new in by.items():
        for length in range(1, len(path)):
            if path[:length] not in made:
                parent = made[path[: length - 1]]
                parent[path[length - 1]] = made[path[:length]] = _shallow(parent[path[length - 1]])
        made[path[:-1]][path[-1]] = new
    return made[()]


def _shallow(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value)


def to_json(value: Any) -> str:
    """A value as documents are stored."""
    return json.dumps(value, ensure_ascii=False)


def kept_at(path: Path) -> KeptSecret:
    kept = KeptSecret(MASK)
    kept.path = path
    return kept
