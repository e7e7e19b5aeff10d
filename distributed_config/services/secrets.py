"""Secrets in documents: where they are, how they are stored, and what is shown of them.

What is marked, by ``"x-secret": true`` in the definition or by a pointer of the service's own, is
stored as ``{"$secret": "1.<key>.<ciphertext>"}``: sealed, under a data key of the database, which
is itself encrypted under the server's key file. A seal is bound to the organisation, the service
and the place. What was stored before it was marked is masked as well, for as long as the mark
lasts; what is sealed stays a secret whatever the marks are.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from distributed_config.errors import InvalidDocument, Problem, SecretUnreadable
from distributed_config.json_schema import Marking, State, marking_of, may_mark
from distributed_config.models import (
    ConformanceRow,
    DefinitionRevisionRow,
    SecretKeyRow,
    ServiceRow,
)
from distributed_config.services.keyring import decrypt, encrypt, keyring_of
from distributed_config.services.stored import intact
from distributed_config.wire import MASK, SECRET_KEY, digest_of, escape_pointer, parse_stored

ON_REVEAL = "on_reveal"
"""The execution option of a connection that is called with the name of each service of which a
secret was read on it in the clear."""

ONLY_BY_DEFINITION = "[]"
"""The marks of a service that has no pointers of its own."""

Path = tuple[str | int, ...]
Pointers = frozenset[tuple[str, ...]]
"""What is left of the pointers of a service at some place in its document."""

_SEAL = f'{{"{SECRET_KEY}": "1.'
_SEALED = re.compile(r"1\.([0-9a-f]{16})\.([A-Za-z0-9_=-]+)")


@dataclass(frozen=True)
class Home:
    """Whose document it is. ``marks`` is the service's column of that name."""

    service_id: int
    organisation: int
    name: str
    marks: str


@dataclass(frozen=True)
class Marks:
    """What is secret in the documents of one service: by a schema ("": none) and by pointers."""

    schema: str = ""
    pointers: tuple[tuple[str, ...], ...] = ()


NOTHING = Marks()


@dataclass(frozen=True)
class Shown:
    """A document as it is shown.

    ``view`` tells the masked and the revealed form apart; "": there is nothing secret in it.
    """

    text: str
    view: str = ""


class Kept(str):
    """The mask, in place of the secret that the base has at ``path``."""

    path: Path = ()


# --- marks


def marks_of(connection: Connection, home: Home) -> Marks:
    """What is secret in the service's documents now."""
    if not home.marks:
        return NOTHING
    row = connection.execute(_SCHEMA, {"service": home.service_id}).one_or_none()
    return marks_by("" if row is None else intact(row.schema, row.digest), home.marks)


def marks_by(schema: str, marks: str) -> Marks:
    """The same from the definition's schema ("": none) and the service's column."""
    pointers = tuple(tokens_of(each) for each in json.loads(marks)) if marks else ()
    return Marks(schema if may_mark(schema) else "", pointers)


def tokens_of(pointer: str) -> tuple[str, ...]:
    """The reference tokens of a JSON pointer."""
    return tuple(each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:])


def pointer_of(path: Path) -> str:
    """The JSON pointer of a path."""
    return "".join(f"/{escape_pointer(str(key))}" for key in path)


def note_marks(connection: Connection, service_id: int, schema: str, now: int) -> None:
    """Remembers that something may be secret in a service, if ``schema``, now its own, marks."""
    if may_mark(schema):
        _prepare_key(connection, now)
        connection.execute(_NOTE_ONE, {"which": service_id})


def note_marks_of_all(connection: Connection, definition_id: int, schema: str, now: int) -> None:
    """The same for all services of a definition."""
    if may_mark(schema):
        _prepare_key(connection, now)
        connection.execute(_NOTE_ALL, {"definition": definition_id})


def pointers(connection: Connection, service_id: int) -> list[str]:
    """A service's own pointers."""
    marks = connection.execute(_MARKS, {"which": service_id}).scalar_one()
    found: list[str] = json.loads(marks) if marks else []
    return found


def set_pointers(connection: Connection, service_id: int, wanted: Sequence[str], now: int) -> None:
    """Gives a service exactly these pointers."""
    _prepare_key(connection, now)
    # It is never empty again: there may be what was sealed.
    connection.execute(_SET_MARKS, {"which": service_id, "to": json.dumps(wanted)})


