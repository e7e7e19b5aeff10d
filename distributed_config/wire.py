"""How names, documents, entity tags, cursors and times are written. Standard library only.

Reading is strict: what two readers could understand differently is refused. Every fault of a
document is found, and each carries a JSON pointer.
"""

import base64
import hashlib
import json
import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, TypeVar, cast

from distributed_config.errors import EpochChanged, Invalid, InvalidDocument, Problem

Key = TypeVar("Key", str, int)
UTC = timezone.utc  # noqa: UP017  # the client runs on Python 3.10, which has no datetime.UTC

NAME_LENGTH = 200
MASK = "•••"
"""What is shown in place of a secret."""
SECRET_KEY = "$secret"  # noqa: S105  # the key under which a sealed value stands, and no secret
# The longest integer that is kept exactly. CPython refuses to print one of over 4,300 digits.
INTEGER_DIGITS = 1_000
_TOO_LARGE = 10**INTEGER_DIGITS
_SURELY_KEPT = sys.float_info.dig

# Documents lie some levels deep in the bodies that hold several; see DISTCONF_DOCUMENT_DEPTH.
_BODY_DEPTH = 256
_POINTER_LENGTH = 2_000

_SEGMENT = re.compile(r"\w[\w.\-]*")
MOST_REVISION = 2**63 - 1
_POSITION = re.compile(r"([0-9]{1,19})(?:\.([0-9A-Za-z]{1,64}))?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class DocumentLimits:
    """What a document may not exceed; see the settings of the same names."""

    size: int = 1 << 20
    depth: int = 64
    keys: int = 10_000


@dataclass(frozen=True)
class Document:
    """A JSON object as it is stored: ``text`` is what is served, ``digest`` its SHA-256 in hex."""

    text: str
    digest: str

    @property
    def value(self) -> dict[str, Any]:
        """The object itself, parsed anew at each call."""
        return parse_stored(self.text)


# --- names


def check_name(name: str, what: str = "service") -> str:
    """``name`` if it follows the rules for a service's name. Raises Invalid with the rule broken.

    Letters and digits of any script and ``_ . -``, in segments joined by ``/``; each segment
    starts with a letter, a digit or ``_``; normalised (NFC); at most 200 characters.
    """
    fault = fault_of_name(name)
    if fault:
        raise Invalid.of([Problem("", f"{_short(name)!r}: {fault}", "name", what)])
    return name


def fault_of_name(name: str) -> str | None:
    """What is wrong with ``name`` as a service's; None: nothing."""
    if not name:
        return "a name is needed, as in ?service=web."
    if len(name) > NAME_LENGTH:
        return f"a name has at most {NAME_LENGTH} characters, this one has {len(name)}."
    if unicodedata.normalize("NFC", name) != name:
        return "a name is written in Unicode's composed form (NFC); normalise it before sending."
    if not all(_SEGMENT.fullmatch(segment) for segment in name.split("/")):
        return (
            "a name is made of letters, digits and _ . - in segments joined by /, "
            "and each segment starts with a letter, a digit or _."
        )
    return None


def check_note(note: str, longest: int) -> str:
    """``note`` if it is short enough and holds no control characters. Raises Invalid."""
    if len(note) > longest:
        raise Invalid.of([Problem("", f"A note has at most {longest} characters.", "note", "note")])
    if _CONTROL.search(note) or not _encodable(note):
        message = "A note holds text, without control characters."
        raise Invalid.of([Problem("", message, "note", "note")])
    return note


# --- places in a document


Place = tuple["Place", str | int] | None
"""Where a value stands: the place of what it is in, and its key there; None is the whole.

A pointer is written only where there is something to tell: a document of one long key and many
values would need gigabytes for all of them.
"""


def inside(place: Place, value: Any) -> list[tuple[Place, Any]]:
    """What is in an object or an array, each with its place; nothing is in anything else."""
    if isinstance(value, Mapping):
        return [((place, str(key)), child) for key, child in value.items()]
    if isinstance(value, list):
        return [((place, i), child) for i, child in enumerate(value)]
    return []


def pointer_to(place: Place) -> str:
    """The JSON pointer of ``place``; cut where it is absurdly long."""
    tokens: list[str] = []
    while place is not None:
        place, key = place
        tokens.append(escape_pointer(str(key)))
    pointer = "".join(f"/{token}" for token in reversed(tokens))
    return pointer if len(pointer) <= _POINTER_LENGTH else pointer[:_POINTER_LENGTH] + "…"


def escape_pointer(token: str) -> str:
    """One reference token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def in_order(problems: Iterable[Problem], value: Any) -> list[Problem]:
    """``problems`` in the order in which a reader of ``value`` comes to their places.

    Places that are not there, as of what is missing, come last in what they would be in.
    """
    orders: dict[int, dict[str, int]] = {}

    def position(problem: Problem) -> list[int]:
        here, found = value, []
        for token in problem.pointer.split("/")[1:]:
            keys = _keys_of(here)
            order = orders.setdefault(id(here), {})
            if not order:
                order.update((escape_pointer(str(key)), i) for i, key in enumerate(keys))
            place = order.get(token, len(keys))
            found.append(place)
            here = here[keys[place]] if place < len(keys) else None
        return found

    return sorted(problems, key=position)


def _keys_of(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return list(value)
    return range(len(value)) if isinstance(value, list) else ()


# --- documents


def document_of(value: Any, limits: DocumentLimits, service: str) -> Document:
    """``value`` as ``service`` will store it. Raises InvalidDocument with every problem in it.

    A document need not say whose it is; where it does, under the key ``service``, it must be so.
    """
    problems = list(_faults(value, limits))
    if isinstance(value, dict) and value.get("service", service) != service:
        message = f"It must be {service!r}, the service that is written to, or be left out."
        problems = _with(problems, Problem("/service", message, "service"), list(value))
    document = _as_stored(value, limits, problems)
    # Within a string the quotes would be escaped: this is a key.
    if f'"{SECRET_KEY}": ' in document.text:
        raise _invalid_document(list(_faults_of_secret_keys(value)))
    return document


def _with(problems: list[Problem], one: Problem, keys: Sequence[Any]) -> list[Problem]:
    """``problems`` of a document with these keys, and ``one`` more where its key stands."""
    before = {f"/{escape_pointer(str(key))}" for key in keys[: keys.index("service")]}
    at = 0
    while at < len(problems) and _first_part(problems[at].pointer) in before:
        at += 1
    return [*problems[:at], one, *problems[at:]]


def _first_part(pointer: str) -> str:
    return f"/{pointer.split('/', 2)[1]}" if pointer else ""


def object_of(value: Any, limits: DocumentLimits) -> Document:
    """``value``, a JSON object that is no configuration, as it is stored.

    Raises InvalidDocument with every problem in it.
    """
    return _as_stored(value, limits, list(_faults(value, limits)))


def _as_stored(value: Any, limits: DocumentLimits, problems: list[Problem]) -> Document:
    if problems:
        raise _invalid_document(problems)
    text = json.dumps(value, ensure_ascii=False)
    encoded = text.encode()
    if len(encoded) > limits.size:
        raise _invalid_document(
            [Problem("", f"It has {len(encoded)} bytes, of at most {limits.size}.", "size")]
        )
    return Document(text, digest_of(text))


def digest_of(text: str) -> str:
    """The SHA-256 of a stored document, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_stored(text: str) -> dict[str, Any]:
    """The object in a stored document; it was checked when it was stored."""
    value: dict[str, Any] = json.loads(text)
    return value


def parse_json(data: bytes) -> Any:
    """The JSON value in ``data``, strictly (RFC 8259 in UTF-8, nothing more).

    Raises InvalidDocument where it is not JSON at all. What JSON leaves open (a key twice, NaN,
    a number too large) is marked in the value, where ``document_of`` finds it with its place.
    """
    text = decode(data)
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_Unreadable,
            parse_int=_integer,
            parse_float=exact_float,
        )
    except RecursionError:
        raise _invalid_document([Problem("", "It is nested far too deep.", "depth")]) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _invalid_document([Problem("", f"{error.msg} at {place}.", "json")]) from None


