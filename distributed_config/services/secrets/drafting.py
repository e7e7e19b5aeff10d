"""Documents that are about to be stored: which masks in them stand for which secrets."""

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


@dataclass(frozen=True)
class Draft:
    """A document that is to be stored.

    ``given`` are the secrets that came with it, in the clear. ``kept`` are those that stay as
    they are: where each is in ``base``.
    """

    home: DocumentKey
    value: dict[str, Any]
    base: StoredDocument | None
    reveal: bool
    given: Mapping[Path, Any] = field(default_factory=dict)
    kept: Mapping[Path, Path] = field(default_factory=dict)

    @cached_property
    def masked(self) -> Any:
        """The document with the mask in place of every secret."""
        return with_replaced(self.value, dict.fromkeys((*self.given, *self.kept), MASK))

    @property
    def has_secrets(self) -> bool:
        return bool(self.given or self.kept)

    @property
    def is_as_before(self) -> bool:
        """Whether it is what is stored, and stored as it would be now.

        Who may not read a secret, and gives one, is not told whether it is the same.
        """
        if self.base is None or self.given:
            return False
        same = all(path == source for path, source in self.kept.items())
        sealed = all(is_sealed(self.base.secrets[source]) for source in self.kept.values())
        return same and sealed and to_json(self.masked) == to_json(self.base.masked)

    def checked(self) -> ValidationInput:
        """The document as it is checked."""
        if self.reveal or not self.kept:
            value = with_replaced(self.value, {path: self._open(path) for path in self.kept})
            return ValidationInput(value, len(to_json(value)), self.masked)
        value = with_replaced(self.value, dict.fromkeys(self.kept, MASK))
        unseen = frozenset(pointer_of(path) for path in self.kept)
        return ValidationInput(value, len(to_json(value)), self.masked, unseen)

    def sealed(self, connection: Connection, now: int) -> str:
        """The document as it is stored."""
        new: dict[Path, Any] = {}
        key: tuple[str, bytes] | None = None
        for path in (*self.given, *self.kept):
            source = self.kept.get(path)
            if source == path and self.base is not None and is_sealed(self.base.secrets[path]):
                new[path] = self.base.secrets[path]
            else:
                value = self.given[path] if path in self.given else self._open(path)
                key = key or newest_key(connection, now)
                new[path] = seal(key, self.home, path, value)
        return to_json(with_replaced(self.value, new))

    def _open(self, path: Path) -> Any:
        assert self.base is not None  # nothing is kept but from a base
        return self.base.open(self.kept[path])


def draft_document(
    home: DocumentKey,
    marks: SecretPaths,
    value: dict[str, Any],
    base: StoredDocument | None,
    reveal: bool,
) -> Draft:
    """``value`` as a document of the service. The mask, at a secret's place, means as it was.

    ``value`` may have ``KeptSecret`` from ``base``. Raises InvalidDocument where a mask stands for
    nothing, or it cannot be seen for what.
    """
    marked = dict(find_secrets(value, marks))
    sources = dict(_resolve_masks(value, base))
    problems: list[Problem] = []
    given: dict[Path, Any] = {}
    kept: dict[Path, Path] = {}
    for path, source in sources.items():
        at_secret = path in marked
        if _is_inside(path, marked):
            problems.append(_fault(path, "It is a part of a secret: give all of that anew."))
        elif isinstance(source, str):
            # Where nothing is secret, nor was, three dots are three dots.
            if at_secret or source != _NOTHING_THERE:
                problems.append(_fault(path, source))
        elif at_secret or source == path:
            kept[path] = source
        else:
            message = "It would carry a secret to where nothing is secret. Mark that place first."
            problems.append(_fault(path, message))
    if problems:
        raise InvalidDocument.from_problems(problems)
    given = {path: each for path, each in marked.items() if path not in kept}
    if reveal and base is not None:
        around = _prefixes(marked)
        same = [
            path
            for path in _unchanged(value, base)
            if path not in around and not _is_inside(path, marked)
        ]
        kept |= {path: path for path in same}
        given = {path: each for path, each in given.items() if path not in kept}
    return Draft(home, value, base, reveal, given, kept)


def _prefixes(paths: Iterable[Path]) -> set[Path]:
    """Every place that one of ``paths`` lies in."""
    return {path[:length] for path in paths for length in range(len(path))}