def with_pointers(connection: Connection, definition_id: int) -> list[int]:
    """The services of a definition that have pointers of their own."""
    return list(connection.scalars(_WITH_POINTERS, {"definition": definition_id}))


def find(value: Any, marks: Marks) -> Iterator[tuple[Path, Any]]:
    """What is secret in ``value``, with its place: what is marked, and what is sealed.

    Of what is inside a secret nothing is told.
    """
    marking = marking_of(marks.schema) if marks.schema else None
    state: State = frozenset() if marking is None else marking.start
    if marking is not None and marking.is_secret(state) and isinstance(value, dict):
        # No definition that is made now marks the whole; all that is in it is as good.
        return (((name,), each) for name, each in value.items())
    return _found(value, (), marking, state, frozenset(marks.pointers))


@lru_cache(maxsize=1_024)
def _below(pointers: Pointers) -> tuple[dict[str, Pointers], Pointers]:
    """What is left of ``pointers`` below each key that they name, and below every other.

    Computed once for all that lies in one place: an array may have very many elements.
    """
    names = {each[0] for each in pointers if each and each[0] != "*"}
    named = {
        name: frozenset(each[1:] for each in pointers if each and each[0] in {name, "*"})
        for name in names
    }
    return named, frozenset(each[1:] for each in pointers if each and each[0] == "*")


def _found(
    value: Any,
    path: Path,
    marking: Marking | None,
    state: State,
    pointers: Pointers,
) -> Iterator[tuple[Path, Any]]:
    named, others = _below(pointers)
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, child in items:
        inner = state
        if marking is not None and state:
            below = marking.member if isinstance(key, str) else marking.element
            inner = below(state, key)
        left = named.get(str(key), others) if named else others
        marked = marking is not None and bool(inner) and marking.is_secret(inner)
        if marked or () in left or is_sealed(child):
            yield (*path, key), child
        elif isinstance(child, dict | list):
            yield from _found(child, (*path, key), marking, inner, left)


def is_sealed(value: Any) -> bool:
    """Whether a stored value is a sealed one."""
    if not isinstance(value, dict) or value.keys() != {SECRET_KEY}:
        return False
    text = value[SECRET_KEY]
    return isinstance(text, str) and _SEALED.fullmatch(text) is not None


def replaced(value: Any, by: Mapping[Path, Any]) -> Any:
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


def written(value: Any) -> str:
    """A value as documents are stored."""
    return json.dumps(value, ensure_ascii=False)


# --- one stored document


@dataclass(frozen=True)
class Stored:
    """A document as it is stored, and what is secret in it now."""

    connection: Connection
    home: Home
    value: dict[str, Any]
    secrets: Mapping[Path, Any]

    @cached_property
    def masked(self) -> dict[str, Any]:
        """The document as it is shown to those who may not read secrets."""
        made: dict[str, Any] = replaced(self.value, dict.fromkeys(self.secrets, MASK))
        return made

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The document in the clear. Raises SecretUnreadable."""
        made: dict[str, Any] = replaced(
            self.value, {path: self.open(path) for path in self.secrets}
        )
        return made

    def base(self, reveal: bool) -> dict[str, Any]:
        """The document for who changes it: in the clear, or with ``Kept`` in place of secrets."""
        if reveal:
            return self.plain
        made: dict[str, Any] = replaced(self.value, {path: _kept(path) for path in self.secrets})
        return made

    def open(self, path: Path) -> Any:
        """The secret at ``path``, in the clear. Raises SecretUnreadable."""
        value = self.secrets[path]
        if is_sealed(value):
            return self._opened(path, value)
        # What was marked later, as a whole, may have sealed parts.
        parts = dict(find(value, NOTHING)) if isinstance(value, dict | list) else {}
        opened = {part: self._opened((*path, *part), each) for part, each in parts.items()}
        return replaced(value, opened) if opened else value

    def _opened(self, path: Path, sealed: dict[str, str]) -> Any:
        return _opened(self.connection, self.home, path, sealed)


def stored(connection: Connection, home: Home, text: str, marks: Marks | None = None) -> Stored:
    """The document in ``text``; ``marks`` are the service's present ones."""
    value = parse_stored(text)
    now = marks_of(connection, home) if marks is None else marks
    return Stored(connection, home, value, dict(find(value, now)))


