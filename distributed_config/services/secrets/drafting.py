"""Drafts: documents that are about to be stored, with masks that stand for stored secrets.

A client that reads a masked document, changes something else and writes it back must not store the
mask as the secret. So every mask is resolved to the secret that it stands for, by where it was in
the document that the new one is based on; if that is not certain, the write is refused.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from distributed_config.errors import InvalidDocument, Problem, SecretUnreadable
from distributed_config.services.secrets.marking import SecretPaths, find_secrets
from distributed_config.services.secrets.masking import StoredDocument, ValidationInput
from distributed_config.services.secrets.sealing import newest_key, seal
from distributed_config.services.secrets.values import (
    DocumentKey,
    KeptSecret,
    Path,
    is_sealed,
    pointer_of,
    to_json,
    with_replaced,
)
from distributed_config.wire import MASK

_NOTHING_THERE = "There is no secret here yet that could stay: write it in the clear."
_UNCLEAR = (
    "The array has changed, so it is unclear which secret this was: write it in the clear, or "
    "change the array with a JSON Patch."
)


@dataclass(frozen=True)
class Draft:
    """A document that is about to be stored.

    ``new`` are the secrets that came with it, in the clear. ``carried`` are those that stay as they
    are, each with its path in ``base``, the document that this one is based on.
    """

    document_key: DocumentKey
    value: dict[str, Any]
    base: StoredDocument | None
    reveal: bool
    new: Mapping[Path, Any] = field(default_factory=dict)
    carried: Mapping[Path, Path] = field(default_factory=dict)

    @cached_property
    def masked(self) -> Any:
        """The document with the mask in place of every secret."""
        return with_replaced(self.value, dict.fromkeys((*self.new, *self.carried), MASK))

    @property
    def has_secrets(self) -> bool:
        """Whether anything in the document is secret."""
        return bool(self.new or self.carried)

    @property
    def is_unchanged(self) -> bool:
        """Whether it is what is stored already, and sealed as it would be now.

        A new secret always counts as a change: an actor who may not read secrets must not learn
        whether a guess was right.
        """
        if self.base is None or self.new:
            return False
        in_place = all(path == source for path, source in self.carried.items())
        sealed = all(is_sealed(self.base.secrets[source]) for source in self.carried.values())
        return in_place and sealed and to_json(self.masked) == to_json(self.base.masked)

    def validated_secrets(self) -> dict[Path, Any]:
        """Return the value of each secret as it is validated: in the clear, or the mask.

        Masked are those that stay, for an actor who may not read them. Raises SecretUnreadable.
        """
        old = {path: self._open(path) if self.reveal else MASK for path in self.carried}
        return {**self.new, **old}

    def validation_input(self) -> ValidationInput:
        """Return the document as it is validated. Raises SecretUnreadable."""
        if self.reveal or not self.carried:
            value = with_replaced(self.value, {path: self._open(path) for path in self.carried})
            return ValidationInput(value, len(to_json(value)), self.masked)
        value = with_replaced(self.value, dict.fromkeys(self.carried, MASK))
        unseen = frozenset(pointer_of(path) for path in self.carried)
        return ValidationInput(value, len(to_json(value)), self.masked, unseen)

    def seal(self, connection: Connection, now: int) -> str:
        """Return the text to store, with every secret sealed. Raises SecretUnreadable."""
        sealed: dict[Path, Any] = {}
        key: tuple[str, bytes] | None = None
        for path in (*self.new, *self.carried):
            source = self.carried.get(path)
            # A seal is bound to its place: one that stays there is stored as it is, byte for byte.
            if source == path and self._is_of_base and is_sealed(self._stored(path)):
                sealed[path] = self._stored(path)
            else:
                value = self.new[path] if path in self.new else self._open(path)
                key = key or newest_key(connection, now)
                sealed[path] = seal(key, self.document_key, path, value)
        return to_json(with_replaced(self.value, sealed))

    @property
    def _is_of_base(self) -> bool:
        """Whether it is in the same series as the document that it is based on."""
        if self.base is None:
            return False
        old, new = self.base.document_key, self.document_key
        return (old.service_id, old.environment) == (new.service_id, new.environment)

    def _stored(self, path: Path) -> Any:
        assert self.base is not None
        return self.base.secrets[path]

    def _open(self, path: Path) -> Any:
        assert self.base is not None  # nothing is carried over without a base
        return self.base.open(self.carried[path])


def draft_document(
    document_key: DocumentKey,
    marks: SecretPaths,
    value: dict[str, Any],
    base: StoredDocument | None,
    reveal: bool,
) -> Draft:
    """Return ``value`` as a draft, with every mask at a secret place resolved to its secret.

    ``value`` may have ``KeptSecret`` from ``base``. ``reveal`` says that the actor may read
    secrets. Raises InvalidDocument if a mask stands for no secret, or it is unclear for which.
    """
    # Today's marks decide what is sealed; the base decides what a mask can stand for.
    marked = dict(find_secrets(value, marks))
    carried = _carried_secrets(value, base, marked)
    # An actor who reads secrets writes them back in the clear; the same value is no new secret.
    if reveal and base is not None:
        around = _prefixes(marked)
        carried |= {
            path: path
            for path in _unchanged(value, base)
            if path not in around and not _is_inside(path, marked)
        }
    new = {path: secret for path, secret in marked.items() if path not in carried}
    return Draft(document_key, value, base, reveal, new, carried)


def _carried_secrets(
    value: dict[str, Any], base: StoredDocument | None, marked: Mapping[Path, Any]
) -> dict[Path, Path]:
    """Return each mask that stands for a secret, with the secret's path in ``base``."""
    carried: dict[Path, Path] = {}
    problems: list[Problem] = []
    for path, source in _resolve_masks(value, base):
        is_marked = path in marked
        # A secret that is an object is sealed as one value, so a part of it cannot be carried over.
        if _is_inside(path, marked):
            message = "It is a part of a secret: write the whole secret again."
            problems.append(_problem(path, message))
        elif isinstance(source, str):
            # Where nothing is secret, nor was, three dots are just text.
            if is_marked or source != _NOTHING_THERE:
                problems.append(_problem(path, source))
        elif is_marked or source == path:
            carried[path] = source
        else:
            message = "This would move a secret to a place that is not secret. Mark it first."
            problems.append(_problem(path, message))
    if problems:
        raise InvalidDocument.from_problems(problems)
    return carried


