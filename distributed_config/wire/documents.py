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
"""The text in place of a secret for those who may not read it."""

SECRET_KEY = "$secret"  # noqa: S105  # the key under which a sealed value stands, and no secret

# Documents lie some levels deep in the bodies that hold several; see DISTCONF_DOCUMENT_DEPTH.
_BODY_DEPTH = 256


@dataclass(frozen=True)
class DocumentLimits:
    """What a document may not exceed: bytes, levels and keys; see the settings of these names."""

    size: int = 1 << 20
    depth: int = 64
    keys: int = 10_000


@dataclass(frozen=True)
class Document:
    """A JSON object as it is stored: ``text`` is served as it is, ``digest`` its SHA-256 in hex."""

    text: str
    digest: str

    @property
    def value(self) -> dict[str, Any]:
        """The object itself, parsed at each call, so that callers may change it."""
        return parse_stored(self.text)


def in_order(problems: Iterable[Problem], value: Any) -> list[Problem]:
    """Return ``problems`` in the order in which their places appear in ``value``.

    Places that do not exist, as of a missing key, come last in their container.
    """
    orders: dict[int, dict[str, int]] = {}

    def position(problem: Problem) -> list[int]:
        here, path = value, []
        for token in problem.pointer.split("/")[1:]:
            keys = _keys_of(here)
            order = orders.setdefault(id(here), {})
            # Once for each container: a document may have a thousand problems in one of them.
            if not order:
                order.update((escape_pointer(str(key)), i) for i, key in enumerate(keys))
            place = order.get(token, len(keys))
            path.append(place)
            here = here[keys[place]] if place < len(keys) else None
        return path

    return sorted(problems, key=position)