def _kept(path: Path) -> Kept:
    kept = Kept(MASK)
    kept.path = path
    return kept


class Viewer:
    """Shows stored documents: in the clear to those for whom ``reveal`` holds, masked to others."""

    def __init__(self, connection: Connection, reveal: bool) -> None:
        self._connection = connection
        self._reveal = reveal
        self._marks: dict[int, Marks] = {}

    def shown(self, home: Home, text: str) -> Shown:
        """A stored document as it is shown. Raises SecretUnreadable."""
        if not home.marks and _SEAL not in text:
            return Shown(text)
        found = stored(self._connection, home, text, self._marks_of(home))
        if not found.secrets:
            return Shown(text)
        if not self._reveal:
            masked = written(found.masked)
            # Another mark, and the same version looks another way.
            return Shown(masked, f"masked-{digest_of(masked)[:16]}")
        plain = written(found.plain)
        note: Callable[[str], None] | None = self._connection.get_execution_options().get(ON_REVEAL)
        if note is not None:
            note(home.name)
        return Shown(plain, "revealed")

    def _marks_of(self, home: Home) -> Marks:
        if home.service_id not in self._marks:
            self._marks[home.service_id] = marks_of(self._connection, home)
        return self._marks[home.service_id]


# --- a document that is to be stored


@dataclass(frozen=True)
class Checked:
    """A document as it is checked, and found by.

    ``unseen`` are the pointers of secrets that were kept by one who may not read them: ``value``
    has the mask there, and nothing is told of them. ``masked`` is what indexes may have.
    """

    value: Any
    size: int
    masked: Any
    unseen: frozenset[str] = frozenset()


def checked(text: str) -> Checked:
    """A document without secrets."""
    value = parse_stored(text)
    return Checked(value, len(text), value)


def checked_alone(text: str, schema: str) -> Checked:
    """A document of no service. The mask, where ``schema`` marks, stands for what would be kept."""
    found = checked(text)
    if not may_mark(schema):
        return found
    kept = [path for path, each in find(found.value, Marks(schema)) if each == MASK]
    return replace(found, unseen=frozenset(map(pointer_of, kept)))


def checked_stored(found: Stored, reveal: bool) -> Checked:
    """A document that is stored already."""
    if not reveal:
        unseen = frozenset(pointer_of(path) for path in found.secrets)
        return Checked(found.masked, len(written(found.masked)), found.masked, unseen)
    return Checked(found.plain, len(written(found.plain)), found.masked)


@dataclass(frozen=True)
class Draft:
    """A document that is to be stored.

    ``given`` are the secrets that came with it, in the clear. ``kept`` are those that stay as
    they are: where each is in ``base``.
    """

    home: Home
    value: dict[str, Any]
    base: Stored | None
    reveal: bool
    given: Mapping[Path, Any] = field(default_factory=dict)
    kept: Mapping[Path, Path] = field(default_factory=dict)

    @cached_property
    def masked(self) -> Any:
        """The document with the mask in place of every secret."""
        return replaced(self.value, dict.fromkeys((*self.given, *self.kept), MASK))

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
        return same and sealed and written(self.masked) == written(self.base.masked)

    def checked(self) -> Checked:
        """The document as it is checked."""
        if self.reveal or not self.kept:
            value = replaced(self.value, {path: self._open(path) for path in self.kept})
            return Checked(value, len(written(value)), self.masked)
        value = replaced(self.value, dict.fromkeys(self.kept, MASK))
        unseen = frozenset(pointer_of(path) for path in self.kept)
        return Checked(value, len(written(value)), self.masked, unseen)

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
                key = key or _newest_key(connection, now)
                new[path] = _seal(key, self.home, path, value)
        return written(replaced(self.value, new))

    def _open(self, path: Path) -> Any:
        assert self.base is not None  # nothing is kept but from a base
        return self.base.open(self.kept[path])


def draft(
    home: Home, marks: Marks, value: dict[str, Any], base: Stored | None, reveal: bool
) -> Draft:
    """``value`` as a document of the service. The mask, at a secret's place, means as it was.

    ``value`` may have ``Kept`` from ``base``. Raises InvalidDocument where a mask stands for
    nothing, or it cannot be seen for what.
    """
    marked = dict(find(value, marks))
    sources = dict(_sources(value, base))
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
        raise InvalidDocument.of(problems)
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