def _prefixes(paths: Iterable[Path]) -> set[Path]:
    """Every place that one of ``paths`` lies in."""
    return {path[:length] for path in paths for length in range(len(path))}


def _is_inside(path: Path, marked: Mapping[Path, Any]) -> bool:
    """Whether ``path`` lies inside a marked place."""
    return any(path[:length] in marked for length in range(1, len(path)))


def _problem(path: Path, message: str) -> Problem:
    return Problem(pointer_of(path), message, "secret")


def _unchanged(value: Any, base: StoredDocument) -> Iterator[Path]:
    """Yield the paths of secrets of ``base`` at which ``value`` has the same in the clear."""
    for path in base.secrets:
        if not _has_path(value, path):
            continue
        # A secret that cannot be opened any more counts as changed: it is sealed again.
        with suppress(SecretUnreadable):
            if to_json(_value_at(value, path)) == to_json(base.open(path)):
                yield path


def _has_path(value: Any, path: Path) -> bool:
    for key in path:
        if isinstance(key, str):
            if not isinstance(value, dict) or key not in value:
                return False
        elif not isinstance(value, list) or key >= len(value):
            return False
        value = value[key]
    return True


def _value_at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _resolve_masks(value: Any, base: StoredDocument | None) -> Iterator[tuple[Path, Path | str]]:
    """Yield every mask in ``value`` with the path in ``base`` of the secret that it stands for.

    If it stands for none, the second is the message that says why.
    """
    if base is None:
        return _MaskResolver(frozenset(), frozenset()).resolve(value, (), None, ())
    resolver = _MaskResolver(frozenset(base.secrets), frozenset(_prefixes(base.secrets)))
    return resolver.resolve(value, (), base.masked, ())