def _is_inside(path: Path, marked: Mapping[Path, Any]) -> bool:
    """Whether ``path`` lies in a marked place."""
    return any(path[:length] in marked for length in range(1, len(path)))


_NOTHING_THERE = "There is no secret here yet, that could stay: give it in the clear."


_UNCLEAR = (
    "The array is another, and which secret this was cannot be seen: give it in the clear, or "
    "change the array with a JSON Patch."
)


def _fault(path: Path, message: str) -> Problem:
    return Problem(pointer_of(path), message, "secret")


def _unchanged(value: Any, base: StoredDocument) -> Iterator[Path]:
    """The places of secrets of ``base`` at which ``value`` has the same in the clear."""
    for path in base.secrets:
        here = value
        for key in path:
            fits = isinstance(here, dict) if isinstance(key, str) else isinstance(here, list)
            there = fits and (key in here if isinstance(key, str) else key < len(here))
            if not there:
                break
            here = here[key]
        else:
            # One that does not open any more is another.
            with suppress(SecretUnreadable):
                if to_json(here) == to_json(base.open(path)):
                    yield path


def _resolve_masks(value: Any, base: StoredDocument | None) -> Iterator[tuple[Path, Path | str]]:
    """Every mask in ``value``, and where in ``base`` the secret is that it stands for.

    Or, in words, why none is.
    """
    if base is None:
        return _MaskResolver(frozenset(), frozenset()).of(value, (), None, ())
    trace = _MaskResolver(frozenset(base.secrets), frozenset(_prefixes(base.secrets)))
    return trace.of(value, (), base.masked, ())


@dataclass(frozen=True)
class _MaskResolver:
    """``secret`` are the places of secrets in the base, and ``around`` all that those lie in."""

    secret: frozenset[Path]
    around: frozenset[Path]

    def of(
        self, value: Any, path: Path, old: Any, at: Path | None
    ) -> Iterator[tuple[Path, Path | str]]:
        """``old``, at ``at`` in the base, is what ``value`` was; None: nobody knows what was."""
        if isinstance(value, KeptSecret):
            yield path, value.path
        elif value == MASK and isinstance(value, str):
            yield path, _UNCLEAR if at is None else at if at in self.secret else _NOTHING_THERE
        elif isinstance(value, dict):
            members = old if isinstance(old, dict) else {}
            for name, child in value.items():
                was = None if at is None else (*at, name)
                yield from self.of(child, (*path, name), members.get(name), was)
        elif isinstance(value, list):
            yield from self._of_elements(value, path, old, at)

    def _of_elements(
        self, value: list[Any], path: Path, old: Any, at: Path | None
    ) -> Iterator[tuple[Path, Path | str]]:
        if at is None or at not in self.around or not isinstance(old, list):
            # Nothing in the array was secret: places are as good as any.
            for i, child in enumerate(value):
                yield from self.of(child, (*path, i), None, None if at is None else (*at, i))
            return
        partners = _match_elements(value, old)
        for i, child in enumerate(value):
            j = partners.get(i)
            element, was = (None, None) if j is None else (old[j], (*at, j))
            yield from self.of(child, (*path, i), element, was)


def _match_elements(new: list[Any], old: list[Any]) -> dict[int, int]:
    """Which element of ``old`` each of ``new`` was, of those with a mask in them.

    The one that looks the same. Of several that look the same each is the one at its place, if all
    of them are there. The one at its place, too, if it looks like none and that is no other's.
    Where elements came or went, places say nothing.
    """
    asking = {i: to_json(each) for i, each in enumerate(new) if _has_mask(each)}
    if not asking or not old:
        return {}
    alike: dict[str, list[int]] = {}
    for j, each in enumerate(old):
        alike.setdefault(to_json(each), []).append(j)
    wanted: dict[str, list[int]] = {}
    for i, look in asking.items():
        wanted.setdefault(look, []).append(i)
    found: dict[int, int] = {}
    for look, places in wanted.items():
        same = alike.get(look, [])
        if len(same) == 1:
            found |= dict.fromkeys(places, same[0])
        elif same and len(new) == len(old) and same == places:
            found |= zip(places, places, strict=True)
    taken = set(found.values())
    if len(new) == len(old):
        found |= {i: i for i, look in asking.items() if look not in alike and i not in taken}
    return found


def _has_mask(value: Any) -> bool:
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