def _unchanged(value: Any, base: Stored) -> Iterator[Path]:
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
                if written(here) == written(base.open(path)):
                    yield path


def _sources(value: Any, base: Stored | None) -> Iterator[tuple[Path, Path | str]]:
    """Every mask in ``value``, and where in ``base`` the secret is that it stands for.

    Or, in words, why none is.
    """
    if base is None:
        return _Trace(frozenset(), frozenset()).of(value, (), None, ())
    trace = _Trace(frozenset(base.secrets), frozenset(_prefixes(base.secrets)))
    return trace.of(value, (), base.masked, ())


@dataclass(frozen=True)
class _Trace:
    """``secret`` are the places of secrets in the base, and ``around`` all that those lie in."""

    secret: frozenset[Path]
    around: frozenset[Path]

    def of(
        self, value: Any, path: Path, old: Any, at: Path | None
    ) -> Iterator[tuple[Path, Path | str]]:
        """``old``, at ``at`` in the base, is what ``value`` was; None: nobody knows what was."""
        if isinstance(value, Kept):
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
        partners = _partners(value, old)
        for i, child in enumerate(value):
            j = partners.get(i)
            element, was = (None, None) if j is None else (old[j], (*at, j))
            yield from self.of(child, (*path, i), element, was)


def _partners(new: list[Any], old: list[Any]) -> dict[int, int]:
    """Which element of ``old`` each of ``new`` was, of those with a mask in them.

    The one that looks the same. Of several that look the same each is the one at its place, if all
    of them are there. The one at its place, too, if it looks like none and that is no other's.
    Where elements came or went, places say nothing.
    """
    asking = {i: written(each) for i, each in enumerate(new) if _has_mask(each)}
    if not asking or not old:
        return {}
    alike: dict[str, list[int]] = {}
    for j, each in enumerate(old):
        alike.setdefault(written(each), []).append(j)
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


# --- sealing


def _about(key_id: str, home: Home, path: Path) -> bytes:
    """What a seal is bound to."""
    place = ["distconf secret 1", key_id, home.organisation, home.name, pointer_of(path)]
    return json.dumps(place).encode()


def _seal(under: tuple[str, bytes], home: Home, path: Path, value: Any) -> dict[str, str]:
    key_id, key = under
    text = encrypt(key, written(value).encode(), _about(key_id, home, path))
    return {SECRET_KEY: f"1.{key_id}.{text}"}


def _opened(connection: Connection, home: Home, path: Path, sealed: dict[str, str]) -> Any:
    match = _SEALED.fullmatch(sealed[SECRET_KEY])
    if match is None:
        raise SecretUnreadable()
    key = _key(connection, match[1])
    return json.loads(decrypt(key, match[2], _about(match[1], home, path)))


def _key(connection: Connection, key_id: str) -> bytes:
    def wrapped() -> str | None:
        asked = {"which": key_id}
        return connection.execute(_WRAPPED, asked).scalar_one_or_none()

    return keyring_of(connection).data_key(key_id, wrapped)


def _newest_key(connection: Connection, now: int) -> tuple[str, bytes]:
    """The data key that seals; the first one is made when it is needed."""
    key_id = connection.execute(_NEWEST).scalar_one_or_none()
    if key_id is None:
        # Writers take turns: no other makes one at the same time.
        keyring_of(connection).ensure()
        key_id = start_key(connection, now)
    return key_id, _key(connection, key_id)


def _prepare_key(connection: Connection, now: int) -> None:
    """Makes the first data key before there is anything to seal.

    What was stored before it was marked is masked from now on, and its digest has to be keyed.
    """
    # Without a key file that can be written, the first secret that is given says so.
    with suppress(SecretUnreadable):
        if oldest_key(connection) is None:
            keyring_of(connection).ensure()
            start_key(connection, now)


def start_key(connection: Connection, now: int) -> str:
    """Makes the data key that seals from here on; its id."""
    key_id = secrets.token_hex(8)
    wrapped = keyring_of(connection).wrap(key_id, secrets.token_bytes(32))
    connection.execute(insert(SecretKeyRow), {"id": key_id, "wrapped": wrapped, "created_at": now})
    return key_id