@dataclass(frozen=True)
class _MaskResolver:
    """Walks a new document beside its base, and follows elements of arrays that have moved.

    ``secret`` are the paths of secrets in the base, and ``around`` all places that they lie in.
    """

    secret: frozenset[Path]
    around: frozenset[Path]

    def resolve(
        self, value: Any, path: Path, old: Any, old_path: Path | None
    ) -> Iterator[tuple[Path, Path | str]]:
        """Yield the masks in ``value``, which was ``old`` at ``old_path`` in the base.

        ``old_path`` None means that it is unknown which part of the base it was.
        """
        if isinstance(value, KeptSecret):
            yield path, value.path
        elif value == MASK and isinstance(value, str):
            yield path, self._source(old_path)
        elif isinstance(value, dict):
            members = old if isinstance(old, dict) else {}
            for name, child in value.items():
                child_path = None if old_path is None else (*old_path, name)
                yield from self.resolve(child, (*path, name), members.get(name), child_path)
        elif isinstance(value, list):
            yield from self._resolve_elements(value, path, old, old_path)

    def _source(self, old_path: Path | None) -> Path | str:
        if old_path is None:
            return _UNCLEAR
        return old_path if old_path in self.secret else _NOTHING_THERE

    def _resolve_elements(
        self, value: list[Any], path: Path, old: Any, old_path: Path | None
    ) -> Iterator[tuple[Path, Path | str]]:
        if old_path is None or old_path not in self.around or not isinstance(old, list):
            # Nothing in the array was secret, so which element was which makes no difference.
            for i, child in enumerate(value):
                child_path = None if old_path is None else (*old_path, i)
                yield from self.resolve(child, (*path, i), None, child_path)
            return
        matches = match_elements(value, old)
        for i, child in enumerate(value):
            j = matches.get(i)
            element, child_path = (None, None) if j is None else (old[j], (*old_path, j))
            yield from self.resolve(child, (*path, i), element, child_path)


def match_elements(new: list[Any], old: list[Any]) -> dict[int, int]:
    """Return which element of ``old`` each element of ``new`` with a mask in it was, by index.

    An element is the only old one that looks the same. Among several that look the same it is the
    one at the same index, if all of them are still at theirs. One that looks like none is the old
    one at its index, if that is nobody else's. Both need arrays of equal length: where elements
    were added or removed, an index says nothing. What is left out is unclear.
    """
    masked = {i: to_json(element) for i, element in enumerate(new) if _has_mask(element)}
    if not masked or not old:
        return {}
    old_indexes = _indexes_by_text({j: to_json(element) for j, element in enumerate(old)})
    matches: dict[int, int] = {}
    for text, indexes in _indexes_by_text(masked).items():
        same = old_indexes.get(text, [])
        if len(same) == 1:
            matches |= dict.fromkeys(indexes, same[0])
        elif same and len(new) == len(old) and same == indexes:
            matches |= zip(indexes, indexes, strict=True)
    taken = set(matches.values())
    if len(new) == len(old):
        unknown = (i for i, text in masked.items() if text not in old_indexes)
        matches |= {i: i for i in unknown if i not in taken}
    return matches


def _indexes_by_text(texts: Mapping[int, str]) -> dict[str, list[int]]:
    # Grouped once, so that arrays of many equal elements take linear time.
    indexes: dict[str, list[int]] = {}
    for index, text in texts.items():
        indexes.setdefault(text, []).append(index)
    return indexes


def _has_mask(value: Any) -> bool:
    # A loop instead of recursion: it runs for every element of an array.
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, str):
            if here == MASK:
                return True
        elif isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return False