def _keys_of(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return list(value)
    return range(len(value)) if isinstance(value, list) else ()


def make_document(value: Any, limits: DocumentLimits, service: str) -> Document:
    """Return ``value`` as the document of ``service``. Raises InvalidDocument with every problem.

    A document need not name its service; if it does, under the key ``service``, the name must be
    right.
    """
    problems = list(_document_problems(value, limits))
    if isinstance(value, dict) and value.get("service", service) != service:
        message = f"It must be {service!r}, the service that is written to, or be left out."
        problems = _with(problems, Problem("/service", message, "service"), list(value))
    document = _as_stored(value, limits, problems)
    # Searching the text is far faster than walking the value. Inside a string the quotes would be
    # escaped, so this can only be a key.
    if f'"{SECRET_KEY}": ' in document.text:
        raise _invalid_document(list(_secret_key_problems(value)))
    return document


def _with(problems: list[Problem], one: Problem, keys: Sequence[Any]) -> list[Problem]:
    """Return ``problems`` and ``one`` more, at the position of its key among ``keys``."""
    before = {f"/{escape_pointer(str(key))}" for key in keys[: keys.index("service")]}
    at = 0
    while at < len(problems) and _first_part(problems[at].pointer) in before:
        at += 1
    return [*problems[:at], one, *problems[at:]]


def _first_part(pointer: str) -> str:
    return f"/{pointer.split('/', 2)[1]}" if pointer else ""


def make_object(value: Any, limits: DocumentLimits) -> Document:
    """Return ``value``, a JSON object that is not a configuration, in the form that is stored.

    Raises InvalidDocument with every problem.
    """
    return _as_stored(value, limits, list(_document_problems(value, limits)))


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
    """Return the SHA-256 of a stored document, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_stored(text: str) -> dict[str, Any]:
    """Parse a stored document. It is not checked: that was done when it was stored."""
    value: dict[str, Any] = json.loads(text)
    return value


def parse_json(data: bytes) -> Any:
    """Parse the JSON value in ``data``, strictly (RFC 8259 in UTF-8, nothing more).

    Raises InvalidDocument if it is not JSON at all. What JSON leaves open (a repeated key, NaN, a
    number too large) is marked in the value, where ``make_document`` finds it with its location.
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
        problem = Problem(
            "", f"{error.msg} at {place}.", "json", line=error.lineno, column=error.colno
        )
        raise _invalid_document([problem]) from None


def decode_utf8(data: bytes) -> str:
    """Decode ``data``. Raises InvalidDocument unless it is UTF-8 without a byte order mark."""
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
    """An object in which keys are repeated; ``names`` are those."""

    names: tuple[str, ...] = ()


def repeated_keys(value: Any) -> tuple[str, ...]:
    """Return the keys that are repeated in an object from ``parse_json``."""
    return value.names if isinstance(value, _Repeated) else ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    # A plain dict in nearly all cases: a subclass for each object would slow down every reader.
    if len(value) == len(pairs):
        return value
    repeated = _Repeated(value)
    counts = Counter(name for name, _ in pairs)
    repeated.names = tuple(name for name, count in counts.items() if count > 1)
    return repeated


def require_unambiguous(value: Any) -> None:
    """Raise InvalidDocument if ``value``, from ``parse_json``, can be understood in two ways."""
    limits = DocumentLimits(depth=_BODY_DEPTH, keys=sys.maxsize)
    problems = list(_problems_inside(value, limits))
    if problems:
        raise _invalid_document(problems)


def _document_problems(value: Any, limits: DocumentLimits) -> Iterator[Problem]:
    """Yield every problem of ``value`` as a document, in the order in which they appear."""
    if not isinstance(value, dict):
        kind = _kind(value)
        yield Problem("", f"A configuration is a JSON object, and this is {kind}.", "type")
        return
    yield from _problems_inside(value, limits)


def _problems_inside(value: Any, limits: DocumentLimits) -> Iterator[Problem]:
    keys = 0
    # A stack of our own: a recursive walk would overflow Python's on a document nested deeply.
    waiting: list[tuple[Location, Any, int]] = [(None, value, 1)]
    while waiting:
        location, here, depth = waiting.pop()
        yield from _scalar_problems(location, here)
        if not isinstance(here, dict | list):
            continue
        if depth > limits.depth:
            message = f"It is nested deeper than {limits.depth}."
            yield Problem(pointer_of(location), message, "depth")
            continue
        if isinstance(here, dict):
            keys += len(here)
            if keys > limits.keys:
                message = f"The document has more than {limits.keys} keys."
                yield Problem(pointer_of(location), message, "keys")
                return
            yield from _key_problems(location, here)
        waiting.extend(
            (inner, child, depth + 1) for inner, child in reversed(child_of(location, here))
        )


def _key_problems(location: Location, here: dict[Any, Any]) -> Iterator[Problem]:
    for name in repeated_keys(here):
        yield Problem(pointer_of((location, name)), "The key is given more than once.", "duplicate")
    for key in here:
        if not isinstance(key, str):
            message = f"The key {shortened(repr(key))} is not text; put it in quotes."
            yield Problem(pointer_of(location), message, "key")
        elif not is_encodable(key):
            yield Problem(pointer_of(location), "A key holds half of a surrogate pair.", "encoding")


def _secret_key_problems(value: Any) -> Iterator[Problem]:
    waiting: list[tuple[Location, Any]] = [(None, value)]
    while waiting:
        location, here = waiting.pop()
        if isinstance(here, dict) and SECRET_KEY in here:
            message = f"The key {SECRET_KEY!r} is the server's own; use another."
            yield Problem(pointer_of((location, SECRET_KEY)), message, "secret")
        waiting.extend(reversed(child_of(location, here)))


def _scalar_problems(location: Location, here: Any) -> Iterator[Problem]:
    problem: tuple[str, str] | None = None
    if isinstance(here, str):
        if not is_encodable(here):
            problem = "It holds half of a surrogate pair.", "encoding"
    elif isinstance(here, Unreadable):
        problem = f"{shortened(here.text)} {here.problem}", "number"
    elif isinstance(here, float):
        if not math.isfinite(here):
            problem = f"{here} is not a number that JSON can hold.", "number"
    elif isinstance(here, int):
        if abs(here) >= TOO_LARGE:
            problem = f"It has more than {INTEGER_DIGITS} digits.", "number"
    elif here is not None and not isinstance(here, dict | list):
        problem = f"{_kind(here)} has no place in JSON; write it as text.", "type"
    if problem is not None:
        yield Problem(pointer_of(location), *problem)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Unreadable | int | float) and not isinstance(value, bool):
        return "a number"
    kinds = {list: "an array", str: "a string", bool: "a boolean"}
    return kinds.get(type(value), f"a {type(value).__name__}")