def decode(data: bytes) -> str:
    """``data`` as text. Raises InvalidDocument unless it is UTF-8 without a byte order mark."""
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _invalid_document(
            [Problem("", "It starts with a byte order mark; send plain UTF-8.", "encoding")]
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid_document(
            [Problem("", f"Byte {error.start} is not UTF-8; send plain UTF-8.", "encoding")]
        ) from None


def _invalid_document(problems: list[Problem]) -> InvalidDocument:
    return InvalidDocument.of(problems)


class _Unreadable:
    """Stands where a number was that JSON cannot hold or nobody could read back."""

    def __init__(self, text: str, fault: str = "is not a number that JSON can hold.") -> None:
        self.text = text
        self.fault = fault

    def __repr__(self) -> str:
        return self.text


class _Repeated(dict[str, Any]):
    """An object in which keys were given more than once."""

    names: tuple[str, ...] = ()


def repeated_keys(value: Any) -> tuple[str, ...]:
    """The keys that an object from ``parse_json`` was given more than once."""
    return value.names if isinstance(value, _Repeated) else ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    repeated = _Repeated(made)
    counts = Counter(name for name, _ in pairs)
    repeated.names = tuple(name for name, count in counts.items() if count > 1)
    return repeated


def _integer(text: str) -> Any:
    return int(text) if len(text) <= INTEGER_DIGITS else _Unreadable(text)


def exact_float(text: str) -> Any:
    """The number in ``text``, or what ``document_of`` refuses if it could not be kept as it is.

    Documents are read as floats by nearly everybody, and so are kept as such. A number with more
    digits than a float gives back, or one nearer to 0, would silently become another one.
    """
    if len(text) > INTEGER_DIGITS:
        return _Unreadable(text, f"has more than {INTEGER_DIGITS} digits.")
    number = float(text)
    if not math.isfinite(number):
        return _Unreadable(text)
    if _is_exact(text, number):
        return number
    return _Unreadable(
        text, f"would be changed to {number!r}: write it so, or all its digits as text."
    )


def _is_exact(text: str, number: float) -> bool:
    """Whether ``number``, in the few digits in which it is written, has the value of ``text``."""
    mantissa, exponent, _ = text.lower().partition("e")
    # A float gives back 15 digits, whichever they are; a larger document has very many of these.
    if not exponent and len(mantissa) <= _SURELY_KEPT:
        return True
    if number == 0:
        return not mantissa.strip("+-0._")
    return Decimal(text) == Decimal(repr(number))


def refuse_ambiguous(value: Any) -> None:
    """Raises InvalidDocument if ``value``, from ``parse_json``, can be understood in two ways."""
    limits = DocumentLimits(depth=_BODY_DEPTH, keys=sys.maxsize)
    problems = list(_faults_inside(value, limits))
    if problems:
        raise _invalid_document(problems)


def _faults(value: Any, limits: DocumentLimits) -> Iterator[Problem]:
    """Every fault of ``value`` as a document, in the order in which a reader meets them."""
    if not isinstance(value, dict):
        kind = _kind(value)
        yield Problem("", f"A configuration is a JSON object, and this is {kind}.", "type")
        return
    yield from _faults_inside(value, limits)


def _faults_inside(value: Any, limits: DocumentLimits) -> Iterator[Problem]:
    keys = 0
    waiting: list[tuple[Place, Any, int]] = [(None, value, 1)]
    while waiting:
        place, here, depth = waiting.pop()
        yield from _faults_of_scalar(place, here)
        if not isinstance(here, dict | list):
            continue
        if depth > limits.depth:
            yield Problem(pointer_to(place), f"It is nested deeper than {limits.depth}.", "depth")
            continue
        if isinstance(here, dict):
            keys += len(here)
            if keys > limits.keys:
                message = f"The document has more than {limits.keys} keys."
                yield Problem(pointer_to(place), message, "keys")
                return
            yield from _faults_of_keys(place, here)
        waiting.extend((inner, child, depth + 1) for inner, child in reversed(inside(place, here)))


def _faults_of_keys(place: Place, here: dict[Any, Any]) -> Iterator[Problem]:
    for name in repeated_keys(here):
        yield Problem(pointer_to((place, name)), "The key is given more than once.", "duplicate")
    for key in here:
        if not isinstance(key, str):
            message = f"The key {_short(repr(key))} is not text; put it in quotes."
            yield Problem(pointer_to(place), message, "key")
        elif not _encodable(key):
            yield Problem(pointer_to(place), "A key holds half of a surrogate pair.", "encoding")


def _faults_of_secret_keys(value: Any) -> Iterator[Problem]:
    waiting: list[tuple[Place, Any]] = [(None, value)]
    while waiting:
        place, here = waiting.pop()
        if isinstance(here, dict) and SECRET_KEY in here:
            message = f"The key {SECRET_KEY!r} is the server's own; use another."
            yield Problem(pointer_to((place, SECRET_KEY)), message, "secret")
        waiting.extend(reversed(inside(place, here)))


def _faults_of_scalar(place: Place, here: Any) -> Iterator[Problem]:
    fault: tuple[str, str] | None = None
    if isinstance(here, str):
        if not _encodable(here):
            fault = "It holds half of a surrogate pair.", "encoding"
    elif isinstance(here, _Unreadable):
        fault = f"{_short(here.text)} {here.fault}", "number"
    elif isinstance(here, float):
        if not math.isfinite(here):
            fault = f"{here} is not a number that JSON can hold.", "number"
    elif isinstance(here, int):
        if abs(here) >= _TOO_LARGE:
            fault = f"It has more than {INTEGER_DIGITS} digits.", "number"
    elif here is not None and not isinstance(here, dict | list):
        fault = f"{_kind(here)} has no place in JSON; write it as text.", "type"
    if fault is not None:
        yield Problem(pointer_to(place), *fault)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, _Unreadable | int | float) and not isinstance(value, bool):
        return "a number"
    kinds = {list: "an array", str: "a string", bool: "a boolean"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


# --- what is hashed


Field = str | int | bytes | None


def framed(fields: Iterable[Field]) -> bytes:
    """``fields`` in a row, each with its length before it, as in ``3:web``; None is ``-``.

    Two rows of as many fields that differ come out different.
    """
    parts = []
    for field in fields:
        if field is None:
            parts.append(b"-")
        else:
            text = field if isinstance(field, bytes) else str(field).encode()
            parts.append(b"%d:%b" % (len(text), text))
    return b"".join(parts)


# --- entity tags and cursors


def stamp_of(life: int, digest: str) -> str:
    """What an entity tag has of a document: its digest, bound to the life of what it belongs to.

    ``life`` is the id under which a service, or a definition, is stored. One that is deleted and
    made again has another id, so that no tag of the first one comes back.
    """
    return digest_of(framed((life, digest)).decode())


def version_etag(epoch: str, number: int, stamp: str, variant: str = "json") -> str:
    """The strong entity tag of one version in one format, with its quotes (RFC 9110).

    Two answers with one tag are byte for byte the same, also over a restored database: the epoch
    is part of the tag. ``variant`` tells what else shapes the answer.
    """
    suffix = "" if variant == "json" else f".{variant}"
    return f'"{number}.{stamp[:24]}.{epoch}{suffix}"'


def no_version_etag(epoch: str, life: int, variant: str = "") -> str:
    """The tag of a service of which every version is disabled."""
    return f'"none.{stamp_of(life, "")[:24]}.{epoch}{variant}"'


def same_version(tag: str, etag: str | None) -> bool:
    """Whether ``tag`` names the version of ``etag``, whatever the format it was read in.

    A weak tag never does; ``*`` names any, and None says that there is no service.
    """
    if tag == "*" or etag is None:
        return etag is not None
    return tag.strip('"').split(".")[:3] == etag.strip('"').split(".")[:3]


def parse_etags(header: str) -> list[str]:
    """The tags in an ``If-Match`` or ``If-None-Match`` header, with their quotes.

    ``*`` comes back as itself. A weak mark ``W/`` is kept, so that a weak tag equals no strong
    one. Text between tags that is not a tag is ignored.
    """
    if header.strip() == "*":
        return ["*"]
    return re.findall(r'(?:W/)?"[^"]*"', header)


def encode_cursor(epoch: str, key: str | int, listing: str) -> str:
    """An opaque place in ``listing``, for ``decode_cursor``."""
    text = json.dumps([epoch, key, listing])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, epoch: str, kind: type[Key], listing: str) -> Key:
    """The key in ``cursor``, which is of this ``kind`` and a place in ``listing``.

    Raises Invalid if it is none of ours, and EpochChanged if it is from before a restore.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        found_epoch, key, of = found
    except (ValueError, TypeError, RecursionError):
        found_epoch = key = of = None
    fits = type(key) is kind and (_encodable(key) if isinstance(key, str) else 0 <= key < 2**63)
    if not fits or not isinstance(found_epoch, str) or of != listing:
        message = "It is not one that this server gave for this list; follow Link."
        raise Invalid.of([Problem("", message, "cursor", "cursor")])
    if found_epoch != epoch:
        raise EpochChanged()
    return cast(Key, key)


@dataclass(frozen=True)
class Position:
    """A position in the journal. ``epoch`` tells whose history it is in; None: it was not said."""

    revision: int
    epoch: str | None = None

    def __str__(self) -> str:
        return str(self.revision) if self.epoch is None else f"{self.revision}.{self.epoch}"


def parse_position(text: str) -> Position:
    """The position in ``text``, as in ``41.2b4e3723`` or ``41``. Raises ValueError."""
    match = _POSITION.fullmatch(text)
    if match is None or int(match[1]) > MOST_REVISION:
        raise ValueError(f"{text[:40]!r} is no position in the journal")
    return Position(int(match[1]), match[2])


# --- times


def now() -> int:
    """This moment, in microseconds since 1970 in UTC: how times are stored."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)


def rfc3339(microseconds: int) -> str:
    """A stored time as RFC 3339 text in UTC, as in ``2026-11-21T09:30:00.000001Z``."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds % 1_000_000:06d}Z"


def parse_time(text: str) -> int:
    """A stored time from RFC 3339 text. Raises ValueError; a time without a zone is refused."""
    # A + in a query arrives as a space unless it was escaped.
    moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError("a time needs a date, a time and a zone")
    return int(moment.timestamp() * 1_000_000)
