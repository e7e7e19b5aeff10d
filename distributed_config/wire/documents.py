"""Documents: JSON read strictly, and the one form that is stored and hashed."""

import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distributed_config.errors import InvalidDocument, Problem
from distributed_config.wire.names import is_encodable
from distributed_config.wire.numbers import (
    INTEGER_DIGITS,
    TOO_LARGE,
    Unreadable,
    exact_float,
    exact_integer,
    shortened,
)
from distributed_config.wire.pointers import Location, child_of, escape_pointer, pointer_of

MASK = "•••"


"""What is shown in place of a secret."""


SECRET_KEY = "$secret"  # noqa: S105  # the key under which a sealed value stands, and no secret


# Documents lie some levels deep in the bodies that hold several; see DISTCONF_DOCUMENT_DEPTH.
_BODY_DEPTH = 256


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


def make_document(value: Any, limits: DocumentLimits, service: str) -> Document:
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


def make_object(value: Any, limits: DocumentLimits) -> Document:
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
    a number too large) is marked in the value, where ``make_document`` finds it with its place.
    """
    text = decode_utf8(data)
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=Unreadable,
            parse_int=exact_integer,
            parse_float=exact_float,
        )
    except RecursionError:
        raise _invalid_document([Problem("", "It is nested far too deep.", "depth")]) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _invalid_document([Problem("", f"{error.msg} at {place}.", "json")]) from None


def decode_utf8(data: bytes) -> str:
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
    return InvalidDocument.from_problems(problems)


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


def require_unambiguous(value: Any) -> None:
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
    waiting: list[tuple[Location, Any, int]] = [(None, value, 1)]
    while waiting:
        place, here, depth = waiting.pop()
        yield from _faults_of_scalar(place, here)
        if not isinstance(here, dict | list):
            continue
        if depth > limits.depth:
            yield Problem(pointer_of(place), f"It is nested deeper than {limits.depth}.", "depth")
            continue
        if isinstance(here, dict):
            keys += len(here)
            if keys > limits.keys:
                message = f"The document has more than {limits.keys} keys."
                yield Problem(pointer_of(place), message, "keys")
                return
            yield from _faults_of_keys(place, here)
        waiting.extend(
            (inner, child, depth + 1) for inner, child in reversed(child_of(place, here))
        )


def _faults_of_keys(place: Location, here: dict[Any, Any]) -> Iterator[Problem]:
    for name in repeated_keys(here):
        yield Problem(pointer_of((place, name)), "The key is given more than once.", "duplicate")
    for key in here:
        if not isinstance(key, str):
            message = f"The key {shortened(repr(key))} is not text; put it in quotes."
            yield Problem(pointer_of(place), message, "key")
        elif not is_encodable(key):
            yield Problem(pointer_of(place), "A key holds half of a surrogate pair.", "encoding")


def _faults_of_secret_keys(value: Any) -> Iterator[Problem]:
    waiting: list[tuple[Location, Any]] = [(None, value)]
    while waiting:
        place, here = waiting.pop()
        if isinstance(here, dict) and SECRET_KEY in here:
            message = f"The key {SECRET_KEY!r} is the server's own; use another."
            yield Problem(pointer_of((place, SECRET_KEY)), message, "secret")
        waiting.extend(reversed(child_of(place, here)))


def _faults_of_scalar(place: Location, here: Any) -> Iterator[Problem]:
    fault: tuple[str, str] | None = None
    if isinstance(here, str):
        if not is_encodable(here):
            fault = "It holds half of a surrogate pair.", "encoding"
    elif isinstance(here, Unreadable):
        fault = f"{shortened(here.text)} {here.fault}", "number"
    elif isinstance(here, float):
        if not math.isfinite(here):
            fault = f"{here} is not a number that JSON can hold.", "number"
    elif isinstance(here, int):
        if abs(here) >= TOO_LARGE:
            fault = f"It has more than {INTEGER_DIGITS} digits.", "number"
    elif here is not None and not isinstance(here, dict | list):
        fault = f"{_kind(here)} has no place in JSON; write it as text.", "type"
    if fault is not None:
        yield Problem(pointer_of(place), *fault)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Unreadable | int | float) and not isinstance(value, bool):
        return "a number"
    kinds = {list: "an array", str: "a string", bool: "a boolean"}
    return kinds.get(type(value), f"a {type(value).__name__}")