def keys(connection: Connection) -> list[str]:
    """The ids of all data keys, oldest first."""
    return list(connection.scalars(select(SecretKeyRow.id).order_by(SecretKeyRow.number)))


def unreadable_keys(connection: Connection) -> list[str]:
    """The ids of the data keys that the key file does not open, oldest first."""
    return [key_id for key_id in keys(connection) if not _opens(connection, key_id)]


def _opens(connection: Connection, key_id: str) -> bool:
    try:
        _key(connection, key_id)
    except SecretUnreadable:
        return False
    return True


def rewrap(connection: Connection, key_id: str) -> None:
    """Encrypts a data key anew, under the first key of the file. What it sealed stays as it is."""
    old = connection.execute(_WRAPPED, {"which": key_id}).scalar_one()
    keyring = keyring_of(connection)
    new = keyring.wrap(key_id, keyring.unwrap(key_id, old))
    connection.execute(_REWRAP, {"which": key_id, "to": new})


# --- keys for digests


def oldest_key(connection: Connection) -> str | None:
    """The id of the first data key; None: there never was a secret."""
    found: str | None = connection.execute(_OLDEST).scalar_one_or_none()
    return found


def digest_key(connection: Connection) -> bytes | None:
    """The key for digests that tell nothing; None: there is no data key yet.

    It is made of the oldest data key, which never changes: entity tags have to outlive a rotation.
    Raises SecretUnreadable.
    """
    key_id = oldest_key(connection)
    if key_id is None:
        return None
    return hmac.digest(_key(connection, key_id), b"distconf digests", "sha256")


def fingerprint(connection: Connection, digest: str) -> str:
    """The digest of a request as it may be stored.

    What has a secret in it could be guessed from its plain digest. So where there are secrets it
    is keyed.
    """
    key_id = connection.execute(_NEWEST).scalar_one_or_none()
    return digest if key_id is None else _keyed(connection, key_id, digest)


def is_fingerprint(connection: Connection, digest: str, kept: str) -> bool:
    """Whether ``kept`` is the fingerprint of ``digest``."""
    key_id, separator, _ = kept.partition(".")
    wanted = _keyed(connection, key_id, digest) if separator else digest
    return hmac.compare_digest(wanted, kept)


def _keyed(connection: Connection, key_id: str, digest: str) -> str:
    key = hmac.digest(_key(connection, key_id), b"distconf fingerprints", "sha256")
    return f"{key_id}.{hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()}"


# --- statements, made once


_SCHEMA = (
    select(DefinitionRevisionRow.schema, DefinitionRevisionRow.digest)
    .join(ConformanceRow, ConformanceRow.definition_id == DefinitionRevisionRow.definition_id)
    .where(ConformanceRow.service_id == bindparam("service"))
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(1)
)
_MARKS = select(ServiceRow.marks).where(ServiceRow.id == bindparam("which"))
_SET_MARKS = (
    update(ServiceRow).where(ServiceRow.id == bindparam("which")).values(marks=bindparam("to"))
)
_WITH_POINTERS = (
    select(ServiceRow.id)
    .join(ConformanceRow, ConformanceRow.service_id == ServiceRow.id)
    .where(
        ConformanceRow.definition_id == bindparam("definition"),
        ServiceRow.marks.not_in(("", ONLY_BY_DEFINITION)),
    )
)
_NOTE_ONE = (
    update(ServiceRow)
    .where(ServiceRow.id == bindparam("which"), ServiceRow.marks == "")
    .values(marks=ONLY_BY_DEFINITION)
)
_NOTE_ALL = (
    update(ServiceRow)
    .where(
        ServiceRow.marks == "",
        ServiceRow.id.in_(
            select(ConformanceRow.service_id).where(
                ConformanceRow.definition_id == bindparam("definition")
            )
        ),
    )
    .values(marks=ONLY_BY_DEFINITION)
)
_NEWEST = select(SecretKeyRow.id).order_by(SecretKeyRow.number.desc()).limit(1)
_OLDEST = select(SecretKeyRow.id).order_by(SecretKeyRow.number).limit(1)
_WRAPPED = select(SecretKeyRow.wrapped).where(SecretKeyRow.id == bindparam("which"))
_REWRAP = (
    update(SecretKeyRow)
    .where(SecretKeyRow.id == bindparam("which"))
    .values(wrapped=bindparam("to"))
)
