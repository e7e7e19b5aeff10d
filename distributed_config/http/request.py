"""What a request says, read strictly: its body, its note, its preconditions, its wishes."""

from collections.abc import Mapping
from typing import Any

from flask import g, request

from distributed_config import formats, wire
from distributed_config.errors import (
    Invalid,
    InvalidDocument,
    NotRepresentable,
    PartialBody,
    Problem,
    TooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from distributed_config.formats import Format
from distributed_config.http import database
from distributed_config.json_schema import SchemaLimits
from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange, Validity, Wait
from distributed_config.wire import DocumentLimits

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"


def exchange_of_request() -> Exchange:
    """Return the state of the request that the server side and the application share."""
    current: Exchange = request.environ[exchange.KEY]
    return current


def wait_for_change(validity: Validity, seconds: float) -> None:
    """Let the server side hold the request until ``validity`` no longer holds, if it can."""
    if seconds > 0 and not exchange_of_request().is_final:
        exchange_of_request().wait = Wait(validity, seconds)


def document_limits() -> DocumentLimits:
    """What a document may not exceed."""
    settings = database.of().settings
    return DocumentLimits(settings.document_bytes, settings.document_depth, settings.document_keys)


def schema_limits() -> SchemaLimits:
    """What the schema of a definition may not exceed."""
    return SchemaLimits(database.of().settings.schema_bytes)


def media_type() -> str:
    """The body's Content-Type without its parameters."""
    return request.mimetype


def body_bytes() -> bytes:
    """The body, whole.

    Raises if it is compressed, a part of something, too large, or not UTF-8 by its own word.
    """
    if "body" not in g:
        _refuse_part()
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise UnsupportedEncoding(encoding[:40])
        charset = request.mimetype_params.get("charset", "utf-8")
        if charset.lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("Only UTF-8 is read here; leave charset out.")
        most = database.of().settings.body_bytes
        if (request.content_length or 0) > most:
            raise TooLarge("DISTCONF_BODY_BYTES", most)
        request.max_content_length = most
        g.body = request.get_data(cache=False)
    body: bytes = g.body
    return body


def _refuse_part() -> None:
    """Raises PartialBody for ranges, which RFC 9110 defines for PUT and nobody sends otherwise."""
    if "Content-Range" in request.headers:
        raise PartialBody()


def body_value() -> Any:
    """The body's value, by its Content-Type: JSON, YAML or TOML.

    A body of any other type is refused, form data too: curl sends ``-d`` as a form unless it is
    told the type, and a page of another site can send forms without asking.
    """
    body = body_bytes()
    is_patch = request.mimetype in {MERGE_PATCH, JSON_PATCH}
    format_ = None if is_patch else formats.by_media_type(request.mimetype)
    if format_ is None or format_.read is None:
        given = f"{request.mimetype!r} is not read here." if request.mimetype else "There is none."
        raise UnsupportedMediaType(
            f"Content-Type: {given[:100]} "
            "Say what the body is, as in -H 'Content-Type: application/json' (or yaml, or toml)."
        )
    return formats.read(format_, body, database.of().settings.text_bytes)


def encode(format_: Format, value: Mapping[str, Any], size: int) -> str:
    """``value``, of about ``size`` bytes, in the format of the answer."""
    return formats.write(format_, value, size, database.of().settings.text_bytes)


def refuse_body() -> None:
    """Raises Invalid if there is a body where none belongs."""
    if body_bytes():
        raise InvalidDocument("This request takes no body. Leave it out.")


def note(from_query: str | None) -> str:
    """Why: ``note=`` of the query, or the header ``Config-Note`` in UTF-8."""
    given, header = from_query, request.headers.get("Config-Note", "")
    if given is not None and header:
        raise Invalid.from_problems(
            [Problem("", "Say it here or in the header Config-Note.", "note", "note")]
        )
    if given is None:
        try:
            given = header.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            given = header
    return wire.check_note(given, database.of().settings.note_length)


def idempotency_key() -> str:
    """The ``Idempotency-Key``; empty if there is none."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return ""
    key = given.strip()
    if not 0 < len(key) <= 255 or not key.isprintable():
        message = "A key has 1 to 255 printable characters; leave it out to do without."
        raise Invalid.from_problems([Problem("", message, "key", "Idempotency-Key")])
    return key


def negotiate_format(from_query: str | None) -> Format:
    """The format of the answer: ``format=``, or the best of ``Accept``, or JSON."""
    if from_query is not None:
        return formats.FORMATS[from_query]
    if not request.accept_mimetypes.provided:
        return formats.FORMATS["json"]
    for choice, quality in request.accept_mimetypes:
        if quality <= 0:
            continue
        if choice in {"*/*", "application/*"}:
            return formats.FORMATS["json"]
        asked = formats.by_media_type(choice)
        if asked is not None:
            return asked
    raise NotRepresentable(
        "Nothing that Accept names is written here. "
        f"Ask for one of: {', '.join(each.media_type for each in formats.FORMATS.values())}."
    )


def preferred_wait() -> float:
    """How long the asker would wait for news (``Prefer: wait=``, RFC 7240); 0: not at all."""
    most = database.of().settings.wait_seconds
    for preference in request.headers.get("Prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait" and value.strip().strip('"').isdecimal():
            return min(float(value.strip().strip('"')[:6]), most)
    return 0
