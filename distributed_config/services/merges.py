"""Three-way merges: what somebody made of an earlier version, with what is current by now.

Objects are merged by key; any other value is one place. A place that only one side changed is as
that side made it. Where both changed it, each in another way, it is contested.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from distributed_config.errors import SecretUnreadable
from distributed_config.services import secrets
from distributed_config.services.diff import ABSENT, places
from distributed_config.services.documents.series import Series
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import StoredDocument
from distributed_config.services.secrets.stand_ins import StandIns
from distributed_config.services.secrets.values import Path
from distributed_config.services.versions import CurrentDocument, current_document, stored_document
from distributed_config.wire import MASK, escape_pointer


@dataclass(frozen=True)
class Contested:
    """A place that both sides changed. A value is ABSENT where there is none."""

    pointer: str
    base: Any
    mine: Any
    current: Any


@dataclass(frozen=True)
class Merge:
    """The result of a merge.

    ``current`` is what it was made with. ``document`` has the current value in contested places.
    Secrets are masked, but for those that came with the request.
    """

    current: CurrentDocument
    document: dict[str, Any]
    contested: list[Contested]


def merge_with_current(reader: Reader, series: Series, base: int, mine: dict[str, Any]) -> Merge:
    """Return the merge of ``mine``, made from version ``base``, with the current document.

    A mask in ``mine`` stands for the secret that ``base`` has there. Nothing is stored. Raises
    ServiceNotFound, VersionNotFound, VersionDeleted or NoCurrentVersion.
    """
    # As they are stored: to tell whether a secret changed, it need not be opened.
    before = stored_document(reader, series, base)
    current = current_document(reader, series)
    stand_ins = StandIns()
    changed = _with_words(stand_ins, reader.visibility.reads_secrets, mine, before)
    contested: list[Contested] = []
    document = merge(
        stand_ins.replace(before), changed, stand_ins.replace(current.document), contested
    )
    masked = [Contested(*stand_ins.mask([*_parts(place)])) for place in contested]
    return Merge(current, stand_ins.restore(document), masked)


def merge(base: Any, mine: Any, current: Any, contested: list[Contested], pointer: str = "") -> Any:
    """Return ``current`` with what ``mine`` changed in ``base``, and add to ``contested``."""
    if isinstance(mine, dict) and isinstance(current, dict) and isinstance(base, dict | _ABSENT):
        return _merge_objects({} if base is ABSENT else base, mine, current, contested, pointer)
    # Where both made the same change, there is nothing to contest.
    if _is_same(mine, base) or _is_same(mine, current):
        return current
    if not _is_same(current, base):
        contested.append(Contested(pointer, base, mine, current))
        # The published value: whoever publishes the merge unread overwrites nobody.
        return current
    return mine


_ABSENT = type(ABSENT)


def _merge_objects(
    base: dict[str, Any],
    mine: dict[str, Any],
    current: dict[str, Any],
    contested: list[Contested],
    pointer: str,
) -> dict[str, Any]:
    # Key by key, so that two people who change different keys of one object are both right.
    # The order of keys is a change as well: it is mine unless the other side changed it.
    order = {**mine, **current} if list(current) == list(base) else {**current, **mine}
    merged = {}
    for key in order:
        value = merge(
            base.get(key, ABSENT),
            mine.get(key, ABSENT),
            current.get(key, ABSENT),
            contested,
            f"{pointer}/{escape_pointer(key)}",
        )
        if value is not ABSENT:
            merged[key] = value
    return merged


def _is_same(one: Any, other: Any) -> bool:
    # As JSON has it: to Python 1, 1.0 and True are equal.
    return next(places(one, other), None) is None


def _parts(place: Contested) -> Iterator[Any]:
    yield from (place.pointer, place.base, place.mine, place.current)


def _with_words(
    stand_ins: StandIns, reveal: bool, mine: dict[str, Any], base: StoredDocument
) -> dict[str, Any]:
    """Return ``mine`` with a word in place of each secret that it keeps, and that it brings."""
    marks = secrets.marks_of(base.connection, base.document_key)
    brought = dict(secrets.find_secrets(mine, marks))
    retained = {
        path: stand_ins.of_stored(stored)
        for path, stored in base.secrets.items()
        if _keeps(_value_at(mine, path), path, base, reveal)
    }
    # A secret may lie in another: what stays comes first.
    around = {path[:length] for path in retained for length in range(len(path) + 1)}
    new = {
        path: stand_ins.of_brought(value)
        for path, value in brought.items()
        if path not in around and not any(path[:length] in retained for length in range(len(path)))
    }
    words: dict[str, Any] = secrets.with_replaced(mine, {**retained, **new})
    return words


def _keeps(value: Any, path: Path, base: StoredDocument, reveal: bool) -> bool:
    """Whether ``value`` is the mask, or the same in the clear from somebody who may read it."""
    # A mask where the base has a secret can mean nothing else.
    if value == MASK:
        return True
    if reveal and value is not ABSENT:
        with suppress(SecretUnreadable):
            return secrets.to_json(value) == secrets.to_json(base.open(path))
    return False


def _value_at(value: Any, path: Path) -> Any:
    """Return what is at ``path``; ABSENT if there is nothing."""
    for key in path:
        there = value.keys() if isinstance(value, dict) else range(_length(value))
        if key not in there:
            return ABSENT
        value = value[key]
    return value


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0
